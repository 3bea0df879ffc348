//! What is in flight, whatever becomes of it: no way for an attempt to end leaves a count behind.

mod common;

use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::thread;
use std::time::Duration;

use common::balancing::{ALGORITHMS, candidates, pick, randoms};
use lb::balance::{Balancer, Candidate, Pick, build};
use lb::state::{InFlight, Outcome};
use proptest::prelude::*;

const WORKERS: usize = 4;

/// What becomes of one request of a history. Numbers are taken modulo what there is.
#[derive(Debug, Clone)]
enum Step {
    /// It is sent, tries this many targets that fail first, and stays.
    Begin(u8),
    /// One that stays ends.
    End(u8),
    /// One that stays is cancelled where it waits.
    Cancel(u8),
    /// One is cancelled at its first attempt.
    Stillborn,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0u8..3).prop_map(Step::Begin),
        2 => any::<u8>().prop_map(Step::End),
        2 => any::<u8>().prop_map(Step::Cancel),
        1 => Just(Step::Stillborn),
    ]
}

/// One request: attempts that fail, and one that waits until it is told to end.
async fn request(balancer: Arc<dyn Balancer>, random: u64, failures: u8, end: Arc<tokio::sync::Notify>) {
    let mut tried = Vec::new();
    for attempt in 0..=failures {
        let pick = Pick { tried: &tried, connections_max: 3, worker: random as usize % WORKERS, ..pick(random) };
        let now = pick.now;
        let Some(candidate) = balancer.pick(&pick) else { return };
        let Some(in_flight) = candidate.backend.begin(3) else { return };
        tried.push(candidate.backend.id);
        tokio::task::yield_now().await;
        if attempt < failures {
            balancer.learn(in_flight.backend(), Outcome::Failed, Duration::ZERO, now);
            continue;
        }
        end.notified().await;
        balancer.learn(in_flight.backend(), Outcome::Answered, Duration::from_millis(1), now);
        deliver(in_flight).await;
        return;
    }
}

/// The guard travels with the body.
async fn deliver(in_flight: InFlight) {
    tokio::task::yield_now().await;
    drop(in_flight);
}

fn in_flight(candidates: &[Candidate]) -> usize {
    candidates.iter().map(|candidate| candidate.backend.in_flight()).sum()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn random_ends_and_cancellations_leave_nothing_behind(
        steps in prop::collection::vec(step(), 1..120),
        count in 1usize..40,
        algorithm in prop::sample::select(ALGORITHMS.to_vec()),
        seed in any::<u64>(),
    ) {
        let candidates = candidates(vec![1; count]);
        let balancer: Arc<dyn Balancer> = build(algorithm, candidates.clone(), WORKERS, seed).into();
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let mut randoms = randoms(seed);
        let mut alive = Vec::new();
        runtime.block_on(async {
            for step in &steps {
                let random = randoms.next().expect("it goes on for ever");
                let end = Arc::new(tokio::sync::Notify::new());
                match *step {
                    Step::Begin(failures) => {
                        let request = request(Arc::clone(&balancer), random, failures, Arc::clone(&end));
                        alive.push((tokio::spawn(request), end));
                    }
                    Step::End(which) if !alive.is_empty() => {
                        let (request, end) = alive.swap_remove(which as usize % alive.len());
                        end.notify_one();
                        request.await.expect("it ends well");
                    }
                    Step::Cancel(which) if !alive.is_empty() => {
                        let (request, _) = alive.swap_remove(which as usize % alive.len());
                        request.abort();
                        // It may have found no target with room, and be over.
                        let _ = request.await;
                    }
                    Step::Stillborn => {
                        let mut request = pin!(request(Arc::clone(&balancer), random, 2, end));
                        let once = std::future::poll_fn(|cx| Poll::Ready(request.as_mut().poll(cx)));
                        let _: Poll<()> = once.await;
                    }
                    Step::End(_) | Step::Cancel(_) => {}
                }
                tokio::task::yield_now().await;
                prop_assert!(candidates.iter().all(|candidate| candidate.backend.in_flight() <= 3));
            }
            Ok(())
        })?;
        // Whatever still waits is cut with its worker.
        drop(runtime);
        prop_assert_eq!(in_flight(&candidates), 0);
    }
}

#[test]
fn workers_on_threads_of_their_own_agree_on_nothing_left() {
    for algorithm in ALGORITHMS {
        let candidates = candidates([1, 2, 3, 4, 5]);
        let balancer: Arc<dyn Balancer> = build(algorithm, candidates.clone(), WORKERS, 7).into();
        thread::scope(|scope| {
            for worker in 0..WORKERS {
                let balancer = Arc::clone(&balancer);
                scope.spawn(move || {
                    let mut held = Vec::new();
                    for random in randoms(worker as u64 + 1).take(20_000) {
                        let chosen = balancer.pick(&Pick { worker, connections_max: 50, ..pick(random) });
                        held.extend(chosen.and_then(|candidate| candidate.backend.begin(50)));
                        if held.len() > 40 || random % 3 == 0 {
                            held.truncate(held.len() / 2);
                        }
                    }
                });
            }
        });
        assert_eq!(in_flight(&candidates), 0, "{algorithm:?}");
    }
}
