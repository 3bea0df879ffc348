//! The keys of elbow's own cookies, as an exported state holds them and as the store keeps them: the newest first.
//!
//! What is wrong with a secret is told without showing it.

use std::collections::HashSet;
use std::fmt::Write;

use lb::model::{COOKIE_KEYS_MAX, CookieKey, CookieKeys};
use serde_json::{Value, json};

use super::Problems;
use super::notation::text;
use super::problem::Wrong;
use super::reader::{self, Reader};

const KEY: &str = "cookie_keys";

/// A key's id as people see it.
pub(crate) fn cookie_key_id(key: &CookieKey) -> String {
    format!("{:08x}", key.id)
}

/// The keys as they are kept.
pub(crate) fn write_cookie_keys(keys: &CookieKeys) -> Value {
    json!({ KEY: write(keys) })
}

/// Reads what [`write_cookie_keys`] wrote.
pub(crate) fn read_cookie_keys(document: &Value) -> Result<CookieKeys, Problems> {
    reader::read(document, |reader| {
        reader.required(KEY, |_| Ok(()))?;
        read(reader)
    })
}

pub(super) fn write(keys: &CookieKeys) -> Vec<Value> {
    keys.iter().map(|key| json!({ "id": cookie_key_id(key), "secret": hexadecimal(&key.secret) })).collect()
}

/// Reads the key `cookie_keys` of a document; none where there is no such key.
pub(super) fn read(reader: &mut Reader<'_>) -> Option<CookieKeys> {
    if !reader.has(KEY) {
        // Asked for nevertheless, so that it is known where another key is misspelt.
        return reader.or(KEY, None, |_| Ok(None));
    }
    reader.or(KEY, (), |value| match value.as_array().map(Vec::len) {
        Some(0) => Err(Wrong::new("there must be at least one key").hint("leave it out to keep the present ones")),
        Some(count) if count > COOKIE_KEYS_MAX => {
            Err(Wrong::new(format!("{count} keys are too many: at most {COOKIE_KEYS_MAX} are kept")))
        }
        _ => Ok(()),
    });
    let mut ids = HashSet::new();
    let keys = reader.tables(KEY, |reader| {
        let id = reader.required("id", |value| {
            let id = id(value)?;
            if ids.insert(id) { Ok(id) } else { Err(Wrong::new(format!("key {id:08x} is given twice"))) }
        });
        let secret = reader.required("secret", secret);
        Some(CookieKey { id: id?, secret: secret? })
    });
    Some(CookieKeys::new(keys))
}

fn id(value: &Value) -> Result<u32, Wrong> {
    let digits = text(value)?;
    let id = parse_hexadecimal(digits).map(u32::from_be_bytes);
    id.ok_or_else(|| Wrong::new("it is not the id of a key: expected 8 hexadecimal digits"))
}

fn secret(value: &Value) -> Result<[u8; 32], Wrong> {
    parse_hexadecimal(text(value)?).ok_or_else(|| Wrong::new("it is not a key: expected 64 hexadecimal digits"))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut digits, byte| {
        // Writing to a String cannot fail.
        let _ = write!(digits, "{byte:02x}");
        digits
    })
}

/// Exactly `N` bytes, two digits each.
fn parse_hexadecimal<const N: usize>(digits: &str) -> Option<[u8; N]> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    let bytes = pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect::<Option<Vec<_>>>()?;
    if rest.is_empty() { bytes.try_into().ok() } else { None }
}
