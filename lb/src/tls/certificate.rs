//! A certificate and its key, read from PEM: whether they are what they should be, and what stands in them.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{SHA256, digest};
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SigningKey};
use rustls::{Error, InconsistentKeys, RootCertStore};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::name::{common_name, name_text};
use crate::model::{Certificate, Held, Issued};

/// The most certificates in one file.
const CERTIFICATES_MAX: usize = 1000;

/// A certificate as it is live: ready to sign with.
#[derive(Debug)]
pub struct Credential {
    /// As it is wanted.
    pub held: Arc<Held<Certificate>>,
    /// As it was issued, where an authority issues it.
    pub issued: Option<Arc<Issued>>,
    /// What stands in it.
    pub facts: CertificateFacts,
    pub(super) key: Arc<CertifiedKey>,
}

/// What stands in a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFacts {
    /// Whom it is about (RFC 4514).
    pub subject: String,
    /// Who vouches for it (RFC 4514).
    pub issuer: String,
    /// Its serial number, in hexadecimal, as OpenSSL prints it: two digits a byte, none that is not needed.
    pub serial: String,
    /// The names and addresses it is for, lower case.
    pub names: Vec<String>,
    /// From when on it holds.
    pub not_before: SystemTime,
    /// Until when it holds.
    pub not_after: SystemTime,
    /// SHA-256 over all of it, in hexadecimal.
    pub fingerprint: String,
    /// SHA-256 over its public key (SubjectPublicKeyInfo), in hexadecimal.
    pub public_key: String,
    /// The kind of its key, as in `ECDSA P-256` or `RSA 2048`.
    pub key_type: String,
    /// The common name in whom it is about.
    pub(super) common_name: Option<Box<str>>,
}

/// What is wrong with a certificate, or with its key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateFault {
    /// There is no certificate in PEM in it.
    #[error("it holds no certificate in PEM (-----BEGIN CERTIFICATE-----)")]
    NoCertificate,
    /// There is PEM in it, and it is broken.
    #[error("it is not valid PEM: {0}")]
    Pem(String),
    /// What is in PEM is no certificate.
    #[error("certificate {0} in it cannot be read: {1}")]
    Malformed(usize, String),
    /// There are more than anybody has.
    #[error("it holds more than {CERTIFICATES_MAX} certificates")]
    TooMany,
    /// There is no key in PEM in it.
    #[error("it holds no private key in PEM (-----BEGIN PRIVATE KEY-----)")]
    NoKey,
    /// The key is encrypted.
    #[error("the private key is encrypted, and nobody is there to type its password")]
    EncryptedKey,
    /// The key is of no kind that is known.
    #[error("the private key cannot be used: {0}")]
    UnusableKey(String),
    /// The key is another certificate's.
    #[error("the private key does not belong to the certificate")]
    KeyMismatch,
}

impl CertificateFault {
    /// Whether it is the key that is at fault, and not the certificate.
    pub fn is_of_key(&self) -> bool {
        matches!(self, Self::NoKey | Self::EncryptedKey | Self::UnusableKey(_) | Self::KeyMismatch)
    }
}

impl CertificateFacts {
    /// How long it still holds; none: it does not any more, or not yet.
    pub fn holds_for(&self, now: SystemTime) -> Option<Duration> {
        if now < self.not_before {
            return None;
        }
        self.not_after.duration_since(now).ok()
    }
}

impl Credential {
    /// Makes a certificate ready that was found right before, or what was issued for it. None: it was not.
    pub(crate) fn of(held: &Arc<Held<Certificate>>, issued: Option<&Arc<Issued>>) -> Option<Self> {
        let given = (&held.wanted.chain, &held.wanted.key);
        let (chain, key) = issued.map_or(given, |issued| (&issued.chain, &issued.key));
        let (key, facts) = read(chain, key.pem()).ok()?;
        Some(Self { held: Arc::clone(held), issued: issued.cloned(), facts, key: Arc::new(key) })
    }

    /// The certificate and those that vouch for it, in PEM, its own first.
    pub fn chain(&self) -> &str {
        self.issued.as_ref().map_or(&self.held.wanted.chain, |issued| &issued.chain)
    }

    /// Whether its key is cheaper to sign with than an RSA key.
    pub(super) fn is_cheap(&self) -> bool {
        self.key.key.algorithm() != rustls::SignatureAlgorithm::RSA
    }
}

/// Reads a chain and its key, and sees whether they belong together.
///
/// # Errors
/// [`CertificateFault`]. That it has expired is none: the facts tell.
pub fn read_certificate(chain: &str, key: &str) -> Result<CertificateFacts, CertificateFault> {
    read(chain, key).map(|(_, facts)| facts)
}

/// Sees whether PEM holds certificates that others can be vouched for by; answers with how many.
///
/// # Errors
/// [`CertificateFault`].
pub fn read_trust(pem: &str) -> Result<usize, CertificateFault> {
    trust(pem).map(|store| store.len())
}

/// Certificates that others are vouched for by.
pub(super) fn trust(pem: &str) -> Result<RootCertStore, CertificateFault> {
    let mut store = RootCertStore::empty();
    for (index, certificate) in certificates(pem)?.into_iter().enumerate() {
        store.add(certificate).map_err(|error| CertificateFault::Malformed(index + 1, error.to_string()))?;
    }
    Ok(store)
}

