//! Pools that no snapshot holds any more, kept for a while: who remembers a choice made by one of them does not hold it
//! itself, so that nobody on a worker is the last to let go of ten thousand targets.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Pool, Snapshot};

/// How many are kept.
const POOLS_MAX: usize = 32;
/// How many targets they may have together, unless it is one pool alone.
const TARGETS_MAX: usize = 20_000;

/// The pools that were replaced last, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Past {
    pools: VecDeque<Arc<Pool>>,
    targets: usize,
}

impl Past {
    /// Keeps what the next snapshot does not have any more.
    pub(super) fn keep(&mut self, previous: &Snapshot, next: &Snapshot) {
        for (forward, pool) in &previous.pools {
            if next.pools.get(forward).is_some_and(|same| Arc::ptr_eq(same, pool)) {
                continue;
            }
            self.targets += pool.members.len();
            self.pools.push_back(Arc::clone(pool));
        }
        while self.pools.len() > POOLS_MAX || (self.targets > TARGETS_MAX && self.pools.len() > 1) {
            self.targets -= self.pools.pop_front().map_or(0, |pool| pool.members.len());
        }
    }
}
