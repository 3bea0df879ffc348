//! A client of the ELB API: forms, signed with Signature Version 4 by an implementation that is not elbow's.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;

use super::client::{Client, Response};
use super::{Lb, PATIENCE, Setup, eventually};

const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";

/// A client of the ELB API of a running elbow, with the key of its state directory.
pub struct Elb {
    address: SocketAddr,
    key: (String, String),
}

impl Elb {
    /// What elbow is started with: load balancers bind this address, and there are these instances.
    pub fn setup(bind: IpAddr, instances: &[(&str, IpAddr)]) -> Setup {
        let mut top = format!("[elb_api]\nbind = \"{bind}\"\n[instances]\n");
        for (id, address) in instances {
            let _ = writeln!(top, "\"{id}\" = \"{address}\"");
        }
        Setup::default().top(&top)
    }

    /// That of this elbow, as it runs now.
    pub fn of(lb: &Lb) -> Self {
        let kept = std::fs::read_to_string(lb.state_dir().join("aws-credentials")).expect("elbow makes a key");
        let value = |name: &str| kept.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = "));
        let value = |name: &str| value(name).expect("a whole key").to_owned();
        Self { address: lb.admin().address, key: (value("aws_access_key_id"), value("aws_secret_access_key")) }
    }

    /// The id of its key, and the secret.
    pub fn key(&self) -> (String, String) {
        self.key.clone()
    }

    /// Sends an action with these parameters, which are encoded already.
    pub async fn ask(&self, action: &str, parameters: &str) -> Response {
        let mut client = Client::connect(self.address).await;
        client.send(self.bytes(action, parameters)).await;
        client.response_to("POST").await
    }

    /// An action that must succeed; what it answered.
    pub async fn done(&self, action: &str, parameters: &str) -> String {
        let answer = self.ask(action, parameters).await;
        assert_eq!(answer.status, 200, "{action} {parameters}: {}", answer.text());
        answer.text()
    }

    /// An action that must be refused; with which code, and in which words.
    pub async fn refused(&self, action: &str, parameters: &str) -> (String, String) {
        let answer = self.ask(action, parameters).await;
        let text = answer.text();
        assert!((400..500).contains(&answer.status), "{action} {parameters}: {text}");
        (inside(&text, "Code").expect("a code"), inside(&text, "Message").expect("a message"))
    }

    /// A load balancer in one zone; each listener as `HTTP:80->HTTP:8080`, perhaps with `@ARN` behind.
    pub async fn create(&self, name: &str, listeners: &[&str]) {
        let parameters = format!("LoadBalancerName={name}&AvailabilityZones.member.1=us-east-1a{}", form_of(listeners));
        self.done("CreateLoadBalancer", &parameters).await;
    }

    /// Registers instances, and waits until they are in service.
    pub async fn register(&self, name: &str, instances: &[&str]) {
        let parameters = format!("LoadBalancerName={name}{}", list("Instances", "InstanceId", instances));
        self.done("RegisterInstancesWithLoadBalancer", &parameters).await;
        self.until_in_service(name, instances).await;
    }

    /// Deregisters instances.
    pub async fn deregister(&self, name: &str, instances: &[&str]) {
        let parameters = format!("LoadBalancerName={name}{}", list("Instances", "InstanceId", instances));
        self.done("DeregisterInstancesFromLoadBalancer", &parameters).await;
    }

    /// Waits until these instances are in service.
    pub async fn until_in_service(&self, name: &str, instances: &[&str]) {
        let parameters = format!("LoadBalancerName={name}{}", list("Instances", "InstanceId", instances));
        eventually("all instances to be in service", PATIENCE, async || {
            let health = self.done("DescribeInstanceHealth", &parameters).await;
            health.matches("<State>InService</State>").count() == instances.len()
        })
        .await;
    }

    /// Makes a policy; each attribute as `NAME=VALUE`.
    pub async fn policy(&self, load_balancer: &str, name: &str, type_name: &str, attributes: &[(&str, &str)]) {
        let mut form = format!("LoadBalancerName={load_balancer}&PolicyName={name}&PolicyTypeName={type_name}");
        for (index, (name, value)) in attributes.iter().enumerate() {
            let member = format!("PolicyAttributes.member.{}", index + 1);
            let value: String = form_urlencoded::byte_serialize(value.as_bytes()).collect();
            let _ = write!(form, "&{member}.AttributeName={name}&{member}.AttributeValue={value}");
        }
        self.done("CreateLoadBalancerPolicy", &form).await;
    }

    /// Sets the policies of a listener, and no others.
    pub async fn set_of_listener(&self, name: &str, port: u16, policies: &[&str]) {
        let form = format!("LoadBalancerName={name}&LoadBalancerPort={port}{}", names("PolicyNames", policies));
        self.done("SetLoadBalancerPoliciesOfListener", &form).await;
    }

    /// A request with its signature, as it goes over the wire.
    fn bytes(&self, action: &str, parameters: &str) -> Vec<u8> {
        let body = format!("Action={action}&Version=2012-06-01&{parameters}");
        let host = self.address.to_string();
        let identity = Credentials::new(&*self.key.0, &*self.key.1, None, None, "a test").into();
        let of = SigningParams::builder().identity(&identity).region("us-east-1").name("elasticloadbalancing");
        let of = of.time(SystemTime::now()).settings(SigningSettings::default()).build().expect("all is given").into();
        let headers = [("host", host.as_str()), ("content-type", FORM)];
        let signable = SignableBody::Bytes(body.as_bytes());
        let request = SignableRequest::new("POST", format!("http://{host}/"), headers.into_iter(), signable);
        let (instructions, _) = sign(request.expect("it can be signed"), &of).expect("it is signed").into_parts();
        let mut head = format!("POST / HTTP/1.1\r\nHost: {host}\r\nContent-Type: {FORM}\r\n");
        for (name, value) in instructions.headers() {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
    }
}

/// Listeners as parameters, each from `HTTP:80->HTTP:8080`, perhaps with `@ARN` behind.
fn form_of(listeners: &[&str]) -> String {
    let mut form = String::new();
    for (index, listener) in listeners.iter().enumerate() {
        let (ends, arn) = listener.split_once('@').map_or((*listener, None), |(ends, arn)| (ends, Some(arn)));
        let (front, back) = ends.split_once("->").expect("two ends");
        let ((protocol, port), (instance_protocol, instance_port)) =
            (front.split_once(':').expect("a port"), back.split_once(':').expect("a port"));
        let of = format!("&Listeners.member.{}", index + 1);
        let _ = write!(form, "{of}.Protocol={protocol}{of}.LoadBalancerPort={port}");
        let _ = write!(form, "{of}.InstanceProtocol={instance_protocol}{of}.InstancePort={instance_port}");
        if let Some(arn) = arn {
            let _ = write!(form, "{of}.SSLCertificateId={arn}");
        }
    }
    form
}

/// The text in the first element of this name.
fn inside(xml: &str, name: &str) -> Option<String> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    rest.split_once("</").map(|(inside, _)| inside.to_owned())
}

fn list(name: &str, member: &str, values: &[&str]) -> String {
    let numbered = values.iter().enumerate();
    numbered.map(|(index, value)| format!("&{name}.member.{}.{member}={value}", index + 1)).collect()
}

fn names(list: &str, values: &[&str]) -> String {
    if values.is_empty() {
        // The empty list, which is not the same as none.
        return format!("&{list}=");
    }
    let numbered = values.iter().enumerate();
    numbered.map(|(index, value)| format!("&{list}.member.{}={value}", index + 1)).collect()
}
