//! The one immutable value that the data plane, the checker, the API and the metrics read.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use crate::affinity::Affinity;
use crate::balance::Balancer;
use crate::listen::BoundSocket;
use crate::model::{
    Algorithm, CertificateName, Config, Forward, GroupName, HashKey, HeldTarget, Host, Listener, ListenerName,
    TargetGroup, TargetId,
};
use crate::state::{Backend, BackendId, Issuance, Sighting, Standing, SurgeQueue};
use crate::telemetry::{GroupMetrics, ListenerMetrics, RouteMetrics};
use crate::tls::{Credential, Originator, Terminator};

/// All that is live at one moment.
#[derive(Debug)]
pub struct Snapshot {
    /// Counts snapshots; every publication has the next one.
    pub generation: u64,
    /// What was wanted when it was made.
    pub config: Arc<Config>,
    /// Certificates that are ready to be shown, by name.
    pub credentials: BTreeMap<CertificateName, Arc<Credential>>,
    /// How it goes with those that an authority issues, by name.
    pub issuances: Arc<BTreeMap<CertificateName, Issuance>>,
    /// How it goes with finding targets, by group.
    pub sightings: Arc<BTreeMap<GroupName, Sighting>>,
    /// Listeners, by name.
    pub frontends: BTreeMap<ListenerName, Arc<Frontend>>,
    /// Pools, one for each distinct forward. A group nobody forwards to has one as well, unused.
    pub pools: BTreeMap<Forward, Arc<Pool>>,
    /// The id the next new backend gets.
    pub next_backend: BackendId,
    /// When to compile again although nothing changes (a drain's deadline, the next step of a slow start, the end of an
    /// ejection).
    pub wake_at: Option<Instant>,
}

/// A listener, live.
#[derive(Debug)]
pub struct Frontend {
    /// As it is wanted.
    pub listener: Arc<Listener>,
    /// The name of the load balancer that it was made for.
    pub load_balancer: Option<Arc<str>>,
    /// The sockets it accepts from.
    pub socket: Arc<BoundSocket>,
    /// What it shakes hands with, where it speaks TLS.
    pub tls: Option<Arc<Terminator>>,
    /// Who answers its requests.
    pub pool: Arc<Pool>,
    /// Its counters.
    pub metrics: Arc<ListenerMetrics>,
    /// The counters of its requests to this pool's group.
    pub route: Arc<RouteMetrics>,
}

/// The targets of a group as one forward uses them.
#[derive(Debug)]
pub struct Pool {
    /// Which forward it serves.
    pub forward: Forward,
    /// Its group, as this forward wants it.
    pub group: Arc<TargetGroup>,
    /// Whether a listener forwards to its group. Targets of an unused group are not probed.
    pub used: bool,
    /// Every target of the group, by id, and those that are leaving. A target that moved, or was registered again
    /// elsewhere, has more than one: first the one that is registered, then those that leave.
    pub members: Arc<[Member]>,
    /// What its targets are spoken to with, where that is over TLS.
    pub tls: Option<Arc<Originator>>,
    /// What its targets are checked with, where that is over TLS.
    pub check_tls: Option<Arc<Originator>>,
    /// Chooses among those that may take new work now.
    pub balancer: Box<dyn Balancer>,
    /// Keeps clients at their targets, where the group asks for that.
    pub affinity: Option<Box<dyn Affinity>>,
    /// How many may take new work now. Zero: see `waiting`.
    pub eligible: usize,
    /// Whether no target may take work, and yet one may soon: no target has had its first verdict.
    pub waiting: bool,
    /// Whether unhealthy targets are used because none is healthy.
    pub failed_open: bool,
    /// Since when at least one target has been healthy, while one is.
    pub serving_since: Option<SystemTime>,
    /// When the share of a target that starts slowly grows.
    pub slow_until: Option<Instant>,
    /// The group's counters.
    pub metrics: Arc<GroupMetrics>,
    /// Who waits for room at the group's targets.
    pub surge: Arc<SurgeQueue>,
}

/// One target of a pool.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// As it is wanted; a leaving one: as it last was.
    pub held: Arc<HeldTarget>,
    /// Its life.
    pub backend: Arc<Backend>,
    /// The state it is in.
    pub state: TargetState,
    /// Why, in one sentence.
    pub reason: Arc<str>,
    /// Since when.
    pub since: SystemTime,
    /// What its checks say, whatever the state hides: a drained target keeps its users while it passes.
    pub verdict: Verdict,
    /// Whether the last of its checks passed although it is unhealthy.
    pub recovering: bool,
    /// Healthy, and since when its share has been growing, if it did not have all of it at once.
    pub slow_since: Option<Instant>,
    /// How it stands by the attempts that were made at it, which is not how its checks see it.
    pub standing: Standing,
    /// Deregistered: what is in flight is cut at this time.
    pub leaves_at: Option<Instant>,
    /// Registered, in a zone that was served until just now: what is in flight is cut at this time.
    pub closes_at: Option<Instant>,
}

