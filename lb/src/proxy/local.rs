//! What the connections of one worker share. One thread owns it, so there is no lock and no atomic in it.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Instant;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::buffers::Shelf;
use super::request_id::RequestId;
use super::tether::Tether;
use crate::challenges::Challenges;
use crate::explain::Recorder;
use crate::state::{Backend, Observer, Pool};
use crate::telemetry::{AccessLog, TargetHandshake, Telemetry, WorkerMetrics};
use crate::tls::{Scratch, Turnstile};
use crate::upstream::{ConnectError, IdleConnections, Link, Wire, connect};

/// What the connections of one worker share.
pub(crate) struct Local {
    /// The worker's number.
    pub(crate) worker: usize,
    /// Buffers nobody uses at the moment.
    pub(crate) shelf: Shelf,
    /// Connections to targets nobody uses at the moment.
    pub(super) idle: IdleConnections,
    /// Whom to tell when a backend is worth a look.
    pub(crate) observer: Observer,
    /// What is remembered of recent requests.
    pub(crate) recorder: Recorder,
    /// Where connections encrypt and decrypt.
    pub(super) scratch: Rc<Scratch>,
    /// What handshakes take their turn at.
    pub(super) turnstile: Turnstile,
    /// What authorities that issue certificates look for.
    pub(super) challenges: Arc<Challenges>,
    telemetry: Arc<Telemetry>,
    tethers: RefCell<HashMap<u64, Rc<Tether>>>,
    tether_next: Cell<u64>,
    accepting: Cell<usize>,
    draining: Cell<bool>,
    stopping: Cell<bool>,
    awaits_all_gone: RefCell<Option<Waker>>,
    random: Cell<u64>,
    /// Ids of requests come from here: nobody can tell the next one from those he has seen.
    ids: RefCell<StdRng>,
}

impl Local {
    /// For worker `worker` of `workers`.
    pub(crate) fn new(
        worker: usize,
        workers: usize,
        observer: Observer,
        challenges: &Arc<Challenges>,
        telemetry: &Arc<Telemetry>,
    ) -> Self {
        Self {
            worker,
            shelf: Shelf::default(),
            idle: IdleConnections::new(workers),
            observer,
            recorder: Recorder::new(worker, Instant::now()),
            scratch: Rc::default(),
            turnstile: Turnstile::default(),
            challenges: Arc::clone(challenges),
            telemetry: Arc::clone(telemetry),
            tethers: RefCell::default(),
            tether_next: Cell::new(0),
            accepting: Cell::new(0),
            draining: Cell::new(false),
            stopping: Cell::new(false),
            awaits_all_gone: RefCell::default(),
            random: Cell::new(rand::random::<u64>() | 1),
            ids: RefCell::new(StdRng::from_rng(&mut rand::rng())),
        }
    }

    /// What this worker counts of itself.
    pub(crate) fn metrics(&self) -> &WorkerMetrics {
        self.telemetry.workers.of(self.worker)
    }

    /// Where requests are logged.
    pub(crate) fn access_log(&self) -> &AccessLog {
        &self.telemetry.access_log
    }

