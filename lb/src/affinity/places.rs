//! Where the target of a fingerprint stands among the members of a pool.

use std::sync::Arc;

use super::{Claim, Fingerprint};
use crate::state::Member;

/// The registered members of a pool, by fingerprint: a table at most half full, searched from where a fingerprint's
/// first bits point.
#[derive(Debug)]
pub(super) struct Places {
    members: Arc<[Member]>,
    /// A power of two of indices of members.
    slots: Box<[u32]>,
}

const EMPTY: u32 = u32::MAX;

impl Places {
    /// Of those that are registered: what is leaving is not found.
    pub(super) fn new(members: &Arc<[Member]>) -> Self {
        let mut places = Self {
            members: Arc::clone(members),
            slots: vec![EMPTY; (members.len() * 2).next_power_of_two().max(2)].into(),
        };
        for (index, member) in (0..).zip(members.iter()).filter(|(_, member)| member.leaves_at.is_none()) {
            let from = member.backend.fingerprint;
            if let Some(slot) = places.slots_from(from).find(|slot| places.slots[*slot] == EMPTY) {
                places.slots[slot] = index;
            }
        }
        places
    }

    /// The target that a cookie means, and no other after it.
    pub(super) fn of(&self, claim: Claim, nth: usize) -> Option<&Member> {
        match claim {
            Claim::Cookie { target, .. } if nth == 0 => self.find(target),
            _ => None,
        }
    }

    fn find(&self, fingerprint: Fingerprint) -> Option<&Member> {
        let indices = self.slots_from(fingerprint).map(|slot| self.slots[slot]).take_while(|index| *index != EMPTY);
        let mut members = indices.filter_map(|index| self.members.get(index as usize));
        members.find(|member| member.backend.fingerprint == fingerprint)
    }

    fn slots_from(&self, fingerprint: Fingerprint) -> impl Iterator<Item = usize> + use<> {
        let mask = self.slots.len() - 1;
        (0..=mask).map(move |step| (fingerprint.bits() as usize).wrapping_add(step) & mask)
    }
}
