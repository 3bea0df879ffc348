//! The cells of each thing that is counted: a listener, its route to a group, a group, a backend, a worker.

use super::{Counter, EndReason, Gauge, Histogram, Sharded};

/// The class of a status, `1xx` to `5xx`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodeClass(u8);

impl CodeClass {
    /// The label of each class, in order.
    pub const LABELS: [&'static str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

    /// The class of a status; what lies outside of 100 to 599 counts as `5xx`.
    pub fn of(status: u16) -> Self {
        Self(if (100..600).contains(&status) { (status / 100 - 1) as u8 } else { 4 })
    }

    fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// Counts by class of status.
#[derive(Debug, Default)]
pub struct ByClass([Counter; CodeClass::LABELS.len()]);

impl ByClass {
    /// Counts one answer.
    pub fn add(&self, class: CodeClass) {
        self.0[class.index()].add(1);
    }

    /// The count of each class, in the order of [`CodeClass::LABELS`].
    pub fn get(&self) -> [u64; CodeClass::LABELS.len()] {
        self.0.each_ref().map(Counter::get)
    }
}

/// Why a request was not compliant (`elbow_noncompliant_requests_total{class}`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum NoncompliantClass {
    /// Harmless, yet not as the RFC writes it.
    Acceptable = 0,
    /// Two servers may read its framing or routing in two ways.
    Ambiguous = 1,
    /// Malformed; refused.
    Severe = 2,
}

impl NoncompliantClass {
    /// The label of each class, in order.
    pub const LABELS: [&'static str; 3] = ["acceptable", "ambiguous", "severe"];
}

/// How a TLS handshake with a client ended (`elbow_tls_handshakes_total{result}`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum HandshakeResult {
    /// The connection is encrypted.
    Success = 0,
    /// It took too long.
    Timeout = 1,
    /// The client left.
    Left = 2,
    /// The client speaks HTTP in the clear.
    Plaintext = 3,
    /// The client and the listener have no version, cipher suite or the like in common.
    NothingInCommon = 4,
    /// The client's certificate is missing, or nobody vouches for it.
    ClientCertificate = 5,
    /// The client does not like what it was shown.
    RefusedByClient = 6,
    /// What the client sends is no handshake, or too long for one.
    Malformed = 7,
    /// The listener cannot speak TLS; the log says why.
    Unable = 8,
    /// elbow stopped.
    Cut = 9,
    /// An authority that issues certificates has seen what it looked for.
    Challenge = 10,
}

impl HandshakeResult {
    /// The label of each, in order.
    pub const LABELS: [&'static str; 11] = [
        "success",
        "timeout",
        "client_left",
        "plaintext",
        "nothing_in_common",
        "client_certificate",
        "refused_by_client",
        "malformed",
        "unable",
        "cut",
        "challenge",
    ];
}

/// How a TLS handshake with a target ended (`elbow_target_tls_handshakes_total{result}`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum TargetHandshake {
    /// The connection is encrypted, by a session of its own.
    Success = 0,
    /// The connection is encrypted, by an earlier session.
    Resumed = 1,
    /// It took too long.
    Timeout = 2,
    /// The target closed the connection.
    Left = 3,
    /// The target's certificate is not accepted.
    Certificate = 4,
    /// The target does not like what it was shown or offered.
    RefusedByTarget = 5,
    /// Both have no version, cipher suite or the like in common.
    NothingInCommon = 6,
    /// What the target sends is no handshake, or too long for one.
    Malformed = 7,
    /// What the group wants cannot be had; the log says why.
    Unable = 8,
}

impl TargetHandshake {
    /// The label of each, in order.
    pub const LABELS: [&'static str; 9] = [
        "success",
        "resumed",
        "timeout",
        "target_left",
        "certificate",
        "refused_by_target",
        "nothing_in_common",
        "malformed",
        "unable",
    ];
}

/// The kinds of sessions that are counted apart: version, and whether an earlier one was resumed.
pub const SESSION_KINDS: [[&str; 2]; 4] = [["1.2", "false"], ["1.2", "true"], ["1.3", "false"], ["1.3", "true"]];

/// Why a connection was refused for want of a PROXY protocol header (`elbow_proxy_headers_refused_total{reason}`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ProxyHeaderFault {
    /// One is required, and the peer is no trusted proxy.
    Untrusted = 0,
    /// One is required, and other bytes came.
    Missing = 1,
    /// It is none, although it begins as one.
    Malformed = 2,
    /// It did not come in time.
    TimedOut = 3,
}

