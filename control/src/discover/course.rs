//! One source's task: looks, gives what was found to the store, says how it goes, and waits for the next look.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use lb::model::{Change, Discovery, GroupName, Origin, Target, TargetId};
use lb::state::{Live, Observation, Observer, Sighting};

use super::guard::{Guard, Verdict};
use super::{Seen, Source, build, pace};
use crate::store::{Precondition, Refused, Store};

/// How long one look may take, all of its pages.
const LOOK_MAX: Duration = Duration::from_secs(120);

/// One source of one group.
pub(super) struct Course {
    group: GroupName,
    origin: Origin,
    interval: Duration,
    source: Box<dyn Source>,
    store: Store,
    live: Arc<Live>,
    observer: Observer,
    guard: Guard,
    /// How many looks have failed in a row.
    failures: u32,
    told: Sighting,
    /// What was found, and another owner has registered already.
    taken: Vec<TargetId>,
}

impl Course {
    pub(super) fn new(
        group: GroupName,
        discovery: &Discovery,
        store: &Store,
        live: &Arc<Live>,
        observer: &Observer,
    ) -> Self {
        let Discovery::Ec2(wanted) = discovery;
        let origin = discovery.origin();
        let told = live.load().sightings.get(&group).cloned().unwrap_or_else(|| Sighting::none(origin));
        Self {
            source: build(&group, discovery),
            group,
            origin,
            interval: wanted.interval,
            store: store.clone(),
            live: Arc::clone(live),
            observer: observer.clone(),
            guard: Guard::default(),
            failures: 0,
            told,
            taken: Vec::new(),
        }
    }

    /// Never ends by itself.
    pub(super) async fn run(mut self) {
        loop {
            let looked = tokio::time::timeout(LOOK_MAX, self.source.look()).await;
            let looked = looked.unwrap_or_else(|_| Err(format!("no whole answer within {LOOK_MAX:?}")));
            let outcome = match looked {
                Ok(seen) => self.take_over(seen).await,
                Err(why) => Err(why),
            };
            match outcome {
                Ok(()) => {
                    self.failures = 0;
                    self.source.follow_up(&self.live.load()).await;
                }
                Err(why) => self.note_failure(&why),
            }
            tokio::time::sleep(pace::pause(self.interval, self.failures, rand::random())).await;
        }
    }

    async fn take_over(&mut self, seen: Seen) -> Result<(), String> {
        let count = seen.there.len();
        let verdict = self.guard.judge(&self.known(), seen);
        let held = verdict.held;
        let targets = self.without_others(verdict);
        let change = Change::DeclareTargets(self.origin, self.group.clone(), targets);
        match self.store.apply(vec![change], Precondition::None).await {
            Ok(_) => {}
            // It is, but slowly.
            Err(Refused::NotTakenUp { .. }) => {}
            Err(refused) => return Err(format!("what was found could not be taken over: {refused}")),
        }
        if held > 0 && self.told.held == 0 {
            tracing::warn!(group = %self.group, source = %self.origin, seen = count, held, "more than half of the \
                targets are missing at once: they stay for three intervals");
        } else if held == 0 && self.told.held > 0 {
            tracing::info!(group = %self.group, source = %self.origin, seen = count, "no target is held any more");
        }
        if self.told.error.is_some() {
            tracing::info!(group = %self.group, source = %self.origin, seen = count, "targets are found again");
        }
        let told =
            Sighting { seen: count, held, error: None, last_success_at: Some(SystemTime::now()), ..self.told.clone() };
        self.tell(told);
        Ok(())
    }

    /// What was found before and holds now.
    fn known(&self) -> BTreeMap<TargetId, Target> {
        let snapshot = self.live.load();
        let group = snapshot.config.groups.get(&self.group);
        let own = group.into_iter().flat_map(|group| &group.targets).filter(|(_, held)| held.origin == self.origin);
        own.map(|(id, held)| (id.clone(), held.declared.clone())).collect()
    }

    /// An id that somebody else has registered is theirs; everything else is taken over all the same.
    fn without_others(&mut self, verdict: Verdict) -> Vec<Target> {
        let snapshot = self.live.load();
        let is_taken = |target: &Target| {
            let held = snapshot.config.target(&self.group, &target.id);
            held.is_some_and(|held| held.origin != self.origin)
        };
        let (taken, targets): (Vec<_>, Vec<_>) = verdict.targets.into_iter().partition(is_taken);
        let taken: Vec<_> = taken.into_iter().map(|target| target.id).collect();
        if taken != self.taken && !taken.is_empty() {
            let ids = taken.iter().take(10).map(ToString::to_string).collect::<Vec<_>>().join(", ");
            tracing::warn!(group = %self.group, source = %self.origin, count = taken.len(), ids, "targets were found that \
                belong to another owner already, and stay with it");
        }
        self.taken = taken;
        targets
    }

    fn note_failure(&mut self, why: &str) {
        self.failures = self.failures.saturating_add(1);
        tracing::warn!(group = %self.group, source = %self.origin, "looking for targets failed, and changes nothing: {why}");
        let told = Sighting { errors: self.told.errors + 1, error: Some(why.into()), ..self.told.clone() };
        self.tell(told);
    }

    fn tell(&mut self, told: Sighting) {
        self.told = told.clone();
        self.observer.observe(Observation::Sighting(self.group.clone(), told));
    }
}
