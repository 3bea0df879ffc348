//! One target at one address, alive: its load, and whether it takes new work. Weight, health and reason are a
//! snapshot's business (`Member`), so that changing them never loses what is counted here.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::latency::{Latency, Outcome};
use super::sessions::Sessions;
use super::streak::{Failed, Record, Streak, Trust};
use super::surge::SurgeQueue;
use crate::affinity::Fingerprint;
use crate::model::{GroupName, TargetId};
use crate::telemetry::BackendMetrics;

/// Names one incarnation of a target: a target that left and came back, or moved, is another backend, so that a
/// late verdict about the old one finds nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BackendId(pub u64);

/// One target at one address.
#[derive(Debug)]
pub struct Backend {
    /// Its incarnation.
    pub id: BackendId,
    /// The group it belongs to.
    pub group: GroupName,
    /// The target it is.
    pub target: TargetId,
    /// How what is sticky to the target finds it again, on every node that serves it.
    pub fingerprint: Fingerprint,
    /// Where it is; absent while its host name is not resolved.
    pub address: Option<SocketAddr>,
    /// What it answered, by class.
    pub metrics: BackendMetrics,
    /// Who waits for room at it, or at others of its group.
    surge: Arc<SurgeQueue>,
    /// When its own clock began.
    born: Instant,
    /// Counted while it is drained.
    sessions: OnceLock<Sessions>,
    load: Load,
}

/// The counters every worker writes, on a cache line of their own.
#[derive(Debug)]
#[repr(align(128))]
struct Load {
    in_flight: AtomicUsize,
    admission: AtomicU8,
    /// How often what was in flight was to be given up because it went down.
    falls: AtomicU32,
    /// A [`Latency`].
    latency: AtomicU64,
    /// A [`Record`].
    record: AtomicU64,
}

/// Which new work a backend takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Admission {
    /// Any.
    All = 0,
    /// Only what is sticky to it: it is drained, or its weight is zero.
    Sticky = 1,
    /// None: it was deregistered. What is in flight may finish.
    None = 2,
    /// None, and what is still in flight is to be cut: its time to leave is over.
    Gone = 3,
}

impl PartialEq for Backend {
    /// Ids name incarnations: the same id is the same backend.
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Backend {}

impl Backend {
    /// A backend that nothing is in flight at, and of whose response time nothing is known.
    pub fn new(
        id: BackendId,
        group: GroupName,
        target: TargetId,
        address: Option<SocketAddr>,
        surge: Arc<SurgeQueue>,
        workers: usize,
        now: Instant,
    ) -> Self {
        let load = Load {
            in_flight: AtomicUsize::new(0),
            admission: AtomicU8::new(Admission::All as u8),
            falls: AtomicU32::new(0),
            latency: AtomicU64::new(Latency::UNKNOWN.to_bits()),
            record: AtomicU64::new(Record::CLEAN),
        };
        let fingerprint = Fingerprint::of(&group, &target);
        let (metrics, sessions) = (BackendMetrics::new(workers), OnceLock::new());
        Self { id, group, target, fingerprint, address, metrics, surge, born: now, sessions, load }
    }

    /// Counts one more request or connection in flight until the guard is dropped.
    ///
    /// Answers `None` when the backend takes no new work, or has `connections_max` (0: no limit) in flight.
    /// The count goes up before the admission is read: whoever closes the admission and then sees a count of zero
    /// knows that nothing more can begin.
    pub fn begin(self: &Arc<Self>, connections_max: usize) -> Option<InFlight> {
        self.begin_if(connections_max, |admission| admission == Admission::All)
    }

    /// As [`Self::begin`], for work that is sticky to it.
    pub fn begin_sticky(self: &Arc<Self>, connections_max: usize) -> Option<InFlight> {
        self.begin_if(connections_max, |admission| matches!(admission, Admission::All | Admission::Sticky))
    }

    /// Whether [`Self::begin_sticky`] would count now.
    pub fn would_begin_sticky(&self, connections_max: usize) -> bool {
        let full = connections_max != 0 && self.in_flight() >= connections_max;
        !full && matches!(self.admission(), Admission::All | Admission::Sticky)
    }

    fn begin_if(self: &Arc<Self>, connections_max: usize, admits: impl Fn(Admission) -> bool) -> Option<InFlight> {
        let in_flight = &self.load.in_flight;
        if connections_max == 0 {
            in_flight.fetch_add(1, Ordering::SeqCst);
        } else {
            // Never beyond, not even for a moment: somebody else would find it full that is not.
            let one_more = |count| (count < connections_max).then_some(count + 1);
            in_flight.fetch_update(Ordering::SeqCst, Ordering::Relaxed, one_more).ok()?;
        }
        let guard = InFlight { backend: Arc::clone(self), falls: self.load.falls.load(Ordering::SeqCst) };
        admits(self.admission()).then_some(guard)
    }

    /// Which new work it takes.
    pub fn admission(&self) -> Admission {
        match self.load.admission.load(Ordering::SeqCst) {
            0 => Admission::All,
            1 => Admission::Sticky,
            2 => Admission::None,
            _ => Admission::Gone,
        }
    }

