//! Sockets and the threads that serve them: binding, workers, accepting, and bringing open sockets in line with
//! the snapshot. Not here: what happens on a connection (`proxy`).

mod accept;
mod accepted;
mod bind;
mod limits;
mod preamble;
mod worker;
mod workers;

pub use bind::{BindError, BoundSocket, BoundSockets, bind};
pub use workers::{Workers, WorkersSettings};
