//! Instances that the ELB API names by their ids and EC2 knows: moto as the real thing, and scripted answers for what it
//! never says. Nothing but loopback is ever asked or probed.

use std::net::SocketAddr;

use crate::harness::*;

const BACK: u16 = 8080;
const FRONT: u16 = 8000;
const LISTENER: &str = "HTTP:8000->HTTP:8080";
const ID: &str = "i-0123456789abcdef0";
const IN_SERVICE: &str = "InService N/A N/A";

/// elbow as it asks an endpoint for instances, with load balancers at an address.
fn setup(front: SocketAddr, endpoint: &str) -> Setup {
    let setup = Elb::setup(front.ip(), &[]).top("[elb_api.ec2]\nregion = \"us-east-1\"\ninterval = \"1s\"");
    aws::asking(setup, endpoint, endpoint)
}

fn named(id: &str) -> String {
    format!("LoadBalancerName=web&Instances.member.1.InstanceId={id}")
}

/// How an instance is told to be.
async fn health(elb: &Elb, id: &str) -> String {
    let answer = elb.done("DescribeInstanceHealth", &named(id)).await;
    let inside = |name: &str| {
        let (_, rest) = answer.split_once(&format!("<{name}>")).expect("it is there");
        rest.split_once("</").expect("it ends").0.to_owned()
    };
    ["State", "ReasonCode", "Description"].map(inside).join(" ")
}

async fn until_health(elb: &Elb, id: &str, expected: &str) {
    eventually(&format!("{id} to be {expected}"), PATIENCE, async || health(elb, id).await == expected).await;
}

fn is_in(state: &str) -> String {
    format!("OutOfService Instance Instance is in {state} state.")
}

/// Waits until requests are answered by all of these, and by nobody else.
async fn until_served_by(front: SocketAddr, expected: &[&str]) {
    eventually(&format!("{expected:?} to serve"), PATIENCE, async || {
        let mut who = Vec::new();
        for _ in 0..24 {
            who.push(get(front, "/").await.text());
        }
        who.sort();
        who.dedup();
        who == expected
    })
    .await;
}

#[tokio::test]
async fn instances_are_found_by_their_ids_and_followed_through_their_lives() {
    let one = Upstream::on_port(BACK, |_| answer(200, "one")).await;
    let two = Upstream::on_port(BACK, |_| answer(200, "two")).await;
    let moto = Moto::start().await;
    let first = moto.run_instance("web", &one.address().ip().to_string()).await;
    let second = moto.run_instance("web", &two.address().ip().to_string()).await;
    let front = SocketAddr::new(own_address(), FRONT);
    let mut lb = setup(front, &moto.url()).start_cold().await;
    let elb = Elb::of(&lb);
    elb.create("web", &[LISTENER]).await;
    elb.register("web", &[&first, &second]).await;
    until_served_by(front, &["one", "two"]).await;
    let target = lb.admin().targets("web").await.into_iter().find(|target| target["id"] == *first).unwrap();
    assert_eq!(target["zone"], "us-east-1a");

    let (code, message) = elb.refused("RegisterInstancesWithLoadBalancer", &named(ID)).await;
    assert_eq!((code.as_str(), message), ("InvalidInstance", format!("Could not find EC2 instance {ID}.")));
    assert!(!elb.done("DescribeLoadBalancers", "").await.contains(ID));

    moto.to("StopInstances", &first).await;
    until_health(&elb, &first, &is_in("stopped")).await;
    until_served_by(front, &["two"]).await;
    moto.to("StartInstances", &first).await;
    until_health(&elb, &first, IN_SERVICE).await;
    until_served_by(front, &["one", "two"]).await;
    moto.to("TerminateInstances", &second).await;
    eventually("the terminated one to drop out", PATIENCE, async || {
        !elb.done("DescribeInstanceHealth", "LoadBalancerName=web").await.contains(&second)
    })
    .await;
    until_served_by(front, &["one"]).await;
    assert_eq!(elb.refused("RegisterInstancesWithLoadBalancer", &named(&second)).await.0, "InvalidInstance");

    // Without EC2 a new start serves as before, and nobody is told that there is no such instance.
    lb.kill9().await;
    drop(moto);
    lb.start_again().await;
    let elb = Elb::of(&lb);
    elb.until_in_service("web", &[&first]).await;
    until_served_by(front, &["one"]).await;
    let answer = elb.ask("RegisterInstancesWithLoadBalancer", &named(ID)).await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(answer.text().contains("<Code>ServiceUnavailable</Code>"), "{}", answer.text());
    assert!(!elb.done("DescribeLoadBalancers", "").await.contains(ID), "nothing was changed");
    elb.deregister("web", &[&first]).await;
    assert_eq!(get(front, "/").await.status, 503);
}

