//! `peak_ewma` in virtual time: who is slow or fails loses its share at once and wins it back slowly.

mod common;

use std::time::{Duration, Instant};

use common::balancing::{candidates, pick, randoms};
use lb::balance::{Balancer, Pick, build};
use lb::model::Algorithm::PeakEwma;
use lb::state::Outcome;

const CALM: Duration = Duration::from_millis(1);
const SLOW: Duration = Duration::from_millis(200);

/// Requests one after the other, one each so many milliseconds of a clock of its own.
struct Course {
    balancer: Box<dyn Balancer>,
    randoms: Box<dyn Iterator<Item = u64>>,
    now: Instant,
    every: Duration,
}

impl Course {
    fn over(weights: &[u32]) -> Self {
        let balancer = build(PeakEwma, candidates(weights.iter().copied()), 1, 7);
        Self { balancer, randoms: Box::new(randoms(42)), now: Instant::now(), every: Duration::from_millis(2) }
    }

    /// The part of requests that the first target gets for a while, when it answers like this and others are calm.
    fn share_of_first(&mut self, lasting: Duration, outcome: Outcome, took: Duration) -> f64 {
        let (until, mut first, mut all) = (self.now + lasting, 0.0, 0.0);
        while self.now < until {
            self.now += self.every;
            let random = self.randoms.next().expect("it goes on for ever");
            let chosen = self.balancer.pick(&Pick { now: self.now, ..pick(random) }).expect("all are allowed");
            all += 1.0;
            if chosen.backend.id.0 == 0 {
                first += 1.0;
                self.balancer.learn(&chosen.backend, outcome, took, self.now);
            } else {
                self.balancer.learn(&chosen.backend, Outcome::Answered, CALM, self.now);
            }
        }
        first / all
    }
}

#[test]
fn a_slow_answer_costs_the_share_at_once_and_forgiveness_is_slow() {
    let mut course = Course::over(&[1, 1, 1]);
    let share = course.share_of_first(Duration::from_secs(20), Outcome::Answered, CALM);
    assert!((share - 1.0 / 3.0).abs() < 0.02, "{share}");
    // Some ten thousand requests, of which a third would have been slow.
    let share = course.share_of_first(Duration::from_secs(20), Outcome::Answered, SLOW);
    assert!(share < 0.001, "{share}");
    // It is calm again, but nobody knows for a while.
    let share = course.share_of_first(Duration::from_secs(10), Outcome::Answered, CALM);
    assert!(share < 0.001, "{share}");
    let share = course.share_of_first(Duration::from_secs(60), Outcome::Answered, CALM);
    assert!(share > 0.1, "{share}");
}

#[test]
fn who_stays_slow_is_tried_now_and_then() {
    let mut course = Course::over(&[1, 1, 1]);
    let share = course.share_of_first(Duration::from_secs(600), Outcome::Answered, SLOW);
    let tries = share * 300_000.0;
    assert!((5.0..50.0).contains(&tries), "{tries} in ten minutes");
}

#[test]
fn failing_fast_attracts_nobody() {
    for outcome in [Outcome::Failed, Outcome::Error] {
        let mut course = Course::over(&[1, 1, 1]);
        let share = course.share_of_first(Duration::from_secs(60), outcome, Duration::from_micros(50));
        assert!(share < 0.001, "{outcome:?}: {share}");
        // Nor after it was good, with more weight than the others.
        let mut course = Course::over(&[5, 1, 1]);
        course.share_of_first(Duration::from_secs(10), Outcome::Answered, CALM);
        let share = course.share_of_first(Duration::from_secs(60), outcome, Duration::from_micros(50));
        assert!(share < 0.001, "{outcome:?}: {share}");
    }
}

#[test]
fn an_error_now_and_then_moves_nobody() {
    let balancer = build(PeakEwma, candidates([1, 1, 1]), 1, 7);
    let (mut now, mut counts) = (Instant::now(), [0; 3]);
    for (step, random) in randoms(42).take(60_000).enumerate() {
        now += Duration::from_millis(2);
        let chosen = balancer.pick(&Pick { now, ..pick(random) }).expect("all are allowed");
        counts[chosen.backend.id.0 as usize] += 1;
        let outcome = if step % 100 == 0 { Outcome::Error } else { Outcome::Answered };
        balancer.learn(&chosen.backend, outcome, CALM, now);
    }
    assert!(counts.iter().all(|count| (19_000..21_000).contains(count)), "{counts:?}");
}

#[test]
fn a_hiccup_costs_nothing() {
    let mut course = Course::over(&[1, 1, 1]);
    course.share_of_first(Duration::from_secs(10), Outcome::Answered, CALM);
    // Any busy machine answers late by some milliseconds now and then.
    course.share_of_first(Duration::from_millis(50), Outcome::Answered, Duration::from_millis(5));
    let share = course.share_of_first(Duration::from_secs(10), Outcome::Answered, CALM);
    assert!((share - 1.0 / 3.0).abs() < 0.03, "{share}");
}

#[test]
fn noise_does_not_override_weights() {
    let balancer = build(PeakEwma, candidates([8, 1, 1]), 1, 7);
    let (mut now, mut first) = (Instant::now(), 0);
    for random in randoms(42).take(50_000) {
        now += Duration::from_micros(500);
        let chosen = balancer.pick(&Pick { now, ..pick(random) }).expect("all are allowed");
        first += u32::from(chosen.backend.id.0 == 0);
        // From 1 to 1.5 ms.
        let took = CALM + Duration::from_micros(random >> 32 & 0x1ff);
        balancer.learn(&chosen.backend, Outcome::Answered, took, now);
    }
    assert!((39_000..41_000).contains(&first), "{first} of 50000");
}