    /// Fresh random bits (xorshift64*): good enough to choose by, not to keep a secret with.
    pub(crate) fn random(&self) -> u64 {
        let mut bits = self.random.get();
        bits ^= bits >> 12;
        bits ^= bits << 25;
        bits ^= bits >> 27;
        self.random.set(bits);
        bits.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// Connects to a target of a pool, and counts the TLS handshake where there is one.
    pub(crate) async fn connect(
        &self,
        pool: &Pool,
        backend: Arc<Backend>,
        address: SocketAddr,
        greeting: &[u8],
    ) -> Result<Link, ConnectError> {
        let connected = connect(pool, backend, address, greeting, &self.scratch, &self.turnstile).await;
        let handshake = match &connected {
            Ok(Link { stream: Wire::Plain(_), .. }) => None,
            Ok(Link { stream: Wire::Secure(stream), .. }) if stream.is_resumed() => Some(TargetHandshake::Resumed),
            Ok(_) => Some(TargetHandshake::Success),
            Err(ConnectError::Unsecured(_, fault, _)) => Some(fault.counts_as()),
            Err(ConnectError::HandshakeTimedOut(_)) => Some(TargetHandshake::Timeout),
            Err(_) => None,
        };
        handshake.into_iter().for_each(|how| pool.metrics.workers.of(self.worker).tls_handshake(how));
        connected.inspect_err(|error| tracing::debug!(%error, "no connection to a target"))
    }

    /// A new id for a request.
    pub(super) fn request_id(&self) -> RequestId {
        RequestId::made_of(self.ids.borrow_mut().random())
    }

    /// Whether the worker is about to stop: it serves as ever, but keeps no connection beyond its next answer.
    pub(super) fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// Tells every connection to end after its next answer.
    pub(crate) fn drain(&self) {
        self.draining.set(true);
    }

    /// Whether the worker is asked to stop: connections end after the answer in flight.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.get()
    }

    /// Asks every connection to end after the answer in flight. They notice when they are woken.
    pub(crate) fn stop(&self) {
        self.stopping.set(true);
        self.idle.close_all();
    }

    /// Wakes the connections whose listener is gone, so that those that are idle end.
    pub(crate) fn wake_those_at_closed_doors(&self) {
        let tethers = self.tethers.borrow();
        tethers
            .values()
            .filter(|tether| self.stopping.get() || tether.door.is_closed())
            .for_each(|tether| tether.wake());
    }

    /// Ends every connection now.
    pub(crate) fn cut_all(&self) {
        self.tethers.borrow().values().for_each(|tether| tether.cut());
    }

    /// Closes idle connections to backends that take no more work, and cuts what is in flight at those whose time to
    /// leave is over, or that went down and are given up.
    pub(crate) fn leave_departed(&self) {
        self.idle.close_departed();
        self.tethers
            .borrow()
            .values()
            .filter(|tether| tether.is_at_gone_backend() || tether.has_fallen())
            .for_each(|tether| tether.cut());
    }

    /// Closes connections to targets that have been idle for too long.
    pub(crate) fn close_expired(&self, now: Instant) {
        self.idle.close_expired(now);
    }

    /// Wakes the connections that wait for a target, to look at the new snapshot.
    pub(crate) fn wake_waiting(&self) {
        self.tethers.borrow().values().filter(|tether| tether.awaits_next()).for_each(|tether| tether.wake());
    }

    /// Makes a connection known to the worker until the answer is dropped.
    pub(crate) fn tie(self: &Rc<Self>, tether: &Rc<Tether>) -> Tied {
        let number = self.tether_next.get();
        self.tether_next.set(number + 1);
        self.tethers.borrow_mut().insert(number, Rc::clone(tether));
        Tied { local: Rc::clone(self), number }
    }

    /// Counts an accept loop until the answer is dropped.
    pub(crate) fn accepting(self: &Rc<Self>) -> Accepting {
        self.accepting.set(self.accepting.get() + 1);
        Accepting(Rc::clone(self))
    }

    /// Returns when no connection and no accept loop is left.
    pub(crate) async fn all_gone(&self) {
        poll_fn(|cx| {
            if self.accepting.get() == 0 && self.tethers.borrow().is_empty() {
                return Poll::Ready(());
            }
            *self.awaits_all_gone.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    fn one_less(&self) {
        if let Some(waker) = self.awaits_all_gone.borrow_mut().take() {
            waker.wake();
        }
    }
}

/// A connection known to the worker.
pub(crate) struct Tied {
    local: Rc<Local>,
    number: u64,
}

impl Drop for Tied {
    fn drop(&mut self) {
        self.local.tethers.borrow_mut().remove(&self.number);
        self.local.one_less();
    }
}

/// An accept loop known to the worker.
pub(crate) struct Accepting(Rc<Local>);

impl Drop for Accepting {
    fn drop(&mut self) {
        self.0.accepting.set(self.0.accepting.get() - 1);
        self.0.one_less();
    }
}
