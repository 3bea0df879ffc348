//! A request and its answer, both on their way at once, in the one task of the client's connection.
//!
//! Not here: which target it is and what happens when it fails (`retry`, `attempt`), what the heads say (`headers`),
//! and what follows once the answer is delivered (`handle`).

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::client::Client;
use super::deadline::Pace;
use super::desk::Desk;
use super::door::Front;
use super::error::Failure;
use super::flow::{FlowError, WaitsFor};
use super::headers;
use crate::http1::{Parsed, parse_response};
use crate::stream::Stream;
use crate::upstream::Link;

/// How often a client that has ended its side is looked at for a reset, of which no event tells any more.
const RESET_LOOK: Duration = Duration::from_millis(500);

/// How long a client that is not watched may wait for its answer before it is.
const WATCHED_AFTER: Duration = Duration::from_millis(10);

/// Interim answers (1xx) to one request.
const INTERIM_COUNT_MAX: u32 = 32;

/// A request and its answer on their way between a client and a target.
pub(super) struct Exchange<'a, S> {
    client: &'a mut Client<S>,
    desk: &'a mut Desk,
    link: &'a mut Link,
    front: &'a Front,
    pub(super) upload: Upload,
    /// When the request had been sent to its end.
    pub(super) sent_at: Option<Instant>,
    /// When it was seen that the client had been sent some of the answer.
    pub(super) first_written_at: Option<Instant>,
    /// What the client had been sent before.
    written_before: u64,
    interim_count: u32,
    upload_pace: Pace,
    download_pace: Pace,
    /// Since when we wait for the target without a sign of it, and what it had moved by then.
    silence: Option<(Instant, u64)>,
}

/// How far the request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Upload {
    /// On its way.
    Sending,
    /// Sent to its end.
    Sent,
    /// The target takes no more of it; it may answer all the same.
    Broken,
}

impl<'a, S: Stream> Exchange<'a, S> {
    pub(super) fn new(
        client: &'a mut Client<S>,
        desk: &'a mut Desk,
        link: &'a mut Link,
        front: &'a Front,
        upload: Upload,
    ) -> Self {
        let rate = front.frontend.listener.body_rate_min_bytes;
        let written_before = desk.down.written_bytes;
        Self {
            client,
            desk,
            link,
            front,
            upload,
            sent_at: None,
            first_written_at: None,
            written_before,
            interim_count: 0,
            upload_pace: Pace::new(rate),
            download_pace: Pace::new(rate),
            silence: None,
        }
    }

    /// Sends the request until the head of the answer is there, and parsed on the desk.
    pub(super) async fn answer(&mut self) -> Result<(), Failure> {
        poll_fn(|cx| self.poll_answer(cx)).await
    }

    /// Goes on sending the request, and passes on the answer that is staged, to its end.
    pub(super) async fn relay(&mut self) -> Result<(), Failure> {
        poll_fn(|cx| self.poll_relay(cx)).await
    }

