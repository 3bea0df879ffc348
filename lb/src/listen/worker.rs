//! One worker: a thread with an event loop of its own that takes up snapshots and serves their listeners.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;
use tokio::time::sleep_until;

use super::BoundSocket;
use super::accept::accept;
use super::limits::ConnectionLimit;
use super::workers::WorkersSettings;
use crate::explain::Mailbox;
use crate::proxy::{Door, Front, Local};
use crate::state::Snapshot;

/// What workers are asked to do.
#[derive(Debug, Clone, Copy)]
pub(super) enum Asked {
    /// To serve.
    Serve,
    /// To serve on, but to keep no connection beyond its next answer.
    Drain,
    /// To stop; what is in flight at this time is cut.
    Stop(Instant),
}

/// How long what is cut may take to notice, before the event loop goes away under it.
const CUT_GRACE: Duration = Duration::from_millis(500);

/// How often idle connections to targets are looked through for those that are kept too long.
const JANITOR_INTERVAL: Duration = Duration::from_millis(500);

/// What a worker is made of before its thread runs.
pub(super) struct Worker {
    number: usize,
    settings: WorkersSettings,
    limit: Arc<ConnectionLimit>,
    asked: watch::Receiver<Asked>,
}

/// A worker at work: the doors it holds open, and what its connections share.
struct Serving {
    worker: Worker,
    local: Rc<Local>,
    doors: Vec<OpenDoor>,
    snapshot: Option<Arc<Snapshot>>,
}

/// A listener's socket and how this worker serves it.
struct OpenDoor {
    socket: Arc<BoundSocket>,
    door: Rc<Door>,
}

impl Worker {
    pub(super) fn new(
        number: usize,
        settings: WorkersSettings,
        limit: Arc<ConnectionLimit>,
        asked: watch::Receiver<Asked>,
    ) -> Self {
        Self { number, settings, limit, asked }
    }

    /// Runs until it is stopped, or until whoever started it is gone. Says first whether it could begin.
    pub(super) fn run(self, mailbox: Mailbox, started: &SyncSender<io::Result<()>>) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build_local(tokio::runtime::LocalOptions::default());
        match runtime {
            Ok(runtime) => {
                let _ = started.send(Ok(()));
                runtime.block_on(self.serve(mailbox));
            }
            Err(error) => drop(started.send(Err(error))),
        }
    }

    async fn serve(self, mut mailbox: Mailbox) {
        let WorkersSettings { count, observer, challenges, telemetry, .. } = &self.settings;
        let local = Local::new(self.number, *count, observer.clone(), challenges, telemetry);
        let mut asked = self.asked.clone();
        let mut generations = self.settings.live.subscribe();
        let mut serving = Serving { worker: self, local: Rc::new(local), doors: Vec::new(), snapshot: None };
        let mut janitor = tokio::time::interval(JANITOR_INTERVAL);
        janitor.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            generations.mark_unchanged();
            serving.take_up();
            tokio::select! {
                changed = generations.changed() => if changed.is_err() { return },
                changed = asked.changed() => {
                    let now = *asked.borrow_and_update();
                    match now {
                        // Whoever started it is gone.
                        _ if changed.is_err() => return,
                        Asked::Serve => {}
                        Asked::Drain => serving.local.drain(),
                        Asked::Stop(deadline) => return serving.leave(deadline, generations).await,
                    }
                }
                () = serving.tidy_up(&mut janitor) => {}
                () = mailbox.answer(&serving.local.recorder) => {}
            }
        }
    }
}

impl Serving {
    /// Serves by the present snapshot from now on, and says so.
    fn take_up(&mut self) {
        let next = self.worker.settings.live.load();
        let previous = self.snapshot.replace(Arc::clone(&next));
        if previous.as_ref().is_none_or(|previous| previous.generation != next.generation) {
            self.reconcile_doors(&next);
            self.local.leave_departed();
            self.local.wake_waiting();
            next.groups().for_each(|pool| pool.surge.may_have_grown());
            self.worker.settings.live.take_up(self.worker.number, next.generation);
        }
    }

    /// Opens a door for each new socket, tells each open one of its frontend, and closes those nobody wants.
    fn reconcile_doors(&mut self, snapshot: &Snapshot) {
        let wants = |socket: &Arc<BoundSocket>| {
            snapshot.frontends.values().find(|frontend| Arc::ptr_eq(&frontend.socket, socket))
        };
        self.doors.retain(|open| {
            let frontend = wants(&open.socket);
            if frontend.is_none() {
                open.door.close();
            }
            frontend.is_some()
        });
        for frontend in snapshot.frontends.values() {
            let front = Front::new(frontend, snapshot);
            match self.doors.iter().find(|open| Arc::ptr_eq(&open.socket, &frontend.socket)) {
                Some(open) => open.door.lead_to(front),
                None => self.open_door(&frontend.socket, front),
            }
        }
        self.local.wake_those_at_closed_doors();
    }

    fn open_door(&mut self, socket: &Arc<BoundSocket>, front: Front) {
        if self.local.is_stopping() {
            return;
        }
        let listener = front.frontend.listener.name.clone();
        #[expect(
            deprecated,
            reason = "what is deprecated is a type that may change its descriptor: a listener does not"
        )]
        let watch = |listening| AsyncFd::with_interest(listening, Interest::READABLE);
        let taken = socket.take(self.worker.number).map(watch);
        let door = Rc::new(Door::new(front));
        match taken {
            Some(Ok(listening)) => {
                let accepting = accept(
                    listening,
                    Arc::clone(socket),
                    Rc::clone(&door),
                    Rc::clone(&self.local),
                    Arc::clone(&self.worker.limit),
                );
                // It ends by itself when the door is closed, or with the event loop.
                tokio::task::spawn_local(accepting);
            }
            Some(Err(error)) => tracing::error!(%listener, %error, "a worker cannot serve a listener"),
            None => tracing::error!(%listener, "a worker was to serve a listener whose socket it gave up before"),
        }
        self.doors.push(OpenDoor { socket: Arc::clone(socket), door });
    }

    /// Closes connections to targets that were idle for too long, for as long as nothing else is to be done.
    async fn tidy_up(&self, janitor: &mut tokio::time::Interval) {
        loop {
            janitor.tick().await;
            self.local.close_expired(Instant::now());
        }
    }

    /// Closes all doors and waits for what is in flight, at most until the deadline; then cuts it.
    async fn leave(mut self, deadline: Instant, mut generations: watch::Receiver<u64>) {
        self.local.stop();
        for open in self.doors.drain(..) {
            open.door.close();
        }
        self.local.wake_those_at_closed_doors();
        let deadline = sleep_until(deadline.into());
        tokio::pin!(deadline);
        loop {
            tokio::select! {
                biased;
                () = self.local.all_gone() => return,
                () = &mut deadline => break,
                changed = generations.changed() => if changed.is_ok() { self.take_up() } else { break },
            }
        }
        self.local.cut_all();
        let _ = tokio::time::timeout(CUT_GRACE, self.local.all_gone()).await;
    }
}
