//! Bodies as they come: which bytes of a buffer are body, and where it ends.

use std::ops::Range;

use super::buffers::Buffer;
use crate::http1::{BodyFraming, ChunkRefusal, ChunkedDecoder, LengthBody, ResponseFraming};

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

impl Source {
    /// Takes the body bytes that are in the buffer; what is left there came after the body. Answers with where they
    /// lie.
    pub(super) fn take(&mut self, buffer: &mut Buffer) -> Result<Range<usize>, ChunkRefusal> {
        let (start, available) = (buffer.start(), buffer.filled().len());
        let count = match self {
            Self::Done => 0,
            Self::Length(body) => body.take(available),
            Self::UntilClose => available,
            Self::Chunked(decoder) => return unchunk(buffer, decoder),
        };
        buffer.consume(count);
        Ok(start..start + count)
    }

    /// Whether all of the body has been taken, given whether the peer has ended its side.
    pub(super) fn is_at_end(&self, has_ended: bool) -> bool {
        match self {
            Self::Done => true,
            Self::Length(body) => body.is_done(),
            Self::Chunked(decoder) => decoder.is_done(),
            Self::UntilClose => has_ended,
        }
    }

    /// The fields after the body, as lines in our form.
    pub(super) fn trailers(&self) -> &[u8] {
        match self {
            Self::Chunked(decoder) => decoder.trailers(),
            Self::Done | Self::Length(_) | Self::UntilClose => &[],
        }
    }

    /// Whether more than so many bytes are to come, as far as that is known.
    pub(super) fn is_longer_than(&self, bytes: usize) -> bool {
        matches!(self, Self::Length(body) if body.remaining() > bytes as u64)
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
