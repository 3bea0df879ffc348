//! What a first start makes so that nobody else is let in: the admin token and an access key for the ELB API.
//!
//! They are kept in the state directory, readable by its owner only, and never logged. Not here: asking for them
//! on a request (`api`).

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// The file of the admin token, in the state directory.
pub const ADMIN_TOKEN_FILE: &str = "admin.token";
/// The file of the ELB API's access key, in the state directory.
pub const AWS_CREDENTIALS_FILE: &str = "aws-credentials";

/// What requests under `/v1` must present. Never shown, not even by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct AdminToken(String);

/// An access key for the ELB API. Its secret is never shown, not even by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessKey {
    /// The key's id, which is no secret.
    pub id: String,
    secret: String,
}

/// Why a secret could not be had. An existing file is never replaced.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file could not be read or made.
    #[error("cannot {action} {path}")]
    File {
        /// `read` or `make`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file holds something else.
    #[error("{path} does not hold {expected}: remove it to have a new one made, or put it right")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        expected: &'static str,
    },
}

impl AdminToken {
    /// Reads the token of a state directory, or makes it on the first start. Call it while holding the directory
    /// (after [`crate::store::open`]).
    ///
    /// # Errors
    /// [`SecretError`].
    pub fn of(state_dir: &Path) -> Result<Self, SecretError> {
        let _ = state_dir;
        unreachable!("being written")
    }

    /// Whether this is what was presented, in a time that does not depend on where they differ.
    pub fn matches(&self, presented: &[u8]) -> bool {
        let _ = presented;
        unreachable!("being written")
    }
}

impl AccessKey {
    /// Reads the access key of a state directory, or makes it on the first start.
    ///
    /// # Errors
    /// [`SecretError`].
    pub fn of(state_dir: &Path) -> Result<Self, SecretError> {
        let _ = state_dir;
        unreachable!("being written")
    }

    /// The secret, to check signatures with.
    pub fn secret(&self) -> &str {
        &self.secret
    }
}

impl fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminToken(..)")
    }
}

impl fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessKey").field("id", &self.id).finish_non_exhaustive()
    }
}
