//! `[[certificate]]`, and a certificate as the admin API takes it and the store keeps it.
//!
//! What stands in PEM is looked at here; reading the files that a configuration names is [`crate::certificates`]'.

use lb::model;
use lb::model::{CertificateFiles, CertificateName, CertificateSource, PrivateKey, SourceFile};
use lb::tls::read_certificate;
use serde_json::{Value, json};

use super::acme;
use super::notation::text;
use super::problem::Wrong;
use super::reader::Reader;

/// The longest ARN.
const ARN_BYTES_MAX: usize = 2048;

/// A certificate with its key, in files or issued by an authority.
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
    /// The names that an authority issues it for, instead of files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acme: Option<Vec<String>>,
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

/// Reads a certificate as a file names it. Its files are not read yet: chain and key are empty. They stay so where an
/// authority issues it.
pub(super) fn read_files(reader: &mut Reader<'_>, has_acme: bool) -> Option<model::Certificate> {
    let name = super::name_of(reader, None, CertificateName::parse);
    let arn = read_arn(reader);
    let source = match reader.has("acme") {
        true => {
            for key in ["cert", "key"] {
                reader.refuse(key, || Wrong::new("an authority issues this certificate (`acme`): it is in no file"));
            }
            if !has_acme {
                let wrong = Wrong::new("nobody is named who would issue it");
                reader.problem("acme", wrong.hint("add [acme], which names an authority"));
            }
            reader.required("acme", acme::names).map(CertificateSource::Acme)
        }
        false => {
            let (cert, key) = (reader.required("cert", path), reader.required("key", path));
            cert.zip(key).map(|(cert, key)| CertificateSource::Files(CertificateFiles { cert, key }))
        }
    };
    Some(model::Certificate { name: name?, arn, source: source?, chain: "".into(), key: PrivateKey::new("") })
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
    Some(model::Certificate {
        name: name?,
        arn,
        source: CertificateSource::Given,
        chain: chain.into(),
        key: PrivateKey::new(key),
    })
}

/// Reads a certificate as [`write_exported`] wrote it, or with its key added by hand. Without one, its key is empty.
pub(super) fn read_exported(reader: &mut Reader<'_>) -> Option<model::Certificate> {
    if reader.has("key") {
        return read_pem(reader, None);
    }
    let name = super::name_of(reader, None, CertificateName::parse);
    let arn = read_arn(reader);
    let chain = reader.required("certificate", pem)?;
    Some(model::Certificate {
        name: name?,
        arn,
        source: CertificateSource::Given,
        chain: chain.into(),
        key: PrivateKey::new(""),
    })
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
            cert: certificate.files().map(|files| file(&files.cert)),
            key: certificate.files().map(|files| file(&files.key)),
            acme: certificate.acme().map(|names| names.iter().map(ToString::to_string).collect()),
            arn: certificate.arn.as_deref().map(str::to_owned),
        }
    }
}
