//! What each action answers, word for word.

use control::elb::{Facts, Scheme};

use crate::caller::{ARN, Scene};

const WEB: &str = "LoadBalancerName=web&AvailabilityZones.member.1=us-east-1b&AvailabilityZones.member.2=us-east-1a&\
                   Listeners.member.1.Protocol=http&Listeners.member.1.LoadBalancerPort=8080&\
                   Listeners.member.1.InstancePort=80&Tags.member.1.Key=k";
const NAMED: &str = "LoadBalancerName=web";

async fn web() -> Scene {
    let scene = Scene::with_certificate().await;
    scene.done("CreateLoadBalancer", WEB).await;
    scene
}

/// Checks the answers of several actions, one after the other.
macro_rules! answers {
    ($scene:expr, $($action:literal $parameters:expr),+ $(,)?) => {
        $(
            let parameters: String = $parameters.to_string();
            insta::assert_snapshot!($action, $scene.done($action, &parameters).await, &parameters);
        )+
    };
}

#[tokio::test]
async fn load_balancers() {
    let scene = Scene::with_certificate().await;
    answers!(scene, "CreateLoadBalancer" WEB);
    insta::assert_snapshot!("one as it begins", scene.done("DescribeLoadBalancers", "").await);
    answers!(scene, "DescribeAccountLimits" "", "DeleteLoadBalancer" NAMED);
    insta::assert_snapshot!("none", scene.done("DescribeLoadBalancers", "").await);
    // Again, and one that never was.
    scene.done("DeleteLoadBalancer", NAMED).await;
    let internal = WEB.replace("web", "inner") + "&Scheme=internal";
    let internal = internal.replace("AvailabilityZones", "Subnets");
    insta::assert_snapshot!("internal", scene.done("CreateLoadBalancer", &internal).await);
    insta::assert_snapshot!("one that is internal", scene.done("DescribeLoadBalancers", "").await);
}

#[tokio::test]
async fn listeners() {
    let scene = web().await;
    let https = format!(
        "{NAMED}&Listeners.member.1.Protocol=HTTPS&Listeners.member.1.LoadBalancerPort=8443&\
         Listeners.member.1.InstancePort=80&Listeners.member.1.InstanceProtocol=http&\
         Listeners.member.1.SSLCertificateId={ARN}&Listeners.member.2.Protocol=TCP&\
         Listeners.member.2.LoadBalancerPort=8022&Listeners.member.2.InstancePort=22"
    );
    answers!(scene, "CreateLoadBalancerListeners" https);
    scene.done("CreateLoadBalancerListeners", &https).await;
    insta::assert_snapshot!("three listeners", scene.done("DescribeLoadBalancers", NAMED).await);
    let swap = format!("{NAMED}&LoadBalancerPort=8443&SSLCertificateId={ARN}");
    let ports = format!("{NAMED}&LoadBalancerPorts.member.1=8022&LoadBalancerPorts.member.2=9");
    answers!(scene, "SetLoadBalancerListenerSSLCertificate" swap, "DeleteLoadBalancerListeners" ports);
    scene.done("DeleteLoadBalancerListeners", &ports).await;
    scene.done("DeleteLoadBalancerListeners", &format!("{NAMED}&LoadBalancerPorts.member.1=8080")).await;
    scene.done("DeleteLoadBalancerListeners", &format!("{NAMED}&LoadBalancerPorts.member.1=8443")).await;
    insta::assert_snapshot!("no listeners", scene.done("DescribeLoadBalancers", NAMED).await);
}

#[tokio::test]
async fn instances() {
    let scene = web().await;
    let ids = format!("{NAMED}&Instances.member.1.InstanceId=i-87f232ed&Instances.member.2.InstanceId=i-85f232ef");
    let asked = format!("{NAMED}&Instances.member.2.InstanceId=i-87f232ed&Instances.member.1.InstanceId=i-00000003");
    let check = format!(
        "{NAMED}&HealthCheck.Target=http:80/ping%3Fa%26b&HealthCheck.Interval=30&HealthCheck.Timeout=3&\
         HealthCheck.UnhealthyThreshold=2&HealthCheck.HealthyThreshold=3"
    );
    answers!(scene, "RegisterInstancesWithLoadBalancer" ids, "DescribeInstanceHealth" asked, "ConfigureHealthCheck" check);
    let again = format!("{NAMED}&Instances.member.1.InstanceId=i-85f232ef");
    insta::assert_snapshot!("registered again", scene.done("RegisterInstancesWithLoadBalancer", &again).await);
    answers!(scene, "DeregisterInstancesFromLoadBalancer" again);
    insta::assert_snapshot!("deregistered again", scene.done("DeregisterInstancesFromLoadBalancer", &again).await);
}

