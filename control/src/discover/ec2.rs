//! Instances of Amazon EC2 by their tags, their Auto Scaling group, or both.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use lb::model::{Ec2Address, Ec2Discovery, GroupName, HostPort, Target, TargetId, Weight};
use lb::state::{Snapshot, TargetState};

use super::{Seen, Source};
use crate::aws::auto_scaling::{self, Standing};
use crate::aws::ec2::{Filter, Instance, describe_instances};
use crate::aws::{Account, AwsError};

/// The tag by which Auto Scaling marks its instances.
const GROUP_TAG: &str = "aws:autoscaling:groupName";
/// Every state but that of instances that only begin: they are of no use yet.
const STATES: [&str; 5] = ["running", "shutting-down", "stopped", "stopping", "terminated"];

/// Looks for the instances of one group.
pub(super) struct Ec2 {
    group: GroupName,
    wanted: Ec2Discovery,
    /// Once region and credentials are found.
    account: Option<Account>,
    /// How those of the last look stand that an Auto Scaling group has.
    standings: BTreeMap<String, Standing>,
    /// Instances that were told of because of a tag.
    told: HashSet<String>,
    has_told_of_denial: bool,
}

impl Ec2 {
    pub(super) fn new(group: GroupName, wanted: Ec2Discovery) -> Self {
        let (account, standings, told) = (None, BTreeMap::new(), HashSet::new());
        Self { group, wanted, account, standings, told, has_told_of_denial: false }
    }

    async fn see(&mut self) -> Result<Seen, AwsError> {
        let account = match self.account.take() {
            Some(account) => account,
            None => Account::find(self.wanted.region.as_deref()).await?,
        };
        let account = &*self.account.insert(account);
        let mut instances = describe_instances(account, &filters(&self.wanted)).await?;
        instances.retain(|instance| fits(&self.wanted, instance));
        let names = instances.iter().filter_map(|instance| instance.tags.get(GROUP_TAG)).map(String::as_str);
        let names: BTreeSet<_> = names.chain(self.wanted.asg.as_deref()).collect();
        match auto_scaling::describe_groups(account, names.into_iter()).await {
            Ok(standings) => self.standings = standings,
            // Whoever only asks for tags may do without.
            Err(error) if error.is_denial() && self.wanted.asg.is_none() => {
                if !std::mem::replace(&mut self.has_told_of_denial, true) {
                    tracing::warn!(group = %self.group, "instances are not drained ahead of their termination by Auto \
                        Scaling: {error}");
                }
                self.standings.clear();
            }
            Err(error) => return Err(error),
        }
        let mut seen = Seen::default();
        for instance in &instances {
            let Ok(id) = TargetId::parse(&instance.id) else { continue };
            if !self.is_in_service(instance) {
                seen.gone.insert(id);
            } else if let Some(target) = self.target(id, instance) {
                seen.there.push(target);
            }
        }
        self.told.retain(|id| instances.iter().any(|instance| instance.id == *id));
        Ok(seen)
    }

    fn is_in_service(&self, instance: &Instance) -> bool {
        let lifecycle = self.standings.get(&instance.id).map(|standing| standing.lifecycle.as_str());
        instance.state == "running" && lifecycle.is_none_or(|lifecycle| lifecycle == "InService")
    }

    /// An instance as a target; none where it does not say how to reach it.
    fn target(&mut self, id: TargetId, instance: &Instance) -> Option<Target> {
        let address = match self.wanted.address {
            Ec2Address::Private => instance.private_address,
            Ec2Address::Public => instance.public_address,
        };
        let port = match tagged(instance, self.wanted.port_tag.as_deref()) {
            Some((name, text)) => text.parse().map_err(|_| format!("its tag {name} is no port: {text:?}")),
            None => self.wanted.port.ok_or_else(|| "it has no tag that says its port".to_owned()),
        };
        let address = address.ok_or_else(|| "it has no such address".to_owned());
        let address = port.and_then(|port: u16| {
            let address = SocketAddr::new(address?, port).to_string();
            HostPort::parse(&address).map_err(|error| error.to_string())
        });
        let weight = tagged(instance, self.wanted.weight_tag.as_deref()).map(|(name, text)| {
            let weight = text.parse().ok().and_then(|number| Weight::new(number).ok());
            weight.ok_or_else(|| format!("its tag {name} is no weight from 0 to 1000: {text:?}; its weight is 1"))
        });
        let weight = weight.unwrap_or(Ok(Weight::default()));
        let wrong = address.as_ref().err().or(weight.as_ref().err());
        if let Some(wrong) = wrong
            && self.told.insert(instance.id.clone())
        {
            tracing::warn!(group = %self.group, instance = instance.id, "{wrong}");
        }
        let zone = instance.zone.as_deref().map(Arc::from);
        Some(Target { id, address: address.ok()?, weight: weight.unwrap_or_default(), zone })
    }

