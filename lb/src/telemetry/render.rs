//! The exposition: every sample of one snapshot, as Prometheus text.
//!
//! It walks the snapshot, so that the series of a target, a group or a listener go when it goes. Not here: what is
//! counted (`handles`), what it is called (`names`).

mod elb;

use std::collections::BTreeMap;
use std::time::UNIX_EPOCH;

use prometheus::TextEncoder;
use prometheus::proto;

use super::names::{self, Kind, Metric};
use super::{
    CodeClass, Counter, GroupCells, HandshakeResult, Histogram, LB_CODES, ListenerCells, NoncompliantClass,
    ProxyHeaderFault, RouteMetrics, SESSION_KINDS, StickyResult, StreamCells, TargetHandshake, Telemetry, process,
};
use crate::state::{Member, Pool, Sighting, Snapshot, TargetState};

/// Renders all metrics.
pub fn render(snapshot: &Snapshot, telemetry: &Telemetry, last_apply_success: bool) -> String {
    let mut exposition = Exposition::default();
    for frontend in snapshot.frontends.values() {
        let listener = frontend.listener.name.as_str();
        listener_samples(&mut exposition, listener, frontend.metrics.workers.iter());
        if frontend.tls.is_some() {
            tls_samples(&mut exposition, listener, frontend.metrics.workers.iter());
        }
        let samples = if frontend.pool.is_stream() { stream_samples } else { route_samples };
        samples(&mut exposition, listener, frontend.pool.forward.target_group.as_str(), &frontend.route);
    }
    for (name, credential) in &snapshot.credentials {
        let not_after = credential.facts.not_after.duration_since(UNIX_EPOCH).unwrap_or_default();
        exposition.add(names::TLS_CERT_NOT_AFTER, &[name.as_str()], not_after.as_secs() as f64);
    }
    for (name, issuance) in snapshot.issuances.iter() {
        exposition.add(names::ACME_RENEWALS, &[name.as_str(), "success"], issuance.succeeded as f64);
        exposition.add(names::ACME_RENEWALS, &[name.as_str(), "failure"], issuance.failed as f64);
    }
    for (group, sighting) in snapshot.sightings.iter() {
        sighting_samples(&mut exposition, group.as_str(), sighting);
    }
    // Several forwards to one group make several pools, which share its counters and targets: one speaks for all.
    for pool in snapshot.groups() {
        group_samples(&mut exposition, pool);
    }
    elb::samples(&mut exposition, snapshot);
    process_samples(&mut exposition, telemetry);
    exposition.add(names::CONFIG_REVISION, &[], snapshot.config.revision as f64);
    exposition.add(names::CONFIG_LAST_APPLY_SUCCESS, &[], f64::from(last_apply_success));
    exposition.encode()
}

fn sighting_samples(out: &mut Exposition, group: &str, sighting: &Sighting) {
    let labels = [group, &sighting.origin.to_string()];
    if let Some(at) = sighting.last_success_at {
        let at = at.duration_since(UNIX_EPOCH).unwrap_or_default();
        out.add(names::DISCOVERY_LAST_SUCCESS, &labels, at.as_secs_f64());
    }
    out.add(names::DISCOVERY_INSTANCES, &labels, sighting.seen as f64);
    out.add(names::DISCOVERY_HELD, &labels, sighting.held as f64);
    out.add(names::DISCOVERY_ERRORS, &labels, sighting.errors as f64);
}

fn listener_samples<'a>(out: &mut Exposition, listener: &str, workers: impl Iterator<Item = &'a ListenerCells>) {
    let mut open = 0;
    let (mut accepted, mut received, mut sent) = (0, 0, 0);
    let mut answers = [0; LB_CODES.len()];
    let mut noncompliant = [0; NoncompliantClass::LABELS.len()];
    let mut headers_refused = [0; ProxyHeaderFault::LABELS.len()];
    for cells in workers {
        open += cells.connections_open.get();
        accepted += cells.connections_total.get();
        received += cells.received_bytes.get();
        sent += cells.sent_bytes.get();
        add_each(&mut answers, &cells.lb_responses);
        add_each(&mut noncompliant, &cells.noncompliant);
        add_each(&mut headers_refused, &cells.proxy_headers_refused);
    }
    // A connection counted out on another worker than in may be seen the other way round for a moment.
    out.add(names::CONNECTIONS_OPEN, &[listener], open.max(0) as f64);
    out.add(names::CONNECTIONS, &[listener], accepted as f64);
    out.add(names::RECEIVED_BYTES, &[listener], received as f64);
    out.add(names::SENT_BYTES, &[listener], sent as f64);
    for (code, count) in LB_CODES.iter().zip(answers) {
        out.add(names::LB_RESPONSES, &[listener, &code.to_string()], count as f64);
    }
    for (class, count) in NoncompliantClass::LABELS.iter().zip(noncompliant) {
        out.add(names::NONCOMPLIANT_REQUESTS, &[listener, class], count as f64);
    }
    for (reason, count) in ProxyHeaderFault::LABELS.iter().zip(headers_refused) {
        out.add(names::PROXY_HEADERS_REFUSED, &[listener, reason], count as f64);
    }
}

