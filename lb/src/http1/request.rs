//! A request head: parsing, and the one decision about its framing, target and host.

use httparse::Status;

use super::cookie::cookie_pairs;
use super::field::{Field, FieldKind};
use super::limits::HeadLimits;
use super::method::Method;
use super::refusal::{FieldFault, RequestRefusal};
use super::scan::{Beyond, Facts, Progress, check_limits, collect, with_slots};
use super::span::Span;
use super::target::{TargetForm, is_valid_host, parse_target};
use super::unusual::Unusual;
use super::{Parsed, Version};

/// The longest method.
const METHOD_BYTES_MAX: usize = 127;

/// The longest id of a request that is passed on.
const REQUEST_ID_BYTES_MAX: usize = 128;

/// How a request's body is delimited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BodyFraming {
    /// Neither Content-Length nor Transfer-Encoding: there is no body.
    #[default]
    None,
    /// So many bytes follow.
    Length(u64),
    /// Chunks follow.
    Chunked,
}

impl BodyFraming {
    /// Whether at least the end of a body is still to be read after the head.
    pub fn has_body(self) -> bool {
        !matches!(self, BodyFraming::None | BodyFraming::Length(0))
    }
}

/// A request head, as offsets into the buffer it was parsed from. Made once for a connection and filled again for
/// each request, so that the steady path allocates nothing. Meaningful after [`Parsed::Complete`] only.
#[derive(Debug, Default)]
pub struct RequestHead {
    /// The method.
    pub method: Method,
    /// The method as it was sent.
    pub method_name: Span,
    /// The target as it was sent.
    pub target: Span,
    /// The form of the target.
    pub form: TargetForm,
    /// Path and query. In absolute form it may lack its slash (`http://host`, `http://host?query`): see [`Self::path`].
    pub path_and_query: Span,
    /// The version the client speaks.
    pub version: Version,
    /// Every field line, in order.
    pub fields: Vec<Field>,
    /// How the body is delimited.
    pub framing: BodyFraming,
    /// The host asked for: the authority of an absolute-form target, else the Host field. Only HTTP/1.0 may have none.
    pub host: Option<Span>,
    /// The client's id for this request, where it is one: a single X-Request-Id of 1 to 128 visible ASCII characters.
    pub request_id: Option<Span>,
    /// Whether the client wishes to keep the connection.
    pub keep_alive: bool,
    /// Whether the client waits for `100 Continue` before it sends the body. Never without a body.
    pub expect_continue: bool,
    /// Whether the client asks for a WebSocket. Every other upgrade is ignored.
    pub upgrade_websocket: bool,
    /// The worst of what is unusual about it.
    pub unusual: Option<Unusual>,
    /// How many bytes of the buffer the head takes; the body starts there.
    pub head_len: usize,
    progress: Progress,
}

impl RequestHead {
    /// Forgets a head that was parsed in part. Needed only where a buffer is given up before its head was complete.
    pub fn clear(&mut self) {
        self.fields.clear();
        self.progress = Progress::default();
    }

    /// The path without its query, for access logs and routing: never empty.
    pub fn path<'a>(&self, buf: &'a [u8]) -> &'a [u8] {
        let whole = self.path_and_query.of(buf);
        match whole.split(|byte| *byte == b'?').next() {
            Some(path) if !path.is_empty() => path,
            _ => b"/",
        }
    }

    /// The value of the first field of this name, in any case.
    pub fn value<'a>(&self, buf: &'a [u8], name: &str) -> Option<&'a [u8]> {
        super::field::first_value(&self.fields, buf, name)
    }

    /// The values of cookies of this name, in order.
    pub fn cookies<'a>(&self, buf: &'a [u8], name: &str) -> impl Iterator<Item = &'a [u8]> {
        let fields = self.fields.iter().filter(|field| field.kind == FieldKind::Cookie);
        let pairs = fields.flat_map(move |field| cookie_pairs(field.value.of(buf)));
        pairs.filter(move |pair| pair.name == name.as_bytes()).map(|pair| pair.value)
    }
}

/// Parses the request head at the start of `buf` into `head`.
///
/// While the answer is [`Parsed::Partial`], call again with the same bytes and more; only then. The cost stays
/// linear in the size of the head however slowly it arrives.
pub fn parse_request(buf: &[u8], limits: &HeadLimits, head: &mut RequestHead) -> Result<Parsed, RequestRefusal> {
    let outcome = parse(buf, limits, head);
    if !matches!(outcome, Ok(Parsed::Partial)) {
        head.progress = Progress::default();
    }
    outcome
}

fn parse(buf: &[u8], limits: &HeadLimits, head: &mut RequestHead) -> Result<Parsed, RequestRefusal> {
    // RFC 9112, 2.2: one empty line before a request is forgiven, for clients that end a body with one too many.
    let lead = match buf {
        [b'\r', b'\n', b'\r' | b'\n', ..] | [b'\n', ..] => return Err(RequestRefusal::RequestLine),
        [b'\r', b'\n', ..] => 2,
        [] | [b'\r'] => return Ok(Parsed::Partial),
        _ => 0,
    };
    let window = &buf[lead..buf.len().min(limits.head_bytes_max())];
    if !head.progress.is_worth_parsing(buf) {
        return partial(window, limits);
    }
    with_slots(limits.header_count_max, |slots| {
        let mut request = httparse::Request::new(&mut []);
        match request.parse_with_uninit_headers(window, slots) {
            Ok(Status::Complete(len)) => {
                check_limits(&window[..len], true, limits).map_err(beyond)?;
                complete(buf, lead + len, &request, head)
            }
            Ok(Status::Partial) => {
                head.progress.parsed(buf);
                partial(window, limits)
            }
            Err(error) => {
                let refusal = malformed(window, error, &request);
                refusal.map_or_else(|| partial(window, limits), Err)
            }
        }
    })
}

