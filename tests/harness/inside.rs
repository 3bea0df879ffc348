//! An elbow inside the test's own process, over the same door that the binary uses.

use std::net::SocketAddr;

use elbow::app::{self, Running};
use elbow::settings::{AdminListen, Settings};
use tempfile::TempDir;

use super::{PATIENCE, Setup, within};

/// An elbow in this process. Dropping it ends it at once, as a crash would.
pub struct Inside {
    running: Running,
    _directory: TempDir,
}

impl Inside {
    /// Starts it with what a [`Setup`] says, less arguments and environment.
    pub async fn start(setup: &Setup) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let file = directory.path().join("elbow.toml");
        std::fs::write(&file, setup.toml()).expect("the configuration can be written");
        let settings = Settings {
            file: Some(file),
            admin: Some(AdminListen::At(SocketAddr::from(([127, 0, 0, 1], 0)))),
            state_dir: Some(directory.path().join("state")),
            workers: Some(1),
            ..Settings::default()
        };
        let running = within("the start of an elbow", PATIENCE, app::start(settings)).await;
        Self { running: running.expect("it starts"), _directory: directory }
    }

    /// The address of the listener `web`.
    pub fn web(&self) -> SocketAddr {
        let listeners = self.running.listeners();
        *listeners.get("web").expect("a listener web")
    }

    /// Stops it gracefully.
    pub async fn stop(self) {
        let stopping = self.running.shutdown("the test is over");
        within("the stop of an elbow", PATIENCE, stopping).await.expect("it stops in order");
    }
}
