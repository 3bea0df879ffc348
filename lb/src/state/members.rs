//! The members of one group: who keeps its backend, who gets a new one, who is leaving, and the state of each.
//!
//! A backend is kept for a target at the same address, so weight and drains never cost it its load or health; a
//! target that moved is a new backend, and the old one leaves. Every target leaves through `Draining`, were it for
//! one snapshot only: that is when its admission is closed. Pure, like `compile`, which calls it.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::ejection::{Standings, is_due, stand};
use super::slow_start;
use crate::model::{CookieKeys, Group, GroupName, HeldTarget, Host, TargetId};
use crate::state::{
    Backend, BackendId, HealthState, Member, Now, Observed, Pool, Standing, SurgeQueue, TargetState, Verdict,
};

/// The longest a deregistered target may stay, whatever its group says.
const LEAVING_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

/// All that decides about the members of a group.
pub(super) struct Roll<'a> {
    /// The group as it is wanted; absent: deleted.
    pub(super) group: Option<&'a Arc<Group>>,
    /// The group as it was wanted for the previous snapshot.
    pub(super) before: Option<&'a Arc<Group>>,
    /// Its pool in the previous snapshot.
    pub(super) pool: Option<&'a Arc<Pool>>,
    /// Whether a listener forwards to it.
    pub(super) used: bool,
    /// The keys of elbow's own cookies.
    pub(super) cookie_keys: &'a CookieKeys,
    /// Who waits for room at its targets.
    pub(super) surge: &'a Arc<SurgeQueue>,
    pub(super) observed: &'a Observed,
    pub(super) now: Now,
    pub(super) workers: usize,
}

/// Makes the members of a group, by id, what is leaving after what is registered under the same id. They keep their
/// `Arc` if nothing changed.
pub(super) fn call_roll(name: &GroupName, roll: &Roll<'_>, next_backend: &mut BackendId) -> Arc<[Member]> {
    if let Some(pool) = roll.pool
        && roll.untouched(pool)
    {
        return Arc::clone(&pool.members);
    }
    let old = roll.pool.map_or(&[][..], |pool| &pool.members);
    let members = roll.merge(name, old, &stand(roll), next_backend);
    match roll.pool {
        Some(pool) if *pool.members == *members => Arc::clone(&pool.members),
        _ => members.into(),
    }
}

