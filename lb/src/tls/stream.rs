//! A connection over TLS as the data plane needs it.
//!
//! Records are decrypted and encrypted in room that the connections of a worker share, so that one that waits holds
//! no buffer. What is told as written has left for the kernel, as on any other connection: of plaintext whose
//! ciphertext the kernel has not taken to its end, the last byte is told only once it has.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use rustls::server::UnbufferedServerConnection;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

use super::Scratch;
use super::peer::Secured;
use super::scratch::RECORD_PLAIN_BYTES;
use super::session::{self, Progress, Session, take_in};
use crate::stream::{Ahead, Stream};

/// Plaintext that is encrypted at once, at most, while the peer takes all of it.
const BURST_BYTES_MAX: usize = 4 * RECORD_PLAIN_BYTES;
/// What is read of the socket beyond what the reader has room for: heads of records, tags.
const OVERHEAD_BYTES: usize = 1024;
/// How often a peer is listened to before it counts as one that talks.
const NOTES_MAX: usize = 4;
/// The least that is read of the socket at once.
const READ_BYTES_MIN: usize = 4096;

/// A connection over TLS.
pub(crate) struct TlsStream<S = UnbufferedServerConnection> {
    stream: TcpStream,
    session: Box<S>,
    scratch: Rc<Scratch>,
    secured: Box<Secured>,
    /// Records that are not whole yet.
    incoming: Vec<u8>,
    /// Decrypted, and not read yet from `plain_at` on.
    plain: Vec<u8>,
    plain_at: usize,
    /// Encrypted, and not sent yet from `outgoing_at` on.
    outgoing: Vec<u8>,
    outgoing_at: usize,
    /// The last byte of what is in `outgoing` has not been told as written.
    owes_byte: bool,
    /// How much to encrypt at once.
    burst: usize,
    has_ended: bool,
    has_said_goodbye: bool,
    /// The next read fails: the session broke after what was read last.
    broken: Option<io::ErrorKind>,
}

impl<S: Session> TlsStream<S> {
    /// A connection whose handshake is done; `plain` has come after it already.
    pub(super) fn new(
        stream: TcpStream,
        session: Box<S>,
        scratch: Rc<Scratch>,
        secured: Box<Secured>,
        incoming: Vec<u8>,
        plain: Vec<u8>,
    ) -> Self {
        Self {
            stream,
            session,
            scratch,
            secured,
            incoming,
            plain,
            plain_at: 0,
            outgoing: Vec::new(),
            outgoing_at: 0,
            owes_byte: false,
            burst: RECORD_PLAIN_BYTES,
            has_ended: false,
            has_said_goodbye: false,
            broken: None,
        }
    }

    /// The peer has said already that nothing more comes from it.
    pub(super) fn ends_behind_what_came(&mut self) {
        self.has_ended = true;
    }

    /// Whether it is TLS 1.3, and not 1.2.
    pub(crate) fn is_tls13(&self) -> bool {
        self.secured.is_tls13
    }

    /// Whether an earlier session was resumed.
    pub(crate) fn is_resumed(&self) -> bool {
        self.secured.is_resumed
    }

    /// Whether the peer has neither said anything nor closed. What it says of the session itself, as tickets for the
    /// next one, counts for nothing. `thoroughly` asks the kernel; else, without an event since the last read, it costs
    /// no system call.
    pub(crate) fn is_silent(&mut self, thoroughly: bool) -> bool {
        for _ in 0..NOTES_MAX {
            if !self.plain.is_empty() || self.has_ended || self.broken.is_some() {
                return false;
            }
            let look = || match self.stream.look() {
                Ahead::Silence => Err(io::ErrorKind::WouldBlock.into()),
                ahead => Ok(ahead),
            };
            let ahead = if thoroughly { look() } else { self.stream.try_io(Interest::READABLE, look) };
            match ahead {
                Ok(Ahead::Bytes) => {}
                // A part of a record may be a part of anything.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return self.incoming.is_empty(),
                _ => return false,
            }
            let mut nobody = Context::from_waker(Waker::noop());
            if !matches!(self.poll_take_in(&mut nobody, &mut ReadBuf::new(&mut [])), Poll::Ready(Ok(()))) {
                return false;
            }
        }
        false
    }