/// What EC2 says of the one instance.
fn shown(state: &str, address: SocketAddr) -> Vec<Act> {
    aws::described(&[aws::instance(ID, state, address.ip(), None, &[])])
}

#[tokio::test]
async fn what_ec2_does_not_say_changes_nothing_and_what_it_says_does() {
    let instance = Upstream::on_port(BACK, |_| answer(200, "one")).await;
    let at = instance.address();
    let ec2 = Upstream::start(|_| vec![Act::Stall]).await;
    let front = SocketAddr::new(own_address(), FRONT);
    let lb = setup(front, &format!("http://{}", ec2.address())).start_cold().await;
    let elb = Elb::of(&lb);
    elb.create("web", &[LISTENER]).await;

    // Nobody waits for long for an EC2 that does not answer, nor for one that is asked too often.
    let late = elb.ask("RegisterInstancesWithLoadBalancer", &named(ID)).await;
    assert!(late.status == 503 && late.text().contains("within 3s"), "{}", late.text());
    let throttled = "<Response><Errors><Error><Code>RequestLimitExceeded</Code></Error></Errors></Response>";
    ec2.set(move |_| answer(503, throttled));
    eventually("to be told of throttling", PATIENCE * 3, async || {
        elb.ask("RegisterInstancesWithLoadBalancer", &named(ID)).await.text().contains("<Code>Throttling</Code>")
    })
    .await;
    assert!(!elb.done("DescribeLoadBalancers", "").await.contains(ID));

    ec2.set(move |_| shown("pending", at));
    eventually("it to be registered", PATIENCE, async || {
        elb.ask("RegisterInstancesWithLoadBalancer", &named(ID)).await.status == 200
    })
    .await;
    assert_eq!(health(&elb, ID).await, is_in("pending"));
    assert_eq!(get(front, "/").await.status, 503);
    ec2.set(move |_| shown("running", at));
    until_health(&elb, ID, IN_SERVICE).await;
    assert_eq!(get(front, "/").await.text(), "one");

    // One answer without it is not believed; four are.
    let asked = ec2.requests();
    ec2.set(|_| aws::described(&[]));
    ec2.wait_for_requests(asked + 2).await;
    assert_eq!(get(front, "/").await.text(), "one");
    assert!(lb.metric("elbow_discovery_held", &[("target_group", "web"), ("source", "ec2")]).await > 0.0);
    until_health(&elb, ID, &is_in("terminated")).await;
    assert_eq!(get(front, "/").await.status, 503);
    ec2.set(move |_| shown("running", at));
    until_health(&elb, ID, IN_SERVICE).await;

    ec2.set(move |_| shown("shutting-down", at));
    until_health(&elb, ID, &is_in("terminated")).await;
    assert_eq!(get(front, "/").await.status, 503);
    ec2.set(move |_| shown("terminated", at));
    eventually("it to drop out", PATIENCE, async || {
        !elb.done("DescribeInstanceHealth", "LoadBalancerName=web").await.contains(ID)
    })
    .await;
}
