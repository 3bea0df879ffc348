//! The keys of `[[target_group]]` that are about TLS with its targets.

use lb::model::{CertificateName, PublicKeyPin, SourceFile, TargetTls, TlsVerify, TrustFile};
use lb::tls::is_server_name;
use serde_json::Value;

use super::notation::{Words, parsed, text};
use super::problem::Wrong;
use super::reader::Reader;

/// More than anybody has keys in use at once.
const PINS_MAX: usize = 100;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verify {
    None,
    Ca,
    Pinned,
}

const VERIFY: Words<Verify> = Words {
    what: "tls_verify",
    now: &[("none", Verify::None), ("ca", Verify::Ca), ("pinned", Verify::Pinned)],
    later: &[],
};

/// Reads what a group says of TLS. The file of `tls_ca` is not read yet: what stands in it is empty.
pub(super) fn read(reader: &mut Reader<'_>, speaks_tls: bool) -> TargetTls {
    let verify = reader.or("tls_verify", Verify::None, |value| VERIFY.parse(value));
    let ca = reader.or("tls_ca", None, trust_file);
    let server_name = reader.or("tls_server_name", None, |value| match value {
        Value::Null => Ok(None),
        value => match text(value)? {
            name if is_server_name(name) => Ok(Some(name.into())),
            name => Err(Wrong::new(format!("{name:?} is neither a host name nor an address"))),
        },
    });
    let is_there = reader.has("tls_pinned_keys");
    let read = reader.or("tls_pinned_keys", None, |value| pins(value).map(Some));
    // What was wrong with them has been told.
    let is_told = is_there && read.is_none();
    let pins = read.unwrap_or_default();
    let certificate = reader.or("tls_certificate", None, |value| match value {
        Value::Null => Ok(None),
        value => parsed(CertificateName::parse)(value).map(Some),
    });
    if !speaks_tls {
        let wrong = || {
            Wrong::new("neither the group nor its health check speaks TLS")
                .hint("write protocol = \"https\" or \"tls\", there or in [target_group.health_check]")
        };
        let told = [
            ("tls_verify", verify != Verify::None),
            ("tls_ca", ca.is_some()),
            ("tls_server_name", server_name.is_some()),
            ("tls_pinned_keys", !pins.is_empty()),
            ("tls_certificate", certificate.is_some()),
        ];
        told.iter().filter(|(_, is_told)| *is_told).for_each(|(key, _)| reader.problem(key, wrong()));
        return TargetTls::default();
    }
    if verify != Verify::Ca && ca.is_some() {
        let wrong = Wrong::new("it says nothing while certificates of targets are not checked by it");
        reader.problem("tls_ca", wrong.hint("write tls_verify = \"ca\""));
    }
    if verify != Verify::Pinned && !pins.is_empty() {
        let wrong = Wrong::new("they say nothing while public keys of targets are not checked");
        reader.problem("tls_pinned_keys", wrong.hint("write tls_verify = \"pinned\""));
    }
    let verify = match (verify, ca) {
        (Verify::None, _) => TlsVerify::None,
        (Verify::Ca, Some(ca)) => TlsVerify::Ca(ca),
        (Verify::Ca, None) => {
            let wrong = Wrong::new("it needs `tls_ca`: a file with the certificates that vouch for targets");
            reader.problem("tls_verify", wrong);
            TlsVerify::None
        }
        (Verify::Pinned, _) => {
            if pins.is_empty() && !is_told {
                let (key, why) = match is_there {
                    true => ("tls_pinned_keys", "at least one public key is needed"),
                    false => ("tls_verify", "it needs `tls_pinned_keys`: at least one public key"),
                };
                reader.problem(key, Wrong::new(why).hint("write tls_pinned_keys = [\"sha256/BASE64\"]"));
            }
            TlsVerify::Pinned(pins)
        }
    };
    TargetTls { verify, server_name, certificate }
}

/// The file of those who vouch for others, or none.
pub(super) fn trust_file(value: &Value) -> Result<Option<TrustFile>, Wrong> {
    match value {
        Value::Null => Ok(None),
        value => text(value).map(|path| Some(TrustFile { file: SourceFile::at(path), pem: "".into() })),
    }
}

fn pins(value: &Value) -> Result<Vec<PublicKeyPin>, Wrong> {
    let items = value.as_array().ok_or_else(|| Wrong::kind("a list of public keys", value))?;
    if items.len() > PINS_MAX {
        return Err(Wrong::new(format!("{} public keys are too many: at most {PINS_MAX}", items.len())));
    }
    let pin = |(index, item): (usize, &Value)| {
        parsed(PublicKeyPin::parse)(item).map_err(|wrong: Wrong| {
            wrong.hint("write the SHA-256 of the key in DER, as curl's --pinnedpubkey").within(&index.to_string())
        })
    };
    items.iter().enumerate().map(pin).collect()
}

/// How `tls_verify` is written.
pub(super) fn verify_word(verify: &TlsVerify) -> String {
    VERIFY.word(match verify {
        TlsVerify::None => Verify::None,
        TlsVerify::Ca(_) => Verify::Ca,
        TlsVerify::Pinned(_) => Verify::Pinned,
    })
}
