//! Connections to backends: making them, keeping them idle, and letting them go.
//!
//! Each worker has its own, so that none is shared and none is locked. Not here: which backend a request goes to
//! (`balance`), what is said to it (`proxy`).

mod connect;
mod idle;
mod link;

pub(crate) use connect::{ConnectError, connect};
pub(crate) use idle::IdleConnections;
pub(crate) use link::Link;
