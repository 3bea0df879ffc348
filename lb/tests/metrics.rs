//! The exposition through its public door: what is rendered of a snapshot.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod common;

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use common::ca::Ca;
use common::{WORKERS, Want, group_name, health, healthy, id, listener, target};
use lb::model::{
    AccessLog as AccessLogSettings, AccessLogDestination, AccessLogFormat, Certificate, CertificateName,
    CertificateSource, Change, Declared, Discovery, DnsNames, Ec2Address, Ec2Discovery, Forward, Listener,
    ListenerProtocol, LoadBalancerId, LoadBalancerParts, OnUnavailable, Origin, PrivateKey, Stickiness, StickyBy,
    TargetGroup, TargetProtocol,
};
use lb::state::{Issuance, Now, Observation, Observed, Sighting, Snapshot, Verdict, compile};
use lb::telemetry::{AccessLog, Build, CodeClass, METRICS, NoncompliantClass, Telemetry, render};

fn telemetry() -> Telemetry {
    let off = AccessLogSettings { destination: AccessLogDestination::Off, format: AccessLogFormat::Json };
    let (access_log, thread) = AccessLog::start(&off).unwrap();
    assert!(thread.stop(Duration::from_secs(5)));
    Telemetry::new(WORKERS, access_log, Build { version: "0.1.0", commit: "abc\"def" })
}

/// Two listeners in front of one group with sticky clients, by two forwards: two pools over the same targets and
/// counters. And one over TLS.
fn want() -> Want {
    let other_port = Forward { port: Some(8080), ..Forward::to(group_name("app")) };
    let stickiness = Stickiness::new(StickyBy::SourceIp, OnUnavailable::Repick);
    let want = Want::new().listener("web", "app").set("app", |group| group.stickiness = Some(stickiness));
    let want = want.secure_listener("secure", "app", &Ca::new("CA").issue(&["a.example"]));
    want.with(&Change::PutListener(Origin::Api, listener("web-8080", other_port)))
}

fn compiled(want: &Want, observed: &Observed, previous: Option<&Snapshot>) -> Snapshot {
    compile(&want.wanted(), observed, previous, Now { instant: Instant::now(), wall: SystemTime::now() })
}

