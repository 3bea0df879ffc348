//! All that is wanted, as one value, and how a change makes the next one.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use super::change::conflicts;
use super::{
    AcmeState, Certificate, CertificateName, Change, CookieKeys, Declared, Discovery, Global, GroupName, Listener,
    ListenerName, LoadBalancer, LoadBalancerId, ObjectRef, Rejected, Target, TargetGroup, TargetId, TargetProtocol,
    TicketKeys, Weight,
};

/// All that is wanted. Cheap to clone; every change makes a new one and shares what it did not touch.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Config {
    /// Counts changes; an object's own revision is the one that last touched it.
    pub revision: u64,
    /// Process-wide settings.
    pub global: Arc<Global>,
    /// The keys of elbow's own cookies.
    pub cookie_keys: Arc<CookieKeys>,
    /// The keys of TLS session tickets.
    pub ticket_keys: Arc<TicketKeys>,
    /// What is kept of automatic certificates.
    pub acme: Arc<AcmeState>,
    /// Certificates by name.
    pub certificates: BTreeMap<CertificateName, Arc<Held<Certificate>>>,
    /// Listeners by name.
    pub listeners: BTreeMap<ListenerName, Arc<Held<Listener>>>,
    /// Load balancers of the ELB API.
    pub load_balancers: BTreeMap<LoadBalancerId, Arc<Held<LoadBalancer>>>,
    /// Target groups, each with its targets, by name.
    pub groups: BTreeMap<GroupName, Arc<Group>>,
}

/// A target group and its targets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The group's own settings.
    pub settings: Arc<Held<TargetGroup>>,
    /// Its targets by id.
    pub targets: BTreeMap<TargetId, Arc<HeldTarget>>,
}

/// A wanted object with its owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held<T> {
    /// Who owns it.
    pub origin: Origin,
    /// The revision that last changed it.
    pub revision: u64,
    /// What is wanted.
    pub wanted: T,
}

/// A wanted target with its owner, and what was adjusted over its owner's head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldTarget {
    /// Who owns it.
    pub origin: Origin,
    /// The revision that last changed it.
    pub revision: u64,
    /// As its owner declared it.
    pub declared: Target,
    /// What was adjusted since. It stands until the owner declares the target differently.
    pub adjusted: Adjustment,
}

/// What may be adjusted on a target of any owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Adjustment {
    /// Another weight than declared.
    pub weight: Option<Weight>,
    /// Takes no new work but what is sticky to it.
    pub draining: bool,
}

/// Who owns an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// The configuration file.
    File,
    /// The admin API.
    Api,
    /// The ELB API, which is served at the admin address too: each object is part of a load balancer.
    Elb,
    /// Discovery in Amazon EC2, which owns targets only.
    Ec2,
}

impl Origin {
    /// Every origin.
    pub const ALL: [Self; 4] = [Self::File, Self::Api, Self::Elb, Self::Ec2];

    /// Whether it finds targets by looking for them.
    pub fn discovers(self) -> bool {
        self == Self::Ec2
    }

    /// Where it is to be changed.
    pub(super) fn in_words(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Api => "api",
            Self::Elb => "a load balancer of the ELB API",
            Self::Ec2 => "ec2",
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::File => "file",
            Self::Api | Self::Elb => "api",
            Self::Ec2 => "ec2",
        })
    }
}

impl HeldTarget {
    /// The weight that holds now.
    pub fn weight(&self) -> Weight {
        self.adjusted.weight.unwrap_or(self.declared.weight)
    }
}

impl Config {
    /// Makes the configuration that holds after one change.
    ///
    /// # Errors
    /// [`Rejected`]; `self` is as it was.
    pub fn apply(&self, change: &Change) -> Result<Self, Rejected> {
        self.apply_all(std::slice::from_ref(change))
    }

