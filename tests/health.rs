//! Health checks that can be trusted: when a target takes traffic, what turns the verdict, and what keeps it.

use std::time::Instant;

use crate::harness::*;

const HTTP: &str = "protocol = \"http\"\npath = \"/health\"";

fn check(keys: &str) -> String {
    format!("{HTTP}\n{keys}")
}

/// What the API says about a target.
async fn target(lb: &Lb, id: &str) -> serde_json::Value {
    let targets = lb.admin().targets("app").await;
    targets.into_iter().find(|target| target["id"] == id).unwrap_or_else(|| panic!("no target {id}"))
}

async fn wait_for_probes(upstream: &Upstream, count: usize) {
    eventually(&format!("{count} probes"), PATIENCE, async || upstream.probes().len() >= count).await;
}

#[tokio::test]
async fn a_new_target_takes_no_traffic_before_its_first_passed_check() {
    let old = Upstream::answering("old").await;
    let new = Upstream::answering("new").await;
    new.set_health(0);
    let quick = check("interval = \"10s\"\ntimeout = \"9s\"");
    let lb = Setup::targets(&[&old]).target("new", &new, "").health_check(&quick).start_cold().await;
    lb.until("app", "t0", "healthy").await;
    for _ in 0..20 {
        assert_eq!(lb.get("/").await.text(), "old");
    }
    assert_eq!(target(&lb, "new").await["state"], "initial");
    assert_eq!(new.requests(), 0);
}

#[tokio::test]
async fn checks_start_at_once_and_one_pass_is_enough_for_a_new_target() {
    let upstream = Upstream::answering("ok").await;
    let slow = check("interval = \"300s\"\ntimeout = \"5s\"\nhealthy_threshold = 10");
    let started = Instant::now();
    let lb = Setup::targets(&[&upstream]).health_check(&slow).start_cold().await;
    lb.until("app", "t0", "healthy").await;
    assert!(started.elapsed() < PATIENCE);
    assert_eq!(upstream.probes().len(), 1);
}

#[tokio::test]
async fn so_many_failures_make_it_unhealthy_and_so_many_passes_healthy_again() {
    let upstream = Upstream::answering("ok").await;
    let other = Upstream::answering("other").await;
    let keys = check("interval = \"100ms\"\ntimeout = \"90ms\"\nunhealthy_threshold = 3\nhealthy_threshold = 4");
    let lb = Setup::targets(&[&upstream, &other]).health_check(&keys).start().await;
    upstream.set_health(503);
    lb.until("app", "t0", "unhealthy").await;
    assert!(upstream.probes().len() >= 3, "{} failures were enough", upstream.probes().len());
    let shown = target(&lb, "t0").await;
    let reason = shown["reason"].as_str().unwrap();
    assert!(reason.contains("503"), "the reason names what failed: {reason}");
    assert!(shown["since"].as_str().unwrap().contains('T'), "{shown}");
    let before = upstream.requests();
    for _ in 0..10 {
        assert_eq!(lb.get("/").await.text(), "other");
    }
    assert_eq!(upstream.requests(), before);
    upstream.set_health(200);
    lb.until("app", "t0", "healthy").await;
    assert!(upstream.probes().len() >= 4, "{} passes were enough", upstream.probes().len());
}

#[tokio::test]
async fn one_opposite_result_restarts_the_count() {
    let upstream = Upstream::answering("ok").await;
    let keys = check("interval = \"100ms\"\ntimeout = \"90ms\"\nunhealthy_threshold = 3\nhealthy_threshold = 3");
    let lb = Setup::targets(&[&upstream]).health_check(&keys).start().await;
    upstream.set_health_by_number(|number| if number % 3 == 2 { 200 } else { 500 });
    while upstream.probes().len() < 12 {
        assert_eq!(target(&lb, "t0").await["state"], "healthy", "two failures in a row are not three");
        pause(ms(20)).await;
    }
    upstream.set_health(500);
    lb.until("app", "t0", "unhealthy").await;
    upstream.set_health_by_number(|number| if number % 3 == 2 { 500 } else { 200 });
    while upstream.probes().len() < 12 {
        assert_eq!(target(&lb, "t0").await["state"], "unhealthy", "two passes in a row are not three");
        pause(ms(20)).await;
    }
}

