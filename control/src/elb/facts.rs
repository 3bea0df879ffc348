//! What the Classic ELB API keeps of a load balancer (API reference 2012-06-01), as it is kept in the state.
//!
//! Legal by itself; what must hold between its parts is the API's to see to before it keeps them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};

/// All that is kept of one load balancer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    /// Tells its DNS name from those of others.
    pub dns_digits: u64,
    /// When it was made, in milliseconds since 1970.
    pub created_at_ms: u64,
    /// The name of its target group, and what the names of its listeners begin with.
    pub target_group: String,
    /// The address that its listeners bind, where each load balancer has its own.
    pub address: Option<IpAddr>,
    /// Whom it is for.
    pub scheme: Scheme,
    /// Its zones.
    pub availability_zones: Vec<String>,
    /// Its subnets.
    pub subnets: Vec<String>,
    /// Its security groups.
    pub security_groups: Vec<String>,
    /// Its listeners, in the order they were made.
    pub listeners: Vec<Listener>,
    /// Its policies, in the order they were made.
    pub policies: Vec<Policy>,
    /// The policies of instance ports.
    pub backend_policies: BackendPolicies,
    /// How its instances are checked.
    pub health_check: HealthCheck,
    /// Its instances, in the order they were registered.
    pub instances: Vec<Instance>,
    /// Its attributes.
    pub attributes: Attributes,
    /// Its tags, by key.
    pub tags: Vec<Tag>,
    /// What it was made with; none where that cannot be read any more.
    #[serde(default, deserialize_with = "if_readable")]
    pub created_with: Option<CreatedWith>,
}

/// All that makes a repeated creation equal to the first one, whatever the order it came in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreatedWith {
    /// Its listeners by their ports, without policies.
    listeners: BTreeMap<u16, Listener>,
    availability_zones: BTreeSet<String>,
    subnets: BTreeSet<String>,
    security_groups: BTreeSet<String>,
    scheme: Scheme,
}

/// The names of the policies of each instance port that has any.
pub type BackendPolicies = BTreeMap<u16, Vec<String>>;

/// Whom a load balancer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scheme {
    /// Everybody.
    #[serde(rename = "internet-facing")]
    InternetFacing,
    /// Its own network.
    #[serde(rename = "internal")]
    Internal,
}

/// One listener, with the policies that are enabled on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// What clients speak.
    pub protocol: Protocol,
    /// Where clients connect.
    pub port: u16,
    /// What instances speak.
    pub instance_protocol: Protocol,
    /// Where instances listen.
    pub instance_port: u16,
    /// The ARN of its certificate.
    pub certificate: Option<String>,
    /// The names of its policies.
    pub policies: Vec<String>,
}

/// What is spoken on a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Protocol {
    /// HTTP in the clear.
    Http,
    /// HTTP over TLS.
    Https,
    /// Any bytes.
    Tcp,
    /// Any bytes over TLS.
    Ssl,
}

/// A policy of one of the types that there are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Its name.
    pub name: String,
    /// The name of its type.
    pub type_name: String,
    /// Its attributes by name, in their order; a name may stand there several times.
    pub attributes: Vec<(String, String)>,
}

/// The types of policies that there are, by their names.
pub mod policy_type {
    /// Stickiness that lasts as long as a cookie of the application.
    pub const APP_COOKIE: &str = "AppCookieStickinessPolicyType";
    /// Stickiness for a time.
    pub const LB_COOKIE: &str = "LBCookieStickinessPolicyType";
    /// What is offered to clients over TLS.
    pub const SSL_NEGOTIATION: &str = "SSLNegotiationPolicyType";
    /// A header of the PROXY protocol ahead of connections to instances.
    pub const PROXY_PROTOCOL: &str = "ProxyProtocolPolicyType";
    /// A public key of instances.
    pub const PUBLIC_KEY: &str = "PublicKeyPolicyType";
    /// The public keys that instances must have.
    pub const BACKEND_AUTHENTICATION: &str = "BackendServerAuthenticationPolicyType";
    /// The attribute by which a policy of TLS takes over what a predefined one offers.
    pub const REFERENCE: &str = "Reference-Security-Policy";
    /// The attribute that says whose order of ciphers counts.
    pub const CIPHER_ORDER: &str = "Server-Defined-Cipher-Order";
}

