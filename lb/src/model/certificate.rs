//! A certificate that listeners show, with its private key. Not here: what stands in it (`tls`), reading its files
//! (`control`).

use std::fmt;
use std::sync::Arc;

use super::{CertificateName, SourceFile};

/// A certificate as it is wanted: its chain and its key were looked at, and belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Its name.
    pub name: CertificateName,
    /// The name that clients of the ELB API know it by.
    pub arn: Option<Arc<str>>,
    /// The files it was read from; none: it came through the API.
    pub files: Option<CertificateFiles>,
    /// The certificate and those that vouch for it, in PEM, its own first.
    pub chain: Arc<str>,
    /// Its private key.
    pub key: PrivateKey,
}

/// Where a certificate is read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The chain, in PEM.
    pub cert: SourceFile,
    /// The private key, in PEM.
    pub key: SourceFile,
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