#[tokio::test]
async fn silence_refusal_and_garbage_fail_a_check_and_the_reason_says_so() {
    let mut upstream = Upstream::answering("ok").await;
    let lb = Setup::targets(&[&upstream]).quick_health_check().start().await;
    let reason = async || target(&lb, "t0").await["reason"].as_str().unwrap().to_lowercase();
    upstream.set_health(0);
    lb.until("app", "t0", "unhealthy").await;
    let silent = reason().await;
    assert!(silent.contains("90") || silent.contains("time"), "{silent}");
    upstream.set_health(200);
    lb.until("app", "t0", "healthy").await;
    upstream.stop().await;
    lb.until("app", "t0", "unhealthy").await;
    assert!(reason().await.contains("refused"), "{}", reason().await);
    upstream.start_again();
    lb.until("app", "t0", "healthy").await;
}

#[tokio::test]
async fn the_matcher_says_which_statuses_pass() {
    let upstream = Upstream::answering("ok").await;
    let keys = check("interval = \"100ms\"\ntimeout = \"90ms\"\nmatcher = \"200,301-302\"");
    let lb = Setup::targets(&[&upstream]).health_check(&keys).start().await;
    for (status, state) in
        [(204, "unhealthy"), (302, "healthy"), (303, "unhealthy"), (301, "healthy"), (500, "unhealthy")]
    {
        upstream.set_health(status);
        lb.until("app", "t0", state).await;
    }
}

#[tokio::test]
async fn a_probe_says_what_it_was_told_to_on_a_connection_of_its_own() {
    let upstream = Upstream::answering("ok").await;
    let keys =
        check("interval = \"100ms\"\ntimeout = \"90ms\"\nhost = \"check.test\"\nheaders = { X-Probe = \"yes\" }");
    let lb = Setup::targets(&[&upstream]).health_check(&keys).start().await;
    wait_for_probes(&upstream, 5).await;
    let (probes, accepted) = (upstream.probes(), upstream.accepted());
    assert_eq!((probes[0].header("host"), probes[0].header("x-probe")), (Some("check.test"), Some("yes")));
    assert!(accepted >= probes.len(), "{accepted} connections for {} probes", probes.len());
    assert!(upstream.open() <= 1, "{} connections of probes are left open", upstream.open());
    assert_eq!(lb.get("/").await.status, 200);
    assert!(lb.metric("elbow_health_probes_total", &[("target_group", "app")]).await >= 5.0);
}

#[tokio::test]
async fn without_a_host_a_probe_names_the_targets_address() {
    let upstream = Upstream::answering("ok").await;
    let _lb = Setup::targets(&[&upstream]).quick_health_check().start().await;
    assert_eq!(upstream.probes()[0].header("host"), Some(upstream.address().to_string().as_str()));
}

#[tokio::test]
async fn a_probe_may_go_to_another_port() {
    let upstream = Upstream::answering("ok").await;
    let checked = tokio::net::TcpListener::bind((upstream.address().ip(), 0)).await.unwrap();
    let port = checked.local_addr().unwrap().port();
    let keys = format!("protocol = \"tcp\"\nport = {port}\ninterval = \"100ms\"\ntimeout = \"90ms\"");
    let lb = Setup::targets(&[&upstream]).health_check(&keys).start().await;
    assert_eq!(lb.get("/").await.status, 200);
    assert_eq!(upstream.accepted(), 1, "no probe went to the traffic port");
    drop(checked);
    lb.until("app", "t0", "unhealthy").await;
    assert!(upstream.accepted() < 3);
}

