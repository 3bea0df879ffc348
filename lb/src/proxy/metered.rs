//! A client's stream that counts what passes.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::door::Front;
use crate::stream::{Ahead, Stream};
use crate::tls::Secured;

/// A client's stream that counts what passes, for its connection and for its listener.
pub(super) struct Metered<S> {
    stream: S,
    front: Rc<Front>,
    worker: usize,
    /// Bytes received so far.
    pub(super) received: u64,
    /// Bytes sent so far.
    pub(super) sent: u64,
}

impl<S> Metered<S> {
    pub(super) fn new(stream: S, front: Rc<Front>, worker: usize) -> Self {
        Self { stream, front, worker, received: 0, sent: 0 }
    }

    /// Counts for another front from now on.
    pub(super) fn count_for(&mut self, front: &Rc<Front>) {
        if !Rc::ptr_eq(&self.front, front) {
            self.front = Rc::clone(front);
        }
    }

    fn count_sent(&mut self, written: &Poll<io::Result<usize>>) {
        if let Poll::Ready(Ok(count)) = written {
            self.sent += *count as u64;
            self.front.cells(self.worker).sent_bytes.add(*count as u64);
        }
    }
}

impl<S: Stream> AsyncRead for Metered<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let outcome = Pin::new(&mut self.stream).poll_read(cx, into);
        let count = (into.filled().len() - before) as u64;
        self.received += count;
        self.front.cells(self.worker).received_bytes.add(count);
        outcome
    }
}

impl<S: Stream> AsyncWrite for Metered<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.count_sent(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.count_sent(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl<S: Stream> Stream for Metered<S> {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_readable(cx)
    }

    fn is_watched(&self) -> bool {
        self.stream.is_watched()
    }

    fn watch(&mut self) -> io::Result<()> {
        self.stream.watch()
    }

    fn look(&self) -> Ahead {
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
        self.stream.say_goodbye();
    }

    fn secured(&self) -> Option<&Secured> {
        self.stream.secured()
    }
}
