//! What a claim is worth: whether the target that it means takes the request.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use super::{Affinity, Claim, Seen};
use crate::model::OnUnavailable;
use crate::state::{Admission, Backend, BackendId, InFlight, Member, Pool, Standing, TargetState, Verdict};

/// What stickiness decided about a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sticky {
    /// Nothing: its group has none.
    #[default]
    None,
    /// It goes where it is bound to.
    Bound,
    /// It showed no binding: a target was chosen for it.
    Fresh,
    /// It showed a binding that does not hold: another target was chosen for it.
    Repicked(Why),
    /// Its target is there and cannot take it, and the group forbids another one.
    Refused(Why),
}

/// Why a request does not go where it says that it is bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// What it showed is no binding of ours, or no longer one: altered, forged, of another group, expired.
    Void,
    /// The target is not registered any more.
    Gone,
    /// The target has not passed a check yet.
    Initial,
    /// The target fails its checks.
    Unhealthy,
    /// The target is taken out for failing requests.
    Ejected,
    /// The target has as much in flight as it may have.
    Full,
    /// The target failed this very request.
    Failed,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Void => "what it showed is no binding: altered, foreign or expired",
            Self::Gone => "its target is not registered any more",
            Self::Initial => "its target has not passed a check yet",
            Self::Unhealthy => "its target fails its checks",
            Self::Ejected => "its target is ejected",
            Self::Full => "its target has as much in flight as it may have",
            Self::Failed => "its target failed this very request",
        })
    }
}

/// Where a request goes as far as stickiness has a say.
#[derive(Debug)]
pub enum Followed<T = InFlight> {
    /// To the target it is bound to, where it is counted already.
    Taken {
        /// The request in flight there.
        in_flight: T,
        /// Where the pool reaches the target.
        address: SocketAddr,
        /// Whether the target fails its checks, and is used because all do.
        fails_checks: bool,
        /// What was decided: an address may have been led to its next target.
        decided: Sticky,
        /// What the client is bound by.
        claim: Claim,
    },
    /// To a target about which there may be a first verdict soon.
    Awaited,
    /// To whomever the balancer chooses.
    Free(Sticky),
    /// Nowhere.
    Refused(Why),
}

/// Takes the target that a request is bound to, if it may be taken and has not been `tried` for this request.
///
/// Of several bindings the first counts that can be followed: a browser may have kept an old cookie beside the new one.
/// A first verdict is waited for where `is_patient`, else a target without one is passed over.
pub fn follow(pool: &Pool, affinity: &dyn Affinity, seen: &Seen, tried: &[BackendId], is_patient: bool) -> Followed {
    follow_with(pool, affinity, seen, tried, is_patient, Backend::begin_sticky)
}

/// As [`follow`], where what is in flight at the target is what `begin` makes of it: perhaps nothing begins.
pub fn follow_with<T>(
    pool: &Pool,
    affinity: &dyn Affinity,
    seen: &Seen,
    tried: &[BackendId],
    is_patient: bool,
    begin: impl Fn(&Arc<Backend>, usize) -> Option<T>,
) -> Followed<T> {
    let forbids_others =
        pool.group.stickiness.as_ref().is_some_and(|stickiness| stickiness.on_unavailable == OnUnavailable::Fail);
    // The first reason is the one to tell: what came after it was for want of something better.
    let mut why = None;
    for claim in seen.claims() {
        for nth in 0.. {
            let Some(member) = affinity.target(claim, nth) else {
                why.get_or_insert(Why::Gone);
                break;
            };
            match take(pool, member, tried, &begin) {
                Ok((in_flight, address)) => {
                    let decided = why.filter(|_| nth > 0).map_or(Sticky::Bound, Sticky::Repicked);
                    let fails_checks = member.verdict != Verdict::Healthy;
                    return Followed::Taken { in_flight, address, fails_checks, decided, claim };
                }
                Err(Why::Initial) if is_patient => return Followed::Awaited,
                Err(reason) => {
                    why.get_or_insert(reason);
                    if forbids_others && reason != Why::Gone {
                        break;
                    }
                }
            }
        }
    }
    match why.or(seen.has_void.then_some(Why::Void)) {
        Some(why) if forbids_others && !matches!(why, Why::Gone | Why::Void) => Followed::Refused(why),
        Some(why) => Followed::Free(Sticky::Repicked(why)),
        None => Followed::Free(Sticky::Fresh),
    }
}

/// Counts the request at a target, or says why it does not go there.
fn take<T>(
    pool: &Pool,
    member: &Member,
    tried: &[BackendId],
    begin: impl Fn(&Arc<Backend>, usize) -> Option<T>,
) -> Result<(T, SocketAddr), Why> {
    if tried.contains(&member.backend.id) {
        return Err(Why::Failed);
    }
    match member.verdict {
        Verdict::Healthy if matches!(member.standing, Standing::Ejected(_)) => return Err(Why::Ejected),
        Verdict::Healthy => {}
        Verdict::Unhealthy if pool.failed_open && is_open(member) => {}
        Verdict::Unhealthy => return Err(Why::Unhealthy),
        Verdict::Initial => return Err(Why::Initial),
    }
    let address = member.address(pool.forward.port).ok_or(Why::Initial)?;
    let is_leaving = || matches!(member.backend.admission(), Admission::None | Admission::Gone);
    let in_flight = begin(&member.backend, pool.group.connections_max);
    let in_flight = in_flight.ok_or_else(|| if is_leaving() { Why::Gone } else { Why::Full })?;
    Ok((in_flight, address))
}

/// Whether a target is one of those that are used when no target is healthy.
fn is_open(member: &Member) -> bool {
    member.state == TargetState::Unhealthy && member.held.weight().get() > 0
}
