//! The Query API of Classic ELB over real sockets: what it answers word for word, whose requests it takes, and that what
//! it refuses changes nothing.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod answers;
mod caller;
mod errors;
mod health;
mod hostile;
#[path = "../admin/house.rs"]
#[allow(dead_code, reason = "the vocabulary of another test binary, of which this one uses a part")]
mod house;
mod signatures;
