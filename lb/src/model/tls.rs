//! How a listener speaks TLS: which certificates it shows, what it offers, and what it asks of clients. How targets are
//! spoken to is [`super::TargetTls`].

use std::sync::Arc;

use super::{CertificateName, SourceFile, TlsPolicy};

/// How a listener speaks TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerTls {
    /// The certificates it shows; at least one. The first one is shown to who asks for a name that none has.
    pub certificates: Vec<CertificateName>,
    /// Which versions and cipher suites it offers.
    pub policy: TlsPolicy,
    /// Whether clients have to show certificates of their own.
    pub client_auth: ClientAuth,
    /// What is spoken within streams, by its registered name (ALPN), the best first. Empty: nobody says.
    pub alpn: Vec<Box<str>>,
}

/// Whether clients have to show certificates of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientAuth {
    /// They are not asked.
    Off,
    /// They are asked, and may have none; one that is shown must be vouched for by these.
    Request(TrustFile),
    /// They must show one that is vouched for by these.
    Require(TrustFile),
}

/// Certificates that others are vouched for by, and the file they are read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustFile {
    /// The file.
    pub file: SourceFile,
    /// What stands in it, in PEM. Empty: it could not be read, and nobody is vouched for.
    pub pem: Arc<str>,
}

impl ClientAuth {
    /// Who vouches for clients.
    pub fn ca(&self) -> Option<&TrustFile> {
        match self {
            Self::Off => None,
            Self::Request(ca) | Self::Require(ca) => Some(ca),
        }
    }

    /// As [`Self::ca`], to put what was read in its place.
    pub fn ca_mut(&mut self) -> Option<&mut TrustFile> {
        match self {
            Self::Off => None,
            Self::Request(ca) | Self::Require(ca) => Some(ca),
        }
    }
}