    /// Makes the configuration that holds after several changes, made as one: all of them or none. It has the next
    /// revision, or this one when nothing is different. What must hold between objects is asked of the outcome only.
    ///
    /// # Errors
    /// The first refusal.
    pub fn apply_all(&self, changes: &[Change]) -> Result<Self, Rejected> {
        let mut next = self.clone();
        next.revision += 1;
        for change in changes {
            next.make(change)?;
        }
        next.check(self)?;
        let same_keys = next.cookie_keys == self.cookie_keys && next.ticket_keys == self.ticket_keys;
        let same_keys = same_keys && next.acme == self.acme;
        let same_own = next.global == self.global && same_keys && next.certificates == self.certificates;
        let same_own = same_own && next.load_balancers == self.load_balancers;
        let same = same_own && next.listeners == self.listeners && next.groups == self.groups;
        Ok(if same { self.clone() } else { next })
    }

    /// The revision that last changed an object, where there is one.
    pub fn revision_of(&self, object: &ObjectRef) -> Option<u64> {
        match object {
            ObjectRef::Listener(name) => self.listeners.get(name).map(|held| held.revision),
            ObjectRef::Certificate(name) => self.certificates.get(name).map(|held| held.revision),
            ObjectRef::LoadBalancer(id) => self.load_balancers.get(id).map(|held| held.revision),
            ObjectRef::TargetGroup(name) => self.groups.get(name).map(|group| group.settings.revision),
            ObjectRef::Target(group, id) => self.target(group, id).map(|held| held.revision),
        }
    }

    /// A target of a group.
    pub fn target(&self, group: &GroupName, id: &TargetId) -> Option<&Arc<HeldTarget>> {
        self.groups.get(group)?.targets.get(id)
    }

    fn make(&mut self, change: &Change) -> Result<(), Rejected> {
        match change {
            Change::PutListener(origin, listener) => self.put_listener(*origin, listener),
            Change::DeleteListener(origin, name) => self.delete_listener(*origin, name),
            Change::PutCertificate(origin, certificate) => self.put_certificate(*origin, certificate),
            Change::DeleteCertificate(origin, name) => self.delete_certificate(*origin, name),
            Change::PutTargetGroup(origin, group) => self.put_group(*origin, group),
            Change::DeleteTargetGroup(origin, name) => self.delete_group(*origin, name),
            Change::PutTarget(origin, group, target) => self.put_target(*origin, group, target),
            Change::DeleteTarget(origin, group, id) => self.delete_target(*origin, group, id),
            Change::Drain(group, id, draining) => self.adjust(group, id, |adjusted, _| adjusted.draining = *draining),
            Change::Reweigh(group, id, weight) => self.reweigh(group, id, *weight),
            Change::Adjust(group, on, adjustment) => match self.target(group, &on.id) {
                Some(held) if held.declared == *on => self.adjust(group, &on.id, |adjusted, _| *adjusted = *adjustment),
                _ => Ok(()),
            },
            Change::PutLoadBalancer(id, parts, facts) => self.put_load_balancer(id, parts, facts),
            Change::DeleteLoadBalancer(id) => self.delete_load_balancer(id),
            Change::Declare(origin, declared) => self.declare(*origin, declared),
            Change::DeclareTargets(origin, group, targets) => self.declare_targets(*origin, group, targets),
            Change::PutCookieKeys(keys) => self.put_cookie_keys(keys.clone()),
            Change::PutTicketKeys(keys) => {
                self.ticket_keys = Arc::new(keys.clone());
                Ok(())
            }
            Change::PutAcmeAccount(account) => {
                Arc::make_mut(&mut self.acme).account = account.clone().map(Arc::new);
                Ok(())
            }
            Change::PutIssued(name, issued) => {
                let kept = &mut Arc::make_mut(&mut self.acme).issued;
                match issued {
                    Some(issued) => drop(kept.insert(name.clone(), Arc::new(issued.clone()))),
                    None => drop(kept.remove(name)),
                }
                Ok(())
            }
            Change::RotateCookieKey(key) => self.put_cookie_keys(self.cookie_keys.rotated(key.clone())),
        }
    }

