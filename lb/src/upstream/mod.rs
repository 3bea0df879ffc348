//! Connections to backends: making them, keeping them idle, and letting them go.
//!
//! Each worker has its own, so that none is shared and none is locked; where a group's targets are told whose a
//! connection is, each client has its own. Not here: which backend a request goes to
//! (`balance`), what is said to it (`proxy`).

mod connect;
mod idle;
mod link;
mod own;
mod wire;

pub(crate) use connect::{ConnectError, connect};
pub(crate) use idle::IdleConnections;
pub(crate) use link::Link;
pub(crate) use own::OwnConnections;
pub(crate) use wire::Wire;
