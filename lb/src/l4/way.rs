//! One direction of a stream: bytes from one side to the other, a piece at a time.
//!
//! What is read is written before more is read, so who reads slowly slows down who sends, and memory is bounded. A
//! piece lies in a big buffer, borrowed for no longer than it takes to write it on; a stream that waits holds none.

use std::pin::Pin;
use std::task::{Context, Poll};

use crate::proxy::{BigBuffer, Buffer, SMALL_BYTES, Shelf};
use crate::stream::Stream;

/// Pieces that are moved at once, before others have their turn.
const PIECES_MAX: usize = 8;

/// Why a direction cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Broken {
    /// Its source was reset.
    Source,
    /// Its sink takes nothing any more.
    Sink,
}

/// How far a direction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Bytes may still come.
    Open,
    /// The source has ended, and the sink is to be told behind what is left.
    Ending,
    /// Over.
    Ended,
    /// Over, and not well.
    Broken,
}

/// One direction of a stream.
#[derive(Debug)]
pub(super) struct Way {
    stage: Stage,
    piece: Option<Piece>,
    /// Bytes taken from the source.
    pub(super) read_bytes: u64,
    /// Bytes given to the sink.
    pub(super) written_bytes: u64,
}

/// What was read and is not written yet.
#[derive(Debug)]
enum Piece {
    Big(BigBuffer),
    /// When no big one was left.
    Small(Buffer),
}

impl Way {
    pub(super) fn new() -> Self {
        Self { stage: Stage::Open, piece: None, read_bytes: 0, written_bytes: 0 }
    }

    /// Whether nothing will move here any more.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Ended | Stage::Broken)
    }

    /// Whether it ended before its time.
    pub(super) fn is_broken(&self) -> bool {
        self.stage == Stage::Broken
    }

    /// Whether the source has said that it says no more.
    pub(super) fn has_source_ended(&self) -> bool {
        matches!(self.stage, Stage::Ending | Stage::Ended)
    }

    /// Bytes moved in and out.
    pub(super) fn moved(&self) -> u64 {
        self.read_bytes + self.written_bytes
    }

    /// Moves what can be moved now.
    pub(super) fn poll<R: Stream, W: Stream>(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut R,
        to: &mut W,
        shelf: &Shelf,
    ) -> Result<(), Broken> {
        if self.is_over() {
            return Ok(());
        }
        let outcome = self.poll_open(cx, from, to, shelf);
        if outcome.is_err() {
            self.stage = Stage::Broken;
            self.put_back(shelf);
        }
        outcome
    }

    fn poll_open<R: Stream, W: Stream>(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut R,
        to: &mut W,
        shelf: &Shelf,
    ) -> Result<(), Broken> {
        for _ in 0..PIECES_MAX {
            if self.poll_write(cx, to, shelf)?.is_pending() {
                return Ok(());
            }
            if self.stage == Stage::Ending {
                if let Poll::Ready(outcome) = Pin::new(&mut *to).poll_shutdown(cx) {
                    outcome.map_err(|_| Broken::Sink)?;
                    self.stage = Stage::Ended;
                }
                return Ok(());
            }
            if self.poll_read(cx, from, shelf)?.is_pending() {
                return Ok(());
            }
        }
        // There is more, and others have waited.
        cx.waker().wake_by_ref();
        Ok(())
    }

    /// Writes what was read. Ready when nothing is left of it.
    fn poll_write<W: Stream>(&mut self, cx: &mut Context<'_>, to: &mut W, shelf: &Shelf) -> Result<Poll<()>, Broken> {
        let Some(piece) = &mut self.piece else { return Ok(Poll::Ready(())) };
        let buffer = piece.buffer();
        while !buffer.is_empty() {
            match Pin::new(&mut *to).poll_write(cx, buffer.filled()) {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(Ok(count)) if count > 0 => {
                    buffer.consume(count);
                    self.written_bytes += count as u64;
                }
                Poll::Ready(_) => return Err(Broken::Sink),
            }
        }
        self.put_back(shelf);
        Ok(Poll::Ready(()))
    }

    /// Reads a piece. Ready when there is one, or the end.
    fn poll_read<R: Stream>(&mut self, cx: &mut Context<'_>, from: &mut R, shelf: &Shelf) -> Result<Poll<()>, Broken> {
        match from.poll_readable(cx) {
            Poll::Pending => return Ok(Poll::Pending),
            Poll::Ready(outcome) => outcome.map_err(|_| Broken::Source)?,
        }
        let big = || shelf.take_big().map(Piece::Big);
        let piece = self.piece.insert(big().unwrap_or_else(|| Piece::Small(Buffer::with_room(SMALL_BYTES))));
        match piece.buffer().poll_fill(cx, from) {
            Poll::Ready(Ok(0)) => self.stage = Stage::Ending,
            Poll::Ready(Ok(count)) => {
                self.read_bytes += count as u64;
                return Ok(Poll::Ready(()));
            }
            Poll::Ready(Err(_)) => return Err(Broken::Source),
            Poll::Pending => {
                self.put_back(shelf);
                return Ok(Poll::Pending);
            }
        }
        self.put_back(shelf);
        Ok(Poll::Ready(()))
    }

    /// Gives back what it has borrowed.
    pub(super) fn put_back(&mut self, shelf: &Shelf) {
        if let Some(Piece::Big(big)) = self.piece.take() {
            shelf.put_big(big);
        }
    }
}

impl Piece {
    fn buffer(&mut self) -> &mut Buffer {
        match self {
            Self::Big(big) => &mut big.buffer,
            Self::Small(buffer) => buffer,
        }
    }
}
