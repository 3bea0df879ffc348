//! One direction of an exchange: bytes from one peer through one buffer to the other, re-framed on the way.
//!
//! A flow holds one piece at a time: it reads, frames what it read, and reads again once that is written. So a body
//! of any size passes through bounded memory, and who reads slowly slows down who sends. Not here: deadlines
//! (`exchange`), what heads say (`headers`).

use std::io::{self, IoSlice};
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

use super::buffers::{BigBuffer, Buffer, SMALL_BYTES, Shelf};
use crate::http1::{
    BodyFraming, CHUNK_END, CHUNK_PREFIX_BYTES_MAX, ChunkRefusal, ChunkedDecoder, LengthBody, ResponseFraming,
    chunk_prefix, write_last_chunk,
};
use crate::stream::Stream;

/// The least room to read into, when a long head has taken up the rest.
const READ_BYTES_MIN: usize = 2 * 1024;

/// Body bytes up to this many are copied behind their head: one buffer costs the kernel less than two.
const COPIED_BYTES_MAX: usize = 1024;

/// How a body is delimited where it comes from.
#[derive(Debug, Default)]
pub(super) enum Source {
    /// There is no more of it.
    #[default]
    Done,
    Length(LengthBody),
    Chunked(ChunkedDecoder),
    UntilClose,
}

impl From<BodyFraming> for Source {
    fn from(framing: BodyFraming) -> Self {
        match framing {
            BodyFraming::None | BodyFraming::Length(0) => Self::Done,
            BodyFraming::Length(length) => Self::Length(LengthBody::new(length)),
            BodyFraming::Chunked => Self::Chunked(ChunkedDecoder::new()),
        }
    }
}

impl From<ResponseFraming> for Source {
    fn from(framing: ResponseFraming) -> Self {
        match framing {
            ResponseFraming::None | ResponseFraming::Length(0) => Self::Done,
            ResponseFraming::Length(length) => Self::Length(LengthBody::new(length)),
            ResponseFraming::Chunked => Self::Chunked(ChunkedDecoder::new()),
            ResponseFraming::UntilClose => Self::UntilClose,
        }
    }
}

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
    /// Bytes read from the source by [`Self::poll`].
    pub(super) read_bytes: u64,
    pub(super) waits_for: WaitsFor,
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
    /// Forgets all of it, and gives up a buffer that has grown. A big one must have been given back.
    pub(super) fn clear(&mut self) {
        self.buffer.clear();
        self.next_message();
    }

    /// Forgets the message but not what came after it.
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

    /// Begins a message: its head stands in `out`, its body is to come from what is left in the buffer and then
    /// from the source. Buffer bytes before `floor` are still referred to.
    pub(super) fn begin(&mut self, source: Source, is_chunked_out: bool, floor: usize) -> Result<(), FlowError> {
        self.floor = floor;
        self.is_chunked_out = is_chunked_out;
        self.wants_big = match &source {
            Source::Done | Source::Chunked(_) | Source::UntilClose => false,
            Source::Length(body) => body.remaining() > SMALL_BYTES as u64,
        };
        self.source = source;
        self.stage()
    }

    /// Refuses a body beyond so many bytes. 0: no limit.
    pub(super) fn limit_body(&mut self, bytes_max: u64) {
        self.body_bytes_max = if bytes_max == 0 { u64::MAX } else { bytes_max };
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
        let before = self.out.written;
        let outcome = self.out.poll_write(cx, to, buffer);
        self.written_bytes += (self.out.written - before) as u64;
        outcome.map_err(|_| FlowError::Sink)
    }

    /// From now on it is bytes until the source ends, and no message any more. What is staged is still written.
    pub(super) fn switch(&mut self) {
        self.source = Source::UntilClose;
        self.is_chunked_out = false;
        self.body_bytes_max = u64::MAX;
    }

    /// Whether the source has nothing more to give.
    pub(super) fn is_source_done(&self) -> bool {
        matches!(self.source, Source::Done)
    }

    /// Whether the first piece of the message is still there to be written again: nothing was read after it.
    pub(super) fn can_repeat(&self) -> bool {
        self.read_bytes == 0
    }

    /// Puts a borrowed buffer back on the shelf. What is left in it came after the message and is kept.
    pub(super) fn give_back(&mut self, shelf: &Shelf) {
        if let Some(big) = self.big.take() {
            if !big.buffer.is_empty() {
                if self.buffer.is_empty() {
                    self.buffer.rewind_to(self.floor);
                }
                self.buffer.append(big.buffer.filled());
            }
            shelf.put_big(big);
        }
    }

    /// Whether all that was read is staged or done with.
    fn is_drained(&self) -> bool {
        self.big.as_ref().map_or(&self.buffer, |big| &big.buffer).is_empty()
    }

    /// Reads once, over what is written. A flow that has to wait for bytes holds no big buffer meanwhile.
    fn poll_read<R: Stream>(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut R,
        shelf: &Shelf,
    ) -> Poll<Result<(), FlowError>> {
        if self.wants_big && self.big.is_none() {
            ready!(from.poll_readable(cx)).map_err(|_| FlowError::Source)?;
            self.big = shelf.take_big();
        }
        let floor = if self.big.is_some() { 0 } else { self.floor };
        let buffer = self.big.as_mut().map_or(&mut self.buffer, |big| &mut big.buffer);
        buffer.rewind_to(floor);
        if buffer.size() - floor < READ_BYTES_MIN {
            buffer.grow(floor + SMALL_BYTES);
        }
        let Poll::Ready(count) = buffer.poll_fill(cx, from) else {
            self.give_back(shelf);
            return Poll::Pending;
        };
        let count = count.map_err(|_| FlowError::Source)?;
        self.wants_big |= buffer.is_full();
        self.read_bytes += count as u64;
        match (count, &self.source) {
            (0, Source::UntilClose) => self.has_ended = true,
            (0, _) => return Poll::Ready(Err(FlowError::Truncated)),
            _ => {}
        }
        Poll::Ready(Ok(()))
    }

    /// Stages the body bytes that are in the buffer, framed as the sink shall have them.
    fn stage(&mut self) -> Result<(), FlowError> {
        let buffer = self.big.as_mut().map_or(&mut self.buffer, |big| &mut big.buffer);
        let start = buffer.start();
        let (data, is_end) = match &mut self.source {
            Source::Done => return Ok(()),
            Source::Length(body) => {
                let count = body.take(buffer.filled().len());
                buffer.consume(count);
                (start..start + count, body.is_done())
            }
            Source::UntilClose => {
                let count = buffer.filled().len();
                buffer.consume(count);
                (start..start + count, self.has_ended)
            }
            Source::Chunked(decoder) => (unchunk(buffer, decoder).map_err(FlowError::Malformed)?, decoder.is_done()),
        };
        self.body_bytes += data.len() as u64;
        if self.body_bytes > self.body_bytes_max {
            return Err(FlowError::TooLong);
        }
        let buffer = self.big.as_ref().map_or(&self.buffer, |big| &big.buffer);
        self.out.add_body(data, buffer, self.is_chunked_out);
        if is_end {
            self.end_body();
        }
        Ok(())
    }

    /// The body is complete: says so to the sink, where the framing has a way to.
    fn end_body(&mut self) {
        if self.is_chunked_out {
            let trailers = match &self.source {
                Source::Chunked(decoder) => decoder.trailers(),
                _ => &[],
            };
            write_last_chunk(&mut self.out.tail, trailers);
        }
        self.source = Source::Done;
    }
}

