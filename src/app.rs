//! A whole elbow: the one place where all parts are made and joined, and the order in which they stop.
//!
//! Read [`start`] from top to bottom. Two of them run side by side in one process: nothing here is process-wide.
//! Not here: what a flag or a signal means ([`crate::cli`], [`crate::signals`]).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, anyhow};
use control::acme::AcmeKeeper;
use control::api::admin::{self, AdminContext, Auth};
use control::api::elb::Elb;
use control::certificates::Keeper;
use control::discover::Discoverer;
use control::file::{FileError, Reloader};
use control::instances::{Directory, DirectoryKeeper};
use control::readiness::Readiness;
use control::secrets::{AdminToken, own_access_key};
use control::store::StoreThread;
use health::{Checker, Resolver};
use lb::challenges::Challenges;
use lb::listen::{BoundSockets, Workers, WorkersSettings};
use lb::model::ListenerName;
use lb::state::{Live, Now, Observed, Observer, Publisher, Snapshot, Wanted, compile};
use lb::telemetry::{AccessLog, AccessLogThread, Build, Telemetry};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::follow::{self, AdminPlace, Follower};
use crate::run_file::{RunFile, admin_url};
use crate::settings::{Resolved, Settings};
use crate::version::{COMMIT, VERSION};

/// How long the access log may take to write its last lines.
const ACCESS_LOG_STOP_MAX: Duration = Duration::from_secs(2);

/// A whole elbow that runs. Dropping it ends it at once, as a crash would.
#[derive(Debug)]
pub struct Running {
    resolved: Resolved,
    readiness: Readiness,
    live: Arc<Live>,
    publisher: Publisher,
    workers: Workers,
    checker: Checker,
    resolver: Resolver,
    store_thread: StoreThread,
    keeper: Keeper,
    acme: AcmeKeeper,
    discoverer: Discoverer,
    directory: DirectoryKeeper,
    reloader: Arc<Reloader>,
    access_log: AccessLog,
    access_log_thread: AccessLogThread,
    admin: Option<Admin>,
    follower: Owned<()>,
}

/// The admin API, being served.
#[derive(Debug)]
struct Admin {
    address: SocketAddr,
    is_over_tls: bool,
    stop: oneshot::Sender<()>,
    serving: Owned<std::io::Result<()>>,
}

/// A task that ends with its owner.
#[derive(Debug)]
struct Owned<T>(JoinHandle<T>);

/// Why an elbow did not start. Nothing of it is left.
#[derive(Debug)]
pub enum StartError {
    /// The file is wrong.
    File(FileError),
    /// What was asked for makes no sense.
    Settings(anyhow::Error),
    /// Something that was asked for cannot be had.
    Failed(anyhow::Error),
}

