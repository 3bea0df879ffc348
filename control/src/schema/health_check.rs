//! `[target_group.health_check]`.

use std::collections::BTreeMap;
use std::sync::Arc;

use lb::model;
use lb::model::{HealthCheckProtocol, HttpQuestion, Matcher, ProbePort, Threshold};
use serde_json::{Value, json};

use super::notation::{Words, duration, duration_text, parsed, text};
use super::problem::Wrong;
use super::reader::Reader;
use super::{MINUTE, MS};

const PROTOCOL: Words<Protocol> = Words {
    what: "health check protocol",
    now: &[("http", Protocol::Http), ("https", Protocol::Https), ("tcp", Protocol::Tcp), ("tls", Protocol::Tls)],
    later: &[],
};
const HTTP_ONLY: [&str; 4] = ["path", "host", "headers", "matcher"];
const TRAFFIC_PORT: &str = "traffic-port";
const TEXT_BYTES_MAX: usize = 1024;
const HEADERS_MAX: usize = 32;
/// What a probe sets itself, or must not carry.
const HEADERS_TAKEN: [&str; 6] = ["host", "connection", "content-length", "transfer-encoding", "upgrade", "expect"];

/// How targets of a group are checked.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct HealthCheck {
    /// `http` or `https`; `tcp` or `tls`. Over TLS, targets are asked as the group's `tls_*` say.
    #[schema(required = false, default = "http")]
    pub protocol: String,
    /// The path of the request. `http` and `https` only, as are `host`, `headers` and `matcher`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(default = "/")]
    pub path: Option<String>,
    /// `traffic-port`, or a number.
    #[schema(required = false, value_type = crate::schema::health_check::PortSchema)]
    pub port: serde_json::Value,
    /// The `Host` header; empty: the target's address.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(default = "")]
    pub host: Option<String>,
    /// More headers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub headers: Option<BTreeMap<String, String>>,
    /// From the start of one probe to the start of the next: 100 ms to 300 s.
    #[schema(required = false, default = "10s")]
    pub interval: String,
    /// How long a probe may take; shorter than the interval.
    #[schema(required = false, default = "5s")]
    pub timeout: String,
    /// Passed probes in a row that make a target healthy.
    #[schema(required = false, default = 2, minimum = 1, maximum = 10)]
    pub healthy_threshold: u64,
    /// Failed probes in a row that make a target unhealthy.
    #[schema(required = false, default = 2, minimum = 1, maximum = 10)]
    pub unhealthy_threshold: u64,
    /// The status codes that pass, as in `200,301-302`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(default = "200-299")]
    pub matcher: Option<String>,
}

/// A probe's port, as it is written.
#[derive(utoipa::ToSchema)]
#[schema(as = ProbePort)]
#[serde(untagged)]
#[expect(dead_code, reason = "describes the key in the OpenAPI document")]
pub(crate) enum PortSchema {
    /// `traffic-port`.
    Traffic(String),
    /// A port.
    Fixed(u16),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Http,
    Https,
    Tcp,
    Tls,
}

pub(super) fn read(reader: &mut Reader<'_>) -> Option<model::HealthCheck> {
    let protocol = match reader.or("protocol", Protocol::Http, |value| PROTOCOL.parse(value)) {
        Protocol::Http => HealthCheckProtocol::Http(read_question(reader)),
        Protocol::Https => HealthCheckProtocol::Https(read_question(reader)),
        Protocol::Tcp => {
            refuse_question(reader, "tcp");
            HealthCheckProtocol::Tcp
        }
        Protocol::Tls => {
            refuse_question(reader, "tls");
            HealthCheckProtocol::Tls
        }
    };
    let default = model::HealthCheck::new(protocol);
    let check = model::HealthCheck {
        port: reader.or("port", default.port, port),
        interval: reader.or("interval", default.interval, duration(100 * MS..=5 * MINUTE)),
        timeout: reader.or("timeout", default.timeout, duration(10 * MS..=5 * MINUTE)),
        healthy_threshold: reader.or("healthy_threshold", default.healthy_threshold, threshold),
        unhealthy_threshold: reader.or("unhealthy_threshold", default.unhealthy_threshold, threshold),
        protocol: default.protocol,
    };
    if check.timeout >= check.interval {
        let (interval, timeout) = (duration_text(check.interval), duration_text(check.timeout));
        let half = duration_text(check.interval / 2);
        let (key, default) = if reader.has("timeout") { ("timeout", "") } else { ("interval", " (the default)") };
        let wrong =
            Wrong::new(format!("the timeout, {timeout}{default}, must be shorter than the interval, {interval}"));
        reader.problem(key, wrong.hint(format!("write timeout = \"{half}\", say")));
    }
    Some(check)
}

fn refuse_question(reader: &mut Reader<'_>, protocol: &str) {
    for key in HTTP_ONLY {
        reader.refuse(key, || Wrong::new(format!("`{key}` means nothing to a {protocol} check")));
    }
}

