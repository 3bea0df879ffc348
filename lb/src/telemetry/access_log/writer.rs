//! The thread that writes the access log: it gathers lines into one buffer and writes it when it is full or the
//! queue is empty.

use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

use super::{AccessRecord, Message, Shared};

/// A buffer this long is written although more records wait.
const BUFFER_BYTES_MAX: usize = 64 * 1024;

/// How long the thread lets records gather after a write before it waits to be woken: under load workers then
/// spend no system call on waking it.
const GATHER: Duration = Duration::from_millis(2);

/// Where lines go, and how one is written.
#[derive(Debug)]
pub(super) struct Sink {
    pub(super) output: Output,
    pub(super) format: fn(&mut Vec<u8>, &AccessRecord),
}

/// Where lines go.
#[derive(Debug)]
pub(super) enum Output {
    Nowhere,
    Stdout,
    File(File),
}

impl Output {
    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        match self {
            Self::Nowhere => Ok(()),
            Self::Stdout => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(lines)?;
                stdout.flush()
            }
            Self::File(file) => file.write_all(lines),
        }
    }
}

/// The thread that writes the access log. Whoever holds it stops it.
#[derive(Debug)]
pub struct AccessLogThread {
    shared: Arc<Shared>,
    ended: Receiver<()>,
}

impl AccessLogThread {
    pub(super) fn start(shared: Arc<Shared>, records: Receiver<Message>, sink: Sink) -> io::Result<Self> {
        let (running, ended) = sync_channel::<()>(1);
        let mut writer =
            Writer { shared: Arc::clone(&shared), records, sink, buffer: Vec::new(), lines: 0, failing: false };
        thread::Builder::new().name("access-log".into()).spawn(move || {
            writer.run();
            // Dropped at the end, however it comes: whoever waits on `ended` learns of it.
            drop(running);
        })?;
        Ok(Self { shared, ended })
    }

    /// Writes what is queued and ends the thread. Answers whether it ended in time: a standard output that nobody
    /// reads can hold it for ever.
    pub fn stop(self, within: Duration) -> bool {
        self.shared.control().stop = true;
        self.shared.look();
        self.ended.recv_timeout(within) == Err(RecvTimeoutError::Disconnected)
    }
}

struct Writer {
    shared: Arc<Shared>,
    records: Receiver<Message>,
    sink: Sink,
    buffer: Vec<u8>,
    lines: u64,
    failing: bool,
}

impl Writer {
    fn run(&mut self) {
        // `recv` fails only when every sender is gone, and this thread holds one.
        while let Ok(first) = self.records.recv() {
            let mut next = Some(first);
            while let Some(message) = next {
                self.take(message);
                next = self.records.try_recv().ok();
            }
            self.write();
            thread::sleep(GATHER);
            if self.ended() {
                return;
            }
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            // At once, so that records behind it are written by the new sink.
            Message::Look => self.write(),
            Message::Record(record) => {
                (self.sink.format)(&mut self.buffer, &record);
                self.lines += 1;
            }
        }
        if self.buffer.len() >= BUFFER_BYTES_MAX {
            self.write();
        }
    }

    /// Writes the buffer, then takes over another sink if one was handed in.
    fn write(&mut self) {
        if !self.buffer.is_empty() {
            let written = self.sink.output.write(&self.buffer);
            self.buffer.clear();
            self.note(written);
            self.lines = 0;
        }
        if let Some(next) = self.shared.control().next.take() {
            self.sink = next;
        }
    }

    /// Counts what a failed write lost, and says so once until a write succeeds again.
    fn note(&mut self, written: io::Result<()>) {
        match written {
            Ok(()) => self.failing = false,
            Err(error) => {
                self.shared.dropped.add_shared(self.lines);
                if !self.failing {
                    tracing::warn!(%error, "the access log cannot be written; lines are dropped until it can");
                }
                self.failing = true;
                // The write may have ended within a line; the next one begins on a line of its own.
                self.buffer.push(b'\n');
            }
        }
    }

    /// Whether the thread was told to stop and has written all that was queued.
    fn ended(&mut self) -> bool {
        if !self.shared.control().stop {
            return false;
        }
        while let Ok(message) = self.records.try_recv() {
            self.take(message);
        }
        self.write();
        true
    }
}