    /// Goes on with a request whose answer is out before it was sent to its end, for as long as its target takes it:
    /// the client has not been told to stop.
    pub(super) async fn finish(&mut self) -> Upload {
        poll_fn(|cx| self.poll_finish(cx)).await;
        self.upload
    }

    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.poll_upload(cx)?;
        if let Poll::Ready(outcome) = self.poll_answer_head(cx) {
            return Poll::Ready(outcome);
        }
        self.poll_limits(cx, true).map(Err)
    }

    fn poll_relay(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        // The answer first: as a rule all of it is there, and the request was sent long ago.
        let local = &self.client.local;
        match self.desk.down.poll(cx, &mut self.link.stream, &mut self.client.io, &local.shelf) {
            Poll::Ready(outcome) => return Poll::Ready(outcome.map_err(headers::target_failure)),
            Poll::Pending => self.poll_upload(cx)?,
        }
        let waits_for_target = self.desk.down.waits_for == WaitsFor::Source;
        self.poll_limits(cx, waits_for_target).map(Err)
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.upload == Upload::Sending && self.poll_upload(cx).is_err() {
            self.upload = Upload::Broken;
        }
        if self.upload != Upload::Sending {
            return Poll::Ready(());
        }
        // Who does not move now ends the request, but not the answer: that is delivered.
        self.poll_limits(cx, false).map(|_| self.upload = Upload::Broken)
    }

    /// Sends what there is of the request; once it is sent, looks whether the client is still there.
    fn poll_upload(&mut self, cx: &mut Context<'_>) -> Result<(), Failure> {
        if self.upload != Upload::Sending {
            return self.poll_presence(cx);
        }
        let up = &mut self.desk.up;
        match up.poll(cx, &mut self.client.io, &mut self.link.stream, &self.client.local.shelf) {
            Poll::Pending => Ok(()),
            Poll::Ready(Ok(())) => {
                self.upload = Upload::Sent;
                self.poll_presence(cx)
            }
            // Not one byte has left, so the target cannot have acted on it.
            Poll::Ready(Err(FlowError::Sink)) if up.written_bytes == 0 => Err(Failure::Unsent),
            // The target may have answered before it closed: a read will tell.
            Poll::Ready(Err(FlowError::Sink)) => {
                self.upload = Upload::Broken;
                Ok(())
            }
            Poll::Ready(Err(error)) => Err(headers::client_failure(error)),
        }
    }

    /// Notices whether the client leaves while it waits. What it sends meanwhile is its next request.
    fn poll_presence(&mut self, cx: &mut Context<'_>) -> Result<(), Failure> {
        if self.is_not_yet_watched() {
            return Ok(());
        }
        let client = &mut *self.client;
        let buffer = &mut self.desk.up.buffer;
        // Of a body that nobody takes any more nothing is read here.
        while !client.has_ended && self.upload == Upload::Sent && !buffer.is_full() {
            match buffer.poll_fill(cx, &mut client.io) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(0)) => client.has_ended = true,
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(_)) => return Err(Failure::ClientLeft),
            }
        }
        // After its end of stream a client may still read. Only a reset shows that it does not.
        if client.has_ended && client.io.is_reset() { Err(Failure::ClientLeft) } else { Ok(()) }
    }

    /// Whether the client is one of those that nobody watches, because their answers are there in no time.
    fn is_not_yet_watched(&self) -> bool {
        !self.client.io.is_watched() && self.sent_at.is_none_or(|at| at.elapsed() < WATCHED_AFTER)
    }

    /// Reads until the head of the final answer is there. Interim answers are passed on.
    fn poll_answer_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        loop {
            let desk = &mut *self.desk;
            if !desk.down.out.is_empty() {
                match desk.down.poll_write(cx, &mut self.client.io) {
                    Poll::Ready(Ok(())) => desk.down.out.clear(),
                    Poll::Ready(Err(_)) => return Poll::Ready(Err(Failure::ClientLeft)),
                    Poll::Pending => return Poll::Pending,
                }
            }
            if !desk.down.is_drained() {
                let context = headers::context(desk);
                match parse_response(desk.down.filled(), &self.front.answer_limits, context, &mut desk.response) {
                    Err(refusal) => return Poll::Ready(Err(Failure::AnswerRefused(refusal))),
                    Ok(Parsed::Complete) if !desk.response.is_interim() => return Poll::Ready(Ok(())),
                    Ok(Parsed::Complete) => {
                        self.interim_count += 1;
                        if self.interim_count > INTERIM_COUNT_MAX {
                            return Poll::Ready(Err(Failure::InterimFlood));
                        }
                        headers::stage_interim(desk);
                        continue;
                    }
                    Ok(Parsed::Partial) => {}
                }
            }
            match self.poll_more_of_answer(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(failure)) => return Poll::Ready(Err(failure)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn poll_more_of_answer(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        let down = &mut self.desk.down;
        let broken =
            if down.is_drained() && self.interim_count == 0 { Failure::Unanswered } else { Failure::AnswerTruncated };
        match down.poll_fill(cx, &mut self.link.stream, &self.client.local.shelf) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(0) | Err(_)) => Poll::Ready(Err(broken)),
            Poll::Ready(Ok(_)) => Poll::Ready(Ok(())),
        }
    }

    /// Nothing moves: says whether somebody has been waited for too long, and when to look again.
    fn poll_limits(&mut self, cx: &mut Context<'_>, waits_for_answer: bool) -> Poll<Failure> {
        loop {
            let now = Instant::now();
            if self.upload == Upload::Sent {
                self.sent_at.get_or_insert(now);
            }
            if self.desk.down.written_bytes > self.written_before {
                self.first_written_at.get_or_insert(now);
            }
            match self.limits(waits_for_answer, now) {
                Ok(due) => self.client.deadline.set(due),
                Err(failure) => return Poll::Ready(failure),
            }
            if !self.client.io.is_watched()
                && let Err(failure) = self.poll_unwatched(cx, now)
            {
                return Poll::Ready(failure);
            }
            match self.client.poll_end(cx) {
                Poll::Ready(Failure::Cut) => return Poll::Ready(Failure::Cut),
                // It has passed just now, and we see above whose it was.
                Poll::Ready(_) => {}
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Has the client watched when its answer takes its time.
    fn poll_unwatched(&mut self, cx: &mut Context<'_>, now: Instant) -> Result<(), Failure> {
        let watched_at = self.sent_at.unwrap_or(now) + WATCHED_AFTER;
        if now < watched_at {
            self.client.deadline.hasten(watched_at);
            return Ok(());
        }
        self.client.io.watch().map_err(|_| Failure::ClientLeft)?;
        self.poll_presence(cx)
    }

    /// When somebody will have been waited for too long, if nothing moves.
    fn limits(&mut self, waits_for_answer: bool, now: Instant) -> Result<Option<Instant>, Failure> {
        let (up, down) = (&self.desk.up, &self.desk.down);
        let is_uploading = self.upload == Upload::Sending;
        // While the client owes us bytes, the target owes us none.
        let waits_for_target = if is_uploading { up.waits_for == WaitsFor::Sink } else { waits_for_answer };
        let moved_by_target = up.written_bytes + down.read_bytes;
        let response_timeout = self.front.frontend.pool.group.response_timeout;
        let silence = silence(&mut self.silence, waits_for_target, moved_by_target, now);
        if silence >= response_timeout {
            return Err(Failure::TargetTimedOut);
        }
        let mut due = waits_for_target.then(|| now + (response_timeout - silence));
        if self.upload_pace.is_demanded() {
            let waits = is_uploading && up.waits_for == WaitsFor::Source;
            let upload = self.upload_pace.check(waits, up.read_bytes, now).map_err(|_| Failure::ClientTooSlow)?;
            let waits = !down.out.is_empty();
            let download =
                self.download_pace.check(waits, down.written_bytes, now).map_err(|_| Failure::AnswerUnread)?;
            due = [due, upload, download].into_iter().flatten().min();
        }
        let look = self.client.has_ended.then(|| now + RESET_LOOK);
        Ok([due, look].into_iter().flatten().min())
    }
}

/// How long the target has been waited for without a sign of it.
fn silence(since: &mut Option<(Instant, u64)>, waits: bool, moved: u64, now: Instant) -> Duration {
    match since {
        Some((at, before)) if waits && *before == moved => now.saturating_duration_since(*at),
        _ => {
            *since = waits.then_some((now, moved));
            Duration::ZERO
        }
    }
}
