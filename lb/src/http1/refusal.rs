//! Why a message is not taken: closed sets, each with the sentence an operator reads.

use thiserror::Error;

use super::unusual::Unusual;

/// What is wrong with the fields of a head, of either direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FieldFault {
    /// A name holds a byte no name may hold, white space before the colon and folded lines among them.
    #[error("a header name is malformed, or a line is folded")]
    Name,
    /// A value holds a control character: NUL, a bare CR and the like.
    #[error("a header value holds a control character")]
    Value,
    /// A line ends in LF without CR, or CR without LF.
    #[error("a line does not end in CR LF")]
    LineEnd,
    /// More field lines than allowed.
    #[error("too many headers")]
    TooMany,
    /// The field lines are larger than allowed.
    #[error("the headers are too large")]
    TooLarge,
    /// A Connection field lists more options than anyone needs.
    #[error("Connection names too many options")]
    TooManyConnectionOptions,
    /// Content-Length is not a decimal number that fits.
    #[error("Content-Length is not a plain number in range")]
    ContentLength,
    /// Content-Length is there more than once, be it the same.
    #[error("Content-Length is there more than once")]
    ContentLengthRepeated,
    /// Transfer-Encoding is anything but `chunked`.
    #[error("Transfer-Encoding is other than `chunked`")]
    TransferCoding,
    /// Transfer-Encoding is there more than once.
    #[error("Transfer-Encoding is there more than once")]
    TransferCodingRepeated,
    /// Both framings at once.
    #[error("Transfer-Encoding and Content-Length exclude each other")]
    TwoFramings,
    /// Chunked coding in a version that has none.
    #[error("HTTP/1.0 has no Transfer-Encoding")]
    TransferCodingInHttp10,
}

/// Why a client's request head is not taken. The connection is closed after the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RequestRefusal {
    /// No request line in the form `METHOD SP target SP HTTP/1.x CR LF`.
    #[error("the request line is malformed")]
    RequestLine,
    /// The request line is longer than allowed.
    #[error("the request line is too long")]
    RequestLineTooLong,
    /// A version of HTTP we do not speak on this connection.
    #[error("this version of HTTP is not spoken here")]
    Version,
    /// The method is longer than any that somebody uses.
    #[error("the method is too long")]
    MethodTooLong,
    /// CONNECT: we are nobody's forward proxy.
    #[error("CONNECT is not offered")]
    Connect,
    /// The target is in none of the allowed forms or holds a byte it may not hold.
    #[error("the request target is malformed")]
    Target,
    /// An HTTP/1.1 request without Host.
    #[error("Host is missing")]
    HostMissing,
    /// More than one Host.
    #[error("Host is there more than once")]
    HostRepeated,
    /// Host, or the authority of the target, is no `host[:port]`.
    #[error("Host is not a valid host and port")]
    Host,
    /// The fields are at fault.
    #[error(transparent)]
    Fields(#[from] FieldFault),
    /// It could be taken, but not by a listener that takes nothing unusual.
    #[error("{0}")]
    Unusual(Unusual),
}

impl RequestRefusal {
    /// The status to answer with.
    pub fn status(self) -> u16 {
        match self {
            RequestRefusal::RequestLineTooLong => 414,
            RequestRefusal::Fields(FieldFault::TooMany | FieldFault::TooLarge) => 431,
            RequestRefusal::MethodTooLong => 405,
            RequestRefusal::Version => 505,
            _ => 400,
        }
    }

    /// The kind of refusal: `acceptable` is harmless, `ambiguous` what two servers could read differently.
    pub fn class(self) -> &'static str {
        use FieldFault as Fault;
        match self {
            RequestRefusal::RequestLineTooLong | RequestRefusal::Fields(Fault::TooMany | Fault::TooLarge) => "limit",
            RequestRefusal::MethodTooLong => "limit",
            RequestRefusal::Connect => "unsupported",
            RequestRefusal::Version => "acceptable",
            RequestRefusal::Unusual(unusual) if !unusual.is_ambiguous() => "acceptable",
            RequestRefusal::Unusual(_) => "ambiguous",
            RequestRefusal::HostMissing | RequestRefusal::HostRepeated | RequestRefusal::Host => "ambiguous",
            RequestRefusal::RequestLine | RequestRefusal::Target => "malformed",
            RequestRefusal::Fields(Fault::Name | Fault::Value | Fault::TooManyConnectionOptions) => "malformed",
            RequestRefusal::Fields(_) => "ambiguous",
        }
    }
}

/// Why a target's answer is not taken: 502 when nothing was sent yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ResponseRefusal {
    /// No status line in the form `HTTP/1.x SP three digits SP reason CR LF`.
    #[error("the status line is malformed")]
    StatusLine,
    /// The status line is longer than allowed.
    #[error("the status line is too long")]
    StatusLineTooLong,
    /// A 101 nobody asked for, or to another protocol than the one asked for.
    #[error("the target switches protocols unasked")]
    UnaskedUpgrade,
    /// The fields are at fault.
    #[error(transparent)]
    Fields(#[from] FieldFault),
}

/// Why the rest of a chunked body is not taken: the message is broken and its connection with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ChunkRefusal {
    /// A chunk size that is not one to sixteen hexadecimal digits, or is out of range.
    #[error("a chunk size is malformed or out of range")]
    Size,
    /// Chunk extensions beyond what is skipped, or with control characters.
    #[error("chunk extensions are malformed or too long")]
    Extension,
    /// Something else than CR LF where a line or the data of a chunk ends.
    #[error("a chunk does not end in CR LF")]
    LineEnd,
    /// The trailer fields are at fault.
    #[error(transparent)]
    Trailers(#[from] FieldFault),
}
