//! The keys under which cookies of elbow's own are sealed. Not here: sealing.

use std::fmt;
use std::sync::Arc;

/// How many keys are kept. A cookie that was sealed this many rotations ago is not known any more.
pub const COOKIE_KEYS_MAX: usize = 8;

/// The keys under which cookies are sealed: the newest seals, all open.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CookieKeys(Vec<Arc<CookieKey>>);

/// A key under which cookies are sealed.
#[derive(Clone, PartialEq, Eq)]
pub struct CookieKey {
    /// Told beside a sealed value, so that it is opened with the right key. The same on every node that has the key.
    pub id: u32,
    /// The key itself. It never leaves the state but in an export.
    pub secret: [u8; 32],
}

impl CookieKeys {
    /// These keys, the newest first; those beyond [`COOKIE_KEYS_MAX`] are left out.
    pub fn new(keys: impl IntoIterator<Item = CookieKey>) -> Self {
        Self(keys.into_iter().take(COOKIE_KEYS_MAX).map(Arc::new).collect())
    }

    /// The key that seals.
    pub fn newest(&self) -> Option<&Arc<CookieKey>> {
        self.0.first()
    }

    /// All keys that open, the newest first.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<CookieKey>> {
        self.0.iter()
    }

    /// These keys with one more, which is the newest. The oldest goes where there would be too many.
    pub fn rotated(&self, key: CookieKey) -> Self {
        Self(std::iter::once(Arc::new(key)).chain(self.0.iter().cloned()).take(COOKIE_KEYS_MAX).collect())
    }
}

impl fmt::Debug for CookieKey {
    /// Keys do not get into logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CookieKey").field("id", &self.id).finish_non_exhaustive()
    }
}