impl ProxyHeaderFault {
    /// The label of each, in order.
    pub const LABELS: [&'static str; 4] = ["untrusted", "missing", "malformed", "timeout"];
}

/// Statuses of answers that elbow makes itself, in the order of their counters.
pub const LB_CODES: [u16; 16] = [200, 301, 308, 400, 404, 405, 408, 413, 414, 417, 431, 500, 502, 503, 504, 505];

/// What a listener counts.
#[derive(Debug)]
pub struct ListenerMetrics {
    /// By worker.
    pub workers: Sharded<ListenerCells>,
}

/// What a listener counts, for one worker.
#[derive(Debug, Default)]
pub struct ListenerCells {
    /// Client connections open now.
    pub connections_open: Gauge,
    /// Client connections ever accepted.
    pub connections_total: Counter,
    /// Bytes received from clients.
    pub received_bytes: Counter,
    /// Bytes sent to clients.
    pub sent_bytes: Counter,
    /// Answers made by elbow, by [`LB_CODES`].
    pub lb_responses: [Counter; LB_CODES.len()],
    /// Requests that were not compliant, by [`NoncompliantClass`].
    pub noncompliant: [Counter; NoncompliantClass::LABELS.len()],
    /// TLS handshakes, by [`HandshakeResult`].
    pub tls_handshakes: [Counter; HandshakeResult::LABELS.len()],
    /// TLS sessions, by [`SESSION_KINDS`].
    pub tls_sessions: [Counter; SESSION_KINDS.len()],
    /// Connections refused for want of a PROXY protocol header, by [`ProxyHeaderFault`].
    pub proxy_headers_refused: [Counter; ProxyHeaderFault::LABELS.len()],
}

impl ListenerMetrics {
    /// Cells for each worker.
    pub fn new(workers: usize) -> Self {
        Self { workers: Sharded::new(workers) }
    }
}

impl ListenerCells {
    /// Counts an answer that elbow made itself.
    pub fn lb_response(&self, status: u16) {
        if let Some(index) = LB_CODES.iter().position(|&code| code == status) {
            self.lb_responses[index].add(1);
        }
    }

    /// Counts a TLS handshake that led to a session.
    pub fn handshake_succeeded(&self, is_tls13: bool, is_resumed: bool) {
        self.tls_handshakes[HandshakeResult::Success as usize].add(1);
        self.tls_sessions[2 * usize::from(is_tls13) + usize::from(is_resumed)].add(1);
    }

    /// Counts a TLS handshake that led to nothing.
    pub fn handshake_failed(&self, result: HandshakeResult) {
        self.tls_handshakes[result as usize].add(1);
    }

    /// Counts a connection refused for want of a PROXY protocol header.
    pub fn proxy_header_refused(&self, fault: ProxyHeaderFault) {
        self.proxy_headers_refused[fault as usize].add(1);
    }

    /// Counts a request that was not compliant.
    pub fn noncompliant(&self, class: NoncompliantClass) {
        self.noncompliant[class as usize].add(1);
    }
}

/// What a listener's requests to one group count.
#[derive(Debug)]
pub struct RouteMetrics {
    /// By worker.
    pub workers: Sharded<RouteCells>,
}

/// What a listener's requests to one group count, for one worker.
#[derive(Debug, Default)]
pub struct RouteCells {
    /// Answers, by class, elbow's own among them.
    pub requests: ByClass,
    /// From the first byte of the request to the last of the answer.
    pub duration: Histogram,
    /// Streams, where the listener takes streams.
    pub streams: StreamCells,
}

/// What a listener's streams to one group count, for one worker.
#[derive(Debug, Default)]
pub struct StreamCells {
    ended: [Counter; Self::ENDS.len()],
    /// From accept to the end.
    pub duration: Histogram,
}

impl StreamCells {
    /// How a stream can end, in the order of the counters.
    pub const ENDS: [EndReason; 7] = [
        EndReason::Completed,
        EndReason::NoTarget,
        EndReason::ClientLeft,
        EndReason::TargetFailed,
        EndReason::Idle,
        EndReason::TargetDown,
        EndReason::Cut,
    ];

    /// Counts one that has ended.
    pub fn ended(&self, end: EndReason) {
        if let Some(index) = Self::ENDS.iter().position(|known| *known == end) {
            self.ended[index].add(1);
        }
    }

