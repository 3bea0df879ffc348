//! Who we are at AWS and where: region, credentials, and one signed request of the Query protocol.

use std::time::{Duration, SystemTime};

use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{Method, Request};
use tokio::sync::Mutex;

use super::http::{Http, REQUEST_MAX};
use crate::xml::Element;

const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";
/// Credentials are asked for again this long before they end.
const RENEW_BEFORE: Duration = Duration::from_secs(300);
/// The longest message of a refusal that is passed on.
const MESSAGE_CHARACTERS_MAX: usize = 500;

/// A service, and what is said to it.
#[derive(Debug)]
pub(super) struct Service {
    /// As in host names and signatures.
    pub(super) name: &'static str,
    /// The version of its API.
    pub(super) version: &'static str,
    /// The environment variable that says where else it is.
    pub(super) endpoint_variable: &'static str,
}

/// Who we are at AWS, in one region.
#[derive(Debug)]
pub(crate) struct Account {
    http: Http,
    region: String,
    /// What stands for every service's own address.
    endpoint: Option<String>,
    provider: SharedCredentialsProvider,
    /// Asking for them may take a request or two. Held while that is done, so that it is done once.
    credentials: Mutex<Option<Credentials>>,
}

/// Why AWS has not answered what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AwsError {
    /// Nobody says which region is meant.
    #[error("no region is known: write region = \"us-east-1\", or set AWS_REGION")]
    NoRegion,
    /// Nobody says who we are.
    #[error("no credentials were found: {0}")]
    NoCredentials(String),
    /// The request was not answered.
    #[error("{action} was not answered: {why}")]
    NotAnswered {
        /// What was asked.
        action: &'static str,
        /// Why not.
        why: String,
    },
    /// It was refused.
    #[error("{action} was refused: {code}: {message}")]
    Refused {
        /// What was asked.
        action: &'static str,
        /// The code of the error.
        code: String,
        /// What it says for people.
        message: String,
    },
    /// The answer makes no sense.
    #[error("the answer to {action} makes no sense: {why}")]
    Malformed {
        /// What was asked.
        action: &'static str,
        /// What is wrong with it.
        why: String,
    },
}

impl AwsError {
    /// Whether we may not do that.
    pub(crate) fn is_denial(&self) -> bool {
        let denials = ["AccessDenied", "UnauthorizedOperation", "AccessDeniedException"];
        matches!(self, Self::Refused { code, .. } if denials.contains(&code.as_str()))
    }

    /// Whether we ask too often.
    pub(crate) fn is_throttling(&self) -> bool {
        let throttlings = ["RequestLimitExceeded", "Throttling", "ThrottlingException", "RequestThrottled", "429"];
        matches!(self, Self::Refused { code, .. } if throttlings.contains(&code.as_str()))
    }
}

impl Account {
    /// Finds out who we are: region and credentials as every tool of AWS finds them.
    pub(crate) async fn find(region: Option<&str>) -> Result<Self, AwsError> {
        let http = Http::new().await.map_err(|error| AwsError::NoCredentials(error.to_string()))?;
        let loader = aws_config::defaults(BehaviorVersion::latest()).http_client(http.clone());
        let loader = match region {
            Some(region) => loader.region(Region::new(region.to_owned())),
            None => loader,
        };
        let found = loader.load().await;
        let region = found.region().ok_or(AwsError::NoRegion)?.to_string();
        let provider = found.credentials_provider();
        let provider = provider.ok_or_else(|| AwsError::NoCredentials("there is nobody to ask".to_owned()))?;
        let endpoint = found.endpoint_url().map(str::to_owned);
        Ok(Self { http, region, endpoint, provider, credentials: Mutex::default() })
    }

