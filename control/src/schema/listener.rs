//! `[[listener]]`.

use lb::model;
use lb::model::{
    ClientAuth, DesyncMitigation, Forward, GroupName, ListenerName, ListenerProtocol, ListenerTls, ProxyProtocol,
    TlsPolicy,
};
use serde_json::Value;

use super::listener_tls::{self, Asked, CLIENT_AUTH};
use super::notation::{
    Words, count, count_usize, duration, duration_text, networks, parsed, size, size_text, size_usize, socket_address,
};
use super::problem::Wrong;
use super::reader::Reader;
use super::{HOUR, MS, SECOND};

const PROTOCOL: Words<ListenerProtocol> = Words {
    what: "protocol",
    now: &[
        ("http", ListenerProtocol::Http),
        ("https", ListenerProtocol::Https),
        ("tcp", ListenerProtocol::Tcp),
        ("tls", ListenerProtocol::Tls),
    ],
    later: &[],
};
const PROXY_PROTOCOL: Words<ProxyProtocol> = Words {
    what: "use of the PROXY protocol",
    now: &[("off", ProxyProtocol::Off), ("accept", ProxyProtocol::Accept), ("require", ProxyProtocol::Require)],
    later: &[],
};
const DESYNC_MITIGATION: Words<DesyncMitigation> = Words {
    what: "mode",
    now: &[
        ("monitor", DesyncMitigation::Monitor),
        ("defensive", DesyncMitigation::Defensive),
        ("strictest", DesyncMitigation::Strictest),
    ],
    later: &[],
};
/// Where https is spoken if nobody says otherwise.
const HTTPS_PORT: u16 = 443;
const TRUSTED_PROXIES_MAX: usize = 1000;

/// A listener: where clients connect, what they may do there, and which target group answers.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct Listener {
    /// Its name: `[A-Za-z0-9._-]{1,64}`.
    pub name: String,
    /// Where it binds, as in `0.0.0.0:8080`. Port 0 asks for a free one.
    pub bind: String,
    /// What clients speak: `http`, `https`, `tcp` for anything, or `tls` for anything over TLS.
    #[schema(required = false, default = "http")]
    pub protocol: String,
    /// The target group that answers.
    pub target_group: String,
    /// How long a request head may take, from its first byte (from accept for a connection's first); and a header of
    /// the PROXY protocol.
    #[schema(required = false, default = "10s")]
    pub head_timeout: String,
    /// How long a kept connection may be silent, or both sides of a TCP stream.
    #[schema(required = false, default = "60s")]
    pub idle_timeout: String,
    /// The least a peer must move per second, averaged over 5 s, while it owes bytes or blocks our write; `0` is off.
    #[schema(required = false, default = "1KiB")]
    pub body_rate_min: String,
    /// How long a tunnel (WebSocket) may be silent.
    #[schema(required = false, default = "1h")]
    pub tunnel_idle_timeout: String,
    /// The longest request line.
    #[schema(required = false, default = "16KiB")]
    pub request_line_max: String,
    /// The longest header section.
    #[schema(required = false, default = "64KiB")]
    pub headers_max: String,
    /// The most headers.
    #[schema(required = false, default = 128)]
    pub header_count_max: u64,
    /// The longest request body; `0`: no limit.
    #[schema(required = false, default = "0")]
    pub body_max: String,
    /// The most client connections; 0: no limit of its own.
    #[schema(required = false, default = 0)]
    pub connections_max: u64,
    /// The most requests a connection may carry; 0: no limit.
    #[schema(required = false, default = 0)]
    pub requests_per_connection_max: u64,
    /// Networks whose forwarding headers are kept and extended, and whose PROXY protocol headers are believed.
    #[schema(required = false)]
    pub trusted_proxies: Vec<String>,
    /// Over TLS: the certificates it shows, by name. The first one is shown to who asks for a name that none has.
    #[schema(required = false)]
    pub certificates: Vec<String>,
    /// Over TLS: what it offers. `modern`, `intermediate`, or the name of a policy of ELB.
    #[schema(required = false, default = "intermediate")]
    pub tls_policy: String,
    /// Over TLS: whether clients show certificates of their own. `off`, `request` or `require`.
    #[schema(required = false, default = "off")]
    pub client_auth: String,
    /// Over TLS: the file with the certificates that vouch for clients, in PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_ca: Option<String>,
    /// For `tls`: what is spoken within the streams, by its registered name (ALPN), the best first; none: not agreed on.
    #[schema(required = false)]
    pub alpn: Vec<String>,
    /// Answers each request with a redirection to the same over https: `true` at port 443, or the port.
    #[schema(required = false, value_type = Value, default = false)]
    pub redirect_to_https: Value,
    /// Whether connections begin with a header of the PROXY protocol: `off`; `accept`, those of trusted proxies may;
    /// or `require`, all do and only trusted proxies may connect.
    #[schema(required = false, default = "off")]
    pub proxy_protocol: String,
    /// What becomes of requests that are unusual, though not refused everywhere, beside being counted: `monitor`,
    /// nothing; `defensive`, after ambiguous ones both connections are closed; or `strictest`, they are refused.
    #[schema(required = false, default = "monitor")]
    pub desync_mitigation: String,
}

