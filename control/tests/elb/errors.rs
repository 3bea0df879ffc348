//! Every refusal of the API, word for word; none changes anything.

use std::net::TcpListener;

use crate::caller::{ARN, Call, Scene, masked};

const NAMED: &str = "LoadBalancerName=web";
const ZONE: &str = "AvailabilityZones.member.1=a";

fn listener(nth: u32, protocol: &str, port: u32) -> String {
    let of = format!("Listeners.member.{nth}");
    format!("&{of}.Protocol={protocol}&{of}.LoadBalancerPort={port}&{of}.InstancePort=80")
}

fn web() -> String {
    format!("{NAMED}&{ZONE}{}", listener(1, "HTTP", 8080))
}

async fn scene() -> Scene {
    let scene = Scene::with_certificate().await;
    scene.done("CreateLoadBalancer", &web()).await;
    for (name, type_name, attribute, value) in [
        ("own", "LBCookieStickinessPolicyType", "CookieExpirationPeriod", "60"),
        ("pp", "ProxyProtocolPolicyType", "ProxyProtocol", "true"),
    ] {
        let attribute = format!(
            "PolicyAttributes.member.1.AttributeName={attribute}&PolicyAttributes.member.1.AttributeValue={value}"
        );
        let form = format!("{NAMED}&PolicyName={name}&PolicyTypeName={type_name}&{attribute}");
        scene.done("CreateLoadBalancerPolicy", &form).await;
    }
    scene
        .done("SetLoadBalancerPoliciesOfListener", &format!("{NAMED}&LoadBalancerPort=8080&PolicyNames.member.1=own"))
        .await;
    scene
}

/// Each case is an action and its parameters; all refusals go into one golden file.
async fn refusals(scene: &Scene, cases: &[(&str, String)]) -> String {
    let mut golden = String::new();
    for (action, parameters) in cases {
        let refusal = scene.refused(action, parameters).await;
        golden += &format!("{action} {parameters}\n{refusal}\n");
    }
    golden
}

#[tokio::test]
async fn each_code() {
    let scene = scene().await;
    let other = |listeners: String| format!("LoadBalancerName=other&{ZONE}{listeners}");
    let tags = |count: u32| (1..=count).map(|nth| format!("&Tags.member.{nth}.Key=k{nth}")).collect::<String>();
    let policy = |rest: &str| format!("{NAMED}&{rest}");
    let unknown = ARN.replace("shop", "none");
    let cases = [
        ("DescribeLoadBalancers", "LoadBalancerNames.member.1=web&LoadBalancerNames.member.2=none".to_owned()),
        ("DescribeLoadBalancerAttributes", "LoadBalancerName=none".to_owned()),
        ("DescribeLoadBalancerPolicies", "LoadBalancerName=none".to_owned()),
        ("DescribeInstanceHealth", "LoadBalancerName=none".to_owned()),
        ("DescribeTags", "LoadBalancerNames.member.1=none".to_owned()),
        ("DeleteLoadBalancerPolicy", "LoadBalancerName=none&PolicyName=p".to_owned()),
        ("CreateLoadBalancer", web() + "&Scheme=internal"),
        ("CreateLoadBalancerListeners", format!("{NAMED}{}{}", listener(1, "TCP", 9000), listener(2, "TCP", 8080))),
        ("SetLoadBalancerListenerSSLCertificate", policy(&format!("LoadBalancerPort=1&SSLCertificateId={ARN}"))),
        ("SetLoadBalancerListenerSSLCertificate", policy(&format!("LoadBalancerPort=8080&SSLCertificateId={ARN}"))),
        (
            "CreateLoadBalancer",
            other(listener(1, "SSL", 8443) + &format!("&Listeners.member.1.SSLCertificateId={unknown}")),
        ),
        (
            "RegisterInstancesWithLoadBalancer",
            policy("Instances.member.1.InstanceId=i-87f232ed&Instances.member.2.InstanceId=i-none"),
        ),
        ("DeregisterInstancesFromLoadBalancer", policy("Instances.member.1.InstanceId=i-none")),
        ("DescribeInstanceHealth", policy("Instances.member.1.InstanceId=i-none")),
        ("SetLoadBalancerPoliciesOfListener", policy("LoadBalancerPort=8080&PolicyNames.member.1=none")),
        ("SetLoadBalancerPoliciesOfListener", policy("LoadBalancerPort=8080&PolicyNames.member.1=pp")),
        ("SetLoadBalancerPoliciesOfListener", policy("LoadBalancerPort=1&PolicyNames=")),
        ("SetLoadBalancerPoliciesForBackendServer", policy("InstancePort=80&PolicyNames.member.1=own")),
        ("SetLoadBalancerPoliciesForBackendServer", policy("InstancePort=81&PolicyNames.member.1=pp")),
        ("DescribeLoadBalancerPolicies", policy("PolicyNames.member.1=none")),
        ("DescribeLoadBalancerPolicyTypes", "PolicyTypeNames.member.1=none".to_owned()),
        ("CreateLoadBalancerPolicy", policy("PolicyName=x&PolicyTypeName=none")),
        ("CreateLBCookieStickinessPolicy", policy("PolicyName=own&CookieExpirationPeriod=60")),
        ("DeleteLoadBalancerPolicy", policy("PolicyName=own")),
        ("DeleteLoadBalancerPolicy", policy("PolicyName=none")),
        (
            "ModifyLoadBalancerAttributes",
            policy(
                "LoadBalancerAttributes.AdditionalAttributes.member.1.Key=a&LoadBalancerAttributes.AdditionalAttributes.member.1.Value=b",
            ),
        ),
        ("CreateLoadBalancer", other(listener(1, "HTTP", 8081)) + "&Scheme=none"),
        ("AddTags", format!("LoadBalancerNames.member.1=web{}", tags(11))),
        ("AddTags", "LoadBalancerNames.member.1=web&Tags.member.1.Key=a&Tags.member.2.Key=a".to_owned()),
        ("DisableAvailabilityZonesForLoadBalancer", policy(ZONE)),
        ("CreateLoadBalancer", other(listener(1, "HTTP", 8080))),
        ("Nothing", String::new()),
    ];
    insta::assert_snapshot!(refusals(&scene, &cases).await.replace(&scene.bind.to_string(), "[bind]"));
}

