//! Stickiness by where a request comes from: the address decides, and nothing is set or remembered.
//!
//! All that is known of a client is its address, so there are no clients that a drained target already has: it keeps
//! its part of the addresses, as an unhealthy one does for when it is well again, until it is deregistered or its
//! weight is zero.

use std::any::Any;
use std::sync::Arc;

use super::{Affinity, Claim, Request, Seen};
use crate::balance::{Maglev, hash_of_address};
use crate::model::TargetId;
use crate::state::Member;

/// How many targets an address tries in an order of its own, before all are asked in turn.
const TARGETS_PER_ADDRESS_MAX: usize = 16;

#[derive(Debug)]
pub(super) struct SourceIp {
    members: Arc<[Member]>,
    /// The indices of those that have a share.
    sharing: Box<[u32]>,
    /// Absent where nobody has.
    table: Option<Arc<Maglev>>,
}

impl SourceIp {
    pub(super) fn new(members: &Arc<[Member]>, before: Option<&dyn Affinity>) -> Self {
        let has_share = |member: &Member| member.leaves_at.is_none() && member.held.weight().get() > 0;
        let sharing: Box<[u32]> =
            (0..).zip(members.iter()).filter(|(_, member)| has_share(member)).map(|(index, _)| index).collect();
        let mut made = Self { members: Arc::clone(members), sharing, table: None };
        // Verdicts and drains change nobody's share, and at 10,000 targets a table takes a tenth of a second.
        let before = before.and_then(|before| (before as &dyn Any).downcast_ref::<Self>());
        made.table = match before.filter(|before| before.shares().eq(made.shares())) {
            Some(before) => before.table.clone(),
            None => (!made.sharing.is_empty()).then(|| Maglev::of(made.shares()).into()),
        };
        made
    }

    /// Who has a share, and which.
    fn shares(&self) -> impl Iterator<Item = (&TargetId, u32)> + Clone {
        let members = self.sharing.iter().filter_map(|index| self.members.get(*index as usize));
        members.map(|member| (&member.backend.target, u32::from(member.held.weight().get())))
    }
}

impl Affinity for SourceIp {
    fn recognise(&self, request: &Request<'_>, seen: &mut Seen) {
        seen.claim(Claim::Address(hash_of_address(request.source)));
    }

    fn target(&self, claim: Claim, nth: usize) -> Option<&Member> {
        let Claim::Address(hash) = claim else { return None };
        let mut walk = self.table.as_ref()?.walk(hash);
        let place = match nth.checked_sub(TARGETS_PER_ADDRESS_MAX) {
            None => walk.nth(nth)?,
            Some(step) if step < self.sharing.len() => (walk.nth(TARGETS_PER_ADDRESS_MAX)? + step) % self.sharing.len(),
            Some(_) => return None,
        };
        self.members.get(*self.sharing.get(place)? as usize)
    }
}
