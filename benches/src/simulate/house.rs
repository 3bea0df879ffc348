//! The real thing in virtual time: a configuration, verdicts, and the snapshots that elbow makes of them.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result};
use lb::listen::BoundSockets;
use lb::model::{
    Algorithm, Change, Config, Forward, GroupName, Host, HostPort, Listener, ListenerName, Origin, Target, TargetGroup,
    TargetId, Weight,
};
use lb::state::{HealthState, Now, Observation, Observed, Pool, Snapshot, Verdict, Wanted, compile};

/// Targets listen on ports from here on, so that a port names a target.
const FIRST_PORT: u16 = 1_024;

/// An elbow whose time is given to it.
pub(super) struct House {
    wanted: Wanted,
    observed: Observed,
    snapshot: Snapshot,
    group: GroupName,
    start: Now,
}

impl House {
    /// A group of so many targets, all healthy.
    pub(super) fn of(algorithm: Algorithm, slow_start: Duration, targets: usize, workers: usize) -> Result<Self> {
        let group = GroupName::parse("app")?;
        let mut settings = TargetGroup::new(group.clone());
        settings.algorithm = algorithm;
        settings.slow_start = slow_start;
        let bind = (Ipv4Addr::LOCALHOST, 0).into();
        let listener = Listener::new(ListenerName::parse("web")?, bind, Forward::to(group.clone()));
        let changes = [Change::PutTargetGroup(Origin::File, settings), Change::PutListener(Origin::File, listener)];
        let config = Arc::new(Config::default().apply_all(&changes)?);
        let sockets = lb::listen::bind(&BoundSockets::default(), &config, 1)?;
        let wanted = Wanted { config, sockets, workers };
        // The same in every run, because what begins at random begins by it.
        let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let start = Now { instant: Instant::now(), wall };
        let observed = Observed::default();
        let snapshot = compile(&wanted, &observed, None, start);
        let mut house = Self { wanted, observed, snapshot, group, start };
        house.add(0, targets, Duration::ZERO)?;
        Ok(house)
    }

    /// Registers so many targets more, which pass their checks at once.
    pub(super) fn add(&mut self, from: usize, count: usize, now: Duration) -> Result<()> {
        let put = |index: usize| {
            let host = Host::Ip(Ipv4Addr::LOCALHOST.into());
            let port = FIRST_PORT + u16::try_from(index)?;
            let id = TargetId::parse(&format!("t-{index}"))?;
            let target =
                Target { id, address: HostPort { host, port: Some(port) }, weight: Weight::default(), zone: None };
            Ok(Change::PutTarget(Origin::File, self.group.clone(), target))
        };
        let changes = (from..from + count).map(put).collect::<Result<Vec<_>>>()?;
        self.wanted.config = Arc::new(self.wanted.config.apply_all(&changes)?);
        self.compile(now);
        let healthy = HealthState {
            verdict: Verdict::Healthy,
            recovering: false,
            reason: "simulated".into(),
            since: self.now(now).wall,
        };
        for member in self.pool()?.members.clone().iter() {
            self.observed.take_in(Observation::Health(member.backend.id, healthy.clone()));
        }
        self.compile(now);
        Ok(())
    }

    /// Makes the next snapshot.
    pub(super) fn compile(&mut self, now: Duration) {
        self.snapshot = compile(&self.wanted, &self.observed, Some(&self.snapshot), self.now(now));
    }

    /// When the next snapshot is due by itself.
    pub(super) fn wake_at(&self) -> Option<Duration> {
        self.snapshot.wake_at.map(|at| at.saturating_duration_since(self.start.instant))
    }

    pub(super) fn pool(&self) -> Result<&Arc<Pool>> {
        self.snapshot.pool_of(&self.group).context("a group without a pool")
    }

    /// The time on the house's own clock.
    pub(super) fn instant(&self, now: Duration) -> Instant {
        self.start.instant + now
    }

    fn now(&self, now: Duration) -> Now {
        Now { instant: self.start.instant + now, wall: self.start.wall + now }
    }
}

/// Which target has a port.
pub(super) fn target_of(port: u16) -> usize {
    usize::from(port - FIRST_PORT)
}
