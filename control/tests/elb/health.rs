//! How instances are told to be: every situation that they can come into, word for word.

use std::sync::Arc;
use std::time::SystemTime;

use lb::model::{GroupName, TargetId};
use lb::state::{Backend, HealthState, Observation, Verdict};

use crate::caller::Scene;
use crate::house::eventually;

const NAMED: &str = "LoadBalancerName=web";

async fn web() -> Scene {
    let scene = Scene::start().await;
    let form = format!(
        "{NAMED}&AvailabilityZones.member.1=us-east-1a&Listeners.member.1.Protocol=HTTP&\
         Listeners.member.1.LoadBalancerPort=8080&Listeners.member.1.InstancePort=80"
    );
    scene.done("CreateLoadBalancer", &form).await;
    scene
}

impl Scene {
    async fn register(&self, id: &str) {
        self.done("RegisterInstancesWithLoadBalancer", &one(id)).await;
    }

    async fn zone(&self, action: &str, zone: &str) {
        let action = format!("{action}AvailabilityZonesForLoadBalancer");
        self.done(&action, &format!("{NAMED}&AvailabilityZones.member.1={zone}")).await;
    }

    fn backend(&self, id: &str) -> Arc<Backend> {
        let (group, id) = (GroupName::parse("web").unwrap(), TargetId::parse(id).unwrap());
        Arc::clone(&self.house.live.load().member(&group, &id).unwrap().backend)
    }

    fn checked(&self, id: &str, verdict: Verdict, recovering: bool) {
        let health = HealthState { verdict, recovering, reason: "a test says so".into(), since: SystemTime::now() };
        self.house.observer.observe(Observation::Health(self.backend(id).id, health));
    }

    /// The state of an instance, why, and in which words.
    async fn health(&self, id: &str) -> String {
        let answer = self.done("DescribeInstanceHealth", &one(id)).await;
        let inside = |name: &str| {
            let (_, rest) = answer.split_once(&format!("<{name}>")).unwrap();
            rest.split_once("</").unwrap().0.to_owned()
        };
        ["State", "ReasonCode", "Description"].map(inside).join(" | ")
    }

    async fn assert_health(&self, id: &str, expected: &str) {
        let mut told = String::new();
        eventually(&format!("{id} to be told {expected}"), async || {
            told = self.health(id).await;
            told == expected
        })
        .await;
    }

    /// Which instances are described where none is asked for.
    async fn listed(&self) -> Vec<String> {
        let answer = self.done("DescribeInstanceHealth", NAMED).await;
        let described = self.done("DescribeLoadBalancers", NAMED).await;
        let ids = |answer: &str| -> Vec<_> {
            let ids = answer.split("<InstanceId>").skip(1).map(|rest| rest.split_once('<').unwrap().0.to_owned());
            ids.collect()
        };
        assert_eq!(ids(&answer), ids(&described));
        ids(&answer)
    }
}

fn one(id: &str) -> String {
    format!("{NAMED}&Instances.member.1.InstanceId={id}")
}

const IN_SERVICE: &str = "InService | N/A | N/A";
const NOT_REGISTERED: &str = "OutOfService | Instance | Instance is not currently registered with the LoadBalancer.";
const FAILED: &str = "OutOfService | Instance | Instance has failed at least the UnhealthyThreshold number of health \
                      checks consecutively.";
const DRAINING: &str = "InService | N/A | Instance deregistration currently in progress.";
const NO_ZONE: &str = "OutOfService | ELB | Instance is in the EC2 Availability Zone for which LoadBalancer is not \
                       configured to route traffic to.";

#[tokio::test]
async fn by_its_checks() {
    let (scene, id) = (web().await, "i-87f232ed");
    scene.assert_health(id, NOT_REGISTERED).await;
    scene.register(id).await;
    scene.assert_health(id, "OutOfService | ELB | Instance registration is still in progress.").await;
    scene.checked(id, Verdict::Healthy, false);
    scene.assert_health(id, IN_SERVICE).await;
    scene.checked(id, Verdict::Unhealthy, false);
    scene.assert_health(id, FAILED).await;
    scene.checked(id, Verdict::Unhealthy, true);
    let recovering = "OutOfService | Instance | Instance has not passed the configured HealthyThreshold number of \
                      health checks consecutively.";
    scene.assert_health(id, recovering).await;
    scene.checked(id, Verdict::Unhealthy, false);
    scene.assert_health(id, FAILED).await;
    // Another check leaves it as it is.
    let check = "HealthCheck.Target=HTTP:81/&HealthCheck.Interval=30&HealthCheck.Timeout=3&\
                 HealthCheck.UnhealthyThreshold=2&HealthCheck.HealthyThreshold=2";
    scene.done("ConfigureHealthCheck", &format!("{NAMED}&{check}")).await;
    assert_eq!(scene.health(id).await, FAILED);
    // Where a name leads nowhere, there is nothing to check.
    scene.register("web-1.example").await;
    scene.assert_health("web-1.example", "Unknown | ELB | A transient error occurred. Please try again later.").await;
}

#[tokio::test]
async fn while_it_leaves() {
    let (scene, id) = (web().await, "i-87f232ed");
    let draining = "LoadBalancerAttributes.ConnectionDraining.Enabled=true";
    scene.done("ModifyLoadBalancerAttributes", &format!("{NAMED}&{draining}")).await;
    scene.register(id).await;
    scene.checked(id, Verdict::Healthy, false);
    scene.assert_health(id, IN_SERVICE).await;
    let work = scene.backend(id).begin(0).unwrap();
    let left = scene.done("DeregisterInstancesFromLoadBalancer", &one(id)).await;
    assert!(!left.contains(id), "{left}");
    assert_eq!(scene.health(id).await, DRAINING);
    assert_eq!(scene.listed().await, Vec::<String>::new());
    // Called back, it is as it was.
    scene.register(id).await;
    assert_eq!(scene.health(id).await, IN_SERVICE);
    assert_eq!(scene.listed().await, [id]);
    scene.done("DeregisterInstancesFromLoadBalancer", &one(id)).await;
    assert_eq!(scene.health(id).await, DRAINING);
    drop(work);
    scene.assert_health(id, NOT_REGISTERED).await;
}

#[tokio::test]
async fn by_its_zone() {
    let (scene, id) = (web().await, "i-00000004");
    let draining = "LoadBalancerAttributes.ConnectionDraining.Enabled=true";
    scene.done("ModifyLoadBalancerAttributes", &format!("{NAMED}&{draining}")).await;
    scene.register(id).await;
    assert_eq!(scene.health(id).await, NO_ZONE);
    // However its checks are.
    scene.checked(id, Verdict::Unhealthy, false);
    scene.checked(id, Verdict::Healthy, false);
    assert_eq!(scene.health(id).await, NO_ZONE);
    scene.zone("Enable", "us-east-1d").await;
    scene.assert_health(id, IN_SERVICE).await;
    let work = scene.backend(id).begin(0).unwrap();
    scene.zone("Disable", "us-east-1d").await;
    let closing = "OutOfService | ELB | Disable Availability Zone is currently in progress.";
    assert_eq!(scene.health(id).await, closing);
    assert_eq!(scene.listed().await, [id]);
    scene.zone("Enable", "us-east-1d").await;
    assert_eq!(scene.health(id).await, IN_SERVICE);
    scene.zone("Disable", "us-east-1d").await;
    drop(work);
    scene.assert_health(id, NO_ZONE).await;
    assert_eq!(scene.listed().await, [id]);
}
