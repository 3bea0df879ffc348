//! What elbow counts, and that Prometheus likes how it says so.

use std::process::Stdio;

use tokio::io::AsyncWriteExt;

use crate::harness::*;

/// Every metric that users rely on, with the labels it carries.
const PROMISED: &[(&str, &[&str])] = &[
    ("elbow_requests_total", &["listener", "target_group", "code_class"]),
    ("elbow_request_duration_seconds_bucket", &["listener", "target_group", "le"]),
    ("elbow_target_response_seconds_bucket", &["target_group", "le"]),
    ("elbow_lb_responses_total", &["listener", "code"]),
    ("elbow_target_requests_total", &["target_group", "target", "code_class"]),
    ("elbow_targets", &["target_group", "state"]),
    ("elbow_connections_open", &["listener"]),
    ("elbow_connections_total", &["listener"]),
    ("elbow_backend_connection_errors_total", &["target_group"]),
    ("elbow_retries_total", &["target_group", "result"]),
    ("elbow_surge_queue_length", &["target_group"]),
    ("elbow_spillover_total", &["target_group"]),
    ("elbow_health_probes_total", &["target_group", "result"]),
    ("elbow_ejections_total", &["target_group"]),
    ("elbow_received_bytes_total", &["listener"]),
    ("elbow_sent_bytes_total", &["listener"]),
    ("elbow_noncompliant_requests_total", &["listener", "class"]),
    ("elbow_config_revision", &[]),
    ("elbow_config_last_apply_success", &[]),
    ("elbow_build_info", &["version", "commit"]),
    ("process_resident_memory_bytes", &[]),
    ("process_open_fds", &[]),
    ("process_cpu_seconds_total", &[]),
    ("process_start_time_seconds", &[]),
];

async fn text(lb: &Lb) -> String {
    let response = lb.admin().without_token("GET", "/metrics", &[], "").await;
    assert_eq!(response.status, 200, "open without a token");
    let kind = response.header("content-type").unwrap_or_default();
    assert!(kind.starts_with("text/plain") && kind.contains("version=0.0.4"), "{kind}");
    response.text()
}

/// Traffic of every kind: answers of each class, refusals, retries, a WebSocket.
async fn traffic(lb: &Lb, upstream: &Upstream) {
    for status in [200, 201, 302, 404, 500] {
        upstream.set(move |_| answer(status, "body"));
        assert_eq!(lb.get("/").await.status, status);
    }
    assert_eq!(exchange(lb.web(), "GET / HTTP/1.1\r\n\r\n").await.unwrap().status, 400);
    upstream.set(|_| vec![Act::ReadBody, Act::Close]);
    assert_eq!(lb.get("/").await.status, 502);
    upstream.set(|_| answer(200, "body"));
}

#[tokio::test]
async fn promtool_finds_nothing_to_say() {
    let upstream = Upstream::answering("ok").await;
    let lb = Setup::targets(&[&upstream]).start().await;
    for round in 0..2 {
        if round == 1 {
            traffic(&lb, &upstream).await;
        }
        let mut promtool = tokio::process::Command::new("promtool");
        promtool.args(["check", "metrics"]).kill_on_drop(true);
        promtool.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut promtool = promtool.spawn().expect("promtool is installed (tests/run does that)");
        let mut input = promtool.stdin.take().unwrap();
        input.write_all(text(&lb).await.as_bytes()).await.unwrap();
        drop(input);
        let output = within("promtool", PATIENCE, promtool.wait_with_output()).await.unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.trim().is_empty(), "{said}");
    }
}

#[tokio::test]
async fn every_promised_metric_is_there_with_its_labels() {
    let upstream = Upstream::answering("ok").await;
    let lb = Setup::targets(&[&upstream]).start().await;
    traffic(&lb, &upstream).await;
    let text = text(&lb).await;
    for (name, labels) in PROMISED {
        let series = text.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])));
        let series = series.unwrap_or_else(|| panic!("{name} is missing in\n{text}"));
        let given = series.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map_or("", |(labels, _)| labels);
        let mut given: Vec<_> =
            given.split(',').filter_map(|pair| pair.split_once('=')).map(|(label, _)| label).collect();
        given.sort_unstable();
        let mut wanted = labels.to_vec();
        wanted.sort_unstable();
        assert_eq!(given, wanted, "{series}");
    }
}

