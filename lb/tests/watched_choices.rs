//! What is told of a choice is the choice: watching changes nothing, and a dry choice leaves no mark.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod common;

use common::balancing::{ALGORITHMS, candidates, pick, randoms};
use lb::balance::{Balancer, CameOut, Considered, Pick, Refusal, Trail, build};
use lb::model::Algorithm;
use lb::state::{BackendId, InFlight};

const WEIGHTS: [u32; 5] = [100, 300, 100, 500, 200];

/// Two balancers that do the same, with what is in flight at the candidates of each.
fn twins(algorithm: Algorithm, count: usize) -> [(Box<dyn Balancer>, Vec<InFlight>); 2] {
    [(); 2].map(|()| {
        let candidates = candidates(WEIGHTS.into_iter().cycle().take(count));
        let busy = candidates.iter().enumerate().flat_map(|(index, candidate)| {
            (0..index % 7).map(|_| candidate.backend.begin(0).unwrap()).collect::<Vec<_>>()
        });
        let busy = busy.collect();
        (build(algorithm, candidates, 2, 7), busy)
    })
}

fn of(considered: &[Considered], id: BackendId) -> CameOut {
    considered.iter().find(|considered| considered.backend.id == id).expect("who was chosen was looked at").came_out
}

#[test]
fn watching_a_choice_changes_nothing() {
    for algorithm in ALGORITHMS {
        for count in [1, 3, 40, 500] {
            let [(plain, _busy), (watched, _also_busy)] = twins(algorithm, count);
            for random in randoms(3).take(500) {
                let asked = pick(random);
                let mut trail = Trail::default();
                let chosen = watched.pick_watched(&asked, &mut trail).unwrap().backend.id;
                assert_eq!(plain.pick(&asked).unwrap().backend.id, chosen, "{algorithm:?} of {count}");
                let came_out = of(trail.considered(), chosen);
                assert!(!matches!(came_out, CameOut::Refused(_) | CameOut::Crowded { .. }), "{came_out}");
                let loads = trail.considered().iter().filter_map(|considered| match considered.came_out {
                    CameOut::Expected { score, .. } => Some((score, considered.backend.id)),
                    CameOut::Load { load, .. } if algorithm == Algorithm::RandomOfTwo => {
                        Some((load, considered.backend.id))
                    }
                    _ => None,
                });
                let least = loads.clone().map(|(score, _)| score).fold(f32::INFINITY, f32::min);
                assert!(loads.clone().count() == 0 || loads.clone().any(|(score, id)| id == chosen && score == least));
            }
        }
    }
}

#[test]
fn a_dry_choice_leaves_no_mark() {
    for algorithm in ALGORITHMS {
        for count in [3, 100] {
            let [(undisturbed, _busy), (asked_in_between, _also_busy)] = twins(algorithm, count);
            for (index, random) in randoms(5).take(300).enumerate() {
                let next = asked_in_between.pick_watched(&pick(random), &mut Trail::dry()).unwrap().backend.id;
                for other in randoms(index as u64).take(3) {
                    asked_in_between.pick_watched(&pick(other), &mut Trail::dry());
                }
                let chosen = asked_in_between.pick(&pick(random)).unwrap().backend.id;
                assert_eq!(next, chosen, "{algorithm:?} says what would be chosen now");
                assert_eq!(undisturbed.pick(&pick(random)).unwrap().backend.id, chosen, "{algorithm:?} of {count}");
            }
        }
    }
}

#[test]
fn who_cannot_take_the_request_is_told_with_the_reason() {
    for algorithm in ALGORITHMS {
        let candidates = candidates([100, 100, 100]);
        let full = candidates[1].backend.begin(0).unwrap();
        let tried = [candidates[0].backend.id];
        let balancer = build(algorithm, candidates, 1, 7);
        let (mut full_seen, mut tried_seen) = (0, 0);
        for random in randoms(9).take(200) {
            let mut trail = Trail::default();
            let asked = Pick { tried: &tried, connections_max: 1, ..pick(random) };
            assert_eq!(balancer.pick_watched(&asked, &mut trail).unwrap().backend.id, BackendId(2));
            for considered in trail.considered() {
                match considered.came_out {
                    CameOut::Refused(Refusal::Tried) if considered.backend.id == tried[0] => tried_seen += 1,
                    CameOut::Refused(Refusal::Full { in_flight: 1 }) => {
                        assert_eq!(&considered.backend, full.backend());
                        full_seen += 1;
                    }
                    came_out => assert!(considered.backend.id == BackendId(2), "{algorithm:?}: {came_out}"),
                }
            }
        }
        assert!(full_seen > 10 && tried_seen > 10, "{algorithm:?}: {full_seen} {tried_seen}");
    }
}
