//! `explain`: why a request went where it went, held to what clients and targets saw of it themselves.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;

use futures_util::future::join_all;
use serde_json::Value;

use crate::harness::*;

const CALLERS: usize = 25;
const REQUESTS_PER_CALLER: usize = 400;
const EXPLAINERS: usize = 4;

const EARLY_HINTS: &str = "HTTP/1.1 103 Early Hints\r\n\r\n";
const SWITCHING: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
const REFUSED: &str = "the target refused the connection";

/// A listener of its own name before a group of its own name.
fn another(name: &str, keys: &str, targets: &[(&str, &Upstream)]) -> String {
    let mut tables = format!(
        "[[listener]]\nname = \"{name}\"\nbind = \"127.0.0.1:0\"\ntarget_group = \"{name}\"\n\
         [[target_group]]\nname = \"{name}\"\n{keys}\n"
    );
    for (id, upstream) in targets {
        tables += &format!("[[target_group.target]]\nid = \"{id}\"\naddress = \"{}\"\n", upstream.address());
    }
    tables
}

/// A target that does what the path says.
async fn obliging(resets_flaky: bool) -> Upstream {
    Upstream::start(move |request| match request.path() {
        "/stall" => vec![Act::ReadBody, Act::Write(EARLY_HINTS.into()), Act::Hold],
        "/socket" => vec![Act::Write(SWITCHING.into()), Act::Hold],
        "/flaky" if resets_flaky => vec![Act::Reset],
        "/missing" => answer(404, "no"),
        "/broken" => answer(500, "alas"),
        _ => answer(200, "ok"),
    })
    .await
}

/// What a client knows of a request it has made.
#[derive(Debug)]
struct Made {
    id: String,
    listener: &'static str,
    method: &'static str,
    path: &'static str,
    status: Option<u16>,
    /// Whether it showed a cookie, where the group is sticky.
    was_bound: Option<bool>,
}

/// A client with a connection to each listener and a jar for one cookie.
struct Caller<'a> {
    number: usize,
    lb: &'a Lb,
    kept: HashMap<&'static str, Client>,
    cookie: Option<String>,
}

impl Caller<'_> {
    async fn calls(mut self) -> Vec<Made> {
        let mut made = Vec::new();
        for number in 0..REQUESTS_PER_CALLER {
            let (listener, method, path) = match number % 20 {
                0..=5 => ("web", "GET", "/"),
                6 | 7 => ("web", "POST", "/"),
                8 | 9 => ("two", "GET", "/flaky"),
                10 => ("two", "POST", "/flaky"),
                11..=13 => ("sticky", "GET", "/"),
                14 => ("hash", "GET", "/missing"),
                15 => ("hash", "POST", "/broken"),
                16 => ("empty", "GET", "/"),
                17 => ("two", "GET", "/socket"),
                18 => ("web", "POST", "/stall"),
                _ => ("ewma", "GET", "/"),
            };
            made.push(self.call(number, listener, method, path).await);
        }
        made
    }

    async fn call(&mut self, number: usize, listener: &'static str, method: &'static str, path: &'static str) -> Made {
        // Half of the ids are ours, the others are made by elbow. Who leaves without an answer has to know it.
        let given = (number.is_multiple_of(2) || path == "/stall").then(|| format!("call-{}-{number}", self.number));
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: a\r\nX-Key: {}\r\n", self.number % 7);
        given.iter().for_each(|id| head += &format!("X-Request-Id: {id}\r\n"));
        let sent_cookie = self.cookie.clone().filter(|_| listener == "sticky");
        sent_cookie.iter().for_each(|cookie| head += &format!("Cookie: {cookie}\r\n"));
        head += if path == "/socket" { UPGRADE } else { "" };
        head += if method == "POST" { "Content-Length: 4\r\n\r\nbody" } else { "\r\n" };
        let mut client = match self.kept.remove(listener) {
            Some(client) => client,
            None => Client::connect(self.lb.listener(listener)).await,
        };
        client.send(head).await;
        let response = client.response_to(method).await;
        let was_bound = (listener == "sticky").then_some(sent_cookie.is_some());
        if path == "/stall" {
            assert_eq!(response.status, 103);
            client.reset();
            return Made { id: given.unwrap(), listener, method, path, status: None, was_bound };
        }
        let id = response.header("x-request-id").unwrap().to_owned();
        assert!(given.is_none_or(|given| given == id));
        if let Some(set) = response.header("set-cookie") {
            self.cookie = Some(set.split(';').next().unwrap().to_owned());
        }
        if path != "/socket" && response.header("connection") != Some("close") {
            self.kept.insert(listener, client);
        }
        Made { id, listener, method, path, status: Some(response.status), was_bound }
    }
}