/// Starts a whole elbow, on the runtime of the control side. Returns when its sockets are bound, its workers serve,
/// and others can find it.
///
/// # Errors
/// [`StartError`].
pub async fn start(settings: Settings) -> Result<Running, StartError> {
    // What is asked for.
    let loaded = settings.load()?;
    let resolved = settings.over(&loaded.process).map_err(StartError::Settings)?;
    let (state_dir, count) = (&*resolved.state_dir, resolved.workers);

    // What is kept, held by us alone, joined with what the file declares.
    let opened = control::store::open(state_dir)?;
    RunFile::remove(state_dir)?; // It can only have been left by a crash.
    let token = AdminToken::of(state_dir)?;
    let access_key = own_access_key(state_dir)?;
    let config = opened.wanted_with(&loaded.declared).map_err(|rejected| settings.misfit(rejected))?;
    let config = Arc::new(config);

    // Sockets and log, before anything is promised.
    let sockets = lb::listen::bind(&BoundSockets::new(), &config, count)?;
    let admin_listener = bind_admin(resolved.admin).await?;
    let (access_log, access_log_thread) = AccessLog::start(&config.global.access_log)?;
    let telemetry = Arc::new(Telemetry::new(count, access_log.clone(), Build { version: VERSION, commit: COMMIT }));

    // The first snapshot, and the one who publishes those that follow it.
    let wanted = Wanted { config: Arc::clone(&config), sockets: sockets.clone(), workers: count };
    let first = first_snapshot(&wanted);
    let first_generation = first.generation;
    let (observer, observations) = Observer::new();
    // Behind the workers sits the follower, which takes up snapshots as they do.
    let live = Arc::new(Live::new(first, count + 1));
    let publisher = Publisher::start(&live, wanted, observations);

    // Those who serve, those who look, and the one who keeps.
    let challenges = Arc::<Challenges>::default();
    let workers = Workers::start(&WorkersSettings {
        count,
        live: Arc::clone(&live),
        observer: observer.clone(),
        challenges: Arc::clone(&challenges),
        telemetry: Arc::clone(&telemetry),
    })?;
    let checker = Checker::start(Arc::clone(&live), observer.clone());
    let resolver = Resolver::start(Arc::clone(&live), observer.clone());
    let (store, store_thread) = opened.start(config, sockets, publisher.clone(), Arc::clone(&live), count)?;
    let certificate = loaded.process.admin_certificate.clone();
    let reloader = Arc::new(Reloader::new(settings.file, loaded.process, store.clone()));

    let (directory, directory_keeper) = Directory::start(store.clone(), Arc::clone(&live), observer.clone());

    // The admin API, and what tells others where everything is.
    let readiness = Readiness::default();
    let context = AdminContext {
        store: store.clone(),
        live: Arc::clone(&live),
        reloader: Arc::clone(&reloader),
        readiness: readiness.clone(),
        telemetry,
        explainer: workers.explainer(),
        elb: Elb::new(store.clone(), Arc::clone(&live), directory, access_key),
        auth: if resolved.asks_for_token { Auth::Token(token) } else { Auth::Off },
        certificate: certificate.clone(),
    };
    let admin = admin_listener.map(|listener| Admin::start(listener, context)).transpose()?;
    let admin_place = admin.as_ref().map(|admin| AdminPlace { address: admin.address, certificate });
    let mut follower = Follower::new(Arc::clone(&live), count, access_log.clone(), state_dir, admin_place);
    live.taken_up(first_generation).await;
    follower.tell(&live.load()).with_context(|| format!("writing run.json in {}", state_dir.display()))?;
    let follower = Owned(tokio::spawn(follower.follow()));
    let acme = AcmeKeeper::start(store.clone(), Arc::clone(&live), observer.clone(), challenges);
    let discoverer = Discoverer::start(store.clone(), Arc::clone(&live), observer);
    let keeper = Keeper::start(store, Arc::clone(&live)).await;
    readiness.ready();

    Ok(Running {
        resolved,
        readiness,
        live,
        publisher,
        workers,
        checker,
        resolver,
        store_thread,
        keeper,
        acme,
        discoverer,
        directory: directory_keeper,
        reloader,
        access_log,
        access_log_thread,
        admin,
        follower,
    })
}

fn first_snapshot(wanted: &Wanted) -> Snapshot {
    let now = Now { instant: Instant::now(), wall: SystemTime::now() };
    compile(wanted, &Observed::default(), None, now)
}

async fn bind_admin(address: Option<SocketAddr>) -> anyhow::Result<Option<TcpListener>> {
    let Some(address) = address else { return Ok(None) };
    let bound = TcpListener::bind(address).await;
    bound.map(Some).with_context(|| format!("the admin API cannot listen on {address}"))
}

impl Running {
    /// Returns when a part of it has died. It has no business going on then.
    pub async fn failed(&mut self) -> anyhow::Error {
        let admin = async {
            match &mut self.admin {
                Some(admin) => admin.serving.ended().await,
                None => std::future::pending().await,
            }
        };
        let who = tokio::select! {
            () = self.workers.died() => "a worker",
            () = self.publisher.ended() => "the publisher",
            () = self.checker.ended() => "the health checker",
            () = self.resolver.ended() => "the resolver",
            ended = self.store_thread.ended() => ended.err().unwrap_or("the store"),
            () = self.keeper.ended() => "the keeper of certificates",
            () = self.acme.ended() => "the keeper of automatic certificates",
            () = self.discoverer.ended() => "discovery",
            () = self.directory.ended() => "the directory of instances",
            () = self.follower.ended() => "the follower",
            () = admin => "the admin API",
        };
        anyhow!("{who} died: elbow cannot go on")
    }

    /// Reads the file again and says in the log what came of it.
    pub async fn reload(&self) {
        match self.reloader.reload().await {
            Ok(reloaded) => tracing::info!(
                revision = reloaded.revision,
                added = reloaded.added.len(),
                changed = reloaded.changed.len(),
                removed = reloaded.removed.len(),
                global = reloaded.global,
                "the file was read again"
            ),
            Err(error) => {
                let error = anyhow::Error::from(error);
                tracing::error!("the file was not taken over, and nothing changed: {error:#}");
            }
        }
    }

