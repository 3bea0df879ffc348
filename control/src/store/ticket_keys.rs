//! How the keys of session tickets are kept.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lb::model::{TicketKey, TicketKeys};
use serde_json::{Value, json};

/// Writes the keys.
pub(super) fn write(keys: &TicketKeys) -> Value {
    let key = |key: &TicketKey| {
        let made_at = key.made_at.duration_since(UNIX_EPOCH).unwrap_or_default();
        json!({ "id": hexadecimal(&key.id), "secret": hexadecimal(&key.secret), "made_at_s": made_at.as_secs() })
    };
    json!({ "keys": keys.iter().map(|kept| key(kept)).collect::<Vec<_>>() })
}

/// Reads what [`write()`] wrote.
pub(super) fn read(document: &Value) -> Result<TicketKeys, String> {
    let key = |value: &Value| {
        let made_at = UNIX_EPOCH.checked_add(Duration::from_secs(value["made_at_s"].as_u64()?));
        Some(TicketKey {
            id: bytes(value["id"].as_str()?)?,
            secret: bytes(value["secret"].as_str()?)?,
            made_at: made_at.unwrap_or(SystemTime::UNIX_EPOCH),
        })
    };
    let keys: Option<Vec<_>> = document["keys"].as_array().and_then(|keys| keys.iter().map(key).collect());
    keys.map(TicketKeys::new).ok_or_else(|| "it holds no keys".to_owned())
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let digits = text.as_bytes();
    if digits.len() != 2 * N || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}
