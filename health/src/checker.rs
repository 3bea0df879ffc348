//! All checks of all targets, in one task: it follows the snapshots, starts probes when they are due, hears their
//! results and says what changed.
//!
//! A backend is known by its id, so a late result about an old incarnation finds nobody. What is leaving keeps its
//! verdict but is not probed; what no listener uses is forgotten. It runs on the control runtime, never on a worker.

use std::cmp::Reverse;
use std::collections::hash_map::Entry;
use std::collections::{BinaryHeap, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::SystemTime;

use lb::model::{GroupName, HealthCheck, ProbePort, SendProxy};
use lb::state::{BackendId, HealthState, Live, Member, Observation, Observer, Pool, Snapshot, TargetState, Verdict};
use lb::telemetry::GroupMetrics;
use lb::tls::Originator;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::task::{AbortHandle, Id, JoinError, JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until};

use crate::judge::Judge;
use crate::probe::{self, Failure, Probe, Whom};
use crate::schedule::Schedule;

/// How many probes may be under way at once. More wait, in the order in which they are due.
const PROBES_MAX: usize = 256;

/// Owns the task that checks. Dropping it ends all checks.
#[derive(Debug)]
pub struct Checker {
    task: JoinHandle<()>,
}

impl Checker {
    /// Starts checking every target that a snapshot holds, on the current runtime.
    pub fn start(live: Arc<Live>, observer: Observer) -> Self {
        let task = Task {
            live,
            observer,
            began: Instant::now(),
            identities: RandomState::new(),
            checks: HashMap::new(),
            watched: HashMap::new(),
            due: BinaryHeap::new(),
            probes: JoinSet::new(),
            probed: HashMap::new(),
        };
        Self { task: tokio::spawn(task.run()) }
    }

    /// Returns if the task has ended, which it does not do while the process is well.
    pub async fn ended(&mut self) {
        // How it ended is in the log already: it can only have panicked.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Checker {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Task {
    live: Arc<Live>,
    observer: Observer,
    /// The moment from which schedules count.
    began: Instant,
    /// Makes phases differ from process to process, so that several elbows do not probe in step.
    identities: RandomState,
    checks: HashMap<GroupName, Arc<Check>>,
    watched: HashMap<BackendId, Watched>,
    /// What is due when. An entry holds only if the backend still says the same.
    due: BinaryHeap<Reverse<(Instant, BackendId)>>,
    probes: JoinSet<Result<(), Failure>>,
    /// Whom a probe that is under way is about.
    probed: HashMap<Id, BackendId>,
}

/// A group's check, ready to be made.
#[derive(Debug)]
struct Check {
    wanted: HealthCheck,
    send_proxy: SendProxy,
    originator: Option<Arc<Originator>>,
    probe: Arc<dyn Probe>,
    metrics: Arc<GroupMetrics>,
}

/// One backend under check.
#[derive(Debug)]
struct Watched {
    check: Arc<Check>,
    whom: Whom,
    schedule: Schedule,
    judge: Judge,
    doing: Doing,
    /// What was last said of it.
    said: HealthState,
    /// Since when probes have failed that speak for the verdict to come or that holds.
    failing_since: Option<SystemTime>,
    /// The generation that last held it.
    seen: u64,
}

#[derive(Debug)]
enum Doing {
    /// Waits for its time.
    Waiting(Instant),
    /// A probe that started at this time is under way.
    Probing(Instant, AbortHandle),
    /// Is leaving: keeps its verdict, in case it is called back.
    Resting,
}

impl Task {
    async fn run(mut self) {
        let mut generations = self.live.subscribe();
        let mut known = self.live.load();
        self.reconcile(&known);
        loop {
            self.start_due();
            let next = self.due.peek().map(|Reverse((at, _))| *at).filter(|_| self.probes.len() < PROBES_MAX);
            tokio::select! {
                changed = generations.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let snapshot = self.live.load();
                    if !same_to_check(&known, &snapshot) {
                        self.reconcile(&snapshot);
                    }
                    known = snapshot;
                }
                Some(ended) = self.probes.join_next_with_id() => self.hear(ended),
                () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
            }
        }
    }

    /// Brings what is watched in line with a snapshot.
    fn reconcile(&mut self, snapshot: &Snapshot) {
        self.checks.retain(|group, _| snapshot.pool_of(group).is_some());
        for pool in snapshot.groups().filter(|pool| pool.used) {
            let check = self.check_of(pool);
            for member in pool.members.iter() {
                if let Some(whom) = whom(member, &check.wanted) {
                    self.watch(member, whom, &check, snapshot.generation);
                }
            }
        }
        self.watched.retain(|_, watched| {
            let stays = watched.seen == snapshot.generation;
            if let (false, Doing::Probing(_, probe)) = (stays, &watched.doing) {
                probe.abort();
            }
            stays
        });
    }

    /// The check of a group; the same one as long as the same is wanted.
    fn check_of(&mut self, pool: &Pool) -> Arc<Check> {
        let wanted = &pool.group.health_check;
        let known = self.checks.get(&pool.forward.target_group);
        let (send_proxy, originator) = (pool.group.send_proxy, pool.check_tls.as_ref());
        let same = |check: &&Arc<Check>| {
            let same_question = check.wanted == *wanted && check.send_proxy == send_proxy;
            let same_tls = check.originator.as_ref().map(Arc::as_ptr) == originator.map(Arc::as_ptr);
            same_question && same_tls && Arc::ptr_eq(&check.metrics, &pool.metrics)
        };
        if let Some(check) = known.filter(same) {
            return Arc::clone(check);
        }
        let metrics = Arc::clone(&pool.metrics);
        let (wanted, probe) = (wanted.clone(), probe::build(wanted, send_proxy, originator));
        let check = Arc::new(Check { wanted, send_proxy, originator: originator.cloned(), probe, metrics });
        self.checks.insert(pool.forward.target_group.clone(), Arc::clone(&check));
        check
    }

    fn watch(&mut self, member: &Member, whom: Whom, check: &Arc<Check>, generation: u64) {
        let id = member.backend.id;
        let now = Instant::now();
        let watched = match self.watched.entry(id) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let identity = self.identities.hash_one((&member.backend.group, &member.backend.target, whom.address));
                let watched = entry.insert(Watched::new(member, whom.clone(), identity, check));
                self.due.push(Reverse((now, id)));
                watched.doing = Doing::Waiting(now);
                watched
            }
        };
        watched.seen = generation;
        if member.leaves_at.is_some() {
            watched.rest();
            return;
        }
        if !Arc::ptr_eq(&watched.check, check) || watched.whom != whom {
            let identity = self.identities.hash_one((&member.backend.group, &member.backend.target, whom.address));
            watched.rest();
            watched.change(whom, identity, check);
            let due = self.began + watched.schedule.from(now - self.began);
            watched.wait(id, due, &mut self.due);
        }
        if matches!(watched.doing, Doing::Resting) {
            watched.wait(id, now, &mut self.due);
        }
    }

    /// Starts the probes that are due, as many as may be under way.
    fn start_due(&mut self) {
        let now = Instant::now();
        while self.probes.len() < PROBES_MAX {
            let Some(&Reverse((at, id))) = self.due.peek().filter(|Reverse((at, _))| *at <= now) else { return };
            self.due.pop();
            let Some(watched) = self.watched.get_mut(&id) else { continue };
            if !matches!(watched.doing, Doing::Waiting(due) if due == at) {
                continue;
            }
            let (probe, whom) = (Arc::clone(&watched.check.probe), watched.whom.clone());
            let handle = self.probes.spawn(async move { probe.probe(&whom).await });
            self.probed.insert(handle.id(), id);
            watched.doing = Doing::Probing(now, handle);
        }
    }

    /// Hears a probe that has ended, unless it is about nobody any more.
    fn hear(&mut self, ended: Result<(Id, Result<(), Failure>), JoinError>) {
        let (task, outcome) = match ended {
            Ok((task, outcome)) => (task, outcome),
            Err(error) if error.is_cancelled() => {
                self.probed.remove(&error.id());
                return;
            }
            Err(error) => (error.id(), Err("the probe itself failed, which is a fault of elbow's".to_owned().into())),
        };
        let Some(id) = self.probed.remove(&task) else { return };
        let Some(watched) = self.watched.get_mut(&id) else { return };
        let started = match &watched.doing {
            Doing::Probing(started, handle) if handle.id() == task => *started,
            _ => return,
        };
        if let Some(news) = watched.judge(outcome) {
            self.observer.observe(Observation::Health(id, news));
        }
        let next = self.began + watched.schedule.after(started - self.began);
        watched.wait(id, next.max(Instant::now()), &mut self.due);
    }
}