    fn put_cookie_keys(&mut self, keys: CookieKeys) -> Result<(), Rejected> {
        if *self.cookie_keys != keys {
            self.cookie_keys = Arc::new(keys);
        }
        Ok(())
    }

    pub(super) fn put_listener(&mut self, origin: Origin, listener: &Listener) -> Result<(), Rejected> {
        let object = || ObjectRef::Listener(listener.name.clone());
        if let Some(held) = self.listeners.get(&listener.name) {
            owned(held.origin, origin, object)?;
            if held.wanted == *listener {
                return Ok(());
            }
        }
        let held = Held { origin, revision: self.revision, wanted: listener.clone() };
        self.listeners.insert(listener.name.clone(), Arc::new(held));
        Ok(())
    }

    pub(super) fn delete_listener(&mut self, origin: Origin, name: &ListenerName) -> Result<(), Rejected> {
        let object = || ObjectRef::Listener(name.clone());
        let held = self.listeners.get(name).ok_or_else(|| Rejected::NotFound(object()))?;
        owned(held.origin, origin, object)?;
        self.listeners.remove(name);
        Ok(())
    }

    fn put_certificate(&mut self, origin: Origin, certificate: &Certificate) -> Result<(), Rejected> {
        let object = || ObjectRef::Certificate(certificate.name.clone());
        if let Some(held) = self.certificates.get(&certificate.name) {
            owned(held.origin, origin, object)?;
            if held.wanted == *certificate {
                return Ok(());
            }
        }
        let held = Held { origin, revision: self.revision, wanted: certificate.clone() };
        self.certificates.insert(certificate.name.clone(), Arc::new(held));
        Ok(())
    }

    fn delete_certificate(&mut self, origin: Origin, name: &CertificateName) -> Result<(), Rejected> {
        let object = || ObjectRef::Certificate(name.clone());
        let held = self.certificates.get(name).ok_or_else(|| Rejected::NotFound(object()))?;
        owned(held.origin, origin, object)?;
        self.certificates.remove(name);
        Ok(())
    }

    pub(super) fn put_group(&mut self, origin: Origin, group: &TargetGroup) -> Result<(), Rejected> {
        let object = || ObjectRef::TargetGroup(group.name.clone());
        let held = || Arc::new(Held { origin, revision: self.revision, wanted: group.clone() });
        let next = match self.groups.get(&group.name) {
            Some(existing) => {
                owned(existing.settings.origin, origin, object)?;
                if existing.settings.wanted == *group {
                    return Ok(());
                }
                // What a source has found goes with the source.
                let source = group.discovery.as_ref().map(Discovery::origin);
                let stays = |held: &HeldTarget| !held.origin.discovers() || source == Some(held.origin);
                let targets = existing.targets.iter().filter(|(_, held)| stays(held));
                Group { settings: held(), targets: targets.map(|(id, held)| (id.clone(), Arc::clone(held))).collect() }
            }
            None => Group { settings: held(), targets: BTreeMap::new() },
        };
        self.groups.insert(group.name.clone(), Arc::new(next));
        Ok(())
    }

    fn delete_group(&mut self, origin: Origin, name: &GroupName) -> Result<(), Rejected> {
        let object = || ObjectRef::TargetGroup(name.clone());
        let group = self.groups.get(name).ok_or_else(|| Rejected::NotFound(object()))?;
        owned(group.settings.origin, origin, object)?;
        let foreign = group.targets.values().filter(|held| held.origin != origin);
        // What a source has found goes with the group.
        let mut foreign = foreign.filter(|held| !held.origin.discovers()).peekable();
        if foreign.peek().is_some() {
            let foreign = foreign.map(|held| (&held.declared.id, held.origin));
            return Err(Rejected::held_by_targets(name, foreign));
        }
        self.groups.remove(name);
        Ok(())
    }