/// How instances are checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HealthCheck {
    /// What is asked.
    pub target: HealthTarget,
    /// From the start of one check to the start of the next, in seconds.
    pub interval_s: u32,
    /// How long a check may take, in seconds.
    pub timeout_s: u32,
    /// Failures in a row that put an instance out of service.
    pub unhealthy_threshold: u8,
    /// Passes in a row that put it back.
    pub healthy_threshold: u8,
}

/// What a check asks, as in `HTTP:80/ping` or `TCP:22`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HealthTarget {
    /// How.
    pub protocol: Protocol,
    /// On which port.
    pub port: u16,
    /// For which path, where HTTP is spoken.
    pub path: Option<String>,
}

/// One registered instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Instance {
    /// Its id.
    pub id: String,
    /// Its host: an address, or a name that is resolved again and again. None: its machine has no address.
    pub host: Option<String>,
    /// A port of its own, where its id named one; else each listener names the port.
    pub port: Option<u16>,
    /// The zone it is in, where that is known.
    pub zone: Option<String>,
    /// How its machine is, where EC2 is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<Machine>,
}

/// How a machine in EC2 is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Machine {
    /// It begins.
    Pending,
    /// It runs.
    Running,
    /// It has stopped, or is about to, and may run again.
    Stopped,
    /// It is about to end.
    ShuttingDown,
    /// It has ended, or EC2 does not know it any more.
    Terminated,
}

/// What can be set on a load balancer as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attributes {
    /// Whether instances of all zones take part everywhere.
    pub cross_zone: bool,
    /// Where requests are logged to.
    pub access_log: AccessLog,
    /// What becomes of what is in flight at an instance that leaves.
    pub connection_draining: ConnectionDraining,
    /// How long a connection may be silent, in seconds.
    pub idle_timeout_s: u32,
    /// What becomes of requests that are unusual.
    pub desync_mitigation: DesyncMitigation,
    /// Other attributes, kept as they were given.
    pub additional: BTreeMap<String, String>,
}

/// Where requests are logged to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessLog {
    /// Whether they are.
    pub enabled: bool,
    /// The bucket.
    pub bucket: Option<String>,
    /// What names of objects in it begin with.
    pub prefix: Option<String>,
    /// How often, in minutes.
    pub interval_min: Option<u32>,
}

/// What becomes of what is in flight at an instance that leaves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConnectionDraining {
    /// Whether it may finish.
    pub enabled: bool,
    /// Within how long, in seconds.
    pub timeout_s: u32,
}

/// What becomes of requests that are unusual.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DesyncMitigation {
    /// They are counted.
    Monitor,
    /// After those that may be dangerous connections are closed.
    #[default]
    Defensive,
    /// Only what keeps to RFC 7230 is passed on.
    Strictest,
}

/// A tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tag {
    /// Its key.
    pub key: String,
    /// Its value; absent is not the same as empty.
    pub value: Option<String>,
}

/// Facts that a text does not hold: another version wrote it, or somebody changed it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(String);

impl Facts {
    /// Reads what [`Self::to_text`] wrote.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn read(text: &str) -> Result<Self, Unreadable> {
        serde_json::from_str(text).map_err(|error| Unreadable(error.to_string()))
    }

    /// As they are kept.
    pub fn to_text(&self) -> String {
        // Texts, numbers, and lists and tables of them always become JSON.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Whether the same is asked for as it was made with, or, where nobody knows that any more, as it is now.
    pub fn was_created_with(&self, asked: &CreatedWith) -> bool {
        match &self.created_with {
            Some(created_with) => created_with == asked,
            None => {
                let (zones, subnets) = (&self.availability_zones, &self.subnets);
                CreatedWith::of(&self.listeners, zones, subnets, &self.security_groups, self.scheme) == *asked
            }
        }
    }

    /// A policy by its name.
    pub fn policy(&self, name: &str) -> Option<&Policy> {
        self.policies.iter().find(|policy| policy.name == name)
    }

    /// Whether instances in a zone take traffic. One whose zone nobody knows always does.
    pub fn serves(&self, zone: Option<&str>) -> bool {
        let zones = &self.availability_zones;
        zones.is_empty() || zone.is_none_or(|zone| zones.iter().any(|enabled| enabled == zone))
    }

    /// The listener on a port.
    pub fn listener(&self, port: u16) -> Option<&Listener> {
        self.listeners.iter().find(|listener| listener.port == port)
    }
}

