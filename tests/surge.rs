//! Waiting for room at the targets of a full group, as users see it: what is told of it, attempts that fail, and load
//! balancers of the ELB API. Order, calls and races: `lb/tests/traffic/surge.rs`.

use crate::harness::*;

const LIMITED: &str = "connections_max = 1\nalgorithm = \"round_robin\"\nejection = { failures = 0 }";

/// A target that answers when it is let.
async fn held(gate: &Gate) -> Upstream {
    let held = gate.clone();
    Upstream::start(move |_| [vec![Act::Until(held.clone())], answer(200, "ok")].concat()).await
}

async fn asking(lb: &Lb, id: &str) -> Client {
    let mut client = lb.connect().await;
    client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: {id}\r\n\r\n")).await;
    client
}

async fn until_waiting(lb: &Lb, count: f64) {
    let group = [("target_group", "app")];
    let waits = async || lb.metric("elbow_surge_queue_length", &group).await == count;
    eventually(&format!("{count} to wait"), PATIENCE, waits).await;
}

#[tokio::test]
async fn it_is_told_who_waits_and_who_waited() {
    let gate = Gate::closed();
    let upstream = held(&gate).await;
    let lb = Setup::targets(&[&upstream]).group(LIMITED).group("surge_queue_max = 1").start().await;
    let dry = async || {
        let run = lb.admin().post("/v1/explain", "{\"target_group\": \"app\"}").await.json();
        run["choice"]["failure"].as_str().unwrap_or_default().to_owned()
    };
    assert_eq!(dry().await, "");
    let mut first = asking(&lb, "first").await;
    upstream.wait_for_requests(1).await;
    let full = "all targets are at their limit of connections";
    assert_eq!(dry().await, format!("{full}: it would wait for up to 60s, behind 0"));
    let mut second = asking(&lb, "second").await;
    until_waiting(&lb, 1.0).await;
    assert_eq!(dry().await, format!("{full}, and as many requests wait as may"));
    let mut third = asking(&lb, "third").await;
    let spilled = third.response().await;
    spilled.assert_made_by_elbow(503);
    assert_eq!((spilled.header("retry-after"), lb.metric("elbow_spillover_total", &[]).await), (Some("1"), 1.0));
    gate.open();
    for client in [&mut first, &mut second] {
        assert_eq!(client.response().await.text(), "ok");
    }
    until_waiting(&lb, 0.0).await;
    let choice =
        async |id: &str| lb.admin().get(&format!("/v1/explain?request={id}")).await.json()[0]["choices"][0].clone();
    assert!(choice("first").await.get("waited_ms").is_none());
    assert!(choice("second").await["waited_ms"].as_f64().unwrap() > 0.0);
    let third = choice("third").await;
    assert_eq!(third["failure"], format!("{full}, and as many requests wait as may"));
    assert_eq!(third["others"][0]["why"], "it had no room, or others waited for it before", "{third:#}");
    let said = lb.cli(&["explain", "second"]).await;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(said.contains("ms of that in line for room)"), "{said}");
}

#[tokio::test]
async fn a_request_that_failed_waits_for_another_target_rather_than_fail_again() {
    let gate = Gate::closed();
    let alive = held(&gate).await;
    let mut dead = Upstream::answering("dead").await;
    let checks = "protocol = \"tcp\"\ninterval = \"300s\"\ntimeout = \"5s\"";
    let lb = Setup::targets(&[&alive, &dead]).group(LIMITED).health_check(checks).start().await;
    dead.stop().await;
    // Whichever is first: one is at the target that lives, and the other fails at the one that does not.
    let mut clients = [asking(&lb, "one").await, asking(&lb, "other").await];
    until_waiting(&lb, 1.0).await;
    alive.wait_for_requests(1).await;
    gate.open();
    for client in &mut clients {
        assert_eq!(client.response().await.text(), "ok");
    }
    assert_eq!(lb.metric("elbow_lb_responses_total", &[]).await, 0.0);
}

#[tokio::test]
async fn instances_of_a_load_balancer_have_a_limit_by_an_attribute() {
    let gate = Gate::closed();
    let upstream = held(&gate).await;
    let (address, port) = (own_address(), upstream.address().port());
    let lb = Elb::setup(address, &[("i-87f232ed", upstream.address().ip())]).start_cold().await;
    let elb = Elb::of(&lb);
    elb.create("shop", &[&format!("HTTP:8080->HTTP:{port}")]).await;
    let check = format!("HealthCheck.Target=TCP:{port}&HealthCheck.Interval=5&HealthCheck.Timeout=2");
    let check =
        format!("LoadBalancerName=shop&{check}&HealthCheck.UnhealthyThreshold=2&HealthCheck.HealthyThreshold=2");
    elb.done("ConfigureHealthCheck", &check).await;
    elb.register("shop", &["i-87f232ed"]).await;
    let attribute = "LoadBalancerAttributes.AdditionalAttributes.member.1";
    let limit =
        |value: &str| format!("LoadBalancerName=shop&{attribute}.Key=elbow.connections_max&{attribute}.Value={value}");
    elb.done("ModifyLoadBalancerAttributes", &limit("1")).await;
    assert!(elb.refused("ModifyLoadBalancerAttributes", &limit("-1")).await.1.contains("from 0"));
    let told = elb.done("DescribeLoadBalancerAttributes", "LoadBalancerName=shop").await;
    assert!(told.contains("<Key>elbow.connections_max</Key>") && told.contains("<Value>1</Value>"), "{told}");
    let group = lb.admin().get("/v1/target-groups/shop").await.json();
    assert_eq!((&group["connections_max"], &group["surge_queue_max"]), (&1.into(), &1024.into()));
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = Client::connect((address, 8080).into()).await;
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        clients.push(client);
    }
    let waiting = async || lb.metric("elbow_elb_surge_queue_length", &[("load_balancer", "shop")]).await;
    eventually("two to wait", PATIENCE, async || waiting().await == 2.0).await;
    assert_eq!(upstream.requests(), 1);
    // Without a limit nobody waits any more.
    elb.done("ModifyLoadBalancerAttributes", &limit("0")).await;
    upstream.wait_for_requests(3).await;
    gate.open();
    for client in &mut clients {
        assert_eq!(client.response().await.text(), "ok");
    }
    assert_eq!(waiting().await, 0.0);
}
