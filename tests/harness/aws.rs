//! AWS as tests play it: where elbow asks instead, and answers as EC2 and Auto Scaling write them. moto is another file.

use std::fmt::Write as _;
use std::net::IpAddr;

use super::{Act, Setup, answer};

/// elbow as it asks these endpoints instead of EC2 and Auto Scaling, with a key that nobody checks.
pub fn asking(setup: Setup, ec2: &str, auto_scaling: &str) -> Setup {
    let variables = [
        ("AWS_ENDPOINT_URL_EC2", ec2),
        ("AWS_ENDPOINT_URL_AUTO_SCALING", auto_scaling),
        ("AWS_ACCESS_KEY_ID", "a"),
        ("AWS_SECRET_ACCESS_KEY", "b"),
        ("AWS_CONFIG_FILE", "/dev/null"),
        ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
    ];
    variables.iter().fold(setup, |setup, (name, value)| setup.environment(name, value))
}

/// An instance as EC2 writes it; it may have a public address.
pub fn instance(id: &str, state: &str, private: IpAddr, public: Option<IpAddr>, tags: &[(&str, &str)]) -> String {
    let public = public.map(|address| format!("<ipAddress>{address}</ipAddress>")).unwrap_or_default();
    let mut tag_set = String::new();
    for (key, value) in tags {
        let _ = write!(tag_set, "<item><key>{key}</key><value>{value}</value></item>");
    }
    format!(
        "<item><instancesSet><item><instanceId>{id}</instanceId><instanceState><name>{state}</name></instanceState>\
         <privateIpAddress>{private}</privateIpAddress>{public}<placement>\
         <availabilityZone>us-east-1a</availabilityZone></placement><tagSet>{tag_set}</tagSet></item></instancesSet></item>"
    )
}

/// What EC2 answers to `DescribeInstances`.
pub fn described(instances: &[String]) -> Vec<Act> {
    let body = instances.concat();
    answer(
        200,
        format!("<DescribeInstancesResponse><reservationSet>{body}</reservationSet></DescribeInstancesResponse>"),
    )
}

/// What Auto Scaling answers to `DescribeAutoScalingGroups`: how the instances of the one group stand.
pub fn group(name: &str, standings: &[(&str, &str)]) -> Vec<Act> {
    let mut members = String::new();
    for (id, lifecycle) in standings {
        let _ = write!(
            members,
            "<member><InstanceId>{id}</InstanceId><LifecycleState>{lifecycle}</LifecycleState>\
             <HealthStatus>Healthy</HealthStatus></member>"
        );
    }
    let group =
        format!("<member><AutoScalingGroupName>{name}</AutoScalingGroupName><Instances>{members}</Instances></member>");
    answer(
        200,
        format!(
            "<DescribeAutoScalingGroupsResponse><DescribeAutoScalingGroupsResult><AutoScalingGroups>{group}\
             </AutoScalingGroups></DescribeAutoScalingGroupsResult></DescribeAutoScalingGroupsResponse>"
        ),
    )
}

/// What AWS answers to those who may not ask.
pub fn denied() -> Vec<Act> {
    answer(
        403,
        "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>not you</Message></Error></ErrorResponse>",
    )
}