    /// How many have ended so, in the order of [`Self::ENDS`].
    pub fn ends(&self) -> [u64; Self::ENDS.len()] {
        self.ended.each_ref().map(Counter::get)
    }
}

impl RouteMetrics {
    /// Cells for each worker.
    pub fn new(workers: usize) -> Self {
        Self { workers: Sharded::new(workers) }
    }
}

/// What a target group counts.
#[derive(Debug)]
pub struct GroupMetrics {
    /// By worker.
    pub workers: Sharded<GroupCells>,
    /// Probes that passed; the checker writes it.
    pub probes_passed: Counter,
    /// Probes that failed; the checker writes it.
    pub probes_failed: Counter,
    /// Probes that failed because there was no connection; the checker writes it.
    pub probes_unconnected: Counter,
    /// How often a target was taken out for failing requests; the publisher writes it.
    pub ejections: Counter,
}

/// What a target group counts, for one worker.
#[derive(Debug, Default)]
pub struct GroupCells {
    /// From the request's last byte sent to the first byte of the target's answer.
    pub target_response: Histogram,
    /// How long connecting to a target took, for streams.
    pub target_connect: Histogram,
    /// Connections to targets that could not be made or broke before an answer.
    pub connection_errors: Counter,
    /// Requests that another attempt saved.
    pub retries_succeeded: Counter,
    /// Requests that failed although they were tried again.
    pub retries_failed: Counter,
    /// Requests refused because every target had its `connections_max` in flight and no more might wait.
    pub spillover: Counter,
    /// Requests sent to unhealthy targets because none was healthy.
    pub failed_open: Counter,
    /// Answers of targets, by class: also those of targets that are gone.
    pub answers: ByClass,
    /// Requests that were sent to a target and that none answered.
    pub unanswered: Counter,
    /// Connections to targets that could not be made.
    pub failed_connects: Counter,
    /// Answers made by elbow to requests for this group, by class: also those of listeners that are gone.
    pub lb_responses: ByClass,
    /// Requests for this group that were not compliant: also those to listeners that are gone.
    pub noncompliant: Counter,
    /// TLS handshakes with targets, by [`TargetHandshake`].
    pub tls_handshakes: [Counter; TargetHandshake::LABELS.len()],
    /// Requests that stickiness had a say in, by [`StickyResult`].
    pub sticky: [Counter; StickyResult::LABELS.len()],
}

/// What stickiness decided about a request (`elbow_sticky_requests_total{result}`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum StickyResult {
    /// It went where it was bound to.
    Bound = 0,
    /// It was not bound yet.
    Fresh = 1,
    /// It went elsewhere than it was bound to.
    Repicked = 2,
    /// It went nowhere.
    Refused = 3,
}

impl StickyResult {
    /// The label of each result, in order.
    pub const LABELS: [&'static str; 4] = ["bound", "fresh", "repicked", "refused"];
}

impl GroupCells {
    /// Counts a TLS handshake with a target.
    pub fn tls_handshake(&self, how: TargetHandshake) {
        self.tls_handshakes[how as usize].add(1);
    }

    /// Counts a request that stickiness had a say in.
    pub fn sticky(&self, result: StickyResult) {
        self.sticky[result as usize].add(1);
    }
}

impl GroupMetrics {
    /// Cells for each worker.
    pub fn new(workers: usize) -> Self {
        Self {
            workers: Sharded::new(workers),
            probes_passed: Counter::default(),
            probes_failed: Counter::default(),
            probes_unconnected: Counter::default(),
            ejections: Counter::default(),
        }
    }
}

/// What a backend answered.
#[derive(Debug)]
pub struct BackendMetrics {
    /// By worker; small, since there may be ten thousand backends.
    workers: Box<[BackendCells]>,
}

#[derive(Debug, Default)]
struct BackendCells {
    answers: ByClass,
    connections: Counter,
}

impl BackendMetrics {
    /// Cells for each worker.
    pub fn new(workers: usize) -> Self {
        Self { workers: (0..workers).map(|_| BackendCells::default()).collect() }
    }

    /// Counts one answer.
    pub fn answered(&self, worker: usize, class: CodeClass) {
        self.workers[worker].answers.add(class);
    }

    /// Counts a connection that was made for a stream.
    pub fn connected(&self, worker: usize) {
        self.workers[worker].connections.add(1);
    }

    /// Connections that were made for streams.
    pub fn connections(&self) -> u64 {
        self.workers.iter().map(|cells| cells.connections.get()).sum()
    }

    /// Answers by class, in the order of [`CodeClass::LABELS`].
    pub fn answers(&self) -> [u64; CodeClass::LABELS.len()] {
        let mut sum = [0; CodeClass::LABELS.len()];
        for cells in &self.workers {
            for (sum, count) in sum.iter_mut().zip(cells.answers.get()) {
                *sum += count;
            }
        }
        sum
    }
}

/// What a worker counts of itself.
#[derive(Debug, Default)]
pub struct WorkerMetrics {
    /// Panics that cost one connection each.
    pub panics: Counter,
    /// Connections refused because a limit on connections was reached.
    pub connections_refused: Counter,
}
