//! What keeps a client at its target.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::hash_key::is_token_byte;

/// The name of elbow's own cookie where no other was asked for; beside a cookie of the application it has no other.
pub const OWN_COOKIE_NAME: &str = "ELBOW";

/// The name of the cookie of Classic ELB.
pub const ELB_COOKIE_NAME: &str = "AWSELB";

/// The name of its twin, which browsers send across sites too.
pub const ELB_TWIN_NAME: &str = "AWSELBCORS";

/// The longest name of a cookie, in bytes.
const NAME_BYTES_MAX: usize = 256;

/// What keeps a client at its target.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stickiness {
    /// By what a client is known again.
    pub by: StickyBy,
    /// What becomes of a client whose target is there and cannot take it now.
    pub on_unavailable: OnUnavailable,
    /// How the cookie that binds is set and read.
    pub style: CookieStyle,
}

impl Stickiness {
    /// Of elbow's own style.
    pub fn new(by: StickyBy, on_unavailable: OnUnavailable) -> Self {
        Self { by, on_unavailable, style: CookieStyle::Elbow }
    }
}

/// How the cookie that binds is set and read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CookieStyle {
    /// As browsers are best served: out of reach of scripts, over TLS only where it was set over TLS, of one site.
    Elbow,
    /// As Classic ELB does: with a twin for other sites, without flags of its own, for one port of the targets, and for
    /// as long as the client keeps it.
    Elb,
}

/// By what a client is known again.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StickyBy {
    /// A cookie that elbow sets.
    LbCookie {
        /// Its name.
        name: CookieName,
        /// How long a binding holds; absent: as long as the browser keeps the cookie.
        duration: Option<Duration>,
    },
    /// A cookie that the application sets, accompanied by one of elbow's.
    AppCookie {
        /// The name of the application's.
        name: CookieName,
    },
    /// Its address.
    SourceIp,
}

/// What becomes of a client whose target is there and cannot take it now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OnUnavailable {
    /// It gets another one, and stays there.
    Repick,
    /// It is told to come again (503).
    Fail,
}

/// The name of a cookie (RFC 6265, 4.1.1: a token).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CookieName(Arc<str>);

/// Why a text is no name of a cookie.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{value:?} is not the name of a cookie: expected 1 to 256 letters, digits or any of !#$%&'*+-.^_`|~")]
pub struct InvalidCookieName {
    /// What was given.
    pub value: String,
}

impl CookieName {
    /// Accepts a token of 1 to 256 bytes.
    ///
    /// # Errors
    /// [`InvalidCookieName`] for anything else.
    pub fn parse(value: &str) -> Result<Self, InvalidCookieName> {
        let is_name = (1..=NAME_BYTES_MAX).contains(&value.len()) && value.bytes().all(is_token_byte);
        let refuse = || InvalidCookieName { value: value.chars().take(80).collect() };
        is_name.then(|| Self(value.into())).ok_or_else(refuse)
    }

    /// As written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CookieName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
