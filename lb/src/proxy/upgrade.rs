//! What follows a target's 101: bytes both ways, until both sides have ended.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use super::account::Account;
use super::attempt::Reached;
use super::buffers::Shelf;
use super::client::{Client, Next};
use super::desk::Desk;
use super::error::Failure;
use super::flow::{Flow, FlowError};
use crate::stream::Stream;
use crate::telemetry::EndReason;

/// One direction of a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Bytes may still come.
    Open,
    /// The end was reached, and is to be said to the other side.
    Ending,
    /// Over.
    Ended,
}

/// Carries bytes both ways. An end of stream on one side is carried across, while the other goes on.
pub(super) async fn tunnel<S: Stream>(
    client: &mut Client<S>,
    desk: &mut Desk,
    reached: Reached,
    account: &mut Account,
) -> Result<Next, Failure> {
    let Reached { front, mut link, .. } = reached;
    let idle_timeout = front.frontend.listener.tunnel_idle_timeout;
    desk.up.switch();
    account.end = EndReason::TunnelClosed;
    let (mut upward, mut downward) = (Way::Open, Way::Open);
    let mut moved_before = u64::MAX;
    poll_fn(|cx| {
        let (io, target, shelf) = (&mut client.io, &mut link.stream, &client.local.shelf);
        let up = poll_way(cx, &mut upward, &mut desk.up, io, target, shelf);
        let down = poll_way(cx, &mut downward, &mut desk.down, target, io, shelf);
        if up.is_err() || down.is_err() || (upward, downward) == (Way::Ended, Way::Ended) {
            return Poll::Ready(());
        }
        let moved = desk.up.read_bytes + desk.up.written_bytes + desk.down.read_bytes + desk.down.written_bytes;
        if moved != moved_before {
            moved_before = moved;
            let now = Instant::now();
            if desk.down.written_bytes > 0 {
                account.first_sent_at.get_or_insert(now);
            }
            client.deadline.set(Some(now + idle_timeout));
        }
        client.poll_end(cx).map(drop)
    })
    .await;
    if client.tether.is_cut() {
        account.end = EndReason::Cut;
    }
    Ok(Next::Close)
}

fn poll_way<R: Stream, W: Stream>(
    cx: &mut Context<'_>,
    way: &mut Way,
    flow: &mut Flow,
    from: &mut R,
    to: &mut W,
    shelf: &Shelf,
) -> Result<(), FlowError> {
    if *way == Way::Open {
        match flow.poll(cx, from, to, shelf) {
            Poll::Ready(outcome) => outcome?,
            Poll::Pending => return Ok(()),
        }
        *way = Way::Ending;
    }
    if *way == Way::Ending
        && let Poll::Ready(outcome) = Pin::new(to).poll_shutdown(cx)
    {
        outcome.map_err(|_| FlowError::Sink)?;
        *way = Way::Ended;
    }
    Ok(())
}
