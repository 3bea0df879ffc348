//! What is live: waits, events, readiness, metrics, and how it all ends.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;

use http::Method;
use http_body_util::BodyExt;
use lb::model::{GroupName, TargetId};
use lb::state::{Backend, InFlight, Verdict};
use serde_json::{Value, json};

use crate::house::{House, eventually, within};

const TARGET: &str = "/v1/target-groups/app/targets/a";

fn target() -> Value {
    json!({"address": "127.0.0.1:80"})
}

#[tokio::test]
async fn a_wait_ends_when_the_target_is_healthy() {
    let house = House::start().await;
    let waiting = house.ask(Method::PUT, &format!("{TARGET}?wait=healthy")).json(&target());
    let waiting = tokio::spawn(waiting.send());
    eventually("a to be registered", async || house.state("app", "a").is_some()).await;
    assert!(!waiting.is_finished());
    house.observe("app", "a", Verdict::Healthy);
    let view = within("the wait to end", waiting).await.unwrap().json(201);
    assert_eq!(view["state"], "healthy");
    let again = house.ask(Method::PUT, &format!("{TARGET}?wait=healthy&timeout=5s")).json(&target());
    assert_eq!(again.send().await.json(200)["state"], "healthy");
}

#[tokio::test]
async fn a_wait_that_runs_out_answers_with_the_present_state_and_the_change_stands() {
    let house = House::start().await;
    let answer = house.put(&format!("{TARGET}?wait=healthy&timeout=50ms"), &target()).await;
    let problem = answer.problem(504);
    assert_eq!((&problem["target"]["id"], &problem["target"]["state"]), (&json!("a"), &json!("initial")));
    assert_eq!(house.get(TARGET).await.json(200)["state"], "initial");
}

#[tokio::test]
async fn a_wait_for_a_target_that_goes_is_told_so() {
    let house = House::start().await;
    let waiting = tokio::spawn(house.ask(Method::PUT, &format!("{TARGET}?wait=healthy")).json(&target()).send());
    eventually("a to be registered", async || house.state("app", "a").is_some()).await;
    house.delete(TARGET).await.json(202);
    within("the wait to end", waiting).await.unwrap().problem(409);
}

#[tokio::test]
async fn deregistering_waits_for_what_is_in_flight() {
    let house = House::start().await;
    let (backend, work) = busy(&house).await;
    let waiting = tokio::spawn(house.ask(Method::DELETE, &format!("{TARGET}?wait=drained")).send());
    eventually("a to be leaving", async || backend.begin(0).is_none()).await;
    assert!(!waiting.is_finished());
    drop(work);
    let left = within("the wait to end", waiting).await.unwrap().json(200);
    assert_eq!(left, json!({"target_group": "app", "id": "a", "left": true}));
    house.get(TARGET).await.problem(404);
}

#[tokio::test]
async fn a_target_that_is_leaving_goes_on_to_do_so() {
    let house = House::start().await;
    let (_backend, _work) = busy(&house).await;
    for _ in 0..2 {
        let problem = house.delete(&format!("{TARGET}?wait=drained&timeout=50ms")).await.problem(504);
        assert_eq!((&problem["target"]["state"], &problem["target"]["in_flight"]), (&json!("draining"), &json!(1)));
    }
    assert_eq!(house.delete(TARGET).await.json(202)["state"], "draining");
}

/// Registers the target, with something in flight at it.
async fn busy(house: &House) -> (Arc<Backend>, InFlight) {
    house.put(TARGET, &target()).await.json(201);
    let (group, id) = (GroupName::parse("app").unwrap(), TargetId::parse("a").unwrap());
    let backend = Arc::clone(&house.live.load().member(&group, &id).unwrap().backend);
    let work = backend.begin(0).unwrap();
    (backend, work)
}

#[tokio::test]
async fn registering_again_cancels_a_wait_for_leaving() {
    let house = House::start().await;
    let (backend, _work) = busy(&house).await;
    let waiting = tokio::spawn(house.ask(Method::DELETE, &format!("{TARGET}?wait=drained")).send());
    eventually("a to be leaving", async || backend.begin(0).is_none()).await;
    house.put(TARGET, &target()).await.json(201);
    within("the wait to end", waiting).await.unwrap().problem(409);
}

/// Events of an open stream, one `event`, `data` pair at a time.
struct Events {
    body: hyper::body::Incoming,
    unread: String,
}

impl Events {
    async fn open(house: &House) -> Self {
        let response = house.ask(Method::GET, "/v1/events").open().await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut events = Self { body: response.into_body(), unread: String::new() };
        let first = within("the first comment", events.block()).await.unwrap();
        assert!(first.starts_with(':'), "{first}");
        events
    }

    /// The next block of lines; none at the end of the stream.
    async fn block(&mut self) -> Option<String> {
        loop {
            if let Some((block, rest)) = self.unread.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.unread = rest;
                return Some(block);
            }
            let data = self.body.frame().await?.unwrap().into_data().unwrap();
            self.unread.push_str(std::str::from_utf8(&data).unwrap());
        }
    }

    async fn next(&mut self) -> (String, Value) {
        let block = within("an event", self.block()).await.unwrap();
        let field = |name: &str| {
            let line = block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.unwrap_or_else(|| panic!("{name} is missing from {block}")).trim().to_owned()
        };
        (field("event"), serde_json::from_str(&field("data")).unwrap())
    }

    /// The next event about a target, less its time.
    async fn next_of_target(&mut self) -> Value {
        loop {
            let (name, mut data) = self.next().await;
            if name == "target" {
                assert!(data["at"].as_str().unwrap().ends_with('Z'));
                data.as_object_mut().unwrap().remove("at");
                return data;
            }
        }
    }
}

