//! One direction of a stream: bytes from one side to the other, a piece at a time.
//!
//! What is read is written before more is read, so who reads slowly slows down who sends, and memory is bounded. A
//! piece lies in a big buffer, borrowed for no longer than it takes to write it on; a stream that waits holds none. Where
//! much comes at once, and both sides are plain sockets, pieces go through a pipe in the kernel instead, uncopied.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::net::TcpStream;

use crate::proxy::{BigBuffer, Buffer, Pipe, SMALL_BYTES, Shelf};
use crate::stream::Stream;

/// Pieces that are moved at once, before others have their turn.
const PIECES_MAX: usize = 8;

/// The most that is read into a buffer where a pipe could take what follows: who fills it sends much, and is worth one.
const BUFFERED_BYTES_MAX: usize = 32 * 1024;

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
    /// How much the last piece was.
    last_bytes: usize,
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
    Piped(Pipe),
}

impl Way {
    pub(super) fn new() -> Self {
        Self { stage: Stage::Open, piece: None, last_bytes: 0, read_bytes: 0, written_bytes: 0 }
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
            if self.poll_read(cx, from, to.socket().is_some(), shelf)?.is_pending() {
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
        while !piece.is_empty() {
            match piece.poll_write(cx, to) {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(Ok(count)) if count > 0 => self.written_bytes += count as u64,
                Poll::Ready(_) => return Err(Broken::Sink),
            }
        }
        self.put_back(shelf);
        Ok(Poll::Ready(()))
    }

    /// Reads a piece. Ready when there is one, or the end.
    fn poll_read<R: Stream>(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut R,
        is_sink_plain: bool,
        shelf: &Shelf,
    ) -> Result<Poll<()>, Broken> {
        match from.poll_readable(cx) {
            Poll::Pending => return Ok(Poll::Pending),
            Poll::Ready(outcome) => outcome.map_err(|_| Broken::Source)?,
        }
        let may_pipe = is_sink_plain && from.socket().is_some();
        let is_pipe_worth_it = may_pipe && self.last_bytes >= BUFFERED_BYTES_MAX;
        // Where every pipe is in use, a whole buffer is filled.
        let bytes_max = if may_pipe && !is_pipe_worth_it { BUFFERED_BYTES_MAX } else { usize::MAX };
        let piece = self.piece.insert(Piece::take(shelf, is_pipe_worth_it));
        match piece.poll_fill(cx, from, bytes_max) {
            Poll::Ready(Ok(count)) => {
                self.last_bytes = count;
                self.read_bytes += count as u64;
                if count == 0 {
                    self.stage = Stage::Ending;
                    self.put_back(shelf);
                }
                Ok(Poll::Ready(()))
            }
            Poll::Ready(Err(_)) => Err(Broken::Source),
            Poll::Pending => {
                self.put_back(shelf);
                Ok(Poll::Pending)
            }
        }
    }

    /// Gives back what it has borrowed.
    pub(super) fn put_back(&mut self, shelf: &Shelf) {
        match self.piece.take() {
            Some(Piece::Big(big)) => shelf.put_big(big),
            Some(Piece::Piped(pipe)) => shelf.put_pipe(pipe),
            Some(Piece::Small(_)) | None => {}
        }
    }
}

impl Piece {
    /// Room for a piece: in a pipe if that is worth it, else in a big buffer; in a small one where none is left.
    fn take(shelf: &Shelf, is_pipe_worth_it: bool) -> Self {
        let pipe = || is_pipe_worth_it.then(|| shelf.take_pipe()).flatten().map(Self::Piped);
        let big = || shelf.take_big().map(Self::Big);
        pipe().or_else(big).unwrap_or_else(|| Self::Small(Buffer::with_room(SMALL_BYTES)))
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::Big(big) => big.buffer.is_empty(),
            Self::Small(buffer) => buffer.is_empty(),
            Self::Piped(pipe) => pipe.is_empty(),
        }
    }

    fn poll_fill<R: Stream>(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut R,
        bytes_max: usize,
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Big(big) => big.buffer.poll_fill_at_most(cx, from, bytes_max),
            Self::Small(buffer) => buffer.poll_fill_at_most(cx, from, bytes_max),
            Self::Piped(pipe) => pipe.poll_fill(cx, plain(from)?),
        }
    }

    fn poll_write<W: Stream>(&mut self, cx: &mut Context<'_>, to: &mut W) -> Poll<io::Result<usize>> {
        let buffer = match self {
            Self::Big(big) => &mut big.buffer,
            Self::Small(buffer) => buffer,
            Self::Piped(pipe) => return pipe.poll_drain(cx, plain(to)?),
        };
        let written = Pin::new(to).poll_write(cx, buffer.filled());
        if let Poll::Ready(Ok(count)) = written {
            buffer.consume(count);
        }
        written
    }
}

/// The socket of a plain stream; only between such are pipes used.
fn plain<S: Stream>(stream: &S) -> io::Result<&TcpStream> {
    stream.socket().ok_or_else(|| io::ErrorKind::Unsupported.into())
}
