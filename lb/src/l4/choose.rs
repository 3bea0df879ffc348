//! Choosing the target of a connection by the present snapshot.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Instant, SystemTime};

use super::session::Session;
use crate::affinity::{Followed, Request, Seen, Why, follow};
use crate::balance::{self, Pick, hash_of_address};
use crate::http1::RequestHead;
use crate::proxy::{Front, InLine, Waited, Waiter, is_new};
use crate::state::{BackendId, InFlight};
use crate::stream::Stream;
use crate::telemetry::EndReason;

/// The target a connection goes to.
pub(super) struct Chosen {
    /// By which snapshot.
    pub(super) front: Rc<Front>,
    pub(super) in_flight: InFlight,
    pub(super) address: SocketAddr,
}

/// Chooses the target its source is bound to, or one that was not tried, or else any. While none can take work but one
/// may soon, waits for it; while all are full, waits in line.
pub(super) async fn choose<S: Stream>(
    session: &mut Session<S>,
    tried: &[BackendId],
    in_line: &mut InLine,
) -> Result<Chosen, EndReason> {
    let mut waits_until: Option<Instant> = None;
    let mut is_patient = true;
    loop {
        let front = session.tether.door.front();
        let pool = &front.frontend.pool;
        let has_turn = in_line.has_turn(pool);
        let may_come = match bound(&front, session, tried, is_patient) {
            Bound::To(chosen) => {
                in_line.found_room(chosen.in_flight.backend());
                return Ok(chosen);
            }
            Bound::Nowhere { is_full } => {
                pool.metrics.workers.of(session.local.worker).spillover.add(u64::from(is_full));
                false
            }
            Bound::Awaited => true,
            Bound::Free => {
                if let Some(chosen) = has_turn.then(|| pick_any(&front, session, tried)).flatten() {
                    in_line.found_room(chosen.in_flight.backend());
                    return Ok(chosen);
                }
                if pool.can_be_full() {
                    go_on_after(in_line.wait(waiter(session), &front, !tried.is_empty()).await)?;
                    continue;
                }
                pool.waiting
            }
        };
        in_line.leave();
        if !may_come {
            return Err(EndReason::NoTarget);
        }
        let until = *waits_until.get_or_insert_with(|| Instant::now() + pool.group.initial_wait);
        match waiter(session).wait_for_snapshot(&front, until).await {
            // It was in vain: who is bound to a target without a verdict may have another one now.
            Waited::TooLong if is_patient => is_patient = false,
            waited => go_on_after(waited)?,
        }
    }
}

fn waiter<S: Stream>(session: &mut Session<S>) -> Waiter<'_, S> {
    let Session { tether, deadline, io, local, .. } = session;
    Waiter { client: io, tether, deadline, worker: local.worker }
}

fn go_on_after(waited: Waited) -> Result<(), EndReason> {
    match waited {
        Waited::Changed | Waited::Called => Ok(()),
        Waited::TooLong | Waited::QueueFull | Waited::NoQueue => Err(EndReason::NoTarget),
        Waited::ClientLeft => Err(EndReason::ClientLeft),
        Waited::Cut => Err(EndReason::Cut),
    }
}

/// Where stickiness sends a connection.
enum Bound {
    /// To this target.
    To(Chosen),
    /// To a target about which there may be a first verdict soon.
    Awaited,
    /// To whomever the balancer chooses.
    Free,
    Nowhere {
        /// Whether that is because its target has as much in flight as it may have.
        is_full: bool,
    },
}

/// Where a source is bound to, if streams are sticky.
fn bound<S: Stream>(front: &Rc<Front>, session: &Session<S>, tried: &[BackendId], is_patient: bool) -> Bound {
    let pool = &front.frontend.pool;
    let Some(affinity) = &pool.affinity else { return Bound::Free };
    let now = SystemTime::now();
    let mut seen = Seen::default();
    let head = RequestHead::default();
    let request = Request { head: &head, bytes: &[], source: session.arrival.source.ip(), now };
    affinity.recognise(&request, &mut seen);
    match follow(pool, &**affinity, &seen, tried, is_patient && is_new(pool, now)) {
        Followed::Taken { in_flight, address, .. } => Bound::To(Chosen { front: Rc::clone(front), in_flight, address }),
        Followed::Awaited => Bound::Awaited,
        Followed::Free(_) => Bound::Free,
        Followed::Refused(why) => Bound::Nowhere { is_full: why == Why::Full },
    }
}

fn pick_any<S: Stream>(front: &Rc<Front>, session: &Session<S>, tried: &[BackendId]) -> Option<Chosen> {
    let pool = &front.frontend.pool;
    let may_repeat = !tried.is_empty() && !pool.others_are_full(tried.len());
    let picked = pick(front, session, tried);
    let picked = if may_repeat { picked.or_else(|| pick(front, session, &[])) } else { picked };
    picked.inspect(|_| {
        pool.metrics.workers.of(session.local.worker).failed_open.add(u64::from(pool.failed_open));
    })
}

fn pick<S: Stream>(front: &Rc<Front>, session: &Session<S>, tried: &[BackendId]) -> Option<Chosen> {
    let pool = &front.frontend.pool;
    // Of a stream nothing but its source is known.
    let hash = pool.hash_key().map(|_| hash_of_address(session.arrival.source.ip()));
    let pick = || Pick {
        worker: session.local.worker,
        random: session.local.random(),
        tried,
        connections_max: pool.group.connections_max,
        now: session.began_at,
        hash,
    };
    let (in_flight, address) = balance::take(&*pool.balancer, pick, None)?;
    Some(Chosen { front: Rc::clone(front), in_flight, address })
}
