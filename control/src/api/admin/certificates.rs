//! `/v1/certificates`: what listeners show over TLS. A private key goes in and never comes out again.

use std::sync::Arc;
use std::time::SystemTime;

use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use lb::model::{CertificateName, CertificateSource, Change, Origin};
use lb::state::Snapshot;
use lb::tls::{Credential, read_certificate};
use utoipa::ToSchema;

use super::Api;
use super::documented::{Body, IfMatch, IfNoneMatch, Name, Named, Write};
use super::extract::{CertificatePath, JsonBody, OBJECT_BYTES_MAX, missing};
use super::problem::{Kind, Problem};
use super::tags::{precondition, tagged};
use super::views::{rfc3339, writable};
use crate::certificates::validity;
use crate::schema;

/// A certificate, less its private key.
#[derive(Debug, serde::Serialize, ToSchema)]
pub(super) struct CertificateView {
    /// Its name.
    name: String,
    /// The name that clients of the ELB API know it by.
    #[serde(skip_serializing_if = "Option::is_none")]
    arn: Option<String>,
    /// Where it comes from: `api`, `files` or `acme`.
    source: &'static str,
    /// The file it is read from, where it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    cert: Option<String>,
    /// How it goes with it, where an authority issues it.
    #[serde(skip_serializing_if = "Option::is_none")]
    acme: Option<AcmeView>,
    /// What stands in it. Absent while none was issued.
    #[serde(flatten)]
    facts: Option<FactsView>,
    /// The listeners that show it.
    used_by: Vec<String>,
    /// Who owns it: `file` or `api`.
    owner: String,
    /// The revision that last changed it; its `ETag`.
    revision: u64,
}

/// What stands in a certificate.
#[derive(Debug, serde::Serialize, ToSchema)]
struct FactsView {
    /// The certificate and those that vouch for it, in PEM.
    certificate: String,
    /// Whom it is about.
    subject: String,
    /// The names and addresses it is for.
    names: Vec<String>,
    /// Who vouches for it.
    issuer: String,
    /// Its serial number, in hexadecimal.
    serial: String,
    /// From when on it holds.
    #[schema(format = DateTime)]
    not_before: String,
    /// Until when it holds.
    #[schema(format = DateTime)]
    not_after: String,
    /// SHA-256 over all of it, in hexadecimal.
    fingerprint: String,
    /// The kind of its key, as in `ECDSA P-256`.
    key_type: String,
}

/// How it goes with a certificate that an authority issues.
#[derive(Debug, serde::Serialize, ToSchema)]
struct AcmeView {
    /// The names that it is to be for.
    names: Vec<String>,
    /// When it is renewed, or tried again.
    #[schema(format = DateTime)]
    #[serde(skip_serializing_if = "Option::is_none")]
    next_at: Option<String>,
    /// Why the last attempt led to nothing, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<String>,
}

/// Keys of a representation that a write ignores.
const READ_ONLY: &[&str] = &[
    "source",
    "cert",
    "acme",
    "subject",
    "names",
    "issuer",
    "serial",
    "not_before",
    "not_after",
    "fingerprint",
    "key_type",
    "used_by",
    "owner",
    "revision",
];

/// Every certificate.
#[utoipa::path(get, path = "/v1/certificates", operation_id = "list_certificates", tag = "certificates", responses(
    (status = 200, description = "Each of them, by name", body = Vec<CertificateView>, headers(("ETag" = String))),
))]
pub(super) async fn list(State(api): State<Arc<Api>>) -> Response {
    let snapshot = api.snapshot();
    let views: Vec<_> = snapshot.config.certificates.keys().filter_map(|name| view(&snapshot, name)).collect();
    tagged(StatusCode::OK, snapshot.config.revision, &views)
}

/// One certificate.
#[utoipa::path(get, path = "/v1/certificates/{name}", operation_id = "get_certificate", tag = "certificates",
    params(Name),
    responses(
        Named,
        (status = 200, description = "The certificate", body = CertificateView, headers(("ETag" = String))),
    )
)]
pub(super) async fn get(State(api): State<Arc<Api>>, path: CertificatePath) -> Result<Response, Problem> {
    present(&api.snapshot(), &path, StatusCode::OK)
}

