//! Who gets the next request: shares by weight, the idle before the busy, counted over all workers.

use crate::harness::*;

async fn three() -> [Upstream; 3] {
    [Upstream::answering("0").await, Upstream::answering("1").await, Upstream::answering("2").await]
}

fn weighted(upstreams: &[Upstream], weights: &[u32]) -> Setup {
    let pairs = upstreams.iter().zip(weights).enumerate();
    pairs.fold(Setup::default(), |setup, (index, (upstream, weight))| {
        setup.target(&format!("t{index}"), upstream, &format!("weight = {weight}"))
    })
}

const ROUND_ROBIN: &str = "algorithm = \"round_robin\"";
const LEAST: &str = "algorithm = \"least_outstanding_requests\"";

#[tokio::test]
async fn round_robin_gives_exact_shares_smoothly() {
    let upstreams = three().await;
    let lb = weighted(&upstreams, &[1, 2, 3]).group(ROUND_ROBIN).start().await;
    let mut client = lb.connect().await;
    let mut order = String::new();
    for _ in 0..60 {
        order += &client.get("/").await.text();
    }
    let shares: Vec<_> = upstreams.iter().map(Upstream::requests).collect();
    assert_eq!(shares, [10, 20, 30], "{order}");
    assert!(!order.contains("222") && !order.contains("11"), "shares are interleaved: {order}");
}

#[tokio::test]
async fn round_robin_is_fair_over_workers_and_connections() {
    let upstreams = three().await;
    let lb = weighted(&upstreams, &[1, 1, 1]).group(ROUND_ROBIN).argument("--workers=2").start().await;
    for _ in 0..90 {
        assert_eq!(lb.get("/").await.status, 200);
    }
    for upstream in &upstreams {
        assert!((28..=32).contains(&upstream.requests()), "{} of 90", upstream.requests());
    }
}

#[tokio::test]
async fn weight_zero_takes_no_new_work() {
    for algorithm in [ROUND_ROBIN, LEAST] {
        let upstreams = three().await;
        let lb = weighted(&upstreams, &[1, 0, 5]).group(algorithm).start().await;
        for _ in 0..150 {
            assert_eq!(lb.get("/").await.status, 200);
        }
        assert_eq!(upstreams[1].requests(), 0);
        assert!(upstreams[0].requests() > 0 && upstreams[2].requests() > upstreams[0].requests());
    }
}

#[tokio::test]
async fn a_group_of_weight_zero_has_nobody_to_ask() {
    let upstreams = three().await;
    let lb = weighted(&upstreams[..1], &[0]).start().await;
    lb.get("/").await.assert_made_by_elbow(503);
    assert_eq!(upstreams[0].requests(), 0);
}

#[tokio::test]
async fn a_changed_weight_holds_from_the_answer_on() {
    let upstreams = three().await;
    let lb = weighted(&upstreams[..2], &[1, 1]).group(ROUND_ROBIN).start().await;
    let body = format!("{{\"address\": \"{}\", \"weight\": 3}}", upstreams[1].address());
    assert_eq!(lb.admin().put("/v1/target-groups/app/targets/t1", &body).await.status, 200);
    let mut client = lb.connect().await;
    for _ in 0..40 {
        client.get("/").await;
    }
    assert_eq!((upstreams[0].requests(), upstreams[1].requests()), (10, 30));
}

/// Sends `count` requests that stay in flight, one after the other, each on a connection of its own.
async fn hold(lb: &Lb, upstreams: &[Upstream], count: usize) -> Vec<Client> {
    let mut clients = Vec::new();
    for _ in 0..count {
        let before: usize = upstreams.iter().map(Upstream::requests).sum();
        let mut client = lb.connect().await;
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        clients.push(client);
        eventually("the request at an upstream", PATIENCE, async || {
            upstreams.iter().map(Upstream::requests).sum::<usize>() > before
        })
        .await;
    }
    clients
}

fn hold_all(upstreams: &[Upstream]) -> Gate {
    let gate = Gate::closed();
    for upstream in upstreams {
        let held = gate.clone();
        upstream.set(move |_| [vec![Act::Until(held.clone())], answer(200, "ok")].concat());
    }
    gate
}

