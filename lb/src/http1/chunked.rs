//! The chunked coding (RFC 9112, 7.1): a decoder that says which bytes are data, and the frames of an encoder.

use std::ops::Range;

use super::field::{FieldKind, classify};
use super::refusal::{ChunkRefusal, FieldFault};

/// Digits of a chunk size, leading zeros among them.
const SIZE_DIGITS_MAX: u8 = 16;
/// Larger chunks are refused: there are servers that count in 63 bits.
const SIZE_MAX: u64 = i64::MAX as u64;
/// Bytes of chunk extensions skipped in one body. Nobody we know sends any.
const EXTENSION_BYTES_MAX: u32 = 16 * 1024;
/// Bytes of all trailer fields of a body.
const TRAILER_BYTES_MAX: usize = 16 * 1024;
/// Trailer fields of a body.
const TRAILER_COUNT_MAX: usize = 64;

/// Finds the data in a chunked body that arrives in any pieces. Every byte is looked at once, none is copied but
/// those of trailers.
#[derive(Debug, Default)]
pub struct ChunkedDecoder {
    state: State,
    extension_bytes: u32,
    trailers: Vec<u8>,
}

/// What one step of decoding found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// How many bytes of the input are done with, data and framing; the rest belongs to the next step.
    pub consumed: usize,
    /// Which of them are data; empty when there were none.
    pub data: Range<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Size { digits: u8, size: u64 },
    Extension { size: u64 },
    SizeLf { size: u64 },
    Data { remaining: u64 },
    DataCr,
    DataLf,
    TrailerStart,
    Trailer,
    TrailerLf,
    LastLf,
    Done,
}

impl Default for State {
    fn default() -> State {
        State::Size { digits: 0, size: 0 }
    }
}

impl ChunkedDecoder {
    /// A decoder at the start of a body.
    pub fn new() -> ChunkedDecoder {
        ChunkedDecoder::default()
    }

    /// Takes the next run of data and the framing around it. All of `input` is consumed unless another run of data
    /// follows or the body ends; so call until `consumed` is all of it or [`Self::is_done`]. After a refusal the
    /// message is lost.
    pub fn decode(&mut self, input: &[u8]) -> Result<Decoded, ChunkRefusal> {
        let mut data = 0..0;
        let mut at = 0;
        while at < input.len() && self.state != State::Done {
            if let State::Data { remaining } = self.state {
                if !data.is_empty() {
                    break;
                }
                let run = usize::try_from(remaining).map_or(input.len() - at, |most| most.min(input.len() - at));
                data = at..at + run;
                at += run;
                let remaining = remaining - run as u64;
                self.state = if remaining == 0 { State::DataCr } else { State::Data { remaining } };
            } else {
                self.step(input[at])?;
                at += 1;
            }
        }
        Ok(Decoded { consumed: at, data })
    }

    /// Whether the body and its trailers are complete.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// The trailer fields that may be passed on, as complete field lines in our form. Empty until done.
    pub fn trailers(&self) -> &[u8] {
        if self.is_done() { &self.trailers } else { &[] }
    }

    /// Takes one byte of framing.
    fn step(&mut self, byte: u8) -> Result<(), ChunkRefusal> {
        self.state = match (self.state, byte) {
            (State::Size { digits: 0, .. }, b'\r' | b';') => return Err(ChunkRefusal::Size),
            (State::Size { size, .. }, b'\r') => State::SizeLf { size },
            (State::Size { size, .. }, b';') => State::Extension { size },
            (State::Size { digits, size }, _) => add_digit(digits, size, byte)?,
            (State::Extension { size }, b'\r') => State::SizeLf { size },
            (State::Extension { size }, b'\t' | b' '..=b'~' | 0x80..) if self.extension_bytes < EXTENSION_BYTES_MAX => {
                self.extension_bytes += 1;
                State::Extension { size }
            }
            (State::Extension { .. }, _) => return Err(ChunkRefusal::Extension),
            (State::SizeLf { size: 0 }, b'\n') => State::TrailerStart,
            (State::SizeLf { size }, b'\n') => State::Data { remaining: size },
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::default(),
            (State::TrailerStart, b'\r') => State::LastLf,
            (State::TrailerStart | State::Trailer, b'\n') => return Err(FieldFault::LineEnd.into()),
            (State::TrailerStart | State::Trailer, _) => {
                self.keep_trailer_byte(byte)?;
                if byte == b'\r' { State::TrailerLf } else { State::Trailer }
            }
            (State::TrailerLf, b'\n') => {
                self.keep_trailer_byte(byte)?;
                State::TrailerStart
            }
            (State::TrailerLf, _) => return Err(FieldFault::LineEnd.into()),
            (State::LastLf, b'\n') => {
                self.finish_trailers()?;
                State::Done
            }
            (State::SizeLf { .. } | State::DataCr | State::DataLf | State::LastLf, _) => {
                return Err(ChunkRefusal::LineEnd);
            }
            (state @ (State::Data { .. } | State::Done), _) => state,
        };
        Ok(())
    }

