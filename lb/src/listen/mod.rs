//! Sockets and the threads that serve them: binding, workers, accepting, and bringing open sockets in line with
//! the snapshot. Not here: what happens on a connection (`proxy`).

mod bind;

pub use bind::{BindError, BoundSocket, BoundSockets, bind};
