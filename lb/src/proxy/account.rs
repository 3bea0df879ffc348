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
    /// When the first byte of the target's answer came.
    pub(super) first_byte_at: Option<Instant>,
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
            first_byte_at: None,
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
        AccessRecord {
            time: SystemTime::now().checked_sub(duration).unwrap_or(SystemTime::UNIX_EPOCH),
            client: client.arrival.source,
            listener: front.frontend.listener.name.clone(),
            request_id: desk.request_id.bytes(bytes).into(),
            method: if is_understood { request.method_name.of(bytes).into() } else { Box::default() },
            host: request.host.filter(|_| is_understood).map(|host| host.of(bytes).into()),
            path: if is_understood { request.target.of(bytes).into() } else { Box::default() },
            protocol: if request.version == Version::Http10 { "HTTP/1.0" } else { "HTTP/1.1" },
            tls_version: secured.map(|secured| secured.version),
            tls_cipher: secured.map(|secured| secured.cipher),
            tls_server_name: secured.and_then(|secured| secured.server_name.clone()),
            status: self.status,
            received_bytes: client.io.received - self.received_before - desk.up.buffer.filled().len() as u64,
            sent_bytes: sent,
            sent_body_bytes: desk.down.body_bytes.min(sent),
            duration,
            first_byte: self.first_byte_at.map(|at| at.saturating_duration_since(client.began_at)),
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
