//! The exposition through its public door: what is rendered of a snapshot.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use lb::balance::{Balancer, Candidate, Pick};
use lb::listen::BoundSockets;
use lb::model::{
    AccessLog as AccessLogSettings, AccessLogDestination, AccessLogFormat, Adjustment, Algorithm, Config, Forward,
    GroupName, HealthCheck, HealthCheckProtocol, Held, HeldTarget, HostPort, Listener, ListenerName, ListenerProtocol,
    Origin, ProbePort, Target, TargetGroup, TargetId, TargetProtocol, Threshold, Weight, WhenAllUnhealthy,
};
use lb::state::{Backend, BackendId, Frontend, Member, Pool, Snapshot, TargetState};
use lb::telemetry::{
    AccessLog, Build, CodeClass, GroupMetrics, ListenerMetrics, METRICS, NoncompliantClass, RouteMetrics, Telemetry,
    render,
};

const WORKERS: usize = 2;

#[derive(Debug)]
struct Nobody;

impl Balancer for Nobody {
    fn pick(&self, _pick: &Pick<'_>) -> Option<&Candidate> {
        None
    }
}

fn telemetry() -> Telemetry {
    let off = AccessLogSettings { destination: AccessLogDestination::Off, format: AccessLogFormat::Json };
    let (access_log, thread) = AccessLog::start(&off).unwrap();
    assert!(thread.stop(Duration::from_secs(5)));
    Telemetry::new(WORKERS, access_log, Build { version: "0.1.0", commit: "abc\"def" })
}

fn group() -> Arc<TargetGroup> {
    Arc::new(TargetGroup {
        name: GroupName::parse("app").unwrap(),
        protocol: TargetProtocol::Http,
        algorithm: Algorithm::RoundRobin,
        deregistration_delay: Duration::from_secs(300),
        when_all_unhealthy: WhenAllUnhealthy::FailOpen,
        initial_wait: Duration::from_secs(3),
        connect_timeout: Duration::from_secs(2),
        response_timeout: Duration::from_secs(60),
        keepalive_timeout: Duration::from_secs(4),
        idle_connections_max: 64,
        connections_max: 0,
        health_check: HealthCheck {
            protocol: HealthCheckProtocol::Tcp,
            port: ProbePort::Traffic,
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(5),
            healthy_threshold: Threshold::new(2).unwrap(),
            unhealthy_threshold: Threshold::new(2).unwrap(),
        },
    })
}

fn member(backend: u64, id: &str, state: TargetState) -> Member {
    let id = TargetId::parse(id).unwrap();
    let declared = Target {
        id: id.clone(),
        address: HostPort::parse("127.0.0.1:80").unwrap(),
        weight: Weight::default(),
        zone: None,
    };
    let held = HeldTarget { origin: Origin::Api, revision: 1, declared, adjusted: Adjustment::default() };
    Member {
        held: Arc::new(held),
        backend: Arc::new(Backend::new(BackendId(backend), group().name.clone(), id, None, WORKERS)),
        state,
        reason: "of no matter".into(),
        since: SystemTime::UNIX_EPOCH,
        leaves_at: (state == TargetState::Draining).then(Instant::now),
    }
}

fn listener() -> Listener {
    Listener {
        name: ListenerName::parse("web").unwrap(),
        bind: "127.0.0.1:0".parse().unwrap(),
        protocol: ListenerProtocol::Http,
        forward: Forward::to(group().name.clone()),
        head_timeout: Duration::from_secs(10),
        idle_timeout: Duration::from_secs(60),
        body_rate_min_bytes: 1024,
        tunnel_idle_timeout: Duration::from_secs(3600),
        request_line_bytes_max: 16 * 1024,
        headers_bytes_max: 64 * 1024,
        header_count_max: 128,
        body_bytes_max: 0,
        connections_max: 0,
        requests_per_connection_max: 0,
        trusted_proxies: Vec::new(),
    }
}

