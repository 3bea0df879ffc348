//! A listener as one worker serves it: the door connections came through, and where it leads by the present
//! snapshot.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;

use crate::http1::HeadLimits;
use crate::state::{Frontend, Snapshot};
use crate::telemetry::{CodeClass, GroupCells, ListenerCells, NoncompliantClass};

/// A listening socket's side of the connections that came in there. It outlives snapshots and renamings.
pub(crate) struct Door {
    front: RefCell<Rc<Front>>,
    closed: Cell<bool>,
    awaits_close: RefCell<Option<Waker>>,
}

/// A frontend as requests need it, made once for each snapshot. A request holds the one it began with.
#[derive(Debug)]
pub(crate) struct Front {
    pub(crate) frontend: Arc<Frontend>,
    /// The limit on connections of the whole process, as configured.
    pub(crate) connections_max: usize,
    /// The limits on request heads.
    pub(super) head_limits: HeadLimits,
    /// The limits on the heads of answers: no less than the usual.
    pub(super) answer_limits: HeadLimits,
    /// The listener's port, as text.
    pub(super) port: Box<str>,
}

impl Front {
    /// Of a frontend of this snapshot.
    pub(crate) fn new(frontend: &Arc<Frontend>, snapshot: &Snapshot) -> Self {
        let listener = &frontend.listener;
        let usual = HeadLimits::default();
        Self {
            frontend: Arc::clone(frontend),
            connections_max: snapshot.config.global.connections_max,
            head_limits: HeadLimits {
                line_bytes_max: listener.request_line_bytes_max,
                headers_bytes_max: listener.headers_bytes_max,
                header_count_max: listener.header_count_max,
            },
            answer_limits: HeadLimits {
                line_bytes_max: listener.request_line_bytes_max.max(usual.line_bytes_max),
                headers_bytes_max: listener.headers_bytes_max.max(usual.headers_bytes_max),
                header_count_max: listener.header_count_max.max(usual.header_count_max),
            },
            port: frontend.socket.address.port().to_string().into(),
        }
    }

    /// What one worker counts of the listener.
    pub(crate) fn cells(&self, worker: usize) -> &ListenerCells {
        self.frontend.metrics.workers.of(worker)
    }

    /// Counts an answer that elbow made itself: for the listener, and for its group, which may outlive it.
    pub(super) fn count_own_answer(&self, worker: usize, status: u16) {
        self.cells(worker).lb_response(status);
        self.group_cells(worker).lb_responses.add(CodeClass::of(status));
    }

    /// Counts a request that is not compliant, for the same two.
    pub(super) fn count_noncompliant(&self, worker: usize, class: NoncompliantClass) {
        self.cells(worker).noncompliant(class);
        self.group_cells(worker).noncompliant.add(1);
    }

    /// What one worker counts of the listener's group.
    pub(super) fn group_cells(&self, worker: usize) -> &GroupCells {
        self.frontend.pool.metrics.workers.of(worker)
    }
}

impl Door {
    /// An open door.
    pub(crate) fn new(front: Front) -> Self {
        Self { front: RefCell::new(Rc::new(front)), closed: Cell::new(false), awaits_close: RefCell::default() }
    }

    /// Where it leads now.
    pub(crate) fn front(&self) -> Rc<Front> {
        Rc::clone(&self.front.borrow())
    }

    /// Leads elsewhere from the next request on.
    pub(crate) fn lead_to(&self, front: Front) {
        *self.front.borrow_mut() = Rc::new(front);
    }

    /// Whether its listener is gone: no new connections, and kept ones end.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.get()
    }

    /// Lets nobody in any more.
    pub(crate) fn close(&self) {
        self.closed.set(true);
        if let Some(waker) = self.awaits_close.borrow_mut().take() {
            waker.wake();
        }
    }

    /// Wakes the accept loop when the door is closed.
    pub(crate) fn wake_when_closed(&self, waker: &Waker) {
        let mut awaits = self.awaits_close.borrow_mut();
        if !awaits.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *awaits = Some(waker.clone());
        }
    }
}
