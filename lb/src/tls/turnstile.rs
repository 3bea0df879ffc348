//! The turnstile before a worker's handshakes. A handshake is a thousand times the work of a small request: were all
//! that is ready done at once, those who are served already would wait for all of it. So one step of one handshake is
//! taken at a time, and after some time of them whoever else is ready has a turn; and only so many are under way.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

/// Handshakes under way at one worker; more wait before their first step. Each holds some 20 KiB.
const UNDER_WAY_MAX: usize = 512;
/// How long steps may take together before others have their turn: as long as one signature with an RSA key, or
/// several with an ECDSA key.
const TURN: Duration = Duration::from_micros(500);

/// A count of places, given out in the order in which they were asked for.
#[derive(Debug)]
struct Places {
    free: Cell<usize>,
    waiting: RefCell<VecDeque<Rc<Waiting>>>,
}

#[derive(Debug, Default)]
struct Waiting {
    waker: RefCell<Option<Waker>>,
    has_place: Cell<bool>,
    is_gone: Cell<bool>,
}

/// The turnstile of one worker.
#[derive(Debug, Clone)]
pub(crate) struct Turnstile {
    under_way: Rc<Places>,
    step: Rc<Places>,
    /// What steps have taken since others had their turn.
    spent: Rc<Cell<Duration>>,
}

/// A place that is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Place(Rc<Places>);

impl Default for Turnstile {
    fn default() -> Self {
        Self { under_way: Places::new(UNDER_WAY_MAX), step: Places::new(1), spent: Rc::default() }
    }
}

impl Turnstile {
    /// Waits until another handshake may be under way.
    pub(super) async fn enter(&self) -> Place {
        Places::take(&self.under_way).await
    }

    /// Takes a step when it is its turn, and lets others have theirs when there have been enough.
    pub(super) async fn step<T>(&self, step: impl FnOnce() -> T) -> T {
        let place = Places::take(&self.step).await;
        let started = Instant::now();
        let outcome = step();
        self.spent.set(self.spent.get() + started.elapsed());
        if self.spent.get() >= TURN {
            self.spent.set(Duration::ZERO);
            // Others are polled before this task is again, and what came for them from the network is seen first.
            // Nobody else takes a step meanwhile: the place is kept.
            tokio::task::yield_now().await;
        }
        drop(place);
        outcome
    }
}

impl Places {
    fn new(free: usize) -> Rc<Self> {
        Rc::new(Self { free: Cell::new(free), waiting: RefCell::default() })
    }

    async fn take(places: &Rc<Self>) -> Place {
        if places.free.get() > 0 {
            places.free.set(places.free.get() - 1);
            return Place(Rc::clone(places));
        }
        let waits = Waits { places: Rc::clone(places), own: Rc::default(), is_done: false };
        places.waiting.borrow_mut().push_back(Rc::clone(&waits.own));
        waits.for_a_place().await
    }

    fn free_one(&self) {
        loop {
            let next = self.waiting.borrow_mut().pop_front();
            let Some(next) = next else { break self.free.set(self.free.get() + 1) };
            if !next.is_gone.get() {
                next.has_place.set(true);
                break next.waker.take().into_iter().for_each(Waker::wake);
            }
        }
    }
}

/// Somebody in line. Dropped before its turn it is passed over; after, its place is given to the next one.
struct Waits {
    places: Rc<Places>,
    own: Rc<Waiting>,
    is_done: bool,
}

impl Waits {
    async fn for_a_place(mut self) -> Place {
        poll_fn(|cx| {
            if self.own.has_place.get() {
                return Poll::Ready(());
            }
            *self.own.waker.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
        self.is_done = true;
        Place(Rc::clone(&self.places))
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        self.own.is_gone.set(true);
        if self.own.has_place.get() && !self.is_done {
            self.places.free_one();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.free_one();
    }
}
