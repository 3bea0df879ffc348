//! The access log: what is remembered of a request, and the handle through which workers hand it to the thread
//! that writes it. Workers never wait: the queue is bounded, and what does not fit is dropped and counted.
//!
//! Not here: what a line looks like (`format_*`), writing and buffering (`writer`).

mod format_combined;
mod format_elb_classic;
mod format_json;
mod writer;

use std::fs::{File, OpenOptions};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use super::Counter;
use crate::model::{self, AccessLogDestination, AccessLogFormat, GroupName, ListenerName, TargetId};
pub use writer::AccessLogThread;
use writer::{Output, Sink};

/// How many records may wait for the writing thread.
const QUEUE_RECORDS_MAX: usize = 8192;

/// The protocol of a record that is about a stream and not a request.
pub const STREAM_PROTOCOL: &str = "TCP";

/// What is remembered of one request, or of one TCP stream.
///
/// Bytes are as the client sent them; the formats escape what must not reach a log as it is.
#[derive(Debug, Clone)]
pub struct AccessRecord {
    /// When its first byte came.
    pub time: SystemTime,
    /// The peer of the connection.
    pub client: SocketAddr,
    /// The listener that took it.
    pub listener: ListenerName,
    /// The load balancer that the listener was made for.
    pub load_balancer: Option<Arc<str>>,
    /// Where the listener is bound; where a request names no host, the address that its client connected to.
    pub destination: SocketAddr,
    /// What the request is called: its `X-Request-Id`.
    pub request_id: Box<[u8]>,
    /// The method. Empty when the head was not understood.
    pub method: Box<[u8]>,
    /// The host that was asked for.
    pub host: Option<Box<[u8]>>,
    /// The request target: path and query, as it was sent.
    pub path: Box<[u8]>,
    /// The protocol, as in `HTTP/1.1`.
    pub protocol: &'static str,
    /// The version of TLS, as in `TLSv1.3`; none: it came in the clear.
    pub tls_version: Option<&'static str>,
    /// The cipher suite, as OpenSSL calls it.
    pub tls_cipher: Option<&'static str>,
    /// The name that was asked for in the handshake.
    pub tls_server_name: Option<Box<str>>,
    /// The status of the answer; none when the client left before one began.
    pub status: Option<u16>,
    /// The status of the target's answer, whatever the client was told.
    pub target_status: Option<u16>,
    /// Bytes received from the client, head and body.
    pub received_bytes: u64,
    /// Bytes received from the client, body alone.
    pub received_body_bytes: u64,
    /// Bytes sent to the client, head and body.
    pub sent_bytes: u64,
    /// Bytes sent to the client, body alone.
    pub sent_body_bytes: u64,
    /// From the first byte of the request to the last of the answer.
    pub duration: Duration,
    /// Until the request had been sent to the target that answered; of a stream, until its first byte was.
    pub sent: Option<Duration>,
    /// From the first byte of the request to the first byte of the target's answer.
    pub first_byte: Option<Duration>,
    /// Until the client was sent the first byte of the target's answer.
    pub first_sent: Option<Duration>,
    /// How long connecting to the target took; none when a kept connection was used.
    pub connect: Option<Duration>,
    /// The group that was to answer.
    pub target_group: Option<GroupName>,
    /// The target that answered, or was tried last.
    pub target: Option<TargetId>,
    /// The address of that target.
    pub target_address: Option<SocketAddr>,
    /// How many targets were tried.
    pub attempts: u32,
    /// The client's `User-Agent`.
    pub user_agent: Option<Box<[u8]>>,
    /// The client's `Referer`.
    pub referer: Option<Box<[u8]>>,
    /// How it ended.
    pub end: EndReason,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EndReason {
    /// A target's answer was sent to its end.
    Completed,
    /// elbow answered by itself, because of the request.
    Refused,
    /// elbow answered by itself, because no target did.
    NoTarget,
    /// The client reset the connection or left.
    ClientLeft,
    /// The client was too slow, or silent for too long.
    ClientTimeout,
    /// The target broke off its answer, or sent what is no answer.
    TargetFailed,
    /// The target was silent for too long.
    TargetTimeout,
    /// A tunnel (WebSocket) ended.
    TunnelClosed,
    /// Neither side of a stream said anything for too long.
    Idle,
    /// A stream was reset because its target became unhealthy.
    TargetDown,
    /// elbow stopped, or the target left for good, before the answer was complete.
    Cut,
}

impl EndReason {
    /// As written in the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Refused => "refused",
            Self::NoTarget => "no_target",
            Self::ClientLeft => "client_left",
            Self::ClientTimeout => "client_timeout",
            Self::TargetFailed => "target_failed",
            Self::TargetTimeout => "target_timeout",
            Self::TunnelClosed => "tunnel_closed",
            Self::Idle => "idle",
            Self::TargetDown => "target_down",
            Self::Cut => "cut",
        }
    }
}

