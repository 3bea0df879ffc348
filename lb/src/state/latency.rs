//! What is known of a backend's response time, as one number: its peaks, forgotten slowly.
//!
//! An answer slower than expected is believed at once, a faster one little by little. What is not confirmed is
//! forgotten, answers or not, so that a backend that was slow is tried again. An attempt that failed counts as a peak,
//! however fast it failed; an error that was answered does from the third in a row on, since one alone may be the
//! request's fault, and then it is no reason to send others elsewhere. Pure: time comes in as an argument. Not here:
//! what a choice makes of it (`balance`).

/// In how long all but a third of what was known is forgotten.
const FORGOTTEN_AFTER_MS: f32 = 10_000.0;

/// Errors in a row that are the backend's.
const ERRORS_IN_A_ROW: u8 = 3;
/// How much slower a backend is held to be after a failure.
const FAILURE_FACTOR: f32 = 10.0;
/// For how slow a backend is taken that has failed before it ever answered.
const FAILURE_FIRST_US: f32 = 100_000.0;
/// How slow failures can make a backend look. An answer that took longer still counts for what it is.
const FAILURE_US_MAX: f32 = 10_000_000.0;

/// The clock turns over every twelve days.
const CLOCK_BITS: u32 = 30;
const CLOCK_MAX_MS: u32 = (1 << CLOCK_BITS) - 1;

/// What became of an attempt, as far as the backend is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was answered.
    Answered,
    /// It was answered with an error of the server.
    Error,
    /// It was not answered.
    Failed,
}

/// The response time of a backend, as known at some time on its own clock.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Latency {
    /// At least a microsecond. 0: nothing is known.
    peak_us: f32,
    at_ms: u32,
    /// Errors since the last good answer, up to [`ERRORS_IN_A_ROW`].
    errors: u8,
}

impl Latency {
    pub(super) const UNKNOWN: Self = Self { peak_us: 0.0, at_ms: 0, errors: 0 };

    /// As it fits into one atomic.
    pub(super) fn to_bits(self) -> u64 {
        let rest = u32::from(self.errors) << CLOCK_BITS | self.at_ms;
        u64::from(self.peak_us.to_bits()) << 32 | u64::from(rest)
    }

    pub(super) fn from_bits(bits: u64) -> Self {
        let rest = bits as u32;
        let peak_us = f32::from_bits((bits >> 32) as u32);
        Self { peak_us, at_ms: rest & CLOCK_MAX_MS, errors: (rest >> CLOCK_BITS) as u8 }
    }

    /// What is left of it, in microseconds, if anything was ever known.
    pub(super) fn at(self, now_ms: u32) -> Option<f32> {
        (self.peak_us > 0.0).then(|| self.peak_us * self.kept(now_ms))
    }

    /// With one more attempt.
    #[must_use]
    pub(super) fn after(self, outcome: Outcome, took_us: f32, now_ms: u32) -> Self {
        let known_us = self.at(now_ms);
        let errors = match outcome {
            Outcome::Answered => 0,
            Outcome::Error => (self.errors + 1).min(ERRORS_IN_A_ROW),
            Outcome::Failed => ERRORS_IN_A_ROW,
        };
        let peak_us = match (errors, known_us) {
            (0, Some(known_us)) if took_us < known_us => known_us + took_us * (1.0 - self.kept(now_ms)),
            (0, _) => took_us.max(1.0),
            (ERRORS_IN_A_ROW, None) => FAILURE_FIRST_US.max(took_us),
            (ERRORS_IN_A_ROW, Some(known_us)) => (known_us * FAILURE_FACTOR).min(FAILURE_US_MAX).max(took_us),
            // It says nothing good, and not yet anything bad.
            (_, known_us) => known_us.unwrap_or_default(),
        };
        // Workers do not look at the clock in step: what one of them knows later stays.
        let at_ms = if self.peak_us > 0.0 { self.at_ms + self.age_ms(now_ms) } else { now_ms };
        Self { peak_us, at_ms: at_ms & CLOCK_MAX_MS, errors }
    }

