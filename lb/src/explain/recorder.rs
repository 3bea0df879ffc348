//! A worker's memory of recent requests: the newest so many, and under load a sample of them.
//!
//! Not here: what is remembered of one (`record`), who asks for it (`ask`).

use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::Record;
use crate::balance::{Trail, hash_of};
use crate::model::Listener;
use crate::telemetry::EndReason;

/// How many requests a worker remembers, and how many it remembers at once however fast they come.
pub const BURST: usize = 16_384;
/// How many requests a second it remembers for as long as more of them come.
pub const REFILL_PER_S: u32 = 1_000;

/// How many requests of one id are told of.
const FOUND_MAX: usize = 16;
/// How much of a method and of a path is kept.
const METHOD_BYTES_MAX: usize = 32;
const PATH_BYTES_MAX: usize = 256;

/// A worker's memory of recent requests. One thread owns it.
#[derive(Debug)]
pub struct Recorder {
    worker: usize,
    memory: RefCell<Memory>,
    /// Used again and again, so that watching a choice allocates nothing.
    trail: RefCell<Option<Trail>>,
}

#[derive(Debug)]
struct Memory {
    /// The oldest first, each with the hash of its id.
    records: VecDeque<(u64, Rc<RefCell<Record>>)>,
    /// How many may be remembered at once, as of `filled_at`.
    tokens: f64,
    filled_at: Instant,
}

/// What is known of a request when it begins.
pub(crate) struct Start<'a> {
    pub(crate) id: &'a [u8],
    pub(crate) began_at: Instant,
    pub(crate) client: SocketAddr,
    pub(crate) listener: &'a Arc<Listener>,
    pub(crate) method: &'a [u8],
    pub(crate) path: &'a [u8],
}

/// A record of a request that is still on its way. Who drops it without an end was cut.
#[derive(Debug)]
pub(crate) struct Draft(Rc<RefCell<Record>>);

impl Recorder {
    /// Of a worker that remembers nothing yet.
    pub fn new(worker: usize, now: Instant) -> Self {
        let memory = Memory { records: VecDeque::new(), tokens: BURST as f64, filled_at: now };
        Self { worker, memory: RefCell::new(memory), trail: RefCell::new(Some(Trail::default())) }
    }

    /// Begins to remember a request that begins now, unless there are too many.
    pub(crate) fn begin(&self, start: &Start<'_>) -> Option<Draft> {
        let mut memory = self.memory.borrow_mut();
        if !memory.admits(start.began_at) {
            return None;
        }
        Some(memory.remember(self.worker, start))
    }

    /// Every request of this id that is remembered, the newest first.
    pub fn find(&self, id: &[u8]) -> Vec<Record> {
        let memory = self.memory.borrow();
        let hash = hash_of(id);
        let named = memory.records.iter().rev().filter(|(other, _)| *other == hash).map(|(_, record)| record.borrow());
        named.filter(|record| *record.id == *id).take(FOUND_MAX).map(|record| record.clone()).collect()
    }

    /// An empty trail, to be put back.
    pub(crate) fn take_trail(&self) -> Trail {
        let mut trail = self.trail.borrow_mut().take().unwrap_or_default();
        trail.clear();
        trail
    }

    pub(crate) fn put_trail(&self, trail: Trail) {
        *self.trail.borrow_mut() = Some(trail);
    }
}

impl Memory {
    /// Whether a request that begins now is remembered: a bucket of [`BURST`] that fills by [`REFILL_PER_S`].
    fn admits(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.filled_at);
        self.tokens = (self.tokens + passed.as_secs_f64() * f64::from(REFILL_PER_S)).min(BURST as f64);
        self.filled_at = self.filled_at.max(now);
        let admits = self.tokens >= 1.0;
        if admits {
            self.tokens -= 1.0;
        }
        admits
    }

    fn remember(&mut self, worker: usize, start: &Start<'_>) -> Draft {
        if self.records.len() == BURST {
            self.records.pop_front();
        }
        let cut = |text: &[u8], bytes_max: usize| Box::from(&text[..text.len().min(bytes_max)]);
        let record = Record {
            id: start.id.into(),
            time: SystemTime::now().checked_sub(start.began_at.elapsed()).unwrap_or(SystemTime::UNIX_EPOCH),
            worker,
            client: start.client,
            listener: Arc::clone(start.listener),
            method: cut(start.method, METHOD_BYTES_MAX),
            path: cut(start.path, PATH_BYTES_MAX),
            // As a rule there is one.
            choices: Vec::with_capacity(1),
            status: None,
            end: None,
            failure: None,
            duration: Duration::ZERO,
        };
        let record = Rc::new(RefCell::new(record));
        self.records.push_back((hash_of(start.id), Rc::clone(&record)));
        Draft(record)
    }
}

