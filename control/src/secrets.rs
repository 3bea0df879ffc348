//! What a first start makes so that nobody else is let in: the admin token, an access key for the ELB API, and the key
//! of elbow's own cookies.
//!
//! They are kept in the state directory, readable by its owner only, and never logged. Not here: asking for them
//! on a request (`api`), and keeping the keys of cookies, which are part of what is wanted ([`crate::store`]).

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use lb::model::{AccessKey, CookieKey, CookieKeys, DEFAULT_ACCOUNT};
use rand::RngCore;

/// The file of the admin token, in the state directory.
pub const ADMIN_TOKEN_FILE: &str = "admin.token";
/// The file of the ELB API's access key, in the state directory.
pub const AWS_CREDENTIALS_FILE: &str = "aws-credentials";

/// 32 random bytes.
const TOKEN_CHARACTERS: usize = 64;
/// What somebody may have chosen instead.
const TOKEN_CHARACTERS_MIN: usize = 16;
/// The most that is read of a file.
const SECRET_BYTES_MAX: u64 = 64 * 1024;
const HEX_DIGITS: &[u8; 16] = b"0123456789abcdef";
const KEY_ID_CHARACTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const SECRET_CHARACTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// What requests under `/v1` must present. Never shown, not even by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct AdminToken(String);

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
        let path = state_dir.join(ADMIN_TOKEN_FILE);
        let token = read_or_make(&path, || format!("{}\n", random_text(TOKEN_CHARACTERS, HEX_DIGITS)))?;
        let token = token.trim();
        if token.len() < TOKEN_CHARACTERS_MIN || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(SecretError::Malformed { path, expected: "a token of at least 16 characters" });
        }
        Ok(Self(token.to_owned()))
    }

    /// Whether this is what was presented, in a time that does not depend on where they differ.
    pub fn matches(&self, presented: &[u8]) -> bool {
        let own = self.0.as_bytes();
        let different = own.iter().zip(presented).fold(0, |different, (left, right)| different | (left ^ right));
        std::hint::black_box(different) == 0 && own.len() == presented.len()
    }
}

/// Reads the access key of a state directory, or makes it on the first start.
///
/// # Errors
/// [`SecretError`].
pub fn own_access_key(state_dir: &Path) -> Result<AccessKey, SecretError> {
    let path = state_dir.join(AWS_CREDENTIALS_FILE);
    let text = read_or_make(&path, || {
        let (id, secret) = (random_text(16, KEY_ID_CHARACTERS), random_text(40, SECRET_CHARACTERS));
        format!("[default]\naws_access_key_id = AKIA{id}\naws_secret_access_key = {secret}\n")
    })?;
    let value = |wanted: &str| {
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        pairs.map(|(key, value)| (key.trim(), value.trim())).find(|(key, _)| *key == wanted).map(|(_, value)| value)
    };
    match (value("aws_access_key_id"), value("aws_secret_access_key")) {
        (Some(id), Some(secret)) if !id.is_empty() && !secret.is_empty() => {
            Ok(AccessKey::new(id, DEFAULT_ACCOUNT, secret, None))
        }
        _ => Err(SecretError::Malformed { path, expected: "an AWS access key" }),
    }
}

/// A new key for cookies, with an id that none of `others` has.
pub fn new_cookie_key(others: &CookieKeys) -> CookieKey {
    let mut secret = [0; 32];
    rand::rng().fill_bytes(&mut secret);
    let mut id = rand::rng().next_u32();
    while others.iter().any(|other| other.id == id) {
        id = id.wrapping_add(1);
    }
    CookieKey { id, secret }
}

/// What the file holds; where there is none, it is made whole or not at all, for its owner only.
fn read_or_make(path: &Path, make: impl FnOnce() -> String) -> Result<String, SecretError> {
    let failed = |action| move |source| SecretError::File { action, path: path.to_owned(), source };
    let mut text = String::new();
    match File::open(path).and_then(|file| file.take(SECRET_BYTES_MAX).read_to_string(&mut text)) {
        Ok(_) => return Ok(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed("read")(error)),
    }
    let text = make();
    write_private(path, &text).map_err(failed("make"))?;
    Ok(text)
}

/// Writes a file that only its owner may read, whole or not at all: beside it first, and then in its place.
///
/// # Errors
/// What the system said; an older file is as it was.
pub fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".new");
    let unfinished = PathBuf::from(unfinished);
    match std::fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&unfinished, path)?;
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}

/// `length` characters, each as likely as any other: their number divides 256.
fn random_text<const N: usize>(length: usize, characters: &[u8; N]) -> String {
    const { assert!(256 % N == 0) };
    let mut random = vec![0; length];
    rand::rng().fill_bytes(&mut random);
    random.into_iter().map(|byte: u8| char::from(characters[usize::from(byte) % N])).collect()
}

impl fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminToken(..)")
    }
}
