//! The part of compiling that is about TLS: certificates made ready, and what each listener shakes hands with. What
//! has not changed is kept, for making it anew costs more than all the rest of a snapshot.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::{Certificate, CertificateName, Config, Held, Listener, ListenerTls};
use crate::state::{Issuance, Snapshot};
use crate::tls::{Credential, Terminator};

/// Certificates that are ready to be shown, by name.
pub(super) type Credentials = BTreeMap<CertificateName, Arc<Credential>>;

/// How it goes with certificates that an authority issues, by name.
pub(super) type Issuances = BTreeMap<CertificateName, Issuance>;

/// What is seen of certificates that are wanted.
pub(super) fn issuances(config: &Config, seen: &Issuances, previous: Option<&Snapshot>) -> Arc<Issuances> {
    let is_wanted =
        |name: &CertificateName| config.certificates.get(name).is_some_and(|held| held.wanted.acme().is_some());
    let wanted = seen.iter().filter(|(name, _)| is_wanted(name));
    let old = previous.map(|previous| &previous.issuances).filter(|old| old.iter().eq(wanted.clone()));
    old.cloned().unwrap_or_else(|| Arc::new(wanted.map(|(name, seen)| (name.clone(), seen.clone())).collect()))
}

/// Makes every certificate ready.
pub(super) fn credentials(config: &Config, previous: Option<&Snapshot>) -> Credentials {
    let ready = |(name, held): (&CertificateName, &Arc<Held<Certificate>>)| {
        let old = previous.and_then(|previous| previous.credentials.get(name));
        let is_issued = held.wanted.acme().is_some();
        let issued = config.acme.issued.get(name).filter(|_| is_issued);
        let is_same = |old: &&Arc<Credential>| {
            Arc::ptr_eq(&old.held, held) && old.issued.as_ref().map(Arc::as_ptr) == issued.map(Arc::as_ptr)
        };
        if let Some(old) = old.filter(is_same) {
            return Some((name.clone(), Arc::clone(old)));
        }
        if is_issued && issued.is_none() {
            // Whoever orders it says so.
            return None;
        }
        let credential = Credential::of(held, issued);
        if credential.is_none() {
            tracing::error!(certificate = %name, "the certificate cannot be used, although it was found right before");
        }
        Some((name.clone(), Arc::new(credential?)))
    };
    config.certificates.iter().filter_map(ready).collect()
}

/// The names for which an authority is to issue certificates of a listener, and has not yet.
fn missing(tls: &ListenerTls, config: &Config, credentials: &Credentials) -> Vec<Arc<str>> {
    let is_missing = |certificate: &CertificateName, name: &str| {
        let shown = credentials.get(certificate);
        shown.is_none_or(|shown| !shown.facts.names.iter().any(|other| other == name))
    };
    let wanted = tls.certificates.iter().filter_map(|name| Some((name, config.certificates.get(name)?.wanted.acme()?)));
    let missing =
        wanted.flat_map(|(certificate, names)| names.iter().filter(move |name| is_missing(certificate, name)).cloned());
    missing.collect()
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
    let missing = missing(wanted, config, credentials);
    let keys = &config.ticket_keys;
    let protocols = listener.protocol.alpn();
    let kept = old.filter(|old| old.is_of(wanted, protocols, &shown, &missing, keys)).cloned();
    Some(kept.unwrap_or_else(|| Arc::new(Terminator::new(&listener.name, wanted, protocols, shown, missing, keys))))
}
