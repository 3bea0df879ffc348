//! Pipes in the kernel, through which bytes go from one socket to another without being copied.

use std::cell::Cell;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use tokio::io::Interest;
use tokio::net::TcpStream;

/// Room in a pipe. More is not had without privileges.
const PIPE_BYTES: usize = 1024 * 1024;
/// Pipes a worker may have in use or on the shelf. Each has two file descriptors.
const PIPES_MAX: usize = 16;

const FLAGS: SpliceFlags = SpliceFlags::MOVE.union(SpliceFlags::NONBLOCK);

/// A pipe, and what is in it. It counts as one of the worker's until it is dropped.
#[derive(Debug)]
pub(crate) struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
    filled_bytes: usize,
    count: Rc<Cell<usize>>,
}

impl Pipe {
    /// A pipe, if one more is allowed and to be had.
    pub(super) fn open(count: &Rc<Cell<usize>>) -> Option<Self> {
        if count.get() == PIPES_MAX {
            return None;
        }
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).ok()?;
        // A smaller one serves as well.
        let _ = fcntl_setpipe_size(&write, PIPE_BYTES);
        count.set(count.get() + 1);
        Some(Self { read, write, filled_bytes: 0, count: Rc::clone(count) })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.filled_bytes == 0
    }

    /// Takes what a socket has received, into an empty pipe. Zero is the end of the stream.
    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>, from: &TcpStream) -> Poll<io::Result<usize>> {
        debug_assert!(self.is_empty());
        loop {
            ready!(from.poll_read_ready(cx))?;
            // The pipe is empty, so it is the socket that has nothing.
            let taken =
                from.try_io(Interest::READABLE, || Ok(splice(from, None, &self.write, None, PIPE_BYTES, FLAGS)?));
            match taken {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                taken => {
                    self.filled_bytes += *taken.as_ref().unwrap_or(&0);
                    return Poll::Ready(taken);
                }
            }
        }
    }

    /// Gives what is in it to a socket, as far as that takes it.
    pub(crate) fn poll_drain(&mut self, cx: &mut Context<'_>, to: &TcpStream) -> Poll<io::Result<usize>> {
        loop {
            ready!(to.poll_write_ready(cx))?;
            let given =
                to.try_io(Interest::WRITABLE, || Ok(splice(&self.read, None, to, None, self.filled_bytes, FLAGS)?));
            match given {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                given => {
                    self.filled_bytes -= *given.as_ref().unwrap_or(&0);
                    return Poll::Ready(given);
                }
            }
        }
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.count.set(self.count.get() - 1);
    }
}