    /// Asks a service to do something. The answer is whole, and an answer to that.
    pub(super) async fn call(
        &self,
        service: &Service,
        action: &'static str,
        parameters: &[(String, String)],
    ) -> Result<Element, AwsError> {
        let not_answered = |why: String| AwsError::NotAnswered { action, why };
        let body = form(service, action, parameters);
        let request = self.signed(service, body).await?.map_err(not_answered)?;
        let answer = self.http.send(request, REQUEST_MAX).await.map_err(|error| not_answered(with_sources(&*error)))?;
        let malformed = |why: String| AwsError::Malformed { action, why };
        let status = answer.status();
        let text = std::str::from_utf8(answer.body()).map_err(|_| malformed("it is not UTF-8".to_owned()));
        let root = text.and_then(|text| Element::parse(text).map_err(malformed));
        if !status.is_success() {
            // Whoever stands between may answer something else than XML.
            let error = root.ok();
            let error = error.as_ref().and_then(|root| root.find("Error"));
            let of = |name| error.and_then(|error| error.text_at(&[name]));
            let code = of("Code").map_or_else(|| status.as_u16().to_string(), short);
            let message = of("Message").map_or_else(|| "it does not say why".to_owned(), short);
            self.forget_refused_credentials(&code).await;
            return Err(AwsError::Refused { action, code, message });
        }
        let root = root?;
        if root.name().strip_suffix("Response") != Some(action) {
            return Err(malformed(format!("it begins with {}", short(root.name()))));
        }
        Ok(root)
    }

    async fn signed(&self, service: &Service, body: String) -> Result<Result<Request<Bytes>, String>, AwsError> {
        let credentials = self.credentials().await?;
        Ok(self.sign(service, body, credentials).map_err(|error| error.to_string()))
    }

    fn sign(
        &self,
        service: &Service,
        body: String,
        credentials: Credentials,
    ) -> Result<Request<Bytes>, Box<dyn std::error::Error + Send + Sync>> {
        let mut url = self.endpoint(service);
        if !url.ends_with('/') {
            url.push('/');
        }
        let mut request = Request::builder().method(Method::POST).uri(&*url).body(Bytes::from(body))?;
        let host = request.uri().authority().ok_or("the endpoint names no host")?.to_string();
        request.headers_mut().insert(HOST, host.parse()?);
        request.headers_mut().insert(CONTENT_TYPE, FORM.parse()?);
        let identity = credentials.into();
        let parameters = v4::SigningParams::builder().identity(&identity).region(&self.region).name(service.name);
        let parameters = parameters.time(SystemTime::now()).settings(SigningSettings::default()).build()?.into();
        let headers = [("host", host.as_str()), ("content-type", FORM)];
        let signable = SignableRequest::new("POST", &*url, headers.into_iter(), SignableBody::Bytes(request.body()))?;
        let (instructions, _) = sign(signable, &parameters)?.into_parts();
        instructions.apply_to_request_http1x(&mut request);
        Ok(request)
    }

    fn endpoint(&self, service: &Service) -> String {
        let own = std::env::var(service.endpoint_variable).ok().filter(|url| !url.is_empty());
        own.or_else(|| self.endpoint.clone()).unwrap_or_else(|| {
            let suffix = if self.region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
            format!("https://{}.{}.{suffix}", service.name, self.region)
        })
    }

    async fn credentials(&self) -> Result<Credentials, AwsError> {
        let mut kept = self.credentials.lock().await;
        let is_fresh = |credentials: &Credentials| {
            credentials.expiry().is_none_or(|expiry| expiry > SystemTime::now() + RENEW_BEFORE)
        };
        if let Some(credentials) = kept.as_ref().filter(|credentials| is_fresh(credentials)) {
            return Ok(credentials.clone());
        }
        match self.provider.provide_credentials().await {
            Ok(credentials) => Ok(kept.insert(credentials).clone()),
            Err(error) => Err(AwsError::NoCredentials(with_sources(&error))),
        }
    }

    /// Credentials that are refused may have been replaced meanwhile: they are asked for again.
    async fn forget_refused_credentials(&self, code: &str) {
        let of_credentials = ["AuthFailure", "ExpiredToken", "InvalidClientTokenId", "RequestExpired"];
        if of_credentials.contains(&code) {
            *self.credentials.lock().await = None;
        }
    }
}

fn form(service: &Service, action: &str, parameters: &[(String, String)]) -> String {
    let mut body = format!("Action={action}&Version={}", service.version);
    for (name, value) in parameters {
        body.push('&');
        body.push_str(name);
        body.push('=');
        for byte in value.bytes() {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => body.push(char::from(byte)),
                _ => body.push_str(&format!("%{byte:02X}")),
            }
        }
    }
    body
}

fn short(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(MESSAGE_CHARACTERS_MAX).collect()
}

/// An error with its causes, in one line.
pub(super) fn with_sources(error: &dyn std::error::Error) -> String {
    let mut told = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let cause = error.to_string();
        if !told.ends_with(&cause) {
            told = format!("{told}: {cause}");
        }
        source = error.source();
    }
    short(&told)
}
