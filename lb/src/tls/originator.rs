//! All that one pool needs to speak TLS to its targets, made when a snapshot is compiled.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::sign::SingleCertAndKey;

use super::offer::offered;
use super::target_verifier::TargetVerifier;
use super::{CertificateFault, Credential};
use crate::model::{GroupName, Host, TargetTls, TlsOffer};

/// Targets whose sessions are remembered, to be resumed.
const REMEMBERED_MAX: usize = 1024;
/// Names of one target whose sessions are remembered, in rustls' count: eight tickets each.
const TICKETS_MAX: usize = 8;

/// All that one pool needs to speak TLS to its targets. Immutable but for the sessions that targets let us resume.
#[derive(Debug)]
pub struct Originator {
    /// What the group wants.
    pub wanted: TargetTls,
    /// The certificate it shows.
    credential: Option<Arc<Credential>>,
    /// What is spoken over it (ALPN).
    protocols: &'static [&'static str],
    /// None: it cannot be had, and nothing is said to any target.
    config: Option<ClientConfig>,
    /// The same with the sessions of one target each: what one lets us resume another one knows nothing of. Locked for
    /// a look-up.
    remembered: Mutex<HashMap<SocketAddr, Arc<ClientConfig>>>,
}

impl Originator {
    /// For one group, whose targets are asked for these protocols (ALPN; none: nothing is said of it). Where something
    /// is missing that cannot be done without, no connection is made, rather than one to whom nobody vouches for.
    pub fn new(
        group: &GroupName,
        wanted: &TargetTls,
        protocols: &'static [&'static str],
        credential: Option<Arc<Credential>>,
    ) -> Self {
        let config = config(wanted, protocols, credential.as_deref());
        if let Err(error) = &config {
            tracing::error!(%group, %error, "TLS cannot be spoken to the targets, and no connection is made");
        }
        let (wanted, remembered) = (wanted.clone(), Mutex::default());
        Self { wanted, credential, protocols, config: config.ok(), remembered }
    }

    /// Whether it is what `new` would make of these.
    pub fn is_of(&self, wanted: &TargetTls, protocols: &[&str], credential: Option<&Arc<Credential>>) -> bool {
        let same_credential = self.credential.as_ref().map(Arc::as_ptr) == credential.map(Arc::as_ptr);
        self.wanted == *wanted && self.protocols == protocols && same_credential
    }

    /// The name by which a target is asked for, and that its certificate must be for where names count. A target that
    /// has none is known by its address, which is not said in the handshake.
    pub fn name_of(&self, host: &Host, address: IpAddr) -> ServerName<'static> {
        let named = match (&self.wanted.server_name, host) {
            (Some(name), _) | (None, Host::Name(name)) => ServerName::try_from(&**name).ok(),
            (None, Host::Ip(_)) => None,
        };
        named.map_or_else(|| ServerName::from(address.to_canonical()), |name| name.to_owned())
    }

    /// What a probe shakes hands with: the same, but that no session is resumed, so that each probe sees the
    /// certificate. None: it cannot be had.
    pub fn probing(&self) -> Option<Arc<ClientConfig>> {
        self.config.clone().map(Arc::new)
    }

    /// What to shake hands with a target with.
    pub(super) fn config_for(&self, address: SocketAddr) -> Option<Arc<ClientConfig>> {
        let config = self.config.as_ref()?;
        // What a panic left there is whole: nothing is done in between.
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = remembered.get(&address) {
            return Some(Arc::clone(known));
        }
        if remembered.len() >= REMEMBERED_MAX
            && let Some(any) = remembered.keys().next().copied()
        {
            remembered.remove(&any);
        }
        let mut config = config.clone();
        config.resumption = Resumption::in_memory_sessions(TICKETS_MAX);
        let config = Arc::new(config);
        remembered.insert(address, Arc::clone(&config));
        Some(config)
    }
}

/// Whether a text is a name or an address that a certificate can be for.
pub fn is_server_name(text: &str) -> bool {
    ServerName::try_from(text).is_ok()
}

/// Why TLS cannot be spoken to targets.
#[derive(Debug, thiserror::Error)]
enum Unable {
    #[error("tls_ca: {0}")]
    Ca(CertificateFault),
    #[error("tls_certificate cannot be used")]
    NoCertificate,
    #[error("{0}")]
    Tls(rustls::Error),
}

fn config(
    wanted: &TargetTls,
    protocols: &'static [&'static str],
    credential: Option<&Credential>,
) -> Result<ClientConfig, Unable> {
    let (versions, provider) = offered(TlsOffer::Tls13And12);
    let verifier = TargetVerifier::new(&wanted.verify, provider.signature_verification_algorithms);
    let verifier = Arc::new(verifier.map_err(Unable::Ca)?);
    let builder =
        ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).map_err(Unable::Tls)?;
    let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
    let mut config = match credential {
        Some(credential) => {
            builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(credential.key.as_ref().clone())))
        }
        None if wanted.certificate.is_some() => return Err(Unable::NoCertificate),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    config.resumption = Resumption::disabled();
    Ok(config)
}
