//! The admin API as such: who may use it, how it refuses, what it tells, and that its description is true.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;

use crate::harness::*;

async fn lb() -> (Upstream, Lb) {
    let upstream = Upstream::answering("ok").await;
    let lb = Setup::targets(&[&upstream]).quick_health_check().start().await;
    (upstream, lb)
}

fn assert_problem(response: &Response, status: u16) {
    assert_eq!(response.status, status, "{}", response.text());
    assert_eq!(response.header("content-type"), Some("application/problem+json"));
    let problem = response.json();
    assert_eq!(problem["status"], status, "{problem}");
    assert!(["type", "title", "detail"].iter().all(|key| problem[key].is_string()), "{problem}");
}

#[tokio::test]
async fn health_readiness_and_metrics_are_open_and_the_rest_is_not() {
    let (_upstream, lb) = lb().await;
    let open = async |path: &str| lb.admin().without_token("GET", path, &[], "").await;
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(open(path).await.status, 200, "{path}");
    }
    for path in [
        "/v1/config",
        "/v1/listeners",
        "/v1/target-groups",
        "/v1/target-groups/app/targets",
        "/v1/events",
        "/v1/nothing",
    ] {
        let refused = open(path).await;
        assert_problem(&refused, 401);
        assert!(refused.header("www-authenticate").is_some_and(|value| value.starts_with("Bearer")), "{path}");
    }
    for wrong in ["Bearer wrong", "Bearer ", "Basic eDp5", "bearer", &format!("Bearer {}x", lb.admin().token)] {
        let refused = lb.admin().without_token("GET", "/v1/config", &[("Authorization", wrong)], "").await;
        assert_problem(&refused, 401);
    }
    let body = "{\"address\": \"127.0.0.1:1\"}";
    let refused = lb.admin().without_token("PUT", "/v1/target-groups/app/targets/x", &[], body).await;
    assert_problem(&refused, 401);
    assert_eq!(lb.admin().targets("app").await.len(), 1);
}

