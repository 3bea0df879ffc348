//! About how many sessions a drained target still sees: the distinct ones of the last few minutes, counted in a fixed
//! amount of memory and without a lock.
//!
//! Each session sets one of many bits, and how many are unset tells how many sessions there were (linear counting): to
//! within one for up to a hundred, within 1 % for some ten thousand. Two maps of bits take turns: while one fills up,
//! the other tells of the period before. Time comes as an argument.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// How long a map fills up. A session that is not seen any more counts for one to two of these.
const PERIOD: Duration = Duration::from_secs(120);

/// Bits of a map, as a power of two: 2 KiB.
const BITS_LOG2: u32 = 14;
const WORDS: usize = 1 << (BITS_LOG2 - 6);

#[derive(Debug)]
pub(super) struct Sessions {
    maps: [Map; 2],
}

#[derive(Debug)]
struct Map {
    /// In which period it fills up, counted from 1.
    period: AtomicU32,
    words: Box<[AtomicU64]>,
}

impl Sessions {
    /// None seen yet.
    pub(super) fn new() -> Self {
        Self { maps: [Map::new(), Map::new()] }
    }

    /// Notes a session, of which nothing must be known but that its bits are as good as random.
    pub(super) fn note(&self, session: u64, age: Duration) {
        let period = period(age);
        let map = &self.maps[period as usize % 2];
        if !map.is_of(period) {
            return;
        }
        let bit = session >> (u64::BITS - BITS_LOG2);
        let (word, mask) = (&map.words[bit as usize / 64], 1 << (bit % 64));
        // As a rule it is set: then nobody's cache line has to come.
        if word.load(Relaxed) & mask == 0 {
            word.fetch_or(mask, Relaxed);
        }
    }

    /// About how many there were lately.
    pub(super) fn count(&self, age: Duration) -> u64 {
        let period = period(age);
        let lately = |map: &Map| {
            let known = map.period.load(Relaxed);
            known == period || known + 1 == period
        };
        let [one, other] = self.maps.each_ref().map(|map| lately(map).then_some(&map.words));
        let word = |words: Option<&Box<[AtomicU64]>>, index: usize| words.map_or(0, |words| words[index].load(Relaxed));
        let set: u32 = (0..WORDS).map(|index| (word(one, index) | word(other, index)).count_ones()).sum();
        let bits = f64::from(1u32 << BITS_LOG2);
        // A full map tells no more than that there were very many.
        (bits * (bits / (bits - f64::from(set)).max(1.0)).ln()).round() as u64
    }
}

impl Map {
    fn new() -> Self {
        Self { period: AtomicU32::new(0), words: (0..WORDS).map(|_| AtomicU64::new(0)).collect() }
    }

    /// Whether it takes notes of a period, which may have begun just now. What others note while it is being cleared
    /// may be lost; they come again.
    fn is_of(&self, period: u32) -> bool {
        let known = self.period.load(Relaxed);
        if known < period && self.period.compare_exchange(known, period, Relaxed, Relaxed).is_ok() {
            self.words.iter().for_each(|word| word.store(0, Relaxed));
        }
        known <= period
    }
}

fn period(age: Duration) -> u32 {
    u32::try_from(age.as_secs() / PERIOD.as_secs()).map_or(u32::MAX, |periods| periods.saturating_add(1))
}
