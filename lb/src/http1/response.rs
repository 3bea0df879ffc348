//! A response head of a target: parsing, and the one decision about its framing.

use httparse::Status;

use super::field::Field;
use super::limits::HeadLimits;
use super::refusal::{FieldFault, ResponseRefusal};
use super::scan::{Beyond, Facts, Progress, check_limits, collect, with_slots};
use super::span::Span;
use super::write::WrittenFraming;
use super::{Parsed, Version};

/// What of the request its answer depends on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestContext {
    /// The request is a HEAD: its answer has no body whatever its fields say.
    pub is_head: bool,
    /// The request was forwarded as a WebSocket handshake: only then a 101 is an answer.
    pub asked_websocket: bool,
}

/// How a response's body is delimited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResponseFraming {
    /// No body: an answer to HEAD, 1xx, 204, 304.
    #[default]
    None,
    /// So many bytes follow.
    Length(u64),
    /// Chunks follow.
    Chunked,
    /// All until the target closes.
    UntilClose,
}

/// How an answer is to reach a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// What to write into the head, and how to frame the body.
    pub framing: WrittenFraming,
    /// Only the end of the connection can end the body: the client does not know chunks.
    pub must_close: bool,
}

/// A response head, as offsets into the buffer it was parsed from; made once and filled again, as
/// [`RequestHead`](super::RequestHead). Meaningful after [`Parsed::Complete`] only.
#[derive(Debug, Default)]
pub struct ResponseHead {
    /// The status, 100 to 999.
    pub status: u16,
    /// The reason phrase; empty where there was none or it held bytes beyond ASCII.
    pub reason: Span,
    /// The version the target speaks.
    pub version: Version,
    /// Every field line, in order.
    pub fields: Vec<Field>,
    /// How the body is delimited.
    pub framing: ResponseFraming,
    /// What Content-Length said, body or not: HEAD and 304 tell the length of what they do not send.
    pub declared_length: Option<u64>,
    /// Whether the target keeps the connection after this response.
    pub keep_alive: bool,
    /// How many bytes of the buffer the head takes; the body starts there.
    pub head_len: usize,
    progress: Progress,
}

impl ResponseHead {
    /// Forgets a head that was parsed in part. Needed where a buffer is given up before its head was complete.
    pub fn clear(&mut self) {
        self.fields.clear();
        self.progress = Progress::default();
    }

    /// An interim response: another follows on the same request.
    pub fn is_interim(&self) -> bool {
        (100..200).contains(&self.status) && self.status != 101
    }

    /// The target took up the WebSocket: what follows is no HTTP.
    pub fn is_switching(&self) -> bool {
        self.status == 101
    }

    /// How this answer is to reach a client of that version.
    pub fn delivery(&self, client: Version) -> Delivery {
        let framing = match self.framing {
            ResponseFraming::None if self.status < 200 || self.status == 204 => WrittenFraming::None,
            ResponseFraming::None => self.declared_length.map_or(WrittenFraming::None, WrittenFraming::Length),
            ResponseFraming::Length(length) => WrittenFraming::Length(length),
            ResponseFraming::Chunked | ResponseFraming::UntilClose if client == Version::Http11 => {
                WrittenFraming::Chunked
            }
            ResponseFraming::Chunked | ResponseFraming::UntilClose => {
                return Delivery { framing: WrittenFraming::None, must_close: true };
            }
        };
        Delivery { framing, must_close: false }
    }

    /// The value of the first field of this name, in any case.
    pub fn value<'a>(&self, buf: &'a [u8], name: &str) -> Option<&'a [u8]> {
        super::field::first_value(&self.fields, buf, name)
    }
}

/// Parses the response head at the start of `buf` into `head`. As with [`parse_request`](super::parse_request),
/// [`Parsed::Partial`] asks for the same bytes and more.
pub fn parse_response(
    buf: &[u8],
    limits: &HeadLimits,
    request: RequestContext,
    head: &mut ResponseHead,
) -> Result<Parsed, ResponseRefusal> {
    let outcome = parse(buf, limits, request, head);
    if !matches!(outcome, Ok(Parsed::Partial)) {
        head.progress = Progress::default();
    }
    outcome
}