#[tokio::test]
async fn each_rule_of_parameters() {
    let scene = scene().await;
    let named = |name: &str| format!("LoadBalancerName={name}&{ZONE}{}", listener(1, "HTTP", 8081));
    let check = |target: &str, interval: u32, timeout: u32| {
        format!(
            "{NAMED}&HealthCheck.Target={target}&HealthCheck.Interval={interval}&HealthCheck.Timeout={timeout}&\
             HealthCheck.UnhealthyThreshold=2&HealthCheck.HealthyThreshold=2"
        )
    };
    let other = |rest: &str| format!("LoadBalancerName=other&{ZONE}{rest}");
    let limit = |value: &str| {
        let attribute = "LoadBalancerAttributes.AdditionalAttributes.member.1";
        format!("{NAMED}&{attribute}.Key=elbow.connections_max&{attribute}.Value={value}")
    };
    let cases = [
        ("CreateLoadBalancer", String::new()),
        ("CreateLoadBalancer", named("-a")),
        ("CreateLoadBalancer", named("a_b")),
        ("CreateLoadBalancer", named(&"a".repeat(33))),
        ("CreateLoadBalancer", named("a") + "&Subnets.member.1=s"),
        ("CreateLoadBalancer", other("&Listeners=")),
        ("CreateLoadBalancer", other(&listener(1, "UDP", 0))),
        ("CreateLoadBalancer", other(&listener(1, "HTTPS", 8443))),
        (
            "CreateLoadBalancer",
            other(&(listener(1, "HTTP", 8081) + &format!("&Listeners.member.1.SSLCertificateId={ARN}"))),
        ),
        ("CreateLoadBalancer", other(&(listener(1, "HTTP", 8081) + "&Listeners.member.1.InstanceProtocol=TCP"))),
        ("CreateLoadBalancer", other(&(listener(1, "HTTP", 8081) + &listener(2, "TCP", 8081)))),
        (
            "CreateLoadBalancer",
            other(
                &(listener(1, "HTTP", 8081)
                    + &listener(2, "HTTP", 8082)
                    + "&Listeners.member.2.InstanceProtocol=HTTPS"),
            ),
        ),
        ("CreateLoadBalancer", named("a").replace("8081", "eighty")),
        ("DescribeLoadBalancers", "PageSize=-1".to_owned()),
        ("DescribeLoadBalancers", "PageSize=401".to_owned()),
        ("DescribeLoadBalancers", "Marker=none".to_owned()),
        ("ConfigureHealthCheck", NAMED.to_owned()),
        ("ConfigureHealthCheck", check("TCP:80/", 30, 5)),
        ("ConfigureHealthCheck", check("HTTP:80", 30, 5)),
        ("ConfigureHealthCheck", check("HTTP:65536/", 30, 5)),
        ("ConfigureHealthCheck", check("HTTP:80/", 4, 61)),
        ("ConfigureHealthCheck", check("HTTP:80/", 30, 30)),
        ("CreateAppCookieStickinessPolicy", format!("{NAMED}&PolicyName=a_b&CookieName=c")),
        ("CreateAppCookieStickinessPolicy", format!("{NAMED}&PolicyName=a&CookieName=a%3Bb")),
        ("CreateLBCookieStickinessPolicy", format!("{NAMED}&PolicyName=a&CookieExpirationPeriod=-1")),
        ("ModifyLoadBalancerAttributes", NAMED.to_owned()),
        ("ModifyLoadBalancerAttributes", format!("{NAMED}&LoadBalancerAttributes.ConnectionSettings.IdleTimeout=4001")),
        (
            "ModifyLoadBalancerAttributes",
            format!("{NAMED}&LoadBalancerAttributes.CrossZoneLoadBalancing.Enabled=maybe"),
        ),
        ("ModifyLoadBalancerAttributes", format!("{NAMED}&LoadBalancerAttributes.AccessLog.Enabled=true")),
        ("ModifyLoadBalancerAttributes", limit("many")),
        ("ModifyLoadBalancerAttributes", limit("1000001")),
        ("AddTags", "LoadBalancerNames.member.1=web&LoadBalancerNames.member.2=web&Tags.member.1.Key=a".to_owned()),
        ("AddTags", "LoadBalancerNames.member.1=web&Tags.member.1.Key=aws:a".to_owned()),
        ("AddTags", "LoadBalancerNames.member.1=web&Tags.member.1.Key=a&Tags.member.1.Value=%3F".to_owned()),
    ];
    insta::assert_snapshot!(refusals(&scene, &cases).await);
}

