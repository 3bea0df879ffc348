//! One direction of an exchange: bytes from one peer through one buffer to the other, re-framed on the way.
//!
//! A flow holds one piece at a time: it reads, frames what it read, and reads again once that is written. So a body
//! of any size passes through bounded memory, and who reads slowly slows down who sends. What may be large is read
//! into a big buffer, borrowed for no longer than it takes to write it on: while all goes well, every connection of
//! a worker reads into the same one, which stays in the processor's cache. Not here: deadlines (`exchange`), what
//! heads say (`headers`).

use std::io;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

use super::body::Source;
use super::buffers::{BigBuffer, Buffer, SMALL_BYTES, Shelf};
use super::outgoing::Outgoing;
use crate::http1::ChunkRefusal;
use crate::stream::Stream;

/// The least room to read into, when a long head has taken up the rest.
const READ_BYTES_MIN: usize = 2 * 1024;

/// Why a flow cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FlowError {
    /// Reading failed.
    Source,
    /// The source ended in the middle of a body.
    Truncated,
    /// The chunks of the source are malformed.
    Malformed(ChunkRefusal),
    /// The body is longer than allowed.
    TooLong,
    /// Writing failed.
    Sink,
}

/// Whom a flow that does not move waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum WaitsFor {
    #[default]
    Nobody,
    Source,
    Sink,
}

/// One direction of an exchange.
#[derive(Debug)]
pub(super) struct Flow {
    /// Heads and small bodies; and what came after the end of the message.
    pub(super) buffer: Buffer,
    /// What is about to be written.
    pub(super) out: Outgoing,
    /// Bytes of body taken from the source, without framing.
    pub(super) body_bytes: u64,
    /// Bytes written to the sink, with heads and framing.
    pub(super) written_bytes: u64,
    /// Bytes read from the source by this flow.
    pub(super) read_bytes: u64,
    pub(super) waits_for: WaitsFor,
    /// Takes the place of `buffer` while it is there.
    big: Option<BigBuffer>,
    wants_big: bool,
    /// Bytes of `buffer` before this are still referred to.
    floor: usize,
    source: Source,
    /// The source has ended where that ends the message.
    has_ended: bool,
    is_chunked_out: bool,
    body_bytes_max: u64,
}

impl Default for Flow {
    fn default() -> Self {
        Self {
            buffer: Buffer::with_room(SMALL_BYTES),
            out: Outgoing::default(),
            body_bytes: 0,
            written_bytes: 0,
            read_bytes: 0,
            waits_for: WaitsFor::Nobody,
            big: None,
            wants_big: false,
            floor: 0,
            source: Source::Done,
            has_ended: false,
            is_chunked_out: false,
            body_bytes_max: u64::MAX,
        }
    }
}

impl Flow {
    /// Forgets all of it.
    pub(super) fn clear(&mut self, shelf: &Shelf) {
        if let Some(big) = self.big.take() {
            shelf.put_big(big);
        }
        self.buffer.clear();
        self.next_message();
    }

    /// Forgets the message but not what came after it. A buffer that has grown is given up.
    pub(super) fn next_message(&mut self) {
        if self.buffer.size() > SMALL_BYTES && self.buffer.filled().len() <= SMALL_BYTES {
            let mut small = Buffer::with_room(SMALL_BYTES);
            small.append(self.buffer.filled());
            self.buffer = small;
        }
        self.buffer.compact();
        self.out.clear();
        (self.body_bytes, self.written_bytes, self.read_bytes) = (0, 0, 0);
        (self.floor, self.wants_big, self.has_ended, self.is_chunked_out) = (0, false, false, false);
        self.waits_for = WaitsFor::Nobody;
        self.source = Source::Done;
        self.body_bytes_max = u64::MAX;
    }

    /// Reads more of a head, which may bring much of a body with it: into a big buffer, if there is one left.
    pub(super) fn poll_fill<R: Stream>(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut R,
        shelf: &Shelf,
    ) -> Poll<io::Result<usize>> {
        self.wants_big = true;
        if self.is_drained() {
            self.borrow(shelf, ready!(from.poll_readable(cx)))?;
            self.active_mut().clear();
        } else if self.active().is_full() {
            // A head as long as this is kept apart, and has what room it needs.
            self.give_back(shelf);
            self.buffer.grow(self.buffer.size() * 2);
        }
        let Poll::Ready(count) = self.active_mut().poll_fill(cx, from) else {
            self.give_back(shelf);
            return Poll::Pending;
        };
        if let Ok(count) = count {
            self.read_bytes += count as u64;
        }
        Poll::Ready(count)
    }

    /// What was read and is not taken yet.
    pub(super) fn filled(&self) -> &[u8] {
        self.active().filled()
    }

    /// Where a head is written to, and what was read, to write it from.
    pub(super) fn head_of(&mut self) -> (&mut Vec<u8>, &[u8]) {
        let buffer = self.big.as_ref().map_or(&self.buffer, |big| &big.buffer);
        (&mut self.out.head, buffer.filled())
    }

    /// Whether all that was read is taken.
    pub(super) fn is_drained(&self) -> bool {
        self.active().is_empty()
    }

    /// Takes bytes off the front of what was read.
    pub(super) fn consume(&mut self, count: usize) {
        self.active_mut().consume(count);
    }

    /// Begins a message: its head stands in `out`, its body is to come from what was read and then from the source.
    /// Bytes of `buffer` before `floor` are still referred to.
    pub(super) fn begin(&mut self, source: Source, is_chunked_out: bool, floor: usize) -> Result<(), FlowError> {
        self.floor = floor;
        self.is_chunked_out = is_chunked_out;
        self.wants_big |= source.is_longer_than(SMALL_BYTES);
        self.source = source;
        self.stage()
    }

