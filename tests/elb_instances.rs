//! Instances of load balancers that are made over the ELB API: which zone they are in, and where they are.

use std::net::SocketAddr;

use crate::harness::*;

const BACK: u16 = 8080;
const FRONT: u16 = 8000;
const LISTENER: &str = "HTTP:8000->HTTP:8080";
const NO_ZONE: &str = "OutOfService ELB Instance is in the EC2 Availability Zone for which LoadBalancer is not \
                       configured to route traffic to.";
const CLOSING: &str = "OutOfService ELB Disable Availability Zone is currently in progress.";
const IN_SERVICE: &str = "InService N/A N/A";

/// How an instance is told to be.
async fn health(elb: &Elb, id: &str) -> String {
    let form = format!("LoadBalancerName=web&Instances.member.1.InstanceId={id}");
    let answer = elb.done("DescribeInstanceHealth", &form).await;
    let inside = |name: &str| {
        let (_, rest) = answer.split_once(&format!("<{name}>")).expect("it is there");
        rest.split_once("</").expect("it ends").0.to_owned()
    };
    ["State", "ReasonCode", "Description"].map(inside).join(" ")
}

async fn until_health(elb: &Elb, id: &str, expected: &str) {
    let mut told = String::new();
    eventually(&format!("{id} to be {expected}"), PATIENCE, async || {
        told = health(elb, id).await;
        told == expected
    })
    .await;
}

async fn zone(elb: &Elb, action: &str, zone: &str) {
    let action = format!("{action}AvailabilityZonesForLoadBalancer");
    elb.done(&action, &format!("LoadBalancerName=web&AvailabilityZones.member.1={zone}")).await;
}

async fn drain_for(elb: &Elb, seconds: u32) {
    let of = "LoadBalancerAttributes.ConnectionDraining";
    let form = format!("LoadBalancerName=web&{of}.Enabled=true&{of}.Timeout={seconds}");
    elb.done("ModifyLoadBalancerAttributes", &form).await;
}

/// Asks again and again until told to stop; how often, and that nothing failed.
async fn ask_on(front: SocketAddr, stop: Gate) -> usize {
    let mut client = Client::connect(front).await;
    let mut asked = 0;
    while !stop.is_open() {
        let answer = client.get("/").await;
        assert_eq!(answer.status, 200, "request {asked}: {}", answer.text());
        asked += 1;
    }
    asked
}

#[tokio::test]
async fn zones_open_and_close_under_load_without_a_failure() {
    let mut instances = Vec::new();
    for id in ["i-00000001", "i-00000002", "i-00000003"] {
        instances.push(Upstream::on_port(BACK, move |_| answer(200, id)).await);
    }
    let [first, second, third] = [0, 1, 2].map(|nth: usize| instances[nth].address().ip());
    // Nobody knows the zone of the third.
    let table = format!(
        "\"i-00000001\" = {{ address = \"{first}\", zone = \"us-east-1a\" }}\n\
         \"i-00000002\" = {{ address = \"{second}\", zone = \"us-east-1b\" }}\n\"i-00000003\" = \"{third}\"\n"
    );
    let front = SocketAddr::new(own_address(), FRONT);
    let lb = Elb::setup(front.ip(), &[]).top(&table).start_cold().await;
    let elb = Elb::of(&lb);
    elb.create("web", &[LISTENER]).await;
    drain_for(&elb, 60).await;
    let all = "LoadBalancerName=web&Instances.member.1.InstanceId=i-00000001&\
               Instances.member.2.InstanceId=i-00000002&Instances.member.3.InstanceId=i-00000003";
    elb.done("RegisterInstancesWithLoadBalancer", all).await;
    elb.until_in_service("web", &["i-00000001", "i-00000003"]).await;

    let stop = Gate::closed();
    let clients: Vec<_> = (0..4).map(|_| tokio::spawn(ask_on(front, stop.clone()))).collect();
    assert_eq!(health(&elb, "i-00000002").await, NO_ZONE);
    let target = lb.admin().targets("web").await.into_iter().find(|target| target["id"] == "i-00000002").unwrap();
    assert_eq!((&target["state"], &target["reason"]), (&"unused".into(), &"its zone us-east-1b is not served".into()));
    for upstream in [&instances[0], &instances[2]] {
        upstream.wait_for_requests(upstream.requests() + 20).await;
    }
    assert_eq!(instances[1].requests(), 0, "its zone is not enabled");

    // It is checked all the same, so that it serves as soon as its zone does.
    zone(&elb, "Enable", "us-east-1b").await;
    assert_eq!(health(&elb, "i-00000002").await, IN_SERVICE);
    instances[1].wait_for_requests(20).await;

    for _ in 0..5 {
        zone(&elb, "Disable", "us-east-1b").await;
        zone(&elb, "Enable", "us-east-1b").await;
    }
    // What is in flight may finish.
    let gate = Gate::closed();
    let held = gate.clone();
    instances[1].set(move |_| [vec![Act::ReadBody, Act::Until(held.clone())], answer(200, "late")].concat());
    let asked = instances[1].requests();
    instances[1].wait_for_requests(asked + 1).await;
    zone(&elb, "Disable", "us-east-1b").await;
    assert_eq!(health(&elb, "i-00000002").await, CLOSING);
    // What was chosen before has arrived by now, and it is all.
    pause(ms(100)).await;
    let asked = instances[1].requests();
    instances[0].wait_for_requests(instances[0].requests() + 20).await;
    assert_eq!(instances[1].requests(), asked);
    // It may come back before it is done, and goes again.
    zone(&elb, "Enable", "us-east-1b").await;
    assert_eq!(health(&elb, "i-00000002").await, IN_SERVICE);
    zone(&elb, "Disable", "us-east-1b").await;
    assert_eq!(health(&elb, "i-00000002").await, CLOSING);
    gate.open();
    until_health(&elb, "i-00000002", NO_ZONE).await;
    stop.open();
    for client in clients {
        assert!(client.await.expect("no request failed") > 0);
    }
}

