//! Requests that nobody's client sends: they are refused in time and in XML, and nothing changes.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use http::Method;

use crate::caller::{Call, Scene};

const WEB: &str = "LoadBalancerName=web&AvailabilityZones.member.1=a&Listeners.member.1.Protocol=HTTP&\
                   Listeners.member.1.LoadBalancerPort=8080&Listeners.member.1.InstancePort=80";
/// Far more than any of these may take, on a machine that is busy.
const BOUND: Duration = Duration::from_secs(5);

fn members(list: &str, rest: &str, count: usize) -> String {
    (1..=count).fold("LoadBalancerName=web".to_owned(), |mut form, nth| {
        let _ = write!(form, "&{list}.member.{nth}{rest}={nth}");
        form
    })
}

#[tokio::test]
async fn lists_without_end_are_refused_in_time() {
    let scene = Scene::start().await;
    scene.done("CreateLoadBalancer", WEB).await;
    for (action, form) in [
        ("RegisterInstancesWithLoadBalancer", members("Instances", ".InstanceId", 10_000)),
        ("DescribeInstanceHealth", members("Instances", ".InstanceId", 10_000)),
        ("CreateLoadBalancerListeners", members("Listeners", ".LoadBalancerPort", 10_000)),
        ("DeleteLoadBalancerListeners", members("LoadBalancerPorts", "", 10_000)),
        ("AttachLoadBalancerToSubnets", members("Subnets", "", 10_000)),
        ("AddTags", members("Tags", ".Key", 10_000)),
        ("DescribeLoadBalancers", members("LoadBalancerNames", "", 10_000)),
        ("SetLoadBalancerPoliciesOfListener", members("PolicyNames", "", 10_000)),
    ] {
        let begun = Instant::now();
        let refusal = scene.refused(action, &form).await;
        assert!(refusal.starts_with("400 ") && refusal.contains("less than or equal to 1000"), "{refusal}");
        assert!(begun.elapsed() < BOUND, "{action} took {:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn odd_indices_and_names_are_nobodys() {
    let scene = Scene::start().await;
    scene.done("CreateLoadBalancer", WEB).await;
    let deep = "Listeners.member.1.".repeat(2000);
    let odd = format!(
        "LoadBalancerName=web&Instances.member.99999999999999999999.InstanceId=i-1&Instances.member.-1.InstanceId=i-2&\
         Instances.member.+5.InstanceId=i-3&Instances.member.007.InstanceId=i-4&Instances.member..InstanceId=i-5&{deep}=x&\
         Instances.member.4000000000.InstanceId=i-87f232ed&Instances.member.7.InstanceId=i-85f232ef"
    );
    let answer = scene.done("RegisterInstancesWithLoadBalancer", &odd).await;
    let ids: Vec<_> = answer.split("<InstanceId>").skip(1).map(|rest| &rest[..10]).collect();
    assert_eq!(ids, ["i-85f232ef", "i-87f232ed"]);
    let values = format!("LoadBalancerName=web&PolicyName={}&CookieName=c", "p".repeat(100_000));
    let refusal = scene.refused("CreateAppCookieStickinessPolicy", &values).await;
    assert!(refusal.contains("less than or equal to 8192") && refusal.len() < 1000, "{refusal}");
}

#[tokio::test]
async fn bodies_of_a_mebibyte_are_read_and_larger_ones_refused() {
    let scene = Scene::start().await;
    let form = |bytes: usize| {
        let call = Call::of("DescribeAccountLimits", "Unknown=");
        Call { parameters: format!("{}{}", call.parameters, "x".repeat(bytes - call.parameters.len())), ..call }
    };
    assert_eq!(scene.send(form(1 << 20)).await.status, 200);
    let refusal = scene.unchanged(form((1 << 20) + 1)).await;
    assert!(refusal.starts_with("400 ") && refusal.contains("MalformedInput"), "{refusal}");
}

#[tokio::test]
async fn other_methods_and_versions_are_answered_without_html_or_5xx() {
    let scene = Scene::start().await;
    for version in ["2015-12-01", "2012-06-02", ""] {
        let parameters = format!("Action=DescribeLoadBalancers&Version={version}");
        let refusal = scene.unchanged(Call { parameters, ..Call::of("", "") }).await;
        assert!(refusal.starts_with("400 ") && refusal.contains("<Code>InvalidAction</Code>"), "{refusal}");
    }
    for version in ["2009-05-15", "2009-11-25", "2010-07-01", "2011-04-05", "2011-08-15", "2011-11-15"] {
        let parameters = format!("Action=DescribeLoadBalancers&Version={version}");
        assert_eq!(scene.send(Call { parameters, ..Call::of("", "") }).await.status, 200);
    }
    for method in [Method::HEAD, Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS] {
        for path in ["/", "/?Action=DescribeLoadBalancers&Version=2012-06-01"] {
            let answer = scene.house.ask(method.clone(), path).send().await;
            assert!(answer.status.is_client_error(), "{method} {path}: {}", answer.status);
            assert!(!answer.header("content-type").contains("html"), "{method} {path}");
        }
    }
    // Any bytes for a body.
    let noise: Vec<u8> = (0..=255).cycle().take(5000).collect();
    let answer = scene.house.ask(Method::POST, "/").without("authorization").raw_body(noise).send().await;
    assert_eq!(answer.status, 403, "{}", answer.text());
}
