//! The keys of `[[listener]]` that are about TLS.

use lb::model::{CertificateName, ClientAuth, ListenerProtocol, ListenerTls, TlsPolicy};
use serde_json::Value;

use super::notation::{Words, parsed, text};
use super::problem::Wrong;
use super::reader::{Reader, alike};
use super::target_tls::trust_file;

/// More than anybody shows at one listener.
const CERTIFICATES_MAX: usize = 1000;
/// More than anybody speaks at one listener, and as long as the name of a protocol can be.
const ALPN_MAX: usize = 32;
const ALPN_BYTES_MAX: usize = 255;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    Off,
    Request,
    Require,
}

pub(super) const CLIENT_AUTH: Words<Asked> = Words {
    what: "client_auth",
    now: &[("off", Asked::Off), ("request", Asked::Request), ("require", Asked::Require)],
    later: &[],
};

/// Reads what a listener says of TLS. The file of `client_ca` is not read yet: what stands in it is empty.
pub(super) fn read(reader: &mut Reader<'_>, protocol: ListenerProtocol) -> Option<ListenerTls> {
    let is_there = reader.has("certificates");
    let named = reader.or("certificates", None, |value| names(value).map(Some));
    // What was wrong with it has been told.
    let is_told = is_there && named.is_none();
    let certificates = named.unwrap_or_default();
    let policy = reader.or("tls_policy", TlsPolicy::default(), policy);
    let asked = reader.or("client_auth", Asked::Off, |value| CLIENT_AUTH.parse(value));
    let ca = reader.or("client_ca", None, trust_file);
    let alpn = reader.or("alpn", Vec::new(), protocols);
    if !alpn.is_empty() && protocol != ListenerProtocol::Tls {
        let wrong = Wrong::new("it is for listeners that pass on what is within TLS");
        reader.problem("alpn", wrong.hint("write protocol = \"tls\", or leave it away"));
    }
    if !protocol.is_over_tls() {
        let wrong = || Wrong::new("it is for listeners that speak TLS").hint("write protocol = \"https\" or \"tls\"");
        let told = [
            ("certificates", !certificates.is_empty()),
            ("tls_policy", policy != TlsPolicy::default()),
            ("client_auth", asked != Asked::Off),
            ("client_ca", ca.is_some()),
        ];
        told.iter().filter(|(_, is_told)| *is_told).for_each(|(key, _)| reader.problem(key, wrong()));
        return None;
    }
    if certificates.is_empty() && !is_told {
        let (key, why) = match is_there {
            true => ("certificates", "at least one certificate is needed"),
            false => ("protocol", "a listener that speaks TLS needs `certificates`"),
        };
        reader
            .problem(key, Wrong::new(why).hint("write certificates = [\"NAME\"], and declare it with [[certificate]]"));
    }
    let client_auth = match (asked, ca) {
        (Asked::Off, None) => ClientAuth::Off,
        (Asked::Request, Some(ca)) => ClientAuth::Request(ca),
        (Asked::Require, Some(ca)) => ClientAuth::Require(ca),
        (Asked::Off, Some(_)) => {
            let wrong = Wrong::new("nobody is asked for a certificate that it could vouch for");
            reader.problem("client_ca", wrong.hint("write client_auth = \"require\" or \"request\""));
            ClientAuth::Off
        }
        (Asked::Request | Asked::Require, None) => {
            let wrong = Wrong::new("it needs `client_ca`: a file with the certificates that vouch for clients");
            reader.problem("client_auth", wrong);
            ClientAuth::Off
        }
    };
    Some(ListenerTls { certificates, policy, client_auth, alpn })
}

fn names(value: &Value) -> Result<Vec<CertificateName>, Wrong> {
    let items = value.as_array().ok_or_else(|| Wrong::kind("a list of names of certificates", value))?;
    if items.len() > CERTIFICATES_MAX {
        return Err(Wrong::new(format!("{} certificates are too many: at most {CERTIFICATES_MAX}", items.len())));
    }
    let mut names = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let at = |wrong: Wrong| wrong.within(&index.to_string());
        let name = parsed(CertificateName::parse)(item).map_err(at)?;
        if names.contains(&name) {
            return Err(at(Wrong::new(format!("{name} is named twice"))));
        }
        names.push(name);
    }
    Ok(names)
}

fn protocols(value: &Value) -> Result<Vec<Box<str>>, Wrong> {
    let items = value.as_array().ok_or_else(|| Wrong::kind("a list of names of protocols", value))?;
    if items.len() > ALPN_MAX {
        return Err(Wrong::new(format!("{} protocols are too many: at most {ALPN_MAX}", items.len())));
    }
    let mut names: Vec<Box<str>> = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let at = |wrong: Wrong| wrong.within(&index.to_string());
        let name = text(item).map_err(at)?;
        let is_legal = (1..=ALPN_BYTES_MAX).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_legal {
            let wrong = Wrong::new("the name of a protocol is 1 to 255 visible ASCII characters");
            return Err(at(wrong.hint("as in \"h2\" or \"http/1.1\"")));
        }
        if names.iter().any(|known| **known == *name) {
            return Err(at(Wrong::new(format!("{name} is named twice"))));
        }
        names.push(name.into());
    }
    Ok(names)
}

fn policy(value: &Value) -> Result<TlsPolicy, Wrong> {
    let name = text(value)?;
    if let Some(policy) = TlsPolicy::named(name) {
        return Ok(policy);
    }
    if name.contains("FIPS") {
        let wrong = Wrong::new(format!("`{name}` promises a validated cryptographic module, which this elbow has not"));
        return Err(wrong.hint("the same without FIPS in its name is served"));
    }
    let known: Vec<_> = TlsPolicy::all().map(TlsPolicy::name).collect();
    Err(Wrong::new(format!("`{name}` is no tls_policy")).hint(match alike(name, &known) {
        Some(known) => format!("did you mean `{known}`?"),
        None => "write \"modern\", \"intermediate\", or the name of a policy of ELB".to_owned(),
    }))
}
