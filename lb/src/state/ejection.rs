//! Ejection: a target whose attempts fail one after the other takes no traffic for a while, then a little, then its
//! full share again.
//!
//! Each time it fails again on its return it is out for twice as long; once it has served for as long as it can be
//! out at most, that is forgotten. Never more than half of a group is out, and never the last that is healthy: who
//! fails while there is no place stays, and goes when there is one if it still fails; who is out when the places
//! become fewer comes back early. Checks have no say in it, but only who passes them is put out. Pure, like
//! `compile`, which calls it. Not here: counting (`streak`).

use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime};

use time::OffsetDateTime;
use time::macros::format_description;

use super::members::Roll;
use super::streak::{Failed, PROBATION_ANSWERS, Streak, Trust};
use crate::model::{Ejection, HeldTarget};
use crate::state::{BackendId, HealthState, Member, Now, TargetState, Verdict};

/// The part of its share that a target on probation takes.
const PROBATION_PART: u32 = 10;

/// How a target stands, by the attempts that were made at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Standing {
    /// It was never ejected.
    #[default]
    Good,
    /// It is out.
    Ejected(Ejected),
    /// It has come back with a small share.
    Probation {
        /// How often in a row it was ejected.
        times: u32,
        /// When it came back.
        since: SystemTime,
    },
    /// It has its full share again.
    Restored {
        /// How often in a row it was ejected.
        times: u32,
        /// When it came back.
        since: SystemTime,
        /// When it had its full share again.
        at: Instant,
    },
}

/// That a target is out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ejected {
    /// How often in a row, this time included.
    pub times: u32,
    /// How many attempts in a row had failed.
    pub failures: u32,
    /// How the last of them did.
    pub how: Failed,
    /// Since when.
    pub since: SystemTime,
    /// Until when, for people.
    pub until: SystemTime,
    /// Until when, by the clock of deadlines.
    pub ends_at: Instant,
}

impl Standing {
    /// What time and answers alone make of it.
    #[must_use]
    pub fn after(self, streak: Option<Streak>, now: Now) -> Self {
        match (self, streak) {
            (Self::Ejected(ejected), _) if ejected.ends_at <= now.instant => self.back(now),
            (Self::Probation { times, since }, Some(Streak::Answers(count))) if count >= PROBATION_ANSWERS => {
                Self::Restored { times, since, at: now.instant }
            }
            _ => self,
        }
    }

    /// Whether it is to be put out, if there is a place.
    pub fn fails(self, streak: Option<Streak>, settings: &Ejection) -> bool {
        let Some(Streak::Failures(count, _)) = streak else { return false };
        match self {
            _ if settings.failures == 0 => false,
            Self::Good | Self::Restored { .. } => count >= settings.failures,
            Self::Probation { .. } => true,
            Self::Ejected(_) => false,
        }
    }

    /// Put out.
    #[must_use]
    pub fn ejected(self, streak: Option<Streak>, settings: &Ejection, now: Now) -> Self {
        let before = match self {
            Self::Good => 0,
            Self::Restored { at, .. } if now.instant.saturating_duration_since(at) >= settings.duration_max => 0,
            Self::Restored { times, .. } | Self::Probation { times, .. } => times,
            Self::Ejected(ejected) => ejected.times,
        };
        let Some(Streak::Failures(failures, how)) = streak else { return self };
        let duration = duration(settings, before);
        Self::Ejected(Ejected {
            times: before.saturating_add(1),
            failures,
            how,
            since: now.wall,
            until: now.wall + duration,
            ends_at: now.instant + duration,
        })
    }

    /// Back from being out, be its time over or not.
    #[must_use]
    pub fn back(self, now: Now) -> Self {
        match self {
            Self::Ejected(ejected) => Self::Probation { times: ejected.times, since: now.wall },
            other => other,
        }
    }

    /// When time alone makes another of it.
    pub fn ends_at(self) -> Option<Instant> {
        match self {
            Self::Ejected(ejected) => Some(ejected.ends_at),
            Self::Good | Self::Probation { .. } | Self::Restored { .. } => None,
        }
    }

    /// What of a target's full share it has.
    pub(super) fn share(self, full: u32) -> u32 {
        match self {
            Self::Probation { .. } => full.min((full / PROBATION_PART).max(1)),
            Self::Good | Self::Ejected(_) | Self::Restored { .. } => full,
        }
    }

    /// How far that lets the target be trusted.
    pub(super) fn trust(self) -> Trust {
        match self {
            Self::Good | Self::Restored { .. } => Trust::Full,
            Self::Ejected(_) => Trust::None,
            Self::Probation { .. } => Trust::Probation,
        }
    }

    /// How a target is seen that passes its checks: its state, why if not for its check, and since when.
    pub(super) fn seen(self, health: &HealthState) -> (TargetState, Option<String>, SystemTime) {
        match self {
            Self::Good => (TargetState::Healthy, None, health.since),
            Self::Restored { since, .. } => (TargetState::Healthy, None, health.since.max(since)),
            Self::Probation { since, .. } => {
                let until = format!("until {PROBATION_ANSWERS} attempts in a row are answered");
                let why = format!("{}; on probation: takes a little {until}", health.reason);
                (TargetState::Healthy, Some(why), health.since.max(since))
            }
            Self::Ejected(ejected) => (TargetState::Ejected, Some(ejected.why()), ejected.since),
        }
    }
}

