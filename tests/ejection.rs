//! Targets that fail requests: taken out for a while without a client that notices, back little by little, and never
//! so many that nobody is left. What is not the target's failure counts for nothing.

use crate::harness::*;

/// Health checks that leave a verdict alone for as long as a test lasts, and ejection after so many failures.
fn setup(setup: Setup, ejection: &str) -> Setup {
    setup
        .health_check("protocol = \"tcp\"\ninterval = \"300s\"\ntimeout = \"5s\"")
        .group("algorithm = \"round_robin\"")
        .group(&format!("ejection = {{ {ejection} }}"))
}

const LONG: &str = "failures = 3, duration = \"5m\"";

/// What the API says of a target.
async fn shown(lb: &Lb, id: &str, field: &str) -> String {
    let targets = lb.admin().targets("app").await;
    let target = targets.into_iter().find(|target| target["id"] == id).unwrap_or_else(|| panic!("no target {id}"));
    target[field].as_str().unwrap_or_else(|| panic!("no {field}: {target}")).to_owned()
}

async fn ejections(lb: &Lb) -> f64 {
    lb.metric("elbow_ejections_total", &[("target_group", "app")]).await
}

/// Sends requests, each of which must be answered, until `done` holds.
async fn serve_until(what: &str, lb: &Lb, mut done: impl AsyncFnMut() -> bool) {
    eventually(what, PATIENCE, async || {
        for _ in 0..4 {
            let response = lb.get("/").await;
            assert_eq!(response.status, 200, "{}", response.text());
        }
        done().await
    })
    .await;
}

async fn serve_until_state(lb: &Lb, id: &str, state: &str) {
    serve_until(&format!("{id} to be {state}"), lb, async || shown(lb, id, "state").await == state).await;
}

#[tokio::test]
async fn a_dead_target_is_ejected_and_no_client_notices() {
    let alive = Upstream::answering("alive").await;
    let mut dead = Upstream::answering("dead").await;
    let lb = setup(Setup::targets(&[&alive, &dead]), LONG).start().await;
    let mut events = Client::connect(lb.admin().address).await;
    events.send(lb.admin().bytes("GET", "/v1/events", "")).await;
    assert_eq!(events.response_head().await.0, 200);
    dead.stop().await;
    serve_until_state(&lb, "t1", "ejected").await;

    let reason = shown(&lb, "t1", "reason").await;
    // Three, or some more that failed until the publisher looked.
    let says = " attempts in a row failed before an answer (connection refused): takes no traffic until ";
    assert!(reason.contains(says) && reason.ends_with("Z, then a little"), "{reason}");
    assert_eq!(ejections(&lb).await, 1.0);
    let ejected = [("target_group", "app"), ("state", "ejected")];
    assert_eq!(lb.metric("elbow_targets", &ejected).await, 1.0);
    let status = String::from_utf8(lb.cli(&["status"]).await.stdout).unwrap();
    assert!(status.contains("ejected") && status.contains(&reason), "{status}");
    let is_warned = |line: &str| line.contains("WARN") && line.contains("ejected") && line.contains("in a row");
    assert!(lb.logs().lines().any(is_warned), "{}", lb.logs());
    let mut told = String::new();
    within("the event", PATIENCE, async {
        while !told.contains("\"ejected\"") || !told.contains(&reason) {
            told += &String::from_utf8_lossy(&events.read_some().await.expect("the stream goes on"));
        }
    })
    .await;

    // From the next snapshot on nobody is sent there any more.
    let errors = async || lb.metric("elbow_backend_connection_errors_total", &[]).await;
    serve_until("requests that fail nowhere", &lb, async || {
        let before = errors().await;
        for _ in 0..20 {
            assert_eq!(lb.get("/").await.text(), "alive");
        }
        errors().await == before
    })
    .await;
}

#[tokio::test]
async fn closing_and_resetting_without_an_answer_count_and_so_does_hanging() {
    let good = Upstream::answering("good").await;
    for ending in [Act::Close, Act::Reset] {
        let bad = Upstream::answering("bad").await;
        let lb = setup(Setup::targets(&[&good, &bad]), LONG).start().await;
        bad.set(move |_| vec![Act::ReadBody, ending.clone()]);
        serve_until_state(&lb, "t1", "ejected").await;
        assert!(shown(&lb, "t1", "reason").await.contains("(connection closed)"));
    }
    let mut deaf = Deaf::listening();
    let targets = Setup::targets(&[&good]).target_at("deaf", deaf.address(), "").group("connect_timeout = \"300ms\"");
    let lb = setup(targets, LONG).start().await;
    deaf.deafen().await;
    serve_until_state(&lb, "deaf", "ejected").await;
    assert!(shown(&lb, "deaf", "reason").await.contains("(connecting took too long)"));
}

