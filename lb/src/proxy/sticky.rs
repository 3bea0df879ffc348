//! Stickiness on the way of a request: what it shows is noted before its head is rewritten, decides where it goes, and
//! an answer that binds its client anew carries a cookie. Not here: what binds, and to whom (`affinity`).

use std::rc::Rc;
use std::time::SystemTime;

use super::attempt::Reached;
use super::client::Client;
use super::desk::Desk;
use super::door::Front;
use super::error::Failure;
use super::hash_key::source;
use super::retry::Chosen;
use crate::affinity::{Answer, Followed, Request, Seen, Sticky, Why, follow};
use crate::http1::CookiesCut;
use crate::model::OnUnavailable;
use crate::state::{BackendId, Pool};
use crate::telemetry::StickyResult;

/// What stickiness knows of one request.
#[derive(Debug, Default)]
pub(super) struct Bond {
    seen: Seen,
    /// What was decided when its target was last chosen.
    pub(super) decided: Sticky,
    /// The value of the `Set-Cookie` that goes with the answer, if one does.
    cookie: Vec<u8>,
}

/// Notes what a request shows, before its head is rewritten.
pub(super) fn recognise<S>(client: &Client<S>, desk: &mut Desk, front: &Front) {
    let Some(affinity) = &front.frontend.pool.affinity else { return };
    desk.bond.seen.clear();
    let (head, bytes) = (&desk.request, desk.up.buffer.whole());
    let source = source(client.peer.ip(), &front.frontend.listener.trusted_proxies, head, bytes);
    let request = Request { head, bytes, source, now: SystemTime::now() };
    affinity.recognise(&request, &mut desk.bond.seen);
}

/// The target that a request is bound to, if it may go there; nothing where the balancer is to choose.
pub(super) fn bound<S>(
    front: &Rc<Front>,
    client: &Client<S>,
    desk: &mut Desk,
    tried: &[BackendId],
) -> Result<Option<Chosen>, Failure> {
    let pool = &front.frontend.pool;
    let Some(affinity) = &pool.affinity else { return Ok(None) };
    let cells = pool.metrics.workers.of(client.local.worker);
    match follow(pool, &**affinity, &desk.bond.seen, tried) {
        Followed::Taken { in_flight, address, fails_checks, decided, claim } => {
            desk.bond.decided = decided;
            in_flight.backend().note_session(claim.session(), client.began_at);
            if fails_checks {
                cells.failed_open.add(1);
            }
            Ok(Some(Chosen { front: Rc::clone(front), in_flight, address }))
        }
        Followed::Free(decided) => {
            desk.bond.decided = decided;
            Ok(None)
        }
        Followed::Refused(why) => {
            desk.bond.decided = Sticky::Refused(why);
            if why == Why::Full {
                cells.spillover.add(1);
                return Err(Failure::AllFull);
            }
            Err(Failure::BoundElsewhere)
        }
    }
}

/// Whether to wait for the first verdict on the target that a request is bound to: those on a new group come in one by
/// one, and who starts anew with all its clients there is not to send most of them elsewhere.
pub(super) fn awaits_verdict(pool: &Pool, desk: &Desk) -> bool {
    let is_new = |since: SystemTime| since.elapsed().is_ok_and(|served| served < pool.group.initial_wait);
    matches!(desk.bond.decided, Sticky::Repicked(Why::Initial) | Sticky::Refused(Why::Initial))
        && pool.serving_since.is_none_or(is_new)
}

/// Counts what was decided about a request.
pub(super) fn count<S>(client: &Client<S>, desk: &Desk, front: &Front) {
    let result = match desk.bond.decided {
        Sticky::None => return,
        Sticky::Bound => StickyResult::Bound,
        Sticky::Fresh => StickyResult::Fresh,
        Sticky::Repicked(_) => StickyResult::Repicked,
        Sticky::Refused(_) => StickyResult::Refused,
    };
    front.frontend.pool.metrics.workers.of(client.local.worker).sticky(result);
}

/// Whether a request that failed where it is bound to may be tried at another target.
pub(super) fn may_leave(pool: &Pool, desk: &Desk) -> bool {
    let forbids = |on_unavailable| on_unavailable == OnUnavailable::Fail && desk.bond.decided == Sticky::Bound;
    !pool.group.stickiness.as_ref().is_some_and(|stickiness| forbids(stickiness.on_unavailable))
}

/// Makes the cookie that goes with an answer, if one does.
pub(super) fn bind<S>(client: &Client<S>, desk: &mut Desk, reached: &Reached) {
    let frontend = &reached.front.frontend;
    let Some(affinity) = &frontend.pool.affinity else { return };
    let answer = Answer {
        head: &desk.response,
        bytes: desk.down.filled(),
        backend: &reached.link.backend,
        decided: desk.bond.decided,
        seen: &desk.bond.seen,
        is_secure: frontend.listener.protocol.scheme() == "https",
        random: client.local.random(),
        now: SystemTime::now(),
    };
    affinity.bind(&answer, &mut desk.bond.cookie);
}

impl Bond {
    /// Forgets what was decided. What was seen is forgotten when something else is looked at.
    pub(super) fn clear(&mut self) {
        self.decided = Sticky::None;
        self.cookie.clear();
    }

    /// The cookies that the application is not to see, if there are any.
    pub(super) fn cookies_cut<'a>(&'a self, front: &'a Front) -> Option<CookiesCut<'a>> {
        let name = front.frontend.pool.affinity.as_ref()?.cookie_name().filter(|_| self.seen.has_void)?;
        Some(CookiesCut { name: name.as_bytes(), except: self.seen.genuine() })
    }

    /// The value of the `Set-Cookie` that goes with the answer, if one does.
    pub(super) fn cookie(&self) -> Option<&[u8]> {
        (!self.cookie.is_empty()).then_some(&self.cookie[..])
    }
}
