//! A certificate authority for tests.

use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, SerialNumber,
};

/// A certificate authority.
pub struct Ca {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate with its key, both in PEM.
#[derive(Debug, Clone)]
pub struct Issued {
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

/// The kind of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Ecdsa,
    Rsa,
}

/// A day.
pub const DAY: Duration = Duration::from_secs(24 * 3600);

impl Ca {
    /// A new one, which vouches for all that it issues.
    pub fn new(name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// Its own certificate, for whom is to trust it.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A certificate for these names, for a month.
    pub fn issue(&self, names: &[&str]) -> Issued {
        self.issue_with(names, Kind::Ecdsa, |_| {})
    }

    /// A certificate for these names, between these times.
    pub fn issue_between(&self, names: &[&str], from: SystemTime, until: SystemTime) -> Issued {
        self.issue_with(names, Kind::Ecdsa, |params| {
            (params.not_before, params.not_after) = (from.into(), until.into());
        })
    }

    /// A certificate for a client. Its serial number begins with a one bit, so that its DER begins with a zero byte.
    pub fn issue_client(&self, common_name: &str) -> Issued {
        self.issue_with(&[], Kind::Ecdsa, |params| {
            params.distinguished_name.push(DnType::CommonName, common_name);
            params.distinguished_name.push(DnType::OrganizationName, "Acme, Inc.");
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            params.serial_number = Some(SerialNumber::from_slice(&[0xe3, 0x0c, 0x82]));
        })
    }

    /// Any certificate.
    pub fn issue_with(&self, names: &[&str], kind: Kind, with: impl FnOnce(&mut CertificateParams)) -> Issued {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("legal names");
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.not_before = (SystemTime::now() - DAY).into();
        params.not_after = (SystemTime::now() + 30 * DAY).into();
        with(&mut params);
        let algorithm = if kind == Kind::Ecdsa { &PKCS_ECDSA_P256_SHA256 } else { &PKCS_RSA_SHA256 };
        let key = KeyPair::generate_for(algorithm).expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate").pem();
        Issued { certificate, key: key.serialize_pem() }
    }
}