#[tokio::test]
async fn what_outlasts_its_time_in_a_closed_zone_is_cut() {
    let instance = Upstream::on_port(BACK, |_| vec![Act::ReadBody, Act::Stall]).await;
    let front = SocketAddr::new(own_address(), FRONT);
    let table = format!("\"i-00000001\" = {{ address = \"{}\", zone = \"us-east-1a\" }}\n", instance.address().ip());
    let lb = Elb::setup(front.ip(), &[]).top(&table).start_cold().await;
    let elb = Elb::of(&lb);
    elb.create("web", &[LISTENER]).await;
    drain_for(&elb, 1).await;
    elb.register("web", &["i-00000001"]).await;
    let mut client = Client::connect(front).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    instance.wait_for_requests(1).await;
    zone(&elb, "Enable", "us-east-1b").await;
    zone(&elb, "Disable", "us-east-1a").await;
    assert_eq!(health(&elb, "i-00000001").await, CLOSING);
    let answer = client.response().await;
    assert!(answer.status >= 500, "{}", answer.status);
    until_health(&elb, "i-00000001", NO_ZONE).await;
    assert_eq!(get(front, "/").await.status, 503);
    // Deregistered, it is gone for those who list all.
    elb.deregister("web", &["i-00000001"]).await;
    let gone = "OutOfService Instance Instance is not currently registered with the LoadBalancer.";
    until_health(&elb, "i-00000001", gone).await;
    assert!(!elb.done("DescribeInstanceHealth", "LoadBalancerName=web").await.contains("i-00000001"));
}

#[tokio::test]
async fn an_instance_goes_where_the_table_says_it_is() {
    let old = Upstream::on_port(BACK, |_| answer(200, "old")).await;
    let new = Upstream::on_port(BACK, |_| answer(200, "new")).await;
    let last = Upstream::on_port(BACK, |_| answer(200, "last")).await;
    let front = SocketAddr::new(own_address(), FRONT);
    let table = |at: &[&Upstream]| {
        let at: Vec<_> = at.iter().map(|one| ("i-00000001", one.address().ip())).collect();
        Elb::setup(front.ip(), &at)
    };
    let mut lb = table(&[&old]).start_cold().await;
    let elb = Elb::of(&lb);
    elb.create("web", &[LISTENER]).await;
    elb.register("web", &["i-00000001"]).await;
    assert_eq!(get(front, "/").await.text(), "old");
    assert_eq!(lb.reload(&table(&[&new]).toml()).await.status, 200);
    elb.until_in_service("web", &["i-00000001"]).await;
    assert_eq!(get(front, "/").await.text(), "new");
    // Not known any more, it is where it was; a restart knows no better.
    assert_eq!(lb.reload(&table(&[]).toml()).await.status, 200);
    assert_eq!(get(front, "/").await.text(), "new");
    for (toml, expected) in [(table(&[]), "new"), (table(&[&last]), "last"), (table(&[]), "last")] {
        lb.kill9().await;
        lb.write_config(&toml.toml());
        lb.start_again().await;
        Elb::of(&lb).until_in_service("web", &["i-00000001"]).await;
        assert_eq!(get(front, "/").await.text(), expected);
    }
}
