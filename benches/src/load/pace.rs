//! When requests are due that wait for nothing: an open loop, in which slow answers put no request off. Gaps are random,
//! as between clients that know nothing of each other, and the same in every run.

use std::time::{Duration, Instant};

use crate::balancing::Random;

#[derive(Debug)]
pub(crate) struct Pace {
    gap_mean: Duration,
    gaps: Random,
    /// When the next request is due; absent: not now.
    due: Option<Instant>,
    /// Clients that wait for nothing.
    pub(super) idle: Vec<usize>,
}

impl Pace {
    /// Not yet at work.
    pub(crate) fn of(requests_per_s: u32) -> Self {
        let gap_mean = Duration::from_secs(1) / requests_per_s;
        Self { gap_mean, gaps: Random(1), due: None, idle: Vec::new() }
    }

    /// A request that is due, and a client for it if one waits for nothing.
    pub(super) fn next(&mut self) -> Option<(Instant, Option<usize>)> {
        let due = self.due.filter(|due| *due <= Instant::now())?;
        self.due = Some(due + self.gap_mean.mul_f64(self.gaps.exponential()));
        Some((due, self.idle.pop()))
    }

    pub(super) fn pause(&mut self, is_paused: bool) {
        self.due = (!is_paused).then(Instant::now);
    }
}
