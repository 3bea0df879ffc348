//! How targets are spoken to over TLS: what is asked of their certificates, and what they are shown and told.

use std::fmt;
use std::sync::Arc;

use super::{CertificateName, TrustFile};

/// How targets are spoken to over TLS.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TargetTls {
    /// What is asked of a target's certificate.
    pub verify: TlsVerify,
    /// The name that targets are asked for, and that their certificates must be for where names count. None: the host
    /// of the target's address.
    pub server_name: Option<Arc<str>>,
    /// The certificate that targets are shown if they ask for one.
    pub certificate: Option<CertificateName>,
}

/// What is asked of a target's certificate.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum TlsVerify {
    /// Nothing, as with ELB: any will do.
    #[default]
    None,
    /// That it is vouched for by these, holds now, and is for the target's name.
    Ca(TrustFile),
    /// That its public key is one of these. Its names and dates count for nothing.
    Pinned(Vec<PublicKeyPin>),
}

impl TlsVerify {
    /// Who vouches for targets.
    pub fn ca(&self) -> Option<&TrustFile> {
        match self {
            Self::Ca(ca) => Some(ca),
            Self::None | Self::Pinned(_) => None,
        }
    }

    /// As [`Self::ca`], to put what was read in its place.
    pub fn ca_mut(&mut self) -> Option<&mut TrustFile> {
        match self {
            Self::Ca(ca) => Some(ca),
            Self::None | Self::Pinned(_) => None,
        }
    }
}

/// What tells a public key from any other: SHA-256 over its SubjectPublicKeyInfo in DER.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKeyPin(pub [u8; 32]);

/// Base64 of so many bytes, with its padding.
const TEXT_BYTES: usize = 44;
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

impl PublicKeyPin {
    /// Accepts `sha256/` or `sha256//` (as curl writes it), and base64.
    ///
    /// # Errors
    /// What is wrong, for the field's error.
    pub fn parse(value: &str) -> Result<Self, String> {
        let text = value.strip_prefix("sha256/").ok_or_else(|| format!("{value:?} does not begin with sha256/"))?;
        // A slash is a digit of base64 too: the length tells whether it is one.
        let text = if text.len() == TEXT_BYTES { text } else { text.strip_prefix('/').unwrap_or(text) };
        let digits = text.strip_suffix('=').filter(|_| text.len() == TEXT_BYTES);
        let wrong = || format!("{value:?} holds no SHA-256 in base64 ({TEXT_BYTES} characters)");
        let mut bytes = Vec::with_capacity(33);
        for four in digits.ok_or_else(wrong)?.as_bytes().chunks(4) {
            let value = |digit: &u8| ALPHABET.iter().position(|known| known == digit);
            let mut bits = 0;
            for digit in four.iter().chain(&b"A"[..4 - four.len()]) {
                bits = bits << 6 | value(digit).ok_or_else(wrong)?;
            }
            bytes.extend_from_slice(&(bits as u32).to_be_bytes()[1..]);
        }
        // The bits beyond the last byte say nothing, and are to be zero.
        match bytes.split_last_chunk::<1>() {
            Some((pin, [0])) => pin.try_into().map(Self).map_err(|_| wrong()),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for PublicKeyPin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::from("sha256/");
        for three in self.0.chunks(3) {
            let bits = three.iter().fold(0, |bits, byte| bits << 8 | usize::from(*byte)) << (8 * (3 - three.len()));
            for place in 0..4 {
                let digit = ALPHABET[bits >> (18 - 6 * place) & 63];
                text.push(if place <= three.len() { char::from(digit) } else { '=' });
            }
        }
        f.write_str(&text)
    }
}