    /// Hands out plaintext that is there already.
    fn read_plain(&mut self, into: &mut ReadBuf<'_>) {
        let rest = &self.plain[self.plain_at..];
        let count = rest.len().min(into.remaining());
        into.put_slice(&rest[..count]);
        self.plain_at += count;
        if self.plain_at == self.plain.len() {
            (self.plain, self.plain_at) = (Vec::new(), 0);
        }
    }

    /// Reads the socket once and decrypts what is whole, into `into` first.
    fn poll_take_in(&mut self, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { stream, session, incoming, plain, outgoing, .. } = self;
        let outcome = ready!(self.scratch.with(|room, _| {
            let held = incoming.len();
            let end = (held + into.remaining().max(READ_BYTES_MIN) + OVERHEAD_BYTES).min(room.len());
            if held >= end {
                return Poll::Ready(Err(io::Error::from(io::ErrorKind::InvalidData)));
            }
            let mut unread = ReadBuf::new(&mut room[held..end]);
            ready!(Pin::new(stream).poll_read(cx, &mut unread))?;
            let count = unread.filled().len();
            if count == 0 {
                // Whoever ends a stream says so within it; this may be somebody in between who cut it.
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            room[..held].copy_from_slice(incoming);
            let records = &mut room[..held + count];
            let (taken, outcome) = take_in(&mut **session, records, outgoing, |bytes| {
                let (fits, rest) = bytes.split_at(bytes.len().min(into.remaining()));
                into.put_slice(fits);
                plain.extend_from_slice(rest);
            });
            let rest = &room[taken..held + count];
            if rest.is_empty() {
                *incoming = Vec::new();
            } else {
                incoming.clear();
                incoming.extend_from_slice(rest);
            }
            Poll::Ready(Ok(outcome))
        }))?;
        match outcome {
            Ok(Progress::Open) => {}
            Ok(Progress::Ended) => self.has_ended = true,
            Err(error) => {
                tracing::debug!(%error, "a session broke");
                self.broken = Some(io::ErrorKind::InvalidData);
            }
        }
        // Answers to the session itself, as far as the kernel takes them now; what is left goes with the next write.
        let _ = self.poll_send(cx)?;
        Poll::Ready(Ok(()))
    }

    /// Sends what is encrypted.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.outgoing_at < self.outgoing.len() {
            let rest = &self.outgoing[self.outgoing_at..];
            match ready!(Pin::new(&mut self.stream).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.outgoing_at += count,
            }
        }
        (self.outgoing, self.outgoing_at) = (Vec::new(), 0);
        Poll::Ready(Ok(()))
    }

    /// Encrypts and sends, as much as is good at once. Nothing must be waiting to be sent.
    fn poll_encrypt(&mut self, cx: &mut Context<'_>, parts: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let Self { stream, session, incoming, outgoing, burst, .. } = self;
        let mut plain = Parts { parts, at: 0, left: parts.iter().map(|part| part.len()).sum::<usize>().min(*burst) };
        let count = plain.left;
        if count == 0 {
            return Poll::Ready(Ok(0));
        }
        let outcome = self.scratch.with(|room, gathered| {
            let mut used = 0;
            while plain.left > 0 {
                let records = plain.next(gathered);
                let Some(written) = session::encrypt(&mut **session, incoming, records, &mut room[used..], outgoing)
                else {
                    return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
                };
                used += written;
            }
            let mut sent = 0;
            // What rustls had to say itself goes first.
            while outgoing.is_empty() && sent < used {
                match Pin::new(&mut *stream).poll_write(cx, &room[sent..used]) {
                    Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    Poll::Ready(Ok(count)) => sent += count,
                    Poll::Ready(Err(error)) if sent == 0 => return Poll::Ready(Err(error)),
                    // Whole records may be out: who is told of nothing written may say it again. The next write fails.
                    Poll::Ready(Err(_)) | Poll::Pending => break,
                }
            }
            outgoing.extend_from_slice(&room[sent..used]);
            Poll::Ready(Ok(()))
        });
        ready!(outcome)?;
        match self.poll_send(cx) {
            Poll::Ready(Ok(())) => {
                self.burst = (self.burst * 2).min(BURST_BYTES_MAX);
                return Poll::Ready(Ok(count));
            }
            Poll::Ready(Err(error)) if count == 1 => return Poll::Ready(Err(error)),
            Poll::Ready(Err(_)) | Poll::Pending => {}
        }
        self.burst = RECORD_PLAIN_BYTES;
        self.owes_byte = true;
        if count == 1 { Poll::Pending } else { Poll::Ready(Ok(count - 1)) }
    }

    fn poll_write_parts(&mut self, cx: &mut Context<'_>, parts: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        ready!(self.poll_send(cx))?;
        if std::mem::take(&mut self.owes_byte) {
            return Poll::Ready(Ok(1));
        }
        self.poll_encrypt(cx, parts)
    }

    fn prepare_goodbye(&mut self) {
        if !std::mem::replace(&mut self.has_said_goodbye, true) {
            session::say_goodbye(&mut *self.session, &mut self.incoming, &mut self.outgoing);
        }
    }
}