fn tls_samples<'a>(out: &mut Exposition, listener: &str, workers: impl Iterator<Item = &'a ListenerCells>) {
    let mut handshakes = [0; HandshakeResult::LABELS.len()];
    let mut sessions = [0; SESSION_KINDS.len()];
    for cells in workers {
        add_each(&mut handshakes, &cells.tls_handshakes);
        add_each(&mut sessions, &cells.tls_sessions);
    }
    for (result, count) in HandshakeResult::LABELS.iter().zip(handshakes) {
        out.add(names::TLS_HANDSHAKES, &[listener, result], count as f64);
    }
    for ([version, resumed], count) in SESSION_KINDS.iter().zip(sessions) {
        out.add(names::TLS_SESSIONS, &[listener, version, resumed], count as f64);
    }
}

fn add_each<const N: usize>(sums: &mut [u64; N], counters: &[Counter; N]) {
    for (sum, counter) in sums.iter_mut().zip(counters) {
        *sum += counter.get();
    }
}

fn route_samples(out: &mut Exposition, listener: &str, group: &str, route: &RouteMetrics) {
    let mut classes = [0; CodeClass::LABELS.len()];
    for cells in route.workers.iter() {
        for (sum, count) in classes.iter_mut().zip(cells.requests.get()) {
            *sum += count;
        }
    }
    for (class, count) in CodeClass::LABELS.iter().zip(classes) {
        out.add(names::REQUESTS, &[listener, group, class], count as f64);
    }
    let durations: Vec<_> = route.workers.iter().map(|cells| &cells.duration).collect();
    out.add_histogram(names::REQUEST_DURATION, &[listener, group], &durations);
}

fn stream_samples(out: &mut Exposition, listener: &str, group: &str, route: &RouteMetrics) {
    let mut ends = [0; StreamCells::ENDS.len()];
    for cells in route.workers.iter() {
        for (sum, count) in ends.iter_mut().zip(cells.streams.ends()) {
            *sum += count;
        }
    }
    for (end, count) in StreamCells::ENDS.iter().zip(ends) {
        out.add(names::CONNECTIONS_ENDED, &[listener, group, end.as_str()], count as f64);
    }
    let durations: Vec<_> = route.workers.iter().map(|cells| &cells.streams.duration).collect();
    out.add_histogram(names::CONNECTION_DURATION, &[listener, group], &durations);
}

fn group_samples(out: &mut Exposition, pool: &Pool) {
    let group = pool.forward.target_group.as_str();
    let metrics = &pool.metrics;
    let sum = |counter: fn(&GroupCells) -> &Counter| metrics.workers.sum(counter) as f64;
    if pool.is_stream() {
        let connects: Vec<_> = metrics.workers.iter().map(|cells| &cells.target_connect).collect();
        out.add_histogram(names::TARGET_CONNECT, &[group], &connects);
    } else {
        let responses: Vec<_> = metrics.workers.iter().map(|cells| &cells.target_response).collect();
        out.add_histogram(names::TARGET_RESPONSE, &[group], &responses);
    }
    out.add(names::BACKEND_CONNECTION_ERRORS, &[group], sum(|cells| &cells.connection_errors));
    out.add(names::RETRIES, &[group, "success"], sum(|cells| &cells.retries_succeeded));
    out.add(names::RETRIES, &[group, "failure"], sum(|cells| &cells.retries_failed));
    if pool.tls.is_some() {
        let mut handshakes = [0; TargetHandshake::LABELS.len()];
        metrics.workers.iter().for_each(|cells| add_each(&mut handshakes, &cells.tls_handshakes));
        for (result, count) in TargetHandshake::LABELS.iter().zip(handshakes) {
            out.add(names::TARGET_TLS_HANDSHAKES, &[group, result], count as f64);
        }
    }
    if pool.affinity.is_some() {
        for (index, result) in StickyResult::LABELS.iter().enumerate() {
            let count = metrics.workers.iter().map(|cells| cells.sticky[index].get()).sum::<u64>();
            out.add(names::STICKY_REQUESTS, &[group, result], count as f64);
        }
    }
    out.add(names::SURGE_QUEUE_LENGTH, &[group], surge_queue_length(pool));
    out.add(names::SPILLOVER, &[group], sum(|cells| &cells.spillover));
    out.add(names::FAILED_OPEN, &[group], f64::from(pool.failed_open));
    out.add(names::FAILED_OPEN_REQUESTS, &[group], sum(|cells| &cells.failed_open));
    out.add(names::HEALTH_PROBES, &[group, "success"], metrics.probes_passed.get() as f64);
    out.add(names::HEALTH_PROBES, &[group, "failure"], metrics.probes_failed.get() as f64);
    out.add(names::EJECTIONS, &[group], metrics.ejections.get() as f64);
    for state in TargetState::ALL {
        let count = pool.members.iter().filter(|member| member.state == state).count();
        out.add(names::TARGETS, &[group, state.as_str()], count as f64);
    }
    // A target that moved stands there twice until its old self has left; the first one speaks for it.
    for same_target in pool.members.chunk_by(|one, other| one.backend.target == other.backend.target) {
        target_samples(out, group, &same_target[0], pool.is_stream());
    }
}

