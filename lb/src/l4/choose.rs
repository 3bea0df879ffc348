//! Choosing the target of a connection by the present snapshot.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Instant, SystemTime};

use super::session::Session;
use crate::affinity::{Followed, Request, Seen, follow};
use crate::balance::{self, Pick, hash_of_address};
use crate::http1::RequestHead;
use crate::proxy::{Front, Waited, is_new, wait_for_snapshot};
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
/// may soon, waits for it.
pub(super) async fn choose<S: Stream>(session: &mut Session<S>, tried: &[BackendId]) -> Result<Chosen, EndReason> {
    let mut waits_until: Option<Instant> = None;
    let mut is_patient = true;
    loop {
        let front = session.tether.door.front();
        let pool = &front.frontend.pool;
        let cells = pool.metrics.workers.of(session.local.worker);
        let may_come = match bound(&front, session, tried, is_patient) {
            Bound::To(chosen) => return Ok(chosen),
            Bound::Nowhere => return Err(EndReason::NoTarget),
            Bound::Awaited => true,
            Bound::Free => {
                let picked = pick(&front, session, tried);
                let picked = if tried.is_empty() { picked } else { picked.or_else(|| pick(&front, session, &[])) };
                if let Some(chosen) = picked {
                    cells.failed_open.add(u64::from(pool.failed_open));
                    return Ok(chosen);
                }
                pool.waiting
            }
        };
        if !may_come {
            cells.spillover.add(u64::from(pool.eligible > 0 && pool.group.connections_max > 0));
            return Err(EndReason::NoTarget);
        }
        let until = *waits_until.get_or_insert_with(|| Instant::now() + pool.group.initial_wait);
        let Session { local, tether, deadline, io, .. } = session;
        match wait_for_snapshot(local, tether, deadline, io, &front, until).await {
            Waited::Changed => {}
            // It was in vain: who is bound to a target without a verdict may have another one now.
            Waited::TooLong if is_patient => is_patient = false,
            Waited::TooLong => return Err(EndReason::NoTarget),
            Waited::ClientLeft => return Err(EndReason::ClientLeft),
            Waited::Cut => return Err(EndReason::Cut),
        }
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
    Nowhere,
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
        Followed::Refused(_) => Bound::Nowhere,
    }
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
