//! `[[target_group]]`.

use std::time::Duration;

use lb::model;
use lb::model::{
    Algorithm, GroupName, HashKey, OnDown, SendProxy, StickyBy, TargetProtocol, TlsVerify, WhenAllUnhealthy,
};

use super::notation::{Words, count_usize, duration, duration_text, parsed};
use super::problem::Wrong;
use super::reader::Reader;
use super::{
    Discovery, Ejection, HOUR, HealthCheck, MINUTE, MS, Stickiness, Target, discovery, ejection, health_check,
    stickiness, target, target_tls,
};

const PROTOCOL: Words<TargetProtocol> = Words {
    what: "protocol",
    now: &[
        ("http", TargetProtocol::Http),
        ("https", TargetProtocol::Https),
        ("tcp", TargetProtocol::Tcp),
        ("tls", TargetProtocol::Tls),
    ],
    later: &[],
};
pub(super) const ALGORITHM: Words<Algorithm> = Words {
    what: "algorithm",
    now: &[
        ("least_outstanding_requests", Algorithm::LeastOutstandingRequests),
        ("round_robin", Algorithm::RoundRobin),
        ("random_of_two", Algorithm::RandomOfTwo),
        ("peak_ewma", Algorithm::PeakEwma),
        ("weighted_random", Algorithm::WeightedRandom),
        ("consistent_hash", Algorithm::ConsistentHash),
    ],
    later: &[],
};
const WHEN_ALL_UNHEALTHY: Words<WhenAllUnhealthy> = Words {
    what: "behaviour",
    now: &[("fail_open", WhenAllUnhealthy::FailOpen), ("fail_closed", WhenAllUnhealthy::FailClosed)],
    later: &[],
};
const SEND_PROXY: Words<SendProxy> = Words {
    what: "version of the PROXY protocol",
    now: &[("off", SendProxy::Off), ("v1", SendProxy::V1), ("v2", SendProxy::V2)],
    later: &[],
};
const ON_DOWN: Words<OnDown> =
    Words { what: "behaviour", now: &[("keep", OnDown::Keep), ("reset", OnDown::Reset)], later: &[] };

/// A target group: how its targets are reached, checked, chosen and let go.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct TargetGroup {
    /// Its name: `[A-Za-z0-9._-]{1,64}`.
    pub name: String,
    /// What its targets speak: `http` or `https`; `tcp` or `tls` for anything, in the clear or over TLS.
    #[schema(required = false, default = "http")]
    pub protocol: String,
    /// How a target is chosen: `least_outstanding_requests`, `round_robin`, `random_of_two`, `peak_ewma`,
    /// `weighted_random` or `consistent_hash`.
    #[schema(required = false, default = "least_outstanding_requests")]
    pub algorithm: String,
    /// What of a request decides with `consistent_hash`: `source_ip`, `path`, `header:NAME` or `cookie:NAME`.
    #[schema(required = false, default = "source_ip")]
    pub hash_key: String,
    /// How long what is in flight at a target that leaves may take.
    #[schema(required = false, default = "300s")]
    pub deregistration_delay: String,
    /// In how long a target that becomes healthy while others serve gets its full share; `0s`: at once.
    #[schema(required = false, default = "0s")]
    pub slow_start: String,
    /// What to do when no target is healthy: `fail_open` or `fail_closed`.
    #[schema(required = false, default = "fail_open")]
    pub when_all_unhealthy: String,
    /// How long a request waits while the whole group has not had its first verdict.
    #[schema(required = false, default = "3s")]
    pub initial_wait: String,
    /// How long connecting to a target may take.
    #[schema(required = false, default = "2s")]
    pub connect_timeout: String,
    /// To the first byte of an answer, then silence while the target owes bytes.
    #[schema(required = false, default = "60s")]
    pub response_timeout: String,
    /// How long an idle connection to a target is kept.
    #[schema(required = false, default = "4s")]
    pub keepalive_timeout: String,
    /// The most idle connections kept to one target, all workers together.
    #[schema(required = false, default = 64)]
    pub idle_connections_max: u64,
    /// The most in flight at one target, all workers together; 0: no limit.
    #[schema(required = false, default = 0)]
    pub connections_max: u64,
    /// How many requests or connections may wait for room while every target has `connections_max` in flight; 0: none.
    #[schema(required = false, default = 1024)]
    pub surge_queue_max: u64,
    /// What keeps a client at its target. Absent: nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stickiness: Option<Stickiness>,
    /// When a target that fails requests is taken out, and for how long.
    #[schema(required = false)]
    pub ejection: Ejection,
    /// What is asked of the certificates of targets, in traffic and in checks: `none`, `ca` or `pinned`. Where TLS is
    /// spoken, as are all of `tls_*`.
    #[schema(required = false, default = "none")]
    pub tls_verify: String,
    /// With `ca`: the file with the certificates that vouch for targets, in PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_ca: Option<String>,
    /// The name that targets are asked for and, with `ca`, that their certificates must be for. Absent: the host of
    /// each target's address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_server_name: Option<String>,
    /// With `pinned`: the public keys of targets, each as `sha256/` and the base64 of its SHA-256 in DER.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub tls_pinned_keys: Vec<String>,
    /// The name of the certificate that targets are shown if they ask for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_certificate: Option<String>,
    /// The header of the PROXY protocol that connections to targets begin with: `off`, `v1` or `v2`.
    #[schema(required = false, default = "off")]
    pub send_proxy: String,
    /// What becomes of TCP streams whose target becomes unhealthy: `keep` or `reset`.
    #[schema(required = false, default = "keep")]
    pub on_down: String,
    /// How its targets are checked. Absent on writing: over TCP.
    #[schema(required = false)]
    pub health_check: HealthCheck,
    /// Where more of its targets are found. Absent: nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub discovery: Option<Discovery>,
    /// The targets a file declares. The API has them as a resource of their own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(ignore)]
    pub target: Vec<Target>,
}

