//! The one writer: compiles when something was wanted or seen or a deadline came, and swaps the pointer.

use std::sync::Arc;

use crate::state::{Live, Observations, Wanted};

/// A handle on the task that publishes snapshots.
#[derive(Debug, Clone)]
pub struct Publisher {}

impl Publisher {
    /// Starts the task on the current runtime. It ends when the last handle is dropped.
    pub fn start(_live: &Arc<Live>, _first: Wanted, _observations: Observations) -> Self {
        unreachable!("being written")
    }

    /// Publishes what is wanted; answers with the generation that holds it, before workers have taken it up
    /// (wait for [`Live::taken_up`]).
    pub async fn publish(&self, _wanted: Wanted) -> u64 {
        unreachable!("being written")
    }
}
