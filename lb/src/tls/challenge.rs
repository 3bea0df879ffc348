//! What a handshake with an authority that looks for a challenge (tls-alpn-01, RFC 8737) is made with.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::server::{NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::SingleCertAndKey;

use super::CertificateFault;
use super::certificate::certified;

/// The protocol (ALPN) that such an authority offers, and no other.
pub(super) const CHALLENGE_PROTOCOL: &[u8] = b"acme-tls/1";

/// Shows a certificate, whomever it is for: the authority says what has to stand in it. Nothing is asked of clients,
/// whatever the listener asks: the authority has no certificate that could be asked for.
pub(crate) fn challenge_config(chain: &str, key: &str) -> Result<ServerConfig, CertificateFault> {
    let resolver: Arc<dyn ResolvesServerCert> = Arc::new(SingleCertAndKey::from(certified(chain, key)?));
    let builder = ServerConfig::builder_with_provider(default_provider().into()).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| CertificateFault::UnusableKey(error.to_string()))?;
    let mut config = builder.with_no_client_auth().with_cert_resolver(resolver);
    config.alpn_protocols = vec![CHALLENGE_PROTOCOL.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}
