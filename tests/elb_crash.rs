//! Changes of every kind that were made over the ELB API and answered: each is whole there after a kill -9.

use std::fmt::Write as _;
use std::net::SocketAddr;

use crate::harness::*;

const BACK: u16 = 8080;
const FRONT: u16 = 8000;
const HTTPS: u16 = 8443;

/// Every action that changes something, in an order in which each can be done.
const CHANGES: &[(&str, &str)] = &[
    (
        "RegisterInstancesWithLoadBalancer",
        "Instances.member.1.InstanceId=i-00000001&Instances.member.2.InstanceId=i-00000002",
    ),
    (
        "ConfigureHealthCheck",
        "HealthCheck.Target=HTTP:8080/up&HealthCheck.Interval=5&HealthCheck.Timeout=2\
         &HealthCheck.UnhealthyThreshold=3&HealthCheck.HealthyThreshold=2",
    ),
    (
        "CreateLoadBalancerListeners",
        "Listeners.member.1.Protocol=HTTPS&Listeners.member.1.LoadBalancerPort=8443\
         &Listeners.member.1.InstanceProtocol=HTTP&Listeners.member.1.InstancePort=8080\
         &Listeners.member.1.SSLCertificateId=arn:one",
    ),
    ("SetLoadBalancerListenerSSLCertificate", "LoadBalancerPort=8443&SSLCertificateId=arn:two"),
    ("CreateLBCookieStickinessPolicy", "PolicyName=sticky&CookieExpirationPeriod=60"),
    ("CreateAppCookieStickinessPolicy", "PolicyName=app&CookieName=session"),
    (
        "CreateLoadBalancerPolicy",
        "PolicyName=proxy&PolicyTypeName=ProxyProtocolPolicyType\
         &PolicyAttributes.member.1.AttributeName=ProxyProtocol&PolicyAttributes.member.1.AttributeValue=true",
    ),
    ("SetLoadBalancerPoliciesOfListener", "LoadBalancerPort=8000&PolicyNames.member.1=sticky"),
    ("SetLoadBalancerPoliciesForBackendServer", "InstancePort=8080&PolicyNames.member.1=proxy"),
    ("DeleteLoadBalancerPolicy", "PolicyName=app"),
    ("SetLoadBalancerPoliciesForBackendServer", "InstancePort=8080&PolicyNames="),
    (
        "ModifyLoadBalancerAttributes",
        "LoadBalancerAttributes.ConnectionDraining.Enabled=true&LoadBalancerAttributes.ConnectionDraining.Timeout=17\
         &LoadBalancerAttributes.ConnectionSettings.IdleTimeout=33",
    ),
    ("EnableAvailabilityZonesForLoadBalancer", "AvailabilityZones.member.1=us-east-1b"),
    ("DisableAvailabilityZonesForLoadBalancer", "AvailabilityZones.member.1=us-east-1a"),
    ("AddTags", "LoadBalancerNames.member.1=web&Tags.member.1.Key=one&Tags.member.1.Value=1&Tags.member.2.Key=two"),
    ("RemoveTags", "LoadBalancerNames.member.1=web&Tags.member.1.Key=two"),
    ("DeregisterInstancesFromLoadBalancer", "Instances.member.1.InstanceId=i-00000002"),
    ("DeleteLoadBalancerListeners", "LoadBalancerPorts.member.1=8443"),
];

/// All that the API tells of load balancers, but for the ids of its answers.
async fn told(elb: &Elb) -> String {
    let mut told = String::new();
    let asked = [
        ("DescribeLoadBalancers", ""),
        ("DescribeLoadBalancerAttributes", "LoadBalancerName=web"),
        ("DescribeLoadBalancerPolicies", "LoadBalancerName=web"),
        ("DescribeTags", "LoadBalancerNames.member.1=web"),
    ];
    for (action, parameters) in asked {
        let answer = elb.ask(action, parameters).await.text();
        let _ = writeln!(told, "{}", answer.split("<RequestId>").next().unwrap_or_default());
    }
    told
}

#[tokio::test]
async fn every_answered_change_is_there_after_a_kill() {
    let mut instances = Vec::new();
    for _ in 0..2 {
        instances.push(Upstream::on_port(BACK, |_| answer(200, "hello")).await);
    }
    let known: Vec<_> =
        ["i-00000001", "i-00000002"].into_iter().zip(&instances).map(|(id, one)| (id, one.address().ip())).collect();
    let secure = Secure::new();
    let [one, two] = [secure.ca.issue(&["shop.example"]), secure.ca.issue(&["shop.example"])];
    let secure = secure.with("one", &one).with("two", &two);
    let tables = ["one", "two"].into_iter().fold(secure.tables().to_owned(), |tables, name| {
        tables.replace(&format!("name = \"{name}\"\n"), &format!("name = \"{name}\"\narn = \"arn:{name}\"\n"))
    });
    let front = SocketAddr::new(own_address(), FRONT);
    let mut lb = Elb::setup(front.ip(), &known).more(&tables).start_cold().await;
    let mut elb = Elb::of(&lb);
    elb.create("web", &["HTTP:8000->HTTP:8080"]).await;
    let mut before = String::new();
    for (action, parameters) in CHANGES {
        let of = if parameters.contains("LoadBalancerNames") { "" } else { "LoadBalancerName=web&" };
        elb.done(action, &format!("{of}{parameters}")).await;
        let changed = told(&elb).await;
        assert_ne!(changed, before, "{action} changes what is told");
        lb.kill9().await;
        lb.start_again().await;
        elb = Elb::of(&lb);
        assert_eq!(told(&elb).await, changed, "after {action}");
        if *action == "SetLoadBalancerListenerSSLCertificate" {
            elb.until_in_service("web", &["i-00000001", "i-00000002"]).await;
            let output = secure.curl(SocketAddr::new(front.ip(), HTTPS), "/", &[]).await;
            assert_eq!(output.stdout, b"hello", "{output:?}");
        }
        before = changed;
    }
    elb.until_in_service("web", &["i-00000001"]).await;
    assert_eq!(get(front, "/").await.text(), "hello");
    assert!(Client::try_connect(SocketAddr::new(front.ip(), HTTPS)).await.is_none(), "it was deleted");

    elb.done("DeleteLoadBalancer", "LoadBalancerName=web").await;
    lb.kill9().await;
    lb.start_again().await;
    assert_eq!(
        Elb::of(&lb).refused("DescribeLoadBalancers", "LoadBalancerNames.member.1=web").await.0,
        "LoadBalancerNotFound"
    );
    assert!(Client::try_connect(front).await.is_none());
}