impl Watched {
    fn new(member: &Member, whom: Whom, identity: u64, check: &Arc<Check>) -> Self {
        let verdict = match member.state {
            TargetState::Healthy | TargetState::Ejected => Verdict::Healthy,
            TargetState::Unhealthy => Verdict::Unhealthy,
            _ => Verdict::Initial,
        };
        Self {
            check: Arc::clone(check),
            whom,
            schedule: Schedule::new(identity, check.wanted.interval),
            judge: Judge::new(verdict),
            doing: Doing::Resting,
            said: HealthState {
                verdict,
                recovering: member.recovering,
                reason: Arc::clone(&member.reason),
                since: member.since,
            },
            failing_since: None,
            seen: 0,
        }
    }

    /// Takes on another check: the verdict stands, the count starts again.
    fn change(&mut self, whom: Whom, identity: u64, check: &Arc<Check>) {
        self.check = Arc::clone(check);
        self.whom = whom;
        self.schedule = Schedule::new(identity, check.wanted.interval);
        self.judge.restart();
    }

    fn wait(&mut self, id: BackendId, due: Instant, queue: &mut BinaryHeap<Reverse<(Instant, BackendId)>>) {
        self.doing = Doing::Waiting(due);
        queue.push(Reverse((due, id)));
    }

    fn rest(&mut self) {
        if let Doing::Probing(_, probe) = &self.doing {
            probe.abort();
        }
        self.doing = Doing::Resting;
    }

