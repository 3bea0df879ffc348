//! A stretch of a buffer by its offsets, so that a parsed head borrows nothing.

/// The bytes `start..end` of the buffer a head was parsed from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Offset of the first byte.
    pub start: u32,
    /// Offset after the last byte.
    pub end: u32,
}

impl Span {
    /// The span of `part`, which must lie within `buf`.
    #[inline]
    pub(crate) fn within(buf: &[u8], part: &[u8]) -> Span {
        let start = (part.as_ptr() as usize).wrapping_sub(buf.as_ptr() as usize);
        debug_assert!(start + part.len() <= buf.len());
        Span { start: start as u32, end: (start + part.len()) as u32 }
    }

    /// The bytes meant, of the buffer that was parsed; empty of any buffer that is too short.
    #[inline]
    pub fn of(self, buf: &[u8]) -> &[u8] {
        buf.get(self.start as usize..self.end as usize).unwrap_or_default()
    }

    /// How many bytes are meant.
    #[inline]
    pub fn len(self) -> usize {
        self.end.saturating_sub(self.start) as usize
    }

    /// Whether no byte is meant.
    #[inline]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }
}
