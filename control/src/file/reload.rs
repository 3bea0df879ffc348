//! Reading the file again in the running process: all of it or nothing.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use lb::model::ObjectRef;

use super::FileError;
use crate::schema::ProcessSettings;
use crate::store::{Refused, Store};

/// Reads the file again when asked; one at a time.
#[derive(Debug)]
pub struct Reloader {
    path: Option<PathBuf>,
    started_with: ProcessSettings,
    store: Store,
    one_at_a_time: tokio::sync::Mutex<()>,
    last_succeeded: AtomicBool,
}

/// What a reload did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reloaded {
    /// The revision that holds it. As before when nothing changed.
    pub revision: u64,
    /// What is there now and was not before.
    pub added: Vec<ObjectRef>,
    /// What is different now.
    pub changed: Vec<ObjectRef>,
    /// What is gone.
    pub removed: Vec<ObjectRef>,
}

/// Why a reload changed nothing.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The file is wrong.
    #[error(transparent)]
    File(#[from] FileError),
    /// There is no file.
    #[error("elbow was started without a configuration file: there is nothing to reload")]
    NoFile,
    /// The file changes what holds for a process from start to end.
    #[error("{} cannot change while elbow runs: restart it, or put the old value back", keys.join(", "))]
    TakesRestart {
        /// The keys, as in `[workers] count`.
        keys: Vec<&'static str>,
    },
    /// The store refused what the file wants.
    #[error(transparent)]
    Refused(#[from] Refused),
}

impl Reloader {
    /// A reloader of `path`, which said `started_with` when the process started (before flags and environment).
    pub fn new(path: Option<PathBuf>, started_with: ProcessSettings, store: Store) -> Self {
        let last_succeeded = AtomicBool::new(true);
        Self { path, started_with, store, one_at_a_time: tokio::sync::Mutex::new(()), last_succeeded }
    }

    /// Reads the file again, and returns when what it wants is durable and every worker has taken it up.
    ///
    /// # Errors
    /// [`ReloadError`]; nothing was changed.
    pub async fn reload(&self) -> Result<Reloaded, ReloadError> {
        let outcome = self.read_again().await;
        self.last_succeeded.store(outcome.is_ok(), Relaxed);
        outcome
    }

    /// Whether the file was taken over the last time it was read; true from the start on, since elbow would not have
    /// started otherwise.
    pub fn last_succeeded(&self) -> bool {
        self.last_succeeded.load(Relaxed)
    }

    async fn read_again(&self) -> Result<Reloaded, ReloadError> {
        let _ = (&self.path, &self.started_with, &self.store, &self.one_at_a_time);
        unreachable!("being written")
    }
}
