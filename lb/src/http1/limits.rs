//! How large a head may be.

/// The limits of one head. A head beyond them is refused as soon as that shows, complete or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// The longest request line or status line, without its line end.
    pub line_bytes_max: usize,
    /// The most bytes of all field lines together, with their line ends.
    pub headers_bytes_max: usize,
    /// The most field lines.
    pub header_count_max: usize,
}

impl HeadLimits {
    /// The largest head that can pass: what a buffer for heads must be able to hold.
    pub fn head_bytes_max(&self) -> usize {
        const LINE_ENDS: usize = "\r\n".len() * 3; // one empty line before, the first line's, the last empty line
        self.line_bytes_max.saturating_add(self.headers_bytes_max).saturating_add(LINE_ENDS).min(u32::MAX as usize)
    }
}

impl Default for HeadLimits {
    fn default() -> HeadLimits {
        HeadLimits { line_bytes_max: 16 * 1024, headers_bytes_max: 64 * 1024, header_count_max: 128 }
    }
}