    /// Which part of it is not forgotten.
    fn kept(self, now_ms: u32) -> f32 {
        match self.age_ms(now_ms) {
            0 => 1.0,
            age_ms => (-(age_ms as f32) / FORGOTTEN_AFTER_MS).exp(),
        }
    }

    /// What seems to come from the future is new.
    fn age_ms(self, now_ms: u32) -> u32 {
        let age_ms = now_ms.wrapping_sub(self.at_ms) & CLOCK_MAX_MS;
        if age_ms > CLOCK_MAX_MS / 2 { 0 } else { age_ms }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In microseconds.
    fn known(latency: Latency, now_ms: u32) -> f32 {
        latency.at(now_ms).expect("something is known")
    }

    fn answered(latency: Latency, took_us: f32, now_ms: u32) -> Latency {
        latency.after(Outcome::Answered, took_us, now_ms)
    }

    #[test]
    fn a_peak_is_believed_at_once_and_forgotten_slowly() {
        assert_eq!(Latency::UNKNOWN.at(7), None);
        let calm = answered(Latency::UNKNOWN, 1_000.0, 0);
        let struck = answered(calm, 200_000.0, 1);
        assert_eq!(known(struck, 1), 200_000.0);
        let forgiven = (2..10_002).fold(struck, |latency, now_ms| answered(latency, 1_000.0, now_ms));
        let left = known(forgiven, 10_001);
        assert!((70_000.0..76_000.0).contains(&left), "{left}");
    }

    #[test]
    fn steady_answers_are_what_is_known() {
        let steady = (0..1_000).fold(Latency::UNKNOWN, |latency, step| answered(latency, 5_000.0, step * 37));
        assert!((known(steady, 999 * 37) - 5_000.0).abs() < 1.0, "{steady:?}");
    }

    #[test]
    fn silence_forgets_as_well() {
        let struck = answered(Latency::UNKNOWN, 200_000.0, 0);
        assert!(known(struck, 60_000) < 1_000.0);
    }

    #[test]
    fn failing_fast_is_not_being_fast() {
        let failing =
            |latency: Latency, times| (0..times).fold(latency, |latency, _| latency.after(Outcome::Failed, 50.0, 0));
        assert_eq!(known(failing(Latency::UNKNOWN, 1), 0), 100_000.0);
        let was_good = answered(Latency::UNKNOWN, 1_000.0, 0);
        assert_eq!(known(failing(was_good, 1), 0), 10_000.0);
        assert_eq!(known(failing(was_good, 100), 0), 10_000_000.0);
        assert_eq!(known(was_good.after(Outcome::Failed, 60e6, 0), 0), 60e6);
    }

    #[test]
    fn errors_count_when_they_come_in_a_row() {
        let error = |latency: Latency| latency.after(Outcome::Error, 50.0, 0);
        let good = answered(Latency::UNKNOWN, 1_000.0, 0);
        let twice = error(error(good));
        assert_eq!(known(twice, 0), 1_000.0);
        assert_eq!(known(error(twice), 0), 10_000.0);
        assert_eq!(known(error(error(twice)), 0), 100_000.0);
        let recovered = answered(twice, 1_000.0, 0);
        assert_eq!(known(error(error(recovered)), 0), 1_000.0);
        assert_eq!(error(error(Latency::UNKNOWN)).at(0), None);
        assert_eq!(known(error(error(error(Latency::UNKNOWN))), 0), 100_000.0);
    }

    #[test]
    fn the_clock_may_turn_over_and_workers_may_disagree() {
        let late = answered(Latency::UNKNOWN, 1_000.0, CLOCK_MAX_MS - 5);
        assert!((known(late, 4) - 999.0).abs() < 0.5);
        assert_eq!(answered(late, 2_000.0, 4), Latency { peak_us: 2_000.0, at_ms: 4, errors: 0 });
        let behind = answered(late, 2_000.0, CLOCK_MAX_MS - 9).after(Outcome::Error, 1.0, CLOCK_MAX_MS - 9);
        assert_eq!(behind, Latency { peak_us: 2_000.0, at_ms: CLOCK_MAX_MS - 5, errors: 1 });
        assert_eq!(Latency::from_bits(behind.to_bits()), behind);
    }
}