/// One listener, and a group that two forwards use: two pools over the same members and counters.
fn snapshot(members: Vec<Member>) -> Snapshot {
    let members: Arc<[Member]> = members.into();
    let metrics = Arc::new(GroupMetrics::new(WORKERS));
    let pool = |forward: Forward| {
        Arc::new(Pool {
            forward,
            group: group(),
            used: true,
            members: Arc::clone(&members),
            balancer: Box::new(Nobody),
            eligible: 0,
            waiting: false,
            failed_open: true,
            metrics: Arc::clone(&metrics),
        })
    };
    let forwards = [None, Some(8080)].map(|port| Forward { port, ..Forward::to(group().name.clone()) });
    let pools: BTreeMap<_, _> = forwards.map(|forward| (forward.clone(), pool(forward))).into();
    let listener = Arc::new(listener());
    let held = Held { origin: Origin::File, revision: 1, wanted: (*listener).clone() };
    let mut config = Config { revision: 7, ..Config::default() };
    config.listeners.insert(listener.name.clone(), Arc::new(held));
    let sockets = lb::listen::bind(&BoundSockets::new(), &config, WORKERS).unwrap();
    let frontend = Frontend {
        socket: Arc::clone(&sockets[&listener.name]),
        pool: Arc::clone(&pools[&listener.forward]),
        listener: Arc::clone(&listener),
        metrics: Arc::new(ListenerMetrics::new(WORKERS)),
        route: Arc::new(RouteMetrics::new(WORKERS)),
    };
    Snapshot {
        generation: 1,
        config: Arc::new(config),
        frontends: [(listener.name.clone(), Arc::new(frontend))].into(),
        pools,
        next_backend: BackendId(100),
        wake_at: None,
    }
}

fn three_targets() -> Snapshot {
    snapshot(vec![
        member(1, "a", TargetState::Healthy),
        member(2, "b", TargetState::Unhealthy),
        member(3, "c", TargetState::Healthy),
    ])
}

fn assert_line(text: &str, line: &str) {
    assert!(text.lines().any(|each| each == line), "{line} is missing from\n{text}");
}

/// What `promtool check metrics` says. It is in Debian's package `prometheus`; where CI is set it must be there.
fn promtool_says(text: &str) -> Option<String> {
    let spawned = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut promtool) = spawned else {
        assert!(std::env::var_os("CI").is_none(), "promtool is not installed");
        std::io::stderr().write_all(b"SKIPPED: promtool is not installed\n").unwrap();
        return None;
    };
    let mut stdin = promtool.stdin.take().unwrap();
    stdin.write_all(text.as_bytes()).unwrap();
    drop(stdin);
    let output = promtool.wait_with_output().unwrap();
    Some(format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)))
}

#[test]
fn every_metric_has_samples_and_promtool_is_silent() {
    let text = render(&three_targets(), &telemetry(), true);
    for metric in METRICS {
        assert_line(&text, &format!("# HELP {} {}", metric.name, metric.help));
        let sample = |line: &str| line.starts_with(metric.name) && !line.starts_with('#');
        assert!(text.lines().any(sample), "{} has no sample", metric.name);
    }
    if let Some(said) = promtool_says(&text) {
        assert_eq!(said, "");
    }
}

