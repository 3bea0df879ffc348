//! What a request is called: the id its client gave it, or one made here, so that client, target, access log and
//! `explain` speak of the same request.
//!
//! Not here: what can be an id (`http1`).

use crate::http1::Span;

/// How long ours are: 128 random bits in hexadecimal digits.
const DIGITS: usize = 32;

/// The id of a request.
#[derive(Debug, Clone, Copy)]
pub(super) enum RequestId {
    /// The client's, where it lies in the request's head.
    Theirs(Span),
    /// Made here.
    Ours([u8; DIGITS]),
}

impl Default for RequestId {
    fn default() -> Self {
        Self::Theirs(Span::default())
    }
}

impl RequestId {
    /// An id of random bits.
    pub(super) fn made_of(bits: u128) -> Self {
        let mut digits = [0; DIGITS];
        for (place, digit) in digits.iter_mut().rev().enumerate() {
            *digit = b"0123456789abcdef"[(bits >> (4 * place)) as usize & 0xf];
        }
        Self::Ours(digits)
    }

    /// Ours, where it is ours.
    pub(super) fn ours(&self) -> Option<&[u8]> {
        match self {
            Self::Theirs(_) => None,
            Self::Ours(digits) => Some(digits),
        }
    }

    /// The id, given the bytes of the request's head.
    pub(super) fn bytes<'a>(&'a self, head: &'a [u8]) -> &'a [u8] {
        match self {
            Self::Theirs(span) => span.of(head),
            Self::Ours(digits) => digits,
        }
    }
}
