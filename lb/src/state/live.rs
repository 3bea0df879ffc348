//! The one pointer that everyone reads, and who has taken it up.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use tokio::sync::{Notify, broadcast, watch};

use crate::state::{Event, Snapshot};

/// How many events a slow reader may lag behind before it loses some (and is told so).
const EVENTS_MAX: usize = 1024;

/// The snapshot that holds now.
#[derive(Debug)]
pub struct Live {
    snapshot: ArcSwap<Snapshot>,
    generation: watch::Sender<u64>,
    taken_up: Box<[AtomicU64]>,
    progress: Notify,
    events: broadcast::Sender<Event>,
}

impl Live {
    /// Starts with a first snapshot that no worker has taken up yet.
    pub fn new(first: Snapshot, workers: usize) -> Self {
        Self {
            generation: watch::Sender::new(first.generation),
            snapshot: ArcSwap::from_pointee(first),
            taken_up: (0..workers).map(|_| AtomicU64::new(0)).collect(),
            progress: Notify::new(),
            events: broadcast::Sender::new(EVENTS_MAX),
        }
    }

    /// The snapshot that holds now.
    pub fn load(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// Tells of every new generation.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.generation.subscribe()
    }

    /// Tells of every change of state.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// A worker says that from now on it serves by this generation or a later one.
    pub fn take_up(&self, worker: usize, generation: u64) {
        self.taken_up[worker].store(generation, Ordering::SeqCst);
        self.progress.notify_waiters();
    }

    /// Returns when every worker serves by this generation or a later one.
    pub async fn taken_up(&self, generation: u64) {
        loop {
            let progress = self.progress.notified();
            tokio::pin!(progress);
            progress.as_mut().enable();
            if self.taken_up.iter().all(|taken| taken.load(Ordering::SeqCst) >= generation) {
                return;
            }
            progress.await;
        }
    }

    /// Swaps the pointer and tells everyone. Only the publisher does.
    pub(super) fn swap(&self, next: Snapshot, events: Vec<Event>) {
        let generation = next.generation;
        self.snapshot.store(Arc::new(next));
        self.generation.send_replace(generation);
        for event in events {
            // Nobody listening is no error.
            let _ = self.events.send(event);
        }
    }
}
