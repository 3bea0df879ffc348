//! Reading the file again in the running process: all of it or nothing.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use lb::model::{Difference, ObjectRef};
use lb::telemetry::AccessLog;

use super::{Environment, FileError, Loaded};
use crate::certificates::Ended;
use crate::file;
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
    /// Whether `[limits]`, `[shutdown]` or `[access_log]` are different.
    pub global: bool,
}

/// Why a reload changed nothing.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The file is wrong, or does not fit what else is wanted.
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
    /// The access log cannot be opened where the file wants it.
    #[error("{0}: create its directory, or let elbow write there")]
    AccessLog(std::io::Error),
    /// The store refused what the file wants, for a reason that lies outside of the file.
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
        let path = self.path.clone().ok_or(ReloadError::NoFile)?;
        let _one = self.one_at_a_time.lock().await;
        let config = self.store.config();
        // What is in use and has ended is no reason to hold up everything else.
        let ended = move |path: &Path| file::load_with(path, ENVIRONMENT, Ended::RefusedUnlessIn(&config));
        let loaded = in_background(&path, ended).await?;
        let Loaded { process, declared } = loaded?;
        let keys = takes_restart(&self.started_with, &process);
        if !keys.is_empty() {
            return Err(ReloadError::TakesRestart { keys });
        }
        if let Some(global) = declared.global.clone() {
            // Before anything is committed: the log is switched when the change is taken up, which is too late to refuse.
            let checked = in_background(&path, move |_| AccessLog::check(&global.access_log)).await?;
            checked.map_err(ReloadError::AccessLog)?;
        }
        let applied = match self.store.declare(declared).await {
            Ok(applied) => applied,
            Err(refused) => {
                let about = refused.clone();
                let placed = in_background(&path, move |path| file::place(path, ENVIRONMENT, &about)).await?;
                return Err(placed.map_or(ReloadError::Refused(refused), ReloadError::File));
            }
        };
        let Difference { added, changed, removed, global, .. } = applied.before.difference(&applied.config);
        Ok(Reloaded { revision: applied.revision, added, changed, removed, global })
    }
}

const ENVIRONMENT: Environment<'static> = &|name| std::env::var(name).ok();

async fn in_background<T: Send + 'static>(
    path: &Path,
    read: impl FnOnce(&Path) -> T + Send + 'static,
) -> Result<T, ReloadError> {
    let path = path.to_owned();
    tokio::task::spawn_blocking(move || read(&path)).await.map_err(|_| ReloadError::Refused(Refused::Stopped))
}

/// The keys that a file may not change while the process runs, and has.
fn takes_restart(before: &ProcessSettings, now: &ProcessSettings) -> Vec<&'static str> {
    let ProcessSettings { admin_listen, admin_auth, admin_certificate, state_dir, workers } = before;
    let changed = [
        ("[admin] listen", *admin_listen != now.admin_listen),
        ("[admin] auth", *admin_auth != now.admin_auth),
        ("[admin] certificate", *admin_certificate != now.admin_certificate),
        ("[state] dir", *state_dir != now.state_dir),
        ("[workers] count", *workers != now.workers),
    ];
    changed.into_iter().filter_map(|(key, changed)| changed.then_some(key)).collect()
}
