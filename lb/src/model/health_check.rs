//! What is asked of a target to count as healthy. The answer is [`crate::state::HealthState`].

use std::sync::Arc;
use std::time::Duration;

/// How targets of a group are checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthCheck {
    /// What a probe says and expects.
    pub protocol: HealthCheckProtocol,
    /// Which port a probe goes to.
    pub port: ProbePort,
    /// From the start of one probe to the start of the next, 100 ms to 300 s.
    pub interval: Duration,
    /// How long a probe may take, shorter than the interval.
    pub timeout: Duration,
    /// Passed probes in a row that make a target healthy. A new target needs one.
    pub healthy_threshold: Threshold,
    /// Failed probes in a row that make a target unhealthy.
    pub unhealthy_threshold: Threshold,
}

impl HealthCheck {
    /// A check with the default times and thresholds.
    pub fn new(protocol: HealthCheckProtocol) -> Self {
        Self {
            protocol,
            port: ProbePort::Traffic,
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(5),
            healthy_threshold: Threshold(2),
            unhealthy_threshold: Threshold(2),
        }
    }
}

/// What a probe says and expects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HealthCheckProtocol {
    /// The connection is accepted.
    Tcp,
    /// The TLS handshake is done.
    Tls,
    /// A GET is answered with a status the matcher holds.
    Http(HttpQuestion),
    /// The same over TLS.
    Https(HttpQuestion),
}

impl HealthCheckProtocol {
    /// Whether targets are asked over TLS.
    pub fn is_over_tls(&self) -> bool {
        match self {
            Self::Tcp | Self::Http(_) => false,
            Self::Tls | Self::Https(_) => true,
        }
    }

    /// What targets are asked for over TLS, by its registered name (ALPN).
    pub fn alpn(&self) -> &'static [&'static str] {
        match self {
            Self::Tcp | Self::Tls | Self::Http(_) => &[],
            Self::Https(_) => &["http/1.1"],
        }
    }
}

/// A GET, and what is to be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpQuestion {
    /// The path, with its query.
    pub path: Arc<str>,
    /// The `Host` header; absent: the target's address.
    pub host: Option<Arc<str>>,
    /// More headers, in order.
    pub headers: Vec<(Arc<str>, Arc<str>)>,
    /// The statuses that pass.
    pub matcher: Matcher,
}

/// Which port a probe goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProbePort {
    /// The port that takes the traffic.
    Traffic,
    /// Another port.
    Fixed(u16),
}

/// A number of probes in a row, 1 to 10.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Threshold(u8);

/// A number outside of its range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{value} is out of range: expected {min} to {max}")]
pub struct OutOfRange {
    /// What was given.
    pub value: u64,
    /// The smallest that is legal.
    pub min: u64,
    /// The largest that is legal.
    pub max: u64,
}

impl Threshold {
    /// Accepts 1 to 10.
    ///
    /// # Errors
    /// [`OutOfRange`] for anything else.
    pub fn new(value: u64) -> Result<Self, OutOfRange> {
        match u8::try_from(value) {
            Ok(count @ 1..=10) => Ok(Self(count)),
            _ => Err(OutOfRange { value, min: 1, max: 10 }),
        }
    }

    /// The threshold as a number.
    pub fn get(self) -> u8 {
        self.0
    }
}

/// Statuses that pass: codes and ranges, as in `200-299` or `200,301-302`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matcher(Vec<(u16, u16)>);

impl Default for Matcher {
    /// `200-299`.
    fn default() -> Self {
        Self(vec![(200, 299)])
    }
}

impl Matcher {
    /// Accepts codes and ranges from 100 to 599, separated by commas.
    ///
    /// # Errors
    /// What is wrong, for the field's error.
    pub fn parse(value: &str) -> Result<Self, String> {
        let code = |text: &str| match text.trim().parse::<u16>() {
            Ok(code @ 100..=599) => Ok(code),
            _ => Err(format!("{:?} is not a status code from 100 to 599", text.trim())),
        };
        let mut ranges = Vec::new();
        for part in value.split(',') {
            let (low, high) = part.split_once('-').unwrap_or((part, part));
            let (low, high) = (code(low)?, code(high)?);
            if low > high {
                return Err(format!("the range {part:?} is empty"));
            }
            ranges.push((low, high));
        }
        Ok(Self(ranges))
    }

    /// Whether a status passes.
    pub fn holds(&self, status: u16) -> bool {
        self.0.iter().any(|&(low, high)| (low..=high).contains(&status))
    }
}

impl std::fmt::Display for Matcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, (low, high)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            if low == high {
                write!(f, "{comma}{low}")?;
            } else {
                write!(f, "{comma}{low}-{high}")?;
            }
        }
        Ok(())
    }
}
