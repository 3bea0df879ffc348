//! Watching a choice being made: who was looked at, how each came out, and who could not take the request and why.
//!
//! Every algorithm makes its choice in one function, generic over who watches: nobody, which costs nothing, or a
//! [`Trail`]. So what is told of a choice is the choice itself and not a second opinion. A trail may also be dry: then
//! the choice leaves no mark, such as the turn having gone on.

use std::fmt::{self, Debug};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Balancer, Candidate, Pick};
use crate::state::{Backend, Outcome};

/// How many candidates a trail holds; those looked at beyond are counted.
const CONSIDERED_MAX: usize = 64;

/// An algorithm as it is written: once, whoever watches. That makes it a [`Balancer`].
pub(super) trait Choose: Debug + Send + Sync {
    /// As [`Balancer::pick`], watched.
    fn choose(&self, pick: &Pick<'_>, watch: &mut impl Watch) -> Option<&Candidate>;

    /// As [`Balancer::candidates`].
    fn candidates(&self) -> &[Candidate];

    /// As [`Balancer::learn`].
    fn learn(&self, _backend: &Backend, _outcome: Outcome, _took: Duration, _now: Instant) {}
}

impl<C: Choose> Balancer for C {
    fn pick(&self, pick: &Pick<'_>) -> Option<&Candidate> {
        self.choose(pick, &mut Unwatched)
    }

    fn pick_watched(&self, pick: &Pick<'_>, trail: &mut Trail) -> Option<&Candidate> {
        self.choose(pick, trail)
    }

    fn candidates(&self) -> &[Candidate] {
        Choose::candidates(self)
    }

    fn learn(&self, backend: &Backend, outcome: Outcome, took: Duration, now: Instant) {
        Choose::learn(self, backend, outcome, took, now);
    }
}

/// Who watches a choice.
pub(super) trait Watch {
    /// A candidate was looked at, and came out so.
    fn sees(&mut self, candidate: &Candidate, came_out: impl FnOnce() -> CameOut);

    /// Whether the choice is not to be felt by those that follow.
    fn is_dry(&self) -> bool;
}

/// Nobody.
struct Unwatched;

impl Watch for Unwatched {
    #[inline]
    fn sees(&mut self, _candidate: &Candidate, _came_out: impl FnOnce() -> CameOut) {}

    #[inline]
    fn is_dry(&self) -> bool {
        false
    }
}

/// What was seen of a choice.
#[derive(Debug, Default)]
pub struct Trail {
    considered: Vec<Considered>,
    beyond: usize,
    is_dry: bool,
}

/// A candidate that was looked at.
#[derive(Debug, Clone)]
pub struct Considered {
    /// Who it was.
    pub backend: Arc<Backend>,
    /// How it came out.
    pub came_out: CameOut,
}

/// How a candidate came out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum CameOut {
    /// It cannot take this request.
    Refused(Refusal),
    /// It is its turn, at this place of a whole turn of so many.
    Turn {
        /// Counted from 0.
        place: u64,
        /// How many places a turn has. 0: the walk has none.
        of: u64,
    },
    /// It was drawn by weight alone.
    Drawn,
    /// It has so many requests in flight, and this load for its weight. Less is better.
    Load {
        /// Requests in flight.
        in_flight: u64,
        /// What was compared.
        load: f32,
    },
    /// It will probably take so long. Less is better.
    Expected {
        /// Requests in flight.
        in_flight: u64,
        /// Its expected response time, where it was told apart from the other's.
        latency_us: Option<f32>,
        /// What was compared.
        score: f32,
    },
    /// The key leads to it, as its first target (0) or one after that.
    Key {
        /// Which of the key's targets it is.
        choice: u64,
    },
    /// The key leads to it, but it has its bound of requests in flight.
    Crowded {
        /// Requests in flight.
        in_flight: u64,
    },
}

/// Why a candidate cannot take a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// This request has tried it already.
    Tried,
    /// It has just been closed to new work.
    Closed,
    /// It has as much in flight as it may have.
    Full {
        /// Requests in flight.
        in_flight: usize,
    },
}

impl Trail {
    /// Of a choice that leaves no mark.
    pub fn dry() -> Self {
        Self { is_dry: true, ..Self::default() }
    }

    /// Who was looked at, in order, each once as it came out last.
    pub fn considered(&self) -> &[Considered] {
        &self.considered
    }

    /// How many more looks there were than fit.
    pub fn beyond(&self) -> usize {
        self.beyond
    }

    /// Forgets what was seen.
    pub fn clear(&mut self) {
        self.considered.clear();
        self.beyond = 0;
    }
}

impl Watch for Trail {
    fn sees(&mut self, candidate: &Candidate, came_out: impl FnOnce() -> CameOut) {
        let came_out = came_out();
        let known = self.considered.iter().position(|known| known.backend.id == candidate.backend.id);
        match known {
            Some(known) => self.considered[known].came_out = came_out,
            None if self.considered.len() == CONSIDERED_MAX => self.beyond += 1,
            None => self.considered.push(Considered { backend: Arc::clone(&candidate.backend), came_out }),
        }
    }

    fn is_dry(&self) -> bool {
        self.is_dry
    }
}

impl fmt::Display for CameOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Refused(refusal) => fmt::Display::fmt(&refusal, f),
            Self::Turn { place: _, of: 0 } => f.write_str("its turn by weight"),
            Self::Turn { place, of } => write!(f, "its turn, place {} of {of}", place + 1),
            Self::Drawn => f.write_str("drawn by weight"),
            Self::Load { in_flight, load } => write!(f, "{in_flight} in flight, load {load:.2}"),
            Self::Expected { in_flight, latency_us: Some(us), score } => {
                write!(f, "expected in {:.1} ms, {in_flight} in flight, score {score:.0}", us / 1e3)
            }
            Self::Expected { in_flight, latency_us: None, score } => {
                write!(f, "as fast as the other, {in_flight} in flight, score {score:.0}")
            }
            Self::Key { choice: 0 } => f.write_str("the key's target"),
            Self::Key { choice } => write!(f, "the key's target number {}", choice + 1),
            Self::Crowded { in_flight } => write!(f, "the key's target, but {in_flight} in flight are its bound"),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tried => f.write_str("this request has tried it already"),
            Self::Closed => f.write_str("it has just been closed to new work"),
            Self::Full { in_flight } => write!(f, "full: {in_flight} in flight are its limit"),
        }
    }
}
