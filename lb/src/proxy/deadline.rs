//! The clock of a connection: one timer for all its deadlines, and the pace a peer has to keep.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::time::{Sleep, sleep_until};

/// One timer. A deadline that moves away costs nothing: the timer fires at the old one, sees that it was moved, and
/// is set again. So a connection that is busy hardly ever touches the timer wheel.
pub(crate) struct Deadline {
    timer: Option<Pin<Box<Sleep>>>,
    fires_at: Instant,
    wanted: Option<Instant>,
}

impl Deadline {
    pub(crate) fn new() -> Self {
        Self { timer: None, fires_at: Instant::now(), wanted: None }
    }

    /// What is to end then.
    pub(crate) fn set(&mut self, wanted: Option<Instant>) {
        self.wanted = wanted;
    }

    /// Ends it then, if that is earlier.
    pub(crate) fn hasten(&mut self, wanted: Instant) {
        self.wanted = Some(self.wanted.map_or(wanted, |before| before.min(wanted)));
    }

    /// Ready once the deadline has passed; until then the task is woken no later than that.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(wanted) = self.wanted else { return Poll::Pending };
        match &mut self.timer {
            Some(timer) if self.fires_at <= wanted && !timer.is_elapsed() => return Poll::Pending,
            Some(_) if Instant::now() >= wanted => return Poll::Ready(()),
            Some(timer) => timer.as_mut().reset(wanted.into()),
            None => self.timer = Some(Box::pin(sleep_until(wanted.into()))),
        }
        self.fires_at = wanted;
        match &mut self.timer {
            Some(timer) => timer.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }
}

/// Over how long a pace is averaged.
const PACE_WINDOW: Duration = Duration::from_secs(5);

/// The least a peer must move per second while we wait for it. Time in which we wait for somebody else does not
/// count, so a slow target is not held against its client.
#[derive(Debug)]
pub(super) struct Pace {
    bytes_per_second_min: u64,
    moved_before: u64,
    waited: Duration,
    waits_since: Option<Instant>,
}

impl Pace {
    /// 0: any pace will do.
    pub(super) fn new(bytes_per_second_min: u64) -> Self {
        Self { bytes_per_second_min, moved_before: 0, waited: Duration::ZERO, waits_since: None }
    }

    /// Takes note of whether we wait for the peer, and of how many bytes it has moved in all. Answers with when to
    /// look again at the latest, or with an error when the peer was too slow.
    pub(super) fn check(&mut self, waits: bool, moved: u64, now: Instant) -> Result<Option<Instant>, TooSlow> {
        if let Some(since) = self.waits_since.take() {
            self.waited += now.saturating_duration_since(since);
        }
        if self.waited >= PACE_WINDOW {
            if moved - self.moved_before < self.bytes_per_second_min * PACE_WINDOW.as_secs() {
                return Err(TooSlow);
            }
            self.waited = Duration::ZERO;
        }
        if !waits {
            return Ok(None);
        }
        if self.waited.is_zero() {
            // What went before we had to wait says nothing about the pace: buffers swallow it at once.
            self.moved_before = moved;
        }
        self.waits_since = Some(now);
        Ok(Some(now + (PACE_WINDOW - self.waited)))
    }

    /// Whether there is anything to check.
    pub(super) fn is_demanded(&self) -> bool {
        self.bytes_per_second_min > 0
    }
}

/// A peer was slower than allowed.
#[derive(Debug)]
pub(super) struct TooSlow;
