//! What a connection to a target consists of: its bytes as they are, or over TLS.

use std::io::{self, ErrorKind, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::stream::{Ahead, Stream};
use crate::tls::{Secured, TargetStream};

/// A connection to a target, in the clear or not.
pub(crate) enum Wire {
    /// In the clear.
    Plain(TcpStream),
    /// Over TLS.
    Secure(Box<TargetStream>),
}

/// Does the same with either kind.
macro_rules! either {
    ($wire:expr, $stream:ident => $what:expr) => {
        match $wire {
            Wire::Plain($stream) => $what,
            Wire::Secure($stream) => $what,
        }
    };
}

impl Wire {
    /// Whether the target has neither said anything nor closed. `thoroughly` asks the kernel; else, without an event
    /// since the last read, it costs no system call.
    pub(super) fn is_silent(&mut self, thoroughly: bool) -> bool {
        match self {
            Self::Plain(stream) if thoroughly => stream.look() == Ahead::Silence,
            Self::Plain(stream) => {
                let mut byte = [0; 1];
                matches!(stream.try_read(&mut byte), Err(error) if error.kind() == ErrorKind::WouldBlock)
            }
            Self::Secure(stream) => stream.is_silent(thoroughly),
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        either!(&mut *self, stream => Pin::new(stream).poll_read(cx, into))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        either!(&mut *self, stream => Pin::new(stream).poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(&mut *self, stream => Pin::new(stream).poll_write_vectored(cx, parts))
    }

    fn is_write_vectored(&self) -> bool {
        either!(self, stream => stream.is_write_vectored())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(&mut *self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(&mut *self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}

impl Stream for Wire {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_readable(cx))
    }

    fn look(&self) -> Ahead {
        either!(self, stream => stream.look())
    }

    fn is_reset(&self) -> bool {
        either!(self, stream => stream.is_reset())
    }

    fn local_address(&self) -> Option<SocketAddr> {
        either!(self, stream => stream.local_address())
    }

    fn socket(&self) -> Option<&TcpStream> {
        either!(self, stream => stream.socket())
    }

    fn reset_on_drop(&self) {
        either!(self, stream => stream.reset_on_drop());
    }

    fn say_goodbye(&mut self) {
        either!(self, stream => stream.say_goodbye());
    }

    fn secured(&self) -> Option<&Secured> {
        either!(self, stream => stream.secured())
    }
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Plain(_) => "Plain(..)",
            Self::Secure(_) => "Secure(..)",
        })
    }
}
