//! One target: where it is and how much of the traffic it should take.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use super::TargetId;
use super::health_check::OutOfRange;

/// A target as it is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its id, unique within the group.
    pub id: TargetId,
    /// Where it listens.
    pub address: HostPort,
    /// Its share among the others.
    pub weight: Weight,
    /// Its availability zone, where known.
    pub zone: Option<Arc<str>>,
}

/// A share of traffic, 0 to 1000. Zero takes no new work but what is sticky to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Weight(u16);

impl Weight {
    /// The heaviest weight.
    pub const MAX: u16 = 1000;

    /// Accepts 0 to 1000.
    ///
    /// # Errors
    /// [`OutOfRange`] for anything else.
    pub fn new(value: u64) -> Result<Self, OutOfRange> {
        match u16::try_from(value) {
            Ok(weight) if weight <= Self::MAX => Ok(Self(weight)),
            _ => Err(OutOfRange { value, min: 0, max: u64::from(Self::MAX) }),
        }
    }

    /// The weight as a number.
    pub fn get(self) -> u16 {
        self.0
    }
}

impl Default for Weight {
    fn default() -> Self {
        Self(1)
    }
}

/// A host, by address or by a name that is resolved again and again off the request path.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    /// An address.
    Ip(IpAddr),
    /// A host name, in lower case.
    Name(Arc<str>),
}

/// A host and a port, as in `10.0.0.11:80`, `[::1]:80` or `web.internal:80`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// The host.
    pub host: Host,
    /// The port, never 0. None: each forward says which, as for the instances of a load balancer.
    pub port: Option<u16>,
}

/// Why a text is not the address of a target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{value:?} is not an address: {why}")]
pub struct InvalidAddress {
    /// What was given.
    pub value: String,
    /// What is wrong with it, and what is expected.
    pub why: &'static str,
}

impl HostPort {
    /// Accepts `host:port`, where the host is one that [`Host::parse`] accepts.
    ///
    /// # Errors
    /// [`InvalidAddress`] when the port is missing or 0, or the host is none.
    pub fn parse(value: &str) -> Result<Self, InvalidAddress> {
        let refuse = |why| InvalidAddress::new(value, why);
        let (host, port) = value.rsplit_once(':').ok_or_else(|| refuse("the port is missing; expected HOST:PORT"))?;
        let digits_only = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        let port = match port.parse::<u16>() {
            Ok(port) if port > 0 && digits_only => port,
            _ => return Err(refuse("the port must be a number from 1 to 65535")),
        };
        let host = Host::parse(host).map_err(|invalid| refuse(invalid.why))?;
        Ok(Self { host, port: Some(port) })
    }
}

impl InvalidAddress {
    fn new(value: &str, why: &'static str) -> Self {
        Self { value: value.chars().take(300).collect(), why }
    }
}

impl Host {
    /// Accepts an IPv4 address, an IPv6 address in brackets, or a host name (RFC 1123, underscores allowed as DNS uses
    /// them).
    ///
    /// # Errors
    /// [`InvalidAddress`] for anything else.
    pub fn parse(host: &str) -> Result<Self, InvalidAddress> {
        let refuse = |why| InvalidAddress::new(host, why);
        if let Some(inner) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            let address = inner.parse().map_err(|_| refuse("what stands in brackets must be an IPv6 address"))?;
            return Ok(Self::Ip(IpAddr::V6(address)));
        }
        if let Ok(address) = host.parse() {
            return Ok(Self::Ip(IpAddr::V4(address)));
        }
        if host.contains(':') {
            return Err(refuse("an IPv6 address needs brackets, as in [::1]:80"));
        }
        let name = host.strip_suffix('.').unwrap_or(host);
        let label_is_legal = |label: &str| {
            !label.is_empty()
                && label.len() <= 63
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        };
        let looks_like_address = name.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        if name.len() > 253 || looks_like_address || !name.split('.').all(label_is_legal) {
            return Err(refuse("the host is neither an address nor a host name"));
        }
        Ok(Self::Name(name.to_ascii_lowercase().into()))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(IpAddr::V6(address)) => write!(f, "[{address}]"),
            Self::Ip(address) => write!(f, "{address}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => write!(f, "{}:{port}", self.host),
            None => write!(f, "{}", self.host),
        }
    }
}
