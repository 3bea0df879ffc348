//! Candidates and picks, for tests of what balancers choose.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use lb::balance::{Balancer, Candidate, Pick};
use lb::model::Algorithm::{
    self, ConsistentHash, LeastOutstandingRequests, PeakEwma, RandomOfTwo, RoundRobin, WeightedRandom,
};
use lb::state::{Backend, BackendId};

use super::{group_name, id};

pub(crate) const ALGORITHMS: [Algorithm; 6] =
    [RoundRobin, LeastOutstandingRequests, RandomOfTwo, PeakEwma, WeightedRandom, ConsistentHash];

pub(crate) fn candidates(weights: impl IntoIterator<Item = u32>) -> Vec<Candidate> {
    let address = SocketAddr::from(([127, 0, 0, 1], 80));
    let target = |index| id(&format!("t{index}"));
    let now = Instant::now();
    let backend =
        |index| Backend::new(BackendId(index), group_name("app"), target(index), Some(address), Arc::default(), 1, now);
    let candidate = |(index, weight)| Candidate { backend: Arc::new(backend(index)), address, weight };
    (0..).zip(weights).map(candidate).collect()
}

pub(crate) fn pick(random: u64) -> Pick<'static> {
    Pick { worker: 0, random, tried: &[], connections_max: 0, now: Instant::now(), hash: Some(random) }
}

/// A sequence of numbers that is random enough for a pick and the same in every run.
pub(crate) fn randoms(seed: u64) -> impl Iterator<Item = u64> {
    let mut state = seed | 1;
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    })
}

/// The indices of candidates chosen by so many picks, one after the other.
pub(crate) fn chosen(balancer: &dyn Balancer, picks: usize) -> Vec<usize> {
    randoms(42)
        .take(picks)
        .map(|random| balancer.pick(&pick(random)).expect("one is allowed").backend.id.0 as usize)
        .collect()
}

pub(crate) fn counts(chosen: &[usize], candidates: usize) -> Vec<u32> {
    let mut counts = vec![0; candidates];
    for &index in chosen {
        counts[index] += 1;
    }
    counts
}
