//! The pure function that joins what is wanted with what is seen.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use crate::listen::BoundSockets;
use crate::model::Config;
use crate::state::{Observed, Snapshot};

/// What is wanted, with the sockets that were bound for it.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The configuration.
    pub config: Arc<Config>,
    /// A socket for each of its listeners.
    pub sockets: BoundSockets,
    /// How many workers there are.
    pub workers: usize,
}

/// The time, on both clocks.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// For deadlines.
    pub instant: Instant,
    /// For people.
    pub wall: SystemTime,
}

/// Makes the next snapshot. What neither the wanted nor the seen touched keeps its `Arc`.
pub fn compile(wanted: &Wanted, observed: &Observed, previous: Option<&Snapshot>, now: Now) -> Snapshot {
    let _ = (wanted, observed, previous, now);
    unreachable!("being written")
}