/// Plaintext in parts, on its way to be encrypted.
struct Parts<'a> {
    parts: &'a [IoSlice<'a>],
    /// What is taken of the first of `parts`.
    at: usize,
    /// How much is to be encrypted still.
    left: usize,
}

impl<'a> Parts<'a> {
    /// What makes the next records: whole ones straight from a part, else what can be gathered for one.
    fn next<'g>(&mut self, gathered: &'g mut [u8]) -> &'g [u8]
    where
        'a: 'g,
    {
        let whole = self.first().len() / RECORD_PLAIN_BYTES * RECORD_PLAIN_BYTES;
        if whole > 0 || self.first().len() == self.left {
            let take = if whole > 0 { whole } else { self.left };
            let records = &self.first()[..take];
            self.advance(take);
            return records;
        }
        let mut count = 0;
        while self.left > 0 && count < RECORD_PLAIN_BYTES {
            let take = self.first().len().min(RECORD_PLAIN_BYTES - count);
            gathered[count..count + take].copy_from_slice(&self.first()[..take]);
            self.advance(take);
            count += take;
        }
        &gathered[..count]
    }

    fn first(&self) -> &'a [u8] {
        let rest = self.parts.first().map_or(&[][..], |part| &part[self.at..]);
        &rest[..rest.len().min(self.left)]
    }

    fn advance(&mut self, count: usize) {
        self.at += count;
        self.left -= count;
        while self.parts.first().is_some_and(|part| self.at >= part.len()) {
            self.at = 0;
            self.parts = &self.parts[1..];
        }
    }
}

impl<S: Session> AsyncRead for TlsStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        loop {
            if !self.plain.is_empty() {
                self.read_plain(into);
            }
            if into.filled().len() > before || into.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            if let Some(kind) = self.broken {
                return Poll::Ready(Err(kind.into()));
            }
            if self.has_ended {
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_take_in(cx, into))?;
        }
    }
}

impl<S: Session> AsyncWrite for TlsStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_parts(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_parts(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_send(cx)
    }

    /// Says that nothing more comes, within the session and below it.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.prepare_goodbye();
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl<S: Session> Stream for TlsStream<S> {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.plain.is_empty() || self.has_ended || self.broken.is_some() {
            return Poll::Ready(Ok(()));
        }
        self.stream.poll_readable(cx)
    }

    fn look(&self) -> Ahead {
        if !self.plain.is_empty() {
            return Ahead::Bytes;
        }
        if self.has_ended || self.broken.is_some() {
            return Ahead::End;
        }
        self.stream.look()
    }

    fn is_reset(&self) -> bool {
        self.stream.is_reset()
    }

    fn local_address(&self) -> Option<std::net::SocketAddr> {
        self.stream.local_address()
    }

    fn reset_on_drop(&self) {
        self.stream.reset_on_drop();
    }

    fn say_goodbye(&mut self) {
        // In the middle of a record nothing more can be said.
        if self.outgoing.is_empty() {
            self.prepare_goodbye();
            // A client that has no room for it does not listen any more.
            let _ = self.stream.try_write(&self.outgoing);
        }
    }

    fn secured(&self) -> Option<&Secured> {
        Some(&self.secured)
    }
}
