//! How a verb talks to a running elbow: finding it, its token, and the requests to its admin API. Whom it takes for
//! that elbow over TLS stands in [`trust`]; [`query`] speaks its ELB API, with the keys of [`access_key`].
//!
//! Not here: what is asked and how answers are shown ([`crate::cli`]).

pub mod access_key;
pub mod query;
mod trust;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{Client as HttpClient, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use crate::run_file::RunFile;
use crate::settings::default_state_dir;
use trust::Trust;

/// The longest answer that is read, in bytes: the state of far more than ten thousand targets.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// How long a connection may take. The machine is near, or it is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an answer may take to begin, unless something else is said.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// The longest of that which may be asked for.
const ANSWER_TIMEOUT_MAX: Duration = Duration::from_secs(24 * 3600);

/// How a running elbow is found.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Which elbow")]
pub struct Connect {
    /// The admin address of the running elbow, an http:// or https:// URL [default: from STATE_DIR/run.json]
    #[arg(long, global = true, env = "ELBOW_ADMIN", value_name = "URL", hide_env_values = true)]
    pub admin: Option<String>,
    /// A file with the CA of an admin address that --admin names with https:// [default: whom this machine trusts]
    #[arg(long, global = true, env = "ELBOW_ADMIN_CA", value_name = "FILE", hide_env_values = true)]
    pub admin_ca: Option<PathBuf>,
    /// The state directory of the running elbow [default: /var/lib/elbow for root, else ~/.local/state/elbow]
    #[arg(long, global = true, env = "ELBOW_STATE_DIR", value_name = "DIR", hide_env_values = true)]
    pub state_dir: Option<PathBuf>,
    /// A file with the admin token [default: the variable ELBOW_TOKEN, else STATE_DIR/admin.token]
    #[arg(long, global = true, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// How long its answer may take to begin, such as 5s or 2m; what --wait waits for takes its own time [default: 30s]
    #[arg(long, global = true, value_name = "TIME", value_parser = answer_timeout)]
    pub answer_timeout: Option<Duration>,
}

/// A running elbow's admin API.
#[derive(Debug)]
pub struct Client {
    base: String,
    /// How that was found, for when nobody answers there.
    says_who: String,
    token: Option<String>,
    trust: Trust,
    /// How long an answer may take to begin; none: as long as it likes.
    answer_timeout: Option<Duration>,
    http: HttpClient<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

/// The admin API said no.
#[derive(Debug)]
pub struct Refusal {
    /// The status of its answer.
    pub status: StatusCode,
    /// What it said, in a sentence.
    pub detail: String,
    /// All that it said, where it was JSON.
    pub problem: Option<Value>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.detail)?;
        match self.status {
            StatusCode::UNAUTHORIZED => f.write_str(" (give the token with --token-file or ELBOW_TOKEN)"),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for Refusal {}

impl Connect {
    /// The state directory of the elbow that is meant.
    ///
    /// # Errors
    /// That none is named and there is no default.
    pub fn state_dir(&self) -> anyhow::Result<PathBuf> {
        self.state_dir.clone().map_or_else(default_state_dir, Ok)
    }
}

impl Client {
    /// Finds the elbow that is meant, and its token. Nothing is sent yet.
    ///
    /// # Errors
    /// That none is to be found, and where it was looked for.
    pub fn find(connect: &Connect) -> anyhow::Result<Self> {
        let client = Self::without_token(connect, "as --admin or ELBOW_ADMIN says")?;
        let token = token(connect, &connect.state_dir()?.join("admin.token"))?;
        Ok(Self { token, ..client })
    }

    /// Finds the elbow that is meant, for what its admin token is not asked for. `named_by` tells who named its address,
    /// where one is named.
    ///
    /// # Errors
    /// That none is to be found, and where it was looked for.
    pub fn without_token(connect: &Connect, named_by: &str) -> anyhow::Result<Self> {
        let state_dir = connect.state_dir()?;
        let (base, trust, says_who) = match &connect.admin {
            Some(url) => {
                let base = base_of(url)?;
                let trust = match (base.starts_with("https://"), &connect.admin_ca) {
                    (false, _) => Trust::Anyone,
                    (true, Some(file)) => Trust::File(file.clone()),
                    (true, None) => Trust::Machine,
                };
                (base, trust, named_by.to_owned())
            }
            None => {
                let run = RunFile::read(&state_dir).with_context(|| format!("{}/run.json", state_dir.display()))?;
                let Some(run) = run else {
                    bail!(
                        "no elbow runs on the state directory {}: name another with --state-dir, or its address \
                         with --admin",
                        state_dir.display()
                    );
                };
                let base = run.admin_url.context("that elbow runs with its admin API off")?;
                let says_who = format!("where process {} was when it wrote {}/run.json", run.pid, state_dir.display());
                let trust = match (base.starts_with("https://"), run.admin_pin) {
                    (false, _) => Trust::Anyone,
                    (true, Some(pin)) => Trust::Pin(pin),
                    (true, None) => Trust::Machine,
                };
                (base, trust, says_who)
            }
        };
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let secured = HttpsConnectorBuilder::new().with_tls_config(trust.config()?).https_or_http().enable_http1();
        let http = HttpClient::builder(TokioExecutor::new()).build(secured.wrap_connector(connector));
        let answer_timeout = Some(connect.answer_timeout.unwrap_or(ANSWER_TIMEOUT));
        Ok(Self { base, says_who, token: None, trust, answer_timeout, http })
    }

    /// Lets answers take as long as they like to begin: the request says how long it is to wait.
    pub fn waiting(self) -> Self {
        Self { answer_timeout: None, ..self }
    }

    /// Asks for a document.
    ///
    /// # Errors
    /// [`Refusal`], or why no answer came.
    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.send(Method::GET, path, None).await
    }

    /// Asks for a change, and answers with what the API says of it (null: nothing).
    ///
    /// # Errors
    /// [`Refusal`], or why no answer came.
    pub async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        let (status, body) = self.read(self.request(method, path, body).await?).await?;
        if !status.is_success() {
            return Err(refusal(status, &body).into());
        }
        if body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&body).with_context(|| format!("{} did not answer with JSON: is it elbow?", self.base))
    }