    /// Opens the access log again, after somebody moved it away.
    pub fn reopen_logs(&self) {
        match self.access_log.reopen() {
            Ok(()) => tracing::info!("the access log was opened again"),
            Err(error) => tracing::error!(%error, "the access log stays as it was"),
        }
    }

    /// Stops gracefully: for a while `/readyz` fails and kept connections are told to go, then what is in flight may finish, the admin API answers until the
    /// end.
    ///
    /// # Errors
    /// When something could not be put in order at the end; traffic had its graceful stop all the same.
    pub async fn shutdown(self, why: &str) -> anyhow::Result<()> {
        let asked = self.live.load().config.global.shutdown.clone();
        tracing::info!(delay = ?asked.delay, timeout = ?asked.timeout, "stopping: {why}");
        self.readiness.draining(why);
        self.workers.drain();
        tokio::time::sleep(asked.delay).await;
        self.workers.shutdown(asked.timeout).await;
        drop((self.checker, self.resolver, self.keeper, self.acme, self.discoverer, self.directory, self.publisher));
        if let Some(admin) = self.admin {
            admin.stop().await;
        }
        self.follower.end().await;
        // While the directory is still ours: whoever takes it over writes its own.
        let removed = RunFile::remove(&self.resolved.state_dir).context("removing run.json");
        // With it goes the last handle on the store.
        drop(self.reloader);
        let mut store_thread = self.store_thread;
        let kept = store_thread.ended().await.map_err(|who| anyhow!("{who} died at the end"));
        let log = self.access_log_thread;
        let written = tokio::task::spawn_blocking(move || log.stop(ACCESS_LOG_STOP_MAX)).await;
        if !matches!(written, Ok(true)) {
            tracing::warn!("the last lines of the access log could not be written in time");
        }
        tracing::info!("stopped");
        removed.and(kept)
    }

    /// Where the admin API listens; absent: it is off.
    pub fn admin(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(|admin| admin.address)
    }

    /// The URL of the admin API for a client on this machine; absent: it is off.
    pub fn admin_url(&self) -> Option<String> {
        self.admin.as_ref().map(|admin| admin_url(admin.address, admin.is_over_tls))
    }

    /// Whether the admin API asks for the token.
    pub fn asks_for_token(&self) -> bool {
        self.resolved.asks_for_token
    }

    /// Where state is kept.
    pub fn state_dir(&self) -> &Path {
        &self.resolved.state_dir
    }

    /// Where each listener is bound now.
    pub fn listeners(&self) -> BTreeMap<ListenerName, SocketAddr> {
        follow::bound(&self.live.load())
    }
}

impl Admin {
    fn start(listener: TcpListener, context: AdminContext) -> anyhow::Result<Self> {
        let (address, is_over_tls) = (listener.local_addr()?, context.certificate.is_some());
        let (stop, stopped) = oneshot::channel();
        // An owner that is gone stops it as well.
        let stopped = async { drop(stopped.await) };
        let serving = Owned(tokio::spawn(admin::serve(listener, context, stopped)));
        Ok(Self { address, is_over_tls, stop, serving })
    }

    async fn stop(mut self) {
        drop(self.stop);
        self.serving.ended().await;
    }
}

impl<T> Owned<T> {
    /// Returns when it has ended by itself.
    async fn ended(&mut self) {
        // A panic is in the log already.
        let _ = (&mut self.0).await;
    }

    /// Ends it, and returns when it has.
    async fn end(mut self) {
        self.0.abort();
        self.ended().await;
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl<E: Into<anyhow::Error>> From<E> for StartError {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::AdminListen;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_death_of_a_part_is_noticed() {
        let directory = tempfile::tempdir().expect("a directory");
        let settings = Settings {
            admin: Some(AdminListen::Off),
            state_dir: Some(directory.path().to_owned()),
            workers: Some(1),
            ..Settings::default()
        };
        let mut running = start(settings).await.unwrap_or_else(|error| panic!("{error:?}"));
        running.follower.0.abort();
        let failed = tokio::time::timeout(Duration::from_secs(10), running.failed()).await.expect("a failure");
        assert_eq!(failed.to_string(), "the follower died: elbow cannot go on");
    }
}
