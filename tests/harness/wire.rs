//! HTTP/1.1 as bytes on a socket, read strictly: what both the scripted upstream and the raw client read with.
//!
//! Written apart from elbow's own codec on purpose: a test that read with the code under test would agree with it.

use std::io::ErrorKind;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::PATIENCE;

/// How a peer broke off, or broke the protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Broken {
    /// It closed where a message could have begun.
    Closed,
    /// It closed in the middle of a message.
    Truncated,
    /// It reset the connection.
    Reset,
    /// It sent nothing for [`PATIENCE`].
    Silent,
    /// It sent what is not HTTP/1.1.
    Malformed(String),
}

/// The head of a request or of a response, as it came and as it reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Every byte of it, the empty line included.
    pub raw: Vec<u8>,
    /// The request line or status line.
    pub first_line: String,
    /// The header fields in order, names as they were sent.
    pub headers: Vec<(String, String)>,
}

impl Head {
    fn parse(raw: Vec<u8>) -> Result<Self, Broken> {
        let text = std::str::from_utf8(&raw).map_err(|_| malformed("a head that is not text", &raw))?;
        let mut lines = text.strip_suffix("\r\n\r\n").ok_or_else(|| malformed("no empty line", &raw))?.split("\r\n");
        let first_line = lines.next().unwrap_or_default().to_owned();
        let mut headers = Vec::new();
        for line in lines {
            let (name, value) = line.split_once(':').ok_or_else(|| malformed("a field without a colon", &raw))?;
            if name.is_empty()
                || name.bytes().any(|byte| byte.is_ascii_whitespace())
                || line.contains(['\r', '\n', '\0'])
            {
                return Err(malformed("a field that is none", line.as_bytes()));
            }
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
        Ok(Self { first_line, headers, raw })
    }

    /// Every value of a header, in order.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let named = self.headers.iter().filter(|(given, _)| given.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str()).collect()
    }

    /// The only value of a header; `None` where there is none.
    pub fn header(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(all.len() < 2, "{name} stands {} times in {:?}", all.len(), self.headers);
        all.first().copied()
    }

    fn framing(&self, without: Framing) -> Result<Framing, Broken> {
        let lengths = self.all("content-length");
        match (self.all("transfer-encoding").as_slice(), lengths.as_slice()) {
            ([], []) => Ok(without),
            ([], [digits]) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().map(Framing::Length).map_err(|_| malformed("content-length", digits.as_bytes()))
            }
            ([coding], []) if coding.eq_ignore_ascii_case("chunked") => Ok(Framing::Chunked),
            _ => Err(malformed("ambiguous framing", &self.raw)),
        }
    }

    /// How the body of a request with this head is framed.
    pub fn request_framing(&self) -> Result<Framing, Broken> {
        self.framing(Framing::Length(0))
    }

    /// How the body of the final response with this head is framed, when it answers `method`.
    pub fn response_framing(&self, method: &str, status: u16) -> Result<Framing, Broken> {
        match status {
            204 | 304 => Ok(Framing::Length(0)),
            _ if method == "HEAD" => Ok(Framing::Length(0)),
            _ => self.framing(Framing::Close),
        }
    }
}

/// Where a body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// After so many bytes.
    Length(u64),
    /// After the last chunk and its trailers.
    Chunked,
    /// Where the connection ends.
    Close,
}

/// A connection that is read message by message.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    buffered: Vec<u8>,
}

impl Wire {
    /// Reads and writes on `stream`.
    pub fn new(stream: TcpStream) -> Self {
        let _ = stream.set_nodelay(true);
        Self { stream, buffered: Vec::new() }
    }

