//! A target of TCP streams that a test plays itself: it accepts, and what follows is the test's to do.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::{PATIENCE, eventually, own_address, within};

/// The port of the traffic, and the one of health checks, on the target's own address.
const TRAFFIC_PORT: u16 = 7000;
const HEALTH_PORT: u16 = 7001;

/// A target of TCP streams: traffic is accepted when the test says so, health checks always.
#[derive(Debug)]
pub struct StreamTarget {
    address: SocketAddr,
    listener: Option<TcpListener>,
    health: Option<JoinHandle<()>>,
}

impl StreamTarget {
    /// Listens, and passes its checks.
    pub async fn start() -> Self {
        let ip = own_address();
        let listener = TcpListener::bind((ip, TRAFFIC_PORT)).await.expect("a free address");
        let mut target = Self { address: (ip, TRAFFIC_PORT).into(), listener: Some(listener), health: None };
        target.pass_checks().await;
        target
    }

    /// Listens, and echoes every stream until its end.
    pub async fn echoing() -> Self {
        let mut target = Self::start().await;
        let listener = target.listener.take().expect("it listens");
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut read, mut write) = stream.split();
                    let _ = tokio::io::copy(&mut read, &mut write).await;
                    let _ = write.shutdown().await;
                });
            }
        });
        target
    }

    /// The keys of a health check that asks where this target answers.
    pub fn health_check() -> String {
        format!(
            "protocol = \"tcp\"\nport = {HEALTH_PORT}\ninterval = \"100ms\"\ntimeout = \"90ms\"\nunhealthy_threshold = 2"
        )
    }

    /// Where streams go.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next stream.
    pub async fn accept(&self) -> Stream {
        let listener = self.listener.as_ref().expect("it listens");
        let (stream, _) = within("a stream to come", PATIENCE, listener.accept()).await.expect("accepting works");
        Stream(stream)
    }

    /// Accepts no stream any more, while checks go on to pass.
    pub fn refuse_streams(&mut self) {
        drop(self.listener.take());
    }

    /// Fails its checks from now on, while streams are accepted.
    pub async fn fail_checks(&mut self) {
        if let Some(health) = self.health.take() {
            health.abort();
            let _ = health.await;
        }
    }

    /// Passes its checks from now on.
    pub async fn pass_checks(&mut self) {
        let address = SocketAddr::new(self.address.ip(), HEALTH_PORT);
        let listener = TcpListener::bind(address).await.expect("a free address");
        self.health = Some(tokio::spawn(async move { while listener.accept().await.is_ok() {} }));
    }
}

impl Drop for StreamTarget {
    fn drop(&mut self) {
        if let Some(health) = self.health.take() {
            health.abort();
        }
    }
}

/// One end of a stream.
#[derive(Debug)]
pub struct Stream(pub TcpStream);

impl Stream {
    /// Connects.
    pub async fn connect(to: SocketAddr) -> Self {
        let stream = within(&format!("connecting to {to}"), PATIENCE, TcpStream::connect(to)).await;
        Self(stream.unwrap_or_else(|error| panic!("connecting to {to}: {error}")))
    }

    /// Asserts that a connection is reset, at once or soon, without a byte.
    pub async fn assert_turned_away(to: SocketAddr) {
        match within("connecting", PATIENCE, TcpStream::connect(to)).await {
            Ok(stream) => Self(stream).assert_reset().await,
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}"),
        }
    }

    /// Sends bytes.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        within("sending", PATIENCE, self.0.write_all(bytes.as_ref())).await.expect("the peer takes bytes");
    }

    /// Asserts that exactly these bytes come next.
    pub async fn assert_reads(&mut self, expected: impl AsRef<[u8]>) {
        let mut read = vec![0; expected.as_ref().len()];
        let outcome = within("bytes to come", PATIENCE, self.0.read_exact(&mut read)).await;
        outcome.unwrap_or_else(|error| panic!("instead of bytes: {error}"));
        assert_eq!(String::from_utf8_lossy(&read), String::from_utf8_lossy(expected.as_ref()));
    }

    /// Everything up to the next place where these bytes stand, they included.
    pub async fn until(&mut self, end: impl AsRef<[u8]>) -> Vec<u8> {
        let mut read = Vec::new();
        while !read.ends_with(end.as_ref()) {
            let byte = within("bytes to come", PATIENCE, self.0.read_u8()).await;
            read.push(byte.unwrap_or_else(|error| panic!("{error} behind {:?}", String::from_utf8_lossy(&read))));
        }
        read
    }

    /// Everything until the end of the stream.
    pub async fn rest(&mut self) -> std::io::Result<Vec<u8>> {
        let mut rest = Vec::new();
        within("the end of the stream", PATIENCE, self.0.read_to_end(&mut rest)).await.map(|_| rest)
    }

    /// Asserts that the stream has ended, or ends now, as it should and without another byte.
    pub async fn assert_ended(&mut self) {
        assert_eq!(self.rest().await.expect("an end, and no reset"), b"");
    }

    /// Asserts that the stream is reset, perhaps behind some more bytes.
    pub async fn assert_reset(&mut self) {
        let error = self.rest().await.expect_err("a reset, and no end");
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}");
    }

    /// Says that nothing more will be sent.
    pub async fn half_close(&mut self) {
        self.0.shutdown().await.expect("the peer is there");
    }

    /// Ends it with a reset.
    pub fn reset(self) {
        let _ = socket2::SockRef::from(&self.0).set_linger(Some(std::time::Duration::ZERO));
    }

    /// Waits until the peer has reset it, without reading.
    pub async fn until_reset(&self) {
        eventually("a reset", PATIENCE, async || self.0.take_error().is_ok_and(|error| error.is_some())).await;
    }

    /// Its own address.
    pub fn address(&self) -> SocketAddr {
        self.0.local_addr().expect("a connected socket has an address")
    }
}
