//! How load balancers of the ELB API are carried out, and who may use that API.

use std::fmt;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use super::{Host, Network};

/// The account of a key that names none.
pub const DEFAULT_ACCOUNT: &str = "000000000000";

/// How load balancers of the ELB API are carried out, and who may use that API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ElbApi {
    /// Where their listeners bind: a network of one address, or one in which each load balancer gets its own.
    pub bind: Network,
    /// What DNS names end with that are made up for them.
    pub domain: Arc<str>,
    /// Whether whoever signs is let in, with whatever key.
    pub is_open: bool,
    /// The keys of those who may use it, beside the one in the state directory.
    pub access_keys: Vec<AccessKey>,
    /// How much of what there may be.
    pub quotas: Quotas,
    /// Whether instances are found in Amazon EC2 that nothing else knows, and how.
    pub ec2: Option<Ec2Directory>,
}

/// How instances are found in Amazon EC2 by their ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ec2Directory {
    /// Where they are. None: as the environment or the machine says.
    pub region: Option<Arc<str>>,
    /// How often those that are registered are looked at, from the end of one look to the beginning of the next.
    pub interval: Duration,
}

/// How much there may be. What is there already stays when less is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quotas {
    /// Load balancers of one account in one region.
    pub load_balancers_max: usize,
    /// Listeners of one load balancer.
    pub listeners_max: usize,
    /// Instances of one load balancer.
    pub instances_max: usize,
}

/// Where an instance is that the ELB API names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Its address, or a name that is resolved again and again.
    pub host: Host,
    /// The zone it is in, where that is told.
    pub zone: Option<Arc<str>>,
}

/// An access key for the ELB API. Its secrets are never shown, not even by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessKey {
    /// The key's id, which is no secret.
    pub id: Arc<str>,
    /// Whose load balancers it is for.
    pub account: Arc<str>,
    secret: Arc<str>,
    session_token: Option<Arc<str>>,
}

impl AccessKey {
    /// A key of an account.
    pub fn new(id: &str, account: &str, secret: &str, session_token: Option<&str>) -> Self {
        let session_token = session_token.map(Arc::from);
        Self { id: id.into(), account: account.into(), secret: secret.into(), session_token }
    }

    /// The secret, to check signatures with.
    pub fn secret(&self) -> &str {
        &self.secret
    }

    /// What requests have to present beside a signature, if anything.
    pub fn session_token(&self) -> Option<&str> {
        self.session_token.as_deref()
    }
}

impl Default for ElbApi {
    /// Every address of this machine, and names that nobody else gives.
    fn default() -> Self {
        let bind = Network::of(Ipv4Addr::UNSPECIFIED.into());
        Self {
            bind,
            domain: "internal".into(),
            is_open: false,
            access_keys: Vec::new(),
            quotas: Quotas::default(),
            ec2: None,
        }
    }
}

impl Default for Quotas {
    /// As the service has them that this stands in for.
    fn default() -> Self {
        Self { load_balancers_max: 20, listeners_max: 100, instances_max: 1000 }
    }
}

impl fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessKey").field("id", &self.id).field("account", &self.account).finish_non_exhaustive()
    }
}
