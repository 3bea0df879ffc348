//! `compile` and `difference` against a naive model, over random histories of changes, verdicts and time.

mod common;

use std::collections::{BTreeMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use common::balancing::pick;
use common::{Want, group, group_name, health, id, listener, target};
use lb::balance::Pick;
use lb::model::{
    Change, Forward, GroupName, HeldTarget, Host, ListenerName, Origin, Target, TargetGroup, TargetId, WhenAllUnhealthy,
};
use lb::state::{
    BackendId, EventKind, Member, Now, Observation, Observed, Pool, Snapshot, TargetState, Verdict, compile, difference,
};
use proptest::prelude::*;

const DELAY: Duration = Duration::from_secs(100);

/// One step of a history. Numbers are taken modulo what there is.
#[derive(Debug, Clone)]
enum Step {
    PutTarget(bool, u8, &'static str, u16),
    DeleteTarget(bool, u8),
    Drain(bool, u8, bool),
    PutGroup(bool, WhenAllUnhealthy),
    Zones(bool, &'static [&'static str]),
    DeleteGroup(bool),
    Listen(bool, Option<u16>),
    Deafen,
    Verdict(u8, Verdict),
    Resolve(u8),
    Drained(u8),
    Pass(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let address = prop::sample::select(vec!["127.0.0.1:81", "127.0.0.2:81", "[::1]:81", "web.internal:81"]);
    let verdict = prop::sample::select(vec![Verdict::Initial, Verdict::Healthy, Verdict::Unhealthy]);
    let fails = prop::sample::select(vec![WhenAllUnhealthy::FailOpen, WhenAllUnhealthy::FailClosed]);
    let weight = prop::sample::select(vec![0u16, 1, 1, 5]);
    let zones = prop::sample::select(vec![&[] as &[_], &["east"], &["west"], &["east", "west"]]);
    prop_oneof![
        6 => (any::<bool>(), 0u8..4, address, weight).prop_map(|(b, t, a, w)| Step::PutTarget(b, t, a, w)),
        3 => (any::<bool>(), 0u8..4).prop_map(|(b, t)| Step::DeleteTarget(b, t)),
        2 => (any::<bool>(), 0u8..4, any::<bool>()).prop_map(|(b, t, d)| Step::Drain(b, t, d)),
        1 => (any::<bool>(), fails).prop_map(|(b, fails)| Step::PutGroup(b, fails)),
        3 => (any::<bool>(), zones).prop_map(|(b, zones)| Step::Zones(b, zones)),
        1 => any::<bool>().prop_map(Step::DeleteGroup),
        2 => (any::<bool>(), prop::option::of(90u16..92)).prop_map(|(b, port)| Step::Listen(b, port)),
        1 => Just(Step::Deafen),
        8 => (any::<u8>(), verdict).prop_map(|(b, verdict)| Step::Verdict(b, verdict)),
        1 => (1u8..4).prop_map(Step::Resolve),
        2 => any::<u8>().prop_map(Step::Drained),
        3 => (0u8..120).prop_map(Step::Pass),
    ]
}

/// A history under way.
struct History {
    want: Want,
    observed: Observed,
    snapshot: Snapshot,
    now: Now,
    /// The states as events have told them.
    told: BTreeMap<(GroupName, TargetId), TargetState>,
}

fn name(b: bool) -> &'static str {
    if b { "b" } else { "a" }
}

impl History {
    fn start() -> Self {
        let now = Now { instant: Instant::now(), wall: SystemTime::UNIX_EPOCH };
        let want = Want::new().listener("web", "a").group("b").delay("a", DELAY).delay("b", DELAY);
        let snapshot = compile(&want.wanted(), &Observed::default(), None, now);
        Self { want, observed: Observed::default(), snapshot, now, told: BTreeMap::new() }
    }

    /// Does one step, as far as it can be done, and answers with the snapshot before it.
    fn take(&mut self, step: &Step) -> Snapshot {
        let change = |change: Change| Some(change);
        let wanted = match *step {
            Step::PutTarget(b, t, address, weight) => {
                let zone = [None, Some("east"), Some("west")][usize::from(t) % 3].map(Arc::from);
                let target = Target { zone, ..target(&format!("t{t}"), address, u64::from(weight)) };
                change(Change::PutTarget(Origin::Api, group_name(name(b)), target))
            }
            Step::DeleteTarget(b, t) => {
                change(Change::DeleteTarget(Origin::Api, group_name(name(b)), id(&format!("t{t}"))))
            }
            Step::Drain(b, t, drain) => change(Change::Drain(group_name(name(b)), id(&format!("t{t}")), drain)),
            Step::PutGroup(b, when_all_unhealthy) => {
                let mut group = group(name(b));
                group.deregistration_delay = DELAY;
                group.when_all_unhealthy = when_all_unhealthy;
                change(Change::PutTargetGroup(Origin::Api, group))
            }
            Step::Zones(b, zones) => self.want.config.groups.get(name(b)).map(|held| {
                let zones = zones.iter().map(|zone| Arc::from(*zone)).collect();
                Change::PutTargetGroup(Origin::Api, TargetGroup { zones, ..held.settings.wanted.clone() })
            }),
            Step::DeleteGroup(b) => change(Change::DeleteTargetGroup(Origin::Api, group_name(name(b)))),
            Step::Listen(b, port) => {
                let forward = Forward { port, ..Forward::to(group_name(name(b))) };
                change(Change::PutListener(Origin::Api, listener("web", forward)))
            }
            Step::Deafen => change(Change::DeleteListener(Origin::Api, ListenerName::parse("web").expect("legal"))),
            Step::Verdict(index, verdict) => {
                // Any id that was ever given, so that words about the dead are among them.
                let backend = BackendId(u64::from(index) % self.snapshot.next_backend.0);
                self.observed.take_in(Observation::Health(backend, health(verdict)));
                None
            }
            Step::Resolve(last) => {
                self.observed.take_in(Observation::Resolved("web.internal".into(), IpAddr::from([127, 0, 0, last])));
                None
            }
            Step::Drained(index) => {
                let leaving: Vec<_> = members(&self.snapshot).filter(|member| ends_at(member).is_some()).collect();
                if let Some(member) = leaving.get(usize::from(index) % leaving.len().max(1)) {
                    self.observed.take_in(Observation::Drained(member.backend.id));
                }
                None
            }
            Step::Pass(seconds) => {
                self.now.instant += Duration::from_secs(u64::from(seconds));
                self.now.wall += Duration::from_secs(u64::from(seconds));
                None
            }
        };
        if let Some(change) = wanted
            && self.want.config.apply(&change).is_ok()
        {
            self.want.apply(&change);
        }
        let next = compile(&self.want.wanted(), &self.observed, Some(&self.snapshot), self.now);
        std::mem::replace(&mut self.snapshot, next)
    }

    /// Follows the events, as somebody who reads nothing else.
    fn follow(&mut self, previous: &Snapshot) {
        for event in difference(previous, &self.snapshot, self.now.wall) {
            if let EventKind::Target { group, target, from, to, reason } = event.kind {
                assert!(!reason.is_empty());
                assert_ne!(from, to);
                let key = (group, target);
                assert_eq!(self.told.get(&key).copied(), from, "{key:?}");
                match to {
                    Some(to) => drop(self.told.insert(key, to)),
                    None => drop(self.told.remove(&key)),
                }
            }
        }
    }
}

fn members(snapshot: &Snapshot) -> impl Iterator<Item = &Member> {
    snapshot.groups().flat_map(|pool| pool.members.iter())
}

/// When what is in flight is cut, if it is.
fn ends_at(member: &Member) -> Option<Instant> {
    member.leaves_at.or(member.closes_at)
}

fn used(history: &History, group: &GroupName) -> bool {
    history.want.config.listeners.values().any(|held| held.wanted.forward.target_group == *group)
}

fn address(history: &History, held: &HeldTarget) -> Option<SocketAddr> {
    let ip = match &held.declared.address.host {
        Host::Ip(ip) => Some(*ip),
        Host::Name(name) => history.observed.resolved.get(name).copied(),
    };
    ip.map(|ip| SocketAddr::new(ip, held.declared.address.port.unwrap_or(0)))
}

/// Until when what is in flight may finish at a registered target whose zone is not served.
fn expected_close(history: &History, previous: &Snapshot, member: &Member) -> Option<Instant> {
    let old = members(previous).find(|old| old.backend.id == member.backend.id)?;
    let drained = history.observed.drained.contains(&old.backend.id);
    match ends_at(old) {
        _ if old.state == TargetState::Unused => None,
        Some(at) => (at > history.now.instant && !drained).then_some(at),
        None => Some(history.now.instant + DELAY),
    }
}

/// The state a registered target should be in, and when what is in flight is cut.
fn expected_state(history: &History, previous: &Snapshot, member: &Member) -> (TargetState, Option<Instant>) {
    let group = &history.want.config.groups[&member.backend.group].settings.wanted;
    let zone = member.held.declared.zone.as_ref();
    if !used(history, &member.backend.group) {
        return (TargetState::Unused, None);
    }
    if !group.zones.is_empty() && zone.is_some_and(|zone| !group.zones.contains(zone)) {
        let closes_at = expected_close(history, previous, member);
        return (closes_at.map_or(TargetState::Unused, |_| TargetState::Draining), closes_at);
    }
    (open_state(history, member), None)
}

/// The state of a target that is used, in a zone that is served.
fn open_state(history: &History, member: &Member) -> TargetState {
    if member.held.adjusted.draining {
        return TargetState::Draining;
    }
    match history.observed.health.get(&member.backend.id).map(|health| health.verdict) {
        _ if member.backend.address.is_none() => TargetState::Initial,
        Some(Verdict::Healthy) => TargetState::Healthy,
        Some(Verdict::Unhealthy) => TargetState::Unhealthy,
        Some(Verdict::Initial) | None => TargetState::Initial,
    }
}

/// Who can be chosen from a pool, found by choosing until nobody is left.
fn choosable(pool: &Pool) -> Vec<(BackendId, SocketAddr)> {
    let (mut tried, mut all) = (Vec::new(), Vec::new());
    while let Some(candidate) = pool.balancer.pick(&Pick { tried: &tried, ..pick(7) }) {
        all.push((candidate.backend.id, candidate.address));
        tried.push(candidate.backend.id);
    }
    all.sort();
    all
}

fn check_members(history: &History, previous: &Snapshot) {
    let snapshot = &history.snapshot;
    let mut ids = HashSet::new();
    for member in members(snapshot) {
        assert!(ids.insert(member.backend.id), "two backends with one id");
        assert!(member.backend.id < snapshot.next_backend);
    }
    for (name, group) in &history.want.config.groups {
        for (id, held) in &group.targets {
            let member = snapshot.member(name, id).expect("what is registered is a member");
            assert_eq!((&member.held, member.leaves_at), (held, None));
            assert_eq!(member.backend.address, address(history, held));
            assert_eq!((member.state, member.closes_at), expected_state(history, previous, member));
            // The same target at the same address is the same backend, but for one that was of no use before.
            let run = previous.pool_of(name).map_or(&[][..], |pool| pool.members_of(id));
            let same = run.iter().find(|old| old.backend.address == member.backend.address);
            let was_used = previous.pool_of(name).is_some_and(|pool| pool.used);
            let is_used = !was_used && used(history, name);
            let stale = same.is_some_and(|old| old.state == TargetState::Unused) && is_used;
            assert_eq!(same.is_some_and(|old| Arc::ptr_eq(&old.backend, &member.backend)), same.is_some() && !stale);
            if same.is_none() || stale {
                assert!(member.backend.id >= previous.next_backend);
            }
        }
    }
}

fn check_leaving(history: &History, previous: &Snapshot) {
    let (snapshot, now) = (&history.snapshot, history.now.instant);
    let present: BTreeMap<_, _> = members(snapshot).map(|member| (member.backend.id, member)).collect();
    for old in members(previous) {
        let new = present.get(&old.backend.id);
        let registered = new.is_some_and(|new| new.leaves_at.is_none());
        let drained = history.observed.drained.contains(&old.backend.id);
        match old.leaves_at {
            _ if registered => {}
            Some(at) => {
                assert_eq!(new.is_none(), at <= now || drained);
                assert!(new.is_none_or(|new| new.leaves_at == Some(at)));
            }
            None if old.backend.address.is_none() => assert!(new.is_none()),
            // What was of no use and is used again begins anew; all else takes its time to leave.
            None if old.state == TargetState::Unused && new.is_none() => assert!(used(history, &old.backend.group)),
            None => {
                let new = new.expect("what was registered leaves by draining");
                assert_eq!((new.state, new.leaves_at), (TargetState::Draining, old.closes_at.or(Some(now + DELAY))));
            }
        }
    }
    assert_eq!(snapshot.wake_at, members(snapshot).filter_map(ends_at).min());
    let groups: HashSet<_> = snapshot.groups().map(|pool| pool.forward.target_group.clone()).collect();
    let leaving = members(snapshot).map(|member| member.backend.group.clone());
    assert_eq!(groups, history.want.config.groups.keys().cloned().chain(leaving).collect());
}

fn check_pools(history: &History) {
    for pool in history.snapshot.pools.values() {
        let takers = |state| {
            let all = pool.members.iter().filter(move |member| member.state == state);
            all.filter(|member| member.leaves_at.is_none() && member.held.weight().get() > 0)
        };
        let count = |state| takers(state).count();
        let fails_open = pool.group.when_all_unhealthy == WhenAllUnhealthy::FailOpen;
        let open = count(TargetState::Healthy) == 0 && count(TargetState::Unhealthy) > 0 && fails_open;
        let chosen = if open { TargetState::Unhealthy } else { TargetState::Healthy };
        let address = |member: &Member| {
            let own = member.backend.address.expect("nothing without an address has a verdict that counts");
            SocketAddr::new(own.ip(), pool.forward.port.unwrap_or(own.port()))
        };
        let mut expected: Vec<_> = takers(chosen).map(|member| (member.backend.id, address(member))).collect();
        expected.sort();
        assert_eq!(choosable(pool), expected);
        assert_eq!((pool.eligible, pool.failed_open), (expected.len(), open));
        let verdicts = count(TargetState::Healthy) + count(TargetState::Unhealthy);
        assert_eq!(pool.waiting, verdicts == 0 && count(TargetState::Initial) > 0);
        assert_eq!(pool.used, used(history, &pool.forward.target_group));
    }
    for (name, held) in &history.want.config.listeners {
        let frontend = &history.snapshot.frontends[name];
        assert_eq!(*frontend.listener, held.wanted);
        assert!(Arc::ptr_eq(&frontend.pool, &history.snapshot.pools[&held.wanted.forward]));
    }
    assert_eq!(history.snapshot.frontends.len(), history.want.config.listeners.len());
}

/// Which group a step could touch, if it can touch one only.
fn touches(step: &Step) -> Option<&'static str> {
    match step {
        Step::PutTarget(b, ..)
        | Step::DeleteTarget(b, _)
        | Step::Drain(b, ..)
        | Step::PutGroup(b, _)
        | Step::Zones(b, _) => Some(name(*b)),
        _ => None,
    }
}

