//! Instances of Auto Scaling groups: who of them serves, who is left in peace to end, and what the group is told. moto
//! as the real thing, and scripted answers for what it never does.

use std::net::{IpAddr, Ipv4Addr};

use crate::harness::*;

const PORT: u16 = 8080;
const GROUP: &str = "fleet";
const GROUP_TAG: (&str, &str) = ("aws:autoscaling:groupName", GROUP);
const SIGHTINGS: [(&str, &str); 2] = [("target_group", "app"), ("source", "ec2")];

/// elbow as it finds instances by these keys of its table.
fn setup(ec2: &str, auto_scaling: &str, keys: &str) -> Setup {
    let table =
        format!("[target_group.discovery.ec2]\nregion = \"us-east-1\"\ninterval = \"1s\"\nport = {PORT}\n{keys}");
    let setup = Setup::default().quick_health_check().group("deregistration_delay = \"60s\"").more(&table);
    aws::asking(setup, ec2, auto_scaling)
}

fn url(upstream: &Upstream) -> String {
    format!("http://{}", upstream.address())
}

async fn until_targets(lb: &Lb, expected: &[(&str, &str)]) {
    let mut expected: Vec<_> = expected.iter().map(|(id, state)| ((*id).to_owned(), (*state).to_owned())).collect();
    expected.sort();
    eventually(&format!("targets {expected:?}"), PATIENCE * 2, async || {
        let states: Vec<_> = lb.target_states("app").await.into_iter().collect();
        states == expected
    })
    .await;
}

/// Waits until elbow has looked twice more, from beginning to end.
async fn two_more_looks(lb: &Lb) {
    for _ in 0..2 {
        let before = lb.metric("elbow_discovery_last_success_seconds", &SIGHTINGS).await;
        eventually("another look", PATIENCE, async || {
            lb.metric("elbow_discovery_last_success_seconds", &SIGHTINGS).await > before
        })
        .await;
    }
}

/// Whom so many requests one after another were answered by.
async fn served_by(lb: &Lb, count: usize) -> Vec<String> {
    let mut who = Vec::new();
    for _ in 0..count {
        who.push(lb.get("/").await.text());
    }
    who.sort();
    who.dedup();
    who
}

#[tokio::test]
async fn the_instances_of_a_group_serve_while_they_are_in_service_there() {
    let one = Upstream::on_port(PORT, |_| answer(200, "one")).await;
    let two = Upstream::on_port(PORT, |_| answer(200, "two")).await;
    let three = Upstream::on_port(PORT, |_| answer(200, "three")).await;
    let moto = Moto::start().await;
    let mut ids = Vec::new();
    for instance in [&one, &two, &three] {
        ids.push(moto.run_instance("web", &instance.address().ip().to_string()).await);
    }
    let ids: Vec<_> = ids.iter().map(String::as_str).collect();
    moto.run_instance("web", "127.77.9.9").await;
    moto.make_group(GROUP, &ids).await;
    let keys = format!("asg = \"{GROUP}\"\nset_instance_health = true");
    let lb = setup(&moto.url(), &moto.url(), &keys).start_cold().await;
    let healthy = |id| (id, "healthy");
    until_targets(&lb, &[healthy(ids[0]), healthy(ids[1]), healthy(ids[2])]).await;

    moto.in_group(GROUP, "EnterStandby", ids[0]).await;
    until_targets(&lb, &[healthy(ids[1]), healthy(ids[2])]).await;
    assert_eq!(served_by(&lb, 12).await, ["three", "two"]);
    moto.in_group(GROUP, "ExitStandby", ids[0]).await;
    until_targets(&lb, &[healthy(ids[0]), healthy(ids[1]), healthy(ids[2])]).await;

    // The group is told of one that fails, and not of most of them.
    assert!(!moto.group_instances().await.contains("Unhealthy"));
    two.set_health(500);
    eventually("the group to know", PATIENCE, async || {
        moto.group_instances().await.matches("<HealthStatus>Unhealthy").count() == 1
    })
    .await;
    three.set_health(500);
    until_targets(&lb, &[healthy(ids[0]), (ids[1], "unhealthy"), (ids[2], "unhealthy")]).await;
    two_more_looks(&lb).await;
    assert_eq!(moto.group_instances().await.matches("<HealthStatus>Unhealthy").count(), 1);

    moto.in_group(GROUP, "DetachInstances", ids[1]).await;
    until_targets(&lb, &[healthy(ids[0]), (ids[2], "unhealthy")]).await;
    assert_eq!(served_by(&lb, 12).await, ["one"]);
}

