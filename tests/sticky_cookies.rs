//! A client stays at its target by a cookie: what it is given and when, what becomes of it when the target cannot take
//! it, and what the application sees.

use crate::harness::*;

const STICKY: &str = "stickiness = {}";
const OR_FAIL: &str = "stickiness = { on_unavailable = \"fail\" }";
const APPLICATION: &str = "stickiness = { type = \"app_cookie\", cookie_name = \"SID\" }";
const NAMES: [&str; 3] = ["t0", "t1", "t2"];

/// Three targets that answer with their ids.
async fn three() -> [Upstream; 3] {
    [Upstream::answering("t0").await, Upstream::answering("t1").await, Upstream::answering("t2").await]
}

fn setup(upstreams: &[Upstream], keys: &str) -> Setup {
    let ids = upstreams.iter().zip(NAMES);
    let setup = ids.fold(Setup::default(), |setup, (upstream, id)| setup.target(id, upstream, ""));
    setup.quick_health_check().group("algorithm = \"round_robin\"").group(keys)
}

/// One request on a connection of its own, with these fields.
async fn ask(lb: &Lb, fields: &str) -> Response {
    let mut client = lb.connect().await;
    ask_over(&mut client, fields).await
}

async fn ask_over(client: &mut Client, fields: &str) -> Response {
    client.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n")).await;
    client.response().await
}

/// The cookie that an answer sets, as a field of a request.
fn cookie_of(response: &Response) -> String {
    let set = response.header("set-cookie").expect("a cookie is set");
    format!("Cookie: {}\r\n", set.split(';').next().unwrap())
}

/// A cookie for a target, got as clients get theirs.
async fn cookie_for(lb: &Lb, target: &str) -> String {
    for _ in 0..30 {
        let response = ask(lb, "").await;
        if response.text() == target {
            return cookie_of(&response);
        }
    }
    panic!("{target} never got a new client");
}

/// Asserts that somebody with this cookie stays at a target, without another cookie.
async fn assert_stays(lb: &Lb, cookie: &str, target: &str) {
    for _ in 0..6 {
        let response = ask(lb, cookie).await;
        assert_eq!((response.status, response.text().as_str()), (200, target));
        assert_eq!(response.header("set-cookie"), None, "it is set on a new binding only");
    }
}

/// Asserts that somebody with this cookie gets another target, and stays there.
async fn assert_moves(lb: &Lb, cookie: &str, from: &str) {
    let response = ask(lb, cookie).await;
    assert_eq!(response.status, 200);
    assert_ne!(response.text(), from);
    assert_stays(lb, &cookie_of(&response), &response.text()).await;
}

/// Three targets that were registered over the API, which may also deregister them.
async fn registered(upstreams: &[Upstream], keys: &str) -> Lb {
    let lb = Setup::default().quick_health_check().group("algorithm = \"round_robin\"").group(keys).start_cold().await;
    for (upstream, id) in upstreams.iter().zip(NAMES) {
        lb.admin().register("app", id, upstream.address()).await;
        serves_as(&lb, id, "healthy").await;
    }
    lb
}

async fn deregister(lb: &Lb, target: &str) {
    let answer = lb.admin().delete(&format!("/v1/target-groups/app/targets/{target}")).await;
    assert!(matches!(answer.status, 200..=204), "{}", answer.text());
}

