//! When to probe: every backend on a grid of its own, so that probes neither burst nor drift. Pure.

use std::time::Duration;

/// A probe's time strays from its grid by less than this part of the interval, so that it keeps no step with
/// anything periodic at the target.
const JITTER_PART: u64 = 16;

/// The grid of one backend: one point in each interval, at a phase that its identity decides.
///
/// Times are counted from any one moment that all backends share. A backend's first probe is not on the grid: it is
/// due at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    identity: u64,
    interval_ns: u64,
}

impl Schedule {
    /// The grid for a backend (`identity`: a good hash of which it is) that is probed every `interval`.
    pub fn new(identity: u64, interval: Duration) -> Self {
        let interval_ns = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX >> 8).max(1);
        Self { identity, interval_ns }
    }

    /// When the next probe is due after one that started at `started`: at the next point of the grid, if it is at
    /// least half an interval away. Because the grid stands still, a late start delays no later probe.
    pub fn after(&self, started: Duration) -> Duration {
        self.from(started + Duration::from_nanos(self.interval_ns / 2))
    }

    /// The first point of the grid that is not before a time.
    pub fn from(&self, time: Duration) -> Duration {
        let time = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX >> 1);
        let mut turn = (time / self.interval_ns).saturating_sub(1);
        loop {
            let point = self.point(turn);
            if point >= time {
                return Duration::from_nanos(point);
            }
            turn += 1;
        }
    }

    fn point(&self, turn: u64) -> u64 {
        let jitter_max = self.interval_ns / JITTER_PART;
        let phase = part_of(self.interval_ns - jitter_max, self.identity);
        let jitter = part_of(jitter_max, mix(self.identity ^ mix(turn)));
        turn.saturating_mul(self.interval_ns).saturating_add(phase + jitter)
    }
}

/// A fraction, given in 2^-64, of a whole.
fn part_of(whole: u64, fraction: u64) -> u64 {
    ((u128::from(whole) * u128::from(fraction)) >> 64) as u64
}

/// Spreads the bits of a number over all of it (the finalizer of splitmix64).
fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