    /// Writes all of `bytes`; an error when the peer is gone or takes nothing for [`PATIENCE`].
    pub async fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        let written = tokio::time::timeout(PATIENCE, self.stream.write_all(bytes)).await;
        written.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()))
    }

    /// Ends the writing half.
    pub async fn half_close(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    /// Ends the connection with a reset.
    pub fn reset(self) {
        let _ = socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
    }

    /// The connection itself and what was read ahead of it.
    pub fn into_parts(self) -> (TcpStream, Vec<u8>) {
        (self.stream, self.buffered)
    }

    /// The next head. [`Broken::Closed`] when the peer closed before its first byte.
    pub async fn head(&mut self) -> Result<Head, Broken> {
        loop {
            if let Some(end) = find(&self.buffered, b"\r\n\r\n") {
                return Head::parse(self.buffered.drain(..end + 4).collect());
            }
            if self.buffered.len() > 4 << 20 {
                return Err(malformed("a head without an end", &self.buffered[..200]));
            }
            match self.more().await {
                Ok(()) => {}
                Err(Broken::Truncated) if self.buffered.is_empty() => return Err(Broken::Closed),
                Err(broken) => return Err(broken),
            }
        }
    }

    /// The whole body, with its trailers.
    pub async fn body(&mut self, framing: Framing) -> Result<(Vec<u8>, Vec<(String, String)>), Broken> {
        let mut body = Vec::new();
        let trailers = self.body_into(framing, &mut |piece| body.extend_from_slice(piece)).await?;
        Ok((body, trailers))
    }

    /// Hands the body to `sink` piece by piece; answers with its trailers.
    pub async fn body_into(
        &mut self,
        framing: Framing,
        sink: &mut (dyn FnMut(&[u8]) + Send),
    ) -> Result<Vec<(String, String)>, Broken> {
        match framing {
            Framing::Length(length) => self.exactly(length, sink).await.map(|()| Vec::new()),
            Framing::Chunked => self.chunks(sink).await,
            Framing::Close => loop {
                sink(&std::mem::take(&mut self.buffered));
                match self.more().await {
                    Ok(()) => {}
                    Err(Broken::Truncated) => return Ok(Vec::new()),
                    Err(broken) => return Err(broken),
                }
            },
        }
    }

    /// Everything until the peer closes; an error when it does not, or resets.
    pub async fn rest(&mut self) -> Result<Vec<u8>, Broken> {
        self.body(Framing::Close).await.map(|(bytes, _)| bytes)
    }

    /// What comes next, be it what it may; [`Broken::Truncated`] at the end of the connection.
    pub async fn some(&mut self) -> Result<Vec<u8>, Broken> {
        if self.buffered.is_empty() {
            self.more().await?;
        }
        Ok(std::mem::take(&mut self.buffered))
    }

    async fn chunks(&mut self, sink: &mut (dyn FnMut(&[u8]) + Send)) -> Result<Vec<(String, String)>, Broken> {
        loop {
            let line = self.line().await?;
            let hex = !line.is_empty() && line.iter().all(u8::is_ascii_hexdigit);
            let size = std::str::from_utf8(&line).ok().filter(|_| hex);
            let size = size.and_then(|digits| u64::from_str_radix(digits, 16).ok());
            match size.ok_or_else(|| malformed("a chunk size", &line))? {
                0 => break,
                size => self.exactly(size, sink).await?,
            }
            if !self.line().await?.is_empty() {
                return Err(malformed("no line end after a chunk", &self.buffered));
            }
        }
        let mut trailers = b"trailers\r\n".to_vec();
        loop {
            let line = self.line().await?;
            trailers.extend_from_slice(&line);
            trailers.extend_from_slice(b"\r\n");
            if line.is_empty() {
                return Head::parse(trailers).map(|head| head.headers);
            }
        }
    }

    async fn line(&mut self) -> Result<Vec<u8>, Broken> {
        loop {
            if let Some(end) = find(&self.buffered, b"\r\n") {
                let mut line: Vec<u8> = self.buffered.drain(..end + 2).collect();
                line.truncate(end);
                return Ok(line);
            }
            self.more().await?;
        }
    }

    async fn exactly(&mut self, mut length: u64, sink: &mut (dyn FnMut(&[u8]) + Send)) -> Result<(), Broken> {
        loop {
            let here = usize::try_from(length).map_or(self.buffered.len(), |length| length.min(self.buffered.len()));
            sink(&self.buffered[..here]);
            self.buffered.drain(..here);
            length -= here as u64;
            if length == 0 {
                return Ok(());
            }
            self.more().await?;
        }
    }

    /// Reads once; [`Broken::Truncated`] at the end of the connection.
    async fn more(&mut self) -> Result<(), Broken> {
        self.buffered.reserve(64 << 10);
        match tokio::time::timeout(PATIENCE, self.stream.read_buf(&mut self.buffered)).await {
            Ok(Ok(0)) => Err(Broken::Truncated),
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(Broken::Reset),
            Err(_) => Err(Broken::Silent),
        }
    }
}

fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes.windows(needle.len()).position(|window| window == needle)
}

fn malformed(what: &str, bytes: &[u8]) -> Broken {
    Broken::Malformed(format!("{what}: {:?}", String::from_utf8_lossy(bytes)))
}