impl Roll<'_> {
    /// Whether the members are certainly as before, found out without building them.
    fn untouched(&self, pool: &Pool) -> bool {
        let same_group = match (self.group, self.before) {
            (Some(group), Some(before)) => Arc::ptr_eq(group, before),
            (None, None) => true,
            _ => false,
        };
        same_group && self.used == pool.used && pool.members.iter().all(|member| self.member_untouched(member))
    }

    fn member_untouched(&self, member: &Member) -> bool {
        if member.leaves_at.is_some() {
            return !self.is_over(member);
        }
        let same_address = self.address_of(&member.held) == member.backend.address;
        if member.closes_at.is_some_and(|_| self.is_over(member)) {
            return false;
        }
        let same_state = match (member.state, self.observed.health.get(&member.backend.id)) {
            (TargetState::Unused, _) if !self.used => true,
            (TargetState::Unused | TargetState::Draining, _) => {
                let recovering = self.is_recovering(&member.backend);
                (self.verdict_on(&member.backend), recovering) == (member.verdict, member.recovering)
            }
            (_, Some(health)) if member.backend.address.is_some() => {
                let (state, reason, since) = seen(health, member.standing);
                let same_words = reason.as_str() == &*member.reason && since == member.since;
                state == member.state && same_words && health.recovering == member.recovering
            }
            (state, _) => state == TargetState::Initial,
        };
        same_address && same_state && !is_due(self, member)
    }

    /// Walks what is wanted and what was, both in the order of ids, side by side.
    fn merge(
        &self,
        name: &GroupName,
        mut old: &[Member],
        standings: &Standings,
        next_backend: &mut BackendId,
    ) -> Vec<Member> {
        let wanted = self.group.map(|group| &group.targets);
        let mut members = Vec::with_capacity(wanted.map_or(0, |targets| targets.len()) + 8);
        for (id, held) in wanted.into_iter().flatten() {
            let gone = run(old, |other| other < id);
            members.extend(gone.iter().filter_map(|member| self.leaving(member, false)));
            old = &old[gone.len()..];
            let same = run(old, |other| other == id);
            old = &old[same.len()..];
            let address = self.address_of(held);
            let kept = same.iter().find(|member| member.backend.address == address && !self.used_again(member));
            let backend = match kept {
                Some(member) => Arc::clone(&member.backend),
                None => {
                    let fresh = *next_backend;
                    next_backend.0 += 1;
                    let (name, id, surge) = (name.clone(), id.clone(), Arc::clone(self.surge));
                    Arc::new(Backend::new(fresh, name, id, address, surge, self.workers, self.now.instant))
                }
            };
            // To have learnt its address is no new beginning.
            let unresolved = || same.iter().find(|member| member.backend.address.is_none());
            let standing = standings.get(&backend.id).copied().unwrap_or_default();
            members.push(self.registered(held, backend, standing, kept.or_else(unresolved)));
            let others = same.iter().filter(|member| !kept.is_some_and(|kept| std::ptr::eq(kept, *member)));
            members.extend(others.filter_map(|member| self.leaving(member, true)));
        }
        members.extend(old.iter().filter_map(|member| self.leaving(member, false)));
        members
    }

    /// Whether no listener led to a target before and one does now: what was known of it is stale, so it starts as a new
    /// one.
    fn used_again(&self, member: &Member) -> bool {
        let was_used = self.pool.is_some_and(|pool| pool.used);
        self.used && !was_used && member.state == TargetState::Unused
    }

    /// The wanted target that keeps a member's backend, if there is one.
    pub(super) fn keeps(&self, member: &Member) -> Option<&HeldTarget> {
        let held = self.group?.targets.get(&member.backend.target)?;
        (self.address_of(held) == member.backend.address && !self.used_again(member)).then_some(&**held)
    }

    fn address_of(&self, held: &HeldTarget) -> Option<SocketAddr> {
        let wanted = &held.declared.address;
        let ip = match &wanted.host {
            Host::Ip(ip) => Some(*ip),
            Host::Name(host) => self.observed.resolved.get(host).copied(),
        };
        // Port 0 stands for one that each forward names.
        ip.map(|ip| SocketAddr::new(ip, wanted.port.unwrap_or(0)))
    }

    /// A wanted target. It keeps its `since` while it keeps its state.
    fn registered(
        &self,
        held: &Arc<HeldTarget>,
        backend: Arc<Backend>,
        standing: Standing,
        before: Option<&Member>,
    ) -> Member {
        let closes_at = self.closes_at(held, before.filter(|before| before.backend.id == backend.id));
        let (state, reason, since) = match closes_at {
            Some(_) => (TargetState::Draining, self.closing(held), None),
            None => self.state_of(held, &backend, standing),
        };
        let kept = before.filter(|before| before.state == state && before.leaves_at.is_none());
        let slow_since = kept.map_or_else(|| slow_start::begins(self, before, state), |kept| kept.slow_since);
        let since = since.or(kept.map(|kept| kept.since)).unwrap_or(self.now.wall);
        let reason = match (reason, kept) {
            (Reason::Seen(reason), _) => Arc::clone(reason),
            (Reason::Ours(ours), Some(kept)) if *ours == *kept.reason => Arc::clone(&kept.reason),
            (Reason::Ours(ours), _) => ours.into(),
        };
        let (verdict, recovering) = (self.verdict_on(&backend), self.is_recovering(&backend));
        let (held, leaves_at) = (Arc::clone(held), None);
        Member { held, backend, state, reason, since, verdict, recovering, slow_since, standing, leaves_at, closes_at }
    }

    /// Whether targets of its zone take traffic.
    pub(super) fn serves(&self, held: &HeldTarget) -> bool {
        self.group.is_none_or(|group| group.settings.wanted.serves(held.declared.zone.as_deref()))
    }

    /// Until when what is in flight at a wanted target may finish whose zone is not served any more. What is back while
    /// it leaves has no more time than it had; of no use before, it has none.
    fn closes_at(&self, held: &HeldTarget, before: Option<&Member>) -> Option<Instant> {
        let before = before.filter(|before| before.state != TargetState::Unused)?;
        if !self.used || self.serves(held) {
            return None;
        }
        match before.closes_at.or(before.leaves_at) {
            Some(_) if self.is_over(before) => None,
            Some(at) => Some(at),
            None => Some(self.now.instant + self.delay().min(LEAVING_MAX)),
        }
    }

    fn closing(&self, held: &HeldTarget) -> Reason<'_> {
        let delay = self.delay();
        Reason::Ours(format!("{}: what is in flight has {delay:?} to finish", Self::not_served(held)).into())
    }

    fn not_served(held: &HeldTarget) -> String {
        format!("its zone {} is not served", held.declared.zone.as_deref().unwrap_or_default())
    }

    fn verdict_on(&self, backend: &Backend) -> Verdict {
        let health = self.observed.health.get(&backend.id).filter(|_| backend.address.is_some());
        health.map_or(Verdict::Initial, |health| health.verdict)
    }

    fn is_recovering(&self, backend: &Backend) -> bool {
        self.observed.health.get(&backend.id).is_some_and(|health| health.recovering)
    }

    fn state_of(
        &self,
        held: &HeldTarget,
        backend: &Backend,
        standing: Standing,
    ) -> (TargetState, Reason<'_>, Option<SystemTime>) {
        if !self.used {
            return (TargetState::Unused, Reason::ours("no listener forwards to its target group"), None);
        }
        if !self.serves(held) {
            return (TargetState::Unused, Reason::Ours(Self::not_served(held).into()), None);
        }
        if held.adjusted.draining {
            return (TargetState::Draining, Reason::ours("drained: takes no new work but what is sticky to it"), None);
        }
        if let (None, Host::Name(host)) = (backend.address, &held.declared.address.host) {
            let reason = Reason::Ours(format!("waiting for the name {host} to resolve").into());
            return (TargetState::Initial, reason, None);
        }
        match self.observed.health.get(&backend.id) {
            None => (TargetState::Initial, Reason::ours("waiting for its first check"), None),
            Some(health) => {
                let (state, reason, since) = seen(health, standing);
                (state, reason, Some(since))
            }
        }
    }

    /// A target that is not wanted any more, or not at this address, until nothing is in flight or its time is over.
    fn leaving(&self, member: &Member, moved: bool) -> Option<Member> {
        if member.leaves_at.is_some() {
            return (!self.is_over(member)).then(|| member.clone());
        }
        // Nothing was ever sent to what had no address; and what was of no use finishes unwatched.
        if member.backend.address.is_none() || (moved && self.used_again(member)) {
            return None;
        }
        let delay = self.delay();
        let what = if moved { "its address changed" } else { "deregistered" };
        Some(Member {
            held: Arc::clone(&member.held),
            backend: Arc::clone(&member.backend),
            state: TargetState::Draining,
            reason: format!("{what}: what is in flight has {delay:?} to finish").into(),
            since: self.now.wall,
            verdict: member.verdict,
            recovering: member.recovering,
            slow_since: None,
            standing: member.standing,
            // Who was leaving anyhow has no more time than it had.
            leaves_at: member.closes_at.or(Some(self.now.instant + delay.min(LEAVING_MAX))),
            closes_at: None,
        })
    }

    /// How long what is in flight at a target that leaves may take.
    fn delay(&self) -> Duration {
        let delay = self.group.map(|group| group.settings.wanted.deregistration_delay);
        delay.or(self.pool.map(|pool| pool.group.deregistration_delay)).unwrap_or_default()
    }

    /// Whether nothing is in flight any more at what leaves, or its time is over.
    fn is_over(&self, member: &Member) -> bool {
        let over = member.leaves_at.or(member.closes_at).is_some_and(|at| at <= self.now.instant);
        over || self.observed.drained.contains(&member.backend.id)
    }
}