#[tokio::test]
async fn who_comes_back_takes_a_little_and_then_its_full_share() {
    let steady = Upstream::answering("steady").await;
    let mut restarted = Upstream::answering("restarted").await;
    let ejection = "failures = 3, duration = \"200ms\"";
    // A tenth of its share is as much as the other has: half of all requests.
    let targets = Setup::targets(&[&steady]).target("t1", &restarted, "weight = 10");
    let lb = setup(targets, ejection).start().await;
    restarted.stop().await;
    serve_until("an ejection", &lb, async || ejections(&lb).await > 0.0).await;
    restarted.start_again();
    eventually("probation", PATIENCE, async || {
        let reason = shown(&lb, "t1", "reason").await;
        reason.ends_with("; on probation: takes a little until 5 attempts in a row are answered")
    })
    .await;
    assert_eq!(shown(&lb, "t1", "state").await, "healthy");
    let before = restarted.requests();
    serve_until("the end of probation", &lb, async || !shown(&lb, "t1", "reason").await.contains("probation")).await;
    assert!(restarted.requests() >= before + 5);
    serve_until("its full share", &lb, async || {
        let before = restarted.requests();
        for _ in 0..20 {
            lb.get("/").await;
        }
        restarted.requests() - before >= 15
    })
    .await;
}

#[tokio::test]
async fn who_fails_on_its_return_goes_again_at_once() {
    let alive = Upstream::answering("alive").await;
    let mut dead = Upstream::answering("dead").await;
    let ejection = "failures = 3, duration = \"100ms\", duration_max = \"5m\"";
    let targets = Setup::targets(&[&alive]).target("t1", &dead, "weight = 10");
    let lb = setup(targets, ejection).start().await;
    dead.stop().await;
    serve_until("three ejections", &lb, async || ejections(&lb).await >= 3.0).await;
    // It fails once, or some times more until the publisher has looked.
    serve_until("another one", &lb, async || {
        shown(&lb, "t1", "reason").await.contains(" failed before an answer (connection refused): ")
    })
    .await;
}

#[tokio::test]
async fn what_is_not_the_targets_failure_counts_for_nothing() {
    let target = Upstream::answering("ok").await;
    let mut other = Upstream::answering("ok").await;
    let keys = "failures = 1, duration = \"5m\"";
    let lb = setup(Setup::targets(&[&target, &other]), keys).group("response_timeout = \"2s\"").start().await;
    let set = |acts: Vec<Act>| {
        let again = acts.clone();
        target.set(move |_| acts.clone());
        other.set(move |_| again.clone());
    };

    // Answers of any kind.
    set(answer(503, "no"));
    for _ in 0..4 {
        assert_eq!(lb.get("/").await.status, 503);
    }
    // Answers that break off, or are none.
    set([raw("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"), vec![Act::Reset]].concat());
    for _ in 0..4 {
        let mut client = lb.connect().await;
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert!(client.try_response().await.is_err());
    }
    set([raw("HTTP/1.1 20"), vec![Act::Close]].concat());
    for _ in 0..4 {
        lb.get("/").await.assert_made_by_elbow(502);
    }
    // Silence.
    set(vec![Act::Stall]);
    let (one, another) = tokio::join!(lb.get("/"), lb.get("/"));
    [one, another].iter().for_each(|silence| silence.assert_made_by_elbow(504));
    // Clients that leave while they wait.
    set(vec![Act::Hold]);
    for count in 1..=4 {
        let mut client = lb.connect().await;
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        eventually("the request", PATIENCE, async || target.requests() + other.requests() >= 14 + count).await;
        client.reset();
    }
    eventually("the end of what they asked for", PATIENCE, async || target.gone() + other.gone() == 4).await;
    // Connections that were closed while nobody used them.
    set([answer(200, "ok"), vec![Act::Close]].concat());
    for _ in 0..10 {
        assert_eq!(lb.get("/").await.status, 200);
    }
    // WebSockets that end.
    let switching = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    for ending in [Act::Close, Act::Reset] {
        set([raw(switching), vec![ending]].concat());
        for _ in 0..2 {
            let mut client = lb.connect().await;
            let upgrade = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                           Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
            client.send(upgrade).await;
            assert_eq!(client.response().await.status, 101);
            let _ = client.rest().await;
        }
    }
    assert_eq!(ejections(&lb).await, 0.0);
    assert!(lb.target_states("app").await.values().all(|state| state == "healthy"));

    // And what is counts at once.
    set(answer(200, "ok"));
    other.stop().await;
    serve_until_state(&lb, "t1", "ejected").await;
    assert_eq!(ejections(&lb).await, 1.0);
}

