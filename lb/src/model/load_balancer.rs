//! A load balancer of the ELB API: a name that groups what was made for it. Not here: what that API keeps of it beside
//! (`control`, to which alone [`LoadBalancer::facts`] mean something).

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use super::{
    Config, GroupName, Held, Listener, ListenerName, ObjectRef, Origin, Rejected, Target, TargetGroup, TargetId,
};

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

/// How load balancers are put and removed, with their parts.
impl Config {
    pub(super) fn put_load_balancer(
        &mut self,
        id: &LoadBalancerId,
        parts: &LoadBalancerParts,
        facts: &Arc<str>,
    ) -> Result<(), Rejected> {
        let wanted = LoadBalancer::of(id.clone(), Arc::clone(facts), parts);
        let before = self.load_balancers.get(id).cloned();
        self.refuse_parts_of_others(&wanted, before.as_deref())?;
        if let Some(before) = &before {
            self.drop_parts(&before.wanted, Some(&wanted))?;
        }
        self.put_group(Origin::Elb, &parts.target_group)?;
        let gone =
            self.targets_of(&wanted.target_group, |target| parts.targets.iter().all(|other| other.id != *target));
        for target in gone {
            self.delete_target(Origin::Elb, &wanted.target_group, &target)?;
        }
        for target in &parts.targets {
            self.declare_target(Origin::Elb, &wanted.target_group, target)?;
        }
        for listener in &parts.listeners {
            self.put_listener(Origin::Elb, listener)?;
        }
        if before.is_none_or(|before| before.wanted != wanted) {
            let held = Held { origin: Origin::Elb, revision: self.revision, wanted };
            self.load_balancers.insert(id.clone(), Arc::new(held));
        }
        Ok(())
    }

    pub(super) fn delete_load_balancer(&mut self, id: &LoadBalancerId) -> Result<(), Rejected> {
        let object = || ObjectRef::LoadBalancer(id.clone());
        let held = self.load_balancers.remove(id).ok_or_else(|| Rejected::NotFound(object()))?;
        self.drop_parts(&held.wanted, None)
    }

    /// Removes what was made for a load balancer and is not part of it any more.
    fn drop_parts(&mut self, before: &LoadBalancer, now: Option<&LoadBalancer>) -> Result<(), Rejected> {
        let stays = |name: &ListenerName| now.is_some_and(|now| now.listeners.contains(name));
        for name in before.listeners.iter().filter(|name| !stays(name)) {
            self.delete_listener(Origin::Elb, name)?;
        }
        match now {
            Some(now) if now.target_group == before.target_group => {}
            // With whatever else was registered there.
            _ => drop(self.groups.remove(&before.target_group)),
        }
        Ok(())
    }

    /// All load balancers have one origin, so it does not keep them from each other's parts.
    fn refuse_parts_of_others(
        &self,
        wanted: &LoadBalancer,
        before: Option<&Held<LoadBalancer>>,
    ) -> Result<(), Rejected> {
        let before = before.map(|before| &before.wanted);
        let is_own = |name: &ListenerName| before.is_some_and(|before| before.listeners.contains(name));
        let taken = |name: &&ListenerName| self.listeners.get(*name).is_some_and(|held| held.origin == Origin::Elb);
        if let Some(name) = wanted.listeners.iter().filter(|name| !is_own(name)).find(taken) {
            return Err(Rejected::Taken { object: ObjectRef::Listener(name.clone()) });
        }
        let name = &wanted.target_group;
        let is_own = before.is_some_and(|before| before.target_group == *name);
        match self.groups.get(name) {
            Some(group) if group.settings.origin == Origin::Elb && !is_own => {
                Err(Rejected::Taken { object: ObjectRef::TargetGroup(name.clone()) })
            }
            _ => Ok(()),
        }
    }

    /// The targets of a group that load balancers own and that this holds of.
    fn targets_of(&self, group: &GroupName, holds: impl Fn(&TargetId) -> bool) -> Vec<TargetId> {
        let targets = self.groups.get(group).into_iter().flat_map(|group| group.targets.values());
        let own = targets.filter(|held| held.origin == Origin::Elb).map(|held| held.declared.id.clone());
        own.filter(|id| holds(id)).collect()
    }
}

impl fmt::Display for LoadBalancerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.account, self.region, self.name)
    }
}
