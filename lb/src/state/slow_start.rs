//! Slow start: a target that becomes healthy while others serve gets its share little by little.
//!
//! The share grows in a straight line, in steps, each of which makes a new snapshot. A target whose group is new with
//! it starts at once: there is nobody it could leave the work to. Pure, like `compile`, which calls it.

use std::time::{Duration, Instant};

use super::members::Roll;
use crate::balance::WEIGHT_UNIT;
use crate::state::{Member, TargetState};

/// In how many steps a share grows.
const STEPS: u32 = 20;

/// From when on a target that was `before` and is in `state` now starts slowly, if it has just become healthy while
/// others served.
///
/// Verdicts on a new group come in one by one. So whoever stood by when the first of them came is as new as that one,
/// for as long as a slow start takes.
pub(super) fn begins(roll: &Roll<'_>, before: Option<&Member>, state: TargetState) -> Option<Instant> {
    let slow_start = roll.group?.settings.wanted.slow_start;
    let serving_since = roll.pool?.serving_since?;
    if state != TargetState::Healthy || slow_start.is_zero() {
        return None;
    }
    let is_group_new = roll.now.wall.duration_since(serving_since).is_ok_and(|served| served < slow_start);
    let stood_by = before.is_some_and(|before| before.leaves_at.is_none() && before.since <= serving_since);
    (!(is_group_new && stood_by)).then_some(roll.now.instant)
}

/// The share of a target as a candidate, for one step from now on.
pub(super) fn weight(member: &Member, slow_start: Duration, now: Instant) -> u32 {
    let full = u32::from(member.held.weight().get()) * WEIGHT_UNIT;
    match member.slow_since {
        Some(since) if is_slow(member, slow_start, now) => {
            // Where the line is in the middle of the step.
            let age = now.saturating_duration_since(since) + step(slow_start) / 2;
            let part = age.as_secs_f64() / slow_start.as_secs_f64();
            (f64::from(full) * part.min(1.0)).round().max(1.0) as u32
        }
        _ => full,
    }
}

/// Whether a target does not have its full share yet.
pub(super) fn is_slow(member: &Member, slow_start: Duration, now: Instant) -> bool {
    member.slow_since.is_some_and(|since| now.saturating_duration_since(since) < slow_start)
}

/// How long a step takes.
pub(super) fn step(slow_start: Duration) -> Duration {
    slow_start / STEPS
}