/// A sentence of a check's, or one of ours that need not be stored again.
enum Reason<'a> {
    Seen(&'a Arc<str>),
    Ours(Cow<'static, str>),
}

impl Reason<'_> {
    const fn ours(text: &'static str) -> Self {
        Self::Ours(Cow::Borrowed(text))
    }

    fn as_str(&self) -> &str {
        match self {
            Self::Seen(reason) => reason,
            Self::Ours(reason) => reason,
        }
    }
}

/// What checks and attempts together make of a target: who fails its checks is unhealthy, ejected or not.
fn seen(health: &HealthState, standing: Standing) -> (TargetState, Reason<'_>, SystemTime) {
    let HealthState { verdict, reason, since, .. } = health;
    match verdict {
        Verdict::Initial => (TargetState::Initial, Reason::Seen(reason), *since),
        Verdict::Unhealthy => (TargetState::Unhealthy, Reason::Seen(reason), *since),
        Verdict::Healthy => {
            let (state, why, since) = standing.seen(health);
            (state, why.map_or(Reason::Seen(reason), |why| Reason::Ours(why.into())), since)
        }
    }
}

/// The members at the front whose id holds.
fn run(members: &[Member], holds: impl Fn(&TargetId) -> bool) -> &[Member] {
    let end = members.iter().position(|member| !holds(&member.backend.target)).unwrap_or(members.len());
    &members[..end]
}
