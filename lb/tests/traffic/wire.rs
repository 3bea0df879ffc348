//! The two ends of the wire: a client that sends and reads raw bytes, and a target that follows a script.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::house::DEADLINE;

/// One end of a connection, in raw bytes.
pub(crate) struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Wire {
    /// A connection of a client.
    pub(crate) fn to(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).expect("connects"))
    }

    fn over(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, buffer: Vec::new() }
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.stream.write_all(bytes.as_ref()).expect("sends");
        self
    }

    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    /// A head with its empty line; `None` at the end of the stream.
    pub(crate) fn try_head(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                let rest = self.buffer.split_off(end + 4);
                let head = std::mem::replace(&mut self.buffer, rest);
                return Some(String::from_utf8(head).expect("a head in UTF-8"));
            }
            if self.more() == 0 {
                assert!(self.buffer.is_empty(), "the stream ends in a head: {:?}", self.text());
                return None;
            }
        }
    }

    pub(crate) fn head(&mut self) -> String {
        self.try_head().expect("a head, not the end of the stream")
    }

    /// So many bytes.
    pub(crate) fn take(&mut self, count: usize) -> Vec<u8> {
        while self.buffer.len() < count {
            assert!(self.more() > 0, "the stream ends after {:?}", self.text());
        }
        let rest = self.buffer.split_off(count);
        std::mem::replace(&mut self.buffer, rest)
    }

    /// These bytes, and no others.
    pub(crate) fn expect(&mut self, bytes: &str) -> &mut Self {
        let got = self.take(bytes.len());
        assert_eq!(String::from_utf8_lossy(&got), bytes);
        self
    }

    /// All that comes until the end of the stream.
    pub(crate) fn rest(&mut self) -> String {
        while self.more() > 0 {}
        String::from_utf8(std::mem::take(&mut self.buffer)).expect("UTF-8")
    }

    /// Reads until something has come that ends like a head; no, if the stream ends or breaks before.
    pub(crate) fn hears(&mut self) -> bool {
        let mut heard = Vec::new();
        let mut chunk = [0; 4096];
        while let Ok(count @ 1..) = self.stream.read(&mut chunk) {
            heard.extend_from_slice(&chunk[..count]);
            if heard.windows(4).any(|window| window == b"\r\n\r\n") {
                return true;
            }
        }
        false
    }

    /// Reads what comes within a moment, if anything does.
    pub(crate) fn glance(&mut self) {
        self.stream.set_read_timeout(Some(std::time::Duration::from_millis(3))).unwrap();
        let _ = self.stream.read(&mut [0; 4096]);
        self.stream.set_read_timeout(Some(DEADLINE)).unwrap();
    }

    /// How the stream ends: cleanly, or by a reset. What came before is dropped.
    pub(crate) fn end(&mut self) -> io::Result<()> {
        let mut waste = [0; 65536];
        while self.stream.read(&mut waste)? > 0 {}
        Ok(())
    }

    /// A head and as much body as its Content-Length says.
    pub(crate) fn response(&mut self) -> (String, String) {
        let head = self.head();
        let length = field(&head, "content-length").map_or(0, |length| length.parse().unwrap());
        let body = String::from_utf8(self.take(length)).unwrap();
        (head, body)
    }

    pub(crate) fn finish_sending(&mut self) -> &mut Self {
        self.stream.shutdown(Shutdown::Write).expect("half-closes");
        self
    }

    /// Closes with a reset.
    pub(crate) fn reset(self) {
        socket2::SockRef::from(&self.stream).set_linger(Some(std::time::Duration::ZERO)).unwrap();
    }

    fn more(&mut self) -> usize {
        let mut chunk = [0; 65536];
        let count = self.stream.read(&mut chunk).expect("reads in time");
        self.buffer.extend_from_slice(&chunk[..count]);
        count
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.buffer).into_owned()
    }
}

/// The value of a field of a head.
pub(crate) fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let named = |line: &'a str| line.split_once(':').filter(|(field, _)| field.eq_ignore_ascii_case(name));
    head.lines().find_map(named).map(|(_, value)| value.trim())
}

/// A target that follows a script on each connection.
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Target {
    /// Runs the script on a thread for each connection. It lives as long as the test process.
    pub(crate) fn playing(script: impl Fn(Wire) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let (count, script) = (Arc::clone(&connections), Arc::new(script));
        thread::spawn(move || {
            for stream in listener.incoming() {
                count.fetch_add(1, Ordering::SeqCst);
                let (script, stream) = (Arc::clone(&script), stream.unwrap());
                thread::spawn(move || script(Wire::over(stream)));
            }
        });
        Self { address, connections }
    }

    /// Answers every request, which must have no body, with these bytes.
    pub(crate) fn answering(answer: &'static str) -> Self {
        Self::playing(move |mut wire| {
            while wire.try_head().is_some() {
                wire.send(answer);
            }
        })
    }

    /// Answers every request with its head as the body, and its name in a header.
    pub(crate) fn echoing(name: &'static str) -> Self {
        Self::playing(move |mut wire| {
            while let Some(head) = wire.try_head() {
                let length = field(&head, "content-length").map_or(0, |length| length.parse().unwrap());
                let body = String::from_utf8(wire.take(length)).unwrap();
                wire.send(format!(
                    "HTTP/1.1 200 OK\r\nX-Target: {name}\r\nContent-Length: {}\r\n\r\n{head}{body}",
                    head.len() + body.len()
                ));
            }
        })
    }

    pub(crate) fn text(&self) -> String {
        self.address.to_string()
    }

    /// Connections it has accepted.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}