/// Takes all chunks in the buffer apart and moves their data together. Answers with where the data lies.
fn unchunk(buffer: &mut Buffer, decoder: &mut ChunkedDecoder) -> Result<Range<usize>, ChunkRefusal> {
    let mut data = 0..0;
    while !buffer.is_empty() && !decoder.is_done() {
        let start = buffer.start();
        let decoded = decoder.decode(buffer.filled())?;
        let run = start + decoded.data.start..start + decoded.data.end;
        buffer.consume(decoded.consumed);
        if data.is_empty() {
            data = run;
        } else if !run.is_empty() {
            let count = run.len();
            buffer.move_within(run, data.end);
            data.end += count;
        }
    }
    Ok(data)
}

/// What is about to be written: a head or the line before a chunk, body bytes in a buffer, and what ends them.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    pub(super) head: Vec<u8>,
    data: Range<usize>,
    tail: Vec<u8>,
    written: usize,
}

impl Outgoing {
    pub(super) fn clear(&mut self) {
        self.head.clear();
        self.tail.clear();
        self.data = 0..0;
        self.written = 0;
    }

    /// Starts over: everything is to be written again.
    pub(super) fn rewind(&mut self) {
        self.written = 0;
    }

    /// Whether it is written in part.
    pub(super) fn is_torn(&self) -> bool {
        self.written > 0 && !self.is_empty()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.written == self.head.len() + self.data.len() + self.tail.len()
    }

    fn add_body(&mut self, data: Range<usize>, buffer: &Buffer, is_chunked: bool) {
        if is_chunked && !data.is_empty() {
            self.head.extend_from_slice(chunk_prefix(data.len(), &mut [0; CHUNK_PREFIX_BYTES_MAX]));
            self.tail.extend_from_slice(CHUNK_END);
        }
        if data.len() <= COPIED_BYTES_MAX {
            self.head.extend_from_slice(buffer.at(data));
            self.head.append(&mut self.tail);
        } else {
            self.data = data;
        }
    }

    fn poll_write<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut W,
        buffer: &Buffer,
    ) -> Poll<io::Result<()>> {
        while !self.is_empty() {
            let mut skip = self.written;
            let mut parts = [IoSlice::new(&[]); 3];
            let mut count = 0;
            for part in [&self.head[..], buffer.at(self.data.clone()), &self.tail[..]] {
                if skip >= part.len() {
                    skip -= part.len();
                } else {
                    parts[count] = IoSlice::new(&part[skip..]);
                    count += 1;
                    skip = 0;
                }
            }
            let written = match count {
                1 => ready!(Pin::new(&mut *to).poll_write(cx, &parts[0]))?,
                _ => ready!(Pin::new(&mut *to).poll_write_vectored(cx, &parts[..count]))?,
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += written;
        }
        Poll::Ready(Ok(()))
    }
}
