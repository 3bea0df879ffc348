//! A client of raw bytes: it sends exactly what a test says and reads strictly what comes back.

use std::net::SocketAddr;

use tokio::net::TcpStream;

use super::wire::{Broken, Framing, Head, Wire};
use super::{PATIENCE, within};

/// A response, read to its last byte.
#[derive(Debug, Clone)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// The whole head.
    pub head: Head,
    /// The body, less its framing.
    pub body: Vec<u8>,
    /// The trailers of a chunked body.
    pub trailers: Vec<(String, String)>,
}

impl Response {
    /// The only value of a header; `None` where there is none.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {:?}", self.text()))
    }

    /// Asserts the status and, for elbow's own answers, the error type in `Proxy-Status`.
    pub fn assert_made_by_elbow(&self, status: u16) {
        assert_eq!(self.status, status, "{:?} {}", self.head.first_line, self.text());
        let proxy_status = self.header("proxy-status").unwrap_or_default();
        assert!(proxy_status.starts_with("elbow; error="), "Proxy-Status of a {status}: {proxy_status:?}");
    }
}

/// A connection to a listener.
#[derive(Debug)]
pub struct Client {
    wire: Wire,
}

impl Client {
    /// Connects.
    pub async fn connect(to: SocketAddr) -> Self {
        let stream = within(&format!("connecting to {to}"), PATIENCE, TcpStream::connect(to)).await;
        Self { wire: Wire::new(stream.unwrap_or_else(|error| panic!("connecting to {to}: {error}"))) }
    }

    /// Connects, unless nobody listens.
    pub async fn try_connect(to: SocketAddr) -> Option<Self> {
        let stream = within(&format!("connecting to {to}"), PATIENCE, TcpStream::connect(to)).await;
        stream.ok().map(|stream| Self { wire: Wire::new(stream) })
    }

    /// Sends bytes as they are. That the peer is gone shows when its answer is read.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.wire.write(bytes.as_ref()).await;
    }

    /// Sends bytes as they are; says whether the peer took them.
    pub async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        self.wire.write(bytes.as_ref()).await
    }

    /// Ends the sending half.
    pub async fn half_close(&mut self) {
        self.wire.half_close().await;
    }

    /// Ends the connection with a reset.
    pub fn reset(self) {
        self.wire.reset();
    }

    /// The next response, or how the peer broke off. An interim one (1xx) is a response of its own.
    pub async fn try_response_to(&mut self, method: &str) -> Result<Response, Broken> {
        let head = self.wire.head().await?;
        let status = status_of(&head)?;
        let (body, trailers) = match status {
            100..200 => (Vec::new(), Vec::new()),
            _ => self.wire.body(head.response_framing(method, status)?).await?,
        };
        Ok(Response { status, head, body, trailers })
    }

    /// The next response to anything but HEAD, or how the peer broke off.
    pub async fn try_response(&mut self) -> Result<Response, Broken> {
        self.try_response_to("GET").await
    }

    /// The next response to anything but HEAD.
    pub async fn response(&mut self) -> Response {
        self.response_to("GET").await
    }

    /// The next response to `method`.
    pub async fn response_to(&mut self, method: &str) -> Response {
        self.try_response_to(method).await.unwrap_or_else(|broken| panic!("no response to {method}: {broken:?}"))
    }

    /// The next head alone, for a test that reads the body itself.
    pub async fn response_head(&mut self) -> (u16, Head) {
        let head = self.wire.head().await.unwrap_or_else(|broken| panic!("no response: {broken:?}"));
        (status_of(&head).unwrap_or_else(|broken| panic!("{broken:?}")), head)
    }

    /// Sends a GET and reads its answer, the connection kept.
    pub async fn get(&mut self, path: &str) -> Response {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: example.test\r\n\r\n")).await;
        self.response().await
    }

    /// Asserts that the peer has closed, or closes now, without another byte.
    pub async fn assert_closed(&mut self) {
        match self.wire.head().await {
            Err(Broken::Closed | Broken::Reset) => {}
            other => panic!("the connection should have closed, but: {other:?}"),
        }
    }

    /// Everything until the peer closes.
    pub async fn rest(&mut self) -> Result<Vec<u8>, Broken> {
        self.wire.rest().await
    }

    /// Some bytes, whatever they are; `None` at the end of the connection.
    pub async fn read_some(&mut self) -> Option<Vec<u8>> {
        self.wire.some().await.ok()
    }

    /// Asserts that exactly these bytes come next.
    pub async fn assert_reads(&mut self, expected: &[u8]) {
        let framing = Framing::Length(expected.len() as u64);
        let (read, _) = self.wire.body(framing).await.unwrap_or_else(|broken| panic!("instead of bytes: {broken:?}"));
        assert_eq!(String::from_utf8_lossy(&read), String::from_utf8_lossy(expected));
    }
}

/// One GET on a connection of its own.
pub async fn get(to: SocketAddr, path: &str) -> Response {
    Client::connect(to).await.get(path).await
}

/// One request, given as bytes, on a connection of its own.
pub async fn exchange(to: SocketAddr, bytes: impl AsRef<[u8]>) -> Result<Response, Broken> {
    let mut client = Client::connect(to).await;
    client.send(bytes).await;
    client.try_response().await
}

fn status_of(head: &Head) -> Result<u16, Broken> {
    let refuse = || Broken::Malformed(format!("a status line: {:?}", head.first_line));
    let rest = head.first_line.strip_prefix("HTTP/1.1 ").ok_or_else(refuse)?;
    let digits = rest.get(..3).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit())).ok_or_else(refuse)?;
    match rest.as_bytes().get(3) {
        Some(b' ') => digits.parse().map_err(|_| refuse()),
        _ => Err(refuse()),
    }
}
