//! What is noted of one connection while it goes its way, and what metrics and the access log make of it at its end.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::session::Session;
use crate::proxy::Front;
use crate::state::Backend;
use crate::stream::Stream;
use crate::telemetry::{AccessRecord, EndReason, ListenerCells, STREAM_PROTOCOL};

/// What is noted of one connection.
pub(super) struct Account {
    /// By which snapshot it was served last.
    front: Rc<Front>,
    /// How long connecting took.
    connect: Option<Duration>,
    /// When it was done.
    connected_at: Option<Instant>,
    /// When it was seen that the target had been sent something.
    sent_at: Option<Instant>,
    /// When it was seen that the client had been sent something.
    first_sent_at: Option<Instant>,
    /// When the target said its first.
    pub(super) first_byte_at: Option<Instant>,
    received_bytes: u64,
    sent_bytes: u64,
    attempts: u32,
    target: Option<(Arc<Backend>, SocketAddr)>,
}

impl Account {
    pub(super) fn open<S>(session: &Session<S>) -> Self {
        Self {
            front: session.tether.door.front(),
            connect: None,
            connected_at: None,
            sent_at: None,
            first_sent_at: None,
            first_byte_at: None,
            received_bytes: 0,
            sent_bytes: 0,
            attempts: 0,
            target: None,
        }
    }

    /// Notes which target is tried, and by which snapshot.
    pub(super) fn tries(&mut self, front: &Rc<Front>, backend: &Arc<Backend>, address: SocketAddr) {
        self.front = Rc::clone(front);
        self.attempts += 1;
        self.target = Some((Arc::clone(backend), address));
    }

    /// Notes that there is a connection to the target.
    pub(super) fn connects(&mut self, took: Duration, now: Instant) {
        (self.connect, self.connected_at) = (Some(took), Some(now));
    }

    /// Notes when bytes had first come through, each way.
    pub(super) fn passes(&mut self, is_up: bool, is_down: bool, now: Instant) {
        if is_up && self.sent_at.is_none() {
            self.sent_at = Some(now);
        }
        if is_down && self.first_sent_at.is_none() {
            self.first_sent_at = Some(now);
        }
    }

    /// Notes how many bytes the client has sent and was sent so far.
    pub(super) fn count(&mut self, cells: &ListenerCells, received_bytes: u64, sent_bytes: u64) {
        cells.received_bytes.add(received_bytes - self.received_bytes);
        cells.sent_bytes.add(sent_bytes - self.sent_bytes);
        (self.received_bytes, self.sent_bytes) = (received_bytes, sent_bytes);
    }

    /// Counts the connection, and logs it.
    pub(super) fn close<S: Stream>(self, session: &Session<S>, end: EndReason) {
        let duration = session.began_at.elapsed();
        let cells = self.front.frontend.route.workers.of(session.local.worker);
        cells.streams.ended(end);
        cells.streams.duration.observe(duration);
        if session.local.access_log().enabled() {
            session.local.access_log().submit(self.record(session, end, duration));
        }
    }

    #[cold]
    fn record<S: Stream>(self, session: &Session<S>, end: EndReason, duration: Duration) -> AccessRecord {
        let secured = session.io.secured();
        let until = |at: Instant| at.saturating_duration_since(session.began_at);
        // What passed just before the end was not noted; of who never said anything only the connection is known.
        let sent_at = self.sent_at.or(self.connected_at.filter(|_| self.received_bytes == 0));
        let sent = self.connect.map(|_| sent_at.map_or(duration, until));
        AccessRecord {
            time: SystemTime::now().checked_sub(duration).unwrap_or(SystemTime::UNIX_EPOCH),
            client: session.arrival.source,
            listener: self.front.frontend.listener.name.clone(),
            load_balancer: self.front.frontend.load_balancer.clone(),
            destination: self.front.frontend.socket.address,
            method: Box::default(),
            host: None,
            path: Box::default(),
            protocol: STREAM_PROTOCOL,
            status: None,
            target_status: None,
            received_bytes: self.received_bytes,
            received_body_bytes: self.received_bytes,
            sent_bytes: self.sent_bytes,
            sent_body_bytes: self.sent_bytes,
            duration,
            sent,
            first_byte: self.first_byte_at.map(until),
            first_sent: self.first_byte_at.map(|_| self.first_sent_at.map_or(duration, until)),
            connect: self.connect,
            target_group: Some(self.front.frontend.pool.group.name.clone()),
            target: self.target.as_ref().map(|(backend, _)| backend.target.clone()),
            target_address: self.target.map(|(_, address)| address),
            attempts: self.attempts,
            user_agent: None,
            referer: None,
            request_id: Box::default(),
            tls_version: secured.map(|secured| secured.version),
            tls_cipher: secured.map(|secured| secured.cipher),
            tls_server_name: secured.and_then(|secured| secured.server_name.clone()),
            end,
        }
    }
}
