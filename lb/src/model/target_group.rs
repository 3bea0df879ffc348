//! A target group: how its targets are reached, checked, chosen and let go. Its targets stand beside it, in
//! [`super::Group`], because they have owners of their own.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::{Discovery, Ejection, GroupName, HashKey, HealthCheck, HealthCheckProtocol, Stickiness, TargetTls};

/// A target group as it is wanted, less its targets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetGroup {
    /// Its name.
    pub name: GroupName,
    /// What its targets speak.
    pub protocol: TargetProtocol,
    /// How one of them is chosen.
    pub algorithm: Algorithm,
    /// What of a request decides, where the algorithm hashes.
    pub hash_key: HashKey,
    /// How long what is in flight at a target that leaves may take.
    pub deregistration_delay: Duration,
    /// In how long a target that becomes healthy while others serve gets its full share. 0: at once.
    pub slow_start: Duration,
    /// What to do when no target is healthy but some are unhealthy.
    pub when_all_unhealthy: WhenAllUnhealthy,
    /// How long a request waits while the whole group has not had its first verdict.
    pub initial_wait: Duration,
    /// How long connecting to a target may take.
    pub connect_timeout: Duration,
    /// How long to wait for the first byte of an answer, and then for more while the target owes bytes.
    pub response_timeout: Duration,
    /// How long an idle connection to a target is kept.
    pub keepalive_timeout: Duration,
    /// The most idle connections kept to one target, all workers together.
    pub idle_connections_max: usize,
    /// The most requests or connections in flight at one target, all workers together. 0: no limit.
    pub connections_max: usize,
    /// How many requests or connections may wait for room while every target has `connections_max`. 0: none.
    pub surge_queue_max: usize,
    /// How targets are spoken to over TLS, in traffic and in checks, where either is over TLS.
    pub tls: TargetTls,
    /// Whether a connection to a target begins with a header of the PROXY protocol, and which.
    pub send_proxy: SendProxy,
    /// What becomes of streams whose target becomes unhealthy.
    pub on_down: OnDown,
    /// What keeps a client at its target, if anything.
    pub stickiness: Option<Stickiness>,
    /// When a target that fails requests is taken out, and for how long.
    pub ejection: Ejection,
    /// How its targets are checked.
    pub health_check: HealthCheck,
    /// Where more of its targets are found, if anywhere.
    pub discovery: Option<Discovery>,
    /// The zones whose targets take traffic; none: it matters to nobody. Load balancers of the ELB API have some.
    pub zones: BTreeSet<Arc<str>>,
}

impl TargetGroup {
    /// A group with the defaults of everything else: checked over TCP.
    pub fn new(name: GroupName) -> Self {
        Self {
            name,
            protocol: TargetProtocol::Http,
            algorithm: Algorithm::LeastOutstandingRequests,
            hash_key: HashKey::SourceIp,
            deregistration_delay: Duration::from_secs(300),
            slow_start: Duration::ZERO,
            when_all_unhealthy: WhenAllUnhealthy::FailOpen,
            initial_wait: Duration::from_secs(3),
            connect_timeout: Duration::from_secs(2),
            response_timeout: Duration::from_secs(60),
            keepalive_timeout: Duration::from_secs(4),
            idle_connections_max: 64,
            connections_max: 0,
            surge_queue_max: 1024,
            tls: TargetTls::default(),
            send_proxy: SendProxy::Off,
            on_down: OnDown::Keep,
            stickiness: None,
            ejection: Ejection::default(),
            health_check: HealthCheck::new(HealthCheckProtocol::Tcp),
            discovery: None,
            zones: BTreeSet::new(),
        }
    }

    /// Whether targets in a zone take traffic. One whose zone nobody knows always does.
    pub fn serves(&self, zone: Option<&str>) -> bool {
        self.zones.is_empty() || zone.is_none_or(|zone| self.zones.contains(zone))
    }

    /// Whether targets are spoken to over TLS, be it in traffic or in checks.
    pub fn speaks_tls(&self) -> bool {
        self.protocol.is_over_tls() || self.health_check.protocol.is_over_tls()
    }
}

/// What targets of a group speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TargetProtocol {
    /// HTTP/1.1 in the clear.
    Http,
    /// HTTP/1.1 over TLS.
    Https,
    /// Anything: bytes, passed on as they are.
    Tcp,
    /// Anything, over TLS.
    Tls,
}

impl TargetProtocol {
    /// Whether it is bytes that targets are sent, and not requests.
    pub fn is_stream(self) -> bool {
        match self {
            Self::Http | Self::Https => false,
            Self::Tcp | Self::Tls => true,
        }
    }

    /// Whether targets are spoken to over TLS.
    pub fn is_over_tls(self) -> bool {
        match self {
            Self::Http | Self::Tcp => false,
            Self::Https | Self::Tls => true,
        }
    }

    /// What targets are asked for over TLS, by its registered name (ALPN). None: nothing is said of it.
    pub fn alpn(self) -> &'static [&'static str] {
        match self {
            Self::Http | Self::Tcp | Self::Tls => &[],
            Self::Https => &["http/1.1"],
        }
    }

    /// As written in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
        }
    }
}

/// Which header of the PROXY protocol connections to targets begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SendProxy {
    /// None.
    Off,
    /// The line of version 1.
    V1,
    /// The binary one of version 2.
    V2,
}

/// What becomes of streams whose target becomes unhealthy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDown {
    /// They go on: they may work in spite of what checks say.
    Keep,
    /// They are reset, so that clients connect again, to another target.
    Reset,
}

/// How one of the eligible targets is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// One after the other, smoothly by weight.
    RoundRobin,
    /// The one with the fewest requests in flight for its weight.
    LeastOutstandingRequests,
    /// Two at random, and of these the one with fewer requests in flight for its weight.
    RandomOfTwo,
    /// Two at random, and of these the one that will probably answer first, by its latest peaks.
    PeakEwma,
    /// At random, by weight.
    WeightedRandom,
    /// The same for the same key of a request.
    ConsistentHash,
}

/// What to do when no target of a group is healthy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenAllUnhealthy {
    /// Send traffic to the unhealthy ones: a check may be wrong, and an answer beats none.
    FailOpen,
    /// Answer 503, as the Classic ELB does.
    FailClosed,
}