impl CreatedWith {
    /// What is asked for.
    pub fn of(
        listeners: &[Listener],
        availability_zones: &[String],
        subnets: &[String],
        security_groups: &[String],
        scheme: Scheme,
    ) -> Self {
        let set = |texts: &[String]| texts.iter().cloned().collect();
        let bare = |listener: &Listener| (listener.port, Listener { policies: Vec::new(), ..listener.clone() });
        Self {
            listeners: listeners.iter().map(bare).collect(),
            availability_zones: set(availability_zones),
            subnets: set(subnets),
            security_groups: set(security_groups),
            scheme,
        }
    }
}

impl Instance {
    /// Where work is sent to, if its machine runs, as far as anybody knows: else the address may be another's by now.
    pub fn reachable(&self) -> Option<&str> {
        self.host.as_deref().filter(|_| self.machine.is_none_or(|machine| machine == Machine::Running))
    }
}

impl Policy {
    /// The first value of an attribute.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes_named(name).next()
    }

    /// Every value of an attribute.
    pub fn attributes_named(&self, name: &str) -> impl Iterator<Item = &str> {
        self.attributes.iter().filter(move |(key, _)| key == name).map(|(_, value)| &**value)
    }
}

/// Reads what a version of elbow may have written otherwise: there is no harm in not knowing it.
fn if_readable<'de, D: Deserializer<'de>>(from: D) -> Result<Option<CreatedWith>, D::Error> {
    Ok(serde_json::from_value(serde_json::Value::deserialize(from)?).ok())
}

impl HealthCheck {
    /// The check that a load balancer has before another is asked for.
    pub fn of_port(port: u16) -> Self {
        let target = HealthTarget { protocol: Protocol::Tcp, port, path: None };
        Self { target, interval_s: 30, timeout_s: 5, unhealthy_threshold: 2, healthy_threshold: 10 }
    }
}

impl Attributes {
    /// The additional attribute, of elbow's own, that limits what is in flight at an instance.
    pub const CONNECTIONS_MAX: &str = "elbow.connections_max";

    /// What an instance may have in flight. 0: there is no limit.
    pub fn connections_max(&self) -> usize {
        self.additional.get(Self::CONNECTIONS_MAX).and_then(|value| Self::read_connections_max(value)).unwrap_or(0)
    }

    /// What a value of that attribute says: a number up to a million.
    pub fn read_connections_max(value: &str) -> Option<usize> {
        let is_number = value.bytes().all(|byte| byte.is_ascii_digit());
        value.parse().ok().filter(|count| is_number && *count <= 1_000_000)
    }
}

impl ConnectionDraining {
    /// How long what is in flight may take.
    pub fn delay(&self) -> Duration {
        if self.enabled { Duration::from_secs(self.timeout_s.into()) } else { Duration::ZERO }
    }
}

impl Default for Attributes {
    fn default() -> Self {
        Self {
            cross_zone: false,
            access_log: AccessLog::default(),
            connection_draining: ConnectionDraining { enabled: false, timeout_s: 300 },
            idle_timeout_s: 60,
            desync_mitigation: DesyncMitigation::default(),
            additional: BTreeMap::new(),
        }
    }
}

impl Protocol {
    /// As written, in any case.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Http, Self::Https, Self::Tcp, Self::Ssl].into_iter().find(|one| one.as_str().eq_ignore_ascii_case(text))
    }

    /// As the API writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "HTTP",
            Self::Https => "HTTPS",
            Self::Tcp => "TCP",
            Self::Ssl => "SSL",
        }
    }

    /// Whether it is over TLS.
    pub fn is_secure(self) -> bool {
        matches!(self, Self::Https | Self::Ssl)
    }

    /// Whether it is made of requests.
    pub fn is_http(self) -> bool {
        matches!(self, Self::Http | Self::Https)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for HealthTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}{}", self.protocol.as_str(), self.port, self.path.as_deref().unwrap_or_default())
    }
}
