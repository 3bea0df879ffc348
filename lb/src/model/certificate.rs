//! A certificate that listeners show, with its private key. Not here: what stands in it (`tls`), reading its files
//! (`control`).

use std::fmt;
use std::sync::Arc;

use super::{CertificateName, DnsNames, SourceFile};

/// A certificate as it is wanted: its chain and its key were looked at, and belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Its name.
    pub name: CertificateName,
    /// The name that clients of the ELB API know it by.
    pub arn: Option<Arc<str>>,
    /// Where it comes from.
    pub source: CertificateSource,
    /// The certificate and those that vouch for it, in PEM, its own first. Empty where an authority issues it: what
    /// it has issued is kept apart ([`super::Issued`]).
    pub chain: Arc<str>,
    /// Its private key; empty as the chain is.
    pub key: PrivateKey,
}

/// Where a certificate comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificateSource {
    /// It was given through the API.
    Given,
    /// It is read from files.
    Files(CertificateFiles),
    /// An authority issues it for these names.
    Acme(DnsNames),
}

/// Where a certificate is read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The chain, in PEM.
    pub cert: SourceFile,
    /// The private key, in PEM.
    pub key: SourceFile,
}

impl Certificate {
    /// The files it is read from, where it is.
    pub fn files(&self) -> Option<&CertificateFiles> {
        match &self.source {
            CertificateSource::Files(files) => Some(files),
            _ => None,
        }
    }

    /// The names that an authority issues it for, where one does.
    pub fn acme(&self) -> Option<&DnsNames> {
        match &self.source {
            CertificateSource::Acme(names) => Some(names),
            _ => None,
        }
    }
}

/// A private key in PEM. Never shown, not even by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct PrivateKey(Arc<str>);

impl PrivateKey {
    /// Takes a key in PEM.
    pub fn new(pem: &str) -> Self {
        Self(Arc::from(pem))
    }

    /// The key, to sign with or to keep it.
    pub fn pem(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(..)")
    }
}
