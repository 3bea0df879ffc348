//! How it goes with a certificate that an authority issues. Not here: ordering it (`control`).

use std::sync::Arc;
use std::time::SystemTime;

/// How it goes with a certificate that an authority issues, as whoever orders it sees it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Issuance {
    /// How many times it was issued since elbow started.
    pub succeeded: u64,
    /// How many attempts led to nothing since then.
    pub failed: u64,
    /// Why the last attempt led to nothing, if it did.
    pub error: Option<Arc<str>>,
    /// When it is tried next, or renewed.
    pub next_at: Option<SystemTime>,
}
