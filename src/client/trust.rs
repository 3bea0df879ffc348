//! Whom a verb takes for the elbow that is meant when its admin address speaks TLS, and what is said of who is not.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use aws_lc_rs::digest::{SHA256, digest};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs::default_provider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

/// Who is taken for the elbow that is meant.
#[derive(Debug, Clone)]
pub(super) enum Trust {
    /// Whoever answers: it is spoken to in the clear.
    Anyone,
    /// Who has this public key: SHA-256 of it, in hexadecimal, as `run.json` tells it.
    Pin(String),
    /// Whom a certificate in this file vouches for.
    File(PathBuf),
    /// Whom this machine trusts.
    Machine,
}

impl Trust {
    /// What a connection is made with.
    ///
    /// # Errors
    /// That there is nothing to trust by.
    pub(super) fn config(&self) -> anyhow::Result<ClientConfig> {
        let provider = Arc::new(default_provider());
        let builder =
            ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
        let roots = match self {
            Self::Pin(pin) => {
                let verifier = Arc::new(Pinned { pin: pin.clone(), provider });
                return Ok(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth());
            }
            Self::Anyone => RootCertStore::empty(),
            Self::File(path) => roots_of(path).with_context(|| format!("the CA in {}", path.display()))?,
            Self::Machine => {
                let mut roots = RootCertStore::empty();
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
                roots
            }
        };
        Ok(builder.with_root_certificates(roots).with_no_client_auth())
    }

    /// What went wrong with TLS on the way to `base`, and what to do about it; none: it was something else.
    pub(super) fn told(&self, base: &str, error: &(dyn StdError + 'static)) -> Option<String> {
        let certificate = format!("the certificate of {base}");
        Some(match fault(error)? {
            Error::InvalidCertificate(wrong) => match (wrong, self) {
                (_, Self::Pin(_)) => format!("{base} does not have the key that run.json tells: it is another server"),
                (CertificateError::UnknownIssuer, Self::File(path)) => {
                    format!("{certificate} is signed by nobody in {}: name its CA with --admin-ca", path.display())
                }
                (CertificateError::UnknownIssuer, _) => {
                    format!("{certificate} is signed by nobody this machine trusts: name its CA with --admin-ca")
                }
                (CertificateError::NotValidForNameContext { presented, .. }, _) => {
                    let names = presented.join(", ");
                    format!("{certificate} is for {names}: name the address as the certificate does")
                }
                (CertificateError::Expired | CertificateError::ExpiredContext { .. }, _) => {
                    format!("{certificate} has expired: renew it, or set this machine's clock right")
                }
                (wrong, _) => format!("{certificate} cannot be trusted: {wrong}"),
            },
            Error::InvalidMessage(_) => format!("{base} does not speak TLS: try http://"),
            other => format!("no TLS connection to {base}: {other}"),
        })
    }
}

fn roots_of(path: &Path) -> anyhow::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&std::fs::read(path)?) {
        roots.add(certificate?)?;
    }
    if roots.is_empty() {
        bail!("it holds no certificate in PEM");
    }
    Ok(roots)
}

/// TLS' own error among the causes of another.
fn fault<'e>(error: &'e (dyn StdError + 'static)) -> Option<&'e Error> {
    if let Some(fault) = error.downcast_ref::<Error>() {
        return Some(fault);
    }
    // An error of I/O shows what is within it in its own way.
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(within) => fault(within),
        None => fault(error.source()?),
    }
}

/// Trusts the one who has a public key, whatever else its certificate says.
struct Pinned {
    pin: String,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _between: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let key = ParsedCertificate::try_from(certificate)?.subject_public_key_info();
        let shown: String = digest(&SHA256, &key).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        match shown == self.pin {
            true => Ok(ServerCertVerified::assertion()),
            false => Err(CertificateError::ApplicationVerificationFailure.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl fmt::Debug for Pinned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pinned").field(&self.pin).finish()
    }
}
