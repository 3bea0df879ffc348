//! What of a request decides where `consistent_hash` sends it.

use std::fmt;
use std::sync::Arc;

/// The longest name of a header or cookie, in bytes.
const NAME_BYTES_MAX: usize = 256;

/// What of a request decides where `consistent_hash` sends it: requests that have it in common share a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HashKey {
    /// The client's address.
    SourceIp,
    /// The path, without its query.
    Path,
    /// A header, by its name in lower case.
    Header(Arc<str>),
    /// A cookie, by its name.
    Cookie(Arc<str>),
}

/// Why a text is no hash key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{value:?} is not a hash key: {why}")]
pub struct InvalidHashKey {
    /// What was given.
    pub value: String,
    /// What is wrong with it, and what is expected.
    pub why: &'static str,
}

impl HashKey {
    /// Accepts `source_ip`, `path`, `header:NAME` and `cookie:NAME`.
    ///
    /// # Errors
    /// [`InvalidHashKey`] for anything else.
    pub fn parse(value: &str) -> Result<Self, InvalidHashKey> {
        let refuse = |why| InvalidHashKey { value: value.chars().take(80).collect(), why };
        let (kind, name) = match value.split_once(':') {
            None if value == "source_ip" => return Ok(Self::SourceIp),
            None if value == "path" => return Ok(Self::Path),
            Some((kind @ ("header" | "cookie"), name)) => (kind, name),
            _ => return Err(refuse("expected source_ip, path, header:NAME or cookie:NAME")),
        };
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            return Err(refuse("the name must have 1 to 256 characters"));
        }
        if !name.bytes().all(is_token_byte) {
            return Err(refuse("the name holds a character that names of headers and cookies may not have"));
        }
        Ok(if kind == "header" { Self::Header(name.to_ascii_lowercase().into()) } else { Self::Cookie(name.into()) })
    }
}

impl fmt::Display for HashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SourceIp => f.write_str("source_ip"),
            Self::Path => f.write_str("path"),
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Cookie(name) => write!(f, "cookie:{name}"),
        }
    }
}

/// RFC 9110, 5.6.2.
pub(super) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