/// Asks on a kept connection of the admin API.
struct Asker {
    admin: Admin,
    client: Client,
}

impl Asker {
    async fn of(lb: &Lb) -> Self {
        Self { admin: lb.admin().clone(), client: Client::connect(lb.admin().address).await }
    }

    /// What is told of the one request with this id, once it has ended.
    async fn explain(&mut self, id: &str) -> Value {
        let ask = self.admin.bytes("GET", &format!("/v1/explain?request={id}"), "");
        let mut told = Value::Null;
        eventually(&format!("the end of {id}"), PATIENCE, async || {
            self.client.send(&ask).await;
            let response = self.client.response().await;
            // On a machine that is very busy a worker may take its time.
            if response.status == 504 {
                return false;
            }
            assert_eq!(response.status, 200, "{id}: {}", response.text());
            let requests = response.json();
            assert_eq!(requests.as_array().unwrap().len(), 1, "{requests:#}");
            told = requests[0].clone();
            told["end"] != "in_flight"
        })
        .await;
        told
    }
}

/// Who recorded each request, by its id.
type Recorded = BTreeMap<String, Vec<&'static str>>;

fn check(made: &Made, told: &Value, recorded: &Recorded, sizes: &HashMap<&str, usize>) {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let asked = (text(&told["listener"]), text(&told["method"]), text(&told["path"]));
    assert_eq!(asked, (Some(made.listener.into()), Some(made.method.into()), Some(made.path.into())));
    assert_eq!(told["status"].as_u64(), made.status.map(u64::from), "{made:?} {told:#}");
    let choices = told["choices"].as_array().unwrap();
    let attempts: Vec<_> = choices.iter().filter(|choice| !choice["target"].is_null()).collect();
    assert_eq!(told["attempts"], attempts.len(), "{told:#}");
    // Each target that a connection was made to has recorded the request, as often as it was tried, and no other has.
    let reached = attempts.iter().filter(|choice| choice["failure"] != REFUSED);
    let mut reached: Vec<_> = reached.map(|choice| choice["target"].as_str().unwrap()).collect();
    reached.sort_unstable();
    let recorded = recorded.get(&made.id).cloned().unwrap_or_default();
    assert_eq!(reached, recorded, "{made:?} {told:#}");
    for attempt in &attempts {
        assert_eq!(attempt["target"] == "gone", attempt["failure"] == REFUSED, "{told:#}");
    }
    // An answer of a target is the last thing that happened, with the status the client saw.
    let answered = attempts.iter().filter(|choice| choice["outcome"] == "answered").count();
    let ends_well = !matches!(made.status, None | Some(502 | 503));
    assert_eq!(answered, usize::from(ends_well), "{told:#}");
    if ends_well {
        assert_eq!(attempts.last().unwrap()["status"].as_u64(), made.status.map(u64::from), "{told:#}");
    }
    let end = match (made.path, made.status) {
        ("/socket", _) => "tunnel_closed",
        (_, None) => "client_left",
        (_, Some(502)) => "target_failed",
        (_, Some(503)) => "no_target",
        _ => "completed",
    };
    assert_eq!(told["end"], end, "{told:#}");
    for choice in choices {
        check_choice(made, choice, sizes);
    }
}

