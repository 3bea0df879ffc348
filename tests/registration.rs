//! Targets come and go through the API: what an answer promises, who owns what, and how a target leaves.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::harness::*;

const TARGETS: &str = "/v1/target-groups/app/targets";

fn body_of(upstream: &Upstream) -> String {
    format!("{{\"address\": \"{}\"}}", upstream.address())
}

/// An elbow with one target that does not change, `t0`.
async fn with_one() -> (Upstream, Lb) {
    let upstream = Upstream::answering("t0").await;
    let lb = Setup::targets(&[&upstream]).quick_health_check().group("algorithm = \"round_robin\"").start().await;
    (upstream, lb)
}

#[tokio::test]
async fn a_registered_target_takes_its_share_after_its_first_passed_check() {
    let (_upstream, lb) = with_one().await;
    let new = Upstream::answering("new").await;
    let created = lb.admin().put(&format!("{TARGETS}/new"), &body_of(&new)).await;
    assert_eq!(created.status, 201, "{}", created.text());
    let shown = created.json();
    assert_eq!((&shown["id"], &shown["owner"], &shown["weight"]), (&"new".into(), &"api".into(), &1.into()));
    lb.until("app", "new", "healthy").await;
    for _ in 0..10 {
        assert_eq!(lb.get("/").await.status, 200);
    }
    assert!((3..=7).contains(&new.requests()), "{} of 10", new.requests());
    let again = lb.admin().put(&format!("{TARGETS}/new"), &body_of(&new)).await;
    assert_eq!(again.status, 200, "registering again is an update");
}

#[tokio::test]
async fn registering_can_wait_until_it_is_healthy() {
    let (_upstream, lb) = with_one().await;
    let new = Upstream::answering("new").await;
    let path = format!("{TARGETS}/new?wait=healthy&timeout=10s");
    let created = lb.admin().put(&path, &body_of(&new)).await;
    assert_eq!((created.status, &created.json()["state"]), (201, &"healthy".into()), "{}", created.text());

    let sick = Upstream::answering("sick").await;
    sick.set_health(500);
    let started = Instant::now();
    let waited = lb.admin().put(&format!("{TARGETS}/sick?wait=healthy&timeout=500ms"), &body_of(&sick)).await;
    assert!(started.elapsed() >= ms(500), "{:?}", started.elapsed());
    assert_eq!((waited.status, waited.header("content-type")), (504, Some("application/problem+json")));
    assert!(waited.text().contains("unhealthy"), "it tells the present state: {}", waited.text());
    assert!(lb.target_states("app").await.contains_key("sick"), "the change stands");
}

#[tokio::test]
async fn no_new_work_from_the_moment_a_deregistration_is_answered() {
    let (_upstream, lb) = with_one().await;
    let leaver = Upstream::answering("leaver").await;
    for round in 0..10 {
        lb.admin().register("app", "leaver", leaver.address()).await;
        lb.until("app", "leaver", "healthy").await;
        let stop = AtomicBool::new(false);
        let traffic = async {
            let mut client = lb.connect().await;
            while !stop.load(Ordering::Relaxed) {
                assert_eq!(client.get("/").await.status, 200, "a target that leaves costs nobody anything");
            }
        };
        let leaving = async {
            let before = leaver.requests();
            eventually("traffic at the leaver", PATIENCE, async || leaver.requests() > before).await;
            let answer = lb.admin().delete(&format!("{TARGETS}/leaver")).await;
            let last = leaver.requests();
            assert_eq!(answer.status, 202, "{}", answer.text());
            for _ in 0..10 {
                assert_eq!(lb.get("/").await.text(), "t0");
            }
            stop.store(true, Ordering::Relaxed);
            // What had been sent before the answer may still have been on its way.
            assert!(leaver.requests() <= last + 1, "round {round}: {} came late", leaver.requests() - last);
        };
        tokio::join!(traffic, traffic_on_many_connections(&lb, &stop), leaving);
    }
}

async fn traffic_on_many_connections(lb: &Lb, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        assert_eq!(lb.get("/").await.status, 200);
    }
}

