//! When a target that fails requests is taken out, and for how long.

use std::time::Duration;

/// When a target that fails requests is taken out, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ejection {
    /// How many attempts in a row must fail before an answer. 0: nobody is ever taken out.
    pub failures: u32,
    /// For how long the first time. Twice as long each time it fails again on its return.
    pub duration: Duration,
    /// For how long at most.
    pub duration_max: Duration,
}

impl Default for Ejection {
    fn default() -> Self {
        Self { failures: 5, duration: Duration::from_secs(10), duration_max: Duration::from_secs(300) }
    }
}
