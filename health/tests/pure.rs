//! The judge against a naive model, and the schedule's promises, both over random inputs.

use std::time::Duration;

use health::judge::Judge;
use health::schedule::Schedule;
use lb::model::Threshold;
use lb::state::Verdict;
use proptest::prelude::*;

/// The verdict as one would work it out from the whole history: the last run of equal results decides.
fn naive(results: &[bool], healthy: u8, unhealthy: u8) -> Verdict {
    let mut verdict = Verdict::Initial;
    for end in 1..=results.len() {
        let last = results[end - 1];
        let run = results[..end].iter().rev().take_while(|&&result| result == last).count();
        match (verdict, last) {
            (Verdict::Initial, true) => verdict = Verdict::Healthy,
            (_, true) if run >= usize::from(healthy) => verdict = Verdict::Healthy,
            (_, false) if run >= usize::from(unhealthy) => verdict = Verdict::Unhealthy,
            _ => {}
        }
    }
    verdict
}

proptest! {
    #[test]
    fn the_judge_agrees_with_the_naive_model(
        results in prop::collection::vec(any::<bool>(), 0..60),
        healthy in 1u64..=10,
        unhealthy in 1u64..=10,
    ) {
        let (healthy, unhealthy) = (Threshold::new(healthy).unwrap(), Threshold::new(unhealthy).unwrap());
        let mut judge = Judge::new(Verdict::Initial);
        for end in 0..results.len() {
            let verdict = judge.hear(results[end], healthy, unhealthy);
            prop_assert_eq!(verdict, naive(&results[..=end], healthy.get(), unhealthy.get()));
            prop_assert_eq!(verdict, judge.verdict());
        }
    }

    #[test]
    fn a_changed_check_keeps_the_verdict_and_counts_from_nothing(
        before in prop::collection::vec(any::<bool>(), 0..20),
        threshold in 1u64..=10,
    ) {
        let threshold = Threshold::new(threshold).unwrap();
        let mut judge = Judge::new(Verdict::Initial);
        for result in before {
            judge.hear(result, threshold, threshold);
        }
        let verdict = judge.verdict();
        judge.restart();
        prop_assert_eq!(judge.verdict(), verdict);
        // One result too few the other way does not turn it.
        for _ in 1..threshold.get() {
            prop_assert_eq!(judge.hear(verdict == Verdict::Unhealthy, threshold, threshold), verdict);
        }
    }

    #[test]
    fn probes_neither_bunch_nor_drift(
        identity in any::<u64>(),
        interval_ms in 100u64..300_000,
        first_ms in 0u64..1_000_000_000,
        delays in prop::collection::vec(0.0f64..0.4, 1..50),
    ) {
        let interval = Duration::from_millis(interval_ms);
        let schedule = Schedule::new(identity, interval);
        let slack = interval / 16;
        let first = Duration::from_millis(first_ms);
        let second = schedule.after(first);
        prop_assert!(second >= first + interval / 2);
        prop_assert!(second <= first + interval * 3 / 2 + slack);
        // However late each probe starts within reason, the grid stands still.
        let mut due = second;
        for (turn, delay) in delays.iter().enumerate() {
            due = schedule.after(due + interval.mul_f64(*delay));
            let expected = second + interval * (u32::try_from(turn).unwrap() + 1);
            prop_assert!(due.abs_diff(expected) <= slack, "{due:?} is not {expected:?}");
        }
    }

    #[test]
    fn a_probe_that_starts_very_late_skips_points_but_stays_on_the_grid(
        identity in any::<u64>(),
        late in 1.0f64..1000.0,
    ) {
        let interval = Duration::from_secs(10);
        let schedule = Schedule::new(identity, interval);
        let due = schedule.after(Duration::ZERO);
        let next = schedule.after(due + interval.mul_f64(late));
        let turns = (next - due).as_secs_f64() / interval.as_secs_f64();
        prop_assert!((turns - turns.round()).abs() <= 1.0 / 16.0);
    }
}

#[test]
fn phases_fill_the_interval_evenly() {
    let interval = Duration::from_secs(10);
    let mut tenths = [0; 10];
    for target in 0..10_000u64 {
        let identity = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), target);
        let phase = Schedule::new(identity, interval).from(interval * 7) - interval * 7;
        tenths[(phase.as_nanos() * 10 / (interval.as_nanos() + 1)) as usize] += 1;
    }
    // A tenth is a thousand; the ends of the interval are a little thinner because of the jitter.
    assert!(tenths.iter().all(|&count| (600..1400).contains(&count)), "{tenths:?}");
}
