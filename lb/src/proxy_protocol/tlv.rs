//! Types, lengths and values: what version 2 says of a connection beside its addresses.

use super::Refusal;

/// The types that mean something here.
pub mod kind {
    /// The protocol that was agreed on (ALPN).
    pub const ALPN: u8 = 0x01;
    /// The name the client asked for (SNI).
    pub const AUTHORITY: u8 = 0x02;
    /// The checksum of the whole header.
    pub const CRC32C: u8 = 0x03;
    /// Padding.
    pub const NOOP: u8 = 0x04;
    /// What names the connection, up to 128 bytes.
    pub const UNIQUE_ID: u8 = 0x05;
    /// What is known of TLS between the client and the sender.
    pub const SSL: u8 = 0x20;
    /// The sender's network namespace.
    pub const NETNS: u8 = 0x30;
}

const UNIQUE_ID_BYTES_MAX: usize = 128;

/// What is said of a connection beside its addresses: checked to be types, lengths and values to the last byte, each
/// known type at most once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tlvs(Box<[u8]>);

impl Tlvs {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        let tlvs = Self(bytes.into());
        let mut seen = [false; 256];
        let mut rest = bytes;
        while !rest.is_empty() {
            let (kind, value, after) = split(rest).ok_or(Refusal::Tlv)?;
            let fits = match kind {
                kind::CRC32C => value.len() == 4,
                kind::UNIQUE_ID => (1..=UNIQUE_ID_BYTES_MAX).contains(&value.len()),
                kind::ALPN | kind::AUTHORITY => !value.is_empty(),
                _ => true,
            };
            let is_single = matches!(kind, kind::ALPN | kind::AUTHORITY | kind::CRC32C | kind::UNIQUE_ID | kind::SSL);
            if !fits || (is_single && seen[usize::from(kind)]) {
                return Err(Refusal::Tlv);
            }
            seen[usize::from(kind)] = true;
            rest = after;
        }
        Ok(tlvs)
    }

    /// Each, in order.
    pub fn iter(&self) -> impl Iterator<Item = (u8, &[u8])> {
        let mut rest = &self.0[..];
        std::iter::from_fn(move || {
            let (kind, value, after) = split(rest)?;
            rest = after;
            Some((kind, value))
        })
    }

    /// Those that still hold on the next connection on the way: all but the sender's checksum, padding and namespace.
    pub fn carried(&self) -> impl Iterator<Item = (u8, &[u8])> {
        self.iter().filter(|(kind, _)| !matches!(*kind, kind::CRC32C | kind::NOOP | kind::NETNS))
    }

    /// The value of the first of a type.
    pub fn get(&self, kind: u8) -> Option<&[u8]> {
        self.iter().find(|(found, _)| *found == kind).map(|(_, value)| value)
    }

    /// How many bytes there are from the value of the first of a type to the end.
    pub(super) fn bytes_from(&self, kind: u8) -> usize {
        let mut rest = &self.0[..];
        while let Some((found, value, after)) = split(rest) {
            if found == kind {
                return value.len() + after.len();
            }
            rest = after;
        }
        0
    }
}

/// Type and value of the first one, and what follows it.
fn split(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (head, rest) = bytes.split_at_checked(3)?;
    let (value, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes([head[1], head[2]])))?;
    Some((head[0], value, rest))
}
