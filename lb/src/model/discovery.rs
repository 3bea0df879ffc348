//! Where the targets of a group are found, where something finds them. Not here: looking (`control::discover`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::Origin;

/// A source of targets of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Discovery {
    /// Instances of Amazon EC2.
    Ec2(Ec2Discovery),
}

/// Which instances of Amazon EC2 are targets, and how they become so. It has tags, an Auto Scaling group, or both: then
/// both must fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ec2Discovery {
    /// All of these tags must fit: a tag fits with any of its values.
    pub tags: BTreeMap<Arc<str>, Vec<Arc<str>>>,
    /// The Auto Scaling group whose instances they are.
    pub asg: Option<Arc<str>>,
    /// Where they are. None: as the environment or the machine says.
    pub region: Option<Arc<str>>,
    /// Which of their addresses is meant.
    pub address: Ec2Address,
    /// Where they listen, where no tag says so. There is this or `port_tag`, or both.
    pub port: Option<u16>,
    /// The tag that says where an instance listens.
    pub port_tag: Option<Arc<str>>,
    /// The tag that says how much of the traffic an instance takes.
    pub weight_tag: Option<Arc<str>>,
    /// How often is looked, from the end of one look to the beginning of the next.
    pub interval: Duration,
    /// The lifecycle hook that is told when an instance that terminates has finished its work.
    pub complete_lifecycle_action: Option<Arc<str>>,
    /// Whether Auto Scaling is told of instances that fail their checks.
    pub set_instance_health: bool,
}

/// An address of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ec2Address {
    /// The private one of its primary interface.
    Private,
    /// The public one.
    Public,
}

impl Discovery {
    /// Who owns the targets that are found.
    pub fn origin(&self) -> Origin {
        match self {
            Self::Ec2(_) => Origin::Ec2,
        }
    }
}