/// Creates a certificate or replaces it. Listeners that show it do so from the next handshake on; connections stay.
#[utoipa::path(put, path = "/v1/certificates/{name}", operation_id = "put_certificate", tag = "certificates",
    params(Name, IfMatch, IfNoneMatch),
    request_body = schema::CertificateBody,
    responses(
        Body,
        Write,
        (status = 200, description = "It was there, and is now so", body = CertificateView, headers(("ETag" = String))),
        (status = 201, description = "It was created", body = CertificateView, headers(("ETag" = String))),
        (status = 422, description = "It is no certificate, its key is not its own, or it does not hold now"),
    )
)]
pub(super) async fn put(
    State(api): State<Arc<Api>>,
    path: CertificatePath,
    headers: HeaderMap,
    JsonBody(body): JsonBody<OBJECT_BYTES_MAX>,
) -> Result<Response, Problem> {
    let certificate = schema::read_certificate(&path.0, &writable(body, READ_ONLY))?;
    if let Ok(facts) = read_certificate(&certificate.chain, certificate.key.pem()) {
        validity(&facts, SystemTime::now()).map_err(|why| Problem::new(Kind::Invalid, why).at("/certificate"))?;
    }
    let precondition = precondition(&headers, || path.object())?;
    let change = Change::PutCertificate(Origin::Api, certificate);
    let applied = api.context.store.apply(vec![change], precondition).await?;
    let existed = applied.before.certificates.contains_key(&path.0);
    present(&api.snapshot(), &path, if existed { StatusCode::OK } else { StatusCode::CREATED })
}

/// Removes a certificate that no listener shows.
#[utoipa::path(delete, path = "/v1/certificates/{name}", operation_id = "delete_certificate", tag = "certificates",
    params(Name, IfMatch),
    responses(
        Named,
        Write,
        (status = 204, description = "It is gone"),
        (status = 409, description = "It belongs to another owner, or a listener shows it"),
    )
)]
pub(super) async fn delete(
    State(api): State<Arc<Api>>,
    path: CertificatePath,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let precondition = precondition(&headers, || path.object())?;
    api.context.store.apply(vec![Change::DeleteCertificate(Origin::Api, path.0)], precondition).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn present(snapshot: &Snapshot, path: &CertificatePath, status: StatusCode) -> Result<Response, Problem> {
    let view = view(snapshot, &path.0).ok_or_else(|| missing(&path.object()))?;
    Ok(tagged(status, view.revision, &view))
}

fn view(snapshot: &Snapshot, name: &CertificateName) -> Option<CertificateView> {
    let held = snapshot.config.certificates.get(name)?;
    let shows =
        |listener: &&lb::model::Listener| listener.tls.as_ref().is_some_and(|tls| tls.certificates.contains(name));
    let listeners = snapshot.config.listeners.values().map(|held| &held.wanted).filter(shows);
    let issuance = snapshot.issuances.get(name);
    let acme = held.wanted.acme().map(|names| AcmeView {
        names: names.iter().map(ToString::to_string).collect(),
        next_at: issuance.and_then(|issuance| issuance.next_at).map(rfc3339),
        last_error: issuance.and_then(|issuance| issuance.error.as_deref()).map(str::to_owned),
    });
    Some(CertificateView {
        name: name.to_string(),
        arn: held.wanted.arn.as_deref().map(str::to_owned),
        source: match &held.wanted.source {
            CertificateSource::Given => "api",
            CertificateSource::Files(_) => "files",
            CertificateSource::Acme(_) => "acme",
        },
        cert: held.wanted.files().map(|files| files.cert.path.to_string_lossy().into_owned()),
        acme,
        facts: snapshot.credentials.get(name).map(|credential| FactsView::of(credential)),
        used_by: listeners.map(|listener| listener.name.to_string()).collect(),
        owner: held.origin.to_string(),
        revision: held.revision,
    })
}

impl FactsView {
    fn of(credential: &Credential) -> Self {
        let facts = &credential.facts;
        Self {
            certificate: credential.chain().to_owned(),
            subject: facts.subject.clone(),
            names: facts.names.clone(),
            issuer: facts.issuer.clone(),
            serial: facts.serial.clone(),
            not_before: rfc3339(facts.not_before),
            not_after: rfc3339(facts.not_after),
            fingerprint: facts.fingerprint.clone(),
            key_type: facts.key_type.clone(),
        }
    }
}