impl Draft {
    /// Notes something.
    pub(crate) fn note(&self, note: impl FnOnce(&mut Record)) {
        note(&mut self.0.borrow_mut());
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        self.0.borrow_mut().end.get_or_insert(EndReason::Cut);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Forward, GroupName, ListenerName};

    fn listener() -> Arc<Listener> {
        let name = ListenerName::parse("web").expect("a name");
        Arc::new(Listener::new(name, ([127, 0, 0, 1], 0).into(), Forward::to(GroupName::parse("app").expect("a name"))))
    }

    fn begin(recorder: &Recorder, listener: &Arc<Listener>, id: &str, began_at: Instant) -> Option<Draft> {
        let client = ([127, 0, 0, 1], 4711).into();
        recorder.begin(&Start { id: id.as_bytes(), began_at, client, listener, method: b"GET", path: b"/" })
    }

    #[test]
    fn a_burst_is_remembered_whole_and_a_flood_is_sampled() {
        let (now, listener) = (Instant::now(), listener());
        let recorder = Recorder::new(3, now);
        let admitted = (0..2 * BURST).filter(|_| begin(&recorder, &listener, "burst", now).is_some()).count();
        assert_eq!(admitted, BURST);
        let flood = |millisecond: u64| {
            let at = now + Duration::from_millis(millisecond);
            (0..100).filter(|_| begin(&recorder, &listener, "flood", at).is_some()).count()
        };
        let admitted: usize = (1..=2_000).map(flood).sum();
        assert!((1_990..=2_000).contains(&admitted), "{admitted} of 200,000 in two seconds");
        // Time that seems to go back, since workers note it before they are busy, brings nothing.
        assert!(begin(&recorder, &listener, "late", now).is_none());
    }

    #[test]
    fn the_newest_are_remembered_and_no_more_than_so_many() {
        let (now, listener) = (Instant::now(), listener());
        let recorder = Recorder::new(3, now);
        for number in 0..BURST + 5 {
            let at = now + Duration::from_millis(number as u64 * 10);
            drop(begin(&recorder, &listener, &format!("r{number}"), at).expect("no flood"));
        }
        assert_eq!(recorder.memory.borrow().records.len(), BURST);
        assert!(recorder.find(b"r4").is_empty(), "it had to make room");
        assert_eq!(recorder.find(b"r5").len(), 1);
        assert_eq!(recorder.find(format!("r{}", BURST + 4).as_bytes())[0].worker, 3);
    }

    #[test]
    fn several_of_one_id_are_told_the_newest_first() {
        let (now, listener) = (Instant::now(), listener());
        let recorder = Recorder::new(0, now);
        for status in 0..40 {
            let draft = begin(&recorder, &listener, "same", now).expect("no flood");
            draft.note(|record| record.status = Some(status));
        }
        let statuses: Vec<_> = recorder.find(b"same").iter().map(|record| record.status.expect("set")).collect();
        assert_eq!(statuses, (24..40).rev().collect::<Vec<_>>());
    }

    #[test]
    fn what_is_on_its_way_has_no_end_and_what_is_dropped_was_cut() {
        let (now, listener) = (Instant::now(), listener());
        let recorder = Recorder::new(0, now);
        let draft = begin(&recorder, &listener, "a", now).expect("no flood");
        assert_eq!(recorder.find(b"a")[0].end, None);
        drop(draft);
        assert_eq!(recorder.find(b"a")[0].end, Some(EndReason::Cut));
    }
}