/// Reads a target group less its targets; `named` by the place it stands in, or by its own key.
pub(super) fn read(reader: &mut Reader<'_>, named: Option<&GroupName>) -> Option<model::TargetGroup> {
    let name = super::name_of(reader, named, GroupName::parse);
    let default = model::TargetGroup::new(GroupName::parse("unnamed").ok()?);
    let stickiness = reader.table_if_any("stickiness", stickiness::read);
    let health_check = reader.table_if_any("health_check", health_check::read);
    let ejection = reader.table("ejection", ejection::read);
    let discovery = reader.table_if_any("discovery", discovery::read);
    let protocol = reader.or("protocol", default.protocol, |value| PROTOCOL.parse(value));
    let health_check = health_check?.unwrap_or(default.health_check);
    let speaks_tls = protocol.is_over_tls() || health_check.protocol.is_over_tls();
    let group = model::TargetGroup {
        protocol,
        algorithm: reader.or("algorithm", default.algorithm, |value| ALGORITHM.parse(value)),
        hash_key: reader.or("hash_key", default.hash_key, parsed(HashKey::parse)),
        deregistration_delay: reader.or(
            "deregistration_delay",
            default.deregistration_delay,
            duration(Duration::ZERO..=HOUR),
        ),
        slow_start: reader.or("slow_start", default.slow_start, duration(Duration::ZERO..=HOUR)),
        when_all_unhealthy: reader
            .or("when_all_unhealthy", default.when_all_unhealthy, |value| WHEN_ALL_UNHEALTHY.parse(value)),
        initial_wait: reader.or("initial_wait", default.initial_wait, duration(Duration::ZERO..=5 * MINUTE)),
        connect_timeout: reader.or("connect_timeout", default.connect_timeout, duration(10 * MS..=5 * MINUTE)),
        response_timeout: reader.or("response_timeout", default.response_timeout, duration(100 * MS..=24 * HOUR)),
        keepalive_timeout: reader.or("keepalive_timeout", default.keepalive_timeout, duration(Duration::ZERO..=HOUR)),
        idle_connections_max: reader.or("idle_connections_max", default.idle_connections_max, count_usize(0..=100_000)),
        connections_max: reader.or("connections_max", default.connections_max, count_usize(0..=10_000_000)),
        surge_queue_max: reader.or("surge_queue_max", default.surge_queue_max, count_usize(0..=65_536)),
        stickiness: stickiness?,
        ejection: ejection?,
        discovery: discovery?,
        tls: target_tls::read(reader, speaks_tls),
        send_proxy: reader.or("send_proxy", default.send_proxy, |value| SEND_PROXY.parse(value)),
        on_down: reader.or("on_down", default.on_down, |value| ON_DOWN.parse(value)),
        health_check,
        // Zones are enabled through the ELB API alone.
        zones: default.zones,
        name: name?,
    };
    refuse_what_has_no_place(reader, &group);
    Some(group)
}