#[tokio::test]
async fn secrets_are_for_their_owner_only() {
    let (_upstream, lb) = lb().await;
    let mode = std::fs::metadata(lb.state_dir().join("admin.token")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(lb.admin().token.len() >= 32, "a token that can be guessed");
    assert!(!lb.logs().contains(&lb.admin().token), "the token is in the log");
}

#[tokio::test]
async fn cross_site_requests_are_refused_always() {
    let (_upstream, lb) = lb().await;
    for headers in [
        &[("Origin", "http://evil.test")][..],
        &[("Origin", "null")],
        &[("Sec-Fetch-Site", "cross-site")],
        &[("Sec-Fetch-Site", "same-site")],
        &[("Origin", "http://evil.test"), ("Sec-Fetch-Site", "same-origin")],
    ] {
        for (method, path) in [("GET", "/v1/config"), ("POST", "/v1/reload"), ("GET", "/?Action=DescribeLoadBalancers")]
        {
            let refused = lb.admin().request(method, path, headers, "").await;
            assert_problem(&refused, 403);
        }
    }
    let own = format!("http://{}", lb.admin().address);
    for headers in [&[("Sec-Fetch-Site", "same-origin"), ("Origin", own.as_str())][..], &[("Sec-Fetch-Site", "none")]] {
        assert_eq!(lb.admin().request("GET", "/v1/config", headers, "").await.status, 200, "{headers:?}");
    }
}

#[tokio::test]
async fn without_a_token_only_a_loopback_host_is_believed() {
    let upstream = Upstream::answering("ok").await;
    let lb = Setup::targets(&[&upstream]).argument("--insecure-admin").start().await;
    let port = lb.admin().address.port();
    let with_host =
        async |host: String| lb.admin().without_token("GET", "/v1/config", &[("Host", &host)], "").await.status;
    for host in ["127.0.0.1", "localhost", "[::1]", "127.0.0.9"] {
        assert_eq!(with_host(format!("{host}:{port}")).await, 200, "{host}");
    }
    for host in ["evil.test", "127.0.0.1.evil.test", "localhost.evil.test", "10.0.0.1"] {
        let status = with_host(format!("{host}:{port}")).await;
        assert!(matches!(status, 400 | 403 | 421), "{host} got {status}: another name for this address is an attack");
    }
}

#[tokio::test]
async fn an_open_admin_address_has_to_be_loopback() {
    for setup in [
        Setup::default().argument("--insecure-admin").admin("0.0.0.0:0"),
        Setup::default().top("[admin]\nauth = \"none\"").admin("0.0.0.0:0"),
    ] {
        let output = setup.start_refused().await;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(matches!(output.status.code(), Some(1 | 2)), "{said}");
        assert!(said.contains("loopback"), "{said}");
    }
}

#[tokio::test]
async fn refusals_are_problems_of_json() {
    let (_upstream, lb) = lb().await;
    let admin = lb.admin();
    assert_problem(&admin.get("/v1/nothing").await, 404);
    assert_problem(&admin.get("/v1/listeners/nobody").await, 404);
    assert_problem(&admin.get("/v1/target-groups/nobody/targets").await, 404);
    assert_problem(&admin.delete("/v1/target-groups/app/targets/nobody").await, 404);
    assert_problem(&admin.post("/v1/target-groups/app/targets/nobody/drain", "").await, 404);
    assert_problem(&admin.request("PATCH", "/v1/listeners/web", &[], "{}").await, 405);
    let path = "/v1/target-groups/app/targets/x";
    assert_problem(&admin.put(path, &format!("{{\"address\": \"{}\"}}", "x".repeat(5 << 20))).await, 413);
    let wait = admin.put(&format!("{path}?wait=nonsense"), "{\"address\": \"127.0.0.1:1\"}").await;
    assert!(matches!(wait.status, 400 | 422), "{}", wait.text());
    assert_eq!(admin.get("/v1/target-groups").await.json().as_array().map(Vec::len), Some(1), "it lives on");
}

#[tokio::test]
async fn representations_have_etags_and_owners() {
    let (_upstream, lb) = lb().await;
    let admin = lb.admin();
    for path in [
        "/v1/config",
        "/v1/listeners",
        "/v1/listeners/web",
        "/v1/target-groups",
        "/v1/target-groups/app",
        "/v1/target-groups/app/targets",
    ] {
        let response = admin.get(path).await;
        assert_eq!(response.status, 200, "{path}");
        let etag = response.header("etag").unwrap_or_else(|| panic!("{path} has no ETag"));
        assert!(etag.starts_with('"') && etag.ends_with('"') && etag.len() > 2, "{etag}");
    }
    assert_eq!(admin.get("/v1/listeners/web").await.json()["owner"], "file");
    assert_eq!(admin.get("/v1/target-groups/app").await.json()["owner"], "file");
    let config = admin.get("/v1/config").await.json();
    assert!(config["revision"].is_u64(), "{config}");
    assert!(config.to_string().contains("\"owner\":\"file\""), "{config}");
    let target = &admin.targets("app").await[0];
    for key in ["id", "address", "weight", "owner", "state", "reason", "since", "in_flight"] {
        assert!(!target[key].is_null(), "{key} is missing: {target}");
    }
    let since = target["since"].as_str().unwrap();
    assert!(since.len() >= 20 && since.as_bytes()[10] == b'T' && since.ends_with('Z'), "RFC 3339: {since}");
}

#[tokio::test]
async fn events_tell_every_change_of_state() {
    let (upstream, lb) = lb().await;
    let mut client = Client::connect(lb.admin().address).await;
    client.send(lb.admin().bytes("GET", "/v1/events", "")).await;
    let (status, head) = client.response_head().await;
    assert_eq!(status, 200);
    assert!(head.header("content-type").unwrap().starts_with("text/event-stream"), "{:?}", head.headers);
    upstream.set_health(500);
    let mut text = String::new();
    let wanted = |text: &str| text.contains("unhealthy") && text.contains("t0");
    within("the event", PATIENCE, async {
        while !wanted(&text) {
            text += &String::from_utf8_lossy(&client.read_some().await.expect("the stream goes on"));
        }
    })
    .await;
    let data = text.lines().find_map(|line| line.strip_prefix("data:").filter(|data| wanted(data))).unwrap();
    let event: serde_json::Value = serde_json::from_str(data.trim()).unwrap();
    assert!(event.to_string().contains("500"), "it says why: {event}");
    upstream.set_health(200);
    within("the event of the recovery", PATIENCE, async {
        while !text.contains("\"healthy\"") {
            text += &String::from_utf8_lossy(&client.read_some().await.expect("the stream goes on"));
        }
    })
    .await;
}

#[tokio::test]
async fn slow_and_silent_clients_do_not_hold_the_api() {
    let (_upstream, lb) = lb().await;
    let mut silent = Vec::new();
    for _ in 0..200 {
        let Some(mut client) = Client::try_connect(lb.admin().address).await else { break };
        client.send("GET /v1/config HTTP/1.1\r\nHost: a\r\nX: ").await;
        silent.push(client);
    }
    eventually("an answer all the same", PATIENCE * 2, async || {
        let asking = async {
            let mut client = Client::try_connect(lb.admin().address).await?;
            client.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
            client.try_response().await.ok()
        };
        matches!(tokio::time::timeout(ms(1000), asking).await, Ok(Some(response)) if response.status == 200)
    })
    .await;
    assert_eq!(lb.get("/").await.status, 200, "traffic does not notice");
}

/// Values for the parameters of paths.
fn filled(path: &str, group: &str, target: &str, listener: &str) -> String {
    let name = if path.contains("target-groups") { group } else { listener };
    path.replace("{name}", name).replace("{id}", target)
}

#[tokio::test]
async fn the_description_is_true() {
    let upstream = Upstream::answering("ok").await;
    let lb = Setup::targets(&[&upstream]).start().await;
    let admin = lb.admin();
    admin.put("/v1/target-groups/made", "{}").await;
    admin.register("made", "x", upstream.address()).await;
    let described = admin.get("/v1/openapi.json").await;
    assert_eq!(described.status, 200);
    let openapi = described.json();
    assert!(openapi["openapi"].as_str().unwrap().starts_with("3."), "{openapi}");
    let mut walked = BTreeSet::new();
    for (path, operations) in openapi["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let method = method.to_uppercase();
            if !["GET", "PUT", "POST", "DELETE", "PATCH"].contains(&method.as_str()) {
                continue;
            }
            walked.insert(format!("{method} {path}"));
            walk(&lb, &upstream, path, &method, operation).await;
        }
    }
    let promised = [
        "GET /healthz",
        "GET /readyz",
        "GET /metrics",
        "GET /v1/config",
        "GET /v1/listeners",
        "GET /v1/listeners/{name}",
        "PUT /v1/listeners/{name}",
        "DELETE /v1/listeners/{name}",
        "GET /v1/target-groups",
        "GET /v1/target-groups/{name}",
        "PUT /v1/target-groups/{name}",
        "DELETE /v1/target-groups/{name}",
        "GET /v1/target-groups/{name}/targets",
        "PUT /v1/target-groups/{name}/targets/{id}",
        "DELETE /v1/target-groups/{name}/targets/{id}",
        "POST /v1/target-groups/{name}/targets/{id}/drain",
        "POST /v1/target-groups/{name}/targets/{id}/undrain",
        "POST /v1/reload",
        "GET /v1/events",
    ];
    let missing: Vec<_> = promised.iter().filter(|operation| !walked.contains(**operation)).collect();
    assert!(missing.is_empty(), "not described: {missing:?}");
}

