//! When to look again. Pure: randomness comes in as an argument.

use std::time::Duration;

/// However long a source fails, it is asked again after this at most (or its interval, where that is longer).
const BACKOFF_MAX: Duration = Duration::from_secs(120);

/// How long to wait after a look: the interval less up to a tenth, so that many elbows do not look at once; after
/// `failures` in a row up to twice as long each time, at random. `random` lies in 0 to 1.
pub(crate) fn pause(interval: Duration, failures: u32, random: f64) -> Duration {
    if failures == 0 {
        return interval.mul_f64(1.0 - 0.1 * random);
    }
    let longest = interval.saturating_mul(1 << failures.min(10)).min(BACKOFF_MAX.max(interval));
    // Never sooner than without a failure: half of the longest is an interval at least, unless that was cut.
    longest.mul_f64(0.5 + 0.5 * random).max(interval.mul_f64(0.9))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_wait_longer_but_not_for_ever() {
        let interval = Duration::from_secs(15);
        for random in [0.0, 0.3, 1.0] {
            let mut before = Duration::ZERO;
            for failures in 0..40 {
                let pause = pause(interval, failures, random);
                assert!(pause >= before, "{failures} failures wait {pause:?}, fewer {before:?}");
                assert!(pause >= interval.mul_f64(0.9) && pause <= BACKOFF_MAX);
                before = pause;
            }
        }
        let rare = Duration::from_secs(3600);
        assert_eq!(pause(rare, 9, 1.0), rare);
    }
}
