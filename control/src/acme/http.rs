//! Requests to an authority: over https that those vouch for who should, in bounded time and memory.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as HyperClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use lb::model::TrustFile;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use super::failure::Failure;

/// The longest answer. Chains of certificates are the longest of them.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// How long a request may take, to the last byte of its answer.
const REQUEST_MAX: Duration = Duration::from_secs(30);
/// An authority that wants to be left alone for longer is asked again after this.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(8 * 24 * 3600);

type Inner = HyperClient<HttpsConnector<HttpConnector>, BodyWrapper<Bytes>>;

/// Sends requests to an authority. Its connections end with it.
#[derive(Clone)]
pub(super) struct Client {
    inner: Inner,
    /// How long the last refusal wants us to wait. Held for a copy only and never across an await.
    retry_after: Arc<Mutex<Option<Duration>>>,
}

impl Client {
    /// Trusts those in `ca`, or whom this machine trusts. Reads files: not on a runtime's thread.
    pub(super) fn new(ca: Option<&TrustFile>) -> Result<Self, Failure> {
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
        let builder = builder.with_safe_default_protocol_versions().map_err(|error| Failure::new(error.to_string()))?;
        let config = builder.with_root_certificates(roots(ca)?).with_no_client_auth();
        // That only directories on this machine are asked in the clear is the configuration's to see to.
        let connector = HttpsConnectorBuilder::new().with_tls_config(config).https_or_http().enable_http1().build();
        Ok(Self { inner: HyperClient::builder(TokioExecutor::new()).build(connector), retry_after: Arc::default() })
    }

    /// How long the authority wanted to be left alone when it last refused something.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        *self.retry_after.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn answer(self, request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, Error> {
        let answer = async {
            let (mut head, body) = self.inner.request(request).await.map_err(other)?.into_parts();
            let wait = head.headers.get(RETRY_AFTER).and_then(wait);
            head.headers.remove(RETRY_AFTER);
            if let Some(wait) = wait {
                head.headers.insert(RETRY_AFTER, HeaderValue::from(wait.as_secs()));
            }
            if !head.status.is_success() {
                *self.retry_after.lock().unwrap_or_else(PoisonError::into_inner) = wait;
            }
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await.map_err(Error::Other)?;
            let (parts, ()) = Response::from_parts(head, ()).into_parts();
            Ok(BytesResponse { parts, body: Box::new(body.to_bytes()) })
        };
        match tokio::time::timeout(REQUEST_MAX, answer).await {
            Ok(answer) => answer,
            Err(_) => Err(Error::Str("an answer in time")),
        }
    }
}

impl HttpClient for Client {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        Box::pin(self.clone().answer(request))
    }
}

fn other(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Other(Box::new(error))
}

/// How long `Retry-After` asks to wait, in seconds or until a date; bounded.
fn wait(value: &HeaderValue) -> Option<Duration> {
    let value = value.to_str().ok()?.trim();
    let wait = match value.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => httpdate::parse_http_date(value).ok()?.duration_since(SystemTime::now()).unwrap_or_default(),
    };
    Some(wait.min(RETRY_AFTER_MAX))
}

fn roots(ca: Option<&TrustFile>) -> Result<RootCertStore, Failure> {
    let mut roots = RootCertStore::empty();
    if let Some(ca) = ca {
        for certificate in CertificateDer::pem_slice_iter(ca.pem.as_bytes()).flatten() {
            roots.add(certificate).map_err(|error| Failure::new(format!("{}: {error}", ca.file.path.display())))?;
        }
        return Ok(roots);
    }
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = "this machine trusts nobody who could vouch for the directory: install ca-certificates, or name `ca`";
        return Err(Failure::new(why));
    }
    Ok(roots)
}