    async fn tell_auto_scaling(&self, snapshot: &Snapshot) {
        let Some(account) = &self.account else { return };
        if let Some(hook) = &self.wanted.complete_lifecycle_action {
            let waits = self.standings.iter().filter(|(_, standing)| standing.lifecycle == "Terminating:Wait");
            for (id, standing) in waits.filter(|(id, _)| has_drained(snapshot, id)) {
                match auto_scaling::complete_lifecycle_action(account, &standing.group, hook, id).await {
                    Ok(()) => tracing::info!(group = %self.group, instance = id, "it has drained, and may terminate"),
                    Err(error) => {
                        tracing::warn!(group = %self.group, instance = id, "it has drained, and waits: {error}");
                    }
                }
            }
        }
        if self.wanted.set_instance_health {
            for id in self.unhealthy(snapshot) {
                match auto_scaling::set_unhealthy(account, id).await {
                    Ok(()) => {
                        tracing::warn!(group = %self.group, instance = id, "it fails its checks: Auto Scaling knows");
                    }
                    Err(error) => tracing::warn!(group = %self.group, instance = id, "it fails its checks: {error}"),
                }
            }
        }
    }

    /// Instances that fail their checks, and Auto Scaling does not know. None where more than half fail: then it is more
    /// likely not the instances, and replacing them all would make it worse.
    fn unhealthy<'s>(&'s self, snapshot: &Snapshot) -> Vec<&'s str> {
        let Some(pool) = snapshot.pool_of(&self.group) else { return Vec::new() };
        let failing = pool.members.iter().filter(|member| member.state == TargetState::Unhealthy);
        let failing: HashSet<_> = failing.map(|member| member.held.declared.id.as_str()).collect();
        if failing.len() * 2 > pool.members.len() {
            return Vec::new();
        }
        let known =
            self.standings.iter().filter(|(_, standing)| standing.is_healthy && standing.lifecycle == "InService");
        known.filter(|(id, _)| failing.contains(id.as_str())).map(|(id, _)| id.as_str()).collect()
    }
}

impl Source for Ec2 {
    fn look(&mut self) -> BoxFuture<'_, Result<Seen, String>> {
        Box::pin(async { self.see().await.map_err(|error| error.to_string()) })
    }

    fn follow_up<'s>(&'s mut self, snapshot: &'s Snapshot) -> BoxFuture<'s, ()> {
        Box::pin(self.tell_auto_scaling(snapshot))
    }
}

/// A tag that says something, by its name, and what it says.
fn tagged<'a>(instance: &'a Instance, name: Option<&'a str>) -> Option<(&'a str, &'a str)> {
    let name = name?;
    Some((name, instance.tags.get(name)?.as_str()))
}

/// Whether no group has an instance as a target any more, not even one that is leaving.
fn has_drained(snapshot: &Snapshot, id: &str) -> bool {
    let is_it = |other: &TargetId| other.as_str() == id;
    let wanted = snapshot.config.groups.values().any(|group| group.targets.keys().any(is_it));
    let live = snapshot.groups().any(|pool| pool.members.iter().any(|member| is_it(&member.held.declared.id)));
    !wanted && !live
}

fn filters(wanted: &Ec2Discovery) -> Vec<Filter> {
    let texts = |values: &[Arc<str>]| values.iter().map(ToString::to_string).collect::<Vec<_>>();
    let tags = wanted.tags.iter().map(|(key, values)| (format!("tag:{key}"), texts(values)));
    let group = wanted.asg.iter().map(|name| (format!("tag:{GROUP_TAG}"), vec![name.to_string()]));
    let states = ("instance-state-name".to_owned(), STATES.map(str::to_owned).to_vec());
    tags.chain(group).chain([states]).collect()
}

/// Filters of AWS take `*` and `?` for anything; here a value means itself.
fn fits(wanted: &Ec2Discovery, instance: &Instance) -> bool {
    let is = |key: &str, value: &str| instance.tags.get(key).is_some_and(|tag| tag == value);
    let tags = wanted.tags.iter().all(|(key, values)| values.iter().any(|value| is(key, value)));
    tags && wanted.asg.as_deref().is_none_or(|name| is(GROUP_TAG, name))
}