/// Every target of the group is told of exactly once, and who was chosen by the algorithm is the first it looked at.
fn check_choice(made: &Made, choice: &Value, sizes: &HashMap<&str, usize>) {
    let target = |told: &Value| told["target"].as_str().unwrap().to_owned();
    let considered: Vec<_> = choice["considered"].as_array().unwrap().iter().map(target).collect();
    let others: Vec<_> = choice["others"].as_array().unwrap().iter().map(target).collect();
    let is_bound = choice["sticky"]["decision"] == "bound";
    let mut all: Vec<_> = considered.iter().chain(&others).cloned().collect();
    all.extend(choice["target"].as_str().filter(|_| is_bound).map(str::to_owned));
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), sizes[made.listener], "{choice:#}");
    if !is_bound && !choice["target"].is_null() {
        assert_eq!(considered[0], target(choice), "{choice:#}");
    }
    let expected = made.was_bound.map(|was_bound| if was_bound { "bound" } else { "fresh" });
    assert_eq!(choice["sticky"]["decision"].as_str(), expected, "{choice:#}");
}

/// Every target, by its id.
type Targets = BTreeMap<&'static str, Upstream>;

async fn targets() -> Targets {
    let mut targets = Targets::new();
    for id in ["w0", "w1", "gone", "s0", "s1", "h0", "h1", "h2", "two0", "two1", "e0"] {
        targets.insert(id, obliging(id == "two1").await);
    }
    targets
}

