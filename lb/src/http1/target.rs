//! The forms of a request target (RFC 9112, 3.2) and the validity of a host (RFC 3986, 3.2.2).

use std::net::Ipv6Addr;

use super::method::Method;
use super::refusal::RequestRefusal;
use super::span::Span;

/// The form in which a target was asked for. All are forwarded in origin form, but `*`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TargetForm {
    /// `/path?query`.
    #[default]
    Origin,
    /// `http://host/path?query`: its authority wins over Host.
    Absolute,
    /// `*`, of OPTIONS only.
    Asterisk,
}

/// A target taken apart.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Target {
    pub(super) form: TargetForm,
    pub(super) authority: Option<Span>,
    pub(super) path: Span,
}

/// Takes apart `whole`, the target at `span`, which is ASCII and holds no space and no control character.
#[inline]
pub(super) fn parse_target(whole: &[u8], span: Span, method: Method) -> Result<Target, RequestRefusal> {
    // A fragment has no place in a target, and servers differ in what they make of it. So it is with bytes beyond ASCII.
    if whole.contains(&b'#') {
        return Err(RequestRefusal::Target);
    }
    if whole.first() == Some(&b'/') {
        return Ok(Target { form: TargetForm::Origin, authority: None, path: span });
    }
    if whole == b"*" && method == Method::Options {
        return Ok(Target { form: TargetForm::Asterisk, authority: None, path: span });
    }
    absolute(whole, span)
}

#[cold]
fn absolute(whole: &[u8], span: Span) -> Result<Target, RequestRefusal> {
    let scheme = [&b"http://"[..], b"https://"]
        .into_iter()
        .find(|scheme| whole.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)))
        .ok_or(RequestRefusal::Target)?;
    let rest = &whole[scheme.len()..];
    let authority_len = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
    if !is_valid_host(&rest[..authority_len]) {
        return Err(RequestRefusal::Host);
    }
    let start = span.start + scheme.len() as u32;
    let end = start + authority_len as u32;
    Ok(Target {
        form: TargetForm::Absolute,
        authority: Some(Span { start, end }),
        path: Span { start: end, end: span.end },
    })
}

/// Whether this is `host` or `host:port` as Host may hold it: a registered name, an IPv4 address or an IPv6
/// address in brackets. Not empty, no user, no list.
pub fn is_valid_host(host: &[u8]) -> bool {
    if host.first() == Some(&b'[') {
        return is_valid_ip_literal(host);
    }
    let name_len = host.iter().position(|byte| !REG_NAME[*byte as usize]).unwrap_or(host.len());
    match host.get(name_len) {
        None => name_len > 0,
        Some(b':') => name_len > 0 && is_valid_port(&host[name_len..]),
        Some(b'%') => is_valid_escaped(host),
        Some(_) => false,
    }
}

#[cold]
fn is_valid_ip_literal(host: &[u8]) -> bool {
    let Some(end) = host.iter().position(|byte| *byte == b']') else { return false };
    let address = std::str::from_utf8(&host[1..end]).unwrap_or_default();
    address.parse::<Ipv6Addr>().is_ok() && is_valid_port(&host[end + 1..])
}

/// Nothing, or a colon and a port, which RFC 3986 lets be empty.
fn is_valid_port(rest: &[u8]) -> bool {
    match rest {
        [] | [b':'] => true,
        [b':', digits @ ..] => {
            digits.iter().all(u8::is_ascii_digit)
                && std::str::from_utf8(digits).is_ok_and(|digits| digits.parse::<u16>().is_ok())
        }
        _ => false,
    }
}

/// As [`is_valid_host`] for a name with percent-encoded bytes: each escape counts as one of its digits.
#[cold]
fn is_valid_escaped(host: &[u8]) -> bool {
    let mut plain = Vec::with_capacity(host.len());
    let mut rest = host;
    while let Some((&byte, after)) = rest.split_first() {
        rest = match (byte, after) {
            (b'%', [high, low, after @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => after,
            (b'%', _) => return false,
            _ => after,
        };
        plain.push(if byte == b'%' { b'0' } else { byte });
    }
    is_valid_host(&plain)
}

/// Unreserved characters and sub-delimiters; but no comma, the mark of two Hosts made one.
const REG_NAME: [bool; 256] = {
    let mut allowed = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        allowed[byte] = matches!(
            byte as u8,
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~'
                | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b';' | b'='
        );
        byte += 1;
    }
    allowed
};

/// The host of a `Host` field, without the port that may follow.
pub fn host_without_port(host: &[u8]) -> &[u8] {
    let name_ends = host.iter().rposition(|byte| *byte == b']').map_or(0, |bracket| bracket + 1);
    let colon = host[name_ends..].iter().position(|byte| *byte == b':');
    colon.map_or(host, |colon| &host[..name_ends + colon])
}
