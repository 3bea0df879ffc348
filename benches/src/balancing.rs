//! What the benches of balancing share: the algorithms by name, and random numbers that are the same in every run.

use anyhow::{Context, Result};
use lb::model::Algorithm;

/// Every algorithm, by the name it has in a configuration.
pub(crate) const ALGORITHMS: [(&str, Algorithm); 6] = [
    ("round_robin", Algorithm::RoundRobin),
    ("weighted_random", Algorithm::WeightedRandom),
    ("random_of_two", Algorithm::RandomOfTwo),
    ("least_outstanding_requests", Algorithm::LeastOutstandingRequests),
    ("peak_ewma", Algorithm::PeakEwma),
    ("consistent_hash", Algorithm::ConsistentHash),
];

/// The algorithm of a name.
pub(crate) fn algorithm(name: &str) -> Result<Algorithm> {
    let found = ALGORITHMS.iter().find(|(known, _)| *known == name);
    found.map(|(_, algorithm)| *algorithm).with_context(|| format!("{name} is no algorithm"))
}

/// Random numbers (splitmix64).
#[derive(Debug, Clone)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Above 0, up to 1.
    pub(crate) fn fraction(&mut self) -> f64 {
        ((self.bits() >> 11) + 1) as f64 / (1u64 << 53) as f64
    }

    /// Below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        ((u128::from(self.bits()) * end as u128) >> 64) as usize
    }

    /// With mean 1, as the gaps between events that know nothing of each other.
    pub(crate) fn exponential(&mut self) -> f64 {
        -self.fraction().ln()
    }
}
