//! Writing heads on: spans copied, ours added, one unambiguous form.
//!
//! Whatever came in, out goes HTTP/1.1 with an origin-form target, one Host, at most one framing field,
//! `name: value` lines and no field that concerns the other connection only. Lines that are in this form already
//! are copied in runs.

use super::cookie::CookiesCut;
use super::field::{Field, FieldKind};
use super::reason::reason;
use super::request::{BodyFraming, RequestHead};
use super::response::ResponseHead;
use super::target::TargetForm;
use super::{Span, Version};

/// Room for what we add to a head, beside fields that are passed in.
const ADDED_BYTES: usize = 512;

const REQUEST_ID: &[u8] = b"X-Request-Id";

/// Which framing field to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WrittenFraming {
    /// None: no body, or one that ends with the connection.
    None,
    /// `Content-Length`.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
}

impl From<BodyFraming> for WrittenFraming {
    fn from(framing: BodyFraming) -> WrittenFraming {
        match framing {
            BodyFraming::None => WrittenFraming::None,
            BodyFraming::Length(length) => WrittenFraming::Length(length),
            BodyFraming::Chunked => WrittenFraming::Chunked,
        }
    }
}

/// What to say about the connection the head goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connection {
    /// Nothing: HTTP/1.1 keeps it.
    Unsaid,
    /// `Connection: keep-alive`, for a client of HTTP/1.0 that asked for it.
    KeepAlive,
    /// `Connection: close`.
    Close,
    /// `Connection: Upgrade` and `Upgrade: websocket`: the handshake, or its answer.
    Websocket,
}

/// How far the forwarding fields a peer sent are believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// No peers are told apart: X-Forwarded-For is extended, Proto and Port are ours, others pass.
    Unchecked,
    /// Not one of the trusted: every forwarding field it sent is dropped.
    Untrusted,
    /// Trusted: X-Forwarded-For is extended, its Proto and Port are kept.
    Trusted,
}

/// The forwarding fields to write.
#[derive(Clone, Copy, Debug)]
pub struct Forwarding<'a> {
    /// Whether what came in of them is believed.
    pub peer: Peer,
    /// The address of the client of this connection.
    pub client_address: &'a str,
    /// `http` or `https`, as the listener speaks.
    pub proto: &'a str,
    /// The listener's port.
    pub port: &'a str,
    /// What is told of the certificate that the client showed; empty: it showed none.
    pub certificate: &'a [(&'a str, &'a [u8])],
}

/// What to change in a request head.
#[derive(Clone, Copy, Debug)]
pub struct RequestEdits<'a> {
    /// The forwarding fields.
    pub forwarding: Forwarding<'a>,
    /// Host for a request that names none, as HTTP/1.0 may.
    pub host_default: &'a str,
    /// The framing of the body as it will be sent.
    pub framing: WrittenFraming,
    /// The connection to the target. [`Connection::Websocket`] where [`RequestHead::upgrade_websocket`] says so.
    pub connection: Connection,
    /// The X-Request-Id that takes the place of whatever came; absent: the client's is passed on.
    pub request_id: Option<&'a [u8]>,
    /// Cookies to leave out, if any.
    pub cookies_cut: Option<CookiesCut<'a>>,
    /// Fields to add.
    pub fields: &'a [(&'a str, &'a [u8])],
}

/// What to change in a response head.
#[derive(Clone, Copy, Debug)]
pub struct ResponseEdits<'a> {
    /// The framing of the body as it will be sent: see [`ResponseHead::delivery`].
    pub framing: WrittenFraming,
    /// The connection to the client.
    pub connection: Connection,
    /// The X-Request-Id to add, unless the target has given its answer one.
    pub request_id: Option<&'a [u8]>,
    /// Fields to add.
    pub fields: &'a [(&'a str, &'a [u8])],
}

