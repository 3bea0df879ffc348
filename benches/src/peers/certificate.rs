//! The certificate that every proxy shows. Nobody vouches for it: the load takes what it is shown.

use anyhow::Result;
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256};

use crate::load::SERVER_NAME;
use crate::workload::Key;

/// A new certificate and its key, in PEM.
pub(super) fn with_key(key: Key) -> Result<String> {
    let key = match key {
        Key::EcdsaP256 => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?,
        Key::Rsa2048 => KeyPair::generate_for(&PKCS_RSA_SHA256)?,
    };
    let certificate = CertificateParams::new([SERVER_NAME.to_owned()])?.self_signed(&key)?;
    Ok(certificate.pem() + &key.serialize_pem())
}
