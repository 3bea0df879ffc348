//! The pure function that joins what is wanted with what is seen.
//!
//! Its three steps are the members of each group (`members`), the pools that choose among them, and the frontends
//! that lead there. Whatever neither the wanted nor the seen touched keeps its `Arc`, so that readers may compare
//! pointers. Not here: taking effect (`publisher`), what changed in words (`event`).

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use super::members::{Roll, call_roll};
use super::secured::{self, Credentials, Originators};
use super::{sighting, slow_start};
use crate::affinity;
use crate::balance::{self, Candidate};
use crate::listen::BoundSockets;
use crate::model::{Config, Forward, GroupName, Held, Listener, ListenerName, TargetGroup, WhenAllUnhealthy};
use crate::state::{BackendId, Frontend, Member, Observed, Pool, Snapshot, TargetState};
use crate::telemetry::{GroupMetrics, ListenerMetrics, RouteMetrics};

/// What is wanted, with the sockets that were bound for it.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The configuration.
    pub config: Arc<Config>,
    /// A socket for each of its listeners.
    pub sockets: BoundSockets,
    /// How many workers there are.
    pub workers: usize,
}

/// The time, on both clocks.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// For deadlines.
    pub instant: Instant,
    /// For people.
    pub wall: SystemTime,
}

/// Makes the next snapshot. What neither the wanted nor the seen touched keeps its `Arc`.
///
/// A group that is no longer wanted keeps a pool while targets of it are leaving, so that what is in flight there
/// has its deregistration delay like any other.
pub fn compile(wanted: &Wanted, observed: &Observed, previous: Option<&Snapshot>, now: Now) -> Snapshot {
    let generation = previous.map_or(0, |previous| previous.generation) + 1;
    let mut next_backend = previous.map_or(BackendId(1), |previous| previous.next_backend);
    let mut asked: BTreeMap<&GroupName, BTreeSet<&Forward>> = BTreeMap::new();
    for held in wanted.config.listeners.values() {
        asked.entry(&held.wanted.forward.target_group).or_default().insert(&held.wanted.forward);
    }
    let same_keys = previous.is_some_and(|previous| previous.config.cookie_keys == wanted.config.cookie_keys);
    let credentials = secured::credentials(&wanted.config, previous);
    let mut pools = BTreeMap::new();
    for name in group_names(&wanted.config, previous) {
        let pool_before = previous.and_then(|previous| previous.pool_of(name));
        let surge = pool_before.map_or_else(Arc::default, |old| Arc::clone(&old.surge));
        let roll = Roll {
            group: wanted.config.groups.get(name),
            before: previous.and_then(|previous| previous.config.groups.get(name)),
            pool: pool_before,
            used: asked.contains_key(name),
            cookie_keys: &wanted.config.cookie_keys,
            surge: &surge,
            observed,
            now,
            workers: wanted.workers,
        };
        let members = call_roll(name, &roll, &mut next_backend);
        let Some(settings) = settings(&roll).filter(|_| roll.group.is_some() || !members.is_empty()) else {
            continue;
        };
        let metrics =
            roll.pool.map_or_else(|| GroupMetrics::new(wanted.workers).into(), |old| Arc::clone(&old.metrics));
        let plain = Forward::to(name.clone());
        let forwards: BTreeSet<_> = asked.get(name).into_iter().flatten().copied().chain([&plain]).collect();
        for forward in forwards {
            let old = previous.and_then(|previous| previous.pools.get(forward));
            let settings = overlaid(&settings, forward, old);
            let tls = match old.filter(|_| roll.group.is_none()) {
                Some(leaving) => Originators::of(leaving),
                None => secured::originators(&settings, &credentials, old.map(Arc::as_ref)),
            };
            let kept = old.filter(|old| {
                let same = Arc::ptr_eq(&old.members, &members) && Arc::ptr_eq(&old.group, &settings);
                let same = same && (same_keys || old.affinity.is_none()) && tls.are_of(old);
                same && old.used == roll.used && old.slow_until.is_none_or(|until| now.instant < until)
            });
            let pool = kept.cloned().unwrap_or_else(|| {
                let seed = seed(generation, forward, now);
                let (members, metrics) = (Arc::clone(&members), Arc::clone(&metrics));
                Arc::new(pool(forward.clone(), &roll, settings, members, metrics, tls, seed))
            });
            pools.insert(forward.clone(), pool);
        }
    }
    let frontends = frontends(wanted, &pools, &credentials, previous);
    let deadline = |member: &Member| member.leaves_at.or(member.closes_at).or_else(|| member.standing.ends_at());
    let members = pools.values().flat_map(|pool| pool.members.iter()).filter_map(deadline);
    let slow = pools.values().filter_map(|pool| pool.slow_until);
    let wake_at = members.chain(slow).min();
    let issuances = secured::issuances(&wanted.config, &observed.issuances, previous);
    let sightings = sighting::sightings(&wanted.config, &observed.sightings, previous);
    let config = Arc::clone(&wanted.config);
    Snapshot { generation, config, credentials, issuances, sightings, frontends, pools, next_backend, wake_at }
}

