//! What is asked of a target's certificate, in rustls' words, and that the target has its key.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use aws_lc_rs::digest::{SHA256, digest};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, DigitallySignedStruct, Error, OtherError, PeerMisbehaved, RootCertStore, SignatureScheme,
};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;

use super::CertificateFault;
use super::certificate::{certificates, facts, trust};
use super::fault::Distrust;
use crate::model::{PublicKeyPin, TlsVerify};

/// Shorter RSA keys are not checked by anything we have.
const RSA_BITS_MIN: usize = 2048;

/// What is asked of a target's certificate.
#[derive(Debug)]
pub(super) struct TargetVerifier {
    asked: Asked,
    algorithms: WebPkiSupportedAlgorithms,
}

#[derive(Debug)]
enum Asked {
    Nothing,
    Pinned(Vec<PublicKeyPin>),
    Vouched {
        roots: Arc<RootCertStore>,
        /// The same as they were written. A target may show one of them itself.
        trusted: Vec<CertificateDer<'static>>,
    },
}

impl TargetVerifier {
    pub(super) fn new(wanted: &TlsVerify, algorithms: WebPkiSupportedAlgorithms) -> Result<Self, CertificateFault> {
        let asked = match wanted {
            TlsVerify::None => Asked::Nothing,
            TlsVerify::Pinned(pins) => Asked::Pinned(pins.clone()),
            TlsVerify::Ca(ca) => Asked::Vouched { roots: Arc::new(trust(&ca.pem)?), trusted: certificates(&ca.pem)? },
        };
        Ok(Self { asked, algorithms })
    }

    /// Whether the target has the key of its certificate. Where nothing is asked of the certificate, a key that cannot
    /// be checked passes.
    fn check_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
        is_tls13: bool,
    ) -> Result<HandshakeSignatureValid, Error> {
        if let Asked::Vouched { .. } = self.asked {
            let verify = if is_tls13 { verify_tls13_signature } else { verify_tls12_signature };
            return verify(message, certificate, signed, &self.algorithms);
        }
        let is_anyone_welcome = matches!(self.asked, Asked::Nothing);
        match Key::of(certificate, |key| key.check(&self.algorithms, message, signed, is_tls13)) {
            Ok(outcome) => outcome?,
            Err(_) if is_anyone_welcome => {}
            Err(distrust) => return Err(distrusted(distrust)),
        }
        Ok(HandshakeSignatureValid::assertion())
    }
}

impl ServerCertVerifier for TargetVerifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match &self.asked {
            Asked::Nothing => {}
            Asked::Pinned(pins) => {
                let pin = Key::of(certificate, |key| PublicKeyPin::of(key.info)).map_err(distrusted)?;
                if !pins.contains(&pin) {
                    return Err(distrusted(Distrust::NotPinned));
                }
            }
            Asked::Vouched { roots, trusted } => {
                let parsed = ParsedCertificate::try_from(certificate)?;
                if trusted.contains(certificate) {
                    check_dates(certificate, now)?;
                } else {
                    verify_server_cert_signed_by_trust_anchor(&parsed, roots, between, now, self.algorithms.all)?;
                }
                verify_server_name(&parsed, name).map_err(|_| other_name(certificate, name))?;
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_signature(message, certificate, signed, false)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_signature(message, certificate, signed, true)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl PublicKeyPin {
    /// The pin of a public key, given as SubjectPublicKeyInfo in DER.
    pub fn of(info: &[u8]) -> Self {
        let mut pin = [0; 32];
        pin.copy_from_slice(digest(&SHA256, info).as_ref());
        Self(pin)
    }
}

/// A public key. It is read by itself: who asks for no more of a certificate takes one that is wrong in all else.
struct Key<'a> {
    /// SubjectPublicKeyInfo.
    info: &'a [u8],
    algorithm: &'a [u8],
    bits: &'a [u8],
}

impl Key<'_> {
    /// Does something with a certificate's key.
    fn of<T>(certificate: &CertificateDer<'_>, with: impl FnOnce(&Key<'_>) -> T) -> Result<T, Distrust> {
        let (_, certificate) = X509Certificate::from_der(certificate).map_err(|_| Distrust::Uncheckable)?;
        let key = certificate.public_key();
        match key.parsed() {
            Ok(PublicKey::RSA(rsa)) if rsa.key_size() < RSA_BITS_MIN => return Err(Distrust::ShortKey),
            _ => {}
        }
        let algorithm = contents(key.raw).and_then(|(info, _)| contents(info)).ok_or(Distrust::Uncheckable)?.0;
        Ok(with(&Key { info: key.raw, algorithm, bits: &key.subject_public_key.data }))
    }

    fn check(
        &self,
        known: &WebPkiSupportedAlgorithms,
        message: &[u8],
        signed: &DigitallySignedStruct,
        is_tls13: bool,
    ) -> Result<(), Error> {
        use SignatureScheme as S;
        let is_old = matches!(signed.scheme, S::RSA_PKCS1_SHA256 | S::RSA_PKCS1_SHA384 | S::RSA_PKCS1_SHA512);
        let mapped = known.mapping.iter().find(|(scheme, _)| *scheme == signed.scheme);
        let (_, algorithms) =
            mapped.filter(|_| !(is_tls13 && is_old)).ok_or(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme)?;
        // TLS 1.2 leaves the curve open.
        let allowed = if is_tls13 { &algorithms[..algorithms.len().min(1)] } else { algorithms };
        let algorithm = allowed.iter().find(|algorithm| algorithm.public_key_alg_id().as_ref() == self.algorithm);
        let verified = algorithm.map(|algorithm| algorithm.verify_signature(self.bits, message, signed.signature()));
        match verified {
            Some(Ok(())) => Ok(()),
            _ => Err(CertificateError::BadSignature.into()),
        }
    }
}

/// What is within the first value of DER, and what follows it.
fn contents(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&[_tag, length], rest) = der.split_first_chunk()?;
    match length {
        ..=0x7F => rest.split_at_checked(length.into()),
        0x81 => rest.split_first().and_then(|(length, rest)| rest.split_at_checked((*length).into())),
        0x82 => rest
            .split_first_chunk()
            .and_then(|(length, rest)| rest.split_at_checked(u16::from_be_bytes(*length).into())),
        // No key is that long.
        _ => None,
    }
}

fn check_dates(certificate: &CertificateDer<'_>, time: UnixTime) -> Result<(), Error> {
    let facts = facts(certificate).map_err(|_| CertificateError::BadEncoding)?;
    let unix =
        |time: std::time::SystemTime| UnixTime::since_unix_epoch(time.duration_since(UNIX_EPOCH).unwrap_or_default());
    let now = UNIX_EPOCH + Duration::from_secs(time.as_secs());
    if now < facts.not_before {
        return Err(CertificateError::NotValidYetContext { time, not_before: unix(facts.not_before) }.into());
    }
    if now > facts.not_after {
        return Err(CertificateError::ExpiredContext { time, not_after: unix(facts.not_after) }.into());
    }
    Ok(())
}

fn other_name(certificate: &CertificateDer<'_>, expected: &ServerName<'_>) -> Error {
    let presented = facts(certificate).map(|facts| facts.names).unwrap_or_default();
    CertificateError::NotValidForNameContext { expected: expected.to_owned(), presented }.into()
}

fn distrusted(distrust: Distrust) -> Error {
    CertificateError::Other(OtherError(Arc::new(distrust))).into()
}