impl Ejected {
    fn why(&self) -> String {
        let failed = match self.failures {
            1 => "an attempt failed".to_owned(),
            many => format!("{many} attempts in a row failed"),
        };
        let until = time_of_day(self.until);
        format!("{failed} before an answer ({}): takes no traffic until {until}, then a little", self.how.as_str())
    }
}

/// For how long a target is put out that was put out so many times before.
fn duration(settings: &Ejection, times_before: u32) -> Duration {
    let factor = 1_u32.checked_shl(times_before).unwrap_or(u32::MAX);
    settings.duration.saturating_mul(factor).min(settings.duration_max)
}

fn time_of_day(time: SystemTime) -> String {
    // Rounded up, so that nobody waits for what is to come.
    let time = OffsetDateTime::from(time + Duration::from_nanos(999_999_999));
    time.format(format_description!("[hour]:[minute]:[second]Z")).unwrap_or_default()
}

/// How the targets of a group stand; who is not in it is good.
pub(super) type Standings = HashMap<BackendId, Standing>;

/// Whether a member may stand otherwise than before, although nothing about its group has changed.
pub(super) fn is_due(roll: &Roll<'_>, member: &Member) -> bool {
    let Some(group) = roll.group else { return false };
    let streak = roll.observed.streaks.get(&member.backend.id).copied();
    let standing = member.standing;
    standing.after(streak, roll.now) != standing || standing.fails(streak, &group.settings.wanted.ejection)
}

/// Decides how the targets of a group stand now.
pub(super) fn stand(roll: &Roll<'_>) -> Standings {
    let (Some(group), Some(pool)) = (roll.group, roll.pool) else { return Standings::new() };
    let settings = &group.settings.wanted.ejection;
    let all_good = || pool.members.iter().all(|member| member.standing == Standing::Good);
    if settings.failures == 0 || !roll.used || (roll.observed.streaks.is_empty() && all_good()) {
        return Standings::new();
    }
    let has_share = |held: &HeldTarget| held.weight().get() > 0 && !held.adjusted.draining && roll.serves(held);
    let places = group.targets.values().filter(|held| has_share(held)).count() / 2;
    let seat = |member: &Member| {
        let id = member.backend.id;
        let streak = roll.observed.streaks.get(&id).copied();
        let health = roll.observed.health.get(&id);
        Seat {
            id,
            standing: member.standing.after(streak, roll.now),
            streak,
            has_share: roll.keeps(member).is_some_and(has_share),
            is_healthy: health.is_some_and(|health| health.verdict == Verdict::Healthy),
        }
    };
    let mut seats: Vec<_> = pool.members.iter().map(seat).collect();
    call_back(&mut seats, places, roll.now);
    put_out(&mut seats, places, settings, roll.now);
    let standing = |seat: Seat| (seat.standing != Standing::Good).then_some((seat.id, seat.standing));
    seats.into_iter().filter_map(standing).collect()
}

/// One target of a group in which it is decided who is put out.
struct Seat {
    id: BackendId,
    standing: Standing,
    streak: Option<Streak>,
    /// Whether it is registered, and takes new work if it can.
    has_share: bool,
    is_healthy: bool,
}

impl Seat {
    fn ends_at(&self) -> Option<Instant> {
        self.standing.ends_at().filter(|_| self.has_share)
    }

    fn serves(&self) -> bool {
        self.has_share && self.is_healthy && self.standing.ends_at().is_none()
    }
}

/// Calls back whom there are no places out for any more, the next to come first; and all that pass their checks when
/// nobody else does.
fn call_back(seats: &mut [Seat], places: usize, now: Now) {
    let mut out: Vec<_> = seats.iter_mut().filter(|seat| seat.ends_at().is_some()).collect();
    out.sort_by_key(|seat| seat.ends_at());
    let too_many = out.len().saturating_sub(places);
    for seat in out.into_iter().take(too_many) {
        seat.standing = seat.standing.back(now);
    }
    if !seats.iter().any(Seat::serves) {
        for seat in seats.iter_mut().filter(|seat| seat.has_share && seat.is_healthy) {
            seat.standing = seat.standing.back(now);
        }
    }
}

/// Puts out who fails, as far as there are places, and others that serve.
fn put_out(seats: &mut [Seat], places: usize, settings: &Ejection, now: Now) {
    let mut out = seats.iter().filter(|seat| seat.ends_at().is_some()).count();
    let mut serving = seats.iter().filter(|seat| seat.serves()).count();
    for seat in seats.iter_mut().filter(|seat| seat.serves() && seat.standing.fails(seat.streak, settings)) {
        if out < places && serving > 1 {
            seat.standing = seat.standing.ejected(seat.streak, settings, now);
            out += 1;
            serving -= 1;
        }
    }
}
