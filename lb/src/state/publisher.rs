//! The one writer: compiles when something was wanted or seen or a deadline came, and swaps the pointer.
//!
//! It runs on the control runtime. While nothing happens it sleeps; when much happens at once it makes one snapshot
//! of it. Not here: what a snapshot holds (`compile`), who acts on it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use super::past::Past;
use super::streak::Trust;
use crate::model::OnDown;
use crate::state::{
    Admission, Backend, Event, EventKind, Live, Member, Now, Observations, Observed, Pool, Snapshot, TargetState,
    Verdict, Wanted, compile, difference,
};

/// How many writers may stand in line; more wait their turn.
const REQUESTS_MAX: usize = 64;

/// The least pause between two snapshots, so that many changes at once become one.
const PAUSE_MIN: Duration = Duration::from_millis(2);

/// How often a target that is leaving is looked at for work in flight.
const DRAIN_LOOK: Duration = Duration::from_millis(20);

/// How many changes of state of one snapshot are logged one by one.
const LOG_LINES_MAX: usize = 50;

/// A handle on the task that publishes snapshots.
#[derive(Debug, Clone)]
pub struct Publisher {
    requests: mpsc::Sender<Request>,
}

#[derive(Debug)]
struct Request {
    wanted: Wanted,
    answer: oneshot::Sender<u64>,
}

impl Publisher {
    /// Starts the task on the current runtime. It ends when the last handle is dropped.
    ///
    /// `live` holds the first snapshot, compiled from `first`.
    pub fn start(live: &Arc<Live>, first: Wanted, observations: Observations) -> Self {
        let (requests, inbox) = mpsc::channel(REQUESTS_MAX);
        let mut task = Task {
            live: Arc::clone(live),
            inbox,
            observations,
            wanted: first,
            observed: Observed::default(),
            answers: Vec::new(),
            leaving: Vec::new(),
            retired: Vec::new(),
            past: Past::default(),
            rest_until: Instant::now(),
        };
        task.settle(&task.live.load());
        // Its owner is every handle: without one it ends, and `ended` tells a handle of its death.
        drop(tokio::spawn(task.run()));
        Self { requests }
    }

    /// Publishes what is wanted; answers with the generation that holds it, before workers have taken it up
    /// (wait for [`Live::taken_up`]). Never answers when the task has died, see [`Self::ended`].
    pub async fn publish(&self, wanted: Wanted) -> u64 {
        let (answer, generation) = oneshot::channel();
        if self.requests.send(Request { wanted, answer }).await.is_ok()
            && let Ok(generation) = generation.await
        {
            return generation;
        }
        std::future::pending().await
    }

    /// Returns when the task has ended although there are handles: it has died, and the process should.
    pub async fn ended(&self) {
        self.requests.closed().await;
    }
}

struct Task {
    live: Arc<Live>,
    inbox: mpsc::Receiver<Request>,
    observations: Observations,
    wanted: Wanted,
    observed: Observed,
    /// Who is to be told of the next generation.
    answers: Vec<oneshot::Sender<u64>>,
    /// Backends that were deregistered, or whose zone was closed, and have work that may finish.
    leaving: Vec<Arc<Backend>>,
    /// Snapshots that somebody may still hold. Dropping ten thousand targets takes a while: that is done here, not
    /// by the worker that happens to be the last to let go.
    retired: Vec<Arc<Snapshot>>,
    /// What was replaced lately, for those who ask how it was.
    past: Past,
    rest_until: Instant,
}

impl Task {
    async fn run(mut self) {
        let mut look_at = Instant::now();
        loop {
            let wake_at = self.live.load().wake_at;
            tokio::select! {
                request = self.inbox.recv() => match request {
                    Some(request) => self.take_in(request),
                    None => return,
                },
                news = self.observations.next() => {
                    let is_empty = news.is_empty();
                    self.observed.merge(news);
                    if !self.note_streaks() && is_empty {
                        continue;
                    }
                }
                () = until(wake_at.map(Instant::from_std)) => {}
                () = sleep_until(look_at), if !self.leaving.is_empty() || !self.retired.is_empty() => {
                    look_at = Instant::now() + DRAIN_LOOK;
                    self.retired.retain(|snapshot| Arc::strong_count(snapshot) > 1);
                    if !self.note_drained() {
                        continue;
                    }
                }
            }
            sleep_until(self.rest_until).await;
            while let Ok(request) = self.inbox.try_recv() {
                self.take_in(request);
            }
            self.observed.merge(self.observations.take());
            self.note_drained();
            self.note_streaks();
            self.publish();
            // What had nothing in flight when its admission was closed leaves at once.
            look_at = Instant::now();
        }
    }

    fn take_in(&mut self, request: Request) {
        self.wanted = request.wanted;
        self.answers.push(request.answer);
    }

