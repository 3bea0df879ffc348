//! One after the other, smoothly by weight: over every full turn each candidate gets exactly its share, spread out as
//! evenly as it goes. With equal weights it is a strict rotation.
//!
//! Each worker walks on its own, from a random start. A turn is laid out in advance; where weights are so odd that
//! it would be too long, the walk is by the golden ratio instead, which spreads points more evenly than any other
//! step and keeps every share within a few picks at any time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::atomic::{AtomicU64, Ordering};

use super::watch::{CameOut, Choose, Watch};
use super::weighted::{WeightLine, next_random};
use super::{Candidate, Pick};

/// The longest turn that is laid out in advance, in picks (4 bytes each).
const TURN_MAX: u64 = 65_536;

/// How many steps are taken in search of a candidate that is allowed, before it is anybody's turn.
const STEPS_MAX: usize = 16;

/// The golden ratio's fraction, in 2^-64.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

#[derive(Debug)]
pub(super) struct RoundRobin {
    candidates: Vec<Candidate>,
    walk: Walk,
    cursors: Box<[Cursor]>,
}

/// Where a worker stands. One thread writes it.
#[derive(Debug)]
#[repr(align(128))]
struct Cursor(AtomicU64);

#[derive(Debug)]
enum Walk {
    /// One whole turn, by index. The cursor is a place in it.
    Turn(Box<[u32]>),
    /// The cursor is a point on the line of weights.
    Golden(WeightLine),
}

impl RoundRobin {
    pub(super) fn new(candidates: Vec<Candidate>, workers: usize, mut seed: u64) -> Self {
        let divisor = candidates.iter().map(|candidate| u64::from(candidate.weight)).fold(0, greatest_common_divisor);
        let total: u64 = candidates.iter().map(|candidate| u64::from(candidate.weight)).sum();
        let walk = match total.checked_div(divisor) {
            None => Walk::Turn(Box::default()),
            Some(turn) if turn <= TURN_MAX => Walk::Turn(lay_out(&candidates, divisor, turn)),
            Some(_) => Walk::Golden(WeightLine::of(&candidates)),
        };
        let start = |_| {
            let start = next_random(&mut seed);
            Cursor(AtomicU64::new(match &walk {
                Walk::Turn(turn) => start.checked_rem(turn.len() as u64).unwrap_or(0),
                Walk::Golden(_) => start,
            }))
        };
        let cursors = (0..workers.max(1)).map(start).collect();
        Self { candidates, walk, cursors }
    }

    /// The candidate whose turn it is at a place, and the place after that.
    fn at(&self, place: u64) -> (&Candidate, u64) {
        let (index, next) = match &self.walk {
            Walk::Turn(turn) => {
                let next = place + 1;
                (turn[place as usize] as usize, if next == turn.len() as u64 { 0 } else { next })
            }
            Walk::Golden(line) => (line.at(place), place.wrapping_add(GOLDEN)),
        };
        (&self.candidates[index], next)
    }

    fn turn(&self, place: u64) -> CameOut {
        match &self.walk {
            Walk::Turn(turn) => CameOut::Turn { place, of: turn.len() as u64 },
            Walk::Golden(_) => CameOut::Turn { place: 0, of: 0 },
        }
    }
}

impl Choose for RoundRobin {
    fn choose(&self, pick: &Pick<'_>, watch: &mut impl Watch) -> Option<&Candidate> {
        if self.candidates.is_empty() {
            return None;
        }
        let cursor = &self.cursors[pick.worker % self.cursors.len()].0;
        let mut place = cursor.load(Ordering::Relaxed);
        let mut chosen = None;
        for _ in 0..STEPS_MAX {
            let (candidate, next) = self.at(place);
            let at = std::mem::replace(&mut place, next);
            if pick.allows_seen(candidate, watch) {
                watch.sees(candidate, || self.turn(at));
                chosen = Some(candidate);
                break;
            }
        }
        if !watch.is_dry() {
            cursor.store(place, Ordering::Relaxed);
        }
        chosen.or_else(|| {
            let index = super::any_that(&self.candidates, pick.random, |other| pick.allows_seen(other, watch))?;
            watch.sees(&self.candidates[index], || CameOut::Drawn);
            Some(&self.candidates[index])
        })
    }

    fn candidates(&self) -> &[Candidate] {
        &self.candidates
    }
}

/// Lays out one turn in which every candidate has its weight in places.
///
/// Candidates of one weight take turns in the places of their class, and the classes are merged by the time at which
/// each place is due. So it costs the same for ten thousand candidates as for ten.
fn lay_out(candidates: &[Candidate], divisor: u64, turn: u64) -> Box<[u32]> {
    let mut classes: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for (index, candidate) in candidates.iter().enumerate() {
        classes.entry(candidate.weight).or_default().push(index as u32);
    }
    let classes: Vec<_> = classes.into_iter().rev().collect();
    let places = |(weight, members): &(u32, Vec<u32>)| u64::from(*weight) / divisor * members.len() as u64;
    let counts: Vec<_> = classes.iter().map(places).collect();
    // The place number `place` of a class with `count` places is due at (place + 1/2) / count of a turn.
    let due = |class: usize, place: u64| Reverse((((2 * place + 1) << 32) / counts[class], class, place));
    let mut heap: BinaryHeap<_> = (0..classes.len()).map(|class| due(class, 0)).collect();
    let mut places = Vec::with_capacity(turn as usize);
    while let Some(mut first) = heap.peek_mut() {
        let Reverse((_, class, place)) = *first;
        let members = &classes[class].1;
        places.push(members[place as usize % members.len()]);
        if place + 1 < counts[class] {
            *first = due(class, place + 1);
        } else {
            std::collections::binary_heap::PeekMut::pop(first);
        }
    }
    places.into()
}

fn greatest_common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}
