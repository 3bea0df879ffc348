//! Choosing a backend: the trait, and the one list of algorithms. One file an algorithm.
//!
//! A balancer is built by `compile` over the candidates that may take new work now, and never changes; what it
//! counts lies in the backends or in cells that one worker alone writes. Not here: who is eligible
//! (`state::compile`), stickiness, retries (`proxy::attempt`).

mod consistent_hash;
mod hash;
mod least_outstanding_requests;
mod maglev;
mod peak_ewma;
mod random_of_two;
mod round_robin;
mod watch;
mod weighted;
mod weighted_random;

use std::fmt::Debug;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use hash::{hash_of, hash_of_address};
pub(crate) use maglev::Maglev;
use watch::Watch;
pub use watch::{CameOut, Considered, Refusal, Trail};

use crate::model::{Algorithm, TargetId};
use crate::state::{Admission, Backend, BackendId, InFlight, Outcome};
use weighted::{next_random, part_of};

/// What a weight of 1 is among candidates, so that parts of it are whole numbers.
pub(crate) const WEIGHT_UNIT: u32 = 100;

/// A backend that may take new work, with its share.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// The backend.
    pub backend: Arc<Backend>,
    /// Where this pool reaches it (a forward may name another port than the target's own).
    pub address: SocketAddr,
    /// Its share beside the others', 1 to 100,000.
    pub weight: u32,
}

impl Candidate {
    /// Which target it is, and its share.
    fn share(&self) -> (&TargetId, u32) {
        (&self.backend.target, self.weight)
    }
}

/// What a choice may depend on.
#[derive(Debug)]
pub struct Pick<'a> {
    /// The number of the asking worker.
    pub worker: usize,
    /// Fresh random bits.
    pub random: u64,
    /// Backends that this request has tried already.
    pub tried: &'a [BackendId],
    /// The most in flight at one backend. 0: no limit.
    pub connections_max: usize,
    /// The time, give or take how long a head takes to arrive.
    pub now: Instant,
    /// The hash of the request's key, where the algorithm asks for one and the request has it.
    pub hash: Option<u64>,
}

impl Pick<'_> {
    /// Whether a candidate can take this request now.
    #[inline]
    pub fn allows(&self, candidate: &Candidate) -> bool {
        self.check(candidate).is_ok()
    }

    /// Whether a candidate can take this request now, or why not.
    ///
    /// # Errors
    /// [`Refusal`].
    #[inline]
    pub fn check(&self, candidate: &Candidate) -> Result<(), Refusal> {
        let backend = &candidate.backend;
        if self.tried.contains(&backend.id) {
            return Err(Refusal::Tried);
        }
        if backend.admission() != Admission::All {
            return Err(Refusal::Closed);
        }
        match self.connections_max {
            0 => Ok(()),
            max => match backend.in_flight() {
                in_flight if in_flight < max => Ok(()),
                in_flight => Err(Refusal::Full { in_flight }),
            },
        }
    }

    /// As [`Self::allows`], watched.
    #[inline]
    fn allows_seen(&self, candidate: &Candidate, watch: &mut impl Watch) -> bool {
        let checked = self.check(candidate);
        if let Err(refusal) = checked {
            watch.sees(candidate, || CameOut::Refused(refusal));
        }
        checked.is_ok()
    }
}

/// An algorithm over a fixed set of candidates.
pub trait Balancer: Debug + Send + Sync {
    /// Chooses a candidate that [`Pick::allows`], or none when there is none. Costs the same at any number of
    /// candidates while nearly all of them are allowed.
    fn pick(&self, pick: &Pick<'_>) -> Option<&Candidate>;

    /// As [`Self::pick`], and tells how the choice came about. A dry trail leaves no mark of it.
    fn pick_watched(&self, pick: &Pick<'_>, trail: &mut Trail) -> Option<&Candidate>;

    /// Who may take new work at all.
    fn candidates(&self) -> &[Candidate];

    /// Takes note of what became of an attempt at a backend, at the first byte of its answer or when it failed, and how
    /// long that took.
    fn learn(&self, _backend: &Backend, _outcome: Outcome, _took: Duration, _now: Instant) {}
}

/// Builds the balancer of a pool: one arm an algorithm.
///
/// `seed` decides where walks begin, so that workers and processes do not walk in step.
pub fn build(algorithm: Algorithm, candidates: Vec<Candidate>, workers: usize, seed: u64) -> Box<dyn Balancer> {
    match algorithm {
        Algorithm::RoundRobin => Box::new(round_robin::RoundRobin::new(candidates, workers, seed)),
        Algorithm::LeastOutstandingRequests => {
            Box::new(least_outstanding_requests::LeastOutstandingRequests::new(candidates))
        }
        Algorithm::ConsistentHash => Box::new(consistent_hash::ConsistentHash::new(candidates, workers)),
        Algorithm::PeakEwma => Box::new(peak_ewma::PeakEwma::new(candidates)),
        Algorithm::RandomOfTwo => Box::new(random_of_two::RandomOfTwo::new(candidates)),
        Algorithm::WeightedRandom => Box::new(weighted_random::WeightedRandom::new(candidates)),
    }
}

/// How often a choice is made again because the chosen backend filled up meanwhile.
const PICKS_MAX: usize = 8;

/// Chooses a candidate and counts work in there. `pick` is asked anew for each choice, for other random bits.
pub(crate) fn take<'a>(
    balancer: &dyn Balancer,
    mut pick: impl FnMut() -> Pick<'a>,
    mut trail: Option<&mut Trail>,
) -> Option<(InFlight, SocketAddr)> {
    for _ in 0..PICKS_MAX {
        let pick = pick();
        let candidate = match &mut trail {
            None => balancer.pick(&pick)?,
            Some(trail) => balancer.pick_watched(&pick, trail)?,
        };
        // What was allowed a moment ago may be full or closed by now.
        if let Some(in_flight) = candidate.backend.begin(pick.connections_max) {
            return Some((in_flight, candidate.address));
        }
    }
    None
}

/// How many candidates that fit are compared when draws have found none.
const FITTING_MAX: usize = 32;

/// All candidates by index, in order from a random start.
fn all_from(random: u64, candidates: &[Candidate]) -> impl Iterator<Item = usize> + use<> {
    let (start, end) = (part_of(candidates.len() as u64, random) as usize, candidates.len());
    (start..end).chain(0..start)
}

/// A candidate that fits, at random by weight: the last resort when draws by weight find none, because those that have
/// most of the weight are full. Of very many that fit it knows [`FITTING_MAX`].
fn any_that(candidates: &[Candidate], mut random: u64, mut fits: impl FnMut(&Candidate) -> bool) -> Option<usize> {
    let fitting = all_from(next_random(&mut random), candidates).filter(|index| fits(&candidates[*index]));
    let mut weight = 0;
    // Each replaces the one before with its part of the weight so far: in the end all have their share.
    let replaces = |index: &usize| {
        let own = u64::from(candidates[*index].weight);
        weight += own;
        part_of(weight, next_random(&mut random)) < own
    };
    fitting.take(FITTING_MAX).filter(replaces).last()
}