fn three_targets() -> Snapshot {
    let want =
        want().target("app", "a", "127.0.0.1:1").target("app", "b", "127.0.0.1:2").target("app", "c", "127.0.0.1:3");
    let mut observed = Observed::default();
    let first = compiled(&want, &observed, None);
    for (target, health) in [("a", healthy()), ("b", health(Verdict::Unhealthy)), ("c", healthy())] {
        let backend = first.member(&group_name("app"), &id(target)).unwrap().backend.id;
        observed.take_in(Observation::Health(backend, health));
    }
    compiled(&want, &observed, Some(&first))
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

fn discovery() -> Discovery {
    Discovery::Ec2(Ec2Discovery {
        tags: [("role".into(), vec!["db".into()])].into(),
        asg: None,
        region: None,
        address: Ec2Address::Private,
        port: Some(80),
        port_tag: None,
        weight_tag: None,
        interval: Duration::from_secs(15),
        complete_lifecycle_action: None,
        set_instance_health: false,
    })
}

/// One of the ELB API, of this account.
fn load_balancer(account: &str) -> Change {
    let id = LoadBalancerId { account: account.into(), region: "here".into(), name: "shop".into() };
    let group = format!("shop-{account}");
    let parts = LoadBalancerParts {
        target_group: TargetGroup::new(group_name(&group)),
        targets: vec![target("i-1", "10.0.0.1:80", 1)],
        listeners: vec![listener(&format!("{group}:80"), Forward::to(group_name(&group)))],
    };
    Change::PutLoadBalancer(id, parts, "{}".into())
}

#[test]
fn load_balancers_of_one_name_have_series_of_their_own() {
    let want = Want::new().with(&load_balancer("1")).with(&load_balancer("2"));
    let text = render(&compiled(&want, &Observed::default(), None), &telemetry(), true);
    for account in ["1", "2"] {
        let labels = format!(r#"account="{account}",region="here",load_balancer="shop""#);
        assert_line(&text, &format!("elbow_elb_request_count_total{{{labels}}} 0"));
        assert_line(&text, &format!("elbow_elb_unhealthy_hosts{{{labels}}} 1"));
        assert_line(&text, &format!("elbow_elb_http_code_backend_total{{{labels},code_class=\"2XX\"}} 0"));
    }
    assert!(!text.contains("code_class=\"1XX\""), "CloudWatch has no such figure");
}

#[test]
fn every_metric_has_samples_and_promtool_is_silent() {
    let raw = Listener { protocol: ListenerProtocol::Tcp, ..listener("raw", Forward::to(group_name("db"))) };
    let streams = Want::new().group("db").set("db", |group| group.protocol = TargetProtocol::Tls);
    let streams = streams.with(&Change::PutListener(Origin::Api, raw)).target("db", "a", "127.0.0.1:1");
    let text = render(&three_targets(), &telemetry(), true);
    let streams = streams.with(&load_balancer("1")).with(&load_balancer("2"));
    let name = CertificateName::parse("automatic").unwrap();
    let source = CertificateSource::Acme(DnsNames::parse(["shop.example"]).unwrap());
    let (chain, key) = ("".into(), PrivateKey::new(""));
    let automatic = Certificate { name: name.clone(), arn: None, source, chain, key };
    let streams = streams.with(&Change::PutCertificate(Origin::File, automatic));
    let mut observed = Observed::default();
    observed.take_in(Observation::Issuance(name, Issuance::default()));
    let streams = streams.set("db", |group| group.discovery = Some(discovery()));
    let sighting = Sighting { last_success_at: Some(SystemTime::UNIX_EPOCH), ..Sighting::none(Origin::Ec2) };
    observed.take_in(Observation::Sighting(group_name("db"), sighting));
    let text_of_streams = render(&compiled(&streams, &observed, None), &telemetry(), true);
    for metric in METRICS {
        let sample = |line: &str| line.starts_with(metric.name) && !line.starts_with('#');
        let text = [&text, &text_of_streams].into_iter().find(|text| text.lines().any(sample));
        let text = text.unwrap_or_else(|| panic!("{} has no sample", metric.name));
        assert_line(text, &format!("# HELP {} {}", metric.name, metric.help));
    }
    for text in [&text, &text_of_streams] {
        if let Some(said) = promtool_says(text) {
            assert_eq!(said, "");
        }
    }
}

#[test]
fn workers_are_added_up() {
    let (snapshot, telemetry) = (three_targets(), telemetry());
    let frontend = &snapshot.frontends["web"];
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
        r#"elbow_failed_open{target_group="app"} 0"#,
        r#"elbow_surge_queue_length{target_group="app"} 0"#,
        "elbow_worker_panics_total 2",
        &format!("elbow_config_revision {}", snapshot.config.revision),
        "elbow_config_last_apply_success 0",
        r#"elbow_build_info{version="0.1.0",commit="abc\"def"} 1"#,
    ] {
        assert_line(&text, line);
    }
}

#[test]
fn a_series_stands_once_and_goes_with_its_target() {
    let want = want().target("app", "a", "127.0.0.1:1").target("app", "b", "127.0.0.1:2");
    let before = compiled(&want, &Observed::default(), None);
    let old = Arc::clone(&before.member(&group_name("app"), &id("b")).unwrap().backend);
    old.metrics.answered(0, CodeClass::of(200));
    let _work = old.begin(0);

    // "b" moves to another address: its old self is leaving, its new self speaks for it. "a" has left.
    let moved = want.without("app", "a").target("app", "b", "127.0.0.1:3");
    let after = compiled(&moved, &Observed::default(), Some(&before));
    let left = Arc::clone(&before.member(&group_name("app"), &id("a")).unwrap().backend);
    let mut observed = Observed::default();
    observed.take_in(Observation::Drained(left.id));
    let after = compiled(&moved, &observed, Some(&after));

    let text = render(&after, &telemetry(), true);
    let series: Vec<_> = text.lines().filter_map(|line| line.rsplit_once(' ')).map(|(series, _)| series).collect();
    let distinct: std::collections::HashSet<_> = series.iter().collect();
    assert_eq!(series.len(), distinct.len(), "{text}");
    assert_line(&text, r#"elbow_target_requests_total{target_group="app",target="b",code_class="2xx"} 0"#);
    assert_line(&text, r#"elbow_targets{target_group="app",state="draining"} 1"#);
    assert!(!text.contains(r#"target="a""#), "{text}");
}

#[test]
fn a_group_that_fails_open_says_so() {
    let want = want().target("app", "a", "127.0.0.1:1");
    let first = compiled(&want, &Observed::default(), None);
    let mut observed = Observed::default();
    let backend = first.member(&group_name("app"), &id("a")).unwrap().backend.id;
    observed.take_in(Observation::Health(backend, health(Verdict::Unhealthy)));
    let text = render(&compiled(&want, &observed, Some(&first)), &telemetry(), true);
    assert_line(&text, r#"elbow_failed_open{target_group="app"} 1"#);
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
    let mut want = want();
    let targets = (0..10_000).map(|n| (group_name("app"), common::target(&format!("i-{n:017x}"), "127.0.0.1:1", 1)));
    let declared = Declared { targets: targets.collect(), ..Declared::default() };
    want.apply(&Change::Declare(Origin::File, declared));
    let (snapshot, telemetry) = (compiled(&want, &Observed::default(), None), telemetry());
    let begun = Instant::now();
    let text = render(&snapshot, &telemetry, true);
    let took = begun.elapsed();
    assert!(text.lines().count() > 40_000);
    // Unoptimised and on a busy machine; optimised it takes some tens of milliseconds.
    assert!(took < Duration::from_secs(5), "{took:?}");
    println!("rendered {} bytes in {took:?}", text.len());
}
