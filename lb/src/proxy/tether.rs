//! How a worker reaches a connection that sleeps: to close it while idle, or to cut what it has in flight.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Waker};

use super::door::Door;
use crate::state::{Admission, Backend, InFlight};

/// The worker's hold on one connection.
pub(crate) struct Tether {
    /// Where it came in.
    pub(crate) door: Rc<Door>,
    /// What it has in flight at a backend. Held here so that the worker sees where.
    in_flight: RefCell<Option<InFlight>>,
    is_cut: Cell<bool>,
    /// Whether it waits for the next snapshot.
    awaits_next: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Tether {
    pub(crate) fn new(door: Rc<Door>) -> Self {
        Self {
            door,
            in_flight: RefCell::default(),
            is_cut: Cell::new(false),
            awaits_next: Cell::new(false),
            waker: RefCell::default(),
        }
    }

    /// Remembers whom to wake. Once is enough, since a task's waker stays the same.
    pub(crate) fn attach(&self, cx: &Context<'_>) {
        *self.waker.borrow_mut() = Some(cx.waker().clone());
    }

    /// Makes the connection look up.
    pub(crate) fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    /// Says whether it is to be woken by the next snapshot.
    pub(crate) fn await_next(&self, awaits: bool) {
        self.awaits_next.set(awaits);
    }

    /// Whether it is to be woken by the next snapshot.
    pub(crate) fn awaits_next(&self) -> bool {
        self.awaits_next.get()
    }

    /// Takes hold of work in flight, until it is released.
    pub(crate) fn hold(&self, in_flight: InFlight) {
        *self.in_flight.borrow_mut() = Some(in_flight);
    }

    /// Counts the work in flight as done.
    pub(crate) fn release(&self) {
        drop(self.in_flight.borrow_mut().take());
    }

    /// Where it has something in flight.
    pub(crate) fn backend(&self) -> Option<Arc<Backend>> {
        self.in_flight.borrow().as_ref().map(|in_flight| Arc::clone(in_flight.backend()))
    }

    /// Whether it has something in flight at a backend whose time to leave is over.
    pub(crate) fn is_at_gone_backend(&self) -> bool {
        self.in_flight.borrow().as_ref().is_some_and(|in_flight| in_flight.backend().admission() == Admission::Gone)
    }

    /// Whether what it has in flight was given up because its backend went down.
    pub(crate) fn has_fallen(&self) -> bool {
        self.in_flight.borrow().as_ref().is_some_and(InFlight::has_fallen)
    }

    /// Ends the connection with all that is in flight on it.
    pub(crate) fn cut(&self) {
        self.is_cut.set(true);
        self.wake();
    }

    /// Whether it is to end at once.
    pub(crate) fn is_cut(&self) -> bool {
        self.is_cut.get()
    }
}