/// Every group that is wanted, or that still may have targets leaving.
fn group_names<'a>(config: &'a Config, previous: Option<&'a Snapshot>) -> BTreeSet<&'a GroupName> {
    let old = previous.into_iter().flat_map(|previous| previous.pools.keys()).map(|forward| &forward.target_group);
    config.groups.keys().chain(old).collect()
}

/// The settings of a group: as they are wanted, or as they last were while its targets are leaving.
fn settings(roll: &Roll<'_>) -> Option<Arc<TargetGroup>> {
    let old = roll.pool.map(|pool| &pool.group);
    match (roll.group, old) {
        (None, old) => old.cloned(),
        (Some(group), Some(old)) if group.settings.wanted == **old => Some(Arc::clone(old)),
        (Some(group), _) => Some(Arc::new(group.settings.wanted.clone())),
    }
}

/// The settings of a group as a forward wants them.
fn overlaid(settings: &Arc<TargetGroup>, forward: &Forward, old: Option<&Arc<Pool>>) -> Arc<TargetGroup> {
    if forward.is_plain() {
        return Arc::clone(settings);
    }
    let wanted = forward.over(settings);
    let kept = old.filter(|old| *old.group == wanted).map(|old| Arc::clone(&old.group));
    kept.unwrap_or_else(|| Arc::new(wanted))
}

/// Chooses who may take new work: the healthy; failing that the unhealthy, where the group fails open.
fn pool(
    forward: Forward,
    roll: &Roll<'_>,
    group: Arc<TargetGroup>,
    members: Arc<[Member]>,
    metrics: Arc<GroupMetrics>,
    tls: Originators,
    seed: u64,
) -> Pool {
    let mut takers = Takers::default();
    for member in members.iter().filter(|member| member.held.weight().get() > 0) {
        match member.state {
            TargetState::Healthy => takers.healthy += 1,
            TargetState::Unhealthy => takers.unhealthy += 1,
            TargetState::Initial => takers.initial += 1,
            TargetState::Draining | TargetState::Ejected | TargetState::Unused => {}
        }
    }
    let fails_open = group.when_all_unhealthy == WhenAllUnhealthy::FailOpen;
    let failed_open = takers.healthy == 0 && takers.unhealthy > 0 && fails_open;
    let chosen = if failed_open { TargetState::Unhealthy } else { TargetState::Healthy };
    let chosen = members.iter().filter(|member| member.state == chosen);
    let (slow_start, now) = (group.slow_start, roll.now);
    let weight = |member: &Member| member.standing.share(slow_start::weight(member, slow_start, now.instant));
    let candidate = |member: &Member| candidate(member, forward.port, weight(member));
    let candidates: Vec<_> = chosen.clone().filter_map(candidate).collect();
    let is_slow = chosen.into_iter().any(|member| slow_start::is_slow(member, slow_start, now.instant));
    let serving_since = roll.pool.and_then(|old| old.serving_since).unwrap_or(now.wall);
    let sticky_before = roll.pool.and_then(|old| old.affinity.as_deref());
    let affinity = |asked| affinity::build(asked, &group.name, forward.port, roll.cookie_keys, &members, sticky_before);
    Pool {
        used: roll.used,
        eligible: candidates.len(),
        tls: tls.traffic,
        check_tls: tls.checks,
        balancer: balance::build(group.algorithm, candidates, roll.workers, seed),
        affinity: group.stickiness.as_ref().map(affinity),
        waiting: takers.healthy == 0 && takers.unhealthy == 0 && takers.initial > 0,
        failed_open,
        serving_since: (takers.healthy > 0).then_some(serving_since),
        slow_until: is_slow.then(|| now.instant + slow_start::step(slow_start)),
        forward,
        group,
        members,
        metrics,
        surge: Arc::clone(roll.surge),
    }
}