fn check_kept(history: &History, previous: &Snapshot, step: &Step) {
    // The other group's pools are as they were, to the pointer.
    if let Some(touched) = touches(step) {
        for (forward, old) in previous.pools.iter().filter(|(forward, _)| forward.target_group.as_str() != touched) {
            let gone = old.members.iter().any(|member| history.observed.drained.contains(&member.backend.id));
            if !gone {
                assert!(history.snapshot.pools.get(forward).is_some_and(|new| Arc::ptr_eq(old, new)));
            }
        }
    }
    // Handles of what goes on go on.
    for (forward, old) in &previous.pools {
        if let Some(new) = history.snapshot.pools.get(forward) {
            assert!(Arc::ptr_eq(&old.metrics, &new.metrics));
        }
    }
    for (name, old) in &previous.frontends {
        if let Some(new) = history.snapshot.frontends.get(name) {
            assert!(Arc::ptr_eq(&old.metrics, &new.metrics));
            let same_group = old.pool.forward.target_group == new.pool.forward.target_group;
            assert_eq!(Arc::ptr_eq(&old.route, &new.route), same_group);
        }
    }
    // Nothing wanted, nothing seen: nothing new.
    let again = compile(&history.want.wanted(), &history.observed, Some(&history.snapshot), history.now);
    assert_eq!(again.generation, history.snapshot.generation + 1);
    let drained = members(&history.snapshot).any(|member| {
        ends_at(member).is_some_and(|at| at <= history.now.instant)
            || history.observed.drained.contains(&member.backend.id)
    });
    if !drained {
        assert!(again.pools.iter().all(|(forward, pool)| Arc::ptr_eq(pool, &history.snapshot.pools[forward])));
        assert!(again.frontends.iter().all(|(name, f)| Arc::ptr_eq(f, &history.snapshot.frontends[name])));
        assert_eq!(difference(&history.snapshot, &again, history.now.wall), []);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn every_history_ends_as_the_model_says(steps in prop::collection::vec(step(), 1..60)) {
        let mut history = History::start();
        for step in &steps {
            let previous = history.take(step);
            check_members(&history, &previous);
            check_leaving(&history, &previous);
            check_pools(&history);
            check_kept(&history, &previous, step);
            history.follow(&previous);
            let states = history.snapshot.groups().flat_map(|pool| pool.members.iter().rev());
            let states: BTreeMap<_, _> =
                states.map(|m| ((m.backend.group.clone(), m.backend.target.clone()), m.state)).collect();
            prop_assert_eq!(&history.told, &states);
        }
    }
}
