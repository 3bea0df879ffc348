//! What requests and responses share: one pass of the grammar, the limits, and the facts the fields state.

use std::mem::MaybeUninit;

use httparse::Header;

use super::connection::{ConnectionOptions, options};
use super::field::{Field, FieldKind, classify};
use super::limits::HeadLimits;
use super::refusal::FieldFault;
use super::span::Span;

/// Heads with at most this many fields are parsed without touching the heap.
const FIELDS_ON_STACK: usize = 128;

/// Larger lengths are refused: there are servers that count in 63 bits, and would read them as something else.
const CONTENT_LENGTH_MAX: u64 = i64::MAX as u64;

/// Runs `parse` with room for `count` fields.
#[inline]
pub(super) fn with_slots<'b, R>(count: usize, parse: impl FnOnce(&mut [MaybeUninit<Header<'b>>]) -> R) -> R {
    if count <= FIELDS_ON_STACK {
        let mut slots = [const { MaybeUninit::uninit() }; FIELDS_ON_STACK];
        return parse(&mut slots[..count]);
    }
    let mut slots: Vec<MaybeUninit<Header<'b>>> = (0..count).map(|_| MaybeUninit::uninit()).collect();
    parse(&mut slots)
}

/// How far an incomplete head has been looked at, so that bytes arriving one by one do not cost a parse each.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Progress {
    seen: usize,
    parsed: usize,
}

impl Progress {
    /// Whether parsing `buf` can say more than last time: a head is complete, its first line is, or it has doubled.
    #[inline]
    pub(super) fn is_worth_parsing(&mut self, buf: &[u8]) -> bool {
        self.seen == 0 || self.has_news(buf)
    }

    /// Notes that `buf` was parsed and no end was found.
    pub(super) fn parsed(&mut self, buf: &[u8]) {
        self.seen = buf.len();
        self.parsed = buf.len();
    }

    #[cold]
    fn has_news(&mut self, buf: &[u8]) -> bool {
        // An empty line may have begun in the bytes seen before: LF CR LF reaches two of them back.
        let from = self.seen.saturating_sub(2).min(buf.len());
        let first_line_is_new = || !buf[..self.seen.min(buf.len())].contains(&b'\n');
        let ends = |at: usize| matches!(buf[at + 1..], [b'\n', ..] | [b'\r', b'\n', ..]);
        let news = buf.len() >= self.parsed.saturating_mul(2)
            || (from..buf.len()).any(|at| buf[at] == b'\n' && (ends(at) || (at >= self.seen && first_line_is_new())));
        self.seen = buf.len();
        news
    }
}

/// What of the limits an incomplete or complete head goes beyond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beyond {
    FirstLine,
    Fields,
}

/// Holds a head against its limits: `head` is all of it, or all there is of it so far, from its first line on.
pub(super) fn check_limits(head: &[u8], is_complete: bool, limits: &HeadLimits) -> Result<(), Beyond> {
    if head.len() <= limits.line_bytes_max.min(limits.headers_bytes_max) {
        return Ok(());
    }
    let searched = &head[..head.len().min(limits.line_bytes_max.saturating_add(2))];
    let Some(line_end) = searched.iter().position(|byte| *byte == b'\n') else {
        return if searched.len() > limits.line_bytes_max + 1 { Err(Beyond::FirstLine) } else { Ok(()) };
    };
    let last_line = if is_complete { "\r\n".len() } else { 0 };
    let fields = head.len().saturating_sub(line_end + 1 + last_line);
    // While it is incomplete, the last CR of it may be of the empty line already.
    let slack = if is_complete { 0 } else { 1 };
    if fields > limits.headers_bytes_max + slack { Err(Beyond::Fields) } else { Ok(()) }
}

/// What the fields say about the message as a whole.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Facts {
    pub(super) host: Option<Span>,
    pub(super) host_is_repeated: bool,
    pub(super) content_length: Option<u64>,
    pub(super) chunked: bool,
    pub(super) framing_alias: bool,
    pub(super) connection: ConnectionOptions,
    pub(super) websocket: bool,
    pub(super) upgrades: u32,
    pub(super) expect_continue: bool,
    pub(super) request_id: Option<Span>,
    pub(super) request_id_is_repeated: bool,
}