#[tokio::test]
async fn a_tcp_check_passes_where_a_connection_is_accepted() {
    let mut upstream = Upstream::answering("ok").await;
    let keys = "protocol = \"tcp\"\ninterval = \"100ms\"\ntimeout = \"90ms\"";
    let lb = Setup::targets(&[&upstream]).health_check(keys).start().await;
    assert_eq!(target(&lb, "t0").await["state"], "healthy");
    upstream.stop().await;
    lb.until("app", "t0", "unhealthy").await;
    upstream.start_again();
    lb.until("app", "t0", "healthy").await;
}

#[tokio::test]
async fn checks_keep_their_interval_from_start_to_start() {
    let upstream = Upstream::answering("ok").await;
    let keys = check("interval = \"200ms\"\ntimeout = \"190ms\"\nunhealthy_threshold = 10");
    let _lb = Setup::targets(&[&upstream]).health_check(&keys).start().await;
    upstream.set_health(0);
    let started = Instant::now();
    wait_for_probes(&upstream, 15).await;
    // Each times out after 190 ms: were the interval counted from the end, 15 would take 5.8 s.
    let elapsed = started.elapsed();
    assert!(elapsed >= ms(2000), "15 probes in {elapsed:?}");
    assert!(elapsed < ms(5000), "15 probes in {elapsed:?}");
}

#[tokio::test]
async fn no_more_than_256_probes_are_under_way() {
    let upstream = Upstream::answering("ok").await;
    upstream.set_health(0);
    let targets = (0..400).fold(Setup::default(), |setup, number| setup.target(&format!("t{number}"), &upstream, ""));
    let lb = targets.health_check(&check("interval = \"30s\"\ntimeout = \"3s\"")).start_cold().await;
    eventually("256 probes", PATIENCE, async || upstream.probes().len() == 256).await;
    always("there are at most 256", ms(500), async || upstream.probes().len() <= 256).await;
    eventually("the rest of them", PATIENCE, async || upstream.probes().len() == 400).await;
    drop(lb);
}

#[tokio::test]
async fn when_all_are_unhealthy_a_group_fails_open_by_default() {
    let upstream = Upstream::answering("open").await;
    let lb = Setup::targets(&[&upstream]).quick_health_check().start().await;
    let mut events = Client::connect(lb.admin().address).await;
    events.send(lb.admin().bytes("GET", "/v1/events", "")).await;
    assert_eq!(events.response_head().await.0, 200);
    upstream.set_health(500);
    lb.until("app", "t0", "unhealthy").await;
    assert_eq!(lb.get("/").await.text(), "open");
    let group = [("target_group", "app")];
    assert_eq!(lb.metric("elbow_failed_open", &group).await, 1.0);
    eventually("the request to be counted", PATIENCE, async || {
        lb.metric("elbow_failed_open_requests_total", &group).await == 1.0
    })
    .await;
    let mut told = String::new();
    while !told.contains("open") {
        told += &String::from_utf8_lossy(&events.read_some().await.expect("events go on"));
    }
    upstream.set_health(200);
    lb.until("app", "t0", "healthy").await;
    assert_eq!(lb.metric("elbow_failed_open", &group).await, 0.0);
}

#[tokio::test]
async fn a_target_without_a_verdict_does_not_count_for_failing_open() {
    let sick = Upstream::answering("sick").await;
    let waiting = Upstream::answering("initial").await;
    sick.set_health(500);
    waiting.set_health(0);
    let keys = check("interval = \"60s\"\ntimeout = \"30s\"\nunhealthy_threshold = 1");
    let lb = Setup::targets(&[&sick, &waiting]).health_check(&keys).start_cold().await;
    lb.until("app", "t0", "unhealthy").await;
    for _ in 0..10 {
        assert_eq!(lb.get("/").await.text(), "sick");
    }
    assert_eq!(waiting.requests(), 0);
}