fn parse(
    buf: &[u8],
    limits: &HeadLimits,
    request: RequestContext,
    head: &mut ResponseHead,
) -> Result<Parsed, ResponseRefusal> {
    match buf {
        [] => return Ok(Parsed::Partial),
        [b'H', ..] => {}
        _ => return Err(ResponseRefusal::StatusLine),
    }
    let window = &buf[..buf.len().min(limits.head_bytes_max())];
    if !head.progress.is_worth_parsing(buf) {
        return partial(window, limits);
    }
    with_slots(limits.header_count_max, |slots| {
        let mut response = httparse::Response::new(&mut []);
        let config = httparse::ParserConfig::default();
        match config.parse_response_with_uninit_headers(&mut response, window, slots) {
            Ok(Status::Complete(len)) => {
                check_limits(&window[..len], true, limits).map_err(beyond)?;
                complete(buf, len, &response, request, head)
            }
            Ok(Status::Partial) => {
                head.progress.parsed(buf);
                partial(window, limits)
            }
            Err(error) => Err(malformed(error)),
        }
    })
}

#[cold]
fn partial(window: &[u8], limits: &HeadLimits) -> Result<Parsed, ResponseRefusal> {
    check_limits(window, false, limits).map_err(beyond)?;
    Ok(Parsed::Partial)
}

fn beyond(what: Beyond) -> ResponseRefusal {
    match what {
        Beyond::FirstLine => ResponseRefusal::StatusLineTooLong,
        Beyond::Fields => ResponseRefusal::Fields(FieldFault::TooLarge),
    }
}

#[cold]
fn malformed(error: httparse::Error) -> ResponseRefusal {
    match error {
        httparse::Error::HeaderName => FieldFault::Name.into(),
        httparse::Error::HeaderValue => FieldFault::Value.into(),
        httparse::Error::TooManyHeaders => FieldFault::TooMany.into(),
        httparse::Error::NewLine => FieldFault::LineEnd.into(),
        httparse::Error::Token | httparse::Error::Status | httparse::Error::Version => ResponseRefusal::StatusLine,
    }
}

/// Decides what the head means, once.
fn complete(
    buf: &[u8],
    head_len: usize,
    response: &httparse::Response<'_, '_>,
    request: RequestContext,
    head: &mut ResponseHead,
) -> Result<Parsed, ResponseRefusal> {
    // An empty reason may stand for one with bytes beyond ASCII, and then points nowhere in the buffer.
    let reason = response.reason.filter(|reason| !reason.is_empty());
    head.reason = reason.map_or(Span::default(), |reason| Span::within(buf, reason.as_bytes()));
    head.head_len = head_len;
    head.status = response.code.unwrap_or_default();
    if head.status < 100 {
        return Err(ResponseRefusal::StatusLine);
    }
    let is_http10 = response.version == Some(0);
    head.version = if is_http10 { Version::Http10 } else { Version::Http11 };

    let facts = collect(buf, response.headers, head_len, &mut head.fields)?;
    facts.check_framing(is_http10)?;
    if head.status == 101 && !(request.asked_websocket && facts.is_websocket() && !is_http10) {
        return Err(ResponseRefusal::UnaskedUpgrade);
    }
    head.declared_length = facts.content_length;
    head.framing = framing(head.status, request, &facts);
    head.keep_alive = facts.keeps_alive(is_http10) && head.framing != ResponseFraming::UntilClose;
    Ok(Parsed::Complete)
}

/// RFC 9112, 6.3, in its order.
fn framing(status: u16, request: RequestContext, facts: &Facts) -> ResponseFraming {
    if request.is_head || status < 200 || status == 204 || status == 304 {
        return ResponseFraming::None;
    }
    match facts.content_length {
        Some(length) => ResponseFraming::Length(length),
        None if facts.chunked => ResponseFraming::Chunked,
        None => ResponseFraming::UntilClose,
    }
}
