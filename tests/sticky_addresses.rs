//! A client stays at its target by its address.

use std::collections::BTreeMap;

use crate::harness::*;
use crate::sticky_cookies::serves_as;

const NAMES: [&str; 3] = ["t0", "t1", "t2"];

/// Three targets that answer with their ids, and a proxy in front that says where requests come from.
async fn behind_a_proxy(keys: &str) -> (Vec<Upstream>, Lb) {
    let mut upstreams = Vec::new();
    let mut setup = Setup::default().listener("trusted_proxies = [\"127.0.0.0/8\"]").quick_health_check();
    for name in NAMES {
        upstreams.push(Upstream::answering(name).await);
        setup = setup.target(name, upstreams.last().unwrap(), "");
    }
    let lb = setup.group("algorithm = \"round_robin\"").group(keys).start().await;
    (upstreams, lb)
}

/// Where each of so many addresses goes.
async fn all(lb: &Lb, addresses: u32) -> BTreeMap<u32, String> {
    let mut all = BTreeMap::new();
    for index in 0..addresses {
        let mut client = lb.connect().await;
        client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.{index}\r\n\r\n")).await;
        let response = client.response().await;
        assert_eq!(response.header("set-cookie"), None);
        all.insert(index, if response.status == 200 { response.text() } else { response.status.to_string() });
    }
    all
}

#[tokio::test]
async fn an_address_keeps_its_target_and_moves_only_while_that_is_away() {
    let (upstreams, lb) = behind_a_proxy("stickiness = { type = \"source_ip\" }").await;
    let first = all(&lb, 60).await;
    assert_eq!(all(&lb, 60).await, first);
    assert!(NAMES.iter().all(|name| first.values().filter(|target| target == name).count() >= 8), "{first:?}");
    let drained = lb.admin().post("/v1/target-groups/app/targets/t1/drain", "").await;
    assert_eq!(drained.status, 200);
    assert_eq!(all(&lb, 60).await, first, "addresses are all that is known: a drained target keeps its part of them");
    let own = first.values().filter(|target| *target == "t1").count();
    let shown = lb.admin().targets("app").await;
    assert_eq!(shown[1]["sessions"], own);
    upstreams[0].set_health(500);
    serves_as(&lb, "t0", "unhealthy").await;
    let away = all(&lb, 60).await;
    assert_eq!(all(&lb, 60).await, away);
    assert!(first.iter().all(|(address, target)| (target == "t0") == (away[address] != *target)));
    upstreams[0].set_health(200);
    serves_as(&lb, "t0", "healthy").await;
    assert_eq!(all(&lb, 60).await, first, "and back, when it is well again");
}

#[tokio::test]
async fn an_address_whose_target_is_away_is_refused_where_others_are_forbidden() {
    let (upstreams, lb) = behind_a_proxy("stickiness = { type = \"source_ip\", on_unavailable = \"fail\" }").await;
    let first = all(&lb, 30).await;
    upstreams[0].set_health(500);
    serves_as(&lb, "t0", "unhealthy").await;
    let away = all(&lb, 30).await;
    assert!(first.iter().all(|(address, target)| away[address] == if target == "t0" { "503" } else { target }));
}
