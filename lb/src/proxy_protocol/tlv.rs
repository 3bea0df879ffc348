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
    /// Within [`SSL`]: the version, as in `TLSv1.3`.
    pub const SSL_VERSION: u8 = 0x21;
    /// Within [`SSL`]: the common name in the certificate that the client has shown.
    pub const SSL_CN: u8 = 0x22;
    /// Within [`SSL`]: the cipher suite, as OpenSSL calls it.
    pub const SSL_CIPHER: u8 = 0x23;
    /// The sender's network namespace.
    pub const NETNS: u8 = 0x30;
}

/// How the sender and the client speak TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ssl<'a> {
    /// The version, as in `TLSv1.3`.
    pub version: &'a str,
    /// The cipher suite, as OpenSSL calls it.
    pub cipher: &'a str,
    /// The certificate that the client has shown and that was found to be in order.
    pub certificate: Option<SslCertificate<'a>>,
}

/// A client's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SslCertificate<'a> {
    /// The common name in it.
    pub common_name: Option<&'a str>,
    /// Whether it was shown on an earlier connection, whose session this one goes on with.
    pub is_of_resumed: bool,
}

impl Ssl<'_> {
    /// The value of a [`kind::SSL`].
    pub fn value(&self) -> Vec<u8> {
        const OVER_TLS: u8 = 0x01;
        const CERTIFICATE_ON_CONNECTION: u8 = 0x02;
        const CERTIFICATE_IN_SESSION: u8 = 0x04;
        let (client, unverified) = match self.certificate {
            None => (OVER_TLS, 1_u32),
            Some(SslCertificate { is_of_resumed: true, .. }) => (OVER_TLS | CERTIFICATE_IN_SESSION, 0),
            Some(_) => (OVER_TLS | CERTIFICATE_ON_CONNECTION | CERTIFICATE_IN_SESSION, 0),
        };
        let mut value = vec![client];
        value.extend_from_slice(&unverified.to_be_bytes());
        let common_name = self.certificate.and_then(|certificate| certificate.common_name);
        let told = [
            (kind::SSL_VERSION, Some(self.version)),
            (kind::SSL_CN, common_name),
            (kind::SSL_CIPHER, Some(self.cipher)),
        ];
        for (kind, text) in told {
            if let Some((text, length)) = text.and_then(|text| Some((text, u16::try_from(text.len()).ok()?))) {
                value.push(kind);
                value.extend_from_slice(&length.to_be_bytes());
                value.extend_from_slice(text.as_bytes());
            }
        }
        value
    }
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