    fn publish(&mut self) {
        let started = Instant::now();
        let now = Now { instant: started.into_std(), wall: SystemTime::now() };
        let previous = self.live.load();
        let next = compile(&self.wanted, &self.observed, Some(&previous), now);
        let events = difference(&previous, &next, now.wall);
        self.observed.forget(&next);
        self.past.keep(&previous, &next);
        self.settle(&next);
        drop_streams(&previous, &next);
        log(&events);
        let generation = next.generation;
        self.live.swap(next, events);
        self.retired.push(previous);
        for answer in self.answers.drain(..) {
            // A writer that has gone away is no error.
            let _ = answer.send(generation);
        }
        // However large the configuration, others have at least as much of this thread as compiling.
        self.rest_until = Instant::now() + started.elapsed().max(PAUSE_MIN);
    }

    /// Opens and closes admissions, and tells backends how far they are trusted, before the pointer is swapped, so that
    /// whoever still reads the old snapshot sends nothing new to what leaves by the next.
    fn settle(&mut self, next: &Snapshot) {
        let now = std::time::Instant::now();
        let mut leaving = Vec::new();
        for (pool, member) in next.groups().flat_map(|pool| pool.members.iter().map(move |member| (pool, member))) {
            let (admission, trust) = (admission_of(pool, member), member.standing.trust());
            if admission == Admission::Sticky && pool.affinity.is_some() {
                member.backend.count_sessions();
            }
            if member.backend.admission() != admission {
                member.backend.admit(admission);
            }
            if member.backend.trust() != trust {
                member.backend.set_trust(trust, now);
                pool.metrics.ejections.add_shared(u64::from(trust == Trust::None));
            }
            if member.leaves_at.is_some() || member.closes_at.is_some() {
                leaving.push(Arc::clone(&member.backend));
            }
        }
        let still: HashSet<_> = leaving.iter().map(|backend| backend.id).collect();
        for backend in self.leaving.drain(..).filter(|backend| !still.contains(&backend.id)) {
            let revived = next.member(&backend.group, &backend.target).is_some_and(|m| m.backend.id == backend.id);
            if !revived {
                backend.admit(Admission::Gone);
            }
        }
        self.leaving = leaving;
    }

    /// Notes what attempts at backends came to; answers whether that is something else than before.
    fn note_streaks(&mut self) -> bool {
        let snapshot = self.live.load();
        let members = snapshot.groups().flat_map(|pool| pool.members.iter());
        let streaks = members.filter_map(|member| Some((member.backend.id, member.backend.streak()?))).collect();
        let before = std::mem::replace(&mut self.observed.streaks, streaks);
        before != self.observed.streaks
    }

    /// Notes who of the leaving has nothing in flight any more; answers whether anyone has.
    fn note_drained(&mut self) -> bool {
        let idle = self.leaving.iter().filter(|backend| backend.is_idle()).map(|backend| backend.id);
        let before = self.observed.drained.len();
        self.observed.drained.extend(idle);
        self.observed.drained.len() > before
    }
}

/// Gives up the streams at targets that have become unhealthy, in groups that want it so.
fn drop_streams(previous: &Snapshot, next: &Snapshot) {
    let resets = |pool: &&Arc<Pool>| pool.group.on_down == OnDown::Reset;
    for pool in next.groups().filter(resets) {
        let Some(old) = previous.pool_of(&pool.group.name).filter(|old| !Arc::ptr_eq(&old.members, &pool.members))
        else {
            continue;
        };
        for member in pool.members.iter().filter(|member| member.verdict == Verdict::Unhealthy) {
            let same = |old: &&Member| old.backend.id == member.backend.id;
            let was = old.members_of(&member.backend.target).iter().find(same);
            if was.is_some_and(|was| was.verdict != Verdict::Unhealthy) {
                member.backend.fall();
            }
        }
    }
}

fn admission_of(pool: &Pool, member: &Member) -> Admission {
    if member.leaves_at.is_some() || member.closes_at.is_some() {
        Admission::None
    } else if member.state == TargetState::Unused && pool.used {
        // Its zone is not served, and what was in flight had its time.
        Admission::Gone
    } else if member.state == TargetState::Draining || member.held.adjusted.draining || member.held.weight().get() == 0
    {
        Admission::Sticky
    } else {
        Admission::All
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// One line for each change, for the first of them.
fn log(events: &[Event]) {
    for event in events.iter().take(LOG_LINES_MAX) {
        match &event.kind {
            EventKind::Target { group, target, from, to, reason } => {
                let (from, to) = (from.map_or("new", TargetState::as_str), to.map_or("gone", TargetState::as_str));
                if [TargetState::Unhealthy.as_str(), TargetState::Ejected.as_str()].contains(&to) {
                    tracing::warn!(%group, %target, from, to, %reason, "target changed state");
                } else {
                    tracing::info!(%group, %target, from, to, %reason, "target changed state");
                }
            }
            EventKind::FailOpen(group, true) => {
                tracing::warn!(%group, "no target is healthy: requests go to unhealthy ones");
            }
            EventKind::FailOpen(group, false) => tracing::info!(%group, "requests go to healthy targets only"),
            // Whoever has ordered it tells more.
            EventKind::Certificate { .. } | EventKind::Discovery { .. } => {}
            EventKind::Config { revision } => tracing::info!(revision, "configuration in effect"),
        }
    }
    let more = events.len().saturating_sub(LOG_LINES_MAX);
    if more > 0 {
        tracing::info!(more, "more targets changed state");
    }
}
