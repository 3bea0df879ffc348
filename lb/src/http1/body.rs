//! A body of known length, counted down.

/// How much of a body of known length is still to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LengthBody {
    remaining: u64,
}

impl LengthBody {
    /// A body of `length` bytes.
    pub fn new(length: u64) -> LengthBody {
        LengthBody { remaining: length }
    }

    /// Takes what of `available` bytes belongs to the body and says how many that is; the rest is what follows it.
    pub fn take(&mut self, available: usize) -> usize {
        let taken = usize::try_from(self.remaining).map_or(available, |remaining| remaining.min(available));
        self.remaining -= taken as u64;
        taken
    }

    /// Bytes still to come.
    pub fn remaining(&self) -> u64 {
        self.remaining
    }

    /// Whether the body is complete.
    pub fn is_done(&self) -> bool {
        self.remaining == 0
    }
}