#[cold]
fn partial(window: &[u8], limits: &HeadLimits) -> Result<Parsed, RequestRefusal> {
    check_limits(window, false, limits).map_err(beyond)?;
    Ok(Parsed::Partial)
}

fn beyond(what: Beyond) -> RequestRefusal {
    match what {
        Beyond::FirstLine => RequestRefusal::RequestLineTooLong,
        Beyond::Fields => RequestRefusal::Fields(FieldFault::TooLarge),
    }
}

/// What an error of the grammar means to us; nothing when more bytes are needed to tell.
#[cold]
fn malformed(window: &[u8], error: httparse::Error, request: &httparse::Request<'_, '_>) -> Option<RequestRefusal> {
    match error {
        httparse::Error::HeaderName => Some(FieldFault::Name.into()),
        httparse::Error::HeaderValue => Some(FieldFault::Value.into()),
        httparse::Error::TooManyHeaders => Some(FieldFault::TooMany.into()),
        httparse::Error::NewLine => Some(FieldFault::LineEnd.into()),
        httparse::Error::Token | httparse::Error::Status => Some(RequestRefusal::RequestLine),
        httparse::Error::Version => {
            let target = request.path.unwrap_or_default();
            let rest = &window[Span::within(window, target.as_bytes()).end as usize..];
            match other_version(rest.strip_prefix(b" ").unwrap_or(rest)) {
                Some(true) => Some(RequestRefusal::Version),
                Some(false) => Some(RequestRefusal::RequestLine),
                None => None,
            }
        }
    }
}

/// Whether `rest` starts with a version of HTTP; `None` when it is too short to tell.
fn other_version(rest: &[u8]) -> Option<bool> {
    const FORM: &[u8] = b"HTTP/0.0";
    let fits = FORM.iter().zip(rest).all(|(form, byte)| form == byte || (*form == b'0' && byte.is_ascii_digit()));
    match rest.get(FORM.len()) {
        Some(after) => Some(fits && matches!(after, b'\r' | b'\n')),
        None if fits => None,
        None => Some(false),
    }
}

/// Decides what the head means, once.
fn complete(
    buf: &[u8],
    head_len: usize,
    request: &httparse::Request<'_, '_>,
    head: &mut RequestHead,
) -> Result<Parsed, RequestRefusal> {
    let (method_name, target) = (request.method.unwrap_or_default(), request.path.unwrap_or_default());
    head.method_name = Span::within(buf, method_name.as_bytes());
    head.target = Span::within(buf, target.as_bytes());
    head.head_len = head_len;
    if method_name == "CONNECT" {
        return Err(RequestRefusal::Connect);
    }
    if method_name.len() > METHOD_BYTES_MAX {
        return Err(RequestRefusal::MethodTooLong);
    }
    head.method = Method::from_token(method_name.as_bytes());
    let is_http10 = request.version == Some(0);
    head.version = if is_http10 { Version::Http10 } else { Version::Http11 };
    // One wide look at all of it, for the target and the values: what else is in a head is ASCII by its grammar.
    let is_ascii = buf[..head_len].iter().fold(0, |all, byte| all | byte).is_ascii();
    if !is_ascii && !target.is_ascii() {
        return Err(RequestRefusal::Target);
    }
    let target = parse_target(target.as_bytes(), head.target, head.method)?;
    head.form = target.form;
    head.path_and_query = target.path;

    let facts = collect(buf, request.headers, head_len, &mut head.fields)?;
    facts.check_framing(is_http10)?;
    head.framing = match facts.content_length {
        Some(length) => BodyFraming::Length(length),
        None if facts.chunked => BodyFraming::Chunked,
        None => BodyFraming::None,
    };
    head.unusual = unusual(is_ascii, head, &facts);
    if facts.host_is_repeated {
        return Err(RequestRefusal::HostRepeated);
    }
    match facts.host {
        Some(host) if !is_valid_host(host.of(buf)) => return Err(RequestRefusal::Host),
        None if !is_http10 => return Err(RequestRefusal::HostMissing),
        _ => {}
    }
    head.host = target.authority.or(facts.host);
    let request_id = facts.request_id.filter(|_| !facts.request_id_is_repeated);
    head.request_id = request_id.filter(|id| is_request_id(id.of(buf)));
    head.keep_alive = facts.keeps_alive(is_http10);
    head.expect_continue = facts.expect_continue && !is_http10 && head.framing.has_body();
    head.upgrade_websocket =
        facts.is_websocket() && !is_http10 && head.method == Method::Get && !head.framing.has_body();
    Ok(Parsed::Complete)
}

/// The worst of what is unusual about a request.
#[inline]
fn unusual(is_ascii: bool, head: &RequestHead, facts: &Facts) -> Option<Unusual> {
    let is_bodiless = matches!(head.method, Method::Get | Method::Head);
    match head.framing {
        _ if facts.framing_alias => Some(Unusual::FramingAlias),
        BodyFraming::Chunked | BodyFraming::Length(1..) if is_bodiless => Some(Unusual::BodyOfGet),
        BodyFraming::Length(0) if is_bodiless => Some(Unusual::LengthOfNothing),
        _ if !is_ascii => Some(Unusual::BeyondAscii),
        _ => None,
    }
}

/// Whether this can be the id of a request: something that can be typed, logged and looked for.
fn is_request_id(value: &[u8]) -> bool {
    (1..=REQUEST_ID_BYTES_MAX).contains(&value.len()) && value.iter().all(u8::is_ascii_graphic)
}
