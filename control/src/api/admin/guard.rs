//! Who may ask: no browser on behalf of another site, nobody without the token, and without a token only loopback
//! names. Also what is answered where there is nothing, and when a handler panics.

use std::net::{IpAddr, Ipv6Addr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use http::header::{AUTHORIZATION, HOST, ORIGIN};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};

use super::problem::{Kind, Problem};
use super::{Api, Auth};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Paths that are open to whoever reaches the address. The root is the ELB Query API's, whose requests are signed.
const OPEN: [&str; 4] = ["/", "/healthz", "/readyz", "/metrics"];

/// Lets a request through, or refuses it.
pub(super) async fn admit(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    match check(&api.context.auth, api.scheme(), request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

fn check(auth: &Auth, scheme: &str, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
    if let Some(from) = cross_site(scheme, headers) {
        return Err(Problem::new(Kind::CrossSite, format!("the request comes from another site ({from})")));
    }
    match auth {
        Auth::Off if !names_loopback(uri, headers) => Err(Problem::new(
            Kind::ForeignHost,
            "without a token, Host must be localhost or a loopback address: anything else may be a web site that \
             had its name resolve to this machine",
        )),
        Auth::Token(token) if !OPEN.contains(&uri.path()) => {
            let presented = bearer(headers).is_some_and(|presented| token.matches(presented));
            let problem = || {
                let detail = "send Authorization: Bearer with the content of admin.token from the state directory";
                Problem::new(Kind::TokenNeeded, detail)
            };
            if presented { Ok(()) } else { Err(problem()) }
        }
        Auth::Off | Auth::Token(_) => Ok(()),
    }
}

/// What gives a browser's request on behalf of another site away.
fn cross_site(scheme: &str, headers: &HeaderMap) -> Option<String> {
    let told = |name: &HeaderName, value: &HeaderValue| {
        let value = String::from_utf8_lossy(value.as_bytes()).chars().take(100).collect::<String>();
        format!("{name}: {}", value.escape_debug())
    };
    let own = |site: &HeaderValue| site == "same-origin" || site == "none";
    if let Some(site) = headers.get_all(SEC_FETCH_SITE).iter().find(|site| !own(site)) {
        return Some(told(&SEC_FETCH_SITE, site));
    }
    let host = headers.get(HOST).map_or(&b""[..], HeaderValue::as_bytes);
    let own = |origin: &HeaderValue| {
        let authority = origin.as_bytes().strip_prefix(scheme.as_bytes());
        let authority = authority.and_then(|rest| rest.strip_prefix(b"://"));
        authority.is_some_and(|authority| !host.is_empty() && authority.eq_ignore_ascii_case(host))
    };
    headers.get_all(ORIGIN).iter().find(|origin| !own(origin)).map(|origin| told(&ORIGIN, origin))
}

/// Whether each host that the request names is this machine by a name that no web site can have.
fn names_loopback(uri: &Uri, headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(HOST).iter().peekable();
    let in_headers = hosts.peek().is_some() && hosts.all(|host| host.to_str().is_ok_and(is_loopback));
    in_headers && uri.authority().is_none_or(|authority| is_loopback(authority.as_str()))
}

fn is_loopback(host: &str) -> bool {
    let address = |text: &str| text.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    if let Some(rest) = host.strip_prefix('[') {
        let Some((inner, port)) = rest.split_once(']') else { return false };
        return inner.parse::<Ipv6Addr>().is_ok_and(|inner| inner.is_loopback()) && is_port(port);
    }
    let (name, port) = host.find(':').map_or((host, ""), |colon| host.split_at(colon));
    (name.eq_ignore_ascii_case("localhost") || address(name)) && is_port(port)
}

fn is_port(text: &str) -> bool {
    text.is_empty() || text.strip_prefix(':').is_some_and(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()))
}

fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (scheme, token) = values.next()?.as_bytes().split_at_checked("Bearer ".len())?;
    let only = values.next().is_none();
    (only && scheme.eq_ignore_ascii_case(b"Bearer ")).then(|| token.trim_ascii())
}

/// Answers for paths that lead nowhere.
pub(super) async fn no_such_resource(uri: Uri) -> Problem {
    let path: String = uri.path().chars().take(200).collect();
    Problem::new(Kind::NotFound, format!("there is nothing at {path}; /v1/openapi.json says what there is"))
}

/// Answers for methods that a path does not have. The router adds `Allow`.
pub(super) async fn no_such_method(method: Method) -> Problem {
    Problem::new(Kind::MethodNotAllowed, format!("{method} is not possible here"))
}

/// A panic costs its own request only, and whoever asked is told.
pub(super) async fn survive_panics(request: Request, next: Next) -> Response {
    let (method, uri) = (request.method().clone(), request.uri().clone());
    match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        Err(_) => {
            tracing::error!(%method, path = uri.path(), "a request to the admin API panicked");
            Problem::new(Kind::Internal, "the request met a bug in elbow; its log says more").into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::routing::get;
    use axum::{Router, middleware};
    use http::StatusCode;
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn a_panic_is_answered() {
        async fn bug() -> StatusCode {
            panic!("on purpose")
        }
        let router = Router::new().route("/", get(bug)).layer(middleware::from_fn(survive_panics));
        let answer = router.oneshot(Request::new(Body::empty())).await.into_iter().next();
        let answer = answer.map(|answer| (answer.status(), answer.headers()["content-type"].clone()));
        let problem = HeaderValue::from_static(super::super::problem::MEDIA_TYPE);
        assert_eq!(answer, Some((StatusCode::INTERNAL_SERVER_ERROR, problem)));
    }
}
