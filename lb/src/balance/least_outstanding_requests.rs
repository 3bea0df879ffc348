//! The candidate with the fewest requests in flight for its weight, over all workers.
//!
//! Up to [`SCAN_MAX`] candidates all are compared; beyond that the best of a few random ones is nearly as good as the
//! best of all and costs the same at any number. A random fraction of a request is added to each count: it breaks ties
//! without favouring a place, and between unequal weights it rounds to either side in turn, so that a light target
//! beside a heavy one gets its share of little traffic, too. Among targets with nothing in flight the choice is
//! random by weight.

use super::watch::{CameOut, Choose, Watch};
use super::weighted::{WeightLine, next_random};
use super::{Candidate, Pick, WEIGHT_UNIT};

/// Up to how many candidates all are compared.
const SCAN_MAX: usize = super::FITTING_MAX;

/// How many random candidates are compared beyond that.
const SAMPLES: usize = 5;

/// How many random candidates are drawn to find [`SAMPLES`] that are allowed.
const DRAWS_MAX: usize = 3 * SAMPLES;

#[derive(Debug)]
pub(super) struct LeastOutstandingRequests {
    candidates: Vec<Candidate>,
    /// Present where there are too many to compare all.
    line: Option<WeightLine>,
}

impl LeastOutstandingRequests {
    pub(super) fn new(candidates: Vec<Candidate>) -> Self {
        let line = (candidates.len() > SCAN_MAX).then(|| WeightLine::of(&candidates));
        Self { candidates, line }
    }

    /// The best of all, or of the first so many that are allowed.
    fn best_of_many(&self, pick: &Pick<'_>, watch: &mut impl Watch) -> Option<&Candidate> {
        let (mut random, mut seen) = (pick.random, 0);
        let mut best: Option<(f32, usize, &Candidate)> = None;
        let mut idle: Option<&Candidate> = None;
        let mut idle_weight = 0;
        for index in super::all_from(next_random(&mut random), &self.candidates) {
            let candidate = &self.candidates[index];
            if !pick.allows_seen(candidate, watch) {
                continue;
            }
            let bits = next_random(&mut random);
            let in_flight = candidate.backend.in_flight();
            let load = load(candidate, in_flight, bits);
            watch.sees(candidate, || came_out(in_flight, load));
            if best.is_none_or(|(least, _, _)| load < least) {
                best = Some((load, in_flight, candidate));
            }
            if in_flight == 0 {
                idle_weight += u64::from(candidate.weight);
                // Each replaces the one before with its part of the weight so far: in the end all have their share.
                if ((bits >> 32) * idle_weight) >> 32 < u64::from(candidate.weight) {
                    idle = Some(candidate);
                }
            }
            seen += 1;
            if seen == SCAN_MAX {
                break;
            }
        }
        let (_, in_flight, best) = best?;
        if in_flight == 0 { idle } else { Some(best) }
    }

    /// Draws by weight, so that a candidate with nothing in flight may be taken as it comes. None when too few that are
    /// drawn are allowed.
    fn best_of_few(&self, line: &WeightLine, pick: &Pick<'_>, watch: &mut impl Watch) -> Option<&Candidate> {
        let (mut random, mut samples) = (pick.random, 0);
        let mut best: Option<(f32, &Candidate)> = None;
        let mut bits = pick.random.rotate_left(32);
        for _ in 0..DRAWS_MAX {
            let candidate = &self.candidates[line.at(next_random(&mut random))];
            if !pick.allows_seen(candidate, watch) {
                continue;
            }
            let in_flight = candidate.backend.in_flight();
            if in_flight == 0 {
                watch.sees(candidate, || came_out(0, 0.0));
                return Some(candidate);
            }
            let load = load(candidate, in_flight, next_random(&mut bits));
            watch.sees(candidate, || came_out(in_flight, load));
            if best.is_none_or(|(least, _)| load < least) {
                best = Some((load, candidate));
            }
            samples += 1;
            if samples == SAMPLES {
                break;
            }
        }
        best.filter(|_| samples == SAMPLES).map(|(_, candidate)| candidate)
    }
}

impl Choose for LeastOutstandingRequests {
    fn choose(&self, pick: &Pick<'_>, watch: &mut impl Watch) -> Option<&Candidate> {
        let drawn = self.line.as_ref().and_then(|line| self.best_of_few(line, pick, watch));
        drawn.or_else(|| self.best_of_many(pick, watch))
    }

    fn candidates(&self) -> &[Candidate] {
        &self.candidates
    }
}

/// The load of a candidate with a random fraction of a request more, for its weight.
fn load(candidate: &Candidate, in_flight: usize, bits: u64) -> f32 {
    let fraction = (bits & 0xffff) as f32 / 65_536.0;
    (in_flight as f32 + fraction) / candidate.weight as f32
}

fn came_out(in_flight: usize, load: f32) -> CameOut {
    CameOut::Load { in_flight: in_flight as u64, load: load * WEIGHT_UNIT as f32 }
}