    /// Counts a result; answers with what there is to say if the verdict or its reason is another than was said.
    fn judge(&mut self, outcome: Result<(), Failure>) -> Option<HealthState> {
        let (wanted, metrics) = (&self.check.wanted, &self.check.metrics);
        let counter = if outcome.is_ok() { &metrics.probes_passed } else { &metrics.probes_failed };
        counter.add_shared(1);
        let is_unconnected = outcome.as_ref().is_err_and(|failure| failure.is_unconnected);
        metrics.probes_unconnected.add_shared(u64::from(is_unconnected));
        let verdict = self.judge.hear(outcome.is_ok(), wanted.healthy_threshold, wanted.unhealthy_threshold);
        if outcome.is_ok() && verdict == Verdict::Healthy {
            self.failing_since = None;
        }
        let now = SystemTime::now();
        let recovering = verdict == Verdict::Unhealthy && outcome.is_ok();
        let reason = match (verdict, outcome) {
            (Verdict::Healthy, Ok(())) => format!("passes its check: {}", self.check.probe.describe(self.whom.address)),
            (Verdict::Initial | Verdict::Unhealthy, Err(failure)) => {
                let since = *self.failing_since.get_or_insert(now);
                format!("{failure}, failing since {}", in_words(since))
            }
            // One result against a verdict that stands changes nothing that is said.
            (Verdict::Healthy, Err(_)) => {
                self.failing_since.get_or_insert(now);
                return None;
            }
            (Verdict::Initial | Verdict::Unhealthy, Ok(())) => {
                format!("passed its last check; {} in a row make it healthy", wanted.healthy_threshold.get())
            }
        };
        if verdict == self.said.verdict && reason == *self.said.reason {
            return None;
        }
        let since = if verdict == self.said.verdict { self.said.since } else { now };
        self.said = HealthState { verdict, recovering, reason: reason.into(), since };
        Some(self.said.clone())
    }
}

/// Whom to probe for a member, if it has an address yet.
fn whom(member: &Member, check: &HealthCheck) -> Option<Whom> {
    let mut address = member.backend.address?;
    if let ProbePort::Fixed(port) = check.port {
        address.set_port(port);
    }
    Some(Whom { address, host: member.held.declared.address.host.clone() })
}

/// Whether nothing has changed that matters here: the same backends, checked in the same way. A verdict makes a new
/// snapshot, and with many targets that is most of them.
fn same_to_check(old: &Snapshot, new: &Snapshot) -> bool {
    let same_member = |(old, new): (&Member, &Member)| {
        let same_host = old.held.declared.address.host == new.held.declared.address.host;
        same_host && old.backend.id == new.backend.id && old.leaves_at.is_some() == new.leaves_at.is_some()
    };
    let same_pool = |(old, new): (&Arc<Pool>, &Arc<Pool>)| {
        let same_tls = old.check_tls.as_ref().map(Arc::as_ptr) == new.check_tls.as_ref().map(Arc::as_ptr);
        let same_check = same_tls && Arc::ptr_eq(&old.group, &new.group) && Arc::ptr_eq(&old.metrics, &new.metrics);
        let same_members =
            || old.members.len() == new.members.len() && old.members.iter().zip(&*new.members).all(same_member);
        Arc::ptr_eq(old, new) || (same_check && old.used == new.used && same_members())
    };
    old.groups().count() == new.groups().count() && old.groups().zip(new.groups()).all(same_pool)
}

/// A time as people write it, to the second.
fn in_words(time: SystemTime) -> String {
    let time = OffsetDateTime::from(time);
    time.replace_nanosecond(0).unwrap_or(time).format(&Rfc3339).unwrap_or_default()
}