/// Holds one request in flight at the target `leaver`, which is the only one that takes traffic.
async fn in_flight(delay: &str) -> (Lb, Upstream, Gate, Client) {
    let gate = Gate::closed();
    let held = gate.clone();
    let leaver = Upstream::start(move |_| [vec![Act::Until(held.clone())], answer(200, "finished")].concat()).await;
    let lb =
        Setup::default().group(&format!("deregistration_delay = \"{delay}\"")).quick_health_check().start_cold().await;
    lb.admin().register("app", "leaver", leaver.address()).await;
    lb.until("app", "leaver", "healthy").await;
    let mut client = lb.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    leaver.wait_for_requests(1).await;
    (lb, leaver, gate, client)
}

#[tokio::test]
async fn what_is_in_flight_at_a_leaving_target_may_finish() {
    let (lb, _leaver, gate, mut client) = in_flight("60s").await;
    assert_eq!(lb.admin().delete(&format!("{TARGETS}/leaver")).await.status, 202);
    let shown = lb.admin().targets("app").await;
    assert_eq!((&shown[0]["state"], &shown[0]["in_flight"]), (&"draining".into(), &1.into()));
    lb.get("/").await.assert_made_by_elbow(503);
    gate.open();
    assert_eq!(client.response().await.text(), "finished");
    eventually("it to have left", PATIENCE, async || lb.admin().targets("app").await.is_empty()).await;
    let gone = lb.admin().delete(&format!("{TARGETS}/leaver")).await;
    assert_eq!(gone.status, 404);
}

#[tokio::test]
async fn what_is_in_flight_longer_than_deregistration_delay_is_cut() {
    let (lb, _leaver, _gate, mut client) = in_flight("700ms").await;
    let started = Instant::now();
    assert_eq!(lb.admin().delete(&format!("{TARGETS}/leaver")).await.status, 202);
    match client.try_response().await {
        Ok(response) => assert!(matches!(response.status, 502..=504), "{}", response.status),
        Err(broken) => assert!(matches!(broken, Broken::Closed | Broken::Truncated | Broken::Reset), "{broken:?}"),
    }
    assert!(started.elapsed() >= ms(650), "{:?}", started.elapsed());
    eventually("it to have left", PATIENCE, async || lb.admin().targets("app").await.is_empty()).await;
}

#[tokio::test]
async fn a_websocket_at_a_leaving_target_ends_with_deregistration_delay() {
    let switching = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let chat = Upstream::start(move |_| vec![Act::Write(switching.into()), Act::Echo]).await;
    let lb = Setup::default().group("deregistration_delay = \"1s\"").quick_health_check().start_cold().await;
    lb.admin().register("app", "chat", chat.address()).await;
    lb.until("app", "chat", "healthy").await;
    let mut client = lb.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n").await;
    assert_eq!(client.response().await.status, 101);
    assert_eq!(lb.admin().targets("app").await[0]["in_flight"], 1);
    let started = Instant::now();
    assert_eq!(lb.admin().delete(&format!("{TARGETS}/chat")).await.status, 202);
    client.send("still here").await;
    client.assert_reads(b"still here").await;
    client.assert_closed().await;
    assert!(started.elapsed() >= ms(950), "{:?}", started.elapsed());
    eventually("it to have left", PATIENCE, async || lb.admin().targets("app").await.is_empty()).await;
}

#[tokio::test]
async fn deregistering_can_wait_until_it_has_left() {
    let (lb, _leaver, gate, mut client) = in_flight("60s").await;
    let waited = lb.admin().delete(&format!("{TARGETS}/leaver?wait=drained&timeout=300ms")).await;
    assert_eq!(waited.status, 504, "{}", waited.text());
    assert_eq!(lb.target_states("app").await["leaver"], "draining", "the change stands");
    gate.open();
    assert_eq!(client.response().await.status, 200);

    let (lb, _leaver, gate, mut client) = in_flight("60s").await;
    let path = format!("{TARGETS}/leaver?wait=drained&timeout=15s");
    let (answer, response) = tokio::join!(lb.admin().delete(&path), async {
        pause(ms(300)).await;
        gate.open();
        client.response().await
    });
    assert_eq!((answer.status, response.status), (200, 200), "{}", answer.text());
    assert!(lb.admin().targets("app").await.is_empty());
}