/// Calls one described operation well, wrongly and without a token: every answer has to be among the described ones.
async fn walk(lb: &Lb, upstream: &Upstream, path: &str, method: &str, operation: &serde_json::Value) {
    let described: BTreeSet<_> = operation["responses"].as_object().unwrap().keys().cloned().collect();
    let target = format!("{{\"address\": \"{}\"}}", upstream.address());
    let body = match (method, path) {
        ("PUT", path) if path.ends_with("/targets/{id}") => target.as_str(),
        ("PUT", path) if path.starts_with("/v1/listeners") => "{\"bind\": \"127.0.0.1:0\", \"target_group\": \"app\"}",
        ("PUT", _) => "{}",
        _ => "",
    };
    let existing = filled(path, "made", "x", "web");
    let calls = [
        (filled(path, "nobody", "nobody", "nobody"), body),
        (filled(path, "app", "t0", "web"), body),
        (existing.clone(), "{\"no\": \"sense\"}"),
        (existing, body),
    ];
    for (called, body) in calls {
        let mut client = Client::connect(lb.admin().address).await;
        client.send(lb.admin().bytes(method, &called, body)).await;
        let (status, head) = client.response_head().await;
        assert!(
            described.contains(&status.to_string()),
            "{method} {called} answered {status}, described are {described:?}"
        );
        assert_ne!(status, 500, "{method} {called}");
        if status >= 400 {
            assert_eq!(head.header("content-type"), Some("application/problem+json"), "{method} {called}");
        }
    }
    if path.starts_with("/v1") {
        let refused = lb.admin().without_token(method, &filled(path, "app", "t0", "web"), &[], "").await;
        assert_eq!(refused.status, 401, "{method} {path}");
        assert!(described.contains("401"), "{method} {path} does not describe 401");
    }
}

#[tokio::test]
async fn the_admin_api_can_be_off() {
    let upstream = Upstream::answering("ok").await;
    let lb = Setup::targets(&[&upstream]).admin("off").start_cold().await;
    assert_eq!(lb.get("/").await.text(), "ok");
}