/// Reads a listener; `named` by the place it stands in, or by its own key.
pub(super) fn read(reader: &mut Reader<'_>, named: Option<&ListenerName>) -> Option<model::Listener> {
    let name = super::name_of(reader, named, ListenerName::parse);
    if name.as_ref().is_some_and(|name| name.as_str().contains(':')) {
        reader.problem("name", Wrong::new("names with a colon are those of load balancers' own listeners"));
    }
    let bind = reader.required("bind", socket_address);
    let target_group = reader.required("target_group", parsed(GroupName::parse));
    // Stands in until the whole table is read, so that everything that is wrong with it is told.
    let stand_in = ListenerName::parse("unnamed").ok()?;
    let any = ([0, 0, 0, 0], 0).into();
    let default = model::Listener::new(stand_in, any, Forward::to(GroupName::parse("unnamed").ok()?));
    let protocol = reader.or("protocol", default.protocol, |value| PROTOCOL.parse(value));
    let tls = listener_tls::read(reader, protocol);
    let redirect_to_https = reader.or("redirect_to_https", None, redirect_port);
    if redirect_to_https.is_some() && protocol.is_over_tls() {
        reader.problem("redirect_to_https", Wrong::new("what comes here is over TLS already"));
    } else if redirect_to_https.is_some() && protocol.is_stream() {
        reader.problem("redirect_to_https", Wrong::new("only requests can be redirected, and here come streams"));
    }
    let listener = model::Listener {
        protocol,
        tls,
        redirect_to_https,
        head_timeout: reader.or("head_timeout", default.head_timeout, duration(100 * MS..=HOUR)),
        idle_timeout: reader.or("idle_timeout", default.idle_timeout, duration(100 * MS..=24 * HOUR)),
        body_rate_min_bytes: reader.or("body_rate_min", default.body_rate_min_bytes, size(0..=1 << 30)),
        tunnel_idle_timeout: reader.or(
            "tunnel_idle_timeout",
            default.tunnel_idle_timeout,
            duration(SECOND..=720 * HOUR),
        ),
        request_line_bytes_max: reader.or(
            "request_line_max",
            default.request_line_bytes_max,
            size_usize(256..=1 << 20),
        ),
        headers_bytes_max: reader.or("headers_max", default.headers_bytes_max, size_usize(256..=1 << 20)),
        header_count_max: reader.or("header_count_max", default.header_count_max, count_usize(1..=1000)),
        body_bytes_max: reader.or("body_max", default.body_bytes_max, size(0..=1 << 50)),
        connections_max: reader.or("connections_max", default.connections_max, count_usize(0..=10_000_000)),
        requests_per_connection_max: reader.or(
            "requests_per_connection_max",
            default.requests_per_connection_max,
            count(0..=1_000_000_000),
        ),
        trusted_proxies: reader.or("trusted_proxies", default.trusted_proxies, networks(TRUSTED_PROXIES_MAX)),
        desync_mitigation: reader
            .or("desync_mitigation", default.desync_mitigation, |value| DESYNC_MITIGATION.parse(value)),
        proxy_protocol: reader.or("proxy_protocol", default.proxy_protocol, |value| PROXY_PROTOCOL.parse(value)),
        name: name?,
        bind: bind?,
        forward: Forward::to(target_group?),
    };
    if listener.proxy_protocol != ProxyProtocol::Off && listener.trusted_proxies.is_empty() {
        let wrong = Wrong::new("it needs `trusted_proxies`: a header from anybody else is not believed");
        reader.problem("proxy_protocol", wrong.hint("name the networks of the proxies, as in [\"10.0.0.0/8\"]"));
    }
    Some(listener)
}

fn redirect_port(value: &Value) -> Result<Option<u16>, Wrong> {
    match value {
        Value::Bool(is_on) => Ok(is_on.then_some(HTTPS_PORT)),
        Value::Number(_) => Ok(u16::try_from(count(1..=65535)(value)?).ok()),
        _ => Err(Wrong::kind("true, false or a port", value)),
    }
}

impl From<&model::Listener> for Listener {
    fn from(listener: &model::Listener) -> Self {
        let tls = listener.tls.as_ref();
        let certificates = |tls: &ListenerTls| tls.certificates.iter().map(ToString::to_string).collect();
        let asked = match tls.map(|tls| &tls.client_auth) {
            None | Some(ClientAuth::Off) => Asked::Off,
            Some(ClientAuth::Request(_)) => Asked::Request,
            Some(ClientAuth::Require(_)) => Asked::Require,
        };
        Self {
            name: listener.name.to_string(),
            bind: listener.bind.to_string(),
            protocol: PROTOCOL.word(listener.protocol),
            target_group: listener.forward.target_group.to_string(),
            head_timeout: duration_text(listener.head_timeout),
            idle_timeout: duration_text(listener.idle_timeout),
            body_rate_min: size_text(listener.body_rate_min_bytes),
            tunnel_idle_timeout: duration_text(listener.tunnel_idle_timeout),
            request_line_max: size_text(listener.request_line_bytes_max as u64),
            headers_max: size_text(listener.headers_bytes_max as u64),
            header_count_max: listener.header_count_max as u64,
            body_max: size_text(listener.body_bytes_max),
            connections_max: listener.connections_max as u64,
            requests_per_connection_max: listener.requests_per_connection_max,
            trusted_proxies: listener.trusted_proxies.iter().map(ToString::to_string).collect(),
            certificates: tls.map(certificates).unwrap_or_default(),
            tls_policy: tls.map_or_else(TlsPolicy::default, |tls| tls.policy).name().to_owned(),
            client_auth: CLIENT_AUTH.word(asked),
            client_ca: tls.and_then(|tls| tls.client_auth.ca()).map(|ca| ca.file.path.to_string_lossy().into_owned()),
            alpn: tls.map(|tls| tls.alpn.iter().map(ToString::to_string).collect()).unwrap_or_default(),
            redirect_to_https: match listener.redirect_to_https {
                None => false.into(),
                Some(HTTPS_PORT) => true.into(),
                Some(port) => port.into(),
            },
            proxy_protocol: PROXY_PROTOCOL.word(listener.proxy_protocol),
            desync_mitigation: DESYNC_MITIGATION.word(listener.desync_mitigation),
        }
    }
}
