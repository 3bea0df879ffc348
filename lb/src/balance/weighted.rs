//! Finding a candidate by a point on the line of all weights, in constant time.

use super::Candidate;

/// The weights of candidates laid end to end, with a guide into them: one entry for each candidate, so that a look-up
/// starts at most a few steps from where it ends.
#[derive(Debug)]
pub(super) struct WeightLine {
    /// Where each candidate's share ends.
    ends: Box<[u64]>,
    /// For each of as many equal parts of the line: the candidate at its start.
    guide: Box<[u32]>,
}

impl WeightLine {
    /// Of at least one candidate.
    pub(super) fn of(candidates: &[Candidate]) -> Self {
        let mut end = 0;
        let add = |candidate: &Candidate| {
            end += u64::from(candidate.weight);
            end
        };
        let ends: Box<[u64]> = candidates.iter().map(add).collect();
        let mut at = 0;
        let parts = ends.len() as u64;
        let start = |part: u64| {
            let point = part * end / parts;
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
        self.find(part_of(self.total(), fraction), part_of(self.guide.len() as u64, fraction))
    }

    /// The candidate at a fraction of the line from which one candidate's share was cut out, if anything is left.
    pub(super) fn other_than(&self, candidate: usize, fraction: u64) -> Option<usize> {
        let start = candidate.checked_sub(1).map_or(0, |before| self.ends[before]);
        let share = self.ends[candidate] - start;
        let total = self.total();
        if share == total {
            return None;
        }
        let point = part_of(total - share, fraction);
        let point = if point < start { point } else { point + share };
        Some(self.find(point, point * self.guide.len() as u64 / total))
    }

    fn total(&self) -> u64 {
        self.ends[self.ends.len() - 1]
    }

    /// The candidate at a point that lies in a part of the line.
    fn find(&self, point: u64, part: u64) -> usize {
        let mut at = self.guide[part as usize] as usize;
        while self.ends[at] <= point {
            at += 1;
        }
        at
    }
}

/// A fraction of a whole, given in 2^-64: below the whole, unless that is nothing.
pub(super) fn part_of(whole: u64, fraction: u64) -> u64 {
    ((u128::from(fraction) * u128::from(whole)) >> 64) as u64
}

/// The next of a sequence of random numbers (splitmix64).
pub(super) fn next_random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