#[tokio::test]
async fn registering_again_cancels_leaving() {
    let (lb, leaver, gate, mut client) = in_flight("60s").await;
    assert_eq!(lb.admin().delete(&format!("{TARGETS}/leaver")).await.status, 202);
    lb.admin().register("app", "leaver", leaver.address()).await;
    let shown = lb.admin().targets("app").await;
    assert_eq!((&shown[0]["state"], &shown[0]["in_flight"]), (&"healthy".into(), &1.into()), "it is the same target");
    gate.open();
    assert_eq!(client.response().await.text(), "finished");
    assert_eq!(lb.get("/").await.text(), "finished");
}

#[tokio::test]
async fn a_drained_target_takes_no_new_work_until_it_is_undrained() {
    let (upstream, lb) = with_one().await;
    let other = Upstream::answering("other").await;
    lb.admin().register("app", "other", other.address()).await;
    lb.until("app", "other", "healthy").await;
    let drained = lb.admin().post(&format!("{TARGETS}/t0/drain"), "").await;
    assert_eq!(drained.status, 200, "a file's target may be drained: {}", drained.text());
    assert_eq!(lb.target_states("app").await["t0"], "draining");
    let before = upstream.requests();
    for _ in 0..10 {
        assert_eq!(lb.get("/").await.text(), "other");
    }
    assert_eq!(upstream.requests(), before);
    assert_eq!(lb.admin().post(&format!("{TARGETS}/t0/undrain"), "").await.status, 200);
    assert_eq!(lb.target_states("app").await["t0"], "healthy");
    for _ in 0..10 {
        assert_eq!(lb.get("/").await.status, 200);
    }
    assert!(upstream.requests() > before);
}

#[tokio::test]
async fn what_the_api_was_told_survives_a_crash_and_a_reload() {
    let (upstream, mut lb) = with_one().await;
    let other = Upstream::answering("other").await;
    lb.admin().register("app", "other", other.address()).await;
    assert_eq!(lb.admin().post(&format!("{TARGETS}/t0/drain"), "").await.status, 200);
    let toml = lb.setup().toml();
    lb.kill9().await;
    lb.start_again().await;
    lb.until("app", "other", "healthy").await;
    assert_eq!(lb.target_states("app").await["t0"], "draining");
    assert_eq!(lb.reload(&toml).await.status, 200);
    let targets = lb.admin().targets("app").await;
    let owners: Vec<_> =
        targets.iter().map(|target| (target["id"].as_str().unwrap(), target["owner"].as_str().unwrap())).collect();
    assert_eq!(owners, [("other", "api"), ("t0", "file")]);
    assert_eq!(lb.target_states("app").await["t0"], "draining", "it stands until the file's entry itself changes");
    let changed = Setup::default().target("t0", &upstream, "weight = 2").quick_health_check();
    assert_eq!(lb.reload(&changed.toml()).await.status, 200);
    lb.until("app", "t0", "healthy").await;
}

#[tokio::test]
async fn what_the_file_declares_belongs_to_the_file() {
    let (upstream, lb) = with_one().await;
    let other = Upstream::answering("other").await;
    let refused = [
        lb.admin().put(&format!("{TARGETS}/t0"), &body_of(&other)).await,
        lb.admin().delete(&format!("{TARGETS}/t0")).await,
        lb.admin().put("/v1/target-groups/app", "{\"algorithm\": \"round_robin\"}").await,
        lb.admin().delete("/v1/target-groups/app").await,
        lb.admin().put("/v1/listeners/web", "{\"bind\": \"127.0.0.1:0\", \"target_group\": \"app\"}").await,
        lb.admin().delete("/v1/listeners/web").await,
    ];
    for response in refused {
        assert_eq!((response.status, response.header("content-type")), (409, Some("application/problem+json")));
        assert!(response.text().contains("file"), "it says who owns it: {}", response.text());
    }
    let weighed = format!("{{\"address\": \"{}\", \"weight\": 9}}", upstream.address());
    let weighed = lb.admin().put(&format!("{TARGETS}/t0"), &weighed).await;
    assert_eq!((weighed.status, &weighed.json()["weight"]), (200, &9.into()), "the API may re-weight it");
    assert_eq!(lb.admin().targets("app").await[0]["owner"], "file");
}

