//! The surge queue of a target group: who waits for room at its targets while all are full, over all workers and all
//! listeners that lead there, in the order they came.
//!
//! Whoever waits has a [`Place`] and sleeps until it is called; then it looks for room, and keeps its place if it finds
//! none. Not here: choosing a target, and how long to wait (`proxy::waiting`).
//!
//! There are two kinds of calls. Work that ends at a target makes room for one, and calls the first that has no room of its
//! own yet: so as many look at once as there is room. Where there may be more room than was told of (in a new snapshot, to
//! one who comes when nobody waits), the first is told so, and tells the next one if it finds some: so all who have room
//! get it, in their order, and the first one without ends it.
//!
//! No call is lost. Who waits takes its place before it looks; work that ends is counted out before it looks for
//! who waits; of the two one sees the other. What a place was called for and has not used goes on to the next when it is
//! given up.

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
    /// Whether there was room for one more than there were.
    has_room_left: bool,
}

#[derive(Debug)]
struct Stand {
    waker: Option<Waker>,
    /// What it was called for and has not looked for yet.
    call: Call,
}

/// What somebody in line is called for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Call {
    /// Something has ended, for this one to take its room.
    room: bool,
    /// There may be more room, for this one and those behind it.
    more: bool,
}

/// A place in the line, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    queue: Arc<SurgeQueue>,
    ticket: u64,
    /// What its holder looks for now.
    followed: Call,
}

impl SurgeQueue {
    /// How many wait.
    pub fn length(&self) -> usize {
        self.length.load(Ordering::Relaxed)
    }

    /// Calls one for the room of something at a target that has ended. It was counted out before.
    pub(super) fn one_ended(&self) {
        if self.length.load(Ordering::SeqCst) > 0 {
            self.call(Call { room: true, more: false });
        }
    }

    /// Calls as many as find room: a worker has taken up a snapshot, by which there may be more.
    pub(crate) fn may_have_grown(&self) {
        if self.length.load(Ordering::SeqCst) > 0 {
            self.call(Call { room: false, more: true });
        }
    }

    /// A place at the end of the line, unless so many stand there already.
    pub(crate) fn join(self: &Arc<Self>, length_max: usize) -> Option<Place> {
        let mut line = self.line();
        if line.stands.len() >= length_max {
            return None;
        }
        // Else somebody before it has looked, or is about to.
        let more = std::mem::take(&mut line.has_room_left) || line.stands.is_empty();
        let ticket = line.ticket_next;
        line.ticket_next += 1;
        line.stands.insert(ticket, Stand { waker: None, call: Call { room: false, more } });
        self.length.store(line.stands.len(), Ordering::SeqCst);
        Some(Place { queue: Arc::clone(self), ticket, followed: Call::default() })
    }

    #[cold]
    fn call(&self, call: Call) {
        let called = self.line().call(None, call);
        wake(called);
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        // Nothing that is done under the lock is left by half.
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// To be done without the lock: who wakes up wants it.
fn wake(called: impl IntoIterator<Item = Option<Waker>>) {
    called.into_iter().flatten().for_each(Waker::wake);
}

impl Line {
    /// Calls those in line, or those behind a ticket; answers with whom to wake.
    fn call(&mut self, behind: Option<u64>, call: Call) -> [Option<Waker>; 2] {
        let from = behind.map_or(Bound::Unbounded, Bound::Excluded);
        let mut called = [None, None];
        if call.room {
            let without = self.stands.range_mut((from, Bound::Unbounded)).find(|(_, stand)| !stand.call.room);
            match without {
                Some((_, stand)) => (stand.call.room, called[0]) = (true, stand.waker.take()),
                None => self.has_room_left |= behind.is_none() && !self.stands.is_empty(),
            }
        }
        if call.more
            && let Some((_, stand)) = self.stands.range_mut((from, Bound::Unbounded)).next()
        {
            (stand.call.more, called[1]) = (true, stand.waker.take());
        }
        called
    }
}

impl Place {
    /// Whether it is one in this line.
    pub(crate) fn is_in(&self, queue: &Arc<SurgeQueue>) -> bool {
        Arc::ptr_eq(&self.queue, queue)
    }

    /// Whether its holder was called, and has not looked in vain since.
    pub(crate) fn is_called(&self) -> bool {
        self.followed != Call::default()
    }

    /// Ready when it is called: then its holder is to look for room.
    pub(crate) fn poll_called(&mut self, cx: &Context<'_>) -> Poll<()> {
        {
            let mut line = self.queue.line();
            let Some(stand) = line.stands.get_mut(&self.ticket) else { return Poll::Pending };
            // What ends from now on calls anew.
            self.followed = std::mem::take(&mut stand.call);
            if !self.is_called() {
                if !stand.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                    stand.waker = Some(cx.waker().clone());
                }
                return Poll::Pending;
            }
        }
        // What has ended before is seen by the look that follows.
        fence(Ordering::SeqCst);
        Poll::Ready(())
    }

    /// Notes that its holder has looked in vain, if it was called. Where others may find what it could not, those
    /// behind are called in its stead.
    pub(crate) fn looked_in_vain(&mut self, others_may_find: bool) {
        let followed = std::mem::take(&mut self.followed);
        if others_may_find {
            let called = self.queue.line().call(Some(self.ticket), followed);
            wake(called);
        }
    }

    /// Gives the place up, because its holder has found room.
    pub(crate) fn found_room(mut self) {
        self.followed.room = false;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let called = {
            let mut line = self.queue.line();
            let unfollowed = line.stands.remove(&self.ticket).map(|stand| stand.call).unwrap_or_default();
            self.queue.length.store(line.stands.len(), Ordering::SeqCst);
            line.has_room_left &= !line.stands.is_empty();
            [line.call(None, self.followed), line.call(None, unfollowed)]
        };
        wake(called.into_iter().flatten());
    }
}