#[tokio::test]
async fn every_change_of_state_is_told_with_its_reason() {
    let house = House::start().await;
    let (mut events, mut others) = (Events::open(&house).await, Events::open(&house).await);
    house.put(TARGET, &target()).await.json(201);
    let (name, data) = events.next().await;
    assert_eq!(name, "config");
    assert!(data["revision"].is_u64() && data["at"].is_string(), "{data}");
    let registered = events.next_of_target().await;
    assert_eq!((&registered["target"], &registered["to"]), (&json!("a"), &json!("initial")));
    assert_eq!((registered["target_group"].as_str(), registered.get("from")), (Some("app"), None));

    house.observe("app", "a", Verdict::Unhealthy);
    let told = events.next_of_target().await;
    assert_eq!((&told["from"], &told["to"]), (&json!("initial"), &json!("unhealthy")));
    assert!(told["reason"].as_str().unwrap().contains("a test says so"), "{told}");
    house.delete(TARGET).await.json(202);
    assert_eq!(events.next_of_target().await["to"], "draining");
    let left = events.next_of_target().await;
    assert_eq!((&left["from"], left.get("to")), (&json!("draining"), None));
    assert_eq!(others.next_of_target().await["to"], "initial");
}

#[tokio::test]
async fn a_reader_that_loses_events_is_told_how_many_and_goes_on() {
    let house = House::start().await;
    let mut events = Events::open(&house).await;
    let mut state = house.get("/v1/state").await.json(200);
    let targets = (0..3000).map(|n| json!({"target_group": "app", "id": format!("t-{n}"), "address": "127.0.0.1:80"}));
    state["target"] = targets.collect();
    house.put("/v1/state", &state).await.json(200);
    let missed = loop {
        if let (name, data) = events.next().await
            && name == "lagged"
        {
            break data["missed"].as_u64().unwrap();
        }
    };
    assert!(missed > 0);
    house.observe("app", "from-file", Verdict::Healthy);
    while events.next_of_target().await["to"] != "healthy" {}
}

#[tokio::test]
async fn event_streams_are_bounded() {
    let house = House::start().await;
    let mut open = Vec::new();
    for _ in 0..64 {
        open.push(Events::open(&house).await);
    }
    house.get("/v1/events").await.problem(503);
    drop(open.pop());
    eventually("a free place", async || house.ask(Method::GET, "/v1/events").open().await.status() == 200).await;
}

#[tokio::test]
async fn readiness_is_told_with_its_reason() {
    let house = House::start().await;
    assert!(house.get("/readyz").await.problem(503)["detail"].as_str().unwrap().contains("starting"));
    house.readiness.ready();
    assert_eq!(house.get("/readyz").await.json(200), json!({"status": "ready"}));
    house.readiness.draining("TERM was received");
    let problem = house.get("/readyz").await.problem(503);
    assert!(problem["detail"].as_str().unwrap().contains("TERM was received"), "{problem}");
    assert_eq!(house.get("/healthz").await.json(200), json!({"status": "alive"}));
}

#[tokio::test]
async fn metrics_are_as_prometheus_wants_them() {
    let house = House::start().await;
    house.put(TARGET, &target()).await.json(201);
    house.observe("app", "a", Verdict::Healthy);
    let answer = house.get("/metrics").await;
    assert_eq!(answer.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    let text = answer.text();
    assert!(
        text.contains(r#"elbow_target_requests_total{target_group="app",target="a",code_class="2xx"} 0"#),
        "{text}"
    );
    promtool_is_silent(&text);
    house.delete(&format!("{TARGET}?wait=drained")).await.json(200);
    assert!(!house.get("/metrics").await.text().contains(r#"target="a""#));
}

/// Runs `promtool check metrics`. It is in Debian's package `prometheus`; where CI is set it must be there.
fn promtool_is_silent(text: &str) {
    let mut command = Command::new("promtool");
    let command =
        command.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let Ok(mut promtool) = command.spawn() else {
        assert!(std::env::var_os("CI").is_none(), "promtool is not installed");
        std::io::stderr().write_all(b"SKIPPED: promtool is not installed\n").unwrap();
        return;
    };
    let mut stdin = promtool.stdin.take().unwrap();
    stdin.write_all(text.as_bytes()).unwrap();
    drop(stdin);
    let output = promtool.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()), "");
}

#[tokio::test]
async fn waits_and_streams_end_when_elbow_stops() {
    let mut house = House::start().await;
    let mut events = Events::open(&house).await;
    let waiting =
        tokio::spawn(house.ask(Method::PUT, &format!("{TARGET}?wait=healthy&timeout=1h")).json(&target()).send());
    eventually("a to be registered", async || house.state("app", "a").is_some()).await;
    house.stop().await.unwrap();
    within("the wait to end", waiting).await.unwrap().problem(503);
    within("the stream to end", async { while events.block().await.is_some() {} }).await;
    assert!(tokio::net::TcpStream::connect(house.address).await.is_err(), "it still listens");
}