#[tokio::test]
async fn least_outstanding_goes_to_the_idle_one() {
    let upstreams = three().await;
    let lb = weighted(&upstreams, &[1, 1, 1]).group(LEAST).start().await;
    let busy = hold_all(&upstreams[..2]);
    let soon_idle = hold_all(&upstreams[2..]);
    let mut held = hold(&lb, &upstreams, 3).await;
    assert_eq!(upstreams.iter().map(Upstream::requests).collect::<Vec<_>>(), [1, 1, 1]);
    soon_idle.open();
    eventually("one idle target", PATIENCE, async || {
        lb.admin().targets("app").await.iter().filter(|target| target["in_flight"] == 0).count() == 1
    })
    .await;
    upstreams[2].set(|_| answer(200, "2"));
    let before = upstreams[2].requests();
    // On one connection: what comes on another may be counted while the answer before is still being written.
    let mut client = lb.connect().await;
    for _ in 0..20 {
        assert_eq!(client.get("/").await.text(), "2", "the others are busy");
    }
    assert_eq!(upstreams[2].requests() - before, 20);
    busy.open();
    for client in &mut held {
        assert_eq!(client.response().await.status, 200);
    }
}

#[tokio::test]
async fn least_outstanding_weighs_what_is_in_flight() {
    let upstreams = three().await;
    let lb = weighted(&upstreams[..2], &[1, 3]).group(LEAST).start().await;
    let gate = hold_all(&upstreams);
    let mut clients = hold(&lb, &upstreams, 8).await;
    assert_eq!((upstreams[0].requests(), upstreams[1].requests()), (2, 6));
    let shown: Vec<_> = lb.admin().targets("app").await.iter().map(|target| target["in_flight"].clone()).collect();
    assert_eq!(shown, [2, 6]);
    gate.open();
    for client in &mut clients {
        assert_eq!(client.response().await.status, 200);
    }
    let idle = async || lb.admin().targets("app").await.iter().all(|target| target["in_flight"] == 0);
    eventually("nothing in flight", PATIENCE, idle).await;
}

#[tokio::test]
async fn what_is_in_flight_is_counted_over_all_workers() {
    let upstreams = three().await;
    let lb = weighted(&upstreams[..2], &[1, 1]).group(LEAST).argument("--workers=2").start().await;
    let gate = hold_all(&upstreams);
    assert_eq!(lb.admin().post("/v1/target-groups/app/targets/t1/drain", "").await.status, 200);
    let mut clients = hold(&lb, &upstreams, 20).await;
    assert_eq!((upstreams[0].requests(), upstreams[1].requests()), (20, 0));
    assert_eq!(lb.admin().post("/v1/target-groups/app/targets/t1/undrain", "").await.status, 200);
    clients.extend(hold(&lb, &upstreams, 20).await);
    assert_eq!(
        (upstreams[0].requests(), upstreams[1].requests()),
        (20, 20),
        "each worker knew of the others' requests"
    );
    gate.open();
    for client in &mut clients {
        assert_eq!(client.response().await.status, 200);
    }
}

#[tokio::test]
async fn least_outstanding_does_not_herd_on_the_first_when_all_are_idle() {
    let upstreams = three().await;
    let lb = weighted(&upstreams, &[1, 1, 1]).group(LEAST).start().await;
    for _ in 0..90 {
        assert_eq!(lb.get("/").await.status, 200);
    }
    for upstream in &upstreams {
        assert!(upstream.requests() >= 10, "{} of 90", upstream.requests());
    }
}

#[tokio::test]
async fn whatever_ends_a_request_ends_its_count() {
    let upstream = Upstream::answering("ok").await;
    let lb = Setup::targets(&[&upstream]).start().await;
    let scripts: [fn() -> Vec<Act>; 5] = [
        || answer(200, "ok"),
        || vec![Act::ReadBody, Act::Reset],
        || raw("garbage\r\n\r\n"),
        || [raw("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"), vec![Act::Close]].concat(),
        || [raw("HTTP/1.1 200 OK\r\n\r\nabc"), vec![Act::Close]].concat(),
    ];
    for script in scripts {
        upstream.set(move |_| script());
        let _ = exchange(lb.web(), "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx").await;
        let idle = async || lb.admin().targets("app").await[0]["in_flight"] == 0;
        eventually("nothing in flight", PATIENCE, idle).await;
    }
}
