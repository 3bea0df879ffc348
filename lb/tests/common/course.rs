//! Snapshots over a clock of its own, one after the other, with nobody publishing them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use lb::balance::Pick;
use lb::model::TargetGroup;
use lb::state::{
    BackendId, HealthState, Member, Now, Observation, Observed, Pool, Snapshot, Standing, Streak, TargetState, Verdict,
    compile,
};

use super::balancing::{pick, randoms};
use super::{Want, group_name, health, id};

/// Snapshots over a clock of its own.
pub(crate) struct Course {
    pub(crate) want: Want,
    pub(crate) observed: Observed,
    pub(crate) snapshot: Snapshot,
    pub(crate) now: Now,
    pub(crate) snapshots: usize,
}

impl Course {
    pub(crate) fn of(want: Want) -> Self {
        let now = Now { instant: Instant::now(), wall: SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000) };
        let snapshot = compile(&want.wanted(), &Observed::default(), None, now);
        Self { want, observed: Observed::default(), snapshot, now, snapshots: 1 }
    }

    /// A group `app` with these targets, of which nothing is known.
    pub(crate) fn with(targets: &[&str], set: impl FnOnce(&mut TargetGroup)) -> Self {
        let want = Want::new().listener("web", "app").set("app", set);
        Self::of(targets.iter().fold(want, |want, target| want.target("app", target, "127.0.0.1:81")))
    }

    pub(crate) fn compile(&mut self) {
        let before: HashMap<_, _> = self.standings().collect();
        self.snapshot = compile(&self.want.wanted(), &self.observed, Some(&self.snapshot), self.now);
        self.snapshots += 1;
        // Who stands otherwise begins a new streak, as the publisher sees to.
        let changed: Vec<_> =
            self.standings().filter(|(id, now)| before.get(id) != Some(now)).map(|(id, _)| id).collect();
        self.observed.streaks.retain(|id, _| !changed.contains(id));
    }

    /// Lets time pass, with a snapshot whenever the last one asked for it.
    pub(crate) fn pass(&mut self, time: Duration) {
        let until = self.now.instant + time;
        while let Some(at) = self.snapshot.wake_at.filter(|at| *at <= until) {
            self.now.wall += at - self.now.instant;
            self.now.instant = at;
            self.compile();
        }
        self.now.wall += until - self.now.instant;
        self.now.instant = until;
    }

    pub(crate) fn change(&mut self, with: impl FnOnce(Want) -> Want) {
        self.want = with(std::mem::take(&mut self.want));
        self.compile();
    }

    pub(crate) fn judge(&mut self, target: &str, verdict: Verdict) {
        let backend = self.member(target).backend.id;
        let health = HealthState { since: self.now.wall, ..health(verdict) };
        self.observed.take_in(Observation::Health(backend, health));
        self.compile();
    }

    /// Verdicts come in one by one.
    pub(crate) fn all_healthy(&mut self) {
        let targets: Vec<_> = self.pool().members.iter().map(|member| member.backend.target.to_string()).collect();
        for target in targets {
            self.judge(&target, Verdict::Healthy);
            self.pass(Duration::from_millis(300));
        }
    }

    /// Attempts at a target came to this, as its backend counts it.
    pub(crate) fn attempts(&mut self, target: &str, streak: Streak) {
        let backend = self.member(target).backend.id;
        self.observed.streaks.insert(backend, streak);
        self.compile();
    }

    fn standings(&self) -> impl Iterator<Item = (BackendId, Standing)> {
        let pools = self.snapshot.groups();
        pools.flat_map(|pool| pool.members.iter()).map(|member| (member.backend.id, member.standing))
    }

    pub(crate) fn pool(&self) -> &Arc<Pool> {
        self.snapshot.pool_of(&group_name("app")).expect("a group")
    }

    pub(crate) fn member(&self, target: &str) -> &Member {
        self.snapshot.member(&group_name("app"), &id(target)).expect("a target")
    }

    pub(crate) fn state(&self, target: &str) -> TargetState {
        self.member(target).state
    }

    /// The part of many picks that a target gets now.
    pub(crate) fn share(&self, target: &str) -> f64 {
        const PICKS: usize = 10_000;
        let chosen = |random| {
            let pick = Pick { now: self.now.instant, ..pick(random) };
            self.pool().balancer.pick(&pick).is_some_and(|chosen| chosen.backend.target == id(target))
        };
        randoms(11).take(PICKS).filter(|random| chosen(*random)).count() as f64 / PICKS as f64
    }
}