#[tokio::test]
async fn requests_are_counted_by_listener_group_target_and_class() {
    let upstream = Upstream::answering("ok").await;
    let lb = Setup::targets(&[&upstream]).start().await;
    traffic(&lb, &upstream).await;
    let by_class =
        async |name: &str, class: &str| lb.metric(name, &[("target_group", "app"), ("code_class", class)]).await;
    // The last count may be written a moment after the answer was read.
    eventually("the last request to be counted", PATIENCE, async || {
        by_class("elbow_requests_total", "5xx").await == 2.0
    })
    .await;
    for (class, requests, answers) in [("2xx", 2.0, 2.0), ("3xx", 1.0, 1.0), ("4xx", 2.0, 1.0), ("5xx", 2.0, 1.0)] {
        assert_eq!(by_class("elbow_requests_total", class).await, requests, "{class}");
        assert_eq!(by_class("elbow_target_requests_total", class).await, answers, "{class} of the target");
    }
    let made = async |code: &str| lb.metric("elbow_lb_responses_total", &[("listener", "web"), ("code", code)]).await;
    assert_eq!((made("400").await, made("502").await, made("500").await), (1.0, 1.0, 0.0));
    assert_eq!(lb.metric("elbow_retries_total", &[("result", "failure")]).await, 1.0);
    assert_eq!(lb.metric("elbow_connections_total", &[("listener", "web")]).await, 7.0);
    assert_eq!(lb.metric("elbow_request_duration_seconds_count", &[("listener", "web")]).await, 7.0);
    assert_eq!(lb.metric("elbow_target_response_seconds_count", &[("target_group", "app")]).await, 5.0);
}

#[tokio::test]
async fn histograms_reach_from_half_a_millisecond_to_a_minute() {
    let upstream = Upstream::start(|_| [vec![Act::Wait(ms(30))], answer(200, "ok")].concat()).await;
    let lb = Setup::targets(&[&upstream]).start().await;
    assert_eq!(lb.get("/").await.status, 200);
    let name = "elbow_target_response_seconds_bucket";
    eventually("the request to be counted", PATIENCE, async || lb.metric(name, &[("le", "60")]).await == 1.0).await;
    assert_eq!(lb.metric(name, &[("le", "0.0005")]).await, 0.0);
    assert_eq!(lb.metric(name, &[("le", "+Inf")]).await, 1.0);
    let sum = lb.metric("elbow_target_response_seconds_sum", &[]).await;
    assert!((0.029..10.0).contains(&sum), "{sum}");
}

#[tokio::test]
async fn bytes_and_open_connections_are_counted() {
    let upstream = Upstream::answering("0123456789").await;
    let lb = Setup::targets(&[&upstream]).start().await;
    let web = [("listener", "web")];
    let mut client = lb.connect().await;
    let response = client.get("/").await;
    let sent = response.head.raw.len() + response.body.len();
    eventually("the bytes to be counted", PATIENCE, async || {
        lb.metric("elbow_sent_bytes_total", &web).await == sent as f64
    })
    .await;
    let request = "GET / HTTP/1.1\r\nHost: example.test\r\n\r\n".len();
    assert_eq!(lb.metric("elbow_received_bytes_total", &web).await, request as f64);
    assert_eq!(lb.metric("elbow_connections_open", &web).await, 1.0);
    drop(client);
    eventually("no connection open", PATIENCE, async || lb.metric("elbow_connections_open", &web).await == 0.0).await;
}

#[tokio::test]
async fn a_targets_series_go_with_it() {
    let upstream = Upstream::answering("ok").await;
    let lb = Setup::default().start_cold().await;
    lb.admin().register("app", "passing", upstream.address()).await;
    lb.until("app", "passing", "healthy").await;
    assert_eq!(lb.get("/").await.status, 200);
    eventually("its series", PATIENCE, async || text(&lb).await.contains("target=\"passing\"")).await;
    let path = "/v1/target-groups/app/targets/passing?wait=drained&timeout=10s";
    assert_eq!(lb.admin().delete(path).await.status, 200);
    eventually("its series to go", PATIENCE, async || !text(&lb).await.contains("target=\"passing\"")).await;
    assert_eq!(lb.metric("elbow_requests_total", &[("target_group", "app")]).await, 1.0, "the group's stay");
}

#[tokio::test]
async fn clients_cannot_make_series() {
    let upstream = Upstream::start(|_| answer(599, "")).await;
    let lb = Setup::targets(&[&upstream]).start().await;
    let count = async || text(&lb).await.lines().filter(|line| !line.starts_with('#')).count();
    let _ = lb.get("/").await;
    let before = count().await;
    for number in 0..50 {
        let request = format!("METHOD{number} /{number} HTTP/1.1\r\nHost: host{number}\r\nX-{number}: 1\r\n\r\n");
        let _ = exchange(lb.web(), request).await;
    }
    assert_eq!(count().await, before);
}

#[tokio::test]
async fn the_revision_moves_with_each_change() {
    let upstream = Upstream::answering("ok").await;
    let lb = Setup::default().start_cold().await;
    let before = lb.metric("elbow_config_revision", &[]).await;
    lb.admin().register("app", "x", upstream.address()).await;
    assert_eq!(lb.metric("elbow_config_revision", &[]).await, before + 1.0);
}
