//! Buffers of bytes, and the shelf of a worker where those nobody uses are kept.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

use super::desk::Desk;
use super::pipes::Pipe;

/// Room for heads and small bodies.
pub(crate) const SMALL_BYTES: usize = 8 * 1024;
/// Room for large bodies.
const BIG_BYTES: usize = 256 * 1024;
/// Big buffers a worker may have in use or on the shelf.
const BIG_COUNT_MAX: usize = 64;
/// Desks a worker keeps on the shelf.
const DESKS_KEPT_MAX: usize = 256;

/// What connections of a worker borrow while they are at work.
#[derive(Default)]
pub(crate) struct Shelf {
    // Boxed on purpose: desks wander between the shelf and connections, and are large.
    #[expect(clippy::vec_box, reason = "a desk stays where it is while its box moves between shelf and connection")]
    desks: RefCell<Vec<Box<Desk>>>,
    big: RefCell<Vec<BigBuffer>>,
    big_count: Rc<Cell<usize>>,
    pipes: RefCell<Vec<Pipe>>,
    pipe_count: Rc<Cell<usize>>,
}

/// A big buffer. It counts as one of the worker's until it is dropped, wherever that happens.
#[derive(Debug)]
pub(crate) struct BigBuffer {
    pub(crate) buffer: Buffer,
    count: Rc<Cell<usize>>,
}

impl Drop for BigBuffer {
    fn drop(&mut self) {
        self.count.set(self.count.get() - 1);
    }
}

impl Shelf {
    /// A clean desk.
    pub(super) fn take_desk(&self) -> Box<Desk> {
        self.desks.borrow_mut().pop().unwrap_or_default()
    }

    /// Takes a desk back.
    pub(super) fn put_desk(&self, mut desk: Box<Desk>) {
        desk.clear(self);
        let mut desks = self.desks.borrow_mut();
        if desks.len() < DESKS_KEPT_MAX {
            desks.push(desk);
        }
    }

    /// A big buffer, if there is one left.
    pub(crate) fn take_big(&self) -> Option<BigBuffer> {
        if let Some(buffer) = self.big.borrow_mut().pop() {
            return Some(buffer);
        }
        let count = self.big_count.get();
        (count < BIG_COUNT_MAX).then(|| {
            self.big_count.set(count + 1);
            BigBuffer { buffer: Buffer::with_room(BIG_BYTES), count: Rc::clone(&self.big_count) }
        })
    }

    /// Takes a big buffer back.
    pub(crate) fn put_big(&self, mut big: BigBuffer) {
        big.buffer.clear();
        self.big.borrow_mut().push(big);
    }
}

impl Shelf {
    /// An empty pipe, if there is one left.
    pub(crate) fn take_pipe(&self) -> Option<Pipe> {
        let pipe = self.pipes.borrow_mut().pop();
        pipe.or_else(|| Pipe::open(&self.pipe_count))
    }

    /// Takes a pipe back. One that is not empty is of no use any more.
    pub(crate) fn put_pipe(&self, pipe: Pipe) {
        if pipe.is_empty() {
            self.pipes.borrow_mut().push(pipe);
        }
    }
}

/// Bytes that came in and are not done with.
#[derive(Debug)]
pub(crate) struct Buffer {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Buffer {
    pub(crate) fn with_room(room: usize) -> Self {
        Self { bytes: vec![0; room].into(), start: 0, end: 0 }
    }

    /// Forgets everything in it.
    pub(crate) fn clear(&mut self) {
        self.start = 0;
        self.end = 0;
    }

    /// Counts bytes at the start as done with. They stay where they are.
    pub(crate) fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
    }

    /// Makes room by forgetting what is done with and lies at or after `floor`. Nothing must be left to do.
    pub(super) fn rewind_to(&mut self, floor: usize) {
        debug_assert!(self.is_empty());
        self.start = floor.min(self.end);
        self.end = self.start;
    }

    /// Moves what is left to the front.
    pub(super) fn compact(&mut self) {
        self.bytes.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
    }

    /// Makes the buffer at least this large.
    pub(super) fn grow(&mut self, room: usize) {
        if room > self.bytes.len() {
            let mut bytes = vec![0; room];
            bytes[..self.end].copy_from_slice(&self.bytes[..self.end]);
            self.bytes = bytes.into();
        }
    }

    /// Adds bytes at the end, growing if it must.
    pub(super) fn append(&mut self, more: &[u8]) {
        self.grow(self.end + more.len());
        self.bytes[self.end..self.end + more.len()].copy_from_slice(more);
        self.end += more.len();
    }

    /// Moves bytes within the buffer, over some that are done with.
    pub(super) fn move_within(&mut self, from: std::ops::Range<usize>, to: usize) {
        self.bytes.copy_within(from, to);
    }

    /// What is left to do.
    pub(crate) fn filled(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// All bytes from the first on, those done with among them.
    pub(super) fn whole(&self) -> &[u8] {
        &self.bytes[..self.end]
    }

    /// Bytes by their place in the buffer, whether done with or not.
    pub(super) fn at(&self, range: std::ops::Range<usize>) -> &[u8] {
        self.bytes.get(range).unwrap_or_default()
    }

    /// Where what is left to do begins.
    pub(super) fn start(&self) -> usize {
        self.start
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Whether there is no room left at the end.
    pub(crate) fn is_full(&self) -> bool {
        self.end == self.bytes.len()
    }

    /// How large it is.
    pub(super) fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Reads once into the room at the end, of which there must be some. Zero is the end of the stream.
    pub(crate) fn poll_fill<R: AsyncRead + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut R,
    ) -> Poll<io::Result<usize>> {
        self.poll_fill_at_most(cx, from, usize::MAX)
    }

    /// The same, and no more than so many bytes.
    pub(crate) fn poll_fill_at_most<R: AsyncRead + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut R,
        bytes_max: usize,
    ) -> Poll<io::Result<usize>> {
        debug_assert!(!self.is_full());
        let end = self.bytes.len().min(self.end.saturating_add(bytes_max));
        // Through `ReadBuf`, for tokio then knows from a short read that the socket is drained.
        let mut room = ReadBuf::new(&mut self.bytes[self.end..end]);
        ready!(Pin::new(from).poll_read(cx, &mut room))?;
        let count = room.filled().len();
        self.end += count;
        Poll::Ready(Ok(count))
    }
}
