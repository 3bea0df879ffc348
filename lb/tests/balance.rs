//! Balancers by what they choose: shares, order, evenness under load, and never what a pick does not allow.

mod common;

use std::collections::HashMap;

use common::balancing::{ALGORITHMS, candidates, chosen, counts, pick, randoms};
use lb::balance::{Balancer, Pick, build};
use lb::model::Algorithm::{ConsistentHash, LeastOutstandingRequests, PeakEwma, RandomOfTwo, RoundRobin};
use lb::state::{BackendId, InFlight};
use proptest::prelude::*;

/// Each candidate's count, as a part of what its weight gives it.
fn ratios(counts: &[u32], weights: &[u32]) -> Vec<f64> {
    let picks: u32 = counts.iter().sum();
    let total: u32 = weights.iter().sum();
    let share = |weight: u32| f64::from(picks) * f64::from(weight) / f64::from(total);
    counts.iter().zip(weights).map(|(&count, &weight)| f64::from(count) / share(weight)).collect()
}

#[test]
fn shares_follow_weights() {
    for weights in [vec![1, 1, 1], vec![5, 3, 2], vec![1000, 999, 1], vec![1, 10]] {
        for algorithm in ALGORITHMS {
            let balancer = build(algorithm, candidates(weights.clone()), 1, 7);
            let counts = counts(&chosen(&*balancer, 100_000), weights.len());
            for (ratio, weight) in ratios(&counts, &weights).into_iter().zip(&weights) {
                // One in two thousand is fifty picks, which chance alone moves by more.
                let slack = if *weight == 1 && weights[0] == 1000 { 0.5 } else { 0.02 };
                assert!((ratio - 1.0).abs() < slack, "{algorithm:?} {weights:?}: {counts:?}");
            }
        }
    }
}

#[test]
fn shares_follow_odd_weights_of_a_thousand() {
    let weights: Vec<u32> = (0..1000).map(|index: u32| index * 7919 % 997 + 1).collect();
    // In order, every share of up to two hundred picks is right within three of them, and all together within 2 %.
    let balancer = build(RoundRobin, candidates(weights.clone()), 1, 7);
    let in_order = counts(&chosen(&*balancer, 100_000), weights.len());
    let total: u32 = weights.iter().sum();
    let mut strayed = 0.0;
    for (&count, &weight) in in_order.iter().zip(&weights) {
        let share = 100_000.0 * f64::from(weight) / f64::from(total);
        let stray = (f64::from(count) - share).abs();
        assert!(stray < 3.0, "{count} for {share}");
        strayed += stray;
    }
    assert!(strayed < 2_000.0, "{strayed}");
    // At random, the shares of each tenth of the candidates are.
    let balancer = build(LeastOutstandingRequests, candidates(weights.clone()), 1, 7);
    let at_random = counts(&chosen(&*balancer, 1_000_000), weights.len());
    let tenths = |all: &[u32]| all.chunks(100).map(|tenth| tenth.iter().sum()).collect::<Vec<u32>>();
    let wanted: Vec<u32> = weights.chunks(100).map(|tenth| tenth.iter().sum::<u32>() / 10).collect();
    for ratio in ratios(&tenths(&at_random), &wanted) {
        assert!((ratio - 1.0).abs() < 0.02, "{ratio}");
    }
}

#[test]
fn equal_weights_take_strict_turns() {
    for weight in [1, 7, 1000] {
        let balancer = build(RoundRobin, candidates([weight; 5]), 1, 7);
        let chosen = chosen(&*balancer, 50);
        assert!(chosen.windows(2).all(|pair| pair[1] == (pair[0] + 1) % 5), "{chosen:?}");
    }
}

#[test]
fn every_turn_is_exact_and_smooth() {
    let balancer = build(RoundRobin, candidates([5, 1, 1]), 1, 7);
    let chosen = chosen(&*balancer, 70);
    for turn in chosen.windows(7) {
        assert_eq!(counts(turn, 3), [5, 1, 1], "{chosen:?}");
    }
    // Five sevenths need runs of three somewhere, and no longer ones.
    assert!(chosen.windows(4).all(|run| run.iter().any(|&index| index != 0)), "{chosen:?}");
}

#[test]
fn workers_and_rebuilds_begin_in_different_places() {
    let first = |seed: u64, worker: usize| {
        let balancer = build(RoundRobin, candidates([1; 100]), 4, seed);
        balancer.pick(&Pick { worker, ..pick(0) }).expect("one is allowed").backend.id
    };
    let starts: std::collections::HashSet<_> = (0..16)
        .flat_map(|seed| (0..4).map(move |worker| (seed, worker)))
        .map(|(seed, worker)| first(seed, worker))
        .collect();
    assert!(starts.len() > 30, "{starts:?}");
}

