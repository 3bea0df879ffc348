//! Bytes both ways between a client and a target, until both have said all, or one of the two is gone.
//!
//! An end of stream on one side is carried across while the other way goes on; a reset is carried across as a reset.
//! Where one side does not take bytes any more, what it still has to say is passed on first: a server that has answered
//! and left may have said all the same.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::account::Account;
use super::session::Session;
use super::way::{Broken, Way};
use crate::proxy::{Front, Shelf};
use crate::stream::Stream;
use crate::telemetry::EndReason;
use crate::upstream::Link;

/// How often a connection of which one side has ended is looked at for a reset, of which no event tells any more.
const RESET_LOOK: Duration = Duration::from_millis(500);

/// Carries bytes both ways; answers with how that ended.
pub(super) async fn relay<S: Stream>(
    session: &mut Session<S>,
    front: &Front,
    link: &mut Link,
    account: &mut Account,
) -> EndReason {
    let mut relay = Relay { up: Way::new(), down: Way::new(), moved: 0, moved_at: Instant::now() };
    let idle_timeout = front.frontend.listener.idle_timeout;
    let cells = front.cells(session.local.worker);
    let end = poll_fn(|cx| {
        let ended = relay.poll(cx, &mut session.io, &mut link.stream, &session.local.shelf);
        if relay.down.read_bytes > 0 && account.first_byte_at.is_none() {
            account.first_byte_at = Some(Instant::now());
        }
        account.count(cells, relay.up.read_bytes, relay.down.written_bytes);
        if let Some(end) = ended {
            return Poll::Ready(end);
        }
        if session.tether.is_cut() {
            return Poll::Ready(if session.tether.has_fallen() { EndReason::TargetDown } else { EndReason::Cut });
        }
        loop {
            let now = Instant::now();
            account.passes(relay.up.written_bytes > 0, relay.down.written_bytes > 0, now);
            let idle_at = relay.idle_since(now) + idle_timeout;
            if now >= idle_at {
                return Poll::Ready(EndReason::Idle);
            }
            if relay.is_half() {
                if session.io.is_reset() {
                    return Poll::Ready(EndReason::ClientLeft);
                }
                if link.stream.is_reset() {
                    return Poll::Ready(EndReason::TargetFailed);
                }
            }
            let look = relay.is_half().then(|| now + RESET_LOOK);
            session.deadline.set(Some(look.map_or(idle_at, |look| look.min(idle_at))));
            if session.deadline.poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    })
    .await;
    relay.up.put_back(&session.local.shelf);
    relay.down.put_back(&session.local.shelf);
    end
}

/// Both ways of a stream.
struct Relay {
    /// From the client to the target.
    up: Way,
    /// From the target to the client.
    down: Way,
    /// Bytes that had moved when it was last looked.
    moved: u64,
    /// When that had changed.
    moved_at: Instant,
}

impl Relay {
    /// Moves what can be moved; answers with how it ended, once it has.
    fn poll<C: Stream, T: Stream>(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut C,
        target: &mut T,
        shelf: &Shelf,
    ) -> Option<EndReason> {
        let up = self.up.poll(cx, client, target, shelf);
        let down = self.down.poll(cx, target, client, shelf);
        // Who cannot be read from is gone for good. Who cannot be written to may have said something before.
        match (up, down) {
            (Err(Broken::Source), _) => return Some(EndReason::ClientLeft),
            (_, Err(Broken::Source)) => return Some(EndReason::TargetFailed),
            (Err(Broken::Sink), _) if self.down.is_over() => return Some(EndReason::TargetFailed),
            (_, Err(Broken::Sink)) if self.up.is_over() => return Some(EndReason::ClientLeft),
            _ => {}
        }
        match (self.up.is_over(), self.down.is_over()) {
            (true, true) if self.up.is_broken() => Some(EndReason::TargetFailed),
            (true, true) if self.down.is_broken() => Some(EndReason::ClientLeft),
            (true, true) => Some(EndReason::Completed),
            _ => None,
        }
    }

    /// Whether one way is over and the other goes on.
    fn is_half(&self) -> bool {
        self.up.has_source_ended() || self.down.has_source_ended()
    }

    /// Since when nothing has moved.
    fn idle_since(&mut self, now: Instant) -> Instant {
        let moved = self.up.moved() + self.down.moved();
        if moved != self.moved {
            (self.moved, self.moved_at) = (moved, now);
        }
        self.moved_at
    }
}
