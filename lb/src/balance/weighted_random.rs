//! At random, by weight and by nothing else, from an alias table: one look-up whatever the weights.
//!
//! It keeps no count and needs none: shares hold over any stretch of time and any number of workers, and nobody can
//! tell who is next.

use super::watch::{CameOut, Choose, Watch};
use super::weighted::{next_random, part_of};
use super::{Candidate, Pick};

/// How many draws are made in search of a candidate that is allowed, before all are asked in order.
const DRAWS_MAX: usize = 16;

#[derive(Debug)]
pub(super) struct WeightedRandom {
    candidates: Vec<Candidate>,
    /// One column for each candidate, all equally likely.
    columns: Box<[Column]>,
}

/// What a column stands for: below the mark its own candidate, from there on the alias.
#[derive(Debug, Clone, Copy)]
struct Column {
    /// In 2^-32 of the column.
    mark: u32,
    alias: u32,
}

impl WeightedRandom {
    pub(super) fn new(candidates: Vec<Candidate>) -> Self {
        let columns = columns(&candidates);
        Self { candidates, columns }
    }

    fn draw(&self, random: u64) -> &Candidate {
        // The upper half names the column, the lower half the place within.
        let index = part_of(self.columns.len() as u64, random & !0xffff_ffff) as usize;
        let column = self.columns[index];
        &self.candidates[if (random as u32) < column.mark { index } else { column.alias as usize }]
    }
}

impl Choose for WeightedRandom {
    fn choose(&self, pick: &Pick<'_>, watch: &mut impl Watch) -> Option<&Candidate> {
        if self.candidates.is_empty() {
            return None;
        }
        let mut random = pick.random;
        let chosen = (0..DRAWS_MAX)
            .map(|_| self.draw(next_random(&mut random)))
            .find(|candidate| pick.allows_seen(candidate, watch))
            .or_else(|| {
                let index = super::any_that(&self.candidates, random, |other| pick.allows_seen(other, watch))?;
                Some(&self.candidates[index])
            })?;
        watch.sees(chosen, || CameOut::Drawn);
        Some(chosen)
    }

    fn candidates(&self) -> &[Candidate] {
        &self.candidates
    }
}

/// Lays out the table (Walker's, by Vose's way): each column that its own candidate does not fill is filled up by one
/// that has more than a column.
fn columns(candidates: &[Candidate]) -> Box<[Column]> {
    let count = candidates.len() as u64;
    let total: u64 = candidates.iter().map(|candidate| u64::from(candidate.weight)).sum();
    let mut columns: Box<[Column]> =
        (0..candidates.len() as u32).map(|alias| Column { mark: u32::MAX, alias }).collect();
    // In units of 1 / count of a weight, so that a column holds `total` of them and nothing is rounded here.
    let mut rest: Vec<u64> = candidates.iter().map(|candidate| u64::from(candidate.weight) * count).collect();
    let (mut short, mut ample): (Vec<usize>, Vec<usize>) =
        (0..candidates.len()).partition(|&index| rest[index] < total);
    while let (Some(needy), Some(&giver)) = (short.pop(), ample.last()) {
        columns[needy] =
            Column { mark: ((u128::from(rest[needy]) << 32) / u128::from(total)) as u32, alias: giver as u32 };
        rest[giver] -= total - rest[needy];
        if rest[giver] < total {
            short.extend(ample.pop());
        }
    }
    columns
}
