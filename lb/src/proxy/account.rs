//! What is noted of one request while it goes its way, and what metrics and the access log make of it at its end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::client::Client;
use super::desk::Desk;
use super::door::Front;
use super::error::Failure;
use super::trace::Trace;
use crate::http1::Version;
use crate::state::Backend;
use crate::stream::Stream;
use crate::telemetry::{AccessRecord, CodeClass, EndReason};

/// What is noted of one request.
pub(super) struct Account {
    /// The status the client was or is to be answered with.
    pub(super) status: Option<u16>,
    /// How many targets were tried.
    pub(super) attempts: u32,
    /// How long the last connect took.
    pub(super) connect: Option<Duration>,
    /// The status of the target's answer.
    target_status: Option<u16>,
    /// Whether a target has been sent the request, or some of it.
    is_sent: bool,
    /// When the request had been sent to its end, as far as that was noted before the answer came.
    sent_at: Option<Instant>,
    /// When the head of the target's answer was there.
    first_byte_at: Option<Instant>,
    /// When the client was sent the first of it, where that was noted before the end.
    pub(super) first_sent_at: Option<Instant>,
    pub(super) end: EndReason,
    /// The target tried last. Noted only while the access log is on.
    target: Option<(Arc<Backend>, SocketAddr)>,
    /// Whether the request's head can be spoken of. One that was refused is told by its status alone.
    pub(super) is_understood: bool,
    /// When the last byte of the answer was out, where that was noted.
    pub(super) ended_at: Option<Instant>,
    /// What is noted for those who ask why, where the request is remembered.
    pub(super) trace: Option<Trace>,
    is_logged: bool,
    received_before: u64,
    sent_before: u64,
}

impl Account {
    pub(super) fn open<S: Stream>(client: &Client<S>, desk: &Desk, front: &Front, is_understood: bool) -> Self {
        // All that lies in the buffer came for this request or one after it, not for one before.
        let received_before = client.io.received - desk.up.buffer.filled().len() as u64;
        Self {
            status: None,
            attempts: 0,
            connect: None,
            target_status: None,
            is_sent: false,
            sent_at: None,
            first_byte_at: None,
            first_sent_at: None,
            end: EndReason::Completed,
            target: None,
            is_understood,
            ended_at: None,
            trace: Trace::begin(client, desk, front, is_understood),
            is_logged: client.local.access_log().enabled(),
            received_before,
            sent_before: client.io.sent,
        }
    }

    /// Notes which target is tried.
    pub(super) fn tries(&mut self, backend: &Arc<Backend>, address: SocketAddr) {
        self.attempts += 1;
        self.connect = None;
        if self.is_logged {
            self.target = Some((Arc::clone(backend), address));
        }
    }

    /// Notes that the target tried last has answered.
    pub(super) fn is_answered(&mut self, status: u16, sent_at: Option<Instant>, now: Instant) {
        (self.target_status, self.sent_at, self.first_byte_at) = (Some(status), sent_at, Some(now));
    }

    /// Notes that there is a connection to the target tried last, and no answer.
    pub(super) fn remains_unanswered(&mut self, failure: Failure, sent_at: Option<Instant>, now: Instant) {
        self.is_sent |= failure != Failure::Unsent;
        if matches!(failure, Failure::AnswerRefused(_) | Failure::InterimFlood) {
            (self.sent_at, self.first_byte_at) = (sent_at, Some(now));
        }
    }

    /// Notes what came of an attempt.
    pub(super) fn came_to(&self, outcome: Result<u16, Failure>) {
        if let Some(trace) = &self.trace {
            trace.came_to(outcome, self.connect);
        }
    }

    /// Notes what went wrong.
    pub(super) fn fails(&mut self, failure: Failure) {
        self.end = failure.end_reason();
        if let Some(trace) = &self.trace {
            trace.failed(failure);
        }
    }

    /// Counts the request, remembers it, and logs it.
    pub(super) fn close<S: Stream>(mut self, client: &Client<S>, desk: &Desk, front: &Front, now: Instant) {
        let cells = front.frontend.route.workers.of(client.local.worker);
        let duration = now.saturating_duration_since(client.began_at);
        if let Some(status) = self.status {
            cells.requests.add(CodeClass::of(status));
            cells.duration.observe(duration);
        }
        if self.is_sent && self.target_status.is_none() {
            front.group_cells(client.local.worker).unanswered.add(1);
        }
        if let Some(trace) = self.trace.take() {
            trace.end(&self, duration);
        }
        if self.is_logged {
            let record = self.record(client, desk, front, duration);
            client.local.access_log().submit(record);
        }
    }

    #[cold]
    fn record<S: Stream>(self, client: &Client<S>, desk: &Desk, front: &Front, duration: Duration) -> AccessRecord {
        let (request, bytes) = (&desk.request, desk.up.buffer.whole());
        let is_understood = self.is_understood;
        let field = |name| request.value(bytes, name).filter(|_| is_understood).map(Box::from);
        let sent = client.io.sent - self.sent_before;
        let secured = client.io.secured();
        let until = |at: Instant| at.saturating_duration_since(client.began_at);
        let listener = front.frontend.socket.address;
        let host = request.host.filter(|_| is_understood).map(|host| Box::from(host.of(bytes)));
        let own = || client.io.local_address().map_or(listener.ip(), |address| address.ip());
        let ip = if host.is_none() && is_understood { own() } else { listener.ip() };
        AccessRecord {
            time: SystemTime::now().checked_sub(duration).unwrap_or(SystemTime::UNIX_EPOCH),
            client: client.arrival.source,
            listener: front.frontend.listener.name.clone(),
            load_balancer: front.frontend.load_balancer.clone(),
            destination: SocketAddr::new(ip, listener.port()),
            request_id: desk.request_id.bytes(bytes).into(),
            method: if is_understood { request.method_name.of(bytes).into() } else { Box::default() },
            host,
            path: if is_understood { request.target.of(bytes).into() } else { Box::default() },
            protocol: if request.version == Version::Http10 { "HTTP/1.0" } else { "HTTP/1.1" },
            tls_version: secured.map(|secured| secured.version),
            tls_cipher: secured.map(|secured| secured.cipher),
            tls_server_name: secured.and_then(|secured| secured.server_name.clone()),
            status: self.status,
            target_status: self.target_status,
            received_bytes: client.io.received - self.received_before - desk.up.buffer.filled().len() as u64,
            received_body_bytes: desk.up.body_bytes,
            sent_bytes: sent,
            sent_body_bytes: desk.down.body_bytes.min(sent),
            duration,
            sent: self.sent_at.or(self.first_byte_at).map(until),
            first_byte: self.first_byte_at.map(until),
            // All of an answer that was sent at once was sent at the end.
            first_sent: self.first_byte_at.map(|_| self.first_sent_at.map_or(duration, until)),
            connect: self.connect,
            target_group: Some(front.frontend.pool.group.name.clone()),
            target: self.target.as_ref().map(|(backend, _)| backend.target.clone()),
            target_address: self.target.map(|(_, address)| address),
            attempts: self.attempts,
            user_agent: field("user-agent"),
            referer: field("referer"),
            end: self.end,
        }
    }
}
