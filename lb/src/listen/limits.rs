//! How many client connections the process may hold, and the guard by which each is counted.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::process::{Resource, getrlimit};

use super::BoundSocket;
use crate::proxy::{Front, Local};
use crate::telemetry::ListenerMetrics;

/// Files kept for what is not a client connection: listeners, probes, the admin API, the store, logs.
const FILES_RESERVED: u64 = 512;
/// Which part of those may be taken by connections that are told that there are too many.
const REFUSING_PART: u64 = 8;

/// Client connections of the whole process.
#[derive(Debug)]
pub(super) struct ConnectionLimit {
    open: AtomicUsize,
    /// What the file-descriptor limit allows when no limit is configured.
    default_max: usize,
    refusing: AtomicUsize,
    /// How many may be told at once that there are too many; others are closed without a word.
    refusing_max: usize,
}

impl ConnectionLimit {
    /// No connection yet. The limit on open files is read once.
    pub(super) fn new() -> Self {
        let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let reserved = FILES_RESERVED.min(files / 2);
        // Each client connection may have one to a target beside it.
        let pairs = (files - reserved) / 2;
        let counted = |files| usize::try_from(files).unwrap_or(usize::MAX);
        Self {
            open: AtomicUsize::new(0),
            default_max: counted(pairs),
            refusing: AtomicUsize::new(0),
            refusing_max: counted(reserved / REFUSING_PART),
        }
    }

    /// Counts one more connection, unless there are as many as `configured_max` (0: the default) allows.
    fn count_in(&self, configured_max: usize) -> bool {
        let connections_max = if configured_max == 0 { self.default_max } else { configured_max };
        let before = self.open.fetch_add(1, Ordering::Relaxed);
        let is_admitted = before < connections_max;
        if !is_admitted {
            self.count_out();
        }
        is_admitted
    }

    fn count_out(&self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One connection that is being told that there are too many.
pub(super) struct Refusing(Arc<ConnectionLimit>);

impl Refusing {
    /// Counts one more, unless there are too many even of those.
    pub(super) fn begin(limit: &Arc<ConnectionLimit>) -> Option<Self> {
        let before = limit.refusing.fetch_add(1, Ordering::Relaxed);
        let refusing = Self(Arc::clone(limit));
        (before < limit.refusing_max).then_some(refusing)
    }
}

impl Drop for Refusing {
    fn drop(&mut self) {
        self.0.refusing.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One admitted connection. It is counted until this is dropped, by a panic too.
pub(super) struct Admitted {
    limit: Arc<ConnectionLimit>,
    socket: Arc<BoundSocket>,
    listener: Arc<ListenerMetrics>,
    local: Rc<Local>,
}

impl Admitted {
    /// Admits a connection, if the process and the listener may hold one more.
    pub(super) fn admit(
        limit: &Arc<ConnectionLimit>,
        socket: &Arc<BoundSocket>,
        front: &Front,
        local: &Rc<Local>,
    ) -> Option<Self> {
        if !limit.count_in(front.connections_max) {
            return None;
        }
        if !socket.count_in(front.frontend.listener.connections_max) {
            limit.count_out();
            return None;
        }
        let cells = front.frontend.metrics.workers.of(local.worker);
        cells.connections_open.add(1);
        cells.connections_total.add(1);
        Some(Self {
            limit: Arc::clone(limit),
            socket: Arc::clone(socket),
            listener: Arc::clone(&front.frontend.metrics),
            local: Rc::clone(local),
        })
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.limit.count_out();
        self.socket.count_out();
        self.listener.workers.of(self.local.worker).connections_open.add(-1);
        if std::thread::panicking() {
            self.local.metrics().panics.add(1);
            tracing::error!(listener = %self.socket.address, "a panic cost one connection");
        }
    }
}
