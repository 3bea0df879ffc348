//! What an action sees, and what it may ask for.

use std::sync::Arc;
use std::time::SystemTime;

use lb::model::{Config, LoadBalancerId, Quotas};
use lb::state::Snapshot;

use super::access::Caller;
use super::error::{Code, Refusal};
use crate::elb::{Facts, id_of};
use crate::instances::Machines;

/// What an action sees: all that is wanted and live at one moment, who asks, and what is not to be known beforehand.
#[derive(Debug)]
pub(super) struct Scene<'s> {
    pub(super) config: &'s Config,
    pub(super) snapshot: &'s Arc<Snapshot>,
    /// What EC2 says of instances that nobody here knows; none: it has not been asked.
    pub(super) machines: Option<&'s Machines>,
    pub(super) caller: &'s Caller,
    pub(super) now: SystemTime,
    pub(super) random: u64,
}

/// What is to be made of a load balancer.
#[derive(Debug)]
pub(super) enum Wish {
    /// Nothing.
    Nothing,
    /// The one of this name is to be so.
    Put(String, Box<Facts>),
    /// The one of this name is to go.
    Delete(String),
}

impl Wish {
    pub(super) fn put(name: &str, facts: Facts) -> Self {
        Self::Put(name.to_owned(), Box::new(facts))
    }
}

impl Scene<'_> {
    /// The id of a load balancer of the caller.
    pub(super) fn id_of(&self, name: &str) -> LoadBalancerId {
        id_of(&self.caller.account, &self.caller.region, name)
    }

    /// How much there may be.
    pub(super) fn quotas(&self) -> Quotas {
        self.config.global.elb_api.quotas
    }

    /// A load balancer of the caller, if it is there.
    ///
    /// # Errors
    /// [`Code::InternalFailure`]: what is kept of it cannot be read, which is a fault of ours.
    pub(super) fn find(&self, name: &str) -> Result<Option<Facts>, Refusal> {
        let held = self.config.load_balancers.get(&self.id_of(name));
        held.map(|held| read(&held.wanted.facts)).transpose()
    }

    /// A load balancer of the caller that must be there.
    ///
    /// # Errors
    /// [`Code::LoadBalancerNotFound`].
    pub(super) fn load_balancer(&self, name: &str) -> Result<Facts, Refusal> {
        self.find(name)?.ok_or_else(|| Refusal::no_load_balancer(name))
    }

    /// All load balancers of the caller, in the order they were made.
    ///
    /// # Errors
    /// As of [`Self::find`].
    pub(super) fn load_balancers(&self) -> Result<Vec<(Arc<str>, Facts)>, Refusal> {
        let own = self.config.load_balancers.iter();
        let own = own.filter(|(id, _)| *id.account == *self.caller.account && *id.region == *self.caller.region);
        let mut own = own
            .map(|(id, held)| Ok((Arc::clone(&id.name), read(&held.wanted.facts)?)))
            .collect::<Result<Vec<_>, Refusal>>()?;
        own.sort_by(|(left, left_facts), (right, right_facts)| {
            (left_facts.created_at_ms, left).cmp(&(right_facts.created_at_ms, right))
        });
        Ok(own)
    }
}

fn read(facts: &str) -> Result<Facts, Refusal> {
    Facts::read(facts).map_err(|unreadable| Refusal::new(Code::InternalFailure, unreadable.to_string()))
}