/// Takes records from workers. Cheap to clone.
#[derive(Debug, Clone)]
pub struct AccessLog {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    enabled: AtomicBool,
    queue: SyncSender<Message>,
    dropped: Counter,
    // Held to look at the settings or hand over a sink, never across a write, so a std mutex is enough.
    control: Mutex<Control>,
}

/// What the writing thread is told beside records.
#[derive(Debug)]
struct Control {
    settings: model::AccessLog,
    next: Option<Sink>,
    stop: bool,
}

/// What the queue carries.
#[derive(Debug)]
enum Message {
    Record(Box<AccessRecord>),
    /// Look at [`Control`]. It may be lost when the queue is full: then the thread is awake and looks anyway.
    Look,
}

impl AccessLog {
    /// Opens the log and starts the thread that writes it.
    ///
    /// # Errors
    /// When the file cannot be opened or the thread not be started.
    pub fn start(settings: &model::AccessLog) -> io::Result<(Self, AccessLogThread)> {
        let sink = open(settings)?;
        let (queue, records) = sync_channel(QUEUE_RECORDS_MAX);
        let control = Control { settings: settings.clone(), next: None, stop: false };
        let shared = Arc::new(Shared {
            enabled: AtomicBool::new(settings.destination != AccessLogDestination::Off),
            queue,
            dropped: Counter::default(),
            control: Mutex::new(control),
        });
        let thread = AccessLogThread::start(Arc::clone(&shared), records, sink)?;
        Ok((Self { shared }, thread))
    }

    /// Sees whether a log could be opened so, without using it.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn check(settings: &model::AccessLog) -> io::Result<()> {
        open(settings).map(drop)
    }

    /// Whether records are wanted at all. Ask before making one.
    pub fn enabled(&self) -> bool {
        self.shared.enabled.load(Relaxed)
    }

    /// Hands a record over, without ever waiting: when the queue is full it is dropped and counted.
    pub fn submit(&self, record: AccessRecord) {
        if self.shared.queue.try_send(Message::Record(Box::new(record))).is_err() {
            self.shared.dropped.add_shared(1);
        }
    }

    /// Takes over other settings. Records in the queue are written by the new ones.
    ///
    /// # Errors
    /// When the file cannot be opened; then the old settings hold.
    pub fn configure(&self, settings: &model::AccessLog) -> io::Result<()> {
        if self.shared.control().settings == *settings {
            return Ok(());
        }
        self.switch(settings)
    }

    /// Opens the file again, after somebody moved it away.
    ///
    /// # Errors
    /// When it cannot be opened; then the old one stays in use.
    pub fn reopen(&self) -> io::Result<()> {
        let settings = self.shared.control().settings.clone();
        self.switch(&settings)
    }

    /// Records that were lost, because the queue was full or a write failed.
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.get()
    }

    fn switch(&self, settings: &model::AccessLog) -> io::Result<()> {
        let sink = open(settings)?;
        let mut control = self.shared.control();
        control.settings = settings.clone();
        control.next = Some(sink);
        drop(control);
        self.shared.look();
        // Last, so that the thread has the new sink before a record meant for it.
        self.shared.enabled.store(settings.destination != AccessLogDestination::Off, Relaxed);
        Ok(())
    }
}

impl Shared {
    fn control(&self) -> MutexGuard<'_, Control> {
        self.control.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the thread, so that it looks at [`Control`].
    fn look(&self) {
        // A full queue is no loss: see [`Message::Look`].
        let _ = self.queue.try_send(Message::Look);
    }
}

fn open(settings: &model::AccessLog) -> io::Result<Sink> {
    let output = match &settings.destination {
        AccessLogDestination::Off => Output::Nowhere,
        AccessLogDestination::Stdout => Output::Stdout,
        AccessLogDestination::File(path) => Output::File(append_to(path)?),
    };
    let format = match settings.format {
        AccessLogFormat::Json => format_json::write_line,
        AccessLogFormat::Combined => format_combined::write_line,
        AccessLogFormat::ElbClassic => format_elb_classic::write_line,
    };
    Ok(Sink { output, format })
}

fn append_to(path: &std::path::Path) -> io::Result<File> {
    let opened = OpenOptions::new().create(true).append(true).open(path);
    opened.map_err(|source| io::Error::new(source.kind(), format!("access log {}: {source}", path.display())))
}
