//! What changed between two snapshots, as users see it on the event stream and in the log.

use std::sync::Arc;
use std::time::SystemTime;

use crate::model::{CertificateName, GroupName, TargetId};
use crate::state::{Member, Snapshot, TargetState};

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
    /// An authority has issued a certificate, or an attempt at that has led to nothing.
    Certificate {
        /// Its name.
        name: CertificateName,
        /// Why it has led to nothing; none: it was issued.
        error: Option<Arc<str>>,
        /// When it is renewed, or tried again.
        next_at: Option<SystemTime>,
    },
    /// Looking for a group's targets succeeds or fails now, or so many are missing that they are kept for a while.
    Discovery {
        /// The group.
        group: GroupName,
        /// How many targets the last answer showed.
        seen: usize,
        /// How many stay although it did not show them.
        held: usize,
        /// Why the last look failed, if it did.
        error: Option<Arc<str>>,
    },
    /// Another configuration holds.
    Config {
        /// Its revision.
        revision: u64,
    },
}

/// What changed from one snapshot to the next.
pub fn difference(previous: &Snapshot, next: &Snapshot, at: SystemTime) -> Vec<Event> {
    let mut kinds = Vec::new();
    if previous.config.revision != next.config.revision {
        kinds.push(EventKind::Config { revision: next.config.revision });
    }
    certificates(previous, next, &mut kinds);
    discoveries(previous, next, &mut kinds);
    for pool in next.groups() {
        let group = &pool.forward.target_group;
        let old = previous.pool_of(group);
        if old.is_some_and(|old| Arc::ptr_eq(&old.members, &pool.members) && old.failed_open == pool.failed_open) {
            continue;
        }
        targets(group, old.map_or(&[][..], |old| &old.members), &pool.members, &mut kinds);
        if old.is_some_and(|old| old.failed_open) != pool.failed_open {
            kinds.push(EventKind::FailOpen(group.clone(), pool.failed_open));
        }
    }
    for old in previous.groups().filter(|old| next.pool_of(&old.forward.target_group).is_none()) {
        let group = &old.forward.target_group;
        targets(group, &old.members, &[], &mut kinds);
        if old.failed_open {
            kinds.push(EventKind::FailOpen(group.clone(), false));
        }
    }
    kinds.into_iter().map(|kind| Event { at, kind }).collect()
}

/// Which attempts at certificates have ended.
fn certificates(previous: &Snapshot, next: &Snapshot, kinds: &mut Vec<EventKind>) {
    if Arc::ptr_eq(&previous.issuances, &next.issuances) {
        return;
    }
    for (name, now) in next.issuances.iter() {
        let before = previous.issuances.get(name).map_or((0, 0), |before| (before.succeeded, before.failed));
        if before != (now.succeeded, now.failed) {
            kinds.push(EventKind::Certificate { name: name.clone(), error: now.error.clone(), next_at: now.next_at });
        }
    }
}

/// Where looking for targets goes otherwise than before.
fn discoveries(previous: &Snapshot, next: &Snapshot, kinds: &mut Vec<EventKind>) {
    if Arc::ptr_eq(&previous.sightings, &next.sightings) {
        return;
    }
    for (group, now) in next.sightings.iter() {
        let before = previous.sightings.get(group);
        let before = before.map_or((0, false), |before| (before.held, before.error.is_some()));
        if before != (now.held, now.error.is_some()) {
            let (seen, held, error) = (now.seen, now.held, now.error.clone());
            kinds.push(EventKind::Discovery { group: group.clone(), seen, held, error });
        }
    }
}

/// Compares the targets of one group, both in the order of ids. Under one id the first member speaks for the target.
fn targets(group: &GroupName, mut old: &[Member], mut new: &[Member], kinds: &mut Vec<EventKind>) {
    loop {
        let id = match (old.first(), new.first()) {
            (None, None) => return,
            (Some(old), Some(new)) => std::cmp::min(&old.backend.target, &new.backend.target).clone(),
            (Some(only), None) | (None, Some(only)) => only.backend.target.clone(),
        };
        let (before, after) = (pop(&mut old, &id), pop(&mut new, &id));
        let (from, to) = (before.map(|member| member.state), after.map(|member| member.state));
        if from != to {
            let reason = after.map_or_else(|| Arc::from("it has left its target group"), |m| Arc::clone(&m.reason));
            kinds.push(EventKind::Target { group: group.clone(), target: id, from, to, reason });
        }
    }
}

/// Takes all members with an id from the front, and answers with the first.
fn pop<'a>(members: &mut &'a [Member], id: &TargetId) -> Option<&'a Member> {
    let all = *members;
    let end = all.iter().position(|member| member.backend.target != *id).unwrap_or(all.len());
    *members = &all[end..];
    all[..end].first()
}