#[tokio::test]
async fn quotas() {
    let scene = scene().await;
    for nth in 1..20 {
        let form = format!("LoadBalancerName=b{nth}&{ZONE}{}", listener(1, "HTTP", 9000 + nth));
        scene.done("CreateLoadBalancer", &form).await;
    }
    for nth in 2..100 {
        scene.done("CreateLBCookieStickinessPolicy", &format!("{NAMED}&PolicyName=p{nth}")).await;
    }
    let cases = [
        ("CreateLoadBalancer", format!("LoadBalancerName=b20&{ZONE}{}", listener(1, "HTTP", 9100))),
        ("CreateLBCookieStickinessPolicy", format!("{NAMED}&PolicyName=p100")),
    ];
    insta::assert_snapshot!(refusals(&scene, &cases).await);
}

#[tokio::test]
async fn quotas_that_are_lowered_take_nothing_away() {
    let scene = scene().await;
    scene.done("CreateLoadBalancer", &format!("LoadBalancerName=b&{ZONE}{}", listener(1, "HTTP", 8081))).await;
    let ids = format!("{NAMED}&Instances.member.1.InstanceId=i-87f232ed&Instances.member.2.InstanceId=i-85f232ef");
    let listeners = format!("{NAMED}{}{}", listener(1, "HTTP", 8080), listener(2, "TCP", 8082));
    scene.done("RegisterInstancesWithLoadBalancer", &ids).await;
    scene.done("CreateLoadBalancerListeners", &listeners).await;
    let before = scene.done("DescribeLoadBalancers", "").await;
    let quotas = "[elb_api]\nload_balancers_max = 1\nlisteners_max = 1\ninstances_max = 1\n";
    scene.reload(|file| file.replace("[elb_api]\n", quotas)).await;
    insta::assert_snapshot!("limits that are configured", scene.done("DescribeAccountLimits", "").await);
    // What is there stays, and may be asked for again.
    scene.done("RegisterInstancesWithLoadBalancer", &ids).await;
    scene.done("CreateLoadBalancerListeners", &listeners).await;
    scene.done("CreateLoadBalancer", &web()).await;
    assert_eq!(scene.done("DescribeLoadBalancers", "").await, before);
    let cases = [
        ("RegisterInstancesWithLoadBalancer", format!("{NAMED}&Instances.member.1.InstanceId=i-00000003")),
        ("CreateLoadBalancerListeners", format!("{NAMED}{}", listener(1, "TCP", 8083))),
        ("CreateLoadBalancer", format!("LoadBalancerName=c&{ZONE}{}", listener(1, "HTTP", 8083))),
    ];
    insta::assert_snapshot!("above quotas that were lowered", refusals(&scene, &cases).await);
}

#[tokio::test]
async fn a_request_names_its_action() {
    let scene = Scene::start().await;
    let nothing = Call { parameters: "Version=2012-06-01".to_owned(), ..Call::of("", "") };
    insta::assert_snapshot!(scene.unchanged(nothing).await);
}

#[tokio::test]
async fn a_port_that_somebody_else_has_is_refused_with_the_reason() {
    let scene = Scene::start().await;
    let _taken = TcpListener::bind((scene.bind, 8080)).unwrap();
    let refusal = scene.refused("CreateLoadBalancer", &web()).await;
    insta::assert_snapshot!(refusal.replace(&scene.bind.to_string(), "[bind]"));
    assert!(!masked(&scene.call("DescribeLoadBalancers", "").await).contains("web"));
}