#[test]
fn workers_are_added_up() {
    let (snapshot, telemetry) = (three_targets(), telemetry());
    let frontend = snapshot.frontends.values().next().unwrap();
    for worker in 0..WORKERS {
        let listener = frontend.metrics.workers.of(worker);
        listener.connections_open.add(3);
        listener.connections_total.add(5);
        listener.received_bytes.add(100);
        listener.lb_response(503);
        listener.noncompliant(NoncompliantClass::Ambiguous);
        let route = frontend.route.workers.of(worker);
        route.requests.add(CodeClass::of(204));
        route.duration.observe(Duration::from_millis(3));
        route.duration.observe(Duration::from_secs(61));
        frontend.pool.metrics.workers.of(worker).retries_succeeded.add(1);
        frontend.pool.members[0].backend.metrics.answered(worker, CodeClass::of(500));
        telemetry.workers.of(worker).panics.add(1);
    }
    let text = render(&snapshot, &telemetry, false);
    for line in [
        r#"elbow_connections_open{listener="web"} 6"#,
        r#"elbow_connections_total{listener="web"} 10"#,
        r#"elbow_received_bytes_total{listener="web"} 200"#,
        r#"elbow_lb_responses_total{listener="web",code="503"} 2"#,
        r#"elbow_noncompliant_requests_total{listener="web",class="ambiguous"} 2"#,
        r#"elbow_requests_total{listener="web",target_group="app",code_class="2xx"} 2"#,
        r#"elbow_request_duration_seconds_bucket{listener="web",target_group="app",le="0.0025"} 0"#,
        r#"elbow_request_duration_seconds_bucket{listener="web",target_group="app",le="0.005"} 2"#,
        r#"elbow_request_duration_seconds_bucket{listener="web",target_group="app",le="60"} 2"#,
        r#"elbow_request_duration_seconds_bucket{listener="web",target_group="app",le="+Inf"} 4"#,
        r#"elbow_request_duration_seconds_count{listener="web",target_group="app"} 4"#,
        r#"elbow_request_duration_seconds_sum{listener="web",target_group="app"} 122.006"#,
        r#"elbow_target_requests_total{target_group="app",target="a",code_class="5xx"} 2"#,
        r#"elbow_retries_total{target_group="app",result="success"} 2"#,
        r#"elbow_targets{target_group="app",state="healthy"} 2"#,
        r#"elbow_targets{target_group="app",state="unhealthy"} 1"#,
        r#"elbow_targets{target_group="app",state="ejected"} 0"#,
        r#"elbow_failed_open{target_group="app"} 1"#,
        r#"elbow_surge_queue_length{target_group="app"} 0"#,
        "elbow_worker_panics_total 2",
        "elbow_config_revision 7",
        "elbow_config_last_apply_success 0",
        r#"elbow_build_info{version="0.1.0",commit="abc\"def"} 1"#,
    ] {
        assert_line(&text, line);
    }
}

#[test]
fn a_series_stands_once_and_goes_with_its_target() {
    // "b" moved to another address: its old self is leaving, its new self speaks for it.
    let old = member(2, "b", TargetState::Draining);
    let new = member(3, "b", TargetState::Initial);
    old.backend.metrics.answered(0, CodeClass::of(200));
    for members in [vec![old.clone(), new.clone()], vec![new, old]] {
        let text = render(&snapshot(members), &telemetry(), true);
        let series: Vec<_> = text.lines().filter_map(|line| line.rsplit_once(' ')).map(|(series, _)| series).collect();
        let distinct: std::collections::HashSet<_> = series.iter().collect();
        assert_eq!(series.len(), distinct.len(), "{text}");
        assert_line(&text, r#"elbow_target_requests_total{target_group="app",target="b",code_class="2xx"} 0"#);
        assert_line(&text, r#"elbow_targets{target_group="app",state="draining"} 1"#);
        assert!(!text.contains(r#"target="a""#));
    }
}

#[test]
fn process_metrics_are_those_of_this_process() {
    let text = render(&three_targets(), &telemetry(), true);
    let value = |name: &str| -> f64 {
        let line = text.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap();
        line.rsplit_once(' ').unwrap().1.parse().unwrap()
    };
    assert!(value("process_resident_memory_bytes") > 1e6);
    assert!(value("process_virtual_memory_bytes") >= value("process_resident_memory_bytes"));
    assert!(value("process_open_fds") >= 3.0 && value("process_max_fds") >= value("process_open_fds"));
    assert!(value("process_threads") >= 2.0);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64();
    assert!((now - value("process_start_time_seconds")).abs() < 600.0, "{}", value("process_start_time_seconds"));
}

#[test]
fn ten_thousand_targets_render_well_under_a_second() {
    let members = (0..10_000).map(|n| member(n, &format!("i-{n:017x}"), TargetState::Healthy)).collect();
    let (snapshot, telemetry) = (snapshot(members), telemetry());
    let begun = Instant::now();
    let text = render(&snapshot, &telemetry, true);
    let took = begun.elapsed();
    assert!(text.lines().count() > 40_000);
    // Unoptimised and on a busy machine; optimised it takes some tens of milliseconds.
    assert!(took < Duration::from_secs(5), "{took:?}");
    println!("rendered {} bytes in {took:?}", text.len());
}