fn surge_queue_length(pool: &Pool) -> f64 {
    pool.surge.length() as f64
}

fn target_samples(out: &mut Exposition, group: &str, member: &Member, is_stream: bool) {
    let target = member.backend.target.as_str();
    if is_stream {
        let connections = member.backend.metrics.connections();
        return out.add(names::TARGET_CONNECTIONS, &[group, target], connections as f64);
    }
    for (class, count) in CodeClass::LABELS.iter().zip(member.backend.metrics.answers()) {
        // With ten thousand targets each class counts; the only final answer in 1xx is a 101.
        if count > 0 || *class != "1xx" {
            out.add(names::TARGET_REQUESTS, &[group, target, class], count as f64);
        }
    }
}

fn process_samples(out: &mut Exposition, telemetry: &Telemetry) {
    let workers = &telemetry.workers;
    out.add(names::CONNECTIONS_REFUSED, &[], workers.sum(|cells| &cells.connections_refused) as f64);
    out.add(names::WORKER_PANICS, &[], workers.sum(|cells| &cells.panics) as f64);
    out.add(names::ACCESS_LOG_DROPPED, &[], telemetry.access_log.dropped() as f64);
    out.add(names::BUILD_INFO, &[telemetry.build.version, telemetry.build.commit], 1.0);
    for (metric, value) in process::samples() {
        out.add(metric, &[], value);
    }
}

/// Samples by metric, until they are written.
#[derive(Default)]
struct Exposition {
    samples: BTreeMap<&'static str, Vec<proto::Metric>>,
}

impl Exposition {
    fn add(&mut self, metric: Metric, labels: &[&str], value: f64) {
        let mut sample = labelled(metric, labels);
        match metric.kind {
            Kind::Counter => {
                let mut counter = proto::Counter::default();
                counter.set_value(value);
                sample.set_counter(counter);
            }
            Kind::Gauge | Kind::Histogram => {
                let mut gauge = proto::Gauge::default();
                gauge.set_value(value);
                sample.set_gauge(gauge);
            }
        }
        self.samples.entry(metric.name).or_default().push(sample);
    }

    fn add_histogram(&mut self, metric: Metric, labels: &[&str], workers: &[&Histogram]) {
        let in_bucket = |index| workers.iter().map(|histogram| histogram.bucket(index)).sum::<u64>();
        let mut buckets = Vec::with_capacity(Histogram::BOUNDS_US.len());
        let mut count = 0;
        for (index, &bound_us) in Histogram::BOUNDS_US.iter().enumerate() {
            count += in_bucket(index);
            let mut bucket = proto::Bucket::default();
            bucket.set_upper_bound(seconds(bound_us));
            bucket.set_cumulative_count(count);
            buckets.push(bucket);
        }
        let mut histogram = proto::Histogram::default();
        histogram.set_bucket(buckets);
        histogram.set_sample_count(count + in_bucket(Histogram::BOUNDS_US.len()));
        histogram.set_sample_sum(seconds(workers.iter().map(|histogram| histogram.sum_us()).sum()));
        let mut sample = labelled(metric, labels);
        sample.set_histogram(histogram);
        self.samples.entry(metric.name).or_default().push(sample);
    }

    fn encode(mut self) -> String {
        let mut families = Vec::with_capacity(names::METRICS.len());
        for metric in names::METRICS {
            let Some(samples) = self.samples.remove(metric.name) else { continue };
            let mut family = proto::MetricFamily::default();
            family.set_name(metric.name.into());
            family.set_help(metric.help.into());
            family.set_field_type(match metric.kind {
                Kind::Counter => proto::MetricType::COUNTER,
                Kind::Gauge => proto::MetricType::GAUGE,
                Kind::Histogram => proto::MetricType::HISTOGRAM,
            });
            family.set_metric(samples);
            families.push(family);
        }
        // It fails only on a family without samples or of an unknown type, and there is none.
        TextEncoder::new().encode_to_string(&families).unwrap_or_default()
    }
}

fn labelled(metric: Metric, labels: &[&str]) -> proto::Metric {
    debug_assert_eq!(metric.labels.len(), labels.len(), "{}", metric.name);
    let pair = |(name, value): (&&str, &&str)| {
        let mut pair = proto::LabelPair::default();
        pair.set_name((*name).into());
        pair.set_value((*value).into());
        pair
    };
    proto::Metric::from_label(metric.labels.iter().zip(labels).map(pair).collect())
}

fn seconds(us: u64) -> f64 {
    us as f64 / 1_000_000.0
}
