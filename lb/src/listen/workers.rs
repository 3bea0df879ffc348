//! All workers together: starting their threads, learning of their death, and stopping them.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::limits::ConnectionLimit;
use super::worker::{Asked, Worker};
use crate::challenges::Challenges;
use crate::explain::{Explainer, mailboxes};
use crate::state::{Live, Observer};
use crate::telemetry::Telemetry;

/// What workers are started with.
#[derive(Debug, Clone)]
pub struct WorkersSettings {
    /// How many; at least one. Sockets, metrics and snapshots must be made for as many.
    pub count: usize,
    /// Where the snapshots come from.
    pub live: Arc<Live>,
    /// Whom they tell when a backend is worth a look.
    pub observer: Observer,
    /// What authorities that issue certificates look for on listeners.
    pub challenges: Arc<Challenges>,
    /// What they count of themselves, and where requests are logged.
    pub telemetry: Arc<Telemetry>,
}

/// The running workers. Dropping it ends them at once and cuts what is in flight.
#[derive(Debug)]
pub struct Workers {
    asked: watch::Sender<Asked>,
    ended: watch::Receiver<usize>,
    threads: Vec<JoinHandle<()>>,
    explainer: Explainer,
}

impl Workers {
    /// Starts the threads. They serve the present snapshot, and each one that follows.
    ///
    /// # Errors
    /// When a thread or its event loop cannot be made; those that were are ended again.
    pub fn start(settings: &WorkersSettings) -> io::Result<Self> {
        let (asked, asked_of_worker) = watch::channel(Asked::Serve);
        let (ended_sender, ended) = watch::channel(0);
        let limit = Arc::new(ConnectionLimit::new());
        let (explainer, mailboxes) = mailboxes(settings.count);
        let mut workers = Self { asked, ended, threads: Vec::with_capacity(settings.count), explainer };
        let cores = core_affinity::get_core_ids().unwrap_or_default();
        for (number, mailbox) in mailboxes.into_iter().enumerate() {
            // Pinning is a help, never a condition.
            let core = (settings.count == cores.len()).then(|| cores[number]);
            let worker = Worker::new(number, settings.clone(), Arc::clone(&limit), asked_of_worker.clone());
            let end = CountsEnd(ended_sender.clone());
            let (started, outcome) = std::sync::mpsc::sync_channel(1);
            let thread = std::thread::Builder::new().name(format!("elbow-worker-{number}")).spawn(move || {
                let _end = end;
                if let Some(core) = core {
                    core_affinity::set_for_current(core);
                }
                worker.run(mailbox, &started);
            })?;
            workers.threads.push(thread);
            outcome.recv().map_err(|_| io::Error::other("a worker died while it started"))??;
        }
        Ok(workers)
    }

    /// Who asks them why a request went where it went.
    pub fn explainer(&self) -> Explainer {
        self.explainer.clone()
    }

    /// Returns when a worker has ended although nobody stopped it. The process has no business going on then.
    pub async fn died(&self) {
        // An error means that all are gone.
        let _ = self.ended.clone().wait_for(|ended| *ended > 0).await;
    }

    /// Prepares for a stop: serves on as before, but tells every kept connection to go with its next answer.
    pub fn drain(&self) {
        self.asked.send_replace(Asked::Drain);
    }

    /// Stops: accepts what is queued and no more, closes idle connections, tells the others to go after the answer
    /// in flight, and cuts what is left after `timeout`. Returns when all workers have ended.
    pub async fn shutdown(self, timeout: Duration) {
        self.asked.send_replace(Asked::Stop(Instant::now() + timeout));
        let count = self.threads.len();
        let _ = self.ended.clone().wait_for(|ended| *ended >= count).await;
    }
}

/// Counts the end of a worker's thread, however it comes.
struct CountsEnd(watch::Sender<usize>);

impl Drop for CountsEnd {
    fn drop(&mut self) {
        self.0.send_modify(|ended| *ended += 1);
    }
}