/// The state of a target, as users see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TargetState {
    /// No verdict yet.
    Initial,
    /// Passes its checks.
    Healthy,
    /// Fails its checks.
    Unhealthy,
    /// Takes no new work (but what is sticky to it).
    Draining,
    /// Taken out for failing requests.
    Ejected,
    /// No listener forwards to its group, or its zone is not served.
    Unused,
}

impl TargetState {
    /// Every state, in the order of reports.
    pub const ALL: [Self; 6] =
        [Self::Initial, Self::Healthy, Self::Unhealthy, Self::Draining, Self::Ejected, Self::Unused];

    /// As written in the API, events and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Initial => "initial",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
            Self::Draining => "draining",
            Self::Ejected => "ejected",
            Self::Unused => "unused",
        }
    }
}

/// What checks say of a backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthState {
    /// The verdict.
    pub verdict: Verdict,
    /// Unhealthy, and yet its last check passed: too few have in a row so far.
    pub recovering: bool,
    /// Which probe said so and how, in one sentence.
    pub reason: Arc<str>,
    /// Since when.
    pub since: SystemTime,
}

/// The verdict of checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// None yet.
    Initial,
    /// It passes.
    Healthy,
    /// It fails.
    Unhealthy,
}

impl Snapshot {
    /// The pool that stands for a group as it is, whether or not a listener uses it.
    pub fn pool_of(&self, group: &GroupName) -> Option<&Arc<Pool>> {
        self.pools.get(&Forward::to(group.clone()))
    }

    /// Each group's pool that stands for it as it is, by name; groups that are only leaving among them.
    pub fn groups(&self) -> impl Iterator<Item = &Arc<Pool>> {
        self.pools.values().filter(|pool| pool.forward.is_plain())
    }

    /// A target of a group: as it is registered, or else as it is leaving.
    pub fn member(&self, group: &GroupName, target: &TargetId) -> Option<&Member> {
        self.pool_of(group)?.members_of(target).first()
    }
}

impl Member {
    /// Where it is reached, by a forward that may name another port than its own.
    pub fn address(&self, port: Option<u16>) -> Option<SocketAddr> {
        let address = self.backend.address?;
        let port = port.unwrap_or(address.port());
        (port != 0).then(|| SocketAddr::new(address.ip(), port))
    }
}

impl Pool {
    /// How one of its targets is chosen.
    pub fn algorithm(&self) -> Algorithm {
        self.group.algorithm
    }

    /// Whether it is bytes that its targets are sent, and not requests.
    pub fn is_stream(&self) -> bool {
        self.group.protocol.is_stream()
    }

    /// Whether its targets can be full: there are some, and they have a limit.
    pub(crate) fn can_be_full(&self) -> bool {
        self.eligible > 0 && self.group.connections_max > 0
    }

    /// Whether there are targets beside so many that were tried, and to wait for: they did not take what they were to.
    pub(crate) fn others_are_full(&self, tried: usize) -> bool {
        self.can_be_full() && self.group.surge_queue_max > 0 && self.eligible > tried
    }

    /// Whether its forward reaches every target of its group: one that names no port does not reach those without.
    pub(crate) fn reaches_all(&self) -> bool {
        let is_reached = |member: &Member| member.address(self.forward.port).is_some();
        self.members.iter().all(|member| member.backend.address.is_none() || is_reached(member))
    }

    /// The host that a backend was registered by. Leaving ones are found too.
    pub fn host_of(&self, backend: &Backend) -> Option<&Host> {
        let member = self.members_of(&backend.target).iter().find(|member| member.backend.id == backend.id)?;
        Some(&member.held.declared.address.host)
    }

    /// What of a request the choice depends on, if it does.
    pub fn hash_key(&self) -> Option<&HashKey> {
        (self.algorithm() == Algorithm::ConsistentHash).then_some(&self.group.hash_key)
    }

    /// All that stands under one id: the registered target first, then what is leaving.
    pub fn members_of(&self, target: &TargetId) -> &[Member] {
        let start = self.members.partition_point(|member| member.backend.target < *target);
        let end = self.members.partition_point(|member| member.backend.target <= *target);
        &self.members[start..end]
    }
}
