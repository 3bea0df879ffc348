//! Finding a candidate by a point on the line of all weights, in constant time.

use super::Candidate;

/// The weights of candidates laid end to end, with a guide into them: one entry for each candidate, so that a look-up
/// starts at most a few steps from where it ends.
#[derive(Debug)]
pub(super) struct WeightLine {
    /// Where each candidate's share ends.
    ends: Box<[u32]>,
    /// For each of as many equal parts of the line: the candidate at its start.
    guide: Box<[u32]>,
}

impl WeightLine {
    /// Of at least one candidate. Weights are at most 1000, so four million candidates fit.
    pub(super) fn of(candidates: &[Candidate]) -> Self {
        let mut end = 0;
        let add = |candidate: &Candidate| {
            end += u32::from(candidate.weight);
            end
        };
        let ends: Box<[u32]> = candidates.iter().map(add).collect();
        let mut at = 0;
        let parts = ends.len() as u64;
        let start = |part: u64| {
            let point = (part * u64::from(end) / parts) as u32;
            while ends[at] <= point {
                at += 1;
            }
            at as u32
        };
        let guide = (0..parts).map(start).collect();
        Self { ends, guide }
    }

    /// The candidate at a fraction of the line, given in 2^-64.
    pub(super) fn at(&self, fraction: u64) -> usize {
        let fraction = fraction >> 32;
        let total = u64::from(self.ends[self.ends.len() - 1]);
        let point = ((fraction * total) >> 32) as u32;
        let mut at = self.guide[((fraction * self.guide.len() as u64) >> 32) as usize] as usize;
        while self.ends[at] <= point {
            at += 1;
        }
        at
    }
}

/// The next of a sequence of random numbers (splitmix64).
pub(super) fn next_random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
