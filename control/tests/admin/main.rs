//! The admin API over real sockets: a whole control side with a store on disk, and one worker that takes up snapshots.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod access;
mod concurrency;
mod cookie_keys;
mod described;
mod house;
mod live;
mod problems;
mod wanted;
