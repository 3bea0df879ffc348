//! Why a target was passed over: what spoke against each that the balancer did not look at.

use std::collections::HashSet;
use std::fmt;

use super::Choice;
use crate::affinity::Sticky;
use crate::model::Algorithm;
use crate::state::{BackendId, Member, Pool, TargetState};

/// Why a target was passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passed {
    /// Its state does not let it take new work; see the reason for that.
    State(TargetState),
    /// Its weight is zero.
    Weightless,
    /// Unhealthy targets are used, and this one is not one of them.
    Unused,
    /// This request has tried it already.
    Tried,
    /// Nobody was chosen: it had no room, or others waited for that before.
    NoRoom,
    /// It could have taken the request.
    Eligible(Eligible),
}

/// Why a target that could have taken a request was not looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Eligible {
    /// The client is bound to another one.
    Bound,
    /// The algorithm did not come to it.
    By(Algorithm),
}

/// The targets of a pool that a choice by it did not look at, with the reason for each. `earlier` are the choices
/// made for the same request before.
pub fn passed_over<'a>(
    pool: &'a Pool,
    choice: &'a Choice,
    earlier: &'a [Choice],
) -> impl Iterator<Item = (&'a Member, Passed)> {
    let candidates: HashSet<BackendId> =
        pool.balancer.candidates().iter().map(|candidate| candidate.backend.id).collect();
    let is_told = move |id: BackendId| {
        let is_target = choice.target.as_ref().is_some_and(|(backend, _)| backend.id == id);
        is_target || choice.considered.iter().any(|considered| considered.backend.id == id)
    };
    let is_tried = move |id: BackendId| {
        earlier.iter().any(|choice| choice.target.as_ref().is_some_and(|(backend, _)| backend.id == id))
    };
    let is_for_want_of_room = choice.target.is_none()
        && pool.can_be_full()
        && match choice.sticky {
            Sticky::Refused(_) => false,
            // Where there is stickiness, it was to be waited for.
            Sticky::None => pool.affinity.is_none(),
            Sticky::Bound | Sticky::Fresh | Sticky::Repicked(_) => true,
        };
    let why = move |member: &Member| match member.backend.id {
        id if candidates.contains(&id) && is_tried(id) => Passed::Tried,
        id if candidates.contains(&id) && is_for_want_of_room => Passed::NoRoom,
        id if candidates.contains(&id) && choice.sticky == Sticky::Bound => Passed::Eligible(Eligible::Bound),
        id if candidates.contains(&id) => Passed::Eligible(Eligible::By(choice.algorithm)),
        _ if member.state != TargetState::Healthy
            && !(choice.failed_open && member.state == TargetState::Unhealthy) =>
        {
            Passed::State(member.state)
        }
        _ if member.held.weight().get() == 0 => Passed::Weightless,
        _ => Passed::Unused,
    };
    let others = pool.members.iter().filter(move |member| !is_told(member.backend.id));
    others.map(move |member| (member, why(member)))
}

impl fmt::Display for Passed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::State(state) => write!(f, "it is {}", state.as_str()),
            Self::Weightless => f.write_str("its weight is 0"),
            Self::Unused => f.write_str("it has no share"),
            Self::NoRoom => f.write_str("it had no room, or others waited for it before"),
            Self::Tried => f.write_str("this request has tried it already"),
            Self::Eligible(eligible) => eligible.fmt(f),
        }
    }
}

impl fmt::Display for Eligible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bound => "could take it, but the client is bound to another",
            Self::By(Algorithm::RoundRobin) => "could take it, but it was not its turn",
            Self::By(Algorithm::LeastOutstandingRequests) => "could take it, but did not have less in flight",
            Self::By(Algorithm::RandomOfTwo | Algorithm::PeakEwma) => "could take it, but was not one of the two drawn",
            Self::By(Algorithm::WeightedRandom) => "could take it, but was not drawn",
            Self::By(Algorithm::ConsistentHash) => "could take it, but the key leads elsewhere",
        })
    }
}
