//! What is remembered of one request.

use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use crate::affinity::Sticky;
use crate::balance::{CameOut, Considered, Trail};
use crate::model::{Algorithm, GroupName, Listener};
use crate::state::{Backend, BackendId, Pool};
use crate::telemetry::EndReason;

/// Of how many candidates that were looked at it is remembered how they came out, for each choice.
pub const CONSIDERED_KEPT_MAX: usize = 8;

/// What is remembered of one request.
#[derive(Debug, Clone)]
pub struct Record {
    /// What it is called.
    pub id: Box<[u8]>,
    /// When its first byte came.
    pub time: SystemTime,
    /// The worker that served it.
    pub worker: usize,
    /// The peer of the connection.
    pub client: SocketAddr,
    /// The listener that took it, as it was then.
    pub listener: Arc<Listener>,
    /// The method. Empty when the head was not understood.
    pub method: Box<[u8]>,
    /// The request target, as far as it is kept.
    pub path: Box<[u8]>,
    /// Every choice made for it, in order; the last may be without a target, where none could be had.
    pub choices: Vec<Choice>,
    /// The status of the answer; none when the client left before one began.
    pub status: Option<u16>,
    /// How it ended; absent: it has not.
    pub end: Option<EndReason>,
    /// What went wrong in the end, in words.
    pub failure: Option<Box<str>>,
    /// From its first byte to the last of the answer.
    pub duration: Duration,
}

/// A choice, and what came of it.
#[derive(Debug, Clone)]
pub struct Choice {
    /// How long after the first byte of the request it was made.
    pub at: Duration,
    /// The targets as they were, for as long as that is remembered.
    pub pool: Weak<Pool>,
    /// The group that was to answer.
    pub target_group: GroupName,
    /// How one of its targets is chosen.
    pub algorithm: Algorithm,
    /// Whether unhealthy targets were used because none was healthy.
    pub failed_open: bool,
    /// What stickiness decided.
    pub sticky: Sticky,
    /// How those came out that the balancer looked at: who was chosen first, if it looked at anyone.
    pub considered: Box<[Considered]>,
    /// How many more it looked at.
    pub considered_beyond: usize,
    /// Who was chosen, if anyone was.
    pub target: Option<(Arc<Backend>, SocketAddr)>,
    /// How long it was waited for, in line with others, because every target was full; absent: not at all.
    pub waited: Option<Duration>,
    /// How long making a connection to it took; absent: one was kept, or could not be made.
    pub connect: Option<Duration>,
    /// What came of it.
    pub outcome: Outcome,
    /// How long after the choice that was known.
    pub took: Duration,
}

/// What came of a choice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing yet.
    Pending,
    /// The target began its answer.
    Answered(u16),
    /// The attempt failed, or there was nobody to choose.
    Failed(Box<str>),
}

impl Record {
    /// Adds a choice. One without a target gives way to the next: that is the same search going on.
    pub fn choose(&mut self, choice: Choice) {
        if self.choices.last().is_some_and(|last| last.target.is_none()) {
            self.choices.pop();
        }
        self.choices.push(choice);
    }
}

impl Choice {
    /// A choice made by this pool just now.
    pub fn of(
        pool: &Arc<Pool>,
        at: Duration,
        sticky: Sticky,
        trail: &Trail,
        target: Option<(Arc<Backend>, SocketAddr)>,
    ) -> Self {
        let chosen = target.as_ref().map(|(backend, _)| backend.id);
        let considered = kept(trail.considered(), chosen);
        Self {
            at,
            pool: Arc::downgrade(pool),
            target_group: pool.group.name.clone(),
            algorithm: pool.algorithm(),
            failed_open: pool.failed_open,
            sticky,
            considered_beyond: trail.considered().len() - considered.len() + trail.beyond(),
            considered,
            target,
            waited: None,
            connect: None,
            outcome: Outcome::Pending,
            took: Duration::ZERO,
        }
    }
}

/// Those that are worth remembering: who was chosen, then who came close, then who could not take it.
fn kept(considered: &[Considered], chosen: Option<BackendId>) -> Box<[Considered]> {
    let rank = |considered: &Considered| {
        let is_other = chosen != Some(considered.backend.id);
        let (is_refused, score) = match considered.came_out {
            CameOut::Refused(_) | CameOut::Crowded { .. } => (true, 0.0),
            CameOut::Load { load, .. } => (false, load),
            CameOut::Expected { score, .. } => (false, score),
            CameOut::Turn { .. } | CameOut::Drawn | CameOut::Key { .. } => (false, 0.0),
        };
        (is_other, is_refused, score)
    };
    let mut ranked: Vec<_> = considered.iter().map(|considered| (rank(considered), considered)).collect();
    ranked.sort_by(|(one, _), (other, _)| {
        (one.0, one.1).cmp(&(other.0, other.1)).then_with(|| one.2.total_cmp(&other.2))
    });
    ranked.into_iter().take(CONSIDERED_KEPT_MAX).map(|(_, considered)| considered.clone()).collect()
}