#[tokio::test]
async fn a_weight_given_over_the_files_head_stands_until_the_files_entry_changes() {
    let (upstream, mut lb) = with_one().await;
    let toml = lb.setup().toml();
    let weighed = format!("{{\"address\": \"{}\", \"weight\": 9}}", upstream.address());
    assert_eq!(lb.admin().put(&format!("{TARGETS}/t0"), &weighed).await.status, 200);
    let weight = async |lb: &Lb| lb.admin().targets("app").await[0]["weight"].clone();
    assert_eq!(lb.reload(&toml).await.status, 200);
    assert_eq!(weight(&lb).await, 9, "after a reload");
    lb.kill9().await;
    lb.start_again().await;
    assert_eq!(weight(&lb).await, 9, "after a crash");
    let changed = Setup::default().target("t0", &upstream, "zone = \"z\"").quick_health_check();
    assert_eq!(lb.reload(&changed.toml()).await.status, 200);
    assert_eq!(weight(&lb).await, 1, "after the file's entry changed");
}

#[tokio::test]
async fn a_file_cannot_take_a_target_of_the_api_or_drop_its_group() {
    let (upstream, mut lb) = with_one().await;
    let other = Upstream::answering("other").await;
    lb.admin().register("app", "mine", other.address()).await;
    let toml = lb.setup().toml();
    let taking = Setup::targets(&[&upstream]).target("mine", &upstream, "").toml();
    let refused = lb.reload(&taking).await;
    assert!((400..500).contains(&refused.status) && refused.text().contains("mine"), "{}", refused.text());
    let dropping = toml.replace("\"app\"", "\"another\"");
    let refused = lb.reload(&dropping).await;
    assert!((400..500).contains(&refused.status) && refused.text().contains("mine"), "{}", refused.text());
    assert_eq!(lb.get("/").await.status, 200, "nothing changed");
    assert_eq!(lb.admin().targets("app").await.len(), 2);
}

#[tokio::test]
async fn writes_honour_if_match() {
    let (_upstream, lb) = with_one().await;
    let other = Upstream::answering("other").await;
    let path = format!("{TARGETS}/other");
    let body = body_of(&other);
    let heavier = body.replace('}', ", \"weight\": 2}");
    let put = async |etag: &str, body: &str| lb.admin().request("PUT", &path, &[("If-Match", etag)], body).await;
    assert_eq!(put("*", &body).await.status, 412, "there is nothing to match yet");
    let created = lb.admin().put(&path, &body).await;
    let first = created.header("etag").expect("every representation has an ETag").to_owned();
    let changed = put(&first, &heavier).await;
    assert_eq!(changed.status, 200, "{}", changed.text());
    let second = changed.header("etag").unwrap().to_owned();
    assert_ne!(first, second);
    let stale = put(&first, &body).await;
    assert_eq!((stale.status, stale.header("content-type")), (412, Some("application/problem+json")));
    assert_eq!(put("*", &heavier).await.status, 200);
    let stale = lb.admin().request("DELETE", &path, &[("If-Match", &first)], "").await;
    assert_eq!(stale.status, 412);
    assert_eq!(lb.admin().request("DELETE", &path, &[("If-Match", &second)], "").await.status, 202);
}

#[tokio::test]
async fn what_is_not_legal_is_refused_with_its_place() {
    let (_upstream, lb) = with_one().await;
    let put = async |id: &str, body: &str| lb.admin().put(&format!("{TARGETS}/{id}"), body).await;
    for (body, pointer) in [
        ("{}", "/address"),
        ("{\"address\": \"nonsense\"}", "/address"),
        ("{\"address\": \"127.0.0.1:0\"}", "/address"),
        ("{\"address\": \"127.0.0.1:80\", \"weight\": 1001}", "/weight"),
        ("{\"address\": \"127.0.0.1:80\", \"weight\": -1}", "/weight"),
        ("{\"address\": \"127.0.0.1:80\", \"wieght\": 1}", "/wieght"),
    ] {
        let refused = put("x", body).await;
        assert!(matches!(refused.status, 400 | 422), "{body}: {}", refused.status);
        assert_eq!(refused.header("content-type"), Some("application/problem+json"), "{body}");
        let problem = refused.json();
        assert_eq!(problem["status"], refused.status, "{problem}");
        assert!(
            problem["detail"].is_string() && problem["title"].is_string() && problem["type"].is_string(),
            "{problem}"
        );
        assert!(problem.to_string().contains(pointer), "{body}: {problem}");
    }
    for body in ["", "{", "[]", "no json"] {
        assert!(matches!(put("x", body).await.status, 400 | 415 | 422), "{body:?}");
    }
    let address = "{\"address\": \"127.0.0.1:80\"}";
    assert!(matches!(put("a%20b", address).await.status, 400 | 422));
    assert!(matches!(put(&"x".repeat(65), address).await.status, 400 | 422));
    assert_eq!(lb.admin().put("/v1/target-groups/nobody/targets/x", address).await.status, 404);
    assert_eq!(lb.admin().targets("app").await.len(), 1);
}

