//! The part of compiling that is about TLS: certificates made ready, and what each listener and each pool shakes hands
//! with. What has not changed is kept, for making it anew costs more than all the rest of a snapshot.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::{Certificate, CertificateName, Config, Held, Listener, ListenerTls, TargetGroup};
use crate::state::{Issuance, Pool, Snapshot};
use crate::tls::{Credential, Originator, Terminator};

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

/// What the targets of a pool are spoken to with, where that is over TLS.
#[derive(Debug, Clone, Default)]
pub(super) struct Originators {
    pub(super) traffic: Option<Arc<Originator>>,
    pub(super) checks: Option<Arc<Originator>>,
}

/// What shakes hands with the targets of a group, as one forward uses them.
pub(super) fn originators(group: &TargetGroup, credentials: &Credentials, old: Option<&Pool>) -> Originators {
    let credential = group.tls.certificate.as_ref().and_then(|name| credentials.get(name));
    let originator = |protocols, old: Option<&Arc<Originator>>| {
        let kept = old.filter(|old| old.is_of(&group.tls, protocols, credential)).cloned();
        kept.unwrap_or_else(|| Arc::new(Originator::new(&group.name, &group.tls, protocols, credential.cloned())))
    };
    let (protocol, check) = (group.protocol, &group.health_check.protocol);
    let traffic = || originator(protocol.alpn(), old.and_then(|old| old.tls.as_ref()));
    let checks = || originator(check.alpn(), old.and_then(|old| old.check_tls.as_ref()));
    Originators { traffic: protocol.is_over_tls().then(traffic), checks: check.is_over_tls().then(checks) }
}

impl Originators {
    /// Those a pool has.
    pub(super) fn of(pool: &Pool) -> Self {
        Self { traffic: pool.tls.clone(), checks: pool.check_tls.clone() }
    }

    /// Whether a pool has these already.
    pub(super) fn are_of(&self, pool: &Pool) -> bool {
        let same = |own: &Option<Arc<_>>, other: &Option<Arc<_>>| {
            own.as_ref().map(Arc::as_ptr) == other.as_ref().map(Arc::as_ptr)
        };
        same(&self.traffic, &pool.tls) && same(&self.checks, &pool.check_tls)
    }
}
