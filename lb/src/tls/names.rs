//! Which certificates are shown to whom: by the name a client asks for, exact before wildcard before the first; and
//! among those of a name by what the client can check.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::Credential;

/// The longest name that is looked up.
const NAME_BYTES_MAX: usize = 253;

/// The certificates of one listener, by name.
#[derive(Debug)]
pub(super) struct Names {
    exact: HashMap<String, Candidates>,
    /// By what follows the first label: `*.example.com` is kept as `example.com`.
    wildcard: HashMap<String, Candidates>,
    default: Candidates,
    /// Names for which there is to be a certificate, and is none yet. They have no candidates: nobody is shown
    /// another's certificate for them.
    missing: HashSet<Arc<str>>,
}

/// Certificates for one name, those that are cheap to sign with first.
type Candidates = Vec<Arc<CertifiedKey>>;

impl Names {
    /// Of these certificates, in the order in which a listener names them.
    pub(super) fn of(credentials: &[Arc<Credential>], missing: &[Arc<str>]) -> Self {
        let missing = missing.iter().cloned().collect();
        let mut names = Self { exact: HashMap::new(), wildcard: HashMap::new(), default: Vec::new(), missing };
        let cheap_first = [true, false];
        let ordered =
            cheap_first.iter().flat_map(|cheap| credentials.iter().filter(move |own| own.is_cheap() == *cheap));
        for credential in ordered {
            for name in &credential.facts.names {
                let (map, name) = match name.strip_prefix("*.") {
                    Some(parent) => (&mut names.wildcard, parent),
                    None => (&mut names.exact, name.as_str()),
                };
                map.entry(name.to_owned()).or_default().push(Arc::clone(&credential.key));
            }
        }
        // With the first certificate stand those that share a name with it, which differ in the kind of their key.
        if let Some(first) = credentials.first() {
            let shares = |other: &&Arc<Credential>| {
                Arc::ptr_eq(other, first) || other.facts.names.iter().any(|name| first.facts.names.contains(name))
            };
            names.default.push(Arc::clone(&first.key));
            let others = credentials.iter().skip(1).filter(shares);
            names
                .default
                .extend(others.filter(|other| other.is_cheap() != first.is_cheap()).map(|own| Arc::clone(&own.key)));
        }
        names
    }

    /// Those for a name. None: there is to be one, and is not yet.
    fn candidates(&self, name: Option<&str>) -> Option<&Candidates> {
        let Some(name) = name.filter(|name| name.len() <= NAME_BYTES_MAX) else { return Some(&self.default) };
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let by_wildcard = || self.wildcard.get(name.split_once('.')?.1);
        let found = self.exact.get(&name).or_else(by_wildcard);
        found.or_else(|| (!self.missing.contains(&*name)).then_some(&self.default))
    }

    fn choose(&self, name: Option<&str>, schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let can_check = |key: &&Arc<CertifiedKey>| key.key.choose_scheme(schemes).is_some();
        let found = self.candidates(name)?.iter().find(can_check).or_else(|| self.default.iter().find(can_check));
        found.cloned()
    }
}

impl ResolvesServerCert for Names {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.choose(hello.server_name(), hello.signature_schemes())
    }
}