    fn keep_trailer_byte(&mut self, byte: u8) -> Result<(), FieldFault> {
        if self.trailers.len() >= TRAILER_BYTES_MAX {
            return Err(FieldFault::TooLarge);
        }
        self.trailers.push(byte);
        Ok(())
    }

    /// Replaces the trailers as they came by those that may be passed on, in our form.
    fn finish_trailers(&mut self) -> Result<(), FieldFault> {
        if self.trailers.is_empty() {
            return Ok(());
        }
        let mut raw = std::mem::take(&mut self.trailers);
        raw.extend_from_slice(b"\r\n");
        let mut slots = [httparse::EMPTY_HEADER; TRAILER_COUNT_MAX];
        let fields = match httparse::parse_headers(&raw, &mut slots) {
            Ok(httparse::Status::Complete((len, fields))) if len == raw.len() => fields,
            Err(httparse::Error::TooManyHeaders) => return Err(FieldFault::TooMany),
            Err(httparse::Error::HeaderValue) => return Err(FieldFault::Value),
            _ => return Err(FieldFault::Name),
        };
        for field in fields.iter().filter(|field| may_trail(field.name.as_bytes())) {
            super::write::write_field(&mut self.trailers, field.name.as_bytes(), field.value);
        }
        Ok(())
    }
}

fn add_digit(digits: u8, size: u64, byte: u8) -> Result<State, ChunkRefusal> {
    let digit = (byte as char).to_digit(16).ok_or(ChunkRefusal::Size)?;
    let size = size.checked_mul(16).ok_or(ChunkRefusal::Size)? + u64::from(digit);
    if digits >= SIZE_DIGITS_MAX || size > SIZE_MAX {
        return Err(ChunkRefusal::Size);
    }
    Ok(State::Size { digits: digits + 1, size })
}

/// Whether a field may stand after the body (RFC 9110, 6.5.1): nothing that frames, routes, authenticates, changes
/// the request or says what the content is, for a receiver may merge it into a head it has already acted on.
fn may_trail(name: &[u8]) -> bool {
    const NEVER: [&str; 12] = [
        "authorization",
        "proxy-authorization",
        "proxy-authenticate",
        "www-authenticate",
        "cache-control",
        "pragma",
        "max-forwards",
        "range",
        "age",
        "date",
        "location",
        "vary",
    ];
    const NEVER_PREFIXES: [&str; 2] = ["content-", "if-"];
    let starts_with =
        |prefix: &&str| name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()));
    classify(name) == FieldKind::Other
        && !NEVER.iter().any(|never| name.eq_ignore_ascii_case(never.as_bytes()))
        && !NEVER_PREFIXES.iter().any(starts_with)
}

/// What follows the data of each chunk.
pub const CHUNK_END: &[u8] = b"\r\n";

/// Room for the line before the data of a chunk.
pub const CHUNK_PREFIX_BYTES_MAX: usize = SIZE_DIGITS_MAX as usize + 2;

/// The line before a chunk of `len` bytes; after the data comes [`CHUNK_END`]. A chunk of no bytes would end the
/// body, so `len` must not be 0: that line is empty.
pub fn chunk_prefix(len: usize, line: &mut [u8; CHUNK_PREFIX_BYTES_MAX]) -> &[u8] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    debug_assert!(len > 0, "a chunk of no bytes ends the body");
    if len == 0 {
        return &[];
    }
    let mut at = CHUNK_PREFIX_BYTES_MAX - 2;
    line[at..].copy_from_slice(b"\r\n");
    let mut rest = len;
    while rest > 0 {
        at -= 1;
        line[at] = DIGITS[rest & 0xf];
        rest >>= 4;
    }
    &line[at..]
}

/// Ends a chunked body: the chunk of no bytes and the trailer fields, which are complete lines as
/// [`ChunkedDecoder::trailers`] gives them.
pub fn write_last_chunk(out: &mut Vec<u8>, trailers: &[u8]) {
    out.extend_from_slice(b"0\r\n");
    out.extend_from_slice(trailers);
    out.extend_from_slice(b"\r\n");
}
