//! From results of probes to a verdict: thresholds, and nothing else. Pure.

use lb::model::Threshold;
use lb::state::Verdict;

/// What the probes of one backend amount to.
///
/// The first passed probe makes a new target healthy. After that it takes as many results in a row as the threshold
/// says to turn a verdict, and one result the other way starts the count again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judge {
    verdict: Verdict,
    /// Results in a row that speak against the verdict.
    against: u8,
}

impl Judge {
    /// Begins with a verdict and no count.
    pub fn new(verdict: Verdict) -> Self {
        Self { verdict, against: 0 }
    }

    /// Hears one result, and answers with the verdict that holds now.
    pub fn hear(&mut self, passed: bool, healthy_threshold: Threshold, unhealthy_threshold: Threshold) -> Verdict {
        let needed = match (self.verdict, passed) {
            (Verdict::Initial, true) => 1,
            (Verdict::Unhealthy, true) => healthy_threshold.get(),
            (Verdict::Initial | Verdict::Healthy, false) => unhealthy_threshold.get(),
            (Verdict::Healthy, true) | (Verdict::Unhealthy, false) => {
                self.against = 0;
                return self.verdict;
            }
        };
        self.against += 1;
        if self.against >= needed {
            *self = Self::new(if passed { Verdict::Healthy } else { Verdict::Unhealthy });
        }
        self.verdict
    }

    /// Forgets the count but not the verdict: the check has changed.
    pub fn restart(&mut self) {
        self.against = 0;
    }

    /// The verdict that holds now.
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }
}
