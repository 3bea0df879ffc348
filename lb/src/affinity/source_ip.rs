//! Stickiness by where a request comes from: the address decides, and nothing is set or remembered.
//!
//! All that is known of a client is its address, so there are no clients that a drained target already has: it keeps
//! its part of the addresses, as an unhealthy one does for when it is well again, until it is deregistered or its
//! weight is zero.

use std::sync::Arc;

use super::{Affinity, Claim, Request, Seen};
use crate::balance::{Maglev, hash_of_address};
use crate::state::Member;

/// How many targets an address tries in an order of its own, before all are asked in turn.
const TARGETS_PER_ADDRESS_MAX: usize = 16;

#[derive(Debug)]
pub(super) struct SourceIp {
    members: Arc<[Member]>,
    /// The indices of those that have a share.
    sharing: Box<[u32]>,
    /// Absent where nobody has.
    table: Option<Maglev>,
}

impl SourceIp {
    pub(super) fn new(members: &Arc<[Member]>) -> Self {
        let has_share = |member: &Member| member.leaves_at.is_none() && member.held.weight().get() > 0;
        let sharing: Box<[u32]> =
            (0..).zip(members.iter()).filter(|(_, member)| has_share(member)).map(|(index, _)| index).collect();
        let shares = sharing.iter().filter_map(|index| members.get(*index as usize));
        let shares = shares.map(|member| (&member.backend.target, u32::from(member.held.weight().get())));
        let table = (!sharing.is_empty()).then(|| Maglev::of(shares));
        Self { members: Arc::clone(members), sharing, table }
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