/// Holds `held` pieces of work, then ends the oldest as each new one begins.
fn under_load(balancer: &dyn Balancer, held: usize, picks: usize) -> (Vec<InFlight>, HashMap<u64, u32>) {
    let mut work = std::collections::VecDeque::new();
    let mut counts = HashMap::new();
    for random in randoms(7).take(picks) {
        let candidate = balancer.pick(&pick(random)).expect("one is allowed");
        *counts.entry(candidate.backend.id.0).or_default() += 1;
        work.push_back(candidate.backend.begin(0).expect("takes work"));
        if work.len() > held {
            work.pop_front();
        }
    }
    (work.into(), counts)
}

#[test]
fn few_candidates_are_loaded_as_evenly_as_can_be() {
    let candidates = candidates([1; 8]);
    let balancer = build(LeastOutstandingRequests, candidates.clone(), 1, 7);
    let (_work, _) = under_load(&*balancer, 36, 36);
    let loads: Vec<_> = candidates.iter().map(|candidate| candidate.backend.in_flight()).collect();
    assert!(loads.iter().all(|&load| load == 4 || load == 5), "{loads:?}");
}

#[test]
fn many_candidates_are_loaded_nearly_evenly() {
    for (algorithm, most) in [(LeastOutstandingRequests, 4), (RandomOfTwo, 5), (PeakEwma, 5)] {
        let candidates = candidates([1; 10_000]);
        let balancer = build(algorithm, candidates.clone(), 1, 7);
        let (_work, _) = under_load(&*balancer, 20_000, 20_000);
        let highest = candidates.iter().map(|candidate| candidate.backend.in_flight()).max();
        assert!(highest <= Some(most), "{algorithm:?}: {highest:?} where the mean is 2");
    }
}

#[test]
fn a_light_target_gets_its_part_of_light_load() {
    for algorithm in [LeastOutstandingRequests, RandomOfTwo, PeakEwma] {
        let balancer = build(algorithm, candidates([1, 9]), 1, 7);
        for held in [1, 2, 5, 20] {
            let (_work, counts) = under_load(&*balancer, held, 10_000);
            // A tenth is its share. Whole requests do not divide finely, but it is neither starved nor flooded.
            assert!((300..2500).contains(&counts[&0]), "{algorithm:?}: {} of 10000 with {held} in flight", counts[&0]);
        }
    }
}

#[test]
fn shares_follow_weights_under_load() {
    for algorithm in [LeastOutstandingRequests, RandomOfTwo, PeakEwma] {
        let balancer = build(algorithm, candidates([5, 3, 2]), 1, 7);
        let (_work, counts) = under_load(&*balancer, 200, 100_000);
        for (index, share) in [(0, 50_000), (1, 30_000), (2, 20_000)] {
            assert!(counts[&index].abs_diff(share) < 2_000, "{algorithm:?} {counts:?}");
        }
    }
}

#[test]
fn nobody_is_favoured_by_place() {
    for algorithm in [LeastOutstandingRequests, RandomOfTwo, PeakEwma] {
        for count in [3, 32, 33] {
            let balancer = build(algorithm, candidates(vec![1; count]), 1, 7);
            let counts = counts(&chosen(&*balancer, 33_000), count);
            let fair = 33_000 / count as u32;
            assert!(counts.iter().all(|count| count.abs_diff(fair) < fair / 5), "{algorithm:?} {counts:?}");
        }
    }
}

#[test]
fn who_is_left_shares_what_a_full_one_cannot_take() {
    // The heaviest is full; draws by weight find hardly anybody else.
    for algorithm in ALGORITHMS {
        for light in [3, 40] {
            let candidates = candidates([1000].into_iter().chain(vec![1; light]));
            let _full = candidates[0].backend.begin(0);
            let balancer = build(algorithm, candidates, 1, 7);
            let chosen = |random| {
                let pick = Pick { connections_max: 1, ..pick(random) };
                balancer.pick(&pick).expect("others have room").backend.id.0 as usize
            };
            let counts = counts(&randoms(5).take(light * 1_000).map(chosen).collect::<Vec<_>>(), light + 1);
            assert_eq!(counts[0], 0);
            assert!(counts[1..].iter().all(|count| (600..1_400).contains(count)), "{algorithm:?}: {counts:?}");
        }
    }
}

#[test]
fn who_is_left_is_chosen_by_load() {
    for algorithm in [LeastOutstandingRequests, RandomOfTwo, PeakEwma] {
        for light in [3, 40] {
            let candidates = candidates([1000].into_iter().chain(vec![1; light]));
            let mut work: Vec<_> = (0..100).map(|_| candidates[0].backend.begin(0)).collect();
            let balancer = build(algorithm, candidates.clone(), 1, 7);
            for random in randoms(5).take(light * 20) {
                let pick = Pick { connections_max: 100, ..pick(random) };
                work.push(balancer.pick(&pick).expect("others have room").backend.begin(0));
            }
            let loads: Vec<_> = candidates[1..].iter().map(|candidate| candidate.backend.in_flight()).collect();
            assert!(loads.iter().all(|load| (15..=25).contains(load)), "{algorithm:?}: {loads:?}");
        }
    }
}