    /// Refuses a body beyond so many bytes. 0: no limit.
    pub(super) fn limit_body(&mut self, bytes_max: u64) {
        self.body_bytes_max = if bytes_max == 0 { u64::MAX } else { bytes_max };
    }

    /// From now on it is bytes until the source ends, and no message any more. What is staged is still written.
    pub(super) fn switch(&mut self) {
        self.source = Source::UntilClose;
        self.is_chunked_out = false;
        self.body_bytes_max = u64::MAX;
    }

    /// Moves what can be moved. Ready when the message has been taken and written to its end.
    pub(super) fn poll<R: Stream, W: Stream>(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut R,
        to: &mut W,
        shelf: &Shelf,
    ) -> Poll<Result<(), FlowError>> {
        loop {
            if !self.out.is_empty() {
                self.waits_for = WaitsFor::Sink;
                ready!(self.poll_write(cx, to))?;
            }
            self.waits_for = WaitsFor::Nobody;
            if self.is_source_done() {
                self.give_back(shelf);
                return Poll::Ready(Ok(()));
            }
            if self.is_drained() {
                self.waits_for = WaitsFor::Source;
                ready!(self.poll_read(cx, from, shelf))?;
            }
            self.out.clear();
            self.stage()?;
        }
    }

    /// Reads the rest of the message and drops it. Ready at its end, or once too much has been read.
    pub(super) fn poll_discard<R: Stream>(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut R,
        shelf: &Shelf,
        read_bytes_max: u64,
    ) -> Poll<Result<(), FlowError>> {
        loop {
            if self.is_source_done() {
                self.give_back(shelf);
                return Poll::Ready(Ok(()));
            }
            if self.read_bytes > read_bytes_max {
                return Poll::Ready(Err(FlowError::TooLong));
            }
            ready!(self.poll_read(cx, from, shelf))?;
            self.out.clear();
            self.stage()?;
        }
    }

    /// Writes what is staged. It stays there, to be written again if it must, until something else is staged.
    pub(super) fn poll_write<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut W,
    ) -> Poll<Result<(), FlowError>> {
        let buffer = self.big.as_ref().map_or(&self.buffer, |big| &big.buffer);
        let before = self.out.written();
        let outcome = self.out.poll_write(cx, to, buffer);
        self.written_bytes += (self.out.written() - before) as u64;
        outcome.map_err(|_| FlowError::Sink)
    }

    /// Whether the source has nothing more to give.
    pub(super) fn is_source_done(&self) -> bool {
        matches!(self.source, Source::Done)
    }

    /// Whether the first piece of the message is still there to be written again: nothing was read after it.
    pub(super) fn can_repeat(&self) -> bool {
        self.read_bytes == 0
    }

    fn active(&self) -> &Buffer {
        self.big.as_ref().map_or(&self.buffer, |big| &big.buffer)
    }

    fn active_mut(&mut self) -> &mut Buffer {
        self.big.as_mut().map_or(&mut self.buffer, |big| &mut big.buffer)
    }

    /// Borrows a big buffer for something to read, unless there is one already or none is left.
    fn borrow(&mut self, shelf: &Shelf, readable: io::Result<()>) -> io::Result<()> {
        readable?;
        if self.big.is_none() {
            self.big = shelf.take_big();
        }
        Ok(())
    }

    /// Puts a borrowed buffer back on the shelf. What is left in it is kept.
    fn give_back(&mut self, shelf: &Shelf) {
        if let Some(big) = self.big.take() {
            if self.buffer.is_empty() {
                self.buffer.rewind_to(self.floor);
            }
            if !big.buffer.is_empty() {
                self.buffer.append(big.buffer.filled());
            }
            shelf.put_big(big);
        }
    }

    /// Reads once, over what is written. A flow that has to wait for bytes holds no big buffer meanwhile.
    fn poll_read<R: Stream>(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut R,
        shelf: &Shelf,
    ) -> Poll<Result<(), FlowError>> {
        if self.wants_big {
            let readable = ready!(from.poll_readable(cx));
            self.borrow(shelf, readable).map_err(|_| FlowError::Source)?;
        }
        let floor = if self.big.is_some() { 0 } else { self.floor };
        let buffer = self.active_mut();
        buffer.rewind_to(floor);
        if buffer.size() - floor < READ_BYTES_MIN {
            buffer.grow(floor + SMALL_BYTES);
        }
        let Poll::Ready(count) = buffer.poll_fill(cx, from) else {
            self.give_back(shelf);
            return Poll::Pending;
        };
        let count = count.map_err(|_| FlowError::Source)?;
        self.wants_big |= self.active().is_full();
        self.read_bytes += count as u64;
        match (count, &self.source) {
            (0, Source::UntilClose) => self.has_ended = true,
            (0, _) => return Poll::Ready(Err(FlowError::Truncated)),
            _ => {}
        }
        Poll::Ready(Ok(()))
    }

    /// Stages the body bytes that were read, framed as the sink shall have them.
    fn stage(&mut self) -> Result<(), FlowError> {
        if self.is_source_done() {
            return Ok(());
        }
        let buffer = self.big.as_mut().map_or(&mut self.buffer, |big| &mut big.buffer);
        let data = self.source.take(buffer).map_err(FlowError::Malformed)?;
        self.body_bytes += data.len() as u64;
        if self.body_bytes > self.body_bytes_max {
            return Err(FlowError::TooLong);
        }
        self.out.add_body(data, buffer, self.is_chunked_out);
        if self.source.is_at_end(self.has_ended) {
            if self.is_chunked_out {
                self.out.end_body(self.source.trailers());
            }
            self.source = Source::Done;
        }
        Ok(())
    }
}