#[tokio::test]
async fn an_answer_in_between_ends_the_row() {
    let target = Upstream::start(|request| match request.path() {
        "/bad" => vec![Act::ReadBody, Act::Reset],
        _ => answer(200, "ok"),
    })
    .await;
    let lb = setup(Setup::targets(&[&target]).target("other", &target, ""), LONG).one_worker().start().await;
    let post = async |path: &str| {
        let request = format!("POST {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        exchange(lb.web(), request).await.unwrap().status
    };
    for _ in 0..10 {
        // Two on each of the two, and an answer of each.
        for _ in 0..4 {
            assert_eq!(post("/bad").await, 502);
        }
        for _ in 0..2 {
            assert_eq!(post("/").await, 200);
        }
    }
    assert_eq!(ejections(&lb).await, 0.0);
}

#[tokio::test]
async fn half_of_a_group_stays_and_a_lone_target_always() {
    for (count, out) in [(1, 0), (2, 1), (3, 1), (4, 2)] {
        let mut upstreams = Vec::new();
        for _ in 0..count {
            upstreams.push(Upstream::answering("ok").await);
        }
        let lb = setup(Setup::targets(&upstreams.iter().collect::<Vec<_>>()), LONG).start().await;
        for upstream in &mut upstreams {
            upstream.stop().await;
        }
        let ejected = async || lb.metric("elbow_targets", &[("state", "ejected")]).await;
        eventually("as many out as may be", PATIENCE, async || {
            lb.get("/").await.assert_made_by_elbow(502);
            ejected().await >= f64::from(out)
        })
        .await;
        for _ in 0..30 {
            lb.get("/").await.assert_made_by_elbow(502);
        }
        assert_eq!(ejected().await, f64::from(out), "of {count}");
        // Those that stay are tried at once when they are back.
        upstreams.iter_mut().for_each(Upstream::start_again);
        assert_eq!(lb.get("/").await.status, 200);
    }
}

#[tokio::test]
async fn when_nobody_else_is_healthy_the_ejected_one_is_asked() {
    for when in ["fail_open", "fail_closed"] {
        let flaky = Upstream::start(|_| vec![Act::ReadBody, Act::Reset]).await;
        let other = Upstream::answering("other").await;
        let lb = Setup::targets(&[&flaky, &other])
            .health_check("protocol = \"http\"\npath = \"/health\"\ninterval = \"1s\"\ntimeout = \"990ms\"")
            .group(&format!("when_all_unhealthy = \"{when}\"\nejection = {{ {LONG} }}"))
            .start()
            .await;
        serve_until_state(&lb, "t0", "ejected").await;
        let before = flaky.probes().len();
        eventually("another check", PATIENCE, async || flaky.probes().len() > before + 1).await;
        assert_eq!(shown(&lb, "t0", "state").await, "ejected", "checks that pass end nothing");
        flaky.set(|_| answer(200, "flaky"));
        other.set_health(503);
        lb.until("app", "t1", "unhealthy").await;
        lb.until("app", "t0", "healthy").await;
        eventually("an answer of it", PATIENCE, async || {
            let response = lb.get("/").await;
            assert_eq!(response.status, 200, "{when}");
            response.text() == "flaky"
        })
        .await;
    }
}

#[tokio::test]
async fn its_own_clients_get_another_target_or_are_told_to_come_again() {
    for (on_unavailable, status) in [("repick", 200), ("fail", 503)] {
        let mut upstreams = [Upstream::answering("t0").await, Upstream::answering("t1").await];
        let setup = setup(Setup::targets(&[&upstreams[0], &upstreams[1]]), LONG);
        let lb = setup.group(&format!("stickiness = {{ on_unavailable = \"{on_unavailable}\" }}")).start().await;
        let first = lb.get("/").await;
        let cookie = first.header("set-cookie").and_then(|cookie| cookie.split(';').next()).unwrap().to_owned();
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: {cookie}\r\n\r\n");
        let mine = usize::from(first.text() == "t1");
        upstreams[mine].stop().await;
        eventually("the ejection", PATIENCE, async || {
            let answered = exchange(lb.web(), &request).await.unwrap().status;
            // It was dead before it was ejected.
            assert!(answered == status || (answered == 502 && on_unavailable == "fail"), "{answered}");
            shown(&lb, &format!("t{mine}"), "state").await == "ejected"
        })
        .await;
        eventually("an answer by the new snapshot", PATIENCE, async || {
            let answer = exchange(lb.web(), &request).await.unwrap();
            answer.status == status && (status != 200 || answer.header("set-cookie").is_some())
        })
        .await;
    }
}

#[tokio::test]
async fn drains_and_deregistrations_go_on_meanwhile() {
    let alive = Upstream::answering("alive").await;
    let mut dead = Upstream::answering("dead").await;
    let lb = setup(Setup::targets(&[&alive]), LONG).start().await;
    assert_eq!(lb.admin().register("app", "late", dead.address()).await.status, 201);
    lb.until("app", "late", "healthy").await;
    dead.stop().await;
    serve_until_state(&lb, "late", "ejected").await;
    for (verb, state) in [("drain", "draining"), ("undrain", "ejected")] {
        let response = lb.admin().post(&format!("/v1/target-groups/app/targets/late/{verb}"), "").await;
        assert_eq!((response.status, shown(&lb, "late", "state").await.as_str()), (200, state), "{verb}");
    }
    let left = lb.admin().delete("/v1/target-groups/app/targets/late?wait=drained&timeout=10s").await;
    assert_eq!(left.status, 200, "{}", left.text());
    // Registered again it is a new one.
    dead.start_again();
    lb.admin().register("app", "late", dead.address()).await;
    lb.until("app", "late", "healthy").await;
    assert!(!shown(&lb, "late", "reason").await.contains("probation"));
}

#[tokio::test]
async fn the_api_sets_it_like_any_other_key() {
    let alive = Upstream::answering("alive").await;
    let mut dead = Upstream::answering("dead").await;
    let lb = Setup::targets(&[&alive]).start().await;
    let path = "/v1/target-groups/late";
    let group = |failures: u32| {
        format!(
            "{{\"ejection\": {{\"failures\": {failures}, \"duration\": \"1m\"}}, \
             \"health_check\": {{\"protocol\": \"tcp\", \"interval\": \"300s\"}}}}"
        )
    };
    assert_eq!(lb.admin().put(path, &group(1)).await.status, 201);
    let listener = "{\"bind\": \"127.0.0.1:0\", \"target_group\": \"late\"}";
    assert_eq!(lb.admin().put("/v1/listeners/late", listener).await.status, 201);
    let mut lb = lb;
    lb.refresh();
    for (id, upstream) in [("a", &alive), ("b", &dead)] {
        lb.admin().register("late", id, upstream.address()).await;
        lb.until("late", id, "healthy").await;
    }
    let shown = lb.admin().get(path).await.json();
    let expected = serde_json::json!({ "failures": 1, "duration": "60s", "duration_max": "300s" });
    assert_eq!(shown["ejection"], expected);
    dead.stop().await;
    let web = lb.listener("late");
    eventually("the ejection", PATIENCE, async || {
        assert_eq!(get(web, "/").await.text(), "alive");
        lb.target_states("late").await["b"] == "ejected"
    })
    .await;
    // Switched off, everybody is back.
    assert_eq!(lb.admin().put(path, &group(0)).await.status, 200);
    assert_eq!(lb.target_states("late").await["b"], "healthy");
    let refused = lb.admin().put(path, "{\"ejection\": {\"failures\": -1}}").await;
    assert_eq!((refused.status, refused.json()["pointer"].as_str()), (422, Some("/ejection/failures")));
}
