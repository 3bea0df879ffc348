//! The door through which the seen enters: verdicts of checks, resolved names, finished drains.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use tokio::sync::{Notify, mpsc};

use crate::model::{CertificateName, GroupName, Host};
use crate::state::{BackendId, HealthState, Issuance, Sighting, Snapshot, Streak};

/// One seen fact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observation {
    /// What checks say of a backend.
    Health(BackendId, HealthState),
    /// Where a host name of targets leads.
    Resolved(Arc<str>, IpAddr),
    /// Nothing is in flight any more at a backend that was deregistered.
    Drained(BackendId),
    /// How it goes with a certificate that an authority issues.
    Issuance(CertificateName, Issuance),
    /// How it goes with finding the targets of a group.
    Sighting(GroupName, Sighting),
}

/// All that is seen, newest word for each subject.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// Verdicts by backend.
    pub health: HashMap<BackendId, HealthState>,
    /// Addresses of host names.
    pub resolved: HashMap<Arc<str>, IpAddr>,
    /// Deregistered backends with nothing in flight.
    pub drained: HashSet<BackendId>,
    /// What attempts at backends came to, as backends themselves count it.
    pub streaks: HashMap<BackendId, Streak>,
    /// How it goes with certificates that an authority issues.
    pub issuances: BTreeMap<CertificateName, Issuance>,
    /// How it goes with finding the targets of groups.
    pub sightings: BTreeMap<GroupName, Sighting>,
}

/// Takes in what is seen, from anywhere, never blocking and never dropping: for each subject the newest word stands.
#[derive(Debug, Clone)]
pub struct Observer {
    inbox: Arc<Inbox>,
    looks: mpsc::Sender<()>,
}

/// The publisher's end of an [`Observer`].
#[derive(Debug)]
pub struct Observations {
    inbox: Arc<Inbox>,
    looks: mpsc::Receiver<()>,
}

#[derive(Debug, Default)]
struct Inbox {
    // Held for a map operation only and never across an await, so a std mutex is enough.
    news: Mutex<Observed>,
    arrived: Notify,
}

impl Observer {
    /// Both ends.
    pub fn new() -> (Self, Observations) {
        let inbox = Arc::new(Inbox::default());
        // One that is on its way stands for all.
        let (ask, asked) = mpsc::channel(1);
        (Self { inbox: Arc::clone(&inbox), looks: ask }, Observations { inbox, looks: asked })
    }

    /// Says what was seen.
    pub fn observe(&self, observation: Observation) {
        let mut news = self.inbox.news.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        news.take_in(observation);
        drop(news);
        self.inbox.arrived.notify_one();
    }

    /// Asks to look at what backends count themselves. Neither waits nor locks: for the request path.
    pub fn look(&self) {
        // Full: somebody else has asked, and the look is still to come.
        let _ = self.looks.try_send(());
    }
}

impl Observations {
    /// Waits until something was seen or is to be looked at, and hands over all that was seen.
    pub async fn next(&mut self) -> Observed {
        tokio::select! {
            () = self.inbox.arrived.notified() => {}
            Some(()) = self.looks.recv() => {}
        }
        self.take()
    }

    /// Hands over all that was seen until now.
    pub(super) fn take(&self) -> Observed {
        std::mem::take(&mut *self.inbox.news.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

impl Observed {
    /// Remembers one fact over an older one about the same subject.
    pub fn take_in(&mut self, observation: Observation) {
        match observation {
            Observation::Health(backend, health) => drop(self.health.insert(backend, health)),
            Observation::Resolved(name, address) => drop(self.resolved.insert(name, address)),
            Observation::Drained(backend) => drop(self.drained.insert(backend)),
            Observation::Issuance(name, issuance) => drop(self.issuances.insert(name, issuance)),
            Observation::Sighting(group, sighting) => drop(self.sightings.insert(group, sighting)),
        }
    }

    /// Whether there is nothing in it.
    pub(super) fn is_empty(&self) -> bool {
        let no_backends = self.health.is_empty() && self.resolved.is_empty() && self.drained.is_empty();
        no_backends && self.issuances.is_empty() && self.sightings.is_empty()
    }

    /// Remembers all that another holds, over what is older.
    pub(super) fn merge(&mut self, news: Self) {
        self.health.extend(news.health);
        self.resolved.extend(news.resolved);
        self.drained.extend(news.drained);
        self.issuances.extend(news.issuances);
        self.sightings.extend(news.sightings);
    }

    /// Forgets what is of no use once a snapshot was made with it.
    ///
    /// A finished drain has had its effect, or was called off. What is known of backends and names that are gone is
    /// swept once there is more of it than it could be about, so that sweeping costs next to nothing.
    pub(super) fn forget(&mut self, snapshot: &Snapshot) {
        self.drained.clear();
        self.issuances.retain(|name, _| snapshot.issuances.contains_key(name));
        self.sightings.retain(|name, _| snapshot.sightings.contains_key(name));
        let members = || snapshot.groups().flat_map(|pool| pool.members.iter());
        let living = snapshot.groups().map(|pool| pool.members.len()).sum();
        if self.health.len() > living {
            let living: HashSet<_> = members().map(|member| member.backend.id).collect();
            self.health.retain(|backend, _| living.contains(backend));
        }
        if self.resolved.len() > living {
            let named: HashSet<_> = members().map(|member| &member.held.declared.address.host).collect();
            self.resolved.retain(|name, _| named.contains(&Host::Name(Arc::clone(name))));
        }
    }
}
