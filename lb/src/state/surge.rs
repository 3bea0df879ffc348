//! The surge queue of a target group: who waits for room at its targets while all are full, over all workers and all
//! listeners that lead there, in the order they came.
//!
//! Whoever waits has a [`Place`] and sleeps until it is called; then it looks for room, and keeps its place if it finds
//! none. Work that ends at a target calls the first that is not called yet, so that as many look at once as there is
//! room. Not here: choosing a target, and how long to wait (`proxy::waiting`).
//!
//! No call is lost. Who waits takes its place before it looks; work that ends is counted out before it looks for
//! who waits; of the two one sees the other. A call goes to one place, and from a place that is given up before it was
//! of use to the next one. A place is called from the start when nobody stands before it, or when a call found nobody:
//! then there may be room for more than one, so such a call goes onward, from each that has found room to the next,
//! until one finds none.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::atomic::{AtomicUsize, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// Who waits for room at the targets of a group.
#[derive(Debug, Default)]
pub struct SurgeQueue {
    /// How many stand in line, to be looked at without the lock.
    length: AtomicUsize,
    line: Mutex<Line>,
}

#[derive(Debug, Default)]
struct Line {
    /// By ticket: the order they came.
    stands: BTreeMap<u64, Stand>,
    ticket_next: u64,
    /// Whether there was a call, and nobody left who was not called.
    is_call_owed: bool,
}

#[derive(Debug)]
enum Stand {
    Waits(Option<Waker>),
    Called(Call),
}

/// That there is room, perhaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    /// For one.
    One,
    /// For one and perhaps for those behind.
    Onward,
}

/// A place in the line, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    queue: Arc<SurgeQueue>,
    ticket: u64,
    /// The call that its holder follows now.
    followed: Option<Call>,
}

impl SurgeQueue {
    /// How many wait.
    pub fn length(&self) -> usize {
        self.length.load(Ordering::Relaxed)
    }

    /// Calls the first, because something at a target has ended. It was counted out before.
    pub(super) fn one_ended(&self) {
        if self.length.load(Ordering::SeqCst) > 0 {
            self.call(Call::One);
        }
    }

    /// Calls as many as find room, because there may be more of it: a worker has taken up a snapshot.
    pub(crate) fn may_have_grown(&self) {
        if self.length.load(Ordering::SeqCst) > 0 {
            self.call(Call::Onward);
        }
    }

    /// A place at the end of the line, unless so many stand there already.
    pub(crate) fn join(self: &Arc<Self>, length_max: usize) -> Option<Place> {
        let mut line = self.line();
        if line.stands.len() >= length_max {
            return None;
        }
        let is_called = std::mem::take(&mut line.is_call_owed) || line.stands.is_empty();
        let ticket = line.ticket_next;
        line.ticket_next += 1;
        let stand = if is_called { Stand::Called(Call::Onward) } else { Stand::Waits(None) };
        line.stands.insert(ticket, stand);
        self.length.store(line.stands.len(), Ordering::SeqCst);
        Some(Place { queue: Arc::clone(self), ticket, followed: None })
    }

    #[cold]
    fn call(&self, call: Call) {
        let waker = self.line().call(None, call);
        // Without the lock: who wakes up will want it.
        waker.into_iter().for_each(Waker::wake);
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        // Nothing that is done under the lock is left by half.
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    /// Calls the first, or the first behind a ticket, that is not called yet; answers with whom to wake.
    fn call(&mut self, behind: Option<u64>, call: Call) -> Option<Waker> {
        let from = behind.map_or(Bound::Unbounded, Bound::Excluded);
        let first = self.stands.range_mut((from, Bound::Unbounded)).next();
        if let (Call::Onward, Some((_, Stand::Called(called)))) = (call, first) {
            // It is about to look, and calls those behind in their order.
            *called = Call::Onward;
            return None;
        }
        let mut waiting = self.stands.range_mut((from, Bound::Unbounded)).filter_map(|(_, stand)| match stand {
            Stand::Waits(waker) => Some((waker.take(), stand)),
            Stand::Called(_) => None,
        });
        if let Some((waker, stand)) = waiting.next() {
            *stand = Stand::Called(call);
            return waker;
        }
        self.is_call_owed |= behind.is_none() && !self.stands.is_empty();
        None
    }
}

impl Place {
    /// Whether it is one in this line.
    pub(crate) fn is_in(&self, queue: &Arc<SurgeQueue>) -> bool {
        Arc::ptr_eq(&self.queue, queue)
    }

    /// Whether its holder was called, and has not looked in vain since.
    pub(crate) fn is_called(&self) -> bool {
        self.followed.is_some()
    }

    /// Ready when it is called: then its holder is to look for room.
    pub(crate) fn poll_called(&mut self, cx: &Context<'_>) -> Poll<()> {
        {
            let mut line = self.queue.line();
            let Some(stand) = line.stands.get_mut(&self.ticket) else { return Poll::Pending };
            match stand {
                Stand::Called(call) => self.followed = Some(*call),
                Stand::Waits(Some(waker)) if waker.will_wake(cx.waker()) => return Poll::Pending,
                Stand::Waits(waker) => {
                    *waker = Some(cx.waker().clone());
                    return Poll::Pending;
                }
            }
            // What ends from now on calls anew.
            *stand = Stand::Waits(None);
        }
        // What has ended before is seen by the look that follows.
        fence(Ordering::SeqCst);
        Poll::Ready(())
    }

    /// Notes that its holder has looked in vain, if it was called. Where others could have found what it could not,
    /// the next one is called.
    pub(crate) fn looked_in_vain(&mut self, others_may_find: bool) {
        let Some(call) = self.followed.take().filter(|_| others_may_find) else { return };
        let waker = self.queue.line().call(Some(self.ticket), call);
        waker.into_iter().for_each(Waker::wake);
    }

    /// Gives the place up, because its holder has found room.
    pub(crate) fn found_room(mut self) {
        self.followed = self.followed.filter(|call| *call == Call::Onward);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let waker = {
            let mut line = self.queue.line();
            let unfollowed = match line.stands.remove(&self.ticket) {
                Some(Stand::Called(call)) => Some(call),
                _ => None,
            };
            self.queue.length.store(line.stands.len(), Ordering::SeqCst);
            line.is_call_owed &= !line.stands.is_empty();
            // Two calls mean room for two.
            let both = self.followed.and(unfollowed).map(|_| Call::Onward);
            both.or(self.followed).or(unfollowed).and_then(|call| line.call(None, call))
        };
        waker.into_iter().for_each(Waker::wake);
    }
}
