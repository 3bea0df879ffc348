//! The door through which the seen enters: verdicts of checks, resolved names, finished drains.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;

use crate::model::{GroupName, TargetId};
use crate::state::{BackendId, HealthState};

/// One seen fact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observation {
    /// What checks say of a backend.
    Health(BackendId, HealthState),
    /// Where the host name of a target leads.
    Resolved(GroupName, TargetId, SocketAddr),
    /// Nothing is in flight any more at a backend that was deregistered.
    Drained(BackendId),
}

/// All that is seen, newest word for each subject.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// Verdicts by backend.
    pub health: HashMap<BackendId, HealthState>,
    /// Addresses of targets that are named by host.
    pub resolved: HashMap<(GroupName, TargetId), SocketAddr>,
    /// Deregistered backends with nothing in flight.
    pub drained: std::collections::HashSet<BackendId>,
}

/// Takes in what is seen, from anywhere, never blocking and never dropping: for each subject the newest word stands.
#[derive(Debug, Clone)]
pub struct Observer {
    inbox: Arc<Inbox>,
}

/// The publisher's end of an [`Observer`].
#[derive(Debug)]
pub struct Observations {
    inbox: Arc<Inbox>,
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
        (Self { inbox: Arc::clone(&inbox) }, Observations { inbox })
    }

    /// Says what was seen.
    pub fn observe(&self, observation: Observation) {
        let mut news = self.inbox.news.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        news.take_in(observation);
        drop(news);
        self.inbox.arrived.notify_one();
    }
}

impl Observations {
    /// Waits until something was seen, and hands over all of it.
    pub async fn next(&self) -> Observed {
        self.inbox.arrived.notified().await;
        std::mem::take(&mut *self.inbox.news.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

impl Observed {
    /// Remembers one fact over an older one about the same subject.
    pub fn take_in(&mut self, observation: Observation) {
        match observation {
            Observation::Health(backend, health) => drop(self.health.insert(backend, health)),
            Observation::Resolved(group, target, address) => drop(self.resolved.insert((group, target), address)),
            Observation::Drained(backend) => drop(self.drained.insert(backend)),
        }
    }
}
