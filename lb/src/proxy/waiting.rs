//! Waiting for a target: for the next snapshot, because by the present one none can take work but one may soon, or in
//! line for room, because all are full.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::deadline::Deadline;
use super::door::Front;
use super::tether::Tether;
use crate::state::{Admission, Backend, Place, Pool};
use crate::stream::{Ahead, Stream};

/// How often a client that has sent something more, or has ended its side, is looked at for a reset, of which no event
/// tells then.
const RESET_LOOK: Duration = Duration::from_millis(500);

/// How waiting ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waited {
    /// With another snapshot.
    Changed,
    /// With the turn to look for room.
    Called,
    /// Before it began: the line is as long as it may be.
    QueueFull,
    /// Before it began: there is no line.
    NoQueue,
    /// It took too long.
    TooLong,
    /// The client has left meanwhile.
    ClientLeft,
    /// The connection was cut meanwhile.
    Cut,
}

/// What somebody who waits has to do with his client.
pub(crate) struct Waiter<'a, S> {
    pub(crate) client: &'a mut S,
    pub(crate) tether: &'a Tether,
    pub(crate) deadline: &'a mut Deadline,
    /// The worker that this is on.
    pub(crate) worker: usize,
}

/// Where a request or a connection stands in line for room at the targets of its group, and until when.
#[derive(Debug, Default)]
pub(crate) struct InLine {
    place: Option<Place>,
    /// When it took its place.
    since: Option<Instant>,
    /// Set when it first takes a place: further attempts get no more time.
    until: Option<Instant>,
}

impl<S: Stream> Waiter<'_, S> {
    /// Returns at the next snapshot, at the latest when it is `until`.
    pub(crate) async fn wait_for_snapshot(&mut self, seen: &Rc<Front>, until: Instant) -> Waited {
        self.wait(seen, until, |_, _| None).await
    }

    /// Waits, and asks `more` whether there is another reason to end that.
    async fn wait(
        &mut self,
        seen: &Rc<Front>,
        until: Instant,
        mut more: impl FnMut(&mut Context<'_>, &S) -> Option<Waited>,
    ) -> Waited {
        if self.client.watch().is_err() {
            return Waited::ClientLeft;
        }
        self.tether.await_next(true);
        let waited = poll_fn(|cx| {
            if !Rc::ptr_eq(&self.tether.door.front(), seen) {
                return Poll::Ready(Waited::Changed);
            }
            // Whether there is something to read does not matter, but a reset shall wake us.
            let has_more = self.client.poll_readable(cx).is_ready();
            if self.client.is_reset() {
                return Poll::Ready(Waited::ClientLeft);
            }
            if self.tether.is_cut() {
                return Poll::Ready(Waited::Cut);
            }
            if let Some(waited) = more(cx, self.client) {
                return Poll::Ready(waited);
            }
            self.poll_deadline(cx, has_more, until)
        });
        let waited = waited.await;
        self.tether.await_next(false);
        waited
    }

    fn poll_deadline(&mut self, cx: &mut Context<'_>, is_looked_at: bool, until: Instant) -> Poll<Waited> {
        loop {
            let now = Instant::now();
            if now >= until {
                return Poll::Ready(Waited::TooLong);
            }
            let look = is_looked_at.then(|| now + RESET_LOOK);
            self.deadline.set(Some(look.map_or(until, |look| look.min(until))));
            if self.deadline.poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

impl InLine {
    /// Whether room at the targets of a pool may be looked for: nobody waits for it, or it is our turn.
    pub(crate) fn has_turn(&mut self, pool: &Pool) -> bool {
        if !pool.can_be_full() || pool.group.surge_queue_max == 0 {
            self.leave();
            return true;
        }
        self.place.take_if(|place| !place.is_in(&pool.surge));
        self.place.as_ref().map_or_else(|| pool.surge.length() == 0, Place::is_called)
    }

    /// Waits in line for room: returns when it is our turn, or as [`Waiter::wait_for_snapshot`]. Who `is_choosy` may
    /// have found room that is not for it, but for others. Counts whom the line does not take. A client of requests has
    /// left when it has ended its side: most that do have given up.
    pub(crate) async fn wait<S: Stream>(
        &mut self,
        mut waiter: Waiter<'_, S>,
        seen: &Rc<Front>,
        is_choosy: bool,
    ) -> Waited {
        let pool = &seen.frontend.pool;
        let Some(until) = self.line_up(pool, is_choosy) else {
            pool.metrics.workers.of(waiter.worker).spillover.add(1);
            return if pool.group.surge_queue_max == 0 { Waited::NoQueue } else { Waited::QueueFull };
        };
        let is_of_requests = !pool.is_stream();
        let more = |cx: &mut Context<'_>, client: &S| {
            if is_of_requests && client.look() == Ahead::End {
                return Some(Waited::ClientLeft);
            }
            let is_called = self.place.as_mut().is_some_and(|place| place.poll_called(cx).is_ready());
            is_called.then_some(Waited::Called)
        };
        waiter.wait(seen, until, more).await
    }

    /// Whether it ever stood in line.
    pub(crate) fn has_stood(&self) -> bool {
        self.since.is_some()
    }

    /// How long it has stood at its place, if it has one.
    pub(crate) fn waited(&self) -> Option<Duration> {
        self.since.filter(|_| self.place.is_some()).map(|since| since.elapsed())
    }

    /// Gives the place up, because there was room at a target.
    pub(crate) fn found_room(&mut self, at: &Backend) {
        // Room that is for those alone who are stuck to the target is not what others were not called for.
        match self.place.take() {
            Some(place) if at.admission() == Admission::All => place.found_room(),
            left => drop(left),
        }
    }

    /// Gives the place up.
    pub(crate) fn leave(&mut self) {
        self.place = None;
    }

    /// Takes a place in the line of a pool, or keeps the one there is; answers with until when. None: the line is as
    /// long as it may be.
    fn line_up(&mut self, pool: &Pool, is_choosy: bool) -> Option<Instant> {
        match &mut self.place {
            Some(place) => place.looked_in_vain(is_choosy || !pool.reaches_all()),
            None => {
                self.place = Some(pool.surge.join(pool.group.surge_queue_max)?);
                self.since = Some(Instant::now());
            }
        }
        Some(*self.until.get_or_insert_with(|| Instant::now() + pool.group.response_timeout))
    }
}
