//! What each policy offers, in rustls' words; and the names of cipher suites in OpenSSL's, which logs are read by.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{cipher_suite as suite, default_provider};
use rustls::version::{TLS12, TLS13};
use rustls::{CipherSuite, ProtocolVersion, SupportedCipherSuite, SupportedProtocolVersion};

use crate::model::TlsOffer;

static MODERN: &[&SupportedProtocolVersion] = &[&TLS13];
static BOTH: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];
static OLD: &[&SupportedProtocolVersion] = &[&TLS12];

const SUITES_13: [SupportedCipherSuite; 3] =
    [suite::TLS13_AES_128_GCM_SHA256, suite::TLS13_AES_256_GCM_SHA384, suite::TLS13_CHACHA20_POLY1305_SHA256];

const SUITES_12_AES: [SupportedCipherSuite; 4] = [
    suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
];

const SUITES_12_CHACHA: [SupportedCipherSuite; 2] =
    [suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256];

/// The versions and the suites of an offer. Key exchange is the provider's default, X25519MLKEM768 first.
pub(super) fn offered(offer: TlsOffer) -> (&'static [&'static SupportedProtocolVersion], Arc<CryptoProvider>) {
    let (versions, suites) = match offer {
        TlsOffer::Tls13 => (MODERN, SUITES_13.to_vec()),
        TlsOffer::Tls13And12 => (BOTH, [&SUITES_13[..], &SUITES_12_AES, &SUITES_12_CHACHA].concat()),
        TlsOffer::Tls13And12Aes => (BOTH, [&SUITES_13[..], &SUITES_12_AES].concat()),
        TlsOffer::Tls12Aes => (OLD, SUITES_12_AES.to_vec()),
        TlsOffer::Tls12(wanted) => {
            let known = SUITES_12_AES.into_iter().chain(SUITES_12_CHACHA);
            (OLD, known.filter(|known| wanted.contains(suite_name(known.suite()))).collect())
        }
    };
    (versions, Arc::new(CryptoProvider { cipher_suites: suites, ..default_provider() }))
}

/// A version as OpenSSL calls it.
pub(super) fn version_name(version: ProtocolVersion) -> &'static str {
    match version {
        ProtocolVersion::TLSv1_3 => "TLSv1.3",
        _ => "TLSv1.2",
    }
}

/// A suite as OpenSSL calls it.
pub(super) fn suite_name(suite: CipherSuite) -> &'static str {
    match suite {
        CipherSuite::TLS13_AES_128_GCM_SHA256 => "TLS_AES_128_GCM_SHA256",
        CipherSuite::TLS13_AES_256_GCM_SHA384 => "TLS_AES_256_GCM_SHA384",
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => "TLS_CHACHA20_POLY1305_SHA256",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 => "ECDHE-ECDSA-AES128-GCM-SHA256",
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => "ECDHE-RSA-AES128-GCM-SHA256",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 => "ECDHE-ECDSA-AES256-GCM-SHA384",
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 => "ECDHE-RSA-AES256-GCM-SHA384",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 => "ECDHE-ECDSA-CHACHA20-POLY1305",
        CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 => "ECDHE-RSA-CHACHA20-POLY1305",
        _ => "-",
    }
}