/// Refuses what means something to requests only in a group of streams, and the other way round.
fn refuse_what_has_no_place(reader: &mut Reader<'_>, group: &model::TargetGroup) {
    let is_stream = group.protocol.is_stream();
    if is_stream && group.hash_key != HashKey::SourceIp {
        let wrong = Wrong::new(format!("a TCP stream has no {}: only its source is known", group.hash_key));
        reader.problem("hash_key", wrong.hint("write \"source_ip\""));
    }
    if is_stream && group.stickiness.as_ref().is_some_and(|stickiness| stickiness.by != StickyBy::SourceIp) {
        let wrong = Wrong::new("a TCP stream has no cookies: only its source is known");
        reader.problem("stickiness", wrong.hint("write type = \"source_ip\""));
    }
    if !is_stream && group.on_down == OnDown::Reset {
        reader.problem(
            "on_down",
            Wrong::new("`reset` is for groups with protocol = \"tcp\" or \"tls\": requests end by themselves"),
        );
    }
}

/// Reads a target group with the targets it declares.
pub(super) fn read_with_targets(reader: &mut Reader<'_>) -> Option<(model::TargetGroup, Vec<model::Target>)> {
    let targets = reader.tables("target", |reader| target::read(reader, None));
    Some((read(reader, None)?, targets))
}

impl From<&model::TargetGroup> for TargetGroup {
    /// Without targets.
    fn from(group: &model::TargetGroup) -> Self {
        Self {
            name: group.name.to_string(),
            protocol: PROTOCOL.word(group.protocol),
            algorithm: ALGORITHM.word(group.algorithm),
            hash_key: group.hash_key.to_string(),
            deregistration_delay: duration_text(group.deregistration_delay),
            slow_start: duration_text(group.slow_start),
            when_all_unhealthy: WHEN_ALL_UNHEALTHY.word(group.when_all_unhealthy),
            initial_wait: duration_text(group.initial_wait),
            connect_timeout: duration_text(group.connect_timeout),
            response_timeout: duration_text(group.response_timeout),
            keepalive_timeout: duration_text(group.keepalive_timeout),
            idle_connections_max: group.idle_connections_max as u64,
            connections_max: group.connections_max as u64,
            surge_queue_max: group.surge_queue_max as u64,
            stickiness: group.stickiness.as_ref().map(Stickiness::from),
            ejection: Ejection::from(&group.ejection),
            tls_verify: target_tls::verify_word(&group.tls.verify),
            tls_ca: group.tls.verify.ca().map(|ca| ca.file.path.to_string_lossy().into_owned()),
            tls_server_name: group.tls.server_name.as_deref().map(str::to_owned),
            tls_pinned_keys: match &group.tls.verify {
                TlsVerify::Pinned(pins) => pins.iter().map(ToString::to_string).collect(),
                TlsVerify::None | TlsVerify::Ca(_) => Vec::new(),
            },
            tls_certificate: group.tls.certificate.as_ref().map(ToString::to_string),
            send_proxy: SEND_PROXY.word(group.send_proxy),
            on_down: ON_DOWN.word(group.on_down),
            health_check: HealthCheck::from(&group.health_check),
            discovery: group.discovery.as_ref().map(Discovery::from),
            target: Vec::new(),
        }
    }
}