/// Listeners before groups of every kind, all of whose targets are healthy and will not be looked at again for long.
async fn mixed_house(targets: &Targets) -> Lb {
    let checks = "protocol = \"http\"\npath = \"/health\"\ninterval = \"300s\"";
    let quick = format!("[target_group.health_check]\n{checks}\n");
    let never = "[target_group.ejection]\nfailures = 0\n";
    let of = |ids: &[&'static str]| ids.iter().map(|id| (*id, &targets[id])).collect::<Vec<_>>();
    let lb = Setup::default()
        .target("w0", &targets["w0"], "")
        .target("w1", &targets["w1"], "weight = 2")
        .target("gone", &targets["gone"], "")
        .group("algorithm = \"round_robin\"")
        .health_check(&format!("{checks}\n{never}"))
        .more(&another("sticky", &format!("{quick}[target_group.stickiness]\n"), &of(&["s0", "s1"])))
        .more(&another(
            "hash",
            &format!("algorithm = \"consistent_hash\"\nhash_key = \"header:X-Key\"\n{quick}"),
            &of(&["h0", "h1", "h2"]),
        ))
        .more(&another("two", &format!("algorithm = \"random_of_two\"\n{quick}{never}"), &of(&["two0", "two1"])))
        .more(&another("ewma", &format!("algorithm = \"peak_ewma\"\n{quick}"), &of(&["e0"])))
        .more(&another("empty", "", &[]))
        .start()
        .await;
    for group in ["app", "sticky", "hash", "two", "ewma"] {
        eventually(&format!("all of {group} to be healthy"), PATIENCE, async || {
            lb.target_states(group).await.values().all(|state| state == "healthy")
        })
        .await;
    }
    lb
}

/// Who recorded each request.
fn recorded(targets: &Targets) -> Recorded {
    let mut recorded = Recorded::new();
    for (id, upstream) in targets {
        for request in upstream.seen() {
            recorded.entry(request.header("x-request-id").unwrap().to_owned()).or_default().push(id);
        }
    }
    recorded
}

#[tokio::test]
async fn what_is_explained_is_what_clients_and_targets_saw_of_10_000_requests() {
    let mut targets = targets().await;
    let lb = mixed_house(&targets).await;
    // Its checks do not know for a long time.
    targets.get_mut("gone").unwrap().stop().await;

    let caller = |number| Caller { number, lb: &lb, kept: HashMap::new(), cookie: None }.calls();
    let made: Vec<Made> = join_all((0..CALLERS).map(caller)).await.into_iter().flatten().collect();
    assert_eq!(made.len(), 10_000);

    let recorded = recorded(&targets);
    let sizes = HashMap::from([("web", 3), ("sticky", 2), ("hash", 3), ("two", 2), ("ewma", 1), ("empty", 0)]);
    let explain = async |made: &[Made]| {
        let mut asker = Asker::of(&lb).await;
        for made in made {
            check(made, &asker.explain(&made.id).await, &recorded, &sizes);
        }
    };
    join_all(made.chunks(made.len() / EXPLAINERS).map(explain)).await;

    let of = |status| made.iter().filter(|made| made.status == status).count();
    for status in [Some(101), Some(200), Some(404), Some(500), Some(502), Some(503), None] {
        assert!(of(status) > 50, "only {} requests ended with {status:?}", of(status));
    }
}

/// One listener before two targets in turn.
async fn house(upstreams: [&Upstream; 2], keys: &str) -> Lb {
    let setup = Setup::targets(&upstreams).group("algorithm = \"round_robin\"").group(keys);
    setup.quick_health_check().start().await
}

#[tokio::test]
async fn a_dry_run_says_what_would_be_chosen_and_changes_nothing() {
    let (a, b) = (Upstream::answering("a").await, Upstream::answering("b").await);
    let lb = house([&a, &b], "").await;
    lb.until("app", "t0", "healthy").await;
    lb.until("app", "t1", "healthy").await;
    let dry = async || {
        let run = lb.admin().post("/v1/explain", "{\"target_group\": \"app\", \"listener\": \"web\"}").await;
        assert_eq!(run.status, 200, "{}", run.text());
        run.json()
    };
    let first = dry().await;
    for _ in 0..20 {
        let again = dry().await;
        assert_eq!(again["choice"]["target"], first["choice"]["target"], "the turn goes on: {again:#}");
        assert_eq!(again["choice"]["outcome"], "pending");
    }
    let shares: f64 = first["shares"].as_array().unwrap().iter().map(|share| share["share"].as_f64().unwrap()).sum();
    assert!((shares - 1.0).abs() < 1e-9, "{first:#}");
    assert_eq!((a.requests(), b.requests()), (0, 0));
    assert_eq!(lb.metric("elbow_target_requests_total", &[]).await, 0.0);
    assert!(lb.admin().targets("app").await.iter().all(|target| target["in_flight"] == 0));
}

#[tokio::test]
async fn a_dry_run_follows_the_cookie_of_a_client() {
    let (a, b) = (Upstream::answering("t0").await, Upstream::answering("t1").await);
    let lb = house([&a, &b], "[target_group.stickiness]").await;
    lb.until("app", "t0", "healthy").await;
    lb.until("app", "t1", "healthy").await;
    for _ in 0..4 {
        let response = lb.get("/").await;
        let cookie = response.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
        let header = format!("Cookie: {cookie}");
        let said = lb.cli(&["explain", "--dry-run", "app", "--header", &header, "--output", "json"]).await;
        assert!(said.status.success(), "{said:?}");
        let run: Value = serde_json::from_slice(&said.stdout).unwrap();
        assert_eq!(run["choice"]["target"], response.text(), "{run:#}");
        assert_eq!(run["choice"]["sticky"]["decision"], "bound");
        let said = lb.cli(&["explain", "--dry-run", "app", "--header", "Cookie: ELBOW=forged"]).await;
        assert!(String::from_utf8_lossy(&said.stdout).contains("sticky: repicked: what it showed is no binding"));
    }
}

#[tokio::test]
async fn who_was_passed_over_is_told_with_the_reason() {
    let (good, bad) = (Upstream::answering("good").await, Upstream::answering("bad").await);
    bad.set_health(500);
    let (idle, drained) = (Upstream::answering("idle").await, Upstream::answering("drained").await);
    let setup = Setup::default().target("good", &good, "").target("bad", &bad, "").target("idle", &idle, "weight = 0");
    let lb = setup.target("drained", &drained, "").quick_health_check().start().await;
    lb.until("app", "good", "healthy").await;
    lb.until("app", "bad", "unhealthy").await;
    lb.until("app", "idle", "healthy").await;
    assert!(lb.cli(&["target", "drain", "app", "drained"]).await.status.success());
    let request = "GET /cart HTTP/1.1\r\nHost: a\r\nX-Request-Id: mine\r\n\r\n";
    assert_eq!(exchange(lb.web(), request).await.unwrap().text(), "good");
    let mut said = String::new();
    eventually("its end", PATIENCE, async || {
        let output = lb.cli(&["explain", "mine"]).await;
        assert!(output.status.success(), "{output:?}");
        said = String::from_utf8(output.stdout).unwrap();
        !said.contains("in flight\n")
    })
    .await;
    assert!(said.starts_with("GET /cart, "), "{said}");
    for told in [
        "at listener web",
        "200 after ",
        "(completed), 1 attempt",
        "1. good in app (least_outstanding_requests) at ",
        "good                chosen: 0 in flight",
        "HTTP 500, expected 200-299",
        "its weight is 0",
        "drained: takes no new work but what is sticky to it",
    ] {
        assert!(said.contains(told), "{told:?} is missing in:\n{said}");
    }
}

#[tokio::test]
async fn several_requests_of_one_id_are_told_the_newest_first() {
    let upstream = Upstream::answering("ok").await;
    let lb = Setup::targets(&[&upstream]).start().await;
    let mut client = lb.connect().await;
    for number in 0..3 {
        client.send(format!("GET /{number} HTTP/1.1\r\nHost: a\r\nX-Request-Id: same\r\n\r\n")).await;
        client.response().await;
    }
    let told = lb.admin().get("/v1/explain?request=same").await.json();
    let paths: Vec<_> = told.as_array().unwrap().iter().map(|told| told["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["/2", "/1", "/0"]);
}

#[tokio::test]
async fn a_request_on_its_way_is_told_as_far_as_it_is() {
    let upstream = Upstream::start(|_| vec![Act::Hold]).await;
    let lb = Setup::targets(&[&upstream]).start().await;
    let mut client = lb.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: slow\r\n\r\n").await;
    upstream.wait_for_requests(1).await;
    let told = lb.admin().get("/v1/explain?request=slow").await.json();
    assert_eq!((&told[0]["end"], &told[0]["choices"][0]["outcome"]), (&"in_flight".into(), &"pending".into()));
    assert_eq!(told[0]["choices"][0]["target"], "t0");
}

#[tokio::test]
async fn what_is_not_remembered_or_not_allowed_is_said() {
    let lb = Setup::default().start_cold().await;
    let unknown = lb.admin().get("/v1/explain?request=unknown").await;
    assert_eq!(unknown.status, 404);
    for (method, body) in [("GET", ""), ("POST", "{\"target_group\": \"app\"}")] {
        let refused = lb.admin().without_token(method, "/v1/explain?request=a", &[], body).await;
        assert_eq!(refused.status, 401, "{method}");
    }
    let output = lb.cli(&["explain", "unknown"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no request \"unknown\" is remembered"), "{output:?}");
    assert_eq!(lb.cli(&["explain", "--dry-run", "none"]).await.status.code(), Some(1));
    for wrong in [&["explain"][..], &["explain", "id", "--dry-run", "app"], &["explain", "id", "--path", "/"]] {
        assert_eq!(lb.cli(wrong).await.status.code(), Some(2), "{wrong:?}");
    }
}

/// A choice made by targets that are long replaced says what it still knows.
#[tokio::test]
async fn what_was_replaced_often_is_forgotten_and_said_to_be() {
    let upstream = Upstream::answering("ok").await;
    let lb = Setup::targets(&[&upstream]).start().await;
    let request = "GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: old\r\n\r\n";
    assert_eq!(exchange(lb.web(), request).await.unwrap().status, 200);
    let nowhere: SocketAddr = ([127, 0, 0, 1], 1).into();
    lb.admin().register("app", "new", nowhere).await;
    let told = lb.admin().get("/v1/explain?request=old").await.json();
    assert_eq!(told[0]["choices"][0]["others"], Value::Array(Vec::new()), "there was nobody else then: {told:#}");
    for weight in 1..=40 {
        let body = format!("{{\"address\": \"{nowhere}\", \"weight\": {weight}}}");
        assert_eq!(lb.admin().put("/v1/target-groups/app/targets/new", &body).await.status, 200);
    }
    let told = lb.admin().get("/v1/explain?request=old").await.json();
    assert!(told[0]["choices"][0].get("others").is_none(), "{told:#}");
    assert_eq!(told[0]["choices"][0]["target"], "t0");
    let output = lb.cli(&["explain", "old"]).await;
    assert!(String::from_utf8_lossy(&output.stdout).contains("not remembered any more"), "{output:?}");
}
