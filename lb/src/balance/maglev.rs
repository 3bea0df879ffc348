//! The table of `consistent_hash`: many slots, each with a candidate, so that finding the candidate of a hash is one
//! look-up.
//!
//! It is Maglev's table, which candidates fill by walking through it each in an order of its own, but they race through
//! it instead of taking turns: a candidate reaches its next slot in a time that only its own weight decides, and a slot
//! belongs to whoever came first. So a candidate that leaves moves its own slots and no other, where Maglev moves
//! several times as many once there are more than a few; and shares follow the weights but for chance, about 1 % for
//! ten candidates and 8 % for ten thousand, which the bound on loads more than covers.

use super::hash::hash_of;
use super::weighted::next_random;
use crate::model::TargetId;

/// The fewest slots.
const SLOTS_MIN: usize = 1 << 16;
/// How many slots there are for each candidate, if that is not too many.
const SLOTS_PER_CANDIDATE: usize = 256;
/// How many are not too many (four bytes each, and some ten steps each to fill them).
const SLOTS_MAX: usize = 1 << 20;
/// The fewest slots for each candidate.
const SLOTS_PER_CANDIDATE_MIN: usize = 32;

/// Which candidate has a hash.
#[derive(Debug)]
pub(crate) struct Maglev {
    /// A power of two of them.
    slots: Box<[u32]>,
}

/// A candidate on its way through the table.
struct Runner {
    /// Its order.
    random: u64,
    /// What it needs from one slot to the next.
    stride: f64,
    /// When it reaches its next slot.
    due: f64,
}

impl Maglev {
    /// Of at least one candidate. Their ids and weights alone decide who has which slots.
    pub(crate) fn of<'a>(candidates: impl Iterator<Item = (&'a TargetId, u32)> + Clone) -> Self {
        let mut runners: Vec<_> = candidates.clone().map(|(id, weight)| Runner::new(id, weight)).collect();
        let wanted = (runners.len() * SLOTS_PER_CANDIDATE).clamp(SLOTS_MIN, SLOTS_MAX);
        let count = wanted.max(runners.len() * SLOTS_PER_CANDIDATE_MIN).next_power_of_two();
        let shift = 64 - count.trailing_zeros();
        // In one lap they reach as many slots as there are, some of them again.
        let weight: f64 = candidates.map(|(_, weight)| f64::from(weight)).sum();
        let lap = count as f64 / weight;
        let mut slots = vec![EMPTY; count];
        let mut until = 0.0;
        while slots.contains(&EMPTY) {
            until += lap;
            for (index, runner) in (0..).zip(&mut runners) {
                while runner.due < until {
                    let slot = &mut slots[(next_random(&mut runner.random) >> shift) as usize];
                    *slot = (*slot).min(arrival(runner.due, index));
                    runner.due += runner.stride;
                }
            }
        }
        Self { slots: slots.into_iter().map(|slot| slot as u32).collect() }
    }

    /// The candidates of a key, one after the other, for as long as they are asked for: first the one that has it, then
    /// others at random, some of them again. The same for the same key.
    pub(crate) fn walk(&self, key: u64) -> impl Iterator<Item = usize> {
        let mut others = key;
        let others = std::iter::repeat_with(move || next_random(&mut others));
        std::iter::once(key).chain(others).map(|hash| self.at(hash))
    }

    /// The candidate that has a hash.
    fn at(&self, hash: u64) -> usize {
        self.slots[(hash >> (64 - self.slots.len().trailing_zeros())) as usize] as usize
    }
}

/// A slot that nobody has reached.
const EMPTY: u64 = u64::MAX;

/// Who reached a slot and when, so that the first is the least: numbers that are not negative are in the order of
/// their bits.
fn arrival(due: f64, runner: u32) -> u64 {
    u64::from((due as f32).to_bits()) << 32 | u64::from(runner)
}

impl Runner {
    fn new(id: &TargetId, weight: u32) -> Self {
        let mut random = hash_of(id.as_str().as_bytes());
        let stride = 1.0 / f64::from(weight);
        // Nobody stands at the start together: who would come first then?
        let due = stride * (next_random(&mut random) >> 11) as f64 / (1u64 << 53) as f64;
        Self { random, stride, due }
    }
}
