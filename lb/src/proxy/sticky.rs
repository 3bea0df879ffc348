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
use crate::state::{Backend, BackendId, Pool};
use crate::telemetry::StickyResult;

/// What stickiness knows of one request.
#[derive(Debug)]
pub(super) struct Bond {
    seen: Seen,
    /// When it was looked at.
    at: SystemTime,
    /// What was decided when its target was last chosen.
    pub(super) decided: Sticky,
    /// The value of the `Set-Cookie` that goes with the answer, if one does.
    cookie: Vec<u8>,
    /// The value of another one that goes with it, if one does.
    twin: Vec<u8>,
}

/// Notes what a request shows, before its head is rewritten.
pub(super) fn recognise<S>(client: &Client<S>, desk: &mut Desk, front: &Front) {
    let Some(affinity) = &front.frontend.pool.affinity else { return };
    desk.bond.seen.clear();
    let (head, bytes) = (&desk.request, desk.up.buffer.whole());
    let source = source(client.arrival.source.ip(), &front.frontend.listener.trusted_proxies, head, bytes);
    desk.bond.at = SystemTime::now();
    let request = Request { head, bytes, source, now: desk.bond.at };
    affinity.recognise(&request, &mut desk.bond.seen);
}

/// The target that a request is bound to, if it may go there; nothing where the balancer is to choose.
///
/// Who is patient waits for a first verdict while the group is new: its verdicts come in one by one, and an elbow that
/// starts anew is not to send the clients of all but the first target elsewhere.
pub(super) fn bound<S>(
    front: &Rc<Front>,
    client: &Client<S>,
    desk: &mut Desk,
    tried: &[BackendId],
    is_patient: bool,
) -> Result<Option<Chosen>, Failure> {
    let pool = &front.frontend.pool;
    let Some(affinity) = &pool.affinity else { return Ok(None) };
    let cells = pool.metrics.workers.of(client.local.worker);
    let is_patient = is_patient && is_new(pool, desk.bond.at);
    match follow(pool, &**affinity, &desk.bond.seen, tried, is_patient) {
        Followed::Taken { in_flight, address, fails_checks, decided, claim } => {
            desk.bond.decided = decided;
            in_flight.backend().note_session(claim.session(), client.began_at);
            if fails_checks {
                cells.failed_open.add(1);
            }
            Ok(Some(Chosen { front: Rc::clone(front), in_flight, address }))
        }
        Followed::Awaited => Err(Failure::Awaited),
        Followed::Free(decided) => {
            desk.bond.decided = decided;
            Ok(None)
        }
        Followed::Refused(why) => {
            desk.bond.decided = Sticky::Refused(why);
            cells.sticky(StickyResult::Refused);
            if why == Why::Full {
                cells.spillover.add(1);
                return Err(Failure::BoundToFull);
            }
            Err(Failure::BoundElsewhere)
        }
    }
}

/// Whether verdicts on the targets of a group may still come in, one by one.
pub(crate) fn is_new(pool: &Pool, at: SystemTime) -> bool {
    let serves_for_long = |since| at.duration_since(since).is_ok_and(|long| long > pool.group.initial_wait);
    !pool.serving_since.is_some_and(serves_for_long)
}

/// Notes whom the balancer chose: after a failure that may be the target that the request is bound to.
pub(super) fn chose(desk: &mut Desk, pool: &Pool, chosen: &Backend) {
    let Some(affinity) = pool.affinity.as_ref().filter(|_| desk.bond.decided == Sticky::Repicked(Why::Failed)) else {
        return;
    };
    let own = desk.bond.seen.claims().next().and_then(|claim| affinity.target(claim, 0));
    if own.is_some_and(|own| own.backend.id == chosen.id) {
        desk.bond.decided = Sticky::Bound;
    }
}

/// Whether a request that failed where it is bound to may be tried at another target.
pub(super) fn may_leave(pool: &Pool, desk: &Desk) -> bool {
    let forbids = |on_unavailable| on_unavailable == OnUnavailable::Fail && desk.bond.decided == Sticky::Bound;
    !pool.group.stickiness.as_ref().is_some_and(|stickiness| forbids(stickiness.on_unavailable))
}

/// Counts what was decided about a request that a target answers, and makes the cookie that goes with the answer, if
/// one does.
pub(super) fn bind<S>(client: &Client<S>, desk: &mut Desk, reached: &Reached) {
    let frontend = &reached.front.frontend;
    let Some(affinity) = &frontend.pool.affinity else { return };
    let result = match desk.bond.decided {
        Sticky::Bound => StickyResult::Bound,
        Sticky::Repicked(_) => StickyResult::Repicked,
        Sticky::None | Sticky::Fresh | Sticky::Refused(_) => StickyResult::Fresh,
    };
    frontend.pool.metrics.workers.of(client.local.worker).sticky(result);
    let answer = Answer {
        head: &desk.response,
        bytes: desk.down.filled(),
        backend: &reached.link.backend,
        decided: desk.bond.decided,
        seen: &desk.bond.seen,
        is_secure: frontend.listener.protocol.is_over_tls(),
        random: client.local.random(),
        now: desk.bond.at,
    };
    affinity.bind(&answer, &mut desk.bond.cookie);
    if !desk.bond.cookie.is_empty() {
        affinity.twin(&desk.bond.cookie, &mut desk.bond.twin);
    }
}

impl Default for Bond {
    fn default() -> Self {
        Self {
            seen: Seen::default(),
            at: SystemTime::UNIX_EPOCH,
            decided: Sticky::None,
            cookie: Vec::new(),
            twin: Vec::new(),
        }
    }
}

impl Bond {
    /// Forgets what was decided. What was seen is forgotten when something else is looked at.
    pub(super) fn clear(&mut self) {
        self.decided = Sticky::None;
        self.cookie.clear();
        self.twin.clear();
    }

    /// The cookies that the application is not to see, if there are any.
    pub(super) fn cookies_cut<'a>(&'a self, front: &'a Front) -> Option<CookiesCut<'a>> {
        let name = front.frontend.pool.affinity.as_ref()?.cookie_name().filter(|_| self.seen.has_void)?;
        Some(CookiesCut { name: name.as_bytes(), except: self.seen.genuine() })
    }

    /// The values of the `Set-Cookie`s that go with the answer; an empty one, and what follows it, does not.
    pub(super) fn cookies(&self) -> [&[u8]; 2] {
        [&self.cookie, &self.twin]
    }
}
