//! `[acme]`: the authority that issues certificates. Not here: reading the file that `ca` names
//! ([`crate::certificates`]).

use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::Uri;
use lb::model;
use lb::model::{AcmeChallenge, DnsNames, ExternalAccount, SourceFile, TrustFile};
use serde_json::Value;

use super::notation::{Words, text};
use super::problem::Wrong;
use super::reader::Reader;

/// Let's Encrypt.
const DIRECTORY: &str = "https://acme-v02.api.letsencrypt.org/directory";
const CONTACTS_MAX: usize = 10;
const TEXT_BYTES_MAX: usize = 2048;
const CHALLENGE: Words<AcmeChallenge> = Words {
    what: "challenge",
    now: &[("http-01", AcmeChallenge::Http01), ("tls-alpn-01", AcmeChallenge::TlsAlpn01)],
    later: &["dns-01"],
};

/// The authority that issues certificates.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct Acme {
    /// The URL of its directory.
    pub directory: String,
    /// Whom it may write to, as `mailto:` URLs.
    pub contact: Vec<String>,
    /// That its terms of service are agreed to; nothing is asked of it otherwise.
    pub terms_agreed: bool,
    /// The file with those who vouch for its own https; absent: whom this machine trusts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    /// `http-01` or `tls-alpn-01`; absent: whichever the listeners allow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub challenge: Option<String>,
    /// An account that it wants to know beforehand. The key that belongs to it is never given out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eab_key_id: Option<String>,
}

/// Reads `[acme]`. The file of `ca` is not read yet: what stands in it is empty.
pub(super) fn read(reader: &mut Reader<'_>) -> Option<model::Acme> {
    let directory = reader.or("directory", DIRECTORY.into(), directory);
    let contact = reader.or("contact", Vec::new(), contacts);
    let agreed = reader.or("terms_agreed", false, |value| value.as_bool().ok_or_else(|| Wrong::kind("true", value)));
    if !agreed {
        let wrong = Wrong::new("the authority issues certificates only to who agrees to its terms of service");
        let wrong = wrong.hint("read them, then write terms_agreed = true");
        reader.problem("terms_agreed", wrong);
    }
    let ca = reader.or("ca", None, |value| Ok(Some(TrustFile { file: SourceFile::at(text(value)?), pem: "".into() })));
    let challenge = reader.or("challenge", None, |value| CHALLENGE.parse(value).map(Some));
    let key_id = reader.or("eab_key_id", None, |value| short(value).map(Some));
    let hmac_key = reader.or("eab_hmac_key", None, |value| hmac_key(value).map(Some));
    let external_account = match (key_id, hmac_key) {
        (Some(key_id), Some(hmac_key)) => Some(ExternalAccount { key_id, hmac_key }),
        (None, None) => None,
        (key_id, _) => {
            let (there, missing) =
                if key_id.is_some() { ("eab_key_id", "eab_hmac_key") } else { ("eab_hmac_key", "eab_key_id") };
            if !reader.has(missing) {
                reader.problem(there, Wrong::new(format!("`{missing}` is missing beside it")));
            }
            None
        }
    };
    Some(model::Acme { directory, contact, ca, challenge, external_account })
}

/// Reads the names of an automatic certificate.
pub(super) fn names(value: &Value) -> Result<DnsNames, Wrong> {
    let items = value.as_array().ok_or_else(|| Wrong::kind("a list of DNS names", value))?;
    let items: Vec<_> = items.iter().map(text).collect::<Result<_, _>>()?;
    DnsNames::parse(items).map_err(|error| Wrong::new(error.to_string()))
}

/// Where a directory may lie: behind https; in the clear on this machine only, where nobody listens in.
fn directory(value: &Value) -> Result<Arc<str>, Wrong> {
    let directory = short(value)?;
    let uri: Uri = directory.parse().map_err(|error| Wrong::new(format!("it is no URL: {error}")))?;
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let is_own = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    match uri.scheme_str() {
        _ if host.is_empty() => Err(Wrong::new("it names no host")),
        Some("https") => Ok(directory),
        Some("http") if is_own => Ok(directory),
        _ => Err(Wrong::new("it does not begin with https://")),
    }
}

fn contacts(value: &Value) -> Result<Vec<Arc<str>>, Wrong> {
    let items = value.as_array().ok_or_else(|| Wrong::kind("a list of URLs", value))?;
    if items.len() > CONTACTS_MAX {
        return Err(Wrong::new(format!("{} contacts are too many: at most {CONTACTS_MAX}", items.len())));
    }
    let contact = |(index, item): (usize, &Value)| {
        let contact = short(item).map_err(|wrong| wrong.within(&index.to_string()))?;
        match contact.strip_prefix("mailto:") {
            Some(address) if address.contains('@') => Ok(contact),
            _ => Err(Wrong::new("it is no mailto: URL")
                .hint("as in \"mailto:ops@shop.example\"")
                .within(&index.to_string())),
        }
    };
    items.iter().enumerate().map(contact).collect()
}

fn short(value: &Value) -> Result<Arc<str>, Wrong> {
    match text(value)? {
        text if text.len() > TEXT_BYTES_MAX => Err(Wrong::new("it is too long")),
        text => Ok(text.into()),
    }
}

fn hmac_key(value: &Value) -> Result<Arc<[u8]>, Wrong> {
    let typed = short(value)?;
    let decoded = BASE64_URL_SAFE_NO_PAD.decode(typed.trim_end_matches('='));
    // What stands there is a secret, and not repeated.
    decoded.map(Arc::from).map_err(|_| Wrong::new("it is not base64url, as authorities give it out"))
}

impl From<&model::Acme> for Acme {
    fn from(acme: &model::Acme) -> Self {
        Self {
            directory: acme.directory.to_string(),
            contact: acme.contact.iter().map(ToString::to_string).collect(),
            terms_agreed: true,
            ca: acme.ca.as_ref().map(|ca| ca.file.path.to_string_lossy().into_owned()),
            challenge: acme.challenge.map(|challenge| CHALLENGE.word(challenge)),
            eab_key_id: acme.external_account.as_ref().map(|account| account.key_id.to_string()),
        }
    }
}
