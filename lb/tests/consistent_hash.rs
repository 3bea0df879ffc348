//! `consistent_hash`: whose keys move when targets come, go or change weight, and that nobody gets more than its bound.

mod common;

use common::balancing::{candidates, pick, randoms};
use lb::balance::{Balancer, Candidate, Pick, build, hash_of};
use lb::model::Algorithm::ConsistentHash;
use lb::state::{BackendId, InFlight};
use proptest::prelude::*;

const KEYS: usize = 20_000;

fn keyed(key: u64) -> Pick<'static> {
    Pick { hash: Some(key), ..pick(key.rotate_left(17)) }
}

/// Who has each key, with nothing in flight.
fn owners(candidates: &[Candidate]) -> Vec<BackendId> {
    let balancer = build(ConsistentHash, candidates.to_vec(), 1, 7);
    randoms(3).take(KEYS).map(|key| balancer.pick(&keyed(key)).expect("one is allowed").backend.id).collect()
}

/// Sends all of them at once; nothing ends.
fn all_at_once(balancer: &dyn Balancer, keys: impl Iterator<Item = u64>) -> Vec<InFlight> {
    let begin = |key| balancer.pick(&keyed(key)).expect("one is allowed").backend.begin(0).expect("takes work");
    keys.map(begin).collect()
}

/// What a target may have in flight whatever its share.
const ALWAYS_ALLOWED: f64 = 8.0;

/// Asserts that nobody has more than five quarters of its share, rounded up.
fn assert_bounded(candidates: &[Candidate]) {
    let all: usize = candidates.iter().map(|candidate| candidate.backend.in_flight()).sum();
    let weight: f64 = candidates.iter().map(|candidate| candidate.weight as f64).sum();
    for candidate in candidates {
        let bound = (1.25 * all as f64 * candidate.weight as f64 / weight).ceil().max(ALWAYS_ALLOWED);
        let own = candidate.backend.in_flight();
        assert!(own as f64 <= bound, "{own} of {all} in flight at weight {} of {weight}", candidate.weight);
    }
}

#[test]
fn only_the_keys_of_the_one_that_leaves_move() {
    for count in [2, 3, 10, 100, 1_000] {
        let all = candidates(vec![1; count]);
        let before = owners(&all);
        for gone in [0, count / 2, count - 1] {
            let mut rest = all.clone();
            let gone = rest.remove(gone).backend.id;
            let after = owners(&rest);
            let moved = before.iter().zip(&after).filter(|(before, after)| before != after);
            assert!(moved.clone().all(|(before, _)| *before == gone), "another one's keys moved");
            if count <= 100 {
                let (moved, most) = (moved.count(), 1.2 * KEYS as f64 / count as f64);
                assert!((moved as f64) <= most, "{moved} of {KEYS} keys moved where {count} targets became one less");
            }
        }
    }
}

#[test]
fn on_average_one_of_a_thousand_moves_a_thousandth() {
    let all = candidates(vec![1; 1_000]);
    let before = owners(&all);
    // By chance one has more keys than another: take the mean over some.
    let moved: usize = (0..20)
        .map(|step| {
            let mut rest = all.clone();
            rest.remove(step * 50);
            before.iter().zip(owners(&rest)).filter(|(before, after)| *before != after).count()
        })
        .sum();
    assert!(moved as f64 / 20.0 <= 1.2 * KEYS as f64 / 1_000.0, "{moved} in twenty times");
}

#[test]
fn more_weight_takes_keys_and_moves_no_others() {
    let light = candidates([10, 10, 10, 10]);
    let before = owners(&light);
    let mut heavy = light;
    heavy[2].weight = 15;
    let heavier = heavy[2].backend.id;
    let after = owners(&heavy);
    let moved: Vec<_> = before.iter().zip(&after).filter(|(before, after)| before != after).collect();
    assert!(moved.iter().all(|(_, after)| **after == heavier));
    // From 10 of 40 to 15 of 45.
    let expected = KEYS as f64 * (15.0 / 45.0 - 10.0 / 40.0);
    assert!((moved.len() as f64 - expected).abs() < expected / 5.0, "{} for {expected}", moved.len());
}

#[test]
fn every_worker_and_every_process_agrees() {
    let (one, another) = (candidates([3, 1, 2, 1]), candidates([3, 1, 2, 1]));
    let one = build(ConsistentHash, one, 4, 7);
    let another = build(ConsistentHash, another, 1, 11);
    for key in randoms(5).take(1_000) {
        let chosen = |balancer: &dyn Balancer, worker| {
            let pick = Pick { worker, random: key ^ worker as u64, ..keyed(key) };
            balancer.pick(&pick).expect("one is allowed").backend.id
        };
        let first = chosen(&*one, 0);
        assert!((1..4).all(|worker| chosen(&*one, worker) == first) && chosen(&*another, 0) == first);
    }
    // Written down once: were it another number, an upgrade would move every client.
    assert_eq!(hash_of(b"elbow"), 13_191_278_207_023_101_292);
}

#[test]
fn one_popular_key_is_spread_within_the_bound() {
    for weights in [vec![1, 1, 1], vec![1; 10], vec![4, 3, 2, 1], vec![1; 32], vec![1; 33], vec![2; 500]] {
        let candidates = candidates(weights);
        let balancer = build(ConsistentHash, candidates.clone(), 1, 7);
        let _work = all_at_once(&*balancer, std::iter::repeat_n(42, 20 * candidates.len()));
        assert_bounded(&candidates);
    }
}

#[test]
fn a_key_above_its_bound_has_a_next_target_of_its_own() {
    let candidates = candidates([1; 10]);
    let balancer = build(ConsistentHash, candidates, 1, 7);
    let first = |key| balancer.pick(&keyed(key)).expect("one is allowed");
    for key in randoms(9).take(50) {
        let home = first(key).backend.id;
        let work: Vec<_> = (0..8).map(|_| first(key).backend.begin(0)).collect();
        assert!(work.iter().flatten().all(|work| work.backend().id == home), "a few stay together");
        let next = first(key).backend.id;
        assert!(next != home && (0..10).all(|_| first(key).backend.id == next));
    }
}

#[test]
fn without_a_key_the_less_loaded_is_chosen() {
    let candidates = candidates([1; 10]);
    let balancer = build(ConsistentHash, candidates.clone(), 1, 7);
    let keyless = |random| balancer.pick(&Pick { hash: None, ..pick(random) }).expect("one is allowed");
    let _work: Vec<_> = randoms(9).take(200).map(|random| keyless(random).backend.begin(0)).collect();
    let loads: Vec<_> = candidates.iter().map(|candidate| candidate.backend.in_flight()).collect();
    assert!(loads.iter().all(|load| (17..=23).contains(load)), "{loads:?}");
}

proptest! {
    #[test]
    fn the_bound_holds_whatever_keys_are_popular(
        weights in prop::collection::vec(1u32..=20, 1..=60),
        seed in any::<u64>(),
        keys in 1u64..40,
        requests in 1usize..600,
    ) {
        let candidates = candidates(weights);
        let balancer = build(ConsistentHash, candidates.clone(), 1, 7);
        let keys = randoms(seed).map(|random| (random >> 32) % keys).map(|key| hash_of(&key.to_le_bytes()));
        let _work = all_at_once(&*balancer, keys.take(requests));
        assert_bounded(&candidates);
    }
}