#[tokio::test]
async fn when_all_are_unhealthy_a_group_may_fail_closed() {
    let upstream = Upstream::answering("ok").await;
    let lb =
        Setup::targets(&[&upstream]).group("when_all_unhealthy = \"fail_closed\"").quick_health_check().start().await;
    upstream.set_health(500);
    lb.until("app", "t0", "unhealthy").await;
    let refused = lb.get("/").await;
    refused.assert_made_by_elbow(503);
    assert_eq!(refused.header("proxy-status"), Some("elbow; error=destination_unavailable"));
    assert_eq!(upstream.requests(), 0);
    upstream.set_health(200);
    lb.until("app", "t0", "healthy").await;
    assert_eq!(lb.get("/").await.status, 200);
}

#[tokio::test]
async fn requests_wait_for_the_first_verdict() {
    let upstream = Upstream::answering("ok").await;
    upstream.set_health_by_number(|number| if number == 0 { 0 } else { 200 });
    let keys = check("interval = \"1s\"\ntimeout = \"900ms\"\nunhealthy_threshold = 10");
    let lb = Setup::targets(&[&upstream]).health_check(&keys).group("initial_wait = \"15s\"").start_cold().await;
    let started = Instant::now();
    assert_eq!(lb.get("/").await.text(), "ok");
    assert!(started.elapsed() >= ms(300), "it did not wait: {:?}", started.elapsed());
}

#[tokio::test]
async fn requests_do_not_wait_longer_than_initial_wait() {
    let upstream = Upstream::answering("ok").await;
    upstream.set_health(0);
    let keys = check("interval = \"60s\"\ntimeout = \"30s\"");
    let lb = Setup::targets(&[&upstream]).health_check(&keys).group("initial_wait = \"400ms\"").start_cold().await;
    let started = Instant::now();
    lb.get("/").await.assert_made_by_elbow(503);
    assert!(started.elapsed() >= ms(300) && started.elapsed() < ms(10_000), "{:?}", started.elapsed());
}