    fn put_target(&mut self, origin: Origin, group: &GroupName, target: &Target) -> Result<(), Rejected> {
        let mut adjusted = Adjustment::default();
        if let Some(held) = self.target(group, &target.id) {
            owned(held.origin, origin, || ObjectRef::Target(group.clone(), target.id.clone()))?;
            if held.declared == *target && held.adjusted.weight.is_none() {
                return Ok(());
            }
            // A drain asked of the API outlives a new weight or address given by the API; a file that changes its
            // entry takes its target back whole.
            if origin == Origin::Api || held.declared == *target {
                adjusted.draining = held.adjusted.draining;
            }
        }
        let held = HeldTarget { origin, revision: self.revision, declared: target.clone(), adjusted };
        self.group_mut(group)?.targets.insert(target.id.clone(), Arc::new(held));
        Ok(())
    }

    pub(super) fn delete_target(&mut self, origin: Origin, group: &GroupName, id: &TargetId) -> Result<(), Rejected> {
        let object = || ObjectRef::Target(group.clone(), id.clone());
        let Some(held) = self.target(group, id) else {
            self.group(group)?;
            return Err(Rejected::NotFound(object()));
        };
        owned(held.origin, origin, object)?;
        self.group_mut(group)?.targets.remove(id);
        Ok(())
    }

    fn reweigh(&mut self, group: &GroupName, id: &TargetId, weight: Weight) -> Result<(), Rejected> {
        self.adjust(group, id, |adjusted, declared| {
            adjusted.weight = (declared.weight != weight).then_some(weight);
        })
    }

    fn adjust(
        &mut self,
        group: &GroupName,
        id: &TargetId,
        with: impl FnOnce(&mut Adjustment, &Target),
    ) -> Result<(), Rejected> {
        let Some(held) = self.target(group, id) else {
            self.group(group)?;
            return Err(Rejected::NotFound(ObjectRef::Target(group.clone(), id.clone())));
        };
        let mut adjusted = held.adjusted;
        with(&mut adjusted, &held.declared);
        if adjusted != held.adjusted {
            let held = HeldTarget { adjusted, revision: self.revision, ..HeldTarget::clone(held) };
            self.group_mut(group)?.targets.insert(id.clone(), Arc::new(held));
        }
        Ok(())
    }

    /// Takes over an origin's full set: what it declares is put, what it no longer declares goes.
    fn declare(&mut self, origin: Origin, declared: &Declared) -> Result<(), Rejected> {
        if let Some(twice) = declared.twice().into_iter().next() {
            return Err(twice);
        }
        if let Some(global) = &declared.global {
            self.global = Arc::new(global.clone());
        }
        self.certificates.retain(|name, held| {
            held.origin != origin || declared.certificates.iter().any(|certificate| certificate.name == *name)
        });
        for certificate in &declared.certificates {
            self.put_certificate(origin, certificate)?;
        }
        self.listeners.retain(|name, held| {
            held.origin != origin || declared.listeners.iter().any(|listener| listener.name == *name)
        });
        for group in &declared.target_groups {
            self.put_group(origin, group)?;
        }
        for listener in &declared.listeners {
            self.put_listener(origin, listener)?;
        }
        self.retain_declared_targets(origin, declared);
        for (group, target) in &declared.targets {
            self.declare_target(origin, group, target)?;
        }
        let dropped = self.groups.values().filter(|group| group.settings.origin == origin);
        let dropped = dropped.map(|group| group.settings.wanted.name.clone());
        let dropped: Vec<_> =
            dropped.filter(|name| !declared.target_groups.iter().any(|group| group.name == *name)).collect();
        for name in dropped {
            self.delete_group(origin, &name)?;
        }
        Ok(())
    }

