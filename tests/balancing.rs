//! Who gets the next request: shares by weight, the idle before the busy, counted over all workers; the fast before the
//! slow, the same for the same key, and little at first for who has just come.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

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
const ALGORITHMS: [&str; 6] =
    ["round_robin", "least_outstanding_requests", "random_of_two", "peak_ewma", "weighted_random", "consistent_hash"];

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
    for algorithm in ALGORITHMS {
        let upstreams = three().await;
        let algorithm = format!("algorithm = \"{algorithm}\"\nhash_key = \"path\"");
        let lb = weighted(&upstreams, &[1, 0, 5]).group(&algorithm).start().await;
        for path in 0..150 {
            assert_eq!(lb.get(&format!("/{path}")).await.status, 200);
        }
        assert_eq!(upstreams[1].requests(), 0);
        assert!(upstreams[0].requests() > 0 && upstreams[2].requests() > 0, "{algorithm}");
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

#[tokio::test]
async fn weighted_random_gives_shares_in_no_order() {
    let upstreams = three().await;
    let lb = weighted(&upstreams[..2], &[1, 4]).group("algorithm = \"weighted_random\"").start().await;
    let mut client = lb.connect().await;
    let mut order = String::new();
    for _ in 0..500 {
        order += &client.get("/").await.text();
    }
    // A hundred but for chance, which strays by nine.
    assert!((50..150).contains(&upstreams[0].requests()), "{order}");
    assert!(order.contains("00") && order.contains("111111111"), "at random there are runs: {order}");
}

#[tokio::test]
async fn random_of_two_goes_to_the_idle_one_of_two() {
    let upstreams = three().await;
    let lb = weighted(&upstreams[..2], &[1, 1]).group("algorithm = \"random_of_two\"").start().await;
    let gate = hold_all(&upstreams[..1]);
    let mut held = Vec::new();
    while upstreams[0].requests() == 0 {
        held.extend(hold(&lb, &upstreams, 1).await);
    }
    let before = upstreams[1].requests();
    let mut client = lb.connect().await;
    for _ in 0..20 {
        assert_eq!(client.get("/").await.text(), "1", "the other is busy");
    }
    assert_eq!(upstreams[1].requests() - before, 20);
    gate.open();
    for client in &mut held {
        assert_eq!(client.response().await.status, 200);
    }
}

#[tokio::test]
async fn peak_ewma_leaves_the_slow_one_alone() {
    let upstreams = three().await;
    upstreams[0].set(|_| [vec![Act::Wait(ms(400))], answer(200, "0")].concat());
    let lb = weighted(&upstreams, &[1, 1, 1]).group("algorithm = \"peak_ewma\"").start().await;
    let mut client = lb.connect().await;
    for _ in 0..100 {
        assert_eq!(client.get("/").await.status, 200);
    }
    let shares: Vec<_> = upstreams.iter().map(Upstream::requests).collect();
    // One slow answer is enough; where the machine is slow it may not be the only one.
    assert!((1..=5).contains(&shares[0]), "{shares:?}");
    assert!(shares[1] >= 20 && shares[2] >= 20, "the others share what it does not get: {shares:?}");
}

/// A change is answered once every worker has taken it up, and with it whatever was seen before.
async fn all_workers_know(lb: &Lb) {
    for verb in ["drain", "undrain"] {
        assert_eq!(lb.admin().post(&format!("/v1/target-groups/app/targets/t0/{verb}"), "").await.status, 200);
    }
}

/// Asserts that every key has one target, on every connection, worker and elbow, and that many have all of them.
async fn assert_keyed(hash_key: &str, request: impl Fn(usize, usize) -> String) {
    let upstreams = three().await;
    let keys = format!("algorithm = \"consistent_hash\"\nhash_key = \"{hash_key}\"");
    let setup = weighted(&upstreams, &[1, 1, 1]).group(&keys).listener("trusted_proxies = [\"127.0.0.0/8\"]");
    let lbs = [setup.clone().argument("--workers=2").start().await, setup.one_worker().start().await];
    for lb in &lbs {
        all_workers_know(lb).await;
    }
    let mut all = BTreeSet::new();
    for key in 0..24 {
        let mut targets = BTreeSet::new();
        for other in 0..4 {
            let answer = exchange(lbs[other % 2].web(), request(key, other)).await.expect("an answer");
            assert_eq!(answer.status, 200);
            targets.insert(answer.text());
        }
        assert_eq!(targets.len(), 1, "{hash_key}: key {key} went to {targets:?}");
        all.append(&mut targets);
    }
    assert_eq!(all.len(), 3, "{hash_key}: all keys went to {all:?}");
}

fn get_with(path: impl std::fmt::Display, fields: impl std::fmt::Display) -> String {
    format!("GET /{path} HTTP/1.1\r\nHost: a\r\n{fields}\r\nConnection: close\r\n\r\n")
}

#[tokio::test]
async fn consistent_hash_by_path() {
    assert_keyed("path", |key, other| get_with(format_args!("page-{key}?{other}"), format_args!("A: {other}"))).await;
}

#[tokio::test]
async fn consistent_hash_by_header() {
    assert_keyed("header:X-User", |key, other| get_with(other, format_args!("x-user: user-{key}"))).await;
}

#[tokio::test]
async fn consistent_hash_by_cookie() {
    let cookies = |key, other| get_with(other, format_args!("Cookie: theme={other}; session=user-{key}"));
    assert_keyed("cookie:session", cookies).await;
}

#[tokio::test]
async fn consistent_hash_by_source() {
    let proxied = |key, other| get_with(other, format_args!("X-Forwarded-For: 192.0.2.{other}, 198.51.100.{key}"));
    assert_keyed("source_ip", proxied).await;
}

#[tokio::test]
async fn who_leaves_moves_its_own_keys_and_no_other() {
    let upstreams = three().await;
    let keys = "algorithm = \"consistent_hash\"\nhash_key = \"path\"";
    let lb = weighted(&upstreams[..2], &[1, 1]).group(keys).start().await;
    lb.admin().register("app", "t2", upstreams[2].address()).await;
    lb.until("app", "t2", "healthy").await;
    all_workers_know(&lb).await;
    let owners = async || {
        let mut owners = Vec::new();
        for page in 0..60 {
            owners.push(lb.get(&format!("/{page}")).await.text());
        }
        owners
    };
    let before = owners().await;
    assert_eq!(owners().await, before);
    assert_eq!(lb.admin().delete("/v1/target-groups/app/targets/t2").await.status / 100, 2);
    let after = owners().await;
    for (page, (before, after)) in before.iter().zip(&after).enumerate() {
        assert!(after != "2" && (before == "2" || before == after), "page {page} went from {before} to {after}");
    }
    assert!(before.iter().any(|owner| owner == "2"));
}

#[tokio::test]
async fn who_joins_a_group_that_serves_starts_slowly() {
    const SLOW_START: Duration = Duration::from_secs(6);
    let upstreams = three().await;
    let keys = format!("{ROUND_ROBIN}\nslow_start = \"{}s\"", SLOW_START.as_secs());
    let lb = weighted(&upstreams[..2], &[1, 1]).group(&keys).quick_health_check().one_worker().start().await;
    let mut client = lb.connect().await;
    let mut shares = async || {
        let before = upstreams.each_ref().map(Upstream::requests);
        for _ in 0..60 {
            assert_eq!(client.get("/").await.status, 200);
        }
        [0, 1, 2].map(|index| upstreams[index].requests() - before[index])
    };
    assert_eq!(shares().await, [30, 30, 0], "a new group starts at once");
    lb.admin().register("app", "t2", upstreams[2].address()).await;
    lb.until("app", "t2", "healthy").await;
    let healthy = Instant::now();
    let [_, _, at_first] = shares().await;
    // Unless the machine was slow, it has at most a third of its ramp behind it.
    if healthy.elapsed() < SLOW_START / 3 {
        assert!(at_first <= 10, "{at_first} of 60 at first");
    }
    eventually("a full share", PATIENCE, async || shares().await == [20, 20, 20]).await;
    assert!(healthy.elapsed() >= SLOW_START * 9 / 10, "it had its full share after {:?}", healthy.elapsed());
}
