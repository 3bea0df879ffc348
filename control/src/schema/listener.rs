//! `[[listener]]`.

use lb::model;

/// A listener: where clients connect, what they may do there, and which target group answers.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct Listener {
    /// Its name: `[A-Za-z0-9._-]{1,64}`.
    pub name: String,
    /// Where it binds, as in `0.0.0.0:8080`. Port 0 asks for a free one.
    pub bind: String,
    /// What clients speak: `http`.
    #[schema(required = false, default = "http")]
    pub protocol: String,
    /// The target group that answers.
    pub target_group: String,
    /// How long a request head may take, from its first byte (from accept for a connection's first).
    #[schema(required = false, default = "10s")]
    pub head_timeout: String,
    /// How long a kept connection may be silent.
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
    /// Networks whose forwarding headers are kept and extended.
    #[schema(required = false)]
    pub trusted_proxies: Vec<String>,
}

impl From<&model::Listener> for Listener {
    fn from(_listener: &model::Listener) -> Self {
        unreachable!("being written")
    }
}
