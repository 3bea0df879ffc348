//! What is noted of a run, and what it comes to.

use std::time::Duration;

use anyhow::Result;
use hdrhistogram::Histogram;
use serde::Serialize;

/// The longest time that is told apart, in microseconds.
const HOUR_US: u64 = 3_600_000_000;

/// What is noted of one run from its turn on.
pub(super) struct Figures {
    /// In microseconds.
    times: Histogram<u64>,
    requests: u64,
    odd_requests: u64,
    imbalances: f64,
    samples: u64,
}

/// What a run came to.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Row {
    pub(super) scenario: &'static str,
    pub(super) targets: usize,
    pub(super) workers: usize,
    pub(super) algorithm: &'static str,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) p999_ms: f64,
    /// The most in flight at a target by the mean of all, on average over time.
    pub(super) imbalance: f64,
    /// The part of all requests that went to the target that turned, or to those that came.
    pub(super) odd_share: f64,
}

impl Figures {
    pub(super) fn new() -> Result<Self> {
        Ok(Self {
            times: Histogram::new_with_bounds(1, HOUR_US, 3)?,
            requests: 0,
            odd_requests: 0,
            imbalances: 0.0,
            samples: 0,
        })
    }

    pub(super) fn count(&mut self, is_odd: bool) {
        self.requests += 1;
        self.odd_requests += u64::from(is_odd);
    }

    pub(super) fn took(&mut self, time: Duration) {
        self.times.saturating_record(time.as_micros() as u64);
    }

    pub(super) fn imbalance(&mut self, imbalance: f64) {
        self.imbalances += imbalance;
        self.samples += 1;
    }

    pub(super) fn sum_up(
        &self,
        scenario: &'static str,
        algorithm: &'static str,
        targets: usize,
        workers: usize,
    ) -> Row {
        let quantile = |quantile| self.times.value_at_quantile(quantile) as f64 / 1e3;
        Row {
            scenario,
            targets,
            workers,
            algorithm,
            p50_ms: quantile(0.5),
            p99_ms: quantile(0.99),
            p999_ms: quantile(0.999),
            imbalance: self.imbalances / self.samples.max(1) as f64,
            odd_share: self.odd_requests as f64 / self.requests.max(1) as f64,
        }
    }
}

impl Row {
    pub(super) fn cells(&self) -> Vec<String> {
        let ms = |ms: f64| if ms < 100.0 { format!("{ms:.1}") } else { format!("{ms:.0}") };
        vec![
            self.scenario.to_owned(),
            self.algorithm.to_owned(),
            ms(self.p50_ms),
            ms(self.p99_ms),
            ms(self.p999_ms),
            format!("{:.2}", self.imbalance),
            format!("{:.2} %", self.odd_share * 100.0),
        ]
    }
}