#[tokio::test]
async fn policies() {
    let scene = web().await;
    let app = format!("{NAMED}&PolicyName=app&CookieName=JSESSIONID");
    let own = format!("{NAMED}&PolicyName=own");
    let proxy = format!(
        "{NAMED}&PolicyName=pp&PolicyTypeName=ProxyProtocolPolicyType&\
         PolicyAttributes.member.1.AttributeName=ProxyProtocol&PolicyAttributes.member.1.AttributeValue=true"
    );
    answers!(
        scene,
        "CreateAppCookieStickinessPolicy" app,
        "CreateLBCookieStickinessPolicy" own,
        "CreateLoadBalancerPolicy" proxy,
        "DescribeLoadBalancerPolicies" NAMED,
        "DescribeLoadBalancerPolicyTypes" "",
        "SetLoadBalancerPoliciesOfListener" format!("{NAMED}&LoadBalancerPort=8080&PolicyNames.member.1=own"),
        "SetLoadBalancerPoliciesForBackendServer" format!("{NAMED}&InstancePort=80&PolicyNames.member.1=pp"),
    );
    insta::assert_snapshot!("policies that are set", scene.done("DescribeLoadBalancers", NAMED).await);
    let predefined = "PolicyNames.member.1=ELBSecurityPolicy-2016-08";
    insta::assert_snapshot!("a predefined policy", scene.done("DescribeLoadBalancerPolicies", predefined).await);
    scene.done("SetLoadBalancerPoliciesOfListener", &format!("{NAMED}&LoadBalancerPort=8080&PolicyNames=")).await;
    answers!(scene, "DeleteLoadBalancerPolicy" own);
}

#[tokio::test]
async fn attributes_zones_and_tags() {
    let scene = web().await;
    let of = "LoadBalancerAttributes";
    let modify = format!(
        "{NAMED}&{of}.ConnectionDraining.Enabled=true&{of}.AccessLog.Enabled=true&{of}.AccessLog.S3BucketName=b&\
         {of}.AdditionalAttributes.member.1.Key=elb.http.desyncmitigationmode&\
         {of}.AdditionalAttributes.member.1.Value=strictest"
    );
    answers!(
        scene,
        "DescribeLoadBalancerAttributes" NAMED,
        "ModifyLoadBalancerAttributes" modify,
        "EnableAvailabilityZonesForLoadBalancer" format!("{NAMED}&AvailabilityZones.member.1=us-east-1c"),
        "DisableAvailabilityZonesForLoadBalancer" format!("{NAMED}&AvailabilityZones.member.1=us-east-1a"),
        "AttachLoadBalancerToSubnets" format!("{NAMED}&Subnets.member.1=subnet-2&Subnets.member.2=subnet-1"),
        "DetachLoadBalancerFromSubnets" format!("{NAMED}&Subnets.member.1=subnet-2"),
        "ApplySecurityGroupsToLoadBalancer" format!("{NAMED}&SecurityGroups.member.1=sg-1"),
        "AddTags" "LoadBalancerNames.member.1=web&Tags.member.1.Key=env&Tags.member.1.Value=dev",
        "DescribeTags" "LoadBalancerNames.member.1=web",
        "RemoveTags" "LoadBalancerNames.member.1=web&Tags.member.1.Key=k&Tags.member.2.Key=none",
    );
    insta::assert_snapshot!("attributes that were set", scene.done("DescribeLoadBalancerAttributes", NAMED).await);
}

#[tokio::test]
async fn a_creation_repeated_is_the_same_whatever_its_order() {
    let scene = web().await;
    let first = scene.done("DescribeLoadBalancers", NAMED).await;
    let swapped = WEB.replace("us-east-1b", "x").replace("us-east-1a", "us-east-1b").replace('x', "us-east-1a");
    scene.done("CreateLoadBalancer", &swapped.replace("=http", "=HTTP")).await;
    let twice = format!("{WEB}&AvailabilityZones.member.3=us-east-1a");
    scene.done("CreateLoadBalancer", &twice).await;
    assert_eq!(scene.done("DescribeLoadBalancers", NAMED).await, first);
}

#[tokio::test]
async fn a_creation_that_another_version_kept_is_told_by_what_there_is() {
    let scene = web().await;
    let config = std::sync::Arc::clone(&scene.house.live.load().config);
    let (_, held) = config.load_balancers.iter().next().unwrap();
    let mut kept: serde_json::Value = serde_json::from_str(&held.wanted.facts).unwrap();
    let facts = Facts::read(&held.wanted.facts).unwrap();
    let asked = facts.created_with.clone().unwrap();
    for unknown in
        [serde_json::json!("Listener { port: 80 }"), serde_json::json!({ "ports": [] }), serde_json::json!(null)]
    {
        kept["created_with"] = unknown;
        let mut read = Facts::read(&kept.to_string()).unwrap();
        assert_eq!(read, Facts { created_with: None, ..facts.clone() });
        assert!(read.was_created_with(&asked));
        read.scheme = Scheme::Internal;
        assert!(!read.was_created_with(&asked));
    }
}

#[tokio::test]
async fn pages_go_on_where_they_ended_though_that_one_is_gone() {
    let scene = Scene::start().await;
    for (name, port) in [("c", 8081), ("a", 8082), ("b", 8083)] {
        let form = WEB.replace("=web", &format!("={name}")).replace("8080", &port.to_string());
        scene.done("CreateLoadBalancer", &form).await;
    }
    let inside = |text: &str, name: &str| {
        let (_, rest) = text.split_once(&format!("<{name}>"))?;
        Some(rest.split_once('<').unwrap().0.to_owned())
    };
    let mut seen = Vec::new();
    let mut marker = String::new();
    loop {
        let page = scene.done("DescribeLoadBalancers", &format!("PageSize=1&Marker={marker}")).await;
        let name = inside(&page, "LoadBalancerName").unwrap();
        scene.done("DeleteLoadBalancer", &format!("LoadBalancerName={name}")).await;
        seen.push(name);
        let Some(next) = inside(&page, "NextMarker") else { break };
        marker = next;
    }
    assert_eq!(seen, ["c", "a", "b"]);
}
