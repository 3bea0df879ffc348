//! When a request is sent again: never after a byte of it can have been acted on unless it is idempotent, at most
//! three attempts, another target first.

use std::time::Instant;

use crate::harness::*;

/// Health checks that leave a verdict alone for as long as a test lasts, and nobody who is taken out for failing.
fn checked_once(setup: Setup) -> Setup {
    let setup = setup.health_check("protocol = \"tcp\"\ninterval = \"300s\"\ntimeout = \"5s\"");
    setup.group("algorithm = \"round_robin\"\nejection = { failures = 0 }")
}

fn request(method: &str, body: &str) -> String {
    format!("{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

async fn status_of(lb: &Lb, method: &str, body: &str) -> u16 {
    let mut client = lb.connect().await;
    client.send(request(method, body)).await;
    client.response_to(method).await.status
}

#[tokio::test]
async fn a_refused_connection_is_tried_elsewhere_whatever_the_method() {
    let alive = Upstream::answering("alive").await;
    let mut dead = Upstream::answering("dead").await;
    let lb = checked_once(Setup::targets(&[&alive, &dead])).start().await;
    dead.stop().await;
    for method in ["GET", "POST", "PATCH", "M-SEARCH", "DELETE", "HEAD"] {
        for _ in 0..4 {
            assert_eq!(status_of(&lb, method, "body").await, 200, "{method}");
        }
    }
    assert!(alive.seen().iter().all(|request| request.body == b"body"), "bodies arrive whole after another attempt");
    assert_eq!(alive.requests(), 24);
    let group = [("target_group", "app")];
    assert!(lb.metric("elbow_backend_connection_errors_total", &group).await >= 6.0);
    assert!(lb.metric("elbow_retries_total", &[("target_group", "app"), ("result", "success")]).await >= 6.0);
}

#[tokio::test]
async fn nobody_there_is_a_502_after_three_attempts() {
    let mut dead = Vec::new();
    for _ in 0..5 {
        dead.push(Upstream::answering("dead").await);
    }
    let lb = checked_once(Setup::targets(&dead.iter().collect::<Vec<_>>())).start().await;
    for upstream in &mut dead {
        upstream.stop().await;
    }
    let refused = lb.get("/").await;
    refused.assert_made_by_elbow(502);
    assert_eq!(refused.header("proxy-status"), Some("elbow; error=connection_refused"));
    assert_eq!(lb.metric("elbow_backend_connection_errors_total", &[("target_group", "app")]).await, 3.0);
    assert_eq!(lb.metric("elbow_retries_total", &[("result", "failure")]).await, 1.0, "one request, tried in vain");
}

#[tokio::test]
async fn a_connection_that_times_out_is_tried_elsewhere_whatever_the_method() {
    let alive = Upstream::answering("alive").await;
    let mut deaf = Deaf::listening();
    let setup = Setup::targets(&[&alive]).target_at("deaf", deaf.address(), "").group("connect_timeout = \"300ms\"");
    let lb = checked_once(setup).start().await;
    deaf.deafen().await;
    for _ in 0..4 {
        let started = Instant::now();
        assert_eq!(status_of(&lb, "POST", "body").await, 200);
        assert!(started.elapsed() < PATIENCE / 2, "{:?}", started.elapsed());
    }
    assert_eq!(alive.requests(), 4);
}

#[tokio::test]
async fn a_target_that_hangs_up_is_tried_again_for_idempotent_requests_only() {
    for ending in [Act::Close, Act::Reset] {
        let good = Upstream::answering("good").await;
        let bad = Upstream::answering("bad").await;
        let end = ending.clone();
        bad.set(move |_| vec![Act::ReadBody, end.clone()]);
        let lb = checked_once(Setup::targets(&[&good, &bad])).start().await;
        for method in ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"] {
            for _ in 0..2 {
                assert_eq!(status_of(&lb, method, "").await, 200, "{method} after {ending:?}");
            }
        }
        let before = bad.requests();
        let mut refused = 0;
        for method in ["POST", "PATCH", "M-SEARCH"] {
            for _ in 0..2 {
                refused += usize::from(status_of(&lb, method, "").await == 502);
            }
        }
        assert_eq!(refused, bad.requests() - before, "each that reached the bad one failed and was not sent again");
        assert!(refused > 0, "round robin never chose the bad one");
    }
}

#[tokio::test]
async fn a_lone_target_that_hangs_up_is_asked_three_times_for_get_and_once_for_post() {
    let upstream = Upstream::start(|_| vec![Act::ReadBody, Act::Close]).await;
    let lb = checked_once(Setup::targets(&[&upstream])).start().await;
    lb.get("/").await.assert_made_by_elbow(502);
    assert_eq!(upstream.requests(), 3);
    assert_eq!(status_of(&lb, "POST", "").await, 502);
    assert_eq!(upstream.requests(), 4);
}

#[tokio::test]
async fn a_reused_connection_that_hangs_up_follows_the_same_rule() {
    let upstream = Upstream::answering("ok").await;
    let lb = checked_once(Setup::targets(&[&upstream])).start().await;
    let mut client = lb.connect().await;
    assert_eq!(client.get("/").await.status, 200);
    let hang_up_once = |upstream: &Upstream| {
        let before = upstream.requests();
        let connection = upstream.connections() - 1;
        upstream.set(move |request| match request.connection {
            old if old == connection => vec![Act::ReadBody, Act::Close],
            _ => answer(200, "again"),
        });
        before
    };
    let before = hang_up_once(&upstream);
    assert_eq!(client.get("/").await.text(), "again");
    assert_eq!(upstream.requests() - before, 2);
    let before = hang_up_once(&upstream);
    client.send(request("POST", "")).await;
    assert_eq!(client.response().await.status, 502);
    assert_eq!(upstream.requests() - before, 1, "a POST may have been acted on");
}

#[tokio::test]
async fn a_connection_that_died_while_idle_costs_nobody_anything() {
    let upstream = Upstream::start(|_| [answer(200, "ok"), vec![Act::Close]].concat()).await;
    let lb = checked_once(Setup::targets(&[&upstream])).start().await;
    for count in 1..=10 {
        assert_eq!(status_of(&lb, "POST", "body").await, 200);
        assert_eq!(upstream.requests(), count);
        pause(ms(20)).await;
    }
    assert_eq!(lb.metric("elbow_retries_total", &[]).await, 0.0, "dead ones are found before they are used");
}

#[tokio::test]
async fn nothing_is_tried_again_after_the_first_byte_of_an_answer() {
    let upstream = Upstream::start(|_| [raw("H"), vec![Act::Close]].concat()).await;
    let lb = checked_once(Setup::targets(&[&upstream])).start().await;
    lb.get("/").await.assert_made_by_elbow(502);
    assert_eq!(upstream.requests(), 1);
}

#[tokio::test]
async fn nothing_is_tried_again_once_its_body_is_consumed() {
    let upstream = Upstream::start(|_| vec![Act::ReadBody, Act::Close]).await;
    let lb = checked_once(Setup::targets(&[&upstream])).start().await;
    assert_eq!(status_of(&lb, "PUT", &"x".repeat(2_000_000)).await, 502);
    assert_eq!(upstream.requests(), 1);
}

#[tokio::test]
async fn another_target_comes_first() {
    let mut upstreams = Vec::new();
    for _ in 0..3 {
        upstreams.push(Upstream::start(|_| vec![Act::ReadBody, Act::Close]).await);
    }
    let lb = checked_once(Setup::targets(&upstreams.iter().collect::<Vec<_>>())).start().await;
    lb.get("/").await.assert_made_by_elbow(502);
    let asked: Vec<_> = upstreams.iter().map(Upstream::requests).collect();
    assert_eq!(asked, [1, 1, 1]);
}

#[tokio::test]
async fn an_answer_of_any_status_is_an_answer() {
    let upstream = Upstream::start(|_| answer(503, "mine")).await;
    let other = Upstream::start(|_| answer(500, "mine")).await;
    let lb = checked_once(Setup::targets(&[&upstream, &other])).start().await;
    for _ in 0..4 {
        let response = lb.get("/").await;
        assert_eq!((response.text().as_str(), response.header("proxy-status")), ("mine", None));
    }
    assert_eq!(upstream.requests() + other.requests(), 4);
}