#[tokio::test]
async fn an_empty_group_does_not_make_anybody_wait() {
    let lb = Setup::default().group("initial_wait = \"15s\"").start_cold().await;
    let started = Instant::now();
    lb.get("/").await.assert_made_by_elbow(503);
    assert!(started.elapsed() < ms(5000), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_reload_and_a_weight_keep_health_and_count() {
    let upstream = Upstream::answering("ok").await;
    let keys = check("interval = \"300s\"\ntimeout = \"5s\"");
    let setup = Setup::targets(&[&upstream]).health_check(&keys);
    let mut lb = setup.clone().start().await;
    let before = target(&lb, "t0").await;
    let heavier =
        Setup::default().target("t0", &upstream, "weight = 7").health_check(&keys).group("slow_start = \"0s\"");
    assert_eq!(lb.reload(&heavier.toml()).await.status, 200);
    let after = target(&lb, "t0").await;
    assert_eq!((&after["state"], &after["since"]), (&before["state"], &before["since"]));
    assert_eq!(after["weight"], 7);
    let body = format!("{{\"address\": \"{}\", \"weight\": 3}}", upstream.address());
    assert_eq!(lb.admin().put("/v1/target-groups/app/targets/t0", &body).await.status, 200);
    let after = target(&lb, "t0").await;
    assert_eq!((&after["state"], &after["since"], &after["weight"]), (&before["state"], &before["since"], &3.into()));
    assert_eq!(upstream.probes().len(), 1, "it was not probed anew");
}

#[tokio::test]
async fn a_reload_keeps_the_count_of_failures() {
    let upstream = Upstream::answering("ok").await;
    let keys = check("interval = \"400ms\"\ntimeout = \"390ms\"\nunhealthy_threshold = 6");
    let mut lb = Setup::targets(&[&upstream]).health_check(&keys).start().await;
    upstream.set_health(500);
    for weight in 2..=5 {
        wait_for_probes(&upstream, weight).await;
        let heavier = Setup::default().target("t0", &upstream, &format!("weight = {weight}")).health_check(&keys);
        assert_eq!(lb.reload(&heavier.toml()).await.status, 200);
    }
    lb.until("app", "t0", "unhealthy").await;
    let failures = upstream.probes().len();
    assert!((6..=8).contains(&failures), "it took {failures} failures, a reload after each of the first ones");
}

#[tokio::test]
async fn a_changed_check_keeps_the_state_and_restarts_the_count() {
    let upstream = Upstream::answering("ok").await;
    let keys = check("interval = \"300s\"\ntimeout = \"5s\"");
    let mut lb = Setup::targets(&[&upstream]).health_check(&keys).start().await;
    upstream.set_health(500);
    let changed = check("interval = \"150ms\"\ntimeout = \"140ms\"\nunhealthy_threshold = 4");
    assert_eq!(lb.reload(&Setup::targets(&[&upstream]).health_check(&changed).toml()).await.status, 200);
    assert_eq!(target(&lb, "t0").await["state"], "healthy", "the state stands");
    lb.until("app", "t0", "unhealthy").await;
    assert!(upstream.probes().len() >= 4, "after {} failures", upstream.probes().len());
}

#[tokio::test]
async fn a_changed_address_starts_clean() {
    let old = Upstream::answering("old").await;
    let new = Upstream::answering("new").await;
    new.set_health(0);
    let keys = check("interval = \"60s\"\ntimeout = \"30s\"");
    let mut lb = Setup::targets(&[&old]).health_check(&keys).start().await;
    assert_eq!(lb.reload(&Setup::targets(&[&new]).health_check(&keys).toml()).await.status, 200);
    let shown = target(&lb, "t0").await;
    assert_eq!(
        (shown["state"].as_str(), shown["address"].as_str()),
        (Some("initial"), Some(new.address().to_string().as_str()))
    );
    assert_eq!(new.requests(), 0);
}

#[tokio::test]
async fn after_a_restart_everybody_is_probed_at_once_and_nobody_is_refused() {
    let upstreams = [Upstream::answering("0").await, Upstream::answering("1").await];
    let keys = check("interval = \"300s\"\ntimeout = \"5s\"");
    let mut lb = Setup::targets(&[&upstreams[0], &upstreams[1]]).health_check(&keys).start().await;
    lb.kill9().await;
    lb.start_again().await;
    assert_eq!(lb.get("/").await.status, 200, "it waits for the first verdict");
    for upstream in &upstreams {
        wait_for_probes(upstream, 2).await;
    }
}

#[tokio::test]
async fn targets_are_counted_by_their_state() {
    let (good, bad) = (Upstream::answering("good").await, Upstream::answering("bad").await);
    bad.set_health(500);
    let lb = Setup::targets(&[&good, &bad]).quick_health_check().start_cold().await;
    lb.until("app", "t0", "healthy").await;
    lb.until("app", "t1", "unhealthy").await;
    for state in ["healthy", "unhealthy"] {
        assert_eq!(lb.metric("elbow_targets", &[("target_group", "app"), ("state", state)]).await, 1.0, "{state}");
    }
    assert_eq!(lb.metric("elbow_targets", &[("state", "initial")]).await, 0.0);
}

#[tokio::test]
async fn a_group_that_nobody_forwards_to_is_unused_and_not_probed() {
    let upstream = Upstream::answering("ok").await;
    let idle = Upstream::answering("idle").await;
    let more = format!(
        "[[target_group]]\nname = \"idle\"\n[target_group.health_check]\n{HTTP}\n\
         [[target_group.target]]\nid = \"x\"\naddress = \"{}\"\n",
        idle.address()
    );
    let lb = Setup::targets(&[&upstream]).more(&more).start().await;
    assert_eq!(lb.target_states("idle").await["x"], "unused");
    always("it is not probed", ms(300), async || idle.accepted() == 0).await;
}
