//! Automatic certificates: what is asked of an authority (RFC 8555), and what is kept of its answers. Not here: asking
//! it (`control`), when a certificate is renewed (`control`).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use super::{CertificateName, PrivateKey, TrustFile};

/// The most names of one certificate, as common authorities have it.
pub const ACME_NAMES_MAX: usize = 100;
/// The longest DNS name.
const DNS_NAME_BYTES_MAX: usize = 253;
const DNS_LABEL_BYTES_MAX: usize = 63;

/// Which authority issues certificates, and how it is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acme {
    /// The URL of its directory.
    pub directory: Arc<str>,
    /// Whom it may write to, as `mailto:` URLs.
    pub contact: Vec<Arc<str>>,
    /// Who vouches for its own https; none: whom this machine trusts.
    pub ca: Option<TrustFile>,
    /// How names are shown to be ours; none: whichever way the listeners allow.
    pub challenge: Option<AcmeChallenge>,
    /// An account that the authority wants to know beforehand.
    pub external_account: Option<ExternalAccount>,
}

/// How a name is shown to be ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AcmeChallenge {
    /// By an answer to a request in the clear, on port 80.
    Http01,
    /// By a certificate shown in a handshake, on port 443 (RFC 8737).
    TlsAlpn01,
}

/// An account that exists at an authority beside ACME.
#[derive(Clone, PartialEq, Eq)]
pub struct ExternalAccount {
    /// Which.
    pub key_id: Arc<str>,
    /// The key that proves that it is ours.
    pub hmac_key: Arc<[u8]>,
}

/// The names that an automatic certificate is for: at least one, lower case, each once.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DnsNames(BTreeSet<Arc<str>>);

/// Why names were refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDnsName {
    /// There is none.
    #[error("it has no name")]
    None,
    /// There are too many.
    #[error("a certificate has at most {ACME_NAMES_MAX} names")]
    TooMany,
    /// An authority gives such a certificate only to who can change the DNS.
    #[error("{0} is a wildcard, which needs dns-01, and that is not available: name each host")]
    Wildcard(String),
    /// It is an address.
    #[error("{0} is an address: automatic certificates are for DNS names")]
    Address(String),
    /// It is no DNS name.
    #[error("{0:?} is not a DNS name: labels of letters, digits and '-' with dots between them")]
    Malformed(String),
    /// It stands there more than once.
    #[error("{0} is named twice")]
    Twice(String),
}

/// What is kept of automatic certificates: the account, and what was issued.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AcmeState {
    /// The account, once there is one.
    pub account: Option<Arc<AcmeAccount>>,
    /// The newest certificate that was issued under each name.
    pub issued: BTreeMap<CertificateName, Arc<Issued>>,
}

/// An account at an authority.
#[derive(Clone, PartialEq, Eq)]
pub struct AcmeAccount {
    /// Where.
    pub directory: Arc<str>,
    /// Whom the authority was told to write to.
    pub contact: Vec<Arc<str>>,
    /// What it takes to use it, its key among it.
    pub credentials: Arc<str>,
}

/// A certificate as an authority has issued it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// The names it was ordered for.
    pub names: DnsNames,
    /// By whom.
    pub directory: Arc<str>,
    /// The certificate and those that vouch for it, in PEM, its own first.
    pub chain: Arc<str>,
    /// Its private key.
    pub key: PrivateKey,
}

impl Issued {
    /// Whether it is what would be ordered for these names there.
    pub fn is_for(&self, names: &DnsNames, directory: &str) -> bool {
        self.names == *names && *self.directory == *directory
    }
}

impl DnsNames {
    /// Takes names as they were typed.
    ///
    /// # Errors
    /// [`InvalidDnsName`].
    pub fn parse<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, InvalidDnsName> {
        let mut parsed = BTreeSet::new();
        for name in names {
            let name: Arc<str> = dns_name(name)?.into();
            if !parsed.insert(Arc::clone(&name)) {
                return Err(InvalidDnsName::Twice(name.to_string()));
            }
        }
        match parsed.len() {
            0 => Err(InvalidDnsName::None),
            1..=ACME_NAMES_MAX => Ok(Self(parsed)),
            _ => Err(InvalidDnsName::TooMany),
        }
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<str>> {
        self.0.iter()
    }
}

impl fmt::Display for DnsNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.0.iter().map(|name| &**name).collect();
        f.write_str(&names.join(", "))
    }
}

fn dns_name(typed: &str) -> Result<String, InvalidDnsName> {
    let told = || typed.chars().take(DNS_NAME_BYTES_MAX).collect::<String>();
    let name = typed.strip_suffix('.').unwrap_or(typed).to_ascii_lowercase();
    if typed.starts_with("*.") {
        return Err(InvalidDnsName::Wildcard(told()));
    }
    if typed.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok() {
        return Err(InvalidDnsName::Address(told()));
    }
    let is_label = |label: &str| {
        let legal = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        (1..=DNS_LABEL_BYTES_MAX).contains(&label.len()) && legal && !label.starts_with('-') && !label.ends_with('-')
    };
    let is_name = name.len() <= DNS_NAME_BYTES_MAX && name.split('.').all(is_label);
    // A last label of digits would be a part of an address.
    let is_number = name.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
    if is_name && !is_number { Ok(name) } else { Err(InvalidDnsName::Malformed(told())) }
}

impl fmt::Debug for ExternalAccount {
    /// Keys do not get into logs, here and below.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExternalAccount").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

impl fmt::Debug for AcmeAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut account = f.debug_struct("AcmeAccount");
        account.field("directory", &self.directory).field("contact", &self.contact).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::{DnsNames, InvalidDnsName};

    #[test]
    fn names_are_dns_names() {
        let names = DnsNames::parse(["WWW.Shop.example.", "shop.example"]).expect("names");
        assert_eq!(names.to_string(), "shop.example, www.shop.example");
        assert!(DnsNames::parse(["localhost"]).is_ok() && DnsNames::parse(["xn--bcher-kva.example"]).is_ok());
        for wrong in ["", ".", "a..b", "-a.b", "a-.b", "a_b.c", "a b", "a.b/c", "10.0.0", "ä.example"] {
            assert!(matches!(DnsNames::parse([wrong]), Err(InvalidDnsName::Malformed(_))), "{wrong}");
        }
        for address in ["127.0.0.1", "::1", "[::1]"] {
            assert!(matches!(DnsNames::parse([address]), Err(InvalidDnsName::Address(_))), "{address}");
        }
        assert!(matches!(DnsNames::parse(["*.shop.example"]), Err(InvalidDnsName::Wildcard(_))));
        assert!(matches!(DnsNames::parse(["a.b", "A.B"]), Err(InvalidDnsName::Twice(_))));
        assert_eq!(DnsNames::parse([]), Err(InvalidDnsName::None));
        let many: Vec<_> = (0..101).map(|index| format!("n{index}.example")).collect();
        assert_eq!(DnsNames::parse(many.iter().map(String::as_str)), Err(InvalidDnsName::TooMany));
    }
}