fn some_candidates() -> impl Strategy<Value = Vec<u32>> {
    prop_oneof![
        prop::collection::vec(1u32..=1000, 0..80),
        prop::collection::vec(1u32..=3, 0..80),
        (1usize..200, 1u32..=1000).prop_map(|(count, weight)| vec![weight; count]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_allowed_is_found_and_nothing_else(
        weights in some_candidates(),
        random in any::<u64>(),
        blocked in any::<u64>(),
        tried in prop::collection::vec(0u64..80, 0..3),
        worker in 0usize..3,
    ) {
        let candidates = candidates(weights);
        // A third is full, by chance; sometimes all are.
        let mut work = Vec::new();
        for (index, candidate) in candidates.iter().enumerate() {
            if blocked % 5 == 0 || (blocked >> (index % 60)) % 3 == 0 {
                work.push(candidate.backend.begin(0));
            }
        }
        let tried: Vec<_> = tried.into_iter().map(BackendId).collect();
        let pick = Pick { worker, tried: &tried, connections_max: 1, ..pick(random) };
        let allowed = candidates.iter().any(|candidate| pick.allows(candidate));
        for algorithm in ALGORITHMS {
            let balancer = build(algorithm, candidates.clone(), 3, random);
            for _ in 0..20 {
                match balancer.pick(&pick) {
                    Some(candidate) => prop_assert!(pick.allows(candidate)),
                    None => prop_assert!(!allowed, "{:?} found none", algorithm),
                }
            }
        }
    }

    #[test]
    fn shares_follow_any_weights(
        weights in prop::collection::vec(prop_oneof![Just(1u32), Just(1000), 1u32..=1000], 1..20),
        algorithm in prop::sample::select(ALGORITHMS.to_vec()),
        seed in any::<u64>(),
    ) {
        const PICKS: f64 = 100_000.0;
        let balancer = build(algorithm, candidates(weights.clone()), 1, seed);
        let counts = counts(&chosen(&*balancer, PICKS as usize), weights.len());
        let total: u32 = weights.iter().sum();
        let mut strayed = 0.0;
        for (&count, &weight) in counts.iter().zip(&weights) {
            let expected = PICKS * f64::from(weight) / f64::from(total);
            let stray = (f64::from(count) - expected).abs();
            // Chance moves picks, and in `consistent_hash` the slots of a table as well; in order there is none.
            let chance = match algorithm {
                RoundRobin => 0.0,
                ConsistentHash => (expected * (1.0 + PICKS / 65_536.0)).sqrt(),
                _ => expected.sqrt(),
            };
            prop_assert!(stray <= 3.0 + 5.0 * chance, "{algorithm:?} {weights:?}: {counts:?}");
            strayed += stray / 2.0;
        }
        prop_assert!(strayed <= 0.02 * PICKS, "{algorithm:?} {weights:?}: {counts:?}");
    }

    #[test]
    fn equal_work_in_flight_leaves_equal_shares(
        count in 2usize..12,
        weight in 1u32..=1000,
        held in 1usize..20,
        algorithm in prop::sample::select(ALGORITHMS.to_vec()),
    ) {
        let candidates = candidates(vec![weight; count]);
        let _work: Vec<_> =
            candidates.iter().flat_map(|candidate| (0..held).map(|_| candidate.backend.begin(0))).collect();
        let balancer = build(algorithm, candidates, 1, 7);
        let counts = counts(&chosen(&*balancer, 100_000), count);
        let strayed: f64 = counts.iter().map(|&of| (f64::from(of) - 100_000.0 / count as f64).abs() / 2.0).sum();
        prop_assert!(strayed <= 2_000.0, "{algorithm:?}: {counts:?}");
    }

    #[test]
    fn turns_are_exact_for_any_weights_that_fit(weights in prop::collection::vec(1u32..=40, 1..40), seed in any::<u64>()) {
        let total = weights.iter().map(|&weight| weight as usize).sum();
        let balancer = build(RoundRobin, candidates(weights.clone()), 1, seed);
        let counts = counts(&chosen(&*balancer, total), weights.len());
        prop_assert!(counts.iter().zip(&weights).all(|(&count, &weight)| count == weight), "{counts:?}");
    }

    #[test]
    fn the_least_loaded_of_equals_is_chosen(loads in prop::collection::vec(0usize..4, 1..=32), random in any::<u64>()) {
        let candidates = candidates(vec![3; loads.len()]);
        let mut work = Vec::new();
        for (candidate, &load) in candidates.iter().zip(&loads) {
            work.extend((0..load).map(|_| candidate.backend.begin(0)));
        }
        let balancer = build(LeastOutstandingRequests, candidates, 1, 7);
        let chosen = balancer.pick(&pick(random)).expect("one is allowed");
        prop_assert_eq!(Some(chosen.backend.in_flight()), loads.iter().copied().min());
    }
}
