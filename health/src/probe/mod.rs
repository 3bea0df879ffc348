//! Asking one target once: the trait, and the one list of protocols. One file a protocol.
//!
//! A probe has a connection of its own, closes it, and is over by its deadline. Not here: when to probe
//! (`schedule`), what a result means (`judge`).

mod http;
mod tcp;

use std::fmt::Debug;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use lb::model::{HealthCheck, HealthCheckProtocol};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

/// Why a probe failed, in one plain sentence without a full stop.
pub type Failure = String;

/// One probe, as it goes on.
pub type Probing<'a> = Pin<Box<dyn Future<Output = Result<(), Failure>> + Send + 'a>>;

/// A way of asking.
pub trait Probe: Debug + Send + Sync {
    /// Asks once. It is over within the check's timeout, and dropping it closes its connection.
    fn probe(&self, address: SocketAddr) -> Probing<'_>;

    /// What is asked, for the reason of a target that passes, as in `GET 10.0.0.11:80/health`.
    fn describe(&self, address: SocketAddr) -> String;
}

/// Builds the probe of a check: one arm a protocol.
pub fn build(check: &HealthCheck) -> Arc<dyn Probe> {
    match &check.protocol {
        HealthCheckProtocol::Tcp => Arc::new(tcp::Tcp { timeout: check.timeout }),
        HealthCheckProtocol::Http { path, host, headers, matcher } => {
            Arc::new(http::Http::new(path, host.as_deref(), headers, matcher, check.timeout))
        }
    }
}

/// Connects by a deadline that is `timeout` after the probe's start.
async fn connect(address: SocketAddr, deadline: Instant, timeout: Duration) -> Result<TcpStream, Failure> {
    match timeout_at(deadline, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
            Err(format!("connection refused by {address}"))
        }
        Ok(Err(error)) => Err(format!("cannot connect to {address}: {}", in_words(&error))),
        Err(_) => Err(format!("no connection within {timeout:?} to {address}")),
    }
}

/// A system error without its number.
fn in_words(error: &io::Error) -> String {
    let text = error.to_string();
    let words = text.split(" (os error").next().unwrap_or_default();
    words.to_ascii_lowercase()
}