fn read_question(reader: &mut Reader<'_>) -> HttpQuestion {
    HttpQuestion {
        path: reader.or("path", "/".into(), path),
        host: reader.or("host", None, host),
        headers: reader.or("headers", Vec::new(), headers),
        matcher: reader.or("matcher", Matcher::default(), parsed(Matcher::parse)),
    }
}

fn threshold(value: &Value) -> Result<Threshold, Wrong> {
    let number = value.as_u64().ok_or_else(|| Wrong::kind("a whole number from 1 to 10", value))?;
    Threshold::new(number).map_err(|error| Wrong::new(error.to_string()))
}

fn port(value: &Value) -> Result<ProbePort, Wrong> {
    if value.as_str() == Some(TRAFFIC_PORT) {
        return Ok(ProbePort::Traffic);
    }
    let port = value.as_u64().and_then(|number| u16::try_from(number).ok()).filter(|port| *port > 0);
    port.map(ProbePort::Fixed).ok_or_else(|| {
        Wrong::new(format!("{value} is no port")).hint("write \"traffic-port\", or a number from 1 to 65535")
    })
}

fn path(value: &Value) -> Result<Arc<str>, Wrong> {
    let path = text(value)?;
    if !path.starts_with('/') {
        return Err(Wrong::new(format!("{path:?} does not begin with a slash")).hint(format!("write \"/{path}\"")));
    }
    if !path.bytes().all(|byte| byte.is_ascii_graphic()) || path.contains('#') {
        return Err(Wrong::new("it holds a character that must be percent-encoded in a path"));
    }
    short(path)
}

fn host(value: &Value) -> Result<Option<Arc<str>>, Wrong> {
    if value.as_str() == Some("") {
        return Ok(None);
    }
    let host = text(value)?;
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
    if !host.bytes().all(legal) {
        return Err(
            Wrong::new(format!("{host:?} is no host")).hint("write a host name or an address, with a port if need be")
        );
    }
    short(host).map(Some)
}

type Header = (Arc<str>, Arc<str>);

fn headers(value: &Value) -> Result<Vec<Header>, Wrong> {
    let table = value.as_object().ok_or_else(|| Wrong::kind("a table of headers", value))?;
    if table.len() > HEADERS_MAX {
        return Err(Wrong::new(format!("{} headers are too many: at most {HEADERS_MAX}", table.len())));
    }
    table.iter().map(|(name, value)| header(name, value).map_err(|wrong| wrong.within(name))).collect()
}

fn header(name: &str, value: &Value) -> Result<Header, Wrong> {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(token) {
        return Err(Wrong::new(format!("{name:?} is no header name")));
    }
    if HEADERS_TAKEN.iter().any(|taken| name.eq_ignore_ascii_case(taken)) {
        let wrong = Wrong::new(format!("a probe sets {name} itself"));
        return Err(if name.eq_ignore_ascii_case("host") { wrong.hint("use the key `host`") } else { wrong });
    }
    let value = value.as_str().ok_or_else(|| Wrong::kind(&format!("a string as the value of {name}"), value))?;
    if !value.bytes().all(|byte| byte == b' ' || byte == b'\t' || byte.is_ascii_graphic()) || value.trim() != value {
        return Err(Wrong::new(format!("the value of {name} holds what a header must not")));
    }
    Ok((short(name)?, short(value)?))
}

fn short(text: &str) -> Result<Arc<str>, Wrong> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(Wrong::new(format!("it is longer than {TEXT_BYTES_MAX} characters")));
    }
    Ok(text.into())
}

impl From<&model::HealthCheck> for HealthCheck {
    fn from(check: &model::HealthCheck) -> Self {
        let (protocol, question) = match &check.protocol {
            HealthCheckProtocol::Tcp => (Protocol::Tcp, None),
            HealthCheckProtocol::Tls => (Protocol::Tls, None),
            HealthCheckProtocol::Http(question) => (Protocol::Http, Some(question)),
            HealthCheckProtocol::Https(question) => (Protocol::Https, Some(question)),
        };
        let mut written = Self {
            protocol: PROTOCOL.word(protocol),
            path: None,
            port: match check.port {
                ProbePort::Traffic => json!(TRAFFIC_PORT),
                ProbePort::Fixed(port) => json!(port),
            },
            host: None,
            headers: None,
            interval: duration_text(check.interval),
            timeout: duration_text(check.timeout),
            healthy_threshold: check.healthy_threshold.get().into(),
            unhealthy_threshold: check.unhealthy_threshold.get().into(),
            matcher: None,
        };
        if let Some(HttpQuestion { path, host, headers, matcher }) = question {
            let headers = headers.iter().map(|(name, value)| (name.to_string(), value.to_string()));
            written.path = Some(path.to_string());
            written.host = Some(host.as_deref().unwrap_or_default().to_owned());
            written.headers = Some(headers.collect());
            written.matcher = Some(matcher.to_string());
        }
        written
    }
}
