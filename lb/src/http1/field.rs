//! Fields of a head and what the codec has to do with each, known from the name alone.

use super::span::Span;

/// One field line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// The name as it was sent.
    pub name: Span,
    /// The value without the white space around it.
    pub value: Span,
    /// What the field is to us.
    pub kind: FieldKind,
}

/// What a field is to a load balancer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldKind {
    /// Nothing to us: forwarded as it is.
    Other,
    /// `Host`.
    Host,
    /// `Content-Length`: dropped, ours is written.
    ContentLength,
    /// `Transfer-Encoding`: dropped, ours is written.
    TransferEncoding,
    /// `Connection`: dropped, ours is written.
    Connection,
    /// `Upgrade`: dropped, written again for a WebSocket only.
    Upgrade,
    /// `Keep-Alive`, `Proxy-Connection`, `TE`, `HTTP2-Settings`: of this connection only, dropped.
    HopByHop,
    /// `Expect`: answered by us, never forwarded.
    Expect,
    /// `Trailer`: forwarded while the body stays chunked.
    Trailer,
    /// `X-Forwarded-For`: extended.
    XForwardedFor,
    /// `X-Forwarded-Proto`: ours, or a trusted peer's.
    XForwardedProto,
    /// `X-Forwarded-Port`: ours, or a trusted peer's.
    XForwardedPort,
    /// `Forwarded` and every other `X-Forwarded-*`: kept, or dropped when the peer is not trusted.
    Forwarding,
    /// `X-Request-Id`: passed on if it can be one, else ours takes its place.
    RequestId,
    /// `X-Amzn-Mtls-*`: what is told of a client's certificate. Ours, or a trusted peer's.
    ClientCertificate,
    /// `Cookie`.
    Cookie,
    /// `Set-Cookie`.
    SetCookie,
    /// A name that a server which takes `_` and its like for `-` would read as one of the above: dropped.
    Aliasing,
    /// As `Aliasing`, for `Content-Length` or `Transfer-Encoding`, be it with more punctuation than they have: dropped.
    FramingAlias,
    /// Named by a `Connection` option, so of this connection only: dropped.
    Nominated,
}

/// What the name of a field makes of it. `name` is a token already.
#[inline]
pub(super) fn classify(name: &[u8]) -> FieldKind {
    let Some(&first) = name.first() else { return FieldKind::Other };
    match (name.len(), first | 0x20) {
        (2, b't') => plain(name, b"te", FieldKind::HopByHop),
        (4, b'h') => plain(name, b"host", FieldKind::Host),
        (6, b'c') => plain(name, b"cookie", FieldKind::Cookie),
        (6, b'e') => plain(name, b"expect", FieldKind::Expect),
        (7, b't') => plain(name, b"trailer", FieldKind::Trailer),
        (7, b'u') => plain(name, b"upgrade", FieldKind::Upgrade),
        (9, b'f') => plain(name, b"forwarded", FieldKind::Forwarding),
        (10, b'c') => plain(name, b"connection", FieldKind::Connection),
        (10, b'k') => guarded(name, b"keep-alive", FieldKind::HopByHop),
        (10, b's') => plain(name, b"set-cookie", FieldKind::SetCookie),
        (12, b'x') => guarded(name, b"x-request-id", FieldKind::RequestId),
        (14, b'c') => framing(name, b"content-length", FieldKind::ContentLength),
        (14, b'h') => guarded(name, b"http2-settings", FieldKind::HopByHop),
        (16, b'p') => guarded(name, b"proxy-connection", FieldKind::HopByHop),
        (17, b't') => framing(name, b"transfer-encoding", FieldKind::TransferEncoding),
        (13.., b'x') => forwarding(name),
        // Or punctuation, as far as a token begins with it.
        (15.., b'c' | b't' | b'!'..=b'.' | b'`' | b'|'..) => disguised(name),
        _ => FieldKind::Other,
    }
}

/// The kinds of the `X-Forwarded-` family, and of the `X-Amzn-Mtls-` family, whose names are as long.
fn forwarding(name: &[u8]) -> FieldKind {
    let (family, member) = name.split_at("x-forwarded-".len());
    let kind = match member.len() {
        3 => plain(member, b"for", FieldKind::XForwardedFor),
        4 => plain(member, b"port", FieldKind::XForwardedPort),
        5 => plain(member, b"proto", FieldKind::XForwardedProto),
        _ => FieldKind::Forwarding,
    };
    match guarded(family, b"x-forwarded-", kind) {
        FieldKind::Other if matches!(family.get(2), Some(b'a' | b'A')) => {
            guarded(family, b"x-amzn-mtls-", FieldKind::ClientCertificate)
        }
        FieldKind::Other if family.eq_ignore_ascii_case(b"x-forwarded-") => FieldKind::Forwarding,
        kind => kind,
    }
}

#[inline]
fn plain(name: &[u8], known: &[u8], kind: FieldKind) -> FieldKind {
    if name.eq_ignore_ascii_case(known) { kind } else { FieldKind::Other }
}

/// As [`plain`], but a name that only differs in its punctuation is an alias.
#[inline]
fn guarded(name: &[u8], known: &[u8], kind: FieldKind) -> FieldKind {
    if name.eq_ignore_ascii_case(known) {
        return kind;
    }
    let mut pairs = name.iter().zip(known);
    let alias = pairs.all(|(a, b)| a.eq_ignore_ascii_case(b) || (*b == b'-' && !a.is_ascii_alphanumeric()));
    if alias { FieldKind::Aliasing } else { FieldKind::Other }
}

/// As [`plain`], for a field that frames the message.
#[inline]
fn framing(name: &[u8], known: &[u8], kind: FieldKind) -> FieldKind {
    if name.eq_ignore_ascii_case(known) { kind } else { disguised(name) }
}

/// Whether a name has the letters of one that frames the message, in order, with any punctuation between them.
#[cold]
fn disguised(name: &[u8]) -> FieldKind {
    let has_letters_of = |known: &[u8]| {
        let letters = name.iter().filter(|byte| byte.is_ascii_alphanumeric()).map(u8::to_ascii_lowercase);
        letters.eq(known.iter().copied())
    };
    let is_alias = has_letters_of(b"contentlength") || has_letters_of(b"transferencoding");
    if is_alias { FieldKind::FramingAlias } else { FieldKind::Other }
}

/// The value of the first of `fields` with this name, in any case.
pub(super) fn first_value<'a>(fields: &[Field], buf: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let named = |field: &&Field| field.name.of(buf).eq_ignore_ascii_case(name.as_bytes());
    fields.iter().find(named).map(|field| field.value.of(buf))
}
