//! Asking one target once: the trait, and the one list of protocols. One file a protocol.
//!
//! A probe has a connection of its own, closes it, and is over by its deadline. Over TLS it asks of a target's
//! certificate what traffic asks, and resumes no session. Not here: when to probe (`schedule`), what a result means
//! (`judge`).

mod http;
mod tcp;
mod tls;

use std::fmt::{self, Debug};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use lb::model::{HealthCheck, HealthCheckProtocol, Host, ProbePort, SendProxy};
use lb::proxy_protocol::{write_v1, write_v2};
use lb::tls::Originator;
use rustls::ClientConfig;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

/// Why a probe failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// In one plain sentence without a full stop.
    pub why: String,
    /// Whether there was no connection to ask over.
    pub is_unconnected: bool,
}

impl From<String> for Failure {
    /// Of a target that there was a connection to, or need not have been.
    fn from(why: String) -> Self {
        Self { why, is_unconnected: false }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

/// One probe, as it goes on.
pub type Probing<'a> = Pin<Box<dyn Future<Output = Result<(), Failure>> + Send + 'a>>;

/// Whom a probe asks.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Whom {
    /// Where it is.
    pub address: SocketAddr,
    /// The host of its address as it was registered, by which it is known over TLS.
    pub host: Host,
}

impl From<SocketAddr> for Whom {
    /// Somebody without a name.
    fn from(address: SocketAddr) -> Self {
        Self { address, host: Host::Ip(address.ip()) }
    }
}

/// A way of asking.
pub trait Probe: Debug + Send + Sync {
    /// Asks once. It is over within the check's timeout, and dropping it closes its connection.
    fn probe<'a>(&'a self, whom: &'a Whom) -> Probing<'a>;

    /// What is asked, for the reason of a target that passes, as in `GET 10.0.0.11:80/health`.
    fn describe(&self, address: SocketAddr) -> String;
}

/// Builds the probe of a check on targets that are sent such a PROXY protocol header, and spoken to with `originator`
/// where that is over TLS: one arm a protocol.
pub fn build(check: &HealthCheck, send_proxy: SendProxy, originator: Option<&Arc<Originator>>) -> Arc<dyn Probe> {
    // Whatever listens on another port is not what takes the traffic, and expects no header.
    let send_proxy = if check.port == ProbePort::Traffic { send_proxy } else { SendProxy::Off };
    let secure =
        originator.map(|originator| Secure { config: originator.probing(), originator: Arc::clone(originator) });
    let dial = Dial { timeout: check.timeout, greeting: greeting(send_proxy), secure };
    match &check.protocol {
        HealthCheckProtocol::Tcp => Arc::new(tcp::Tcp { dial }),
        HealthCheckProtocol::Tls => Arc::new(tls::Tls { dial }),
        HealthCheckProtocol::Http(question) | HealthCheckProtocol::Https(question) => {
            Arc::new(http::Http::new(question, dial))
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
    /// What hands are shaken with, over TLS.
    secure: Option<Secure>,
}

/// How a probe speaks TLS.
#[derive(Debug)]
struct Secure {
    originator: Arc<Originator>,
    /// None: what the group wants cannot be had.
    config: Option<Arc<ClientConfig>>,
}

/// A connection, in the clear or not.
trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Connection for S {}

impl Dial {
    /// Connects by a deadline that is `timeout` after the probe's start, over TLS where that is asked for.
    async fn connect(&self, whom: &Whom, deadline: Instant) -> Result<Box<dyn Connection>, Failure> {
        let stream = self.connect_plain(whom.address, deadline).await?;
        let Some(secure) = &self.secure else { return Ok(Box::new(stream)) };
        let unable = "the group's certificate or tls_ca cannot be used";
        let config = secure.config.as_ref().ok_or_else(|| unable.to_owned())?;
        let name = secure.originator.name_of(&whom.host, whom.address.ip());
        let shaking = TlsConnector::from(Arc::clone(config)).connect(name, stream);
        let why = match timeout_at(deadline, shaking).await {
            Ok(Ok(stream)) => return Ok(Box::new(stream)),
            Ok(Err(error)) => format!("no TLS with {}: {}", whom.address, tls::in_words(&error)),
            Err(_) => format!("no TLS handshake within {:?} with {}", self.timeout, whom.address),
        };
        Err(Failure { why, is_unconnected: true })
    }

    async fn connect_plain(&self, address: SocketAddr, deadline: Instant) -> Result<TcpStream, Failure> {
        let why = match timeout_at(deadline, self.open(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
                format!("connection refused by {address}")
            }
            Ok(Err(error)) => format!("cannot connect to {address}: {}", in_words(&error)),
            Err(_) => format!("no connection within {:?} to {address}", self.timeout),
        };
        Err(Failure { why, is_unconnected: true })
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