/// Turns what `httparse` found into fields and the facts they state.
///
/// `httparse` lets a line end in a bare LF, but a CR nowhere except before one. So one byte tells for each line,
/// the first line included: the one two before the next line begins. That one before the empty line vouches for
/// the empty line too, which a bare LF would make a byte shorter.
#[inline]
pub(super) fn collect(
    buf: &[u8],
    headers: &[Header<'_>],
    head_len: usize,
    fields: &mut Vec<Field>,
) -> Result<Facts, FieldFault> {
    let mut facts = Facts::default();
    fields.clear();
    fields.reserve(headers.len());
    for header in headers {
        let name = Span::within(buf, header.name.as_bytes());
        let value = Span::within(buf, header.value);
        if !follows_cr(buf, name.start as usize) {
            return Err(FieldFault::LineEnd);
        }
        let kind = classify(header.name.as_bytes());
        if kind != FieldKind::Other {
            facts.note(kind, value, header.value)?;
        }
        fields.push(Field { name, value, kind });
    }
    if !follows_cr(buf, head_len.saturating_sub(2)) {
        return Err(FieldFault::LineEnd);
    }
    facts.connection.nominate(buf, fields);
    Ok(facts)
}

/// Whether the line before offset `at` ends in CR LF, given that it ends in LF.
#[inline]
fn follows_cr(buf: &[u8], at: usize) -> bool {
    at >= 2 && buf.get(at - 2) == Some(&b'\r')
}

impl Facts {
    #[inline]
    fn note(&mut self, kind: FieldKind, span: Span, value: &[u8]) -> Result<(), FieldFault> {
        match kind {
            FieldKind::Host => {
                self.host_is_repeated |= self.host.is_some();
                self.host = Some(span);
            }
            FieldKind::ContentLength => {
                if self.content_length.is_some() {
                    return Err(FieldFault::ContentLengthRepeated);
                }
                self.content_length = Some(content_length(value).ok_or(FieldFault::ContentLength)?);
            }
            FieldKind::TransferEncoding => {
                if self.chunked {
                    return Err(FieldFault::TransferCodingRepeated);
                }
                if !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(FieldFault::TransferCoding);
                }
                self.chunked = true;
            }
            FieldKind::FramingAlias => self.framing_alias = true,
            FieldKind::Connection => self.connection.add(value)?,
            FieldKind::Upgrade => {
                self.upgrades += 1;
                self.websocket = value.eq_ignore_ascii_case(b"websocket");
            }
            FieldKind::RequestId => {
                self.request_id_is_repeated |= self.request_id.is_some();
                self.request_id = Some(span);
            }
            FieldKind::Expect => {
                self.expect_continue |= options(value).any(|option| option.eq_ignore_ascii_case(b"100-continue"));
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether a switch to WebSocket, and to nothing else, is asked for or granted.
    pub(super) fn is_websocket(&self) -> bool {
        self.websocket && self.upgrades == 1 && self.connection.upgrade
    }

    /// Refuses framings that exclude each other or the version.
    #[inline]
    pub(super) fn check_framing(&self, is_http10: bool) -> Result<(), FieldFault> {
        match (self.chunked, self.content_length) {
            (true, Some(_)) => Err(FieldFault::TwoFramings),
            (true, None) if is_http10 => Err(FieldFault::TransferCodingInHttp10),
            _ => Ok(()),
        }
    }

    /// Whether the sender will keep the connection open after this message.
    #[inline]
    pub(super) fn keeps_alive(&self, is_http10: bool) -> bool {
        !self.connection.close && (!is_http10 || self.connection.keep_alive)
    }
}

/// Digits only: no sign, no list, nothing around them.
#[inline]
fn content_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    let mut length: u64 = 0;
    for byte in value {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        length = length.checked_mul(10)?.checked_add(u64::from(digit))?;
    }
    (length <= CONTENT_LENGTH_MAX).then_some(length)
}
