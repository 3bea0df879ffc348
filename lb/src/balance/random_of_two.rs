//! Two at random by weight, and of these the one with less in flight for its weight, over all workers.
//!
//! That is nearly as even as the least of all and does not herd: workers that see the same counts at the same moment
//! still choose differently. Not here: what else speaks for one of the two (`peak_ewma`).

use super::watch::{CameOut, Choose, Watch};
use super::weighted::{WeightLine, next_random, part_of};
use super::{Candidate, Pick};

/// How many draws are made in search of a candidate that is allowed, for each of the two.
const DRAWS_MAX: usize = 8;

#[derive(Debug)]
pub(super) struct RandomOfTwo {
    pub(super) two: Two,
}

impl RandomOfTwo {
    pub(super) fn new(candidates: Vec<Candidate>) -> Self {
        Self { two: Two::of(candidates) }
    }
}

impl Choose for RandomOfTwo {
    fn choose(&self, pick: &Pick<'_>, watch: &mut impl Watch) -> Option<&Candidate> {
        let mut random = pick.random;
        let first = self.two.first(pick, &mut random, watch)?;
        // Nothing can have less; and so shares are those of the weights while there is little to do.
        if self.two.candidates[first].backend.in_flight() == 0 {
            let first = &self.two.candidates[first];
            watch.sees(first, || CameOut::Load { in_flight: 0, load: 0.0 });
            return Some(first);
        }
        let pair = self.two.pair(first, pick, &mut random, watch);
        let loads = pair.loads(&mut random);
        for (candidate, load) in [pair.first, pair.second].into_iter().zip(loads) {
            let in_flight = || candidate.backend.in_flight() as u64;
            watch.sees(candidate, || CameOut::Load { in_flight: in_flight(), load: load as f32 });
        }
        Some(if loads[1] < loads[0] { pair.second } else { pair.first })
    }

    fn candidates(&self) -> &[Candidate] {
        &self.two.candidates
    }
}

/// Candidates that are drawn two at a time.
#[derive(Debug)]
pub(super) struct Two {
    pub(super) candidates: Vec<Candidate>,
    /// Absent where there is nobody to draw.
    line: Option<WeightLine>,
}

/// Two candidates in the order in which they were drawn; twice the same where there is only one.
pub(super) struct Pair<'a> {
    pub(super) first: &'a Candidate,
    pub(super) second: &'a Candidate,
}

impl Two {
    pub(super) fn of(candidates: Vec<Candidate>) -> Self {
        let line = (!candidates.is_empty()).then(|| WeightLine::of(&candidates));
        Self { candidates, line }
    }

    /// Draws a candidate that is allowed.
    pub(super) fn first(&self, pick: &Pick<'_>, random: &mut u64, watch: &mut impl Watch) -> Option<usize> {
        let line = self.line.as_ref()?;
        (0..DRAWS_MAX)
            .map(|_| line.at(next_random(random)))
            .find(|index| pick.allows_seen(&self.candidates[*index], watch))
            .or_else(|| super::any_that(&self.candidates, next_random(random), |other| pick.allows_seen(other, watch)))
    }

    /// Draws another candidate beside one.
    pub(super) fn pair(&self, first: usize, pick: &Pick<'_>, random: &mut u64, watch: &mut impl Watch) -> Pair<'_> {
        let draw = |_| self.line.as_ref()?.other_than(first, next_random(random));
        let mut draws = (0..DRAWS_MAX).map_while(draw);
        let second = draws.find(|index| pick.allows_seen(&self.candidates[*index], watch)).or_else(|| {
            let first = self.candidates[first].backend.id;
            let is_allowed = |other: &Candidate| other.backend.id != first && pick.allows_seen(other, watch);
            super::any_that(&self.candidates, next_random(random), is_allowed)
        });
        Pair { first: &self.candidates[first], second: &self.candidates[second.unwrap_or(first)] }
    }
}

impl Pair<'_> {
    /// How many requests are in flight at each, for a share as large as that of the lighter of the two.
    ///
    /// The heavier one is taken for several as light as the other, with its requests spread over them: the load is
    /// that of one of them at random.
    pub(super) fn loads(&self, random: &mut u64) -> [u64; 2] {
        let lighter = u64::from(self.first.weight.min(self.second.weight));
        [self.first, self.second].map(|candidate| {
            let (in_flight, weight) = (candidate.backend.in_flight() as u64, u64::from(candidate.weight));
            if weight == lighter {
                return in_flight;
            }
            (in_flight * lighter + part_of(weight, next_random(random))) / weight
        })
    }
}