/// Writes the request head that was parsed from `buf` for a target.
pub fn write_request_head(out: &mut Vec<u8>, buf: &[u8], head: &RequestHead, edits: &RequestEdits<'_>) {
    out.reserve(head.head_len + ADDED_BYTES);
    let mut copy = Copy::new(out, buf);
    let host_in_place = head.host.is_some() && head.form != TargetForm::Absolute;
    if head.form != TargetForm::Absolute && head.version == Version::Http11 {
        copy.run(head.method_name.start, head.target.end + " HTTP/1.1\r\n".len() as u32);
    } else {
        write_request_line(copy.out, buf, head);
    }
    if !host_in_place {
        let host = head.host.map_or(edits.host_default.as_bytes(), |host| host.of(buf));
        write_field(copy.flushed(), b"Host", host);
    }
    let forwarding = &edits.forwarding;
    let (mut has_forwarded_for, mut proto, mut port) = (false, None, None);
    for field in &head.fields {
        match field.kind {
            FieldKind::Cookie => copy.cookies(field, edits.cookies_cut),
            FieldKind::Other | FieldKind::SetCookie => copy.field(field),
            FieldKind::Host if host_in_place => copy.field(field),
            FieldKind::Trailer if edits.framing == WrittenFraming::Chunked => copy.field(field),
            FieldKind::Forwarding if forwarding.peer != Peer::Untrusted => copy.field(field),
            FieldKind::RequestId if edits.request_id.is_none() => copy.field(field),
            FieldKind::ClientCertificate if forwarding.peer == Peer::Trusted && forwarding.certificate.is_empty() => {
                copy.field(field);
            }
            FieldKind::XForwardedFor => has_forwarded_for = forwarding.peer != Peer::Untrusted,
            FieldKind::XForwardedProto if forwarding.peer == Peer::Trusted => proto = Some(field.value),
            FieldKind::XForwardedPort if forwarding.peer == Peer::Trusted => port = Some(field.value),
            _ => {}
        }
    }
    let out = copy.flushed();
    write_forwarded_for(out, buf, head, has_forwarded_for, forwarding.client_address);
    write_field(out, b"X-Forwarded-Proto", theirs_or_ours(buf, proto, forwarding.proto));
    write_field(out, b"X-Forwarded-Port", theirs_or_ours(buf, port, forwarding.port));
    if let Some(id) = edits.request_id {
        write_field(out, REQUEST_ID, id);
    }
    for (name, value) in forwarding.certificate {
        write_field(out, name.as_bytes(), value);
    }
    finish(out, edits.framing, edits.connection, edits.fields);
}

/// Writes the response head that was parsed from `buf` for a client.
pub fn write_response_head(out: &mut Vec<u8>, buf: &[u8], head: &ResponseHead, edits: &ResponseEdits<'_>) {
    out.reserve(head.head_len + ADDED_BYTES);
    let mut copy = Copy::new(out, buf);
    if head.version == Version::Http11 && !head.reason.is_empty() {
        copy.run(0, head.reason.end + 2);
    } else {
        write_status_line(copy.out, head.status, head.reason.of(buf));
    }
    let mut request_id = edits.request_id;
    for field in &head.fields {
        match field.kind {
            FieldKind::Trailer if edits.framing != WrittenFraming::Chunked => {}
            FieldKind::RequestId => {
                request_id = None;
                copy.field(field);
            }
            FieldKind::ContentLength | FieldKind::TransferEncoding | FieldKind::Connection | FieldKind::Upgrade => {}
            FieldKind::HopByHop | FieldKind::Nominated | FieldKind::Aliasing | FieldKind::FramingAlias => {}
            _ => copy.field(field),
        }
    }
    let out = copy.flushed();
    if let Some(id) = request_id {
        write_field(out, REQUEST_ID, id);
    }
    finish(out, edits.framing, edits.connection, edits.fields);
}

/// Writes a whole answer of our own. `is_head` leaves the body away but tells its length.
pub fn write_own_response(
    out: &mut Vec<u8>,
    status: u16,
    connection: Connection,
    fields: &[(&str, &[u8])],
    body: &[u8],
    is_head: bool,
) {
    out.reserve(ADDED_BYTES + body.len());
    write_status_line(out, status, reason(status).as_bytes());
    finish(out, WrittenFraming::Length(body.len() as u64), connection, fields);
    if !is_head {
        out.extend_from_slice(body);
    }
}

/// Writes one field line.
#[inline]
pub(super) fn write_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

