//! When requests are due that wait for nothing: an open loop, in which slow answers put no request off. Gaps are random,
//! as between clients that know nothing of each other, and the same in every run.

use std::time::{Duration, Instant};

use crate::balancing::Random;

#[derive(Debug)]
pub(crate) struct Pace {
    gap_mean: Duration,
    gaps: Random,
    choices: Random,
    /// When the next request is due; absent: not now.
    due: Option<Instant>,
    /// Clients that wait for nothing.
    pub(super) idle: Vec<usize>,
    /// Whether clients are added when none is idle.
    adds_clients: bool,
    /// Requests that were due when the pace was stopped, and that nobody had asked.
    pub(super) unasked: u64,
}

impl Pace {
    /// Not yet at work.
    pub(crate) fn of(requests_per_s: u32) -> Self {
        Self {
            gap_mean: Duration::from_secs(1) / requests_per_s,
            gaps: Random(1),
            choices: Random(2),
            due: None,
            idle: Vec::new(),
            adds_clients: true,
            unasked: 0,
        }
    }

    /// What is due while nobody is idle waits for one of the clients that are there, and its time counts from when it was
    /// due all the same.
    pub(crate) fn without_more_clients(self) -> Self {
        Self { adds_clients: false, ..self }
    }

    /// A request that is due, and any client for it that waits for nothing.
    pub(super) fn next(&mut self) -> Option<(Instant, Option<usize>)> {
        if self.idle.is_empty() {
            return if self.adds_clients { Some((self.take_due()?, None)) } else { None };
        }
        let due = self.take_due()?;
        let chosen = self.choices.below(self.idle.len());
        Some((due, Some(self.idle.swap_remove(chosen))))
    }

    pub(super) fn pause(&mut self, is_paused: bool) {
        while is_paused && self.take_due().is_some() {
            self.unasked += 1;
        }
        self.due = (!is_paused).then(Instant::now);
    }

    fn take_due(&mut self) -> Option<Instant> {
        let due = self.due.filter(|due| *due <= Instant::now())?;
        self.due = Some(due + self.gap_mean.mul_f64(self.gaps.exponential()));
        Some(due)
    }
}