#[tokio::test]
async fn an_instance_that_is_to_end_finishes_its_work_and_is_then_let_go() {
    let gate = Gate::closed();
    let held = gate.clone();
    let one = Upstream::on_port(PORT, move |_| [vec![Act::Until(held.clone())], answer(200, "one")].concat()).await;
    let two = Upstream::on_port(PORT, |_| answer(200, "two")).await;
    let found = [("i-1", &one), ("i-2", &two)];
    let found = found.map(|(id, at)| aws::instance(id, "running", at.address().ip(), None, &[GROUP_TAG]));
    let ec2 = Upstream::start(move |_| aws::described(&found)).await;
    let auto_scaling = Upstream::start(|_| aws::group(GROUP, &[("i-1", "InService"), ("i-2", "InService")])).await;
    let completed = || {
        let bodies = auto_scaling.seen().into_iter().map(|request| String::from_utf8_lossy(&request.body).into_owned());
        bodies.filter(|body| body.contains("Action=CompleteLifecycleAction")).collect::<Vec<_>>()
    };
    let keys = format!("asg = \"{GROUP}\"\ncomplete_lifecycle_action = \"drained\"");
    let lb = setup(&url(&ec2), &url(&auto_scaling), &keys).start_cold().await;
    until_targets(&lb, &[("i-1", "healthy"), ("i-2", "healthy")]).await;

    let mut working = Client::connect(lb.web()).await;
    eventually("a request at the first", PATIENCE, async || {
        working = Client::connect(lb.web()).await;
        working.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let answered = tokio::time::timeout(std::time::Duration::from_millis(200), working.response_to("GET")).await;
        answered.is_err() && one.requests() == 1
    })
    .await;
    auto_scaling.set(|_| aws::group(GROUP, &[("i-1", "Terminating:Wait"), ("i-2", "InService")]));
    until_targets(&lb, &[("i-1", "draining"), ("i-2", "healthy")]).await;
    assert_eq!(served_by(&lb, 6).await, ["two"]);
    two_more_looks(&lb).await;
    assert!(completed().is_empty(), "it still works");
    gate.open();
    assert_eq!(working.response_to("GET").await.text(), "one");
    until_targets(&lb, &[("i-2", "healthy")]).await;
    eventually("the hook to be completed", PATIENCE, async || !completed().is_empty()).await;
    let told = completed().remove(0);
    for parameter in
        ["AutoScalingGroupName=fleet", "LifecycleHookName=drained", "InstanceId=i-1", "LifecycleActionResult=CONTINUE"]
    {
        assert!(told.split('&').any(|pair| pair == parameter), "{parameter}: {told}");
    }
    let scope = auto_scaling.seen()[0].header("authorization").expect("a signature").to_owned();
    assert!(scope.contains("/us-east-1/autoscaling/aws4_request"), "{scope}");
}

#[tokio::test]
async fn tags_say_the_weight_and_instances_can_be_reached_at_their_public_addresses() {
    let one = Upstream::on_port(PORT, |_| answer(200, "one")).await;
    let two = Upstream::on_port(PORT, |_| answer(200, "two")).await;
    let private = IpAddr::from(Ipv4Addr::new(127, 77, 9, 9));
    let tagged = |id: &str, public: Option<IpAddr>, weight: &str| {
        aws::instance(id, "running", private, public, &[("role", "web"), ("weight", weight), GROUP_TAG])
    };
    let found = [
        tagged("i-1", Some(one.address().ip()), "3"),
        tagged("i-2", Some(two.address().ip()), "lots"),
        tagged("i-3", None, "1"),
    ];
    let ec2 = Upstream::start(move |_| aws::described(&found)).await;
    let auto_scaling = Upstream::start(|_| aws::denied()).await;
    let keys = "tags = { role = \"web\" }\naddress = \"public\"\nweight_tag = \"weight\"";
    let setup = setup(&url(&ec2), &url(&auto_scaling), keys).group("algorithm = \"round_robin\"");
    let lb = setup.start_cold().await;
    // Who looks by tags alone needs no permission at Auto Scaling.
    until_targets(&lb, &[("i-1", "healthy"), ("i-2", "healthy")]).await;
    let mut ones = 0;
    for _ in 0..40 {
        ones += usize::from(lb.get("/").await.text() == "one");
    }
    // Each worker goes round on its own.
    assert!((28..=32).contains(&ones), "{ones} of 40 requests, with weights of 3 and 1");
    let logs = lb.logs();
    for told in ["its tag weight is no weight from 0 to 1000", "it has no such address", "by Auto Scaling"] {
        assert_eq!(logs.matches(told).count(), 1, "{told}: {logs}");
    }
}

#[tokio::test]
async fn a_group_that_may_not_be_asked_for_changes_nothing() {
    let one = Upstream::on_port(PORT, |_| answer(200, "one")).await;
    let found = aws::instance("i-1", "running", one.address().ip(), None, &[GROUP_TAG]);
    let ec2 = Upstream::start(move |_| aws::described(std::slice::from_ref(&found))).await;
    let auto_scaling = Upstream::start(|_| aws::group(GROUP, &[("i-1", "InService")])).await;
    let lb = setup(&url(&ec2), &url(&auto_scaling), &format!("asg = \"{GROUP}\"")).start_cold().await;
    until_targets(&lb, &[("i-1", "healthy")]).await;
    let before = lb.metric("elbow_discovery_errors_total", &SIGHTINGS).await;
    auto_scaling.set(|_| aws::denied());
    eventually("an error", PATIENCE, async || lb.metric("elbow_discovery_errors_total", &SIGHTINGS).await > before)
        .await;
    assert!(lb.logs().contains("AccessDenied"), "{}", lb.logs());
    assert_eq!(served_by(&lb, 3).await, ["one"]);
}
