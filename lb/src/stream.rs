//! A byte stream as the data plane needs it: what tokio offers, and what a socket can say beyond that.

use std::io;
use std::os::fd::AsFd;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::tls::Secured;

/// A connection to a client or a target, in the clear or not.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin {
    /// Ready when a read may yield something, be it an end or an error. Needs no buffer, so that a connection that
    /// waits holds none. It may be wrong; a read tells.
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Whether events tell of it. One that is not watched yet says of itself that it is readable.
    fn is_watched(&self) -> bool {
        true
    }

    /// Makes events tell of it from now on.
    fn watch(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// What is there to be read, asked of the kernel and not of what events have told so far.
    fn look(&self) -> Ahead;

    /// Whether the peer has reset the connection, which after its end of stream no read tells any more.
    fn is_reset(&self) -> bool;

    /// Our own address, as the peer sees it.
    fn local_address(&self) -> Option<std::net::SocketAddr>;

    /// The socket itself, where its bytes are those of the stream: the kernel may move them by itself then.
    fn socket(&self) -> Option<&TcpStream> {
        None
    }

    /// Makes the coming drop reset the connection: the peer must not take what it got for the whole.
    fn reset_on_drop(&self);

    /// Says within the stream that it ends here, where there are words for that, before it is dropped.
    fn say_goodbye(&mut self) {}

    /// How it is encrypted, where it is.
    fn secured(&self) -> Option<&Secured> {
        None
    }
}

/// What is to be read next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ahead {
    /// Nothing yet.
    Silence,
    /// Bytes.
    Bytes,
    /// The end of the stream, or an error.
    End,
}

impl Stream for TcpStream {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_read_ready(cx)
    }

    fn look(&self) -> Ahead {
        look(self)
    }

    fn is_reset(&self) -> bool {
        !matches!(self.take_error(), Ok(None))
    }

    fn local_address(&self) -> Option<std::net::SocketAddr> {
        self.local_addr().ok()
    }

    fn socket(&self) -> Option<&TcpStream> {
        Some(self)
    }

    fn reset_on_drop(&self) {
        make_drop_reset(self);
    }
}

/// What a socket has to be read.
pub(crate) fn look(socket: impl AsFd) -> Ahead {
    use rustix::net::RecvFlags;
    let mut byte = [0; 1];
    match rustix::net::recv(socket, &mut byte[..], RecvFlags::PEEK | RecvFlags::DONTWAIT) {
        Ok((_, 0)) => Ahead::End,
        Ok(_) => Ahead::Bytes,
        Err(rustix::io::Errno::AGAIN) => Ahead::Silence,
        Err(_) => Ahead::End,
    }
}

/// Makes the coming close of a socket a reset.
pub(crate) fn make_drop_reset(socket: &impl AsFd) {
    // A failure leaves an ordinary close, which is all that can be had then.
    let _ = socket2::SockRef::from(socket).set_linger(Some(std::time::Duration::ZERO));
}
