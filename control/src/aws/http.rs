//! Requests to AWS, over what speaks HTTP and TLS here anyway; also for the chain of credentials, which brings no client
//! of its own.

use std::sync::Arc;
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector as SmithyConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as HyperClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::{ClientConfig, RootCertStore};

/// The longest answer. A page of a hundred instances with all their tags stays below a tenth of it.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// How long connecting may take.
const CONNECT_MAX: Duration = Duration::from_secs(3);
/// How long a request may take, to the last byte of its answer, where nobody says otherwise.
pub(super) const REQUEST_MAX: Duration = Duration::from_secs(10);
/// How long an idle connection is kept.
const IDLE_MAX: Duration = Duration::from_secs(20);

/// Sends requests. Cheap to clone; its connections end with it.
#[derive(Debug, Clone)]
pub(super) struct Http(HyperClient<HttpsConnector<HttpConnector>, Full<Bytes>>);

type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl Http {
    /// Trusts whom this machine trusts.
    pub(super) async fn new() -> Result<Self, BoxError> {
        // It reads files.
        let roots = tokio::task::spawn_blocking(|| {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            roots
        });
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
        let tls = builder.with_safe_default_protocol_versions()?;
        let tls = tls.with_root_certificates(roots.await?).with_no_client_auth();
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(CONNECT_MAX));
        // In the clear where an endpoint says so, as that of an instance's metadata does.
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1();
        let mut client = HyperClient::builder(TokioExecutor::new());
        client.pool_idle_timeout(IDLE_MAX).pool_timer(TokioTimer::new()).pool_max_idle_per_host(2);
        Ok(Self(client.build(connector.wrap_connector(tcp))))
    }

    /// Sends a request, and takes in the whole answer.
    pub(super) async fn send(&self, request: Request<Bytes>, max: Duration) -> Result<Response<Bytes>, BoxError> {
        let answer = async {
            let (head, body) = self.0.request(request.map(Full::new)).await?.into_parts();
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await?;
            Ok(Response::from_parts(head, body.to_bytes()))
        };
        tokio::time::timeout(max, answer)
            .await
            .unwrap_or_else(|_| Err(format!("no whole answer within {max:?}").into()))
    }
}

impl HttpClient for Http {
    fn http_connector(&self, settings: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        let max =
            settings.read_timeout().map_or(REQUEST_MAX, |read| read + settings.connect_timeout().unwrap_or_default());
        SharedHttpConnector::new(Patient { http: self.clone(), max })
    }
}

/// Sends requests of the chain of credentials.
#[derive(Debug)]
struct Patient {
    http: Http,
    max: Duration,
}

impl SmithyConnector for Patient {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (http, max) = (self.http.clone(), self.max);
        HttpConnectorFuture::new(async move {
            let request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
            let request = request.map(|body| body.bytes().map(Bytes::copy_from_slice).unwrap_or_default());
            let answer = http.send(request, max).await.map_err(ConnectorError::io)?;
            HttpResponse::try_from(answer.map(SdkBody::from)).map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}
