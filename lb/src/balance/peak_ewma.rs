//! Two at random by weight, and of these the one that will probably answer first: by its response time, of which
//! peaks count at once and are forgotten slowly, times what is in flight there for its weight.
//!
//! A target that becomes slow loses its share with its first slow answer, and one that fails, however fast, with its
//! first failures. What is known lies in the backends, so that all workers know it. Not here: how a peak is forgotten
//! (`state::latency`).

use std::time::{Duration, Instant};

use super::random_of_two::Two;
use super::watch::{CameOut, Choose, Watch};
use super::{Candidate, Pick};
use crate::state::{Backend, Outcome};

/// Response times that differ by less than this factor count as the same: peaks are noisy, and noise shall override
/// neither weights nor counts.
const ALIKE_FACTOR: f32 = 2.0;
/// By how much a busy machine or network delays any answer now and then, in microseconds. It counts for both, so that a
/// hiccup of a target that answers in less costs it nothing.
const HICCUP_US: f32 = 5_000.0;

#[derive(Debug)]
pub(super) struct PeakEwma {
    two: Two,
}

impl PeakEwma {
    pub(super) fn new(candidates: Vec<Candidate>) -> Self {
        Self { two: Two::of(candidates) }
    }
}

impl Choose for PeakEwma {
    fn choose(&self, pick: &Pick<'_>, watch: &mut impl Watch) -> Option<&Candidate> {
        let mut random = pick.random;
        let first = self.two.first(pick, &mut random, watch)?;
        let pair = self.two.pair(first, pick, &mut random, watch);
        let [load, other_load] = pair.loads(&mut random).map(|load| (load + 1) as f32);
        let latencies_us = tell_apart(pair.first, pair.second, pick.now);
        let [slowness, other_slowness] = latencies_us.map_or([1.0; 2], |both| both.map(|us| us + HICCUP_US));
        let (score, other_score) = (slowness * load, other_slowness * other_load);
        watch.sees(pair.first, || expected(pair.first, latencies_us.map(|[us, _]| us), score));
        if !std::ptr::eq(pair.first, pair.second) {
            watch.sees(pair.second, || expected(pair.second, latencies_us.map(|[_, us]| us), other_score));
        }
        Some(if other_score < score { pair.second } else { pair.first })
    }

    fn candidates(&self) -> &[Candidate] {
        &self.two.candidates
    }

    fn learn(&self, backend: &Backend, outcome: Outcome, took: Duration, now: Instant) {
        backend.learn(outcome, took, now);
    }
}

/// The response times of two candidates, in microseconds, if they are told apart by them. Who is not known yet counts as
/// no different.
fn tell_apart(first: &Candidate, second: &Candidate, now: Instant) -> Option<[f32; 2]> {
    let both @ [one, other] = [first.backend.latency_us(now)?, second.backend.latency_us(now)?];
    let (fast, slow) = (one.min(other) + HICCUP_US, one.max(other) + HICCUP_US);
    (slow > fast * ALIKE_FACTOR).then_some(both)
}

fn expected(candidate: &Candidate, latency_us: Option<f32>, score: f32) -> CameOut {
    CameOut::Expected { in_flight: candidate.backend.in_flight() as u64, latency_us, score }
}
