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

use lb::model::{HealthCheck, HealthCheckProtocol, ProbePort, SendProxy};
use lb::proxy_protocol::{write_v1, write_v2};
use tokio::io::AsyncWriteExt;
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

/// Builds the probe of a check on targets that are sent such a PROXY protocol header: one arm a protocol.
pub fn build(check: &HealthCheck, send_proxy: SendProxy) -> Arc<dyn Probe> {
    // Whatever listens on another port is not what takes the traffic, and expects no header.
    let send_proxy = if check.port == ProbePort::Traffic { send_proxy } else { SendProxy::Off };
    let dial = Dial { timeout: check.timeout, greeting: greeting(send_proxy) };
    match &check.protocol {
        HealthCheckProtocol::Tcp => Arc::new(tcp::Tcp { dial }),
        HealthCheckProtocol::Http { path, host, headers, matcher } => {
            Arc::new(http::Http::new(path, host.as_deref(), headers, matcher, dial))
        }
    }
}

/// The header that says that a connection is our own.
fn greeting(send_proxy: SendProxy) -> Vec<u8> {
    let mut greeting = Vec::new();
    match send_proxy {
        SendProxy::Off => {}
        SendProxy::V1 => write_v1(&mut greeting, None),
        SendProxy::V2 => write_v2(&mut greeting, None, []),
    }
    greeting
}

/// How a probe connects.
#[derive(Debug)]
struct Dial {
    /// How long the whole probe may take.
    timeout: Duration,
    /// What is sent ahead of everything.
    greeting: Vec<u8>,
}

impl Dial {
    /// Connects by a deadline that is `timeout` after the probe's start.
    async fn connect(&self, address: SocketAddr, deadline: Instant) -> Result<TcpStream, Failure> {
        match timeout_at(deadline, self.open(address)).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
                Err(format!("connection refused by {address}"))
            }
            Ok(Err(error)) => Err(format!("cannot connect to {address}: {}", in_words(&error))),
            Err(_) => Err(format!("no connection within {:?} to {address}", self.timeout)),
        }
    }

    async fn open(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(&self.greeting).await?;
        Ok(stream)
    }
}

/// A system error without its number.
fn in_words(error: &io::Error) -> String {
    let text = error.to_string();
    let words = text.split(" (os error").next().unwrap_or_default();
    words.to_ascii_lowercase()
}
