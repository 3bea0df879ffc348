//! One connection to a target.

use std::net::SocketAddr;
use std::sync::Arc;

use super::Wire;
use crate::state::Backend;

/// A connection to a target, with where it leads.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) stream: Wire,
    pub(crate) backend: Arc<Backend>,
    pub(crate) address: SocketAddr,
    /// Whether it has carried a request before: then the target may have closed it while nobody looked.
    pub(crate) is_used: bool,
}
