//! TLS for who serves outside of the workers, with a library's stream: the admin API. One certificate, as it is at the
//! time of each handshake.

use std::fmt;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::Credential;
use super::offer::offered;
use crate::model::TlsPolicy;

/// What somebody needs who shows the certificate that `latest` answers with, and speaks these protocols behind it
/// (ALPN). No session is resumed, so that a certificate that was replaced is not seen again.
///
/// # Errors
/// What rustls says of it.
pub fn server_config(
    protocols: &[&str],
    latest: impl Fn() -> Option<Arc<Credential>> + Send + Sync + 'static,
) -> Result<ServerConfig, rustls::Error> {
    let (versions, provider) = offered(TlsPolicy::default().offer());
    let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(versions)?;
    let mut config = builder.with_no_client_auth().with_cert_resolver(Arc::new(Latest(latest)));
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    config.ignore_client_order = true;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

struct Latest<F>(F);

impl<F: Fn() -> Option<Arc<Credential>> + Send + Sync> ResolvesServerCert for Latest<F> {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        (self.0)().map(|credential| Arc::clone(&credential.key))
    }
}

impl<F> fmt::Debug for Latest<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Latest")
    }
}
