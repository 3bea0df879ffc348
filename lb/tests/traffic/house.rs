//! A data plane in this process: snapshots made from what is wanted, real workers, real sockets.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lb::listen::{Workers, WorkersSettings};
use lb::model::{AccessLog as AccessLogSettings, AccessLogDestination, AccessLogFormat, ListenerName};
use lb::state::{Live, Now, Observation, Observed, Observer, Publisher, Snapshot, compile};
use lb::telemetry::{AccessLog, AccessLogThread, Build, Sharded, Telemetry};
use tokio::runtime::Runtime;

use crate::common::{WORKERS, Want, healthy};

/// How long anything in these tests may take.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

/// A running data plane.
pub(crate) struct House {
    pub(crate) live: Arc<Live>,
    pub(crate) telemetry: Arc<Telemetry>,
    pub(crate) observer: Observer,
    publisher: Publisher,
    workers: Option<Workers>,
    runtime: Runtime,
    _access_log: AccessLogThread,
}

impl House {
    /// Serves what is wanted, with every target healthy.
    pub(crate) fn with(want: &Want) -> Self {
        let house = Self::unchecked(want);
        house.all_healthy();
        house
    }

    /// Serves what is wanted, with no verdict on any target yet.
    pub(crate) fn unchecked(want: &Want) -> Self {
        let now = Now { instant: Instant::now(), wall: std::time::SystemTime::now() };
        Self::serving(want, compile(&want.wanted(), &Observed::default(), None, now))
    }

    /// Serves a snapshot of what is wanted.
    pub(crate) fn serving(want: &Want, first: Snapshot) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let wanted = want.wanted();
        let live = Arc::new(Live::new(first, WORKERS));
        let (observer, observations) = Observer::new();
        let publisher = {
            let _inside = runtime.enter();
            Publisher::start(&live, wanted, observations)
        };
        let log = AccessLogSettings { destination: AccessLogDestination::Off, format: AccessLogFormat::Json };
        let (access_log, thread) = AccessLog::start(&log).unwrap();
        let build = Build { version: "0", commit: "0" };
        let telemetry = Arc::new(Telemetry { workers: Sharded::new(WORKERS), access_log, build });
        let settings = WorkersSettings {
            count: WORKERS,
            live: Arc::clone(&live),
            observer: observer.clone(),
            challenges: Arc::default(),
            telemetry: Arc::clone(&telemetry),
        };
        let workers = Some(Workers::start(&settings).unwrap());
        let house = Self { live, telemetry, observer, publisher, workers, runtime, _access_log: thread };
        house.until(|_| true);
        house
    }

    /// Reports every target as healthy and waits until workers know.
    pub(crate) fn all_healthy(&self) {
        for pool in self.live.load().pools.values() {
            for member in pool.members.iter() {
                self.observer.observe(Observation::Health(member.backend.id, healthy()));
            }
        }
        let used = |snapshot: &Snapshot| {
            snapshot.pools.values().filter(|pool| pool.used).all(|pool| pool.eligible == pool.members.len())
        };
        self.until(used);
    }

    /// Publishes what is wanted now and waits until workers have taken it up.
    pub(crate) fn publish(&self, want: &Want) {
        let publish = async {
            let generation = self.publisher.publish(want.wanted()).await;
            self.live.taken_up(generation).await;
        };
        self.runtime.block_on(async { tokio::time::timeout(DEADLINE, publish).await.expect("taken up in time") });
    }

    /// Waits until a snapshot is as asked, and workers have taken it up.
    pub(crate) fn until(&self, holds: impl Fn(&Snapshot) -> bool) {
        let mut generations = self.live.subscribe();
        let wait = async {
            while !holds(&self.live.load()) {
                generations.changed().await.expect("the publisher lives");
            }
            self.live.taken_up(self.live.load().generation).await;
        };
        self.runtime.block_on(async { tokio::time::timeout(DEADLINE, wait).await.expect("in time") });
    }

    /// Where a listener listens.
    pub(crate) fn address(&self, listener: &str) -> SocketAddr {
        self.live.load().frontends[&ListenerName::parse(listener).unwrap()].socket.address
    }

    /// Stops, and answers with how long that took.
    pub(crate) fn shutdown(&mut self, timeout: Duration) -> Duration {
        let started = Instant::now();
        let workers = self.workers.take().expect("not stopped before");
        self.runtime.block_on(async {
            tokio::time::timeout(timeout + DEADLINE, workers.shutdown(timeout)).await.expect("stops in time");
        });
        started.elapsed()
    }

    /// Requests in flight at all backends.
    pub(crate) fn in_flight(&self) -> usize {
        let snapshot = self.live.load();
        snapshot.pools.values().flat_map(|pool| pool.members.iter()).map(|member| member.backend.in_flight()).sum()
    }
}

/// Waits until something holds, looking again and again.
pub(crate) fn eventually(what: &str, holds: impl Fn() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < DEADLINE, "{what}: not in time");
        std::thread::sleep(Duration::from_millis(2));
    }
}
