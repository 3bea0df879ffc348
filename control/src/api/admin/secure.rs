//! TLS in front of the admin API: shaking hands within bounds, and telling apart who speaks HTTP in the clear.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use http::header::CONNECTION;
use lb::model::CertificateName;
use lb::state::Live;
use lb::tls::server_config;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::problem::{Kind, Problem};

/// How long a client may take to shake hands, a place among those who do included.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// The most handshakes at a time.
const HANDSHAKES_MAX: usize = 64;
/// With this byte every TLS connection begins, and no HTTP request does.
const HANDSHAKE: u8 = 22;

/// Shakes hands with clients of the admin API.
pub(super) struct Secure {
    acceptor: TlsAcceptor,
    turns: Semaphore,
}

/// What a client turned out to speak.
#[derive(Debug)]
pub(super) enum Spoken {
    Tls(Box<TlsStream<TcpStream>>),
    InTheClear(TcpStream),
}

impl Secure {
    /// Shows the certificate of this name, as the snapshot has it when a client comes.
    pub(super) fn new(name: CertificateName, live: Arc<Live>) -> io::Result<Self> {
        let latest = move || live.load().credentials.get(&name).cloned();
        let config = server_config(&["http/1.1"], latest).map_err(io::Error::other)?;
        Ok(Self { acceptor: Arc::new(config).into(), turns: Semaphore::new(HANDSHAKES_MAX) })
    }

    /// Shakes hands with a client, or finds that it does not want to.
    pub(super) async fn meet(&self, stream: TcpStream) -> io::Result<Spoken> {
        let met = async {
            let mut first = [0];
            if stream.peek(&mut first).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if first != [HANDSHAKE] {
                return Ok(Spoken::InTheClear(stream));
            }
            let _turn = self.turns.acquire().await.map_err(io::Error::other)?;
            let stream = Box::pin(self.acceptor.accept(stream)).await?;
            Ok(Spoken::Tls(Box::new(stream)))
        };
        tokio::time::timeout(HANDSHAKE_TIMEOUT, met).await?
    }
}

/// Answers whoever speaks HTTP in the clear here.
pub(super) async fn use_https() -> Response {
    let problem = Problem::new(Kind::Malformed, "this port speaks TLS: use https here");
    let mut response = problem.into_response();
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}
