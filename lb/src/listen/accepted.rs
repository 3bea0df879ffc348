//! A connection that was just accepted, of which the event loop learns only once somebody has to wait for it. One that
//! brings its request along, is answered and closed costs no registration then: on short connections that, and the
//! events of it, are a tenth of all work.

use std::io::{self, IoSlice, Read, Write};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::stream::{Ahead, Stream, look, make_drop_reset};

/// A connection that was just accepted.
#[derive(Debug)]
pub(super) enum Accepted {
    /// The event loop does not know it.
    Unwatched(std::net::TcpStream),
    /// As any other connection.
    Watched(TcpStream),
    /// The event loop could not take it.
    Lost,
}

/// Does it with the socket, which is of one type or the other.
macro_rules! either {
    ($self:expr, $stream:ident => $with:expr, $lost:expr) => {
        match $self {
            Accepted::Unwatched($stream) => $with,
            Accepted::Watched($stream) => $with,
            Accepted::Lost => $lost,
        }
    };
}

impl Accepted {
    /// The stream as the event loop knows it.
    fn watched(&mut self) -> io::Result<&mut TcpStream> {
        self.watch()?;
        match self {
            Self::Watched(stream) => Ok(stream),
            Self::Unwatched(_) | Self::Lost => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// What can be done at once.
    fn at_once<T>(&mut self, mut act: impl FnMut(&mut std::net::TcpStream) -> io::Result<T>) -> Option<io::Result<T>> {
        let Self::Unwatched(stream) = self else { return None };
        loop {
            match act(stream) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                done => return Some(done),
            }
        }
    }
}

impl AsyncRead for Accepted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.at_once(|stream| stream.read(into.initialize_unfilled())) {
            Some(count) => Poll::Ready(count.map(|count| into.advance(count))),
            None => Pin::new(self.watched()?).poll_read(cx, into),
        }
    }
}

impl AsyncWrite for Accepted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.at_once(|stream| stream.write(bytes)) {
            Some(written) => Poll::Ready(written),
            None => Pin::new(self.watched()?).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.at_once(|stream| stream.write_vectored(parts)) {
            Some(written) => Poll::Ready(written),
            None => Pin::new(self.watched()?).poll_write_vectored(cx, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.at_once(|stream| stream.shutdown(std::net::Shutdown::Write)) {
            Some(outcome) => Poll::Ready(outcome),
            None => Pin::new(self.watched()?).poll_shutdown(cx),
        }
    }
}

impl Stream for Accepted {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Watched(stream) => stream.poll_readable(cx),
            Self::Unwatched(_) | Self::Lost => Poll::Ready(Ok(())),
        }
    }

    fn is_watched(&self) -> bool {
        !matches!(self, Self::Unwatched(_))
    }

    fn watch(&mut self) -> io::Result<()> {
        *self = match std::mem::replace(self, Self::Lost) {
            Self::Unwatched(stream) => Self::Watched(TcpStream::from_std(stream)?),
            other => other,
        };
        Ok(())
    }

    fn look(&self) -> Ahead {
        either!(self, stream => look(stream), Ahead::End)
    }

    fn is_reset(&self) -> bool {
        either!(self, stream => !matches!(stream.take_error(), Ok(None)), true)
    }

    fn local_address(&self) -> Option<SocketAddr> {
        either!(self, stream => stream.local_addr().ok(), None)
    }

    fn reset_on_drop(&self) {
        either!(self, stream => make_drop_reset(stream), ());
    }
}