#[cold]
fn write_request_line(out: &mut Vec<u8>, buf: &[u8], head: &RequestHead) {
    out.extend_from_slice(head.method_name.of(buf));
    out.push(b' ');
    let path = head.path_and_query.of(buf);
    if path.is_empty() && head.method == super::Method::Options {
        // RFC 9112, 3.2.4: `OPTIONS http://host` asks about the server as a whole.
        out.push(b'*');
    } else if !matches!(path.first(), Some(b'/' | b'*')) {
        out.push(b'/');
    }
    out.extend_from_slice(path);
    out.extend_from_slice(b" HTTP/1.1\r\n");
}

fn write_status_line(out: &mut Vec<u8>, status: u16, reason: &[u8]) {
    out.extend_from_slice(b"HTTP/1.1 ");
    write_number(out, u64::from(status));
    out.push(b' ');
    out.extend_from_slice(reason);
    out.extend_from_slice(b"\r\n");
}

/// One X-Forwarded-For of all that came in, and the client's address at its end.
fn write_forwarded_for(out: &mut Vec<u8>, buf: &[u8], head: &RequestHead, keep: bool, client_address: &str) {
    out.extend_from_slice(b"X-Forwarded-For: ");
    if keep {
        for field in head.fields.iter().filter(|field| field.kind == FieldKind::XForwardedFor) {
            if !field.value.is_empty() {
                out.extend_from_slice(field.value.of(buf));
                out.extend_from_slice(b", ");
            }
        }
    }
    out.extend_from_slice(client_address.as_bytes());
    out.extend_from_slice(b"\r\n");
}

fn theirs_or_ours<'a>(buf: &'a [u8], theirs: Option<Span>, ours: &'a str) -> &'a [u8] {
    theirs.map(|span| span.of(buf)).filter(|value| !value.is_empty()).unwrap_or(ours.as_bytes())
}

/// The end of every head: fields to add, framing, connection, the empty line.
fn finish(out: &mut Vec<u8>, framing: WrittenFraming, connection: Connection, fields: &[(&str, &[u8])]) {
    for (name, value) in fields {
        write_field(out, name.as_bytes(), value);
    }
    match framing {
        WrittenFraming::None => {}
        WrittenFraming::Length(length) => {
            out.extend_from_slice(b"Content-Length: ");
            write_number(out, length);
            out.extend_from_slice(b"\r\n");
        }
        WrittenFraming::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
    }
    out.extend_from_slice(match connection {
        Connection::Unsaid => b"\r\n",
        Connection::KeepAlive => b"Connection: keep-alive\r\n\r\n",
        Connection::Close => b"Connection: close\r\n\r\n",
        Connection::Websocket => b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    });
}

fn write_number(out: &mut Vec<u8>, number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = number;
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Copies stretches of a buffer, those that touch at once.
struct Copy<'a> {
    out: &'a mut Vec<u8>,
    buf: &'a [u8],
    run: Span,
}

impl<'a> Copy<'a> {
    fn new(out: &'a mut Vec<u8>, buf: &'a [u8]) -> Copy<'a> {
        Copy { out, buf, run: Span::default() }
    }

    /// Copies a stretch that is in our form.
    #[inline]
    fn run(&mut self, start: u32, end: u32) {
        if self.run.end != start {
            self.flush();
            self.run.start = start;
        }
        self.run.end = end;
    }

    /// Copies a field line, in our form if it is in another.
    #[inline]
    fn field(&mut self, field: &Field) {
        let (name, value) = (field.name, field.value);
        let is_separated = value.start == name.end + 2 && self.buf.get(name.end as usize + 1) == Some(&b' ');
        if is_separated && self.buf.get(value.end as usize) == Some(&b'\r') {
            self.run(name.start, value.end + 2);
        } else {
            let buf = self.buf;
            write_field(self.flushed(), name.of(buf), value.of(buf));
        }
    }

    /// Copies a field line of cookies, less those that are to be left out.
    #[inline]
    fn cookies(&mut self, field: &Field, cut: Option<CookiesCut<'_>>) {
        let buf = self.buf;
        match cut {
            Some(cut) if cut.concerns(field, buf) => cut.write(self.flushed(), field, buf),
            _ => self.field(field),
        }
    }

    #[inline]
    fn flush(&mut self) {
        self.out.extend_from_slice(self.run.of(self.buf));
        self.run = Span::default();
    }

    /// The output, with all that was copied in it.
    fn flushed(&mut self) -> &mut Vec<u8> {
        self.flush();
        self.out
    }
}
