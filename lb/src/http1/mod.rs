//! The HTTP/1.1 codec: pure functions and small state machines over byte slices.
//!
//! In reading order: [`parse_request`] and [`parse_response`] turn the bytes of a head into offsets and decide
//! its framing once, strictly; [`write_request_head`] and [`write_response_head`] write it on, as copied spans
//! with edits, in one unambiguous form; [`LengthBody`] and [`ChunkedDecoder`] say which bytes of what follows
//! are body; [`chunk_prefix`] and [`write_last_chunk`] frame a body of unknown length.
//! Not here: sockets, buffers, time, and the decision what to do with a refusal.
//!
//! The grammar of heads is `httparse`'s. It forgives more than we do: line ends of a bare LF, empty lines before
//! a head, obs-text in a target. Each of these is looked for at the few bytes where it can hide, not in a second
//! pass over the head.

mod body;
mod chunked;
mod connection;
mod cookie;
mod field;
mod limits;
mod method;
mod reason;
mod refusal;
mod request;
mod response;
mod scan;
mod span;
mod target;
mod unusual;
mod write;

pub use body::LengthBody;
pub use chunked::{CHUNK_END, CHUNK_PREFIX_BYTES_MAX, ChunkedDecoder, Decoded, chunk_prefix, write_last_chunk};
pub use cookie::{CookiePair, CookiesCut, cookie_pairs};
pub use field::{Field, FieldKind};
pub use limits::HeadLimits;
pub use method::Method;
pub use reason::reason;
pub use refusal::{ChunkRefusal, FieldFault, RequestRefusal, ResponseRefusal};
pub use request::{BodyFraming, RequestHead, parse_request};
pub use response::{Delivery, RequestContext, ResponseFraming, ResponseHead, parse_response};
pub use span::Span;
pub use target::{TargetForm, host_without_port, is_valid_host};
pub use unusual::Unusual;
pub use write::{
    Connection, Forwarding, Peer, RequestEdits, ResponseEdits, WrittenFraming, write_own_response, write_request_head,
    write_response_head,
};

/// Whether a head was there in full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// The head is parsed; `head_len` bytes of the buffer belong to it.
    Complete,
    /// More bytes are needed. Call again with the same bytes and those that came, and the same head object.
    Partial,
}

/// The version of a message. Others than these two are refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0: no chunked coding, and a connection that ends unless both sides say otherwise.
    Http10,
    /// HTTP/1.1.
    #[default]
    Http11,
}
