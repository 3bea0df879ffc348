//! One connection to a target.

use std::net::SocketAddr;
use std::sync::Arc;

use super::Wire;
use crate::state::{Backend, Pool};
use crate::tls::Originator;

/// A connection to a target, with where it leads.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) stream: Wire,
    pub(crate) backend: Arc<Backend>,
    pub(crate) address: SocketAddr,
    /// What it was encrypted with, if it is.
    pub(super) originator: Option<Arc<Originator>>,
    /// Whether it has carried a request before: then the target may have closed it while nobody looked.
    pub(crate) is_used: bool,
}

impl Link {
    /// Whether it is spoken over it as a pool speaks to its targets now. Who was accepted by what was asked before may
    /// not be by what is asked now.
    pub(super) fn is_as_in(&self, pool: &Pool) -> bool {
        self.originator.as_ref().map(Arc::as_ptr) == pool.tls.as_ref().map(Arc::as_ptr)
    }
}
