//! A listener: where clients connect, what they may do there, and which target group answers.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::{
    Algorithm, GroupName, ListenerName, ListenerTls, PublicKeyPin, SendProxy, Stickiness, TargetGroup, TargetProtocol,
    TlsVerify,
};

/// A listener as it is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Its name.
    pub name: ListenerName,
    /// Where it binds. Port 0 asks the kernel for a free one.
    pub bind: SocketAddr,
    /// What clients speak.
    pub protocol: ListenerProtocol,
    /// Who answers.
    pub forward: Forward,
    /// How long a request head may take, from its first byte (from accept for a connection's first).
    pub head_timeout: Duration,
    /// How long a kept connection may be silent.
    pub idle_timeout: Duration,
    /// The least a peer must move per second, averaged over 5 s, while it owes bytes or blocks our write. 0: off.
    pub body_rate_min_bytes: u64,
    /// How long a tunnel (WebSocket) may be silent.
    pub tunnel_idle_timeout: Duration,
    /// The longest request line, in bytes.
    pub request_line_bytes_max: usize,
    /// The longest header section, in bytes.
    pub headers_bytes_max: usize,
    /// The most headers.
    pub header_count_max: usize,
    /// The longest request body, in bytes. 0: no limit.
    pub body_bytes_max: u64,
    /// The most client connections. 0: no limit of its own.
    pub connections_max: usize,
    /// The most requests a connection may carry. 0: no limit.
    pub requests_per_connection_max: u64,
    /// Peers whose forwarding headers are kept and extended, and whose PROXY protocol headers are believed.
    pub trusted_proxies: Vec<Network>,
    /// How it speaks TLS; there exactly where its protocol is over TLS.
    pub tls: Option<ListenerTls>,
    /// Answers each request with a redirection to the same over https, at this port.
    pub redirect_to_https: Option<u16>,
    /// Whether connections begin with a header of the PROXY protocol.
    pub proxy_protocol: ProxyProtocol,
    /// What becomes of requests that are unusual, though not refused everywhere.
    pub desync_mitigation: DesyncMitigation,
}

impl Listener {
    /// A listener with the defaults of everything else.
    pub fn new(name: ListenerName, bind: SocketAddr, forward: Forward) -> Self {
        Self {
            name,
            bind,
            protocol: ListenerProtocol::Http,
            forward,
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            body_rate_min_bytes: 1024,
            tunnel_idle_timeout: Duration::from_secs(3600),
            request_line_bytes_max: 16 * 1024,
            headers_bytes_max: 64 * 1024,
            header_count_max: 128,
            body_bytes_max: 0,
            connections_max: 0,
            requests_per_connection_max: 0,
            trusted_proxies: Vec::new(),
            tls: None,
            redirect_to_https: None,
            proxy_protocol: ProxyProtocol::Off,
            desync_mitigation: DesyncMitigation::Monitor,
        }
    }
}

/// What clients of a listener speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListenerProtocol {
    /// HTTP/1.0 and HTTP/1.1 in the clear.
    Http,
    /// HTTP/1.0 and HTTP/1.1 over TLS.
    Https,
    /// Anything: bytes, passed on as they are.
    Tcp,
    /// Anything over TLS: what is within is passed on as it is.
    Tls,
}

impl ListenerProtocol {
    /// Whether clients speak it over TLS.
    pub fn is_over_tls(self) -> bool {
        match self {
            Self::Http | Self::Tcp => false,
            Self::Https | Self::Tls => true,
        }
    }

    /// Whether what clients say is passed on as bytes, and not as requests.
    pub fn is_stream(self) -> bool {
        match self {
            Self::Http | Self::Https => false,
            Self::Tcp | Self::Tls => true,
        }
    }

    /// What clients may ask for over TLS, by its registered name (ALPN). What is spoken within streams is not known
    /// here; a listener may say so ([`ListenerTls::alpn`]).
    pub fn alpn(self) -> &'static [&'static str] {
        match self {
            Self::Http | Self::Tcp | Self::Tls => &[],
            Self::Https => &["http/1.1"],
        }
    }

    /// As written in `X-Forwarded-Proto`, and in the configuration.
    pub fn scheme(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
        }
    }

    /// Whether connections are passed on to targets that speak `target`: requests to HTTP, bytes to bytes.
    pub fn leads_to(self, target: TargetProtocol) -> bool {
        self.is_stream() == target.is_stream()
    }
}

/// Whether connections of a listener begin with a header of the PROXY protocol. It is believed from trusted proxies
/// only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// Never: such a header is what the client sends.
    Off,
    /// Those of trusted proxies may.
    Accept,
    /// All of them; only trusted proxies may connect.
    Require,
}