    /// Says which new work it takes. Only the publisher does.
    pub(super) fn admit(&self, admission: Admission) {
        self.load.admission.store(admission as u8, Ordering::SeqCst);
    }

    /// Gives up what is in flight, because it went down. What begins from now on stays. Only the publisher does.
    pub(super) fn fall(&self) {
        self.load.falls.fetch_add(1, Ordering::SeqCst);
    }

    /// Counts sessions from now on. Only the publisher asks for that, when it drains a target that has some.
    pub(super) fn count_sessions(&self) {
        self.sessions.get_or_init(Sessions::new);
    }

    /// Notes that a request of a session came, by which sessions of a drained target are counted.
    pub fn note_session(&self, session: u64, now: Instant) {
        if self.admission() == Admission::Sticky
            && let Some(sessions) = self.sessions.get()
        {
            sessions.note(session, now.saturating_duration_since(self.born));
        }
    }

    /// About how many distinct sessions it has seen in the last few minutes. Known of a drained target that has some.
    pub fn sessions(&self, now: Instant) -> Option<u64> {
        let sessions = self.sessions.get().filter(|_| self.admission() == Admission::Sticky);
        sessions.map(|sessions| sessions.count(now.saturating_duration_since(self.born)))
    }

    /// Whether nothing is in flight. Once the admission is closed, this stays true.
    pub(super) fn is_idle(&self) -> bool {
        self.load.in_flight.load(Ordering::SeqCst) == 0
    }

    /// Requests and connections in flight, over all workers.
    pub fn in_flight(&self) -> usize {
        self.load.in_flight.load(Ordering::Relaxed)
    }

    /// Notes what became of an attempt, and how long it took until its answer began or it failed.
    pub fn learn(&self, outcome: Outcome, took: Duration, now: Instant) {
        let (took_us, now_ms) = (took.as_secs_f32() * 1e6, self.clock_ms(now));
        let update = |bits| Some(Latency::from_bits(bits).after(outcome, took_us, now_ms).to_bits());
        // There always is a next value, so it cannot fail.
        let _ = self.load.latency.fetch_update(Ordering::Relaxed, Ordering::Relaxed, update);
    }

    /// How slow its answers are to be expected now, in microseconds, if any were noted.
    pub fn latency_us(&self, now: Instant) -> Option<f32> {
        Latency::from_bits(self.load.latency.load(Ordering::Relaxed)).at(self.clock_ms(now))
    }

    /// Notes that an attempt which began at this time was answered. Answers with whether that is worth a look of the
    /// publisher.
    pub fn answered(&self, began: Instant) -> bool {
        self.load.record.load(Ordering::Relaxed) != Record::CLEAN && self.note(None, began, 0)
    }

    /// Notes that an attempt which began at this time failed before an answer, of which `failures_max` in a row are too
    /// many (0: none ever are). Answers with whether that is worth a look of the publisher.
    pub fn failed(&self, how: Failed, began: Instant, failures_max: u32) -> bool {
        failures_max > 0 && self.note(Some(how), began, failures_max)
    }

    /// What attempts in a row came to, if they came to anything.
    pub fn streak(&self) -> Option<Streak> {
        match self.load.record.load(Ordering::Relaxed) {
            Record::CLEAN => None,
            bits => Record::from_bits(bits).streak(),
        }
    }

    /// How far it is trusted.
    pub(super) fn trust(&self) -> Trust {
        Record::from_bits(self.load.record.load(Ordering::Relaxed)).trust
    }

    /// Says how far it is trusted from now on, and begins a new streak. Only the publisher does.
    pub(super) fn set_trust(&self, trust: Trust, now: Instant) {
        self.load.record.store(Record::new(trust, self.clock_ms(now)).to_bits(), Ordering::Relaxed);
    }

    fn note(&self, failed: Option<Failed>, began: Instant, failures_max: u32) -> bool {
        let began_ms = self.clock_ms(began);
        let mut is_remarkable = false;
        let update = |bits| {
            let before = Record::from_bits(bits);
            let after = before.after(failed, began_ms);
            is_remarkable = after != before && after.is_remarkable(failures_max);
            (after != before).then(|| after.to_bits())
        };
        // That nothing changed is no error.
        let _ = self.load.record.fetch_update(Ordering::Relaxed, Ordering::Relaxed, update);
        is_remarkable
    }

    /// Milliseconds since it began, as far as they fit.
    fn clock_ms(&self, now: Instant) -> u32 {
        let age = now.saturating_duration_since(self.born);
        (age.as_secs() as u32).wrapping_mul(1_000).wrapping_add(age.subsec_millis())
    }
}

/// One request or connection in flight at a backend. It travels with the work to its last byte.
#[derive(Debug)]
pub struct InFlight {
    backend: Arc<Backend>,
    /// How often the backend had fallen when this began.
    falls: u32,
}

impl InFlight {
    /// Where the work is.
    pub fn backend(&self) -> &Arc<Backend> {
        &self.backend
    }

    /// Whether it was given up because its backend went down since.
    pub fn has_fallen(&self) -> bool {
        self.backend.load.falls.load(Ordering::SeqCst) != self.falls
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.backend.load.in_flight.fetch_sub(1, Ordering::SeqCst);
        self.backend.surge.one_ended();
    }
}