    /// Sends a request and answers as soon as the head of the response is there.
    ///
    /// # Errors
    /// Why no answer came.
    pub async fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Response<Incoming>> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let body = body.map(Value::to_string).unwrap_or_default();
        self.respond(request.body(Full::from(body)).context("the token or the path cannot be sent")?).await
    }

    /// Sends a request of any kind to [`Self::base`], and answers with the status and the body of the response.
    ///
    /// # Errors
    /// Why no answer came.
    pub async fn exchange(&self, request: Request<Full<Bytes>>) -> anyhow::Result<(StatusCode, Bytes)> {
        self.read(self.respond(request).await?).await
    }

    /// The URL of its root, without a slash at its end.
    pub fn base(&self) -> &str {
        &self.base
    }

    async fn read(&self, response: Response<Incoming>) -> anyhow::Result<(StatusCode, Bytes)> {
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| anyhow!("the answer of {} broke off: {error}", self.base))?;
        Ok((status, body.to_bytes()))
    }

    async fn respond(&self, request: Request<Full<Bytes>>) -> anyhow::Result<Response<Incoming>> {
        let nobody = || format!("no elbow answers at {}, {}", self.base, self.says_who);
        let response = self.http.request(request);
        let response = match self.answer_timeout {
            Some(limit) => tokio::time::timeout(limit, response).await.map_err(|_| {
                // It may have come too late to be told of.
                anyhow!("{}: nothing came within {limit:?}. A change may have been made all the same", nobody())
            })?,
            None => response.await,
        };
        response.map_err(|error| match self.trust.told(&self.base, &error) {
            Some(why) => anyhow!(why),
            None => anyhow::Error::from(error).context(nobody()),
        })
    }
}

/// One segment of a path, as it stands in a URL.
pub fn segment(name: &str) -> String {
    let keep = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte);
    name.bytes().map(|byte| if keep(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

fn base_of(url: &str) -> anyhow::Result<String> {
    let (scheme, host) = match url.strip_prefix("https://") {
        Some(host) => ("https", host),
        None => ("http", url.strip_prefix("http://").unwrap_or(url)),
    };
    let host = host.trim_end_matches('/');
    if host.is_empty() || host.contains(['/', '?', '#']) || host.contains("://") {
        bail!("{url:?} is not an admin address such as http://127.0.0.1:9900");
    }
    Ok(format!("{scheme}://{host}"))
}

fn answer_timeout(text: &str) -> Result<Duration, String> {
    control::schema::read_duration(text, ANSWER_TIMEOUT_MAX).map_err(|problem| problem.to_string())
}

fn token(connect: &Connect, kept: &std::path::Path) -> anyhow::Result<Option<String>> {
    let read = |path: &std::path::Path| {
        let text = std::fs::read_to_string(path);
        text.map(|text| Some(text.trim().to_owned())).with_context(|| format!("the token in {}", path.display()))
    };
    if let Some(path) = &connect.token_file {
        return read(path);
    }
    if let Some(token) = std::env::var("ELBOW_TOKEN").ok().filter(|token| !token.is_empty()) {
        return Ok(Some(token));
    }
    // Where there is no token the API may ask for none; if it does ask, it says so itself.
    if kept.exists() { read(kept) } else { Ok(None) }
}

fn refusal(status: StatusCode, body: &[u8]) -> Refusal {
    let problem: Option<Value> = serde_json::from_slice(body).ok();
    let field = |name: &str| problem.as_ref()?.get(name)?.as_str().map(str::to_owned);
    let detail = field("detail").or_else(|| field("title")).unwrap_or_else(|| format!("it answered {status}"));
    let detail = match field("pointer") {
        Some(pointer) => format!("{pointer}: {detail}"),
        None => detail,
    };
    Refusal { status, detail, problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_id_becomes_one_segment() {
        assert_eq!(segment("[::1]:80"), "%5B::1%5D:80");
        assert_eq!(segment("a/../b?c"), "a%2F..%2Fb%3Fc");
    }

    #[test]
    fn an_admin_address_is_a_url_or_an_address() {
        assert_eq!(base_of("127.0.0.1:9900").expect("a base"), "http://127.0.0.1:9900");
        assert_eq!(base_of("http://elbow.internal:9900/").expect("a base"), "http://elbow.internal:9900");
        assert_eq!(base_of("https://elbow.internal:9900/").expect("a base"), "https://elbow.internal:9900");
        assert!(base_of("https://").is_err());
        assert!(base_of("ftp://127.0.0.1").is_err());
    }

    #[test]
    fn a_problem_is_told_in_its_own_words() {
        let body = br#"{"title": "Conflict", "detail": "target a belongs to file", "pointer": "/id"}"#;
        assert_eq!(refusal(StatusCode::CONFLICT, body).to_string(), "/id: target a belongs to file");
        assert_eq!(refusal(StatusCode::BAD_GATEWAY, b"<html>").to_string(), "it answered 502 Bad Gateway");
    }
}