/// What becomes of requests that are unusual, though not so that they are refused everywhere. All of them are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DesyncMitigation {
    /// They are passed on.
    Monitor,
    /// They are passed on; after an ambiguous one its client's connection and its target's are closed.
    Defensive,
    /// They are refused.
    Strictest,
}

/// Who answers the requests of a listener: a target group and what this listener wants otherwise than the group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Forward {
    /// The group.
    pub target_group: GroupName,
    /// Another port than the targets' own.
    pub port: Option<u16>,
    /// Another protocol than the group's.
    pub protocol: Option<TargetProtocol>,
    /// Another algorithm than the group's.
    pub algorithm: Option<Algorithm>,
    /// Another stickiness than the group's.
    pub stickiness: Option<Stickiness>,
    /// Another header of the PROXY protocol than the group's.
    pub send_proxy: Option<SendProxy>,
    /// The public keys that targets must have here; with none of them, any will do.
    pub pinned_keys: Option<Vec<PublicKeyPin>>,
}

impl Forward {
    /// A forward that takes the group as it is.
    pub fn to(target_group: GroupName) -> Self {
        Self {
            target_group,
            port: None,
            protocol: None,
            algorithm: None,
            stickiness: None,
            send_proxy: None,
            pinned_keys: None,
        }
    }

    /// A group as this forward wants it.
    pub fn over(&self, group: &TargetGroup) -> TargetGroup {
        let mut group = group.clone();
        group.protocol = self.protocol.unwrap_or(group.protocol);
        group.algorithm = self.algorithm.unwrap_or(group.algorithm);
        group.send_proxy = self.send_proxy.unwrap_or(group.send_proxy);
        group.stickiness = self.stickiness.clone().or(group.stickiness);
        group.tls.verify = match &self.pinned_keys {
            None => group.tls.verify,
            Some(keys) if keys.is_empty() => TlsVerify::None,
            Some(keys) => TlsVerify::Pinned(keys.clone()),
        };
        group
    }

    /// Whether it takes the group as it is.
    pub fn is_plain(&self) -> bool {
        *self == Self::to(self.target_group.clone())
    }
}

/// A network in CIDR form, such as `10.0.0.0/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// Accepts `address/prefix`, or an address alone.
    ///
    /// # Errors
    /// What is wrong, for the field's error.
    pub fn parse(value: &str) -> Result<Self, String> {
        let (address, prefix) = match value.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (value, None),
        };
        let address: IpAddr = address.parse().map_err(|_| format!("{value:?} is not a network such as 10.0.0.0/8"))?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => longest,
            Some(text) => match text.parse::<u8>() {
                Ok(prefix) if prefix <= longest => prefix,
                _ => return Err(format!("the prefix of {value:?} must be 0 to {longest}")),
            },
        };
        Ok(Self { address, prefix })
    }

    /// The network of one address.
    pub fn of(address: IpAddr) -> Self {
        Self { address, prefix: if address.is_ipv4() { 32 } else { 128 } }
    }

    /// Its only address, if it has but one.
    pub fn only(&self) -> Option<IpAddr> {
        (*self == Self::of(self.address)).then_some(self.address)
    }

    /// Its addresses, less the first and the last of an IPv4 network that has others.
    pub fn hosts(&self) -> impl Iterator<Item = IpAddr> {
        let (first, count, ends) = match self.address {
            IpAddr::V4(address) => {
                let size = 1u128 << (32 - self.prefix.min(32));
                let first = u128::from(address.to_bits()) / size * size;
                (first, size, u128::from(size > 2))
            }
            IpAddr::V6(address) => {
                let size = 1u128.checked_shl(128 - u32::from(self.prefix)).unwrap_or(u128::MAX);
                (address.to_bits() / size * size, size, 0)
            }
        };
        let is_v4 = self.address.is_ipv4();
        let address = move |bits: u128| match u32::try_from(bits) {
            Ok(bits) if is_v4 => IpAddr::V4(bits.into()),
            _ => IpAddr::V6(bits.into()),
        };
        (ends..count - ends).map(move |nth| address(first + nth))
    }

    /// Whether an address lies within. An IPv4 address mapped into IPv6 counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        let shift = |bits: u32| bits.saturating_sub(u32::from(self.prefix));
        match (self.address.to_canonical(), address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                u64::from(own.to_bits()) >> shift(32) == u64::from(other.to_bits()) >> shift(32)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let shift = shift(128);
                shift == 128 || own.to_bits() >> shift == other.to_bits() >> shift
            }
            _ => false,
        }
    }
}

impl std::fmt::Display for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}