async fn drain(lb: &Lb, target: &str, action: &str) {
    let answer = lb.admin().post(&format!("/v1/target-groups/app/targets/{target}/{action}"), "").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// Waits until a target is in a state and every worker knows.
pub async fn serves_as(lb: &Lb, target: &str, state: &str) {
    lb.until("app", target, state).await;
    // A change is answered when every worker serves by it, and so by all that was before it.
    let group = format!("/v1/target-groups/{target}-was-{state}");
    assert_eq!(lb.admin().put(&group, "{}").await.status, 201);
    assert!(matches!(lb.admin().delete(&group).await.status, 200..=204));
}

async fn shown(lb: &Lb, target: &str) -> serde_json::Value {
    let targets = lb.admin().targets("app").await;
    targets.into_iter().find(|shown| shown["id"] == target).expect("registered")
}

#[tokio::test]
async fn a_client_that_shows_its_cookie_stays() {
    let upstreams = three().await;
    let lb = setup(&upstreams, STICKY).start().await;
    for name in NAMES {
        let cookie = cookie_for(&lb, name).await;
        let attributes = ask(&lb, "").await.header("set-cookie").unwrap().split_once("; ").unwrap().1.to_owned();
        assert_eq!(attributes, "Path=/; HttpOnly; SameSite=Lax");
        assert_stays(&lb, &cookie, name).await;
        assert!(!cookie.contains(&upstreams[0].address().ip().to_string()));
    }
    let bound = [("target_group", "app"), ("result", "bound")];
    assert_eq!(lb.metric("elbow_sticky_requests_total", &bound).await, 18.0);
    let length = cookie_for(&lb, "t0").await.len();
    assert_eq!(cookie_for(&lb, "t1").await.len(), length, "nothing shows in its length either");
}

#[tokio::test]
async fn clients_that_share_a_connection_do_not_share_a_target() {
    let upstreams = three().await;
    let lb = setup(&upstreams, STICKY).one_worker().start().await;
    let mut cookies = Vec::new();
    for name in NAMES {
        cookies.push((name, cookie_for(&lb, name).await));
    }
    let mut shared = lb.connect().await;
    for _ in 0..5 {
        for (name, cookie) in &cookies {
            let response = ask_over(&mut shared, cookie).await;
            assert_eq!((response.text().as_str(), response.header("set-cookie")), (*name, None));
        }
        let stranger = ask_over(&mut shared, "").await;
        assert!(stranger.header("set-cookie").is_some(), "what the last client showed is not the next one's");
    }
}

#[tokio::test]
async fn what_is_no_binding_never_reaches_the_target() {
    let upstreams = three().await;
    let lb = setup(&upstreams, STICKY).start().await;
    let good = cookie_for(&lb, "t1").await;
    let good = good.trim_start_matches("Cookie: ").trim_end();
    let mut forged = good.to_owned();
    let last = forged.pop();
    forged.push(if last == Some('A') { 'E' } else { 'A' });
    for (sent, arrives) in [
        (format!("a=1; {forged}; b=\"2;3\""), Some("a=1; b=\"2;3\"".to_owned())),
        (forged.clone(), None),
        (format!("a=1;  {good};b"), Some(format!("a=1;  {good};b"))),
        (format!("{forged}; {good}"), Some(good.to_owned())),
        ("ELBOW; ELBOW=; a=1".to_owned(), Some("a=1".to_owned())),
        (format!("ELBOW={}; a=1", "A".repeat(5_000)), Some("a=1".to_owned())),
    ] {
        let before: usize = upstreams.iter().map(Upstream::requests).sum();
        let response = ask(&lb, &format!("Cookie: {sent}\r\nX-Case: {before}\r\n")).await;
        assert_eq!(response.header("set-cookie").is_some(), !sent.contains(good), "{sent}");
        let seen: Vec<_> = upstreams.iter().flat_map(Upstream::seen).collect();
        let request = seen.iter().find(|seen| seen.header("x-case") == Some(&before.to_string())).unwrap();
        assert_eq!(request.header("cookie"), arrives.as_deref(), "{sent}");
    }
}

#[tokio::test]
async fn a_cookie_goes_with_answers_of_targets_only() {
    let upstream = Upstream::start(|request| match request.method() {
        "HEAD" => raw("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
        "PUT" => {
            raw("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 204 Fine\r\n\r\n")
        }
        "POST" => vec![Act::ReadBody, Act::Close],
        _ => raw("HTTP/1.1 404 No\r\nSet-Cookie: own=1\r\nContent-Length: 0\r\n\r\n"),
    })
    .await;
    let lb = Setup::targets(&[&upstream]).group(STICKY).start().await;
    let mut client = lb.connect().await;
    client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(client.response_to("HEAD").await.header("set-cookie").is_some());
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").await;
    for (status, cookies) in [(100, 0), (103, 0), (204, 1)] {
        let (seen, head) = client.response_head().await;
        assert_eq!((seen, head.all("set-cookie").len()), (status, cookies));
    }
    let both = client.get("/").await;
    assert_eq!((both.status, both.head.all("set-cookie").len()), (404, 2), "the application's own stays");
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").await;
    let broken = client.response().await;
    broken.assert_made_by_elbow(502);
    assert_eq!(broken.header("set-cookie"), None);
}

#[tokio::test]
async fn a_websocket_is_bound_by_its_handshake() {
    const SWITCHING: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                           Sec-WebSocket-Version: 13\r\n";
    let mut upstreams = Vec::new();
    for _ in 0..3 {
        upstreams.push(Upstream::start(|_| vec![Act::Write(SWITCHING.into()), Act::Echo]).await);
    }
    let lb = setup(&upstreams, STICKY).start().await;
    let first = ask(&lb, UPGRADE).await;
    assert_eq!(first.status, 101);
    let at = upstreams.iter().position(|upstream| upstream.requests() == 1).unwrap();
    for count in 2..6 {
        let again = ask(&lb, &format!("{UPGRADE}{}", cookie_of(&first))).await;
        assert_eq!((again.status, again.header("set-cookie")), (101, None));
        assert_eq!(upstreams[at].requests(), count);
    }
}

#[tokio::test]
async fn a_drained_target_and_one_of_weight_zero_keep_their_clients_while_they_are_well() {
    let upstreams = three().await;
    // With one worker, what one request has seen the next one sees.
    let lb = setup(&upstreams, STICKY).one_worker().start().await;
    let (mine, other) = (cookie_for(&lb, "t0").await, cookie_for(&lb, "t1").await);
    drain(&lb, "t0", "drain").await;
    let weightless = format!("{{\"address\": \"{}\", \"weight\": 0}}", upstreams[1].address());
    let answer = lb.admin().put("/v1/target-groups/app/targets/t1", &weightless).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(shown(&lb, "t0").await["sessions"], 0);
    assert_eq!(shown(&lb, "t2").await.get("sessions"), None, "it is not drained");
    assert_stays(&lb, &mine, "t0").await;
    assert_stays(&lb, &other, "t1").await;
    assert_eq!(ask(&lb, "").await.text(), "t2", "nobody else comes to them");
    assert_eq!(shown(&lb, "t0").await["sessions"], 1, "six requests of one session");
    assert_eq!(shown(&lb, "t1").await["sessions"], 1);
    let list = lb.cli(&["target", "list"]).await;
    assert!(String::from_utf8_lossy(&list.stdout).contains("SESSIONS"));
    upstreams[0].set_health(500);
    eventually("a drained target that is not well to lose its clients", PATIENCE, async || {
        ask(&lb, &mine).await.text() != "t0"
    })
    .await;
    assert_moves(&lb, &mine, "t0").await;
    upstreams[0].set_health(200);
    eventually("it to be well again", PATIENCE, async || ask(&lb, &mine).await.text() == "t0").await;
    drain(&lb, "t0", "undrain").await;
    assert_stays(&lb, &mine, "t0").await;
    assert_eq!(shown(&lb, "t0").await.get("sessions"), None);
}

#[tokio::test]
async fn a_client_of_an_unhealthy_target_moves_for_good() {
    let upstreams = three().await;
    let lb = setup(&upstreams, STICKY).start().await;
    let cookie = cookie_for(&lb, "t1").await;
    upstreams[1].set_health(500);
    serves_as(&lb, "t1", "unhealthy").await;
    let moved = ask(&lb, &cookie).await;
    assert_ne!(moved.text(), "t1");
    upstreams[1].set_health(200);
    serves_as(&lb, "t1", "healthy").await;
    assert_stays(&lb, &cookie_of(&moved), &moved.text()).await;
}

#[tokio::test]
async fn a_group_that_has_failed_open_keeps_its_clients() {
    let upstreams = three().await;
    let lb = setup(&upstreams, STICKY).start().await;
    let cookie = cookie_for(&lb, "t2").await;
    upstreams.iter().for_each(|upstream| upstream.set_health(500));
    for name in NAMES {
        serves_as(&lb, name, "unhealthy").await;
    }
    assert_stays(&lb, &cookie, "t2").await;
    assert!(lb.metric("elbow_failed_open_requests_total", &[("target_group", "app")]).await >= 6.0);
}

#[tokio::test]
async fn a_deregistered_target_loses_its_clients_at_once_even_where_others_are_forbidden() {
    let upstreams = three().await;
    let lb = registered(&upstreams, OR_FAIL).await;
    let (gone, stays) = (cookie_for(&lb, "t0").await, cookie_for(&lb, "t1").await);
    deregister(&lb, "t0").await;
    assert_moves(&lb, &gone, "t0").await;
    assert_stays(&lb, &stays, "t1").await;
}

#[tokio::test]
async fn where_others_are_forbidden_a_client_is_told_to_come_again() {
    let upstreams = three().await;
    let lb = setup(&upstreams, OR_FAIL).start().await;
    let cookie = cookie_for(&lb, "t1").await;
    assert_stays(&lb, &cookie, "t1").await;
    upstreams[1].set_health(500);
    serves_as(&lb, "t1", "unhealthy").await;
    let refused = ask(&lb, &cookie).await;
    refused.assert_made_by_elbow(503);
    assert_eq!(refused.header("set-cookie"), None);
    assert_eq!(refused.text(), "elbow: the target of this client is not available\n");
    assert_eq!(lb.metric("elbow_sticky_requests_total", &[("result", "refused")]).await, 1.0);
    assert_eq!(ask(&lb, "").await.status, 200);
    assert_eq!(ask(&lb, "Cookie: ELBOW=forged\r\n").await.status, 200, "a forged one is nobody's");
    upstreams[1].set_health(200);
    serves_as(&lb, "t1", "healthy").await;
    assert_stays(&lb, &cookie, "t1").await;
}

#[tokio::test]
async fn a_full_target_is_unavailable() {
    for (keys, status) in [(STICKY, 200), (OR_FAIL, 503)] {
        let gate = Gate::closed();
        let upstreams = three().await;
        let lb = setup(&upstreams, keys).group("connections_max = 1").start().await;
        let cookie = cookie_for(&lb, "t0").await;
        let held = gate.clone();
        upstreams[0].set(move |_| [vec![Act::Until(held.clone())], answer(200, "t0")].concat());
        let before = upstreams[0].requests();
        let mut busy = lb.connect().await;
        busy.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{cookie}\r\n")).await;
        upstreams[0].wait_for_requests(before + 1).await;
        let other = ask(&lb, &cookie).await;
        assert_eq!((other.status, other.text() == "t0"), (status, false));
        assert_eq!(other.header("set-cookie").is_some(), status == 200, "a re-pick sets a new cookie");
        gate.open();
        assert_eq!(busy.response().await.text(), "t0");
        let is_back = async || ask(&lb, &cookie).await.text() == "t0";
        eventually("its own again, when it has room", PATIENCE, is_back).await;
    }
}

/// Health checks that leave a verdict alone for as long as a test lasts.
const CHECKED_ONCE: &str = "protocol = \"tcp\"\ninterval = \"300s\"\ntimeout = \"5s\"";

#[tokio::test]
async fn a_target_that_fails_a_request_loses_its_client_unless_others_are_forbidden() {
    for (keys, status) in [(STICKY, 200), (OR_FAIL, 502)] {
        let mut upstreams = three().await;
        let lb = setup(&upstreams, keys).health_check(CHECKED_ONCE).start().await;
        let cookie = cookie_for(&lb, "t1").await;
        upstreams[1].stop().await;
        let answered = ask(&lb, &cookie).await;
        assert_eq!(answered.status, status, "{keys}");
        if status == 200 {
            assert_stays(&lb, &cookie_of(&answered), &answered.text()).await;
        } else {
            answered.assert_made_by_elbow(502);
            assert_eq!(lb.metric("elbow_retries_total", &[]).await, 0.0);
        }
    }
}

#[tokio::test]
async fn a_kept_connection_that_closes_costs_nobody_its_target() {
    for keys in [STICKY, OR_FAIL] {
        let upstreams = three().await;
        let lb = setup(&upstreams, keys).health_check(CHECKED_ONCE).one_worker().start().await;
        let cookie = cookie_for(&lb, "t2").await;
        assert_stays(&lb, &cookie, "t2").await;
        let kept = upstreams[2].connections() - 1;
        upstreams[2].set(move |request| match request.connection {
            connection if connection <= kept => vec![Act::ReadBody, Act::Close],
            _ => answer(200, "t2"),
        });
        let before = upstreams[2].requests();
        assert_stays(&lb, &cookie, "t2").await;
        assert_eq!(upstreams[2].requests(), before + 7, "the first was sent twice, to the same target");
    }
}

#[tokio::test]
async fn a_lone_target_that_failed_once_keeps_its_client() {
    let upstream = Upstream::answering("t0").await;
    let lb = Setup::targets(&[&upstream]).health_check(CHECKED_ONCE).group(STICKY).start().await;
    let cookie = cookie_of(&lb.get("/").await);
    let count = std::sync::atomic::AtomicUsize::new(0);
    upstream.set(move |_| match count.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
        0 | 1 => vec![Act::ReadBody, Act::Close],
        _ => answer(200, "t0"),
    });
    assert_stays(&lb, &cookie, "t0").await;
}

#[tokio::test]
async fn elbow_anew_knows_the_clients_of_before() {
    let upstreams = three().await;
    let mut lb = setup(&upstreams, STICKY).start().await;
    let mut cookies = Vec::new();
    for name in NAMES {
        cookies.push((name, cookie_for(&lb, name).await));
    }
    // One target is slow to be found well, while the others are at once.
    lb.kill9().await;
    upstreams[2].set_health_by_number(|number| if number == 0 { 500 } else { 200 });
    lb.start_again().await;
    for (name, cookie) in &cookies {
        assert_stays(&lb, cookie, name).await;
    }
}

/// Targets that log in who asks for `/in` and out who asks for `/out`.
async fn application(name: &'static str) -> Upstream {
    Upstream::start(move |request| {
        let set = match request.path() {
            "/in" => "Set-Cookie: SID=1; Path=/app; Max-Age=60; Secure; HttpOnly\r\n",
            "/out" => "Set-Cookie: SID=; Path=/app; Max-Age=0\r\n",
            _ => "",
        };
        raw(format!("HTTP/1.1 200 OK\r\n{set}Content-Length: {}\r\n\r\n{name}", name.len()))
    })
    .await
}

#[tokio::test]
async fn the_cookie_of_an_application_makes_its_client_stay() {
    let upstreams = [application("t0").await, application("t1").await, application("t2").await];
    let lb = registered(&upstreams, APPLICATION).await;
    let mut client = lb.connect().await;
    let anybody = client.get("/").await;
    assert_eq!(anybody.header("set-cookie"), None, "there is no session to stay for");
    let (entered, home) = (client.get("/in").await, client.get("/out").await);
    assert_eq!(home.head.all("set-cookie").len(), 1, "what is deleted takes nothing along");
    let set = entered.head.all("set-cookie");
    assert_eq!((set.len(), set[0]), (2, "SID=1; Path=/app; Max-Age=60; Secure; HttpOnly"));
    let (companion, attributes) = set[1].split_once("; ").unwrap();
    assert_eq!(attributes, "HttpOnly; Path=/app; Max-Age=60; Secure");
    for _ in 0..6 {
        let stays = ask(&lb, &format!("Cookie: SID=1; {companion}\r\n")).await;
        assert_eq!((stays.text(), stays.header("set-cookie")), (entered.text(), None));
    }
    let mut others = 0;
    for _ in 0..6 {
        others += usize::from(ask(&lb, &format!("Cookie: {companion}\r\n")).await.text() != entered.text());
    }
    assert!(others > 0, "without the application's cookie it binds nobody");
    deregister(&lb, &entered.text()).await;
    let moved = ask(&lb, &format!("Cookie: SID=1; {companion}\r\n")).await;
    let new = cookie_of(&moved);
    assert!(moved.text() != entered.text() && new.starts_with("Cookie: ELBOW="));
    for _ in 0..6 {
        assert_eq!(ask(&lb, &format!("{}; SID=1\r\n", new.trim_end())).await.text(), moved.text());
    }
}