    /// Takes over all that a source has found for one group. Another origin's targets are not touched.
    fn declare_targets(&mut self, origin: Origin, group: &GroupName, targets: &[Target]) -> Result<(), Rejected> {
        let source = self.group(group)?.settings.wanted.discovery.as_ref().map(Discovery::origin);
        if source != Some(origin) {
            return Err(Rejected::NoSource { target_group: group.clone(), origin });
        }
        let mut declared = BTreeSet::new();
        if let Some(twice) = targets.iter().find(|target| !declared.insert(&target.id)) {
            return Err(Rejected::Twice(ObjectRef::Target(group.clone(), twice.id.clone())));
        }
        let stays = |held: &HeldTarget| held.origin != origin || declared.contains(&held.declared.id);
        if !self.group(group)?.targets.values().all(|held| stays(held)) {
            self.group_mut(group)?.targets.retain(|_, held| stays(held));
        }
        targets.iter().try_for_each(|target| self.declare_target(origin, group, target))
    }

    /// As [`Self::put_target`], but an unchanged entry keeps what was adjusted on it.
    pub(super) fn declare_target(
        &mut self,
        origin: Origin,
        group: &GroupName,
        target: &Target,
    ) -> Result<(), Rejected> {
        let unchanged =
            self.target(group, &target.id).is_some_and(|held| held.origin == origin && held.declared == *target);
        if unchanged { Ok(()) } else { self.put_target(origin, group, target) }
    }

    fn retain_declared_targets(&mut self, origin: Origin, declared: &Declared) {
        let wanted: std::collections::HashSet<_> = declared.targets.iter().map(|(g, target)| (g, &target.id)).collect();
        for (name, group) in &mut self.groups {
            let stays = |held: &HeldTarget| held.origin != origin || wanted.contains(&(name, &held.declared.id));
            if !group.targets.values().all(|held| stays(held)) {
                Arc::make_mut(group).targets.retain(|_, held| stays(held));
            }
        }
    }

    fn group(&self, name: &GroupName) -> Result<&Arc<Group>, Rejected> {
        self.groups.get(name).ok_or_else(|| Rejected::NotFound(ObjectRef::TargetGroup(name.clone())))
    }

    fn group_mut(&mut self, name: &GroupName) -> Result<&mut Group, Rejected> {
        let group = self.groups.get_mut(name);
        group.map(Arc::make_mut).ok_or_else(|| Rejected::NotFound(ObjectRef::TargetGroup(name.clone())))
    }

    fn protocol_of(&self, group: &GroupName) -> Option<TargetProtocol> {
        self.groups.get(group).map(|group| group.settings.wanted.protocol)
    }

    /// What must hold between objects, whatever the change from `before` was.
    fn check(&self, before: &Self) -> Result<(), Rejected> {
        let listeners = self.listeners.values().map(|held| &held.wanted);
        let is_certificate = |certificate: &CertificateName| self.certificates.contains_key(certificate);
        let groups = self.groups.values().map(|group| &group.settings.wanted);
        match conflicts(listeners, groups, |group| self.protocol_of(group), is_certificate).into_iter().next() {
            None => Ok(()),
            Some(Rejected::DanglingForward { listener, target_group }) if before.groups.contains_key(&target_group) => {
                let object = ObjectRef::TargetGroup(target_group);
                Err(Rejected::InUse { object, by: format!("listener {listener}") })
            }
            Some(Rejected::DanglingCertificate { by, certificate })
                if before.certificates.contains_key(&certificate) =>
            {
                let object = ObjectRef::Certificate(certificate);
                Err(Rejected::InUse { object, by: by.to_string() })
            }
            Some(conflict) => Err(conflict),
        }
    }
}

fn owned(owner: Origin, by: Origin, object: impl FnOnce() -> ObjectRef) -> Result<(), Rejected> {
    if owner == by { Ok(()) } else { Err(Rejected::OwnedBy { object: object(), owner }) }
}