#[tokio::test]
async fn groups_and_listeners_are_made_and_removed_through_the_api() {
    let (_upstream, mut lb) = with_one().await;
    let new = Upstream::answering("new").await;
    let admin = lb.admin().clone();
    let group = admin.put("/v1/target-groups/extra", "{\"health_check\": {\"protocol\": \"tcp\"}}").await;
    assert_eq!(group.status, 201, "{}", group.text());
    assert_eq!(group.json()["algorithm"], "least_outstanding_requests", "defaults are shown");
    let targets = admin.put("/v1/target-groups/extra", "{\"target\": []}").await;
    assert_eq!(targets.status, 422, "{}", targets.text());
    admin.register("extra", "x", new.address()).await;
    let listener = admin.put("/v1/listeners/second", "{\"bind\": \"127.0.0.1:0\", \"target_group\": \"extra\"}").await;
    assert_eq!(listener.status, 201, "{}", listener.text());
    lb.refresh();
    assert_eq!(get(lb.listener("second"), "/").await.text(), "new", "it serves once the API has answered");
    let names: Vec<_> =
        admin.get("/v1/listeners").await.json().as_array().unwrap().iter().map(|one| one["name"].clone()).collect();
    assert_eq!(names, ["second", "web"]);

    let in_use = admin.delete("/v1/target-groups/extra").await;
    assert_eq!(in_use.status, 409, "a listener forwards to it");
    assert!(in_use.text().contains("second"), "{}", in_use.text());
    let address = lb.listener("second");
    assert!(admin.delete("/v1/listeners/second").await.status < 300);
    let refused = tokio::net::TcpStream::connect(address).await;
    assert!(refused.is_err(), "its socket is closed once the API has answered");
    assert!(admin.delete("/v1/target-groups/extra").await.status < 300);
    assert_eq!(admin.get("/v1/target-groups/extra").await.status, 404);
    let unknown = admin.put("/v1/listeners/third", "{\"bind\": \"127.0.0.1:0\", \"target_group\": \"nobody\"}").await;
    assert!((400..500).contains(&unknown.status) && unknown.text().contains("nobody"), "{}", unknown.text());
}

#[tokio::test]
async fn a_put_of_a_group_never_touches_its_targets() {
    let (_upstream, lb) = with_one().await;
    let new = Upstream::answering("new").await;
    let admin = lb.admin();
    admin.put("/v1/target-groups/extra", "{}").await;
    admin.register("extra", "x", new.address()).await;
    assert_eq!(admin.put("/v1/target-groups/extra", "{\"algorithm\": \"round_robin\"}").await.status, 200);
    assert_eq!(admin.targets("extra").await.len(), 1);
}

#[tokio::test]
async fn a_port_that_is_taken_refuses_the_listener() {
    let (upstream, lb) = with_one().await;
    let body = format!("{{\"bind\": \"{}\", \"target_group\": \"app\"}}", upstream.address());
    let refused = lb.admin().put("/v1/listeners/clash", &body).await;
    assert!((400..500).contains(&refused.status), "{} {}", refused.status, refused.text());
    assert!(refused.text().contains("in use"), "{}", refused.text());
    assert_eq!(lb.admin().get("/v1/listeners/clash").await.status, 404, "nothing was changed");
}

#[tokio::test]
async fn a_target_may_be_a_host_name() {
    let (_upstream, lb) = with_one().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let body = format!("{{\"address\": \"localhost:{port}\"}}");
    let created = lb.admin().put(&format!("{TARGETS}/named"), &body).await;
    assert_eq!(created.status, 201, "{}", created.text());
    within("a probe of localhost", PATIENCE, listener.accept()).await.unwrap();
}
