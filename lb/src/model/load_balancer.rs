//! A load balancer of the ELB API: a name that groups what was made for it. Not here: what that API keeps of it beside
//! (`control`, to which alone [`LoadBalancer::facts`] mean something).

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use super::{GroupName, Listener, ListenerName, Target, TargetGroup};

/// Names a load balancer: each account has its own in each region.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LoadBalancerId {
    /// Whose it is.
    pub account: Arc<str>,
    /// Where it was made.
    pub region: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
}

/// A load balancer as it is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadBalancer {
    /// Which it is.
    pub id: LoadBalancerId,
    /// The target group that was made for it; its targets are the instances.
    pub target_group: GroupName,
    /// The listeners that were made for it.
    pub listeners: BTreeSet<ListenerName>,
    /// All that its API keeps of it, in that API's notation.
    pub facts: Arc<str>,
}

/// All that is made for a load balancer, which is nobody else's to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadBalancerParts {
    /// Its target group.
    pub target_group: TargetGroup,
    /// The targets of the group.
    pub targets: Vec<Target>,
    /// Its listeners.
    pub listeners: Vec<Listener>,
}

impl LoadBalancer {
    /// The one that these parts are made for.
    pub fn of(id: LoadBalancerId, facts: Arc<str>, parts: &LoadBalancerParts) -> Self {
        let listeners = parts.listeners.iter().map(|listener| listener.name.clone()).collect();
        Self { id, target_group: parts.target_group.name.clone(), listeners, facts }
    }
}

impl fmt::Display for LoadBalancerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.account, self.region, self.name)
    }
}
