//! Looks again and again at the instances in EC2 that are registered. What it finds goes into the facts of their load
//! balancers, so that it is kept, and a start without EC2 serves by it. Not here: what an answer makes of them (`refresh`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use lb::model::{Config, GroupName, LoadBalancerId, ObjectRef, Origin};
use lb::state::{Live, Observation, Observer, Sighting};
use tokio::time::{Instant, sleep_until, timeout};

use super::Machines;
use super::ask::Asker;
use super::refresh::{Missing, asked_of, refreshed};
use crate::discover::pause;
use crate::elb::{Facts, Means, put};
use crate::store::{Precondition, Refused, Store};

/// How long one look at all that are registered may take.
const LOOK_MAX: Duration = Duration::from_secs(120);
/// How often a load balancer is refreshed again because somebody else has changed it meanwhile.
const ATTEMPTS_MAX: usize = 20;

/// The one who looks.
pub(super) struct Looker {
    store: Store,
    live: Arc<Live>,
    observer: Observer,
    /// None: nobody is to be asked.
    asker: Option<Asker>,
    /// When those that are registered are looked at again.
    next: Instant,
    /// How many looks have failed in a row.
    failures: u32,
    missing: Missing,
    /// What was last told of the group of each load balancer that has instances in EC2.
    told: BTreeMap<GroupName, Sighting>,
}

impl Looker {
    pub(super) fn new(store: Store, live: Arc<Live>, observer: Observer) -> Self {
        let (missing, told) = (Missing::default(), BTreeMap::new());
        Self { store, live, observer, asker: None, next: Instant::now(), failures: 0, missing, told }
    }

    /// Never ends by itself.
    pub(super) async fn run(mut self) {
        let mut generations = self.live.subscribe();
        loop {
            generations.mark_unchanged();
            if Asker::follow(&mut self.asker, &self.live.load().config) {
                (self.next, self.failures) = (Instant::now(), 0);
                (self.missing, self.told) = (Missing::default(), BTreeMap::new());
            }
            tokio::select! {
                changed = generations.changed() => if changed.is_err() { return },
                () = sleep_until(self.next), if self.asker.is_some() => self.look().await,
            }
        }
    }

    /// Looks at all that are registered.
    async fn look(&mut self) {
        let Some(asker) = &self.asker else { return };
        let interval = asker.wanted.interval;
        let config = self.store.config();
        let registered = registered(&config);
        let asked = registered.values().flatten().cloned().collect();
        let looked = timeout(LOOK_MAX, asker.ask(&asked)).await;
        let looked = looked.map_err(|_| format!("no whole answer within {LOOK_MAX:?}"));
        let outcome = match looked.and_then(|looked| looked.map_err(|error| error.to_string())) {
            Ok(answer) => {
                self.missing.count(&asked, &answer);
                self.take_over(&registered, &answer).await.map(|()| answer)
            }
            Err(why) => Err(why),
        };
        self.failures = if outcome.is_ok() { 0 } else { self.failures.saturating_add(1) };
        self.tell(&config, &registered, &outcome);
        self.next = Instant::now() + pause(interval, self.failures, rand::random());
    }

    /// What could not be taken over of one load balancer keeps no other from it.
    async fn take_over(&self, registered: &Registered, answer: &Machines) -> Result<(), String> {
        let mut outcome = Ok(());
        for id in registered.keys() {
            if let Err(refused) = self.refresh(id, answer).await {
                outcome = Err(format!("what was found for {id} could not be taken over: {refused}"));
            }
        }
        outcome
    }

    async fn refresh(&self, id: &LoadBalancerId, answer: &Machines) -> Result<(), Refused> {
        for _ in 0..ATTEMPTS_MAX {
            let config = self.store.config();
            let Some(held) = config.load_balancers.get(id) else { return Ok(()) };
            // What cannot be read is said elsewhere.
            let Ok(facts) = Facts::read(&held.wanted.facts) else { return Ok(()) };
            let Some(fresh) = refreshed(&config.global, &facts, answer, &self.missing) else { return Ok(()) };
            let certificates = config.certificates.values().map(|held| &held.wanted);
            let change = put(id, &fresh, &Means::new(&config.global, certificates))?;
            let precondition = Precondition::Matches(ObjectRef::LoadBalancer(id.clone()), vec![held.revision]);
            match self.store.apply(vec![change], precondition).await {
                Ok(_) | Err(Refused::NotTakenUp { .. }) => {
                    say_what_changed(id, &facts, &fresh);
                    return Ok(());
                }
                // Somebody else was quicker: what is to be refreshed is that.
                Err(Refused::Precondition { .. }) => {}
                Err(refused) => return Err(refused),
            }
        }
        // They are not left alone for a moment: the next look may find one.
        Ok(())
    }

    /// Says how it went, of each load balancer that has instances in EC2.
    fn tell(&mut self, config: &Config, registered: &Registered, outcome: &Result<Machines, String>) {
        if let Err(why) = outcome {
            tracing::warn!("looking at registered instances in EC2 failed, and changes nothing: {why}");
        }
        let mut told = BTreeMap::new();
        for (id, ids) in registered {
            let Some(held) = config.load_balancers.get(id) else { continue };
            let group = held.wanted.target_group.clone();
            let before = self.told.remove(&group).unwrap_or_else(|| Sighting::none(Origin::Ec2));
            let now = match outcome {
                Ok(answer) => {
                    let held = ids.iter().filter(|id| self.missing.holds(id)).count();
                    if held > 0 && before.held == 0 {
                        tracing::warn!(load_balancer = %id, held, "EC2 does not show registered instances: they stay for \
                            three intervals");
                    }
                    let seen = ids.iter().filter(|id| answer.contains_key(*id)).count();
                    Sighting { seen, held, error: None, last_success_at: Some(SystemTime::now()), ..before }
                }
                Err(why) => Sighting { errors: before.errors + 1, error: Some(why.as_str().into()), ..before },
            };
            self.observer.observe(Observation::Sighting(group.clone(), now.clone()));
            told.insert(group, now);
        }
        self.told = told;
    }
}

/// The instances in EC2 of each load balancer that has any.
type Registered = BTreeMap<LoadBalancerId, Vec<String>>;

fn registered(config: &Config) -> Registered {
    let of = |(id, facts): (&LoadBalancerId, &str)| {
        let facts = Facts::read(facts).ok()?;
        let ids: Vec<_> = asked_of(&config.global, &facts).map(str::to_owned).collect();
        (!ids.is_empty()).then(|| (id.clone(), ids))
    };
    config.load_balancers.iter().filter_map(|(id, held)| of((id, &held.wanted.facts))).collect()
}

fn say_what_changed(id: &LoadBalancerId, before: &Facts, now: &Facts) {
    for instance in &before.instances {
        match now.instances.iter().find(|other| other.id == instance.id) {
            None => tracing::info!(load_balancer = %id, instance = instance.id, "it was terminated, and drops out"),
            Some(other) if other != instance => {
                let (zone, machine) = (other.zone.as_deref().unwrap_or("unknown"), other.machine);
                tracing::info!(load_balancer = %id, instance = other.id, host = other.host, zone, ?machine, "it is otherwise now");
            }
            Some(_) => {}
        }
    }
}
