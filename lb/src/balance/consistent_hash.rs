//! The same target for the same key, on every worker and every elbow; and when a target comes or goes, another one for
//! as few keys as can be.
//!
//! No target gets much more than its share of what is in flight, however popular its keys are: above its bound they go
//! to their next target, which is the same for each key as well. A few requests at once are no reason for that, so that
//! the parallel connections of one client stay together. A request without a key goes to the less loaded of two at
//! random. Not here: who has which keys (`maglev`), what the key of a request is (`proxy`).

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::maglev::Maglev;
use super::random_of_two::RandomOfTwo;
use super::watch::{CameOut, Choose, Watch};
use super::{Candidate, Pick};

/// The most that may be in flight at a target is this fraction of its share.
const BOUND: (u64, u64) = (5, 4);
/// A target may have this much in flight whatever its share.
const ALWAYS_ALLOWED: u64 = 8;

/// How many targets a key tries in an order of its own, before it goes to any that has room.
const TARGETS_PER_KEY_MAX: usize = 16;

/// Up to how many candidates what is in flight is summed up for each pick.
const SUM_MAX: usize = 32;
/// How many candidates of more than that are looked at for each pick.
const SUM_STEP: usize = 8;

#[derive(Debug)]
pub(super) struct ConsistentHash {
    /// Has the candidates, and chooses where there is no key.
    keyless: RandomOfTwo,
    /// Absent where there is nobody to choose.
    table: Option<Maglev>,
    weight: u64,
    sums: Box<[Sum]>,
}

/// What one worker knows of all that is in flight: it looks at a few candidates each time, and has the sum when it has
/// seen all. One thread writes it.
#[derive(Debug)]
#[repr(align(128))]
struct Sum {
    known: AtomicU64,
    so_far: AtomicU64,
    /// Where to look next.
    next: AtomicUsize,
}

/// A sum of which nothing is known yet.
const UNKNOWN: u64 = u64::MAX;

impl ConsistentHash {
    pub(super) fn new(candidates: Vec<Candidate>, workers: usize) -> Self {
        Self {
            table: (!candidates.is_empty()).then(|| Maglev::of(candidates.iter().map(Candidate::share))),
            weight: candidates.iter().map(|candidate| u64::from(candidate.weight)).sum(),
            keyless: RandomOfTwo::new(candidates),
            sums: (0..workers.max(1)).map(|_| Sum::new()).collect(),
        }
    }

    /// How much is in flight at all candidates, as far as a worker knows.
    fn in_flight(&self, worker: usize, is_dry: bool) -> u64 {
        if self.candidates().len() <= SUM_MAX {
            return self.candidates().iter().map(in_flight).sum();
        }
        let sum = &self.sums[worker % self.sums.len()];
        if is_dry { sum.peek(self.candidates()) } else { sum.look_on(self.candidates()) }
    }
}

impl Sum {
    fn new() -> Self {
        Self { known: AtomicU64::new(UNKNOWN), so_far: AtomicU64::new(0), next: AtomicUsize::new(0) }
    }

    /// Looks at the next few candidates; answers with the latest sum over all.
    fn look_on(&self, candidates: &[Candidate]) -> u64 {
        let start = self.next.load(Ordering::Relaxed);
        let end = candidates.len().min(start + SUM_STEP);
        let so_far = self.so_far.load(Ordering::Relaxed) + candidates[start..end].iter().map(in_flight).sum::<u64>();
        if end == candidates.len() {
            self.known.store(so_far, Ordering::Relaxed);
            self.so_far.store(0, Ordering::Relaxed);
            self.next.store(0, Ordering::Relaxed);
            return so_far;
        }
        self.so_far.store(so_far, Ordering::Relaxed);
        self.next.store(end, Ordering::Relaxed);
        let known = self.peek(candidates);
        self.known.store(known, Ordering::Relaxed);
        known
    }

    /// The latest sum over all. A few from everywhere stand for all until all have been seen.
    fn peek(&self, candidates: &[Candidate]) -> u64 {
        match self.known.load(Ordering::Relaxed) {
            UNKNOWN => {
                let few = candidates.iter().step_by(candidates.len() / SUM_MAX).map(in_flight);
                let (seen, sum) = few.fold((0, 0), |(seen, sum), more| (seen + 1, sum + more));
                sum * candidates.len() as u64 / seen
            }
            known => known,
        }
    }
}

fn in_flight(candidate: &Candidate) -> u64 {
    candidate.backend.in_flight() as u64
}

impl Choose for ConsistentHash {
    fn choose(&self, pick: &Pick<'_>, watch: &mut impl Watch) -> Option<&Candidate> {
        let table = self.table.as_ref()?;
        let Some(key) = pick.hash else { return self.keyless.choose(pick, watch) };
        let mut bound = Bound { of: self, worker: pick.worker, is_dry: watch.is_dry(), in_flight: None };
        for (choice, index) in (0..).zip(table.walk(key).take(TARGETS_PER_KEY_MAX)) {
            let candidate = &self.candidates()[index];
            if pick.allows_seen(candidate, watch) {
                if bound.has_room(candidate) {
                    watch.sees(candidate, || CameOut::Key { choice });
                    return Some(candidate);
                }
                watch.sees(candidate, || CameOut::Crowded { in_flight: in_flight(candidate) });
            }
        }
        let has_room = |other: &Candidate| pick.allows_seen(other, watch) && bound.has_room(other);
        let Some(index) = super::any_that(self.candidates(), key, has_room) else {
            return self.keyless.choose(pick, watch);
        };
        watch.sees(&self.candidates()[index], || CameOut::Key { choice: TARGETS_PER_KEY_MAX as u64 });
        Some(&self.candidates()[index])
    }

    fn candidates(&self) -> &[Candidate] {
        &self.keyless.two.candidates
    }
}

/// What each candidate may have in flight while one more request is on its way.
struct Bound<'a> {
    of: &'a ConsistentHash,
    worker: usize,
    is_dry: bool,
    /// Summed up when it is needed.
    in_flight: Option<u64>,
}

impl Bound<'_> {
    fn has_room(&mut self, candidate: &Candidate) -> bool {
        let own = in_flight(candidate);
        if own < ALWAYS_ALLOWED {
            return true;
        }
        let all = *self.in_flight.get_or_insert_with(|| self.of.in_flight(self.worker, self.is_dry)) + 1;
        own * self.of.weight * BOUND.1 < all * u64::from(candidate.weight) * BOUND.0
    }
}
