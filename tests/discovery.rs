//! Targets found in EC2: moto as the real thing, and scripted answers for what it never does. Nothing but loopback is
//! ever asked or probed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use tokio::task::JoinSet;

use crate::harness::*;

const REGION: &str = "region = \"us-east-1\"";

/// elbow as it discovers instances whose role is `web` at a port, from an endpoint.
fn setup(endpoint: &str, port: u16, keys: &str) -> Setup {
    let table =
        format!("[target_group.discovery.ec2]\ntags = {{ role = \"web\" }}\ninterval = \"1s\"\nport = {port}\n{keys}");
    let setup = Setup::default().quick_health_check().group("deregistration_delay = \"10s\"").more(&table);
    aws::asking(setup, endpoint, endpoint)
}

/// An instance as EC2 writes it.
fn instance(id: &str, state: &str, address: SocketAddr) -> String {
    aws::instance(id, state, address.ip(), None, &[("role", "web"), ("port", &address.port().to_string())])
}

async fn is_held(lb: &Lb) -> bool {
    lb.metric("elbow_discovery_held", &[("target_group", "app"), ("source", "ec2")]).await > 0.0
}

async fn until_targets(lb: &Lb, count: usize, state: &str) {
    let all = || async { lb.target_states("app").await };
    eventually(&format!("{count} targets that are {state}"), PATIENCE * 3, async || {
        let states = all().await;
        states.len() == count && states.values().all(|now| now == state)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_hundred_instances_come_and_go_under_load() {
    let (moto, web) = (Moto::start().await, Upstream::everywhere(|_| answer(200, "hello")).await);
    let address = |nth: usize| format!("127.77.{}.{}", nth / 200, nth % 200 + 1);
    let mut ids = Vec::new();
    for nth in 0..300 {
        ids.push(moto.run_instance("web", &address(nth)).await);
    }
    moto.run_instance("db", "127.77.9.9").await;
    let lb = setup(&moto.url(), web.address().port(), REGION).start_cold().await;
    until_targets(&lb, 300, "healthy").await;
    let targets = lb.admin().targets("app").await;
    assert!(targets.iter().all(|target| target["owner"] == "ec2" && target["zone"] == "us-east-1a"), "{}", targets[0]);

    let (stop, mut clients) = (Arc::new(AtomicBool::new(false)), JoinSet::new());
    for _ in 0..8 {
        let (stop, web) = (Arc::clone(&stop), lb.web());
        clients.spawn(async move {
            let (mut client, mut count) = (Client::connect(web).await, 0);
            while !stop.load(Relaxed) {
                assert_eq!(client.get("/").await.status, 200);
                count += 1;
            }
            count
        });
    }
    for nth in 300..340 {
        ids.push(moto.run_instance("web", &address(nth)).await);
    }
    until_targets(&lb, 340, "healthy").await;
    for id in &ids[..30] {
        moto.to("TerminateInstances", id).await;
    }
    for id in &ids[30..40] {
        moto.to("StopInstances", id).await;
    }
    for id in &ids[40..50] {
        moto.untag(id).await;
    }
    until_targets(&lb, 290, "healthy").await;
    stop.store(true, Relaxed);
    let mut served = 0;
    while let Some(count) = clients.join_next().await {
        served += count.expect("no request fails");
    }
    assert!(served > 100, "{served} requests are no load");
}

#[tokio::test]
async fn answers_that_are_wrong_change_nothing() {
    let web = Upstream::answering("hello").await;
    let good = [instance("i-1", "running", web.address()), instance("i-2", "running", web.address())];
    let ec2 = Upstream::start({
        let good = good.clone();
        move |_| aws::described(&good)
    })
    .await;
    let lb =
        setup(&format!("http://{}", ec2.address()), 80, &format!("{REGION}\nport_tag = \"port\"")).start_cold().await;
    until_targets(&lb, 2, "healthy").await;
    let torn = format!("<DescribeInstancesResponse><reservationSet>{}", good[0]);
    let wrong: [Vec<Act>; 6] = [
        answer(503, "<Response><Errors><Error><Code>RequestLimitExceeded</Code></Error></Errors></Response>"),
        answer(200, torn),
        answer(200, "<html>a portal</html>"),
        answer(200, "<!DOCTYPE a [<!ENTITY b \"c\">]><DescribeInstancesResponse/>"),
        raw("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n<Desc"),
        vec![Act::Reset],
    ];
    for acts in wrong {
        let labels = [("target_group", "app"), ("source", "ec2")];
        let before = lb.metric("elbow_discovery_errors_total", &labels).await;
        let (failing, said) = (acts.clone(), format!("{acts:?}"));
        ec2.set(move |_| failing.clone());
        eventually(&format!("an error of {said}"), PATIENCE, async || {
            lb.metric("elbow_discovery_errors_total", &labels).await > before
        })
        .await;
        assert_eq!(lb.target_states("app").await.len(), 2, "{said} changed something");
        // A look that succeeds ends the backing off.
        let (good, failed_at) = (good.clone(), lb.metric("elbow_discovery_last_success_seconds", &labels).await);
        ec2.set(move |_| aws::described(&good));
        eventually("a good answer", PATIENCE, async || {
            lb.metric("elbow_discovery_last_success_seconds", &labels).await > failed_at
        })
        .await;
    }
    assert_eq!(lb.get("/").await.status, 200);
}

#[tokio::test]
async fn much_that_is_missing_at_once_is_held_and_what_is_gone_is_not() {
    let web = Upstream::answering("hello").await;
    let running = |id: &str| instance(id, "running", web.address());
    let all = [running("i-1"), running("i-2"), running("i-3")];
    let ec2 = Upstream::start(move |_| aws::described(&all)).await;
    let mut lb =
        setup(&format!("http://{}", ec2.address()), 80, &format!("{REGION}\nport_tag = \"port\"")).start_cold().await;
    until_targets(&lb, 3, "healthy").await;
    ec2.set(|_| aws::described(&[]));
    eventually("targets to be held", PATIENCE, async || is_held(&lb).await).await;
    assert_eq!(lb.target_states("app").await.len(), 3);
    until_targets(&lb, 0, "gone").await;
    assert!(lb.logs().contains("stay for three intervals"), "{}", lb.logs());

    let (one, two) = (running("i-1"), running("i-2"));
    ec2.set(move |_| aws::described(&[one.clone(), two.clone()]));
    until_targets(&lb, 2, "healthy").await;
    // Without AWS the last good set serves after a restart.
    lb.kill9().await;
    ec2.set(|_| vec![Act::Reset]);
    lb.start_again().await;
    until_targets(&lb, 2, "healthy").await;
    assert_eq!(lb.get("/").await.status, 200);

    let ended = [instance("i-1", "terminated", web.address()), instance("i-2", "shutting-down", web.address())];
    ec2.set(move |_| aws::described(&ended));
    until_targets(&lb, 0, "gone").await;
}

/// The metadata service of an instance, which insists on its tokens.
async fn metadata() -> Upstream {
    Upstream::start(|request| {
        let answer_with = |body: &str| {
            let length = body.len();
            raw(format!(
                "HTTP/1.1 200 OK\r\nX-Aws-Ec2-Metadata-Token-Ttl-Seconds: 21600\r\nContent-Length: {length}\r\n\r\n{body}"
            ))
        };
        match (request.method(), request.path()) {
            ("PUT", "/latest/api/token") => answer_with("token"),
            _ if request.header("x-aws-ec2-metadata-token") != Some("token") => answer(401, ""),
            (_, "/latest/user-data") => answer_with("role=web,db=127.201.207.180"),
            (_, "/latest/meta-data/instance-id") => answer_with("i-87f232ed"),
            (_, "/latest/meta-data/placement/region") => answer_with("us-east-1"),
            (_, "/latest/meta-data/placement/availability-zone") => answer_with("us-east-1c"),
            _ => answer(404, ""),
        }
    })
    .await
}

#[tokio::test]
async fn an_instance_knows_its_region_its_place_and_its_user_data() {
    let (imds, web) = (metadata().await, Upstream::answering("hello").await);
    let found = instance("i-1", "running", web.address());
    let ec2 = Upstream::start(move |_| aws::described(std::slice::from_ref(&found))).await;
    let setup = setup(&format!("http://{}", ec2.address()), 80, "port_tag = \"port\"");
    let setup =
        setup.more("[[target_group]]\nname = \"db\"\n[[target_group.target]]\naddress = \"${user_data:db}:5432\"");
    let setup = setup.environment("AWS_EC2_METADATA_DISABLED", "false");
    let setup = setup.environment("AWS_EC2_METADATA_SERVICE_ENDPOINT", &format!("http://{}", imds.address()));
    let lb = setup.start_cold().await;
    assert!(lb.target_states("db").await.contains_key("127.201.207.180:5432"));
    until_targets(&lb, 1, "healthy").await;
    eventually("its place in the log", PATIENCE, async || lb.logs().contains("us-east-1c")).await;
    let scope = ec2.seen()[0].header("authorization").expect("a signature").to_owned();
    assert!(scope.contains("/us-east-1/ec2/aws4_request"), "{scope}");
}

#[tokio::test]
async fn off_ec2_only_a_file_that_needs_user_data_is_refused() {
    let needs = Setup::default().target_at("${user_data:db}", SocketAddr::from(([127, 0, 0, 1], 9)), "");
    let output = needs.start_refused().await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("${user_data:db} is not known"), "{said}");
}