/// How many targets that have a share are in which state.
#[derive(Default)]
struct Takers {
    healthy: usize,
    unhealthy: usize,
    initial: usize,
}

fn candidate(member: &Member, port: Option<u16>, weight: u32) -> Option<Candidate> {
    let address = member.address(port).filter(|_| weight > 0)?;
    Some(Candidate { backend: Arc::clone(&member.backend), address, weight })
}

/// A different number for each balancer ever built, so that workers and processes do not walk in step.
fn seed(generation: u64, forward: &Forward, now: Now) -> u64 {
    let mut hasher = DefaultHasher::new();
    (generation, forward, now.wall).hash(&mut hasher);
    hasher.finish()
}

fn frontends(
    wanted: &Wanted,
    pools: &BTreeMap<Forward, Arc<Pool>>,
    credentials: &Credentials,
    previous: Option<&Snapshot>,
) -> BTreeMap<ListenerName, Arc<Frontend>> {
    let balancers = wanted.config.load_balancers.values().map(|held| &held.wanted);
    let owners: BTreeMap<_, _> =
        balancers.flat_map(|owner| owner.listeners.iter().map(move |name| (name, &owner.id.name))).collect();
    let frontend = |(name, held): (&ListenerName, &Arc<Held<Listener>>)| {
        let pool = pools.get(&held.wanted.forward)?;
        let socket = wanted.sockets.get(name)?;
        let old = previous.and_then(|previous| previous.frontends.get(name));
        let same_listener = old.filter(|old| *old.listener == held.wanted);
        let old_tls = old.and_then(|old| old.tls.as_ref());
        let tls = secured::terminator(&held.wanted, &wanted.config, credentials, old_tls);
        let same = same_listener.filter(|old| Arc::ptr_eq(&old.pool, pool) && Arc::ptr_eq(&old.socket, socket));
        let same = same.filter(|old| old.tls.as_ref().map(Arc::as_ptr) == tls.as_ref().map(Arc::as_ptr));
        let load_balancer = owners.get(name).map(|owner| Arc::clone(owner));
        let same = same.filter(|old| old.load_balancer == load_balancer);
        if let Some(old) = same {
            return Some((name.clone(), Arc::clone(old)));
        }
        let same_route = old.filter(|old| old.pool.forward.target_group == pool.forward.target_group);
        let frontend = Frontend {
            listener: same_listener.map_or_else(|| held.wanted.clone().into(), |old| Arc::clone(&old.listener)),
            load_balancer,
            socket: Arc::clone(socket),
            tls,
            pool: Arc::clone(pool),
            metrics: old.map_or_else(|| ListenerMetrics::new(wanted.workers).into(), |old| Arc::clone(&old.metrics)),
            route: same_route.map_or_else(|| RouteMetrics::new(wanted.workers).into(), |old| Arc::clone(&old.route)),
        };
        Some((name.clone(), Arc::new(frontend)))
    };
    wanted.config.listeners.iter().filter_map(frontend).collect()
}
