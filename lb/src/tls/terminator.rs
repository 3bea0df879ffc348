//! All that one listener needs to shake hands, made when a snapshot is compiled.

use std::sync::Arc;

use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};

use super::certificate::trust;
use super::names::Names;
use super::offer::offered;
use super::tickets::ticketer;
use super::{CertificateFault, Credential};
use crate::model::{ClientAuth, ListenerName, ListenerTls, TicketKeys};

/// All that one listener needs to shake hands. Immutable: connections that began with one end with it.
#[derive(Debug)]
pub struct Terminator {
    /// What the listener wants.
    pub wanted: ListenerTls,
    /// The certificates it shows, in the listener's order.
    pub credentials: Vec<Arc<Credential>>,
    /// The names for which there is to be a certificate, and is none yet.
    pub missing: Vec<Arc<str>>,
    /// What is spoken behind it (ALPN).
    protocols: &'static [&'static str],
    ticket_keys: Arc<TicketKeys>,
    /// None: it cannot be had, and every handshake is refused.
    config: Option<Arc<ServerConfig>>,
}

impl Terminator {
    /// For one listener, behind which these protocols are spoken (ALPN; none: any). Where something is missing that
    /// cannot be done without, it refuses every handshake, rather than let in whom nobody vouches for.
    pub fn new(
        listener: &ListenerName,
        wanted: &ListenerTls,
        protocols: &'static [&'static str],
        credentials: Vec<Arc<Credential>>,
        missing: Vec<Arc<str>>,
        ticket_keys: &Arc<TicketKeys>,
    ) -> Self {
        let config = config(listener, wanted, protocols, &credentials, &missing, ticket_keys);
        if let Err(error) = &config {
            tracing::error!(%listener, %error, "the listener cannot speak TLS, and refuses every handshake");
        }
        let config = config.ok().map(Arc::new);
        Self { wanted: wanted.clone(), credentials, missing, protocols, ticket_keys: Arc::clone(ticket_keys), config }
    }

    /// Whether it is what `new` would make of these.
    pub fn is_of(
        &self,
        wanted: &ListenerTls,
        protocols: &[&str],
        credentials: &[Arc<Credential>],
        missing: &[Arc<str>],
        ticket_keys: &Arc<TicketKeys>,
    ) -> bool {
        let same = |(one, other): (&Arc<Credential>, &Arc<Credential>)| Arc::ptr_eq(one, other);
        self.wanted == *wanted
            && self.protocols == protocols
            && self.credentials.len() == credentials.len()
            && self.credentials.iter().zip(credentials).all(same)
            && self.missing == missing
            && self.ticket_keys == *ticket_keys
    }

    pub(super) fn config(&self) -> Option<&Arc<ServerConfig>> {
        self.config.as_ref()
    }
}

/// Why a listener cannot speak TLS.
#[derive(Debug, thiserror::Error)]
enum Unable {
    #[error("none of its certificates can be used")]
    NoCertificate,
    #[error("no certificate was issued yet for {0}")]
    NotIssued(String),
    #[error("client_ca: {0}")]
    ClientCa(CertificateFault),
    #[error("client_ca: {0}")]
    Verifier(rustls::server::VerifierBuilderError),
    #[error("{0}")]
    Tls(rustls::Error),
}

fn config(
    listener: &ListenerName,
    wanted: &ListenerTls,
    protocols: &'static [&'static str],
    credentials: &[Arc<Credential>],
    missing: &[Arc<str>],
    ticket_keys: &TicketKeys,
) -> Result<ServerConfig, Unable> {
    if credentials.is_empty() && !missing.is_empty() {
        return Err(Unable::NotIssued(missing.join(", ")));
    }
    if credentials.is_empty() {
        return Err(Unable::NoCertificate);
    }
    let (versions, provider) = offered(wanted.policy.offer());
    let verifier = match &wanted.client_auth {
        ClientAuth::Off => WebPkiClientVerifier::no_client_auth(),
        ClientAuth::Request(ca) | ClientAuth::Require(ca) => {
            let roots = trust(&ca.pem).map_err(Unable::ClientCa)?;
            verifier(roots, &provider, matches!(wanted.client_auth, ClientAuth::Require(_)))?
        }
    };
    let builder =
        ServerConfig::builder_with_provider(provider).with_protocol_versions(versions).map_err(Unable::Tls)?;
    let mut config =
        builder.with_client_cert_verifier(verifier).with_cert_resolver(Arc::new(Names::of(credentials, missing)));
    let spoken = protocols.iter().copied().chain(wanted.alpn.iter().map(|protocol| &**protocol));
    config.alpn_protocols = spoken.map(|protocol| protocol.as_bytes().to_vec()).collect();
    config.ignore_client_order = wanted.policy.has_own_order();
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = ticketer(ticket_keys, &purpose(listener, wanted));
    // One is enough for a client that comes back; each costs a key derivation and a sealing in every handshake.
    config.send_tls13_tickets = 1;
    Ok(config)
}

fn verifier(
    roots: RootCertStore,
    provider: &Arc<rustls::crypto::CryptoProvider>,
    is_required: bool,
) -> Result<Arc<dyn ClientCertVerifier>, Unable> {
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    let builder = if is_required { builder } else { builder.allow_unauthenticated() };
    builder.build().map_err(Unable::Verifier)
}

/// What a session was made for: a listener, and who was let in there. A session resumed elsewhere, or after others
/// vouch for clients, would skip what is asked there.
fn purpose(listener: &ListenerName, wanted: &ListenerTls) -> Vec<u8> {
    let (mode, ca) = match &wanted.client_auth {
        ClientAuth::Off => ("off", ""),
        ClientAuth::Request(ca) => ("request", &*ca.pem),
        ClientAuth::Require(ca) => ("require", &*ca.pem),
    };
    ["elbow session ticket", listener.as_str(), mode, ca].join("\0").into_bytes()
}
