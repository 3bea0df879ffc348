//! The part of compiling that is about TLS: certificates made ready, and what each listener shakes hands with. What
//! has not changed is kept, for making it anew costs more than all the rest of a snapshot.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::{CertificateName, Config, Listener};
use crate::state::Snapshot;
use crate::tls::{Credential, Terminator};

/// Certificates that are ready to be shown, by name.
pub(super) type Credentials = BTreeMap<CertificateName, Arc<Credential>>;

/// Makes every certificate ready.
pub(super) fn credentials(config: &Config, previous: Option<&Snapshot>) -> Credentials {
    let ready = |(name, held): (&CertificateName, &Arc<_>)| {
        let old = previous.and_then(|previous| previous.credentials.get(name));
        if let Some(old) = old.filter(|old| Arc::ptr_eq(&old.held, held)) {
            return Some((name.clone(), Arc::clone(old)));
        }
        let credential = Credential::of(held);
        if credential.is_none() {
            tracing::error!(certificate = %name, "the certificate cannot be used, although it was found right before");
        }
        Some((name.clone(), Arc::new(credential?)))
    };
    config.certificates.iter().filter_map(ready).collect()
}

/// What a listener shakes hands with, if it speaks TLS.
pub(super) fn terminator(
    listener: &Listener,
    config: &Config,
    credentials: &Credentials,
    old: Option<&Arc<Terminator>>,
) -> Option<Arc<Terminator>> {
    let wanted = listener.tls.as_ref()?;
    let shown: Vec<_> = wanted.certificates.iter().filter_map(|name| credentials.get(name)).cloned().collect();
    let keys = &config.ticket_keys;
    let protocols = listener.protocol.alpn();
    let kept = old.filter(|old| old.is_of(wanted, protocols, &shown, keys)).cloned();
    Some(kept.unwrap_or_else(|| Arc::new(Terminator::new(&listener.name, wanted, protocols, shown, keys))))
}
