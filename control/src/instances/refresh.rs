//! What the instances of load balancers become by what EC2 says of them. Pure.

use std::collections::{BTreeMap, BTreeSet};

use lb::model::Global;

use super::{Machines, is_machine};
use crate::elb::{Facts, Machine};

/// For how many answers in a row an instance may be missing and is still taken to be as it was: EC2 shows one that was
/// terminated for an hour, so that it is rather the answer that is wrong.
const MISSING_MAX: u32 = 3;

/// Counts for how many answers in a row each instance has been missing.
#[derive(Debug, Default)]
pub(super) struct Missing(BTreeMap<String, u32>);

impl Missing {
    /// Takes in an answer about these.
    pub(super) fn count(&mut self, asked: &BTreeSet<String>, answer: &Machines) {
        let missing = asked.iter().filter(|id| !answer.contains_key(*id));
        self.0 = missing.map(|id| (id.clone(), self.0.get(id).map_or(1, |count| count.saturating_add(1)))).collect();
    }

    /// Whether it is missing, and taken to be as it was.
    pub(super) fn holds(&self, id: &str) -> bool {
        self.0.get(id).is_some_and(|count| *count <= MISSING_MAX)
    }

    /// Whether EC2 does not know it any more.
    fn is_over(&self, id: &str) -> bool {
        self.0.contains_key(id) && !self.holds(id)
    }
}

/// The instances of a load balancer that EC2 is to be asked about.
pub(super) fn asked_of<'f>(global: &'f Global, facts: &'f Facts) -> impl Iterator<Item = &'f str> {
    let ids = facts.instances.iter().map(|instance| instance.id.as_str());
    ids.filter(|id| is_machine(global, id))
}

/// A load balancer as it is by what EC2 says; none where that is as it was. One that has been terminated drops out. One
/// that EC2 does not know any more stays registered and takes no traffic: its address may be another's by now.
pub(super) fn refreshed(global: &Global, facts: &Facts, answer: &Machines, missing: &Missing) -> Option<Facts> {
    let mut fresh = facts.clone();
    fresh.instances.retain_mut(|instance| {
        if !is_machine(global, &instance.id) {
            return true;
        }
        if missing.is_over(&instance.id) {
            instance.machine = Some(Machine::Terminated);
        }
        let Some(shown) = answer.get(&instance.id) else { return true };
        instance.machine = Some(shown.machine);
        if let Some(host) = &shown.host {
            instance.host = Some(host.to_string());
        }
        if shown.zone.is_some() {
            instance.zone.clone_from(&shown.zone);
        }
        shown.machine != Machine::Terminated
    });
    (fresh != *facts).then_some(fresh)
}
