//! What changed between two snapshots, as users see it on the event stream and in the log.

use std::sync::Arc;
use std::time::SystemTime;

use crate::model::{GroupName, TargetId};
use crate::state::{Snapshot, TargetState};

/// One change of state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub at: SystemTime,
    /// What.
    pub kind: EventKind,
}

/// What changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventKind {
    /// A target entered a state (`from` is absent for a new one) or left (`to` is absent).
    Target {
        /// Its group.
        group: GroupName,
        /// Its id.
        target: TargetId,
        /// The state before.
        from: Option<TargetState>,
        /// The state now.
        to: Option<TargetState>,
        /// Why, in one sentence.
        reason: Arc<str>,
    },
    /// A group began (`true`) or ceased to use unhealthy targets because none is healthy.
    FailOpen(GroupName, bool),
    /// Another configuration holds.
    Config {
        /// Its revision.
        revision: u64,
    },
}

/// What changed from one snapshot to the next.
pub fn difference(previous: &Snapshot, next: &Snapshot, at: SystemTime) -> Vec<Event> {
    let _ = (previous, next, at);
    Vec::new()
}
