//! The keys under which TLS session tickets are sealed. Not here: sealing (`tls`), when a new one is due (`control`).

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

/// How many keys are kept: the one that seals and the one before it.
pub const TICKET_KEYS_MAX: usize = 2;

/// The keys under which session tickets are sealed: the newest seals, all open.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TicketKeys(Vec<Arc<TicketKey>>);

/// A key under which session tickets are sealed.
#[derive(Clone, PartialEq, Eq)]
pub struct TicketKey {
    /// Told beside a sealed ticket, so that it is opened with the right key.
    pub id: [u8; 8],
    /// The key itself. It never leaves the state.
    pub secret: [u8; 32],
    /// When it was made.
    pub made_at: SystemTime,
}

impl TicketKeys {
    /// These keys, the newest first; those beyond [`TICKET_KEYS_MAX`] are left out.
    pub fn new(keys: impl IntoIterator<Item = TicketKey>) -> Self {
        Self(keys.into_iter().take(TICKET_KEYS_MAX).map(Arc::new).collect())
    }

    /// The key that seals.
    pub fn newest(&self) -> Option<&Arc<TicketKey>> {
        self.0.first()
    }

    /// All keys that open, the newest first.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<TicketKey>> {
        self.0.iter()
    }
}

impl fmt::Debug for TicketKey {
    /// Keys do not get into logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TicketKey").field("made_at", &self.made_at).finish_non_exhaustive()
    }
}
