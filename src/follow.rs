//! What follows the snapshots on the control side: `run.json`, which tells where listeners are bound, and the
//! settings of the access log.
//!
//! It takes up snapshots as the workers do, so that a change is answered only when others can find its listeners.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lb::model::{CertificateName, ListenerName};
use lb::state::{Live, Snapshot};
use lb::telemetry::AccessLog;

use crate::run_file::{RunFile, admin_url};

/// Where the admin API is, and what it shows there.
#[derive(Debug)]
pub(crate) struct AdminPlace {
    pub(crate) address: SocketAddr,
    pub(crate) certificate: Option<CertificateName>,
}

/// Tells others what snapshots hold.
#[derive(Debug)]
pub(crate) struct Follower {
    live: Arc<Live>,
    /// Its place among those who take up snapshots.
    seat: usize,
    access_log: AccessLog,
    state_dir: PathBuf,
    admin: Option<AdminPlace>,
    /// What `run.json` says; none: nothing yet.
    told: Option<RunFile>,
}

impl Follower {
    /// A follower that holds nobody up before it has begun.
    pub(crate) fn new(
        live: Arc<Live>,
        seat: usize,
        access_log: AccessLog,
        state_dir: &Path,
        admin: Option<AdminPlace>,
    ) -> Self {
        live.take_up(seat, live.load().generation);
        Self { live, seat, access_log, state_dir: state_dir.to_owned(), admin, told: None }
    }

    /// Follows every snapshot from now on.
    pub(crate) async fn follow(mut self) {
        let mut generations = self.live.subscribe();
        loop {
            generations.mark_unchanged();
            let snapshot = self.live.load();
            if let Err(error) = self.tell(&snapshot) {
                // Traffic flows all the same; the next snapshot tries again.
                tracing::error!(%error, state_dir = %self.state_dir.display(), "run.json cannot be written");
            }
            self.configure_access_log(&snapshot);
            self.live.take_up(self.seat, snapshot.generation);
            if generations.changed().await.is_err() {
                return;
            }
        }
    }

    /// Writes `run.json` where it would say something else than before.
    pub(crate) fn tell(&mut self, snapshot: &Snapshot) -> std::io::Result<()> {
        let name = |(name, address): (ListenerName, SocketAddr)| (name.to_string(), address);
        let listeners = bound(snapshot).into_iter().map(name).collect();
        let admin = self.admin.as_ref();
        let certificate = admin.and_then(|admin| admin.certificate.as_ref());
        let run = RunFile {
            pid: std::process::id(),
            admin: admin.map(|admin| admin.address),
            admin_url: admin.map(|admin| admin_url(admin.address, certificate.is_some())),
            admin_pin: certificate.and_then(|name| Some(snapshot.credentials.get(name)?.facts.public_key.clone())),
            listeners,
        };
        if self.told.as_ref() != Some(&run) {
            run.write(&self.state_dir)?;
            self.told = Some(run);
        }
        Ok(())
    }

    fn configure_access_log(&self, snapshot: &Snapshot) {
        if let Err(error) = self.access_log.configure(&snapshot.config.global.access_log) {
            tracing::error!(%error, "the access log stays as it was");
        }
    }
}

/// Where each listener is really bound.
pub(crate) fn bound(snapshot: &Snapshot) -> BTreeMap<ListenerName, SocketAddr> {
    snapshot.frontends.iter().map(|(name, frontend)| (name.clone(), frontend.socket.address)).collect()
}
