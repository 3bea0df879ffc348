//! moto, a stand-in for EC2 and Auto Scaling. Its instances are at loopback addresses.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use tokio::process::{Child, Command};

use super::{PATIENCE, eventually, exchange, own_address};

/// A running stand-in. It is killed when this value goes.
pub struct Moto {
    address: SocketAddr,
    _server: Child,
}

impl Moto {
    /// Starts one without any instance.
    pub async fn start() -> Self {
        let ip = own_address();
        let address = SocketAddr::new(ip, 5000);
        let mut server =
            Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("target/clients/moto/bin/moto_server"));
        server.args(["-H", &ip.to_string(), "-p", "5000"]).env("AWS_EC2_METADATA_DISABLED", "true");
        server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        let server = server.spawn().expect("moto is installed (tests/run does that)");
        eventually("moto to listen", PATIENCE, async || tokio::net::TcpStream::connect(address).await.is_ok()).await;
        Self { address, _server: server }
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Runs an instance with a role and hands back its id.
    pub async fn run_instance(&self, role: &str, address: &str) -> String {
        let tag = format!(
            "TagSpecification.1.ResourceType=instance&TagSpecification.1.Tag.1.Key=role&TagSpecification.1.Tag.1.Value={role}"
        );
        let form =
            format!("Action=RunInstances&ImageId=ami-12c6146b&MinCount=1&MaxCount=1&PrivateIpAddress={address}&{tag}");
        let answer = self.ec2(&form).await;
        let id = answer.split_once("<instanceId>").and_then(|(_, rest)| rest.split_once('<')).expect("an instance id");
        id.0.to_owned()
    }

    /// Does something to an instance, such as `TerminateInstances`.
    pub async fn to(&self, action: &str, instance: &str) {
        self.ec2(&format!("Action={action}&InstanceId.1={instance}")).await;
    }

    /// Takes the role from an instance.
    pub async fn untag(&self, instance: &str) {
        self.ec2(&format!("Action=DeleteTags&ResourceId.1={instance}&Tag.1.Key=role")).await;
    }

    /// Makes an Auto Scaling group of these instances.
    pub async fn make_group(&self, name: &str, instances: &[&str]) {
        self.auto_scaling(
            "Action=CreateLaunchConfiguration&LaunchConfigurationName=a&ImageId=ami-12c6146b&InstanceType=t2.micro",
        )
        .await;
        self.auto_scaling(&format!(
            "Action=CreateAutoScalingGroup&AutoScalingGroupName={name}&LaunchConfigurationName=a&MinSize=0&MaxSize=9\
             &DesiredCapacity=0&AvailabilityZones.member.1=us-east-1a"
        ))
        .await;
        for id in instances {
            self.in_group(name, "AttachInstances", id).await;
        }
    }

    /// Does something to an instance of a group, such as `EnterStandby`.
    pub async fn in_group(&self, name: &str, action: &str, instance: &str) {
        self.auto_scaling(&format!(
            "Action={action}&AutoScalingGroupName={name}&InstanceIds.member.1={instance}&ShouldDecrementDesiredCapacity=true"
        ))
        .await;
    }

    /// What `DescribeAutoScalingInstances` answers.
    pub async fn group_instances(&self) -> String {
        self.auto_scaling("Action=DescribeAutoScalingInstances").await
    }

    async fn ec2(&self, form: &str) -> String {
        self.ask("ec2", "2016-11-15", form).await
    }

    async fn auto_scaling(&self, form: &str) -> String {
        self.ask("autoscaling", "2011-01-01", form).await
    }

    async fn ask(&self, service: &str, version: &str, form: &str) -> String {
        let body = format!("{form}&Version={version}");
        let head = format!(
            "POST / HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: application/x-www-form-urlencoded\r\nAuthorization: AWS4-HMAC-SHA256 \
             Credential=a/20260101/us-east-1/{service}/aws4_request, SignedHeaders=host, Signature=0\r\nContent-Length: {}\r\n\r\n",
            self.address,
            body.len()
        );
        let response = exchange(self.address, head + &body).await.unwrap_or_else(|broken| panic!("moto: {broken:?}"));
        assert_eq!(response.status, 200, "{form}: {}", response.text());
        response.text()
    }
}
