//! `[[certificate]]`, and a certificate as the admin API takes it and the store keeps it.
//!
//! What stands in PEM is looked at here; reading the files that a configuration names is [`crate::certificates`]'.

use lb::model;
use lb::model::{CertificateFiles, CertificateName, PrivateKey, SourceFile};
use lb::tls::read_certificate;
use serde_json::{Value, json};

use super::notation::text;
use super::problem::Wrong;
use super::reader::Reader;

/// The longest ARN.
const ARN_BYTES_MAX: usize = 2048;

/// A certificate with its key, in files.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct Certificate {
    /// Its name: `[A-Za-z0-9._-]{1,64}`.
    pub name: String,
    /// The file with the certificate and those that vouch for it, in PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert: Option<String>,
    /// The file with its private key, in PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The name that clients of the ELB API know it by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arn: Option<String>,
}

/// A certificate with its key, as it is put.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct CertificateBody {
    /// The certificate and those that vouch for it, in PEM, its own first.
    pub certificate: String,
    /// Its private key, in PEM, not encrypted. It is never given out again.
    pub key: String,
    /// The name that clients of the ELB API know it by.
    #[schema(required = false)]
    pub arn: Option<String>,
}

/// Reads a certificate as a file names it. Its files are not read yet: chain and key are empty.
pub(super) fn read_files(reader: &mut Reader<'_>) -> Option<model::Certificate> {
    let name = super::name_of(reader, None, CertificateName::parse);
    let arn = read_arn(reader);
    reader.later("acme", &json!(null));
    let cert = reader.required("cert", path);
    let key = reader.required("key", path);
    let files = Some(CertificateFiles { cert: cert?, key: key? });
    Some(model::Certificate { name: name?, arn, files, chain: "".into(), key: PrivateKey::new("") })
}

/// Reads a certificate as it is put, or as it was kept.
pub(super) fn read_pem(reader: &mut Reader<'_>, named: Option<&CertificateName>) -> Option<model::Certificate> {
    let name = super::name_of(reader, named, CertificateName::parse);
    let arn = read_arn(reader);
    let chain = reader.required("certificate", pem);
    let key = reader.required("key", pem);
    let (chain, key) = (chain?, key?);
    if let Err(fault) = read_certificate(chain, key) {
        let place = if fault.is_of_key() { "key" } else { "certificate" };
        reader.problem(place, Wrong::new(fault.to_string()));
        return None;
    }
    Some(model::Certificate { name: name?, arn, files: None, chain: chain.into(), key: PrivateKey::new(key) })
}

/// Reads a certificate as [`write_exported`] wrote it, or with its key added by hand. Without one, its key is empty.
pub(super) fn read_exported(reader: &mut Reader<'_>) -> Option<model::Certificate> {
    if reader.has("key") {
        return read_pem(reader, None);
    }
    let name = super::name_of(reader, None, CertificateName::parse);
    let arn = read_arn(reader);
    let chain = reader.required("certificate", pem)?;
    Some(model::Certificate { name: name?, arn, files: None, chain: chain.into(), key: PrivateKey::new("") })
}

/// A certificate as the store keeps it, its key among it.
pub(crate) fn write_kept(certificate: &model::Certificate) -> Value {
    let mut kept = write_exported(certificate);
    kept["key"] = certificate.key.pem().into();
    kept
}

/// A certificate as an export tells it: private keys do not leave elbow.
pub(super) fn write_exported(certificate: &model::Certificate) -> Value {
    json!({
        "name": certificate.name.as_str(),
        "certificate": &*certificate.chain,
        "arn": certificate.arn.as_deref(),
    })
}

fn read_arn(reader: &mut Reader<'_>) -> Option<std::sync::Arc<str>> {
    reader.or("arn", None, |value| match value {
        Value::Null => Ok(None),
        value => match text(value)? {
            arn if arn.len() > ARN_BYTES_MAX => Err(Wrong::new("it is too long")),
            arn => Ok(Some(arn.into())),
        },
    })
}

fn path(value: &Value) -> Result<SourceFile, Wrong> {
    text(value).map(SourceFile::at)
}

fn pem(value: &Value) -> Result<&str, Wrong> {
    value.as_str().ok_or_else(|| Wrong::kind("PEM as a string", value))
}

impl From<&model::Certificate> for Certificate {
    fn from(certificate: &model::Certificate) -> Self {
        let file = |file: &SourceFile| file.path.to_string_lossy().into_owned();
        Self {
            name: certificate.name.to_string(),
            cert: certificate.files.as_ref().map(|files| file(&files.cert)),
            key: certificate.files.as_ref().map(|files| file(&files.key)),
            arn: certificate.arn.as_deref().map(str::to_owned),
        }
    }
}
