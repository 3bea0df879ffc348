//! How the account at an authority, and the certificates that it has issued, are kept.

use lb::model::{AcmeAccount, DnsNames, Issued, PrivateKey};
use serde_json::{Value, json};

/// Writes an account, its key among it.
pub(super) fn write_account(account: &AcmeAccount) -> Value {
    let contact: Vec<_> = account.contact.iter().map(|contact| &**contact).collect();
    json!({ "directory": &*account.directory, "contact": contact, "credentials": &*account.credentials })
}

/// Reads what [`write_account`] wrote.
pub(super) fn read_account(document: &Value) -> Result<AcmeAccount, String> {
    Ok(AcmeAccount {
        directory: text(document, "directory")?.into(),
        contact: texts(document, "contact")?.into_iter().map(Into::into).collect(),
        credentials: text(document, "credentials")?.into(),
    })
}

/// Writes a certificate as it was issued, its key among it.
pub(super) fn write_issued(issued: &Issued) -> Value {
    let names: Vec<_> = issued.names.iter().map(|name| &**name).collect();
    json!({
        "names": names,
        "directory": &*issued.directory,
        "certificate": &*issued.chain,
        "key": issued.key.pem(),
    })
}

/// Reads what [`write_issued`] wrote.
pub(super) fn read_issued(document: &Value) -> Result<Issued, String> {
    Ok(Issued {
        names: DnsNames::parse(texts(document, "names")?).map_err(|error| error.to_string())?,
        directory: text(document, "directory")?.into(),
        chain: text(document, "certificate")?.into(),
        key: PrivateKey::new(text(document, "key")?),
    })
}

fn text<'d>(document: &'d Value, key: &str) -> Result<&'d str, String> {
    document[key].as_str().ok_or_else(|| format!("it holds no {key}"))
}

fn texts<'d>(document: &'d Value, key: &str) -> Result<Vec<&'d str>, String> {
    let texts = document[key].as_array().and_then(|items| items.iter().map(Value::as_str).collect());
    texts.ok_or_else(|| format!("it holds no {key}"))
}
