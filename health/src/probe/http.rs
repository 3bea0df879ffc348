//! The HTTP probe: one GET on a connection of its own, be it over TLS, and the status decides. Redirects are not
//! followed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::{ACCEPT, CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use http::uri::PathAndQuery;
use http::{Request, Uri};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use lb::model::{HttpQuestion, Matcher};
use tokio::time::{Instant, timeout_at};

use super::{Connection, Dial, Failure, Probe, Probing, Whom, in_words, tls};

const AGENT: &str = concat!("elbow-health-check/", env!("CARGO_PKG_VERSION"));

/// The longest head of an answer.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// How much of a body is read, and for how long, so that a target that is done writing sees a clean end. What the
/// body says has no bearing on the verdict.
const BODY_BYTES_MAX: usize = 64 * 1024;
const BODY_TIME_MAX: Duration = Duration::from_millis(250);

#[derive(Debug)]
pub(super) struct Http {
    path: Arc<str>,
    matcher: Matcher,
    dial: Dial,
    /// All of the request but a `Host` that is the target's address; or what is wrong with it.
    request: Result<Request<Empty<Bytes>>, String>,
}

impl Http {
    pub(super) fn new(question: &HttpQuestion, dial: Dial) -> Self {
        let HttpQuestion { path, host, headers, matcher } = question;
        let request = request(path, host.as_deref(), headers);
        Self { path: Arc::clone(path), matcher: matcher.clone(), dial, request }
    }

    async fn ask(&self, whom: &Whom, deadline: Instant) -> Result<(), Failure> {
        let address = whom.address;
        let mut request = self.request.clone()?;
        if !request.headers().contains_key(HOST) {
            let host = HeaderValue::try_from(address.to_string()).map_err(|error| error.to_string())?;
            request.headers_mut().insert(HOST, host);
        }
        let stream = self.dial.connect(whom, deadline).await?;
        let status = match timeout_at(deadline, exchange(stream, request, deadline)).await {
            Ok(Ok(status)) => status,
            Ok(Err(error)) => return Err(self.explain(&error, address).into()),
            Err(_) => {
                return Err(format!("no answer within {:?} from {address}{}", self.dial.timeout, self.path).into());
            }
        };
        if self.matcher.holds(status) {
            return Ok(());
        }
        Err(format!("HTTP {status}, expected {}, from {address}{}", self.matcher, self.path).into())
    }

    fn explain(&self, error: &hyper::Error, address: SocketAddr) -> String {
        let place = format!("{address}{}", self.path);
        if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
            return format!("connection closed without an answer by {place}");
        }
        let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<std::io::Error>());
        if let (Some(source), Some(_)) = (source, &self.dial.secure) {
            return format!("{} while waiting for an answer from {place}", tls::in_words(source));
        }
        if error.is_parse() {
            return format!("an answer that is not HTTP from {place}");
        }
        let words = source.map_or_else(|| error.to_string(), in_words);
        format!("{words} while waiting for an answer from {place}")
    }
}

impl Probe for Http {
    fn probe<'a>(&'a self, whom: &'a Whom) -> Probing<'a> {
        let deadline = Instant::now() + self.dial.timeout;
        Box::pin(self.ask(whom, deadline))
    }

    fn describe(&self, address: SocketAddr) -> String {
        let scheme = if self.dial.secure.is_some() { "https://" } else { "" };
        format!("GET {scheme}{address}{}", self.path)
    }
}

fn request(path: &str, host: Option<&str>, headers: &[(Arc<str>, Arc<str>)]) -> Result<Request<Empty<Bytes>>, String> {
    let wrong = |what: &str, value: &str| format!("the check's {what} {value:?} is not legal");
    let path = PathAndQuery::try_from(path).map_err(|_| wrong("path", path))?;
    let mut map = HeaderMap::new();
    map.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    map.insert(ACCEPT, HeaderValue::from_static("*/*"));
    let mut own = HeaderMap::new();
    for (name, value) in headers {
        let legal_name = HeaderName::try_from(&**name).map_err(|_| wrong("header name", name))?;
        own.append(legal_name, HeaderValue::try_from(&**value).map_err(|_| wrong("header value", value))?);
    }
    if let Some(host) = host {
        own.insert(HOST, HeaderValue::try_from(host).map_err(|_| wrong("host", host))?);
    }
    // The check's headers stand in place of ours, but for this one: each connection carries one probe.
    for name in own.keys() {
        map.remove(name);
    }
    map.extend(own);
    map.insert(CONNECTION, HeaderValue::from_static("close"));
    let mut request = Request::new(Empty::new());
    *request.uri_mut() = Uri::from(path);
    *request.headers_mut() = map;
    Ok(request)
}

/// Sends the request and answers with the status. The connection is driven from here and from nowhere else, so it
/// ends with the probe.
async fn exchange(
    stream: Box<dyn Connection>,
    request: Request<Empty<Bytes>>,
    deadline: Instant,
) -> hyper::Result<u16> {
    let builder = http1::Builder::new().max_buf_size(HEAD_BYTES_MAX).to_owned();
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
    // A connection that ends well ends the wait for the answer by itself.
    let broken = async {
        match connection.await {
            Ok(()) => std::future::pending().await,
            Err(error) => error,
        }
    };
    let mut broken = std::pin::pin!(broken);
    let answer = tokio::select! {
        biased;
        answer = sender.send_request(request) => answer?,
        error = broken.as_mut() => return Err(error),
    };
    let status = answer.status().as_u16();
    let body_deadline = deadline.min(Instant::now() + BODY_TIME_MAX);
    tokio::select! {
        _ = timeout_at(body_deadline, read_some(answer.into_body())) => {}
        _ = broken => {}
    }
    Ok(status)
}

async fn read_some(mut body: Incoming) {
    let mut bytes = 0;
    while let Some(Ok(frame)) = body.frame().await {
        bytes += frame.data_ref().map_or(0, Bytes::len);
        if bytes > BODY_BYTES_MAX {
            return;
        }
    }
}
