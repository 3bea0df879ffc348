//! Opening a state directory, joining what is kept there with what the file declares, and starting the store.

use std::path::Path;
use std::sync::Arc;

use lb::listen::BoundSockets;
use lb::model::{Config, Declared, Rejected};
use lb::state::{Live, Publisher};

use super::{Backing, BackingError, OpenError, Store, StoreThread};

/// An open state directory, held exclusively until the store's thread has ended (or this is dropped).
#[derive(Debug)]
pub struct Opened {}

/// Opens a state directory: makes it where it is not there, takes its lock, and reads what is kept.
///
/// # Errors
/// [`OpenError`]: somebody else holds it, or it is damaged or of a newer version; nothing was replaced.
pub fn open(state_dir: &Path) -> Result<Opened, OpenError> {
    let _ = state_dir;
    unreachable!("being written")
}

/// Opens any other backing.
///
/// # Errors
/// [`BackingError`] from reading it.
pub fn open_with(backing: Box<dyn Backing>) -> Result<Opened, BackingError> {
    let _ = backing;
    unreachable!("being written")
}

impl Opened {
    /// Joins what is kept with what the file declares: the configuration to start with.
    ///
    /// # Errors
    /// [`Rejected`]: an object has two owners, or the file dropped a group that API-owned objects still need.
    pub fn wanted_with(&self, declared: &Declared) -> Result<Config, Rejected> {
        let _ = declared;
        unreachable!("being written")
    }

    /// Starts the store on `config` (from [`Self::wanted_with`]) with the sockets bound for it, once it is published.
    /// Call it on the runtime of the control side.
    ///
    /// # Errors
    /// [`BackingError`]: what the file overrode could not be made durable.
    pub fn start(
        self,
        config: Arc<Config>,
        sockets: BoundSockets,
        publisher: Publisher,
        live: Arc<Live>,
        workers: usize,
    ) -> Result<(Store, StoreThread), BackingError> {
        let _ = (config, sockets, publisher, live, workers);
        unreachable!("being written")
    }
}