/// A chain and its key as they are, to be shown to who knows what has to stand in it.
pub(super) fn certified(chain: &str, key: &str) -> Result<CertifiedKey, CertificateFault> {
    Ok(CertifiedKey::new(certificates(chain)?, signing_key(key)?))
}

fn read(chain: &str, key: &str) -> Result<(CertifiedKey, CertificateFacts), CertificateFault> {
    let chain = certificates(chain)?;
    let mut first = None;
    for (index, certificate) in chain.iter().enumerate() {
        let facts = facts(certificate).map_err(|why| CertificateFault::Malformed(index + 1, why))?;
        first.get_or_insert(facts);
    }
    let certified = CertifiedKey::new(chain, signing_key(key)?);
    match certified.keys_match() {
        Ok(()) => {}
        Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
        Err(Error::InconsistentKeys(_)) => return Err(CertificateFault::KeyMismatch),
        Err(error) => return Err(CertificateFault::Malformed(1, error.to_string())),
    }
    Ok((certified, first.ok_or(CertificateFault::NoCertificate)?))
}

pub(super) fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, CertificateFault> {
    let mut found = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        found.push(certificate.map_err(|error| CertificateFault::Pem(error.to_string()))?);
        if found.len() > CERTIFICATES_MAX {
            return Err(CertificateFault::TooMany);
        }
    }
    if found.is_empty() { Err(CertificateFault::NoCertificate) } else { Ok(found) }
}

fn signing_key(pem: &str) -> Result<Arc<dyn SigningKey>, CertificateFault> {
    any_supported_type(&private_key(pem)?).map_err(|error| match error {
        Error::General(why) => CertificateFault::UnusableKey(why),
        error => CertificateFault::UnusableKey(error.to_string()),
    })
}

fn private_key(pem: &str) -> Result<PrivateKeyDer<'static>, CertificateFault> {
    use rustls::pki_types::pem::Error as PemError;
    if pem.contains("BEGIN ENCRYPTED PRIVATE KEY") || pem.contains("Proc-Type: 4,ENCRYPTED") {
        return Err(CertificateFault::EncryptedKey);
    }
    PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|error| match error {
        PemError::NoItemsFound => CertificateFault::NoKey,
        error => CertificateFault::UnusableKey(error.to_string()),
    })
}

/// What stands in a certificate.
pub(super) fn facts(certificate: &CertificateDer<'_>) -> Result<CertificateFacts, String> {
    let (rest, parsed) = X509Certificate::from_der(certificate).map_err(|error| error.to_string())?;
    if !rest.is_empty() {
        return Err("bytes follow its end".to_owned());
    }
    let validity = parsed.validity();
    Ok(CertificateFacts {
        subject: name_text(parsed.subject()),
        issuer: name_text(parsed.issuer()),
        serial: serial(parsed.raw_serial()),
        names: names(&parsed),
        not_before: time(validity.not_before.timestamp()),
        not_after: time(validity.not_after.timestamp()),
        fingerprint: hexadecimal(digest(&SHA256, certificate).as_ref()),
        public_key: hexadecimal(digest(&SHA256, parsed.public_key().raw).as_ref()),
        key_type: key_type(parsed.public_key()),
        common_name: common_name(parsed.subject()),
    })
}

/// A serial number without the zero byte that says no more than that the number is positive (X.690, 8.3.2).
fn serial(raw: &[u8]) -> String {
    match raw {
        [0, number @ ..] if !number.is_empty() => hexadecimal(number),
        number => hexadecimal(number),
    }
}

/// The names a certificate is for. As clients do, the common name counts for nothing.
fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(extension)) = certificate.subject_alternative_name() else { return Vec::new() };
    let names = extension.value.general_names.iter();
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes).ok().map(|bytes| IpAddr::from(bytes).to_string()),
            _ => <[u8; 16]>::try_from(*bytes).ok().map(|bytes| IpAddr::from(bytes).to_string()),
        },
        _ => None,
    };
    names.filter_map(name).collect()
}

fn key_type(key: &SubjectPublicKeyInfo<'_>) -> String {
    match key.parsed() {
        Ok(PublicKey::RSA(rsa)) => format!("RSA {}", rsa.key_size()),
        // The curves there are differ in size.
        Ok(PublicKey::EC(point)) => match point.key_size() {
            bits @ (256 | 384) => format!("ECDSA P-{bits}"),
            _ => "ECDSA P-521".to_owned(),
        },
        _ if key.algorithm.algorithm.to_id_string() == "1.3.101.112" => "Ed25519".to_owned(),
        _ => key.algorithm.algorithm.to_id_string(),
    }
}

/// A time as certificates tell it, in seconds since 1970, which may be before.
fn time(seconds: i64) -> SystemTime {
    let distance = Duration::from_secs(seconds.unsigned_abs());
    let time = if seconds < 0 { UNIX_EPOCH.checked_sub(distance) } else { UNIX_EPOCH.checked_add(distance) };
    time.unwrap_or(UNIX_EPOCH)
}

pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
