//! The clients: each asks, takes the whole answer, checks it, and asks again: at once, or when the next request is due
//! (`pace`).

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use hdrhistogram::Histogram;
use mio::event::Event;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use rustix::net::{RecvFlags, recv};
use rustls::ClientConfig;

use super::pace::Pace;
use super::secure::{self, Session};
use crate::workload::{ClientConnection, Through, Workload};

const HEAD_BYTES_MAX: usize = 16 * 1024;
const HEADERS_MAX: usize = 32;
/// Clients that ask by a pace are as many as it takes, up to this.
const PACED_CLIENTS_MAX: usize = 4096;
const LATENCY_NS_MAX: u64 = 60_000_000_000;

pub(crate) struct Clients {
    /// The token of the first one.
    tokens_from: usize,
    door: Door,
    request: Vec<u8>,
    body_bytes: usize,
    connection: ClientConnection,
    count: usize,
    pace: Option<Pace>,
    clients: Vec<Client>,
    latency_ns: Histogram<u64>,
}

/// Where clients connect, and how.
#[derive(Debug)]
struct Door {
    proxy: SocketAddr,
    tls: Option<Arc<ClientConfig>>,
}

struct Client {
    stream: TcpStream,
    session: Option<Session>,
    /// From before the connection is opened where each request has its own; where there is a pace, from when it was due.
    asked: Instant,
    bytes_unsent: usize,
    answer: Answer,
    has_an_answer: bool,
}

#[derive(Debug)]
enum Answer {
    /// What has come of the head.
    Head(Vec<u8>),
    Body {
        bytes_left: usize,
    },
}

impl Clients {
    pub(crate) fn new(workload: &Workload, tokens_from: usize) -> Result<Self> {
        let tls = matches!(workload.through, Through::Https(_)).then(secure::configuration).transpose()?;
        Ok(Self {
            tokens_from,
            door: Door { proxy: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), tls },
            request: workload.request(),
            body_bytes: workload.answer_body_bytes,
            connection: workload.client_connection,
            count: workload.clients,
            pace: None,
            clients: Vec::with_capacity(workload.clients),
            latency_ns: Histogram::new_with_max(LATENCY_NS_MAX, 3)?,
        })
    }

    /// Clients that ask by a pace once each has had a first answer. More come when all of them wait for one.
    pub(crate) fn paced(workload: &Workload, tokens_from: usize, pace: Pace) -> Result<Self> {
        Ok(Self { pace: Some(pace), ..Self::new(workload, tokens_from)? })
    }

    pub(crate) fn connect(&mut self, registry: &Registry, proxy: SocketAddr) -> Result<()> {
        self.door.proxy = proxy;
        for index in 0..self.count {
            let client = self.open(registry, index)?;
            self.clients.push(client);
        }
        Ok(())
    }

    pub(crate) fn start_tally(&mut self) {
        self.latency_ns.reset();
        if let Some(pace) = &mut self.pace {
            pace.unasked = 0;
        }
    }

    /// Lets all that is due by now be asked, by clients that wait for nothing, or else by new ones.
    pub(crate) fn ask_what_is_due(&mut self, registry: &Registry) -> Result<()> {
        while let Some((due, idle)) = self.pace.as_mut().and_then(Pace::next) {
            match idle {
                Some(index) if self.connection == ClientConnection::Kept => {
                    self.clients[index].ask_again(due, &self.request)?;
                }
                Some(index) => {
                    self.clients[index] = Client { asked: due, has_an_answer: true, ..self.open(registry, index)? };
                }
                None => {
                    let index = self.clients.len();
                    ensure!(index < PACED_CLIENTS_MAX, "{PACED_CLIENTS_MAX} requests wait for their answers");
                    let client = self.open(registry, index)?;
                    self.clients.push(Client { asked: due, ..client });
                }
            }
        }
        Ok(())
    }

    /// Where there is a pace: asks no more, or goes on from now.
    pub(crate) fn pause(&mut self, is_paused: bool) {
        if let Some(pace) = &mut self.pace {
            pace.pause(is_paused);
        }
    }

    /// Where there is a pace: requests that were due since `start_tally` and that nobody came to ask.
    pub(crate) fn unasked(&self) -> u64 {
        self.pace.as_ref().map_or(0, |pace| pace.unasked)
    }

    pub(crate) fn is_paced(&self) -> bool {
        self.pace.is_some()
    }

    /// Where there is a pace: whether an answer is still to come.
    pub(crate) fn waits(&self) -> bool {
        self.pace.as_ref().is_some_and(|pace| pace.idle.len() < self.clients.len())
    }

    /// One client's socket is ready for something.
    pub(crate) fn ready(&mut self, registry: &Registry, event: &Event, scratch: &mut [u8]) -> Result<()> {
        let index = event.token().0 - self.tokens_from;
        let client = &mut self.clients[index];
        if event.is_readable() {
            client.receive(scratch, self.body_bytes)?;
        }
        client.send(&self.request)?;
        let closed = event.is_read_closed();
        let kept = self.connection == ClientConnection::Kept;
        ensure!(!closed || (client.answer.is_complete() && !kept), "the proxy closed the connection before its time");
        // A connection for one request is done when the proxy has closed it: then `TIME_WAIT` takes none of our ports.
        if !client.answer.is_complete() || (!kept && !closed) {
            return Ok(());
        }
        let now = Instant::now();
        self.latency_ns.saturating_record((now - client.asked).as_nanos() as u64);
        if let Some(pace) = &mut self.pace {
            if !kept {
                // What else its socket has to tell is of no interest.
                registry.deregister(&mut client.stream)?;
            }
            client.answer = Answer::default();
            pace.idle.push(index);
        } else if kept {
            client.ask_again(now, &self.request)?;
        } else {
            self.clients[index] = self.open(registry, index)?;
        }
        self.clients[index].has_an_answer = true;
        Ok(())
    }

    fn open(&self, registry: &Registry, index: usize) -> Result<Client> {
        Client::open(registry, &self.door, Token(self.tokens_from + index), &self.request)
    }

    pub(crate) fn count(&self) -> usize {
        self.clients.len()
    }

    pub(crate) fn each_has_an_answer(&self) -> bool {
        self.clients.iter().all(|client| client.has_an_answer)
    }

    pub(crate) fn check_none_waits_longer_than(&self, limit: Duration) -> Result<()> {
        let idle: &[usize] = self.pace.as_ref().map_or(&[], |pace| &pace.idle);
        let waiting = (0..self.clients.len()).filter(|index| !idle.contains(index));
        let longest = waiting.map(|index| self.clients[index].asked.elapsed()).max().unwrap_or_default();
        ensure!(longest <= limit, "a client has waited {longest:?} for its answer");
        Ok(())
    }

    /// Answers since `start_tally`, and how long they took.
    pub(crate) fn tally(&self) -> (u64, Histogram<u64>) {
        (self.latency_ns.len(), self.latency_ns.clone())
    }
}

impl Client {
    fn open(registry: &Registry, door: &Door, token: Token, request: &[u8]) -> Result<Self> {
        let asked = Instant::now();
        let stream = TcpStream::connect(door.proxy).context("connecting to the proxy")?;
        let session = door.tls.as_ref().map(Session::new).transpose()?;
        let (bytes_unsent, answer) = (request.len(), Answer::default());
        let mut client = Self { stream, session, asked, bytes_unsent, answer, has_an_answer: false };
        // On loopback the connection is mostly there at once, and one event less to wait for.
        client.send(request)?;
        let interest =
            if client.bytes_unsent == 0 { Interest::READABLE } else { Interest::READABLE | Interest::WRITABLE };
        registry.register(&mut client.stream, token, interest)?;
        Ok(client)
    }

    fn ask_again(&mut self, now: Instant, request: &[u8]) -> Result<()> {
        self.asked = now;
        self.bytes_unsent = request.len();
        self.answer = Answer::default();
        self.send(request)?;
        ensure!(self.bytes_unsent == 0, "the socket does not take a request of {} bytes", request.len());
        Ok(())
    }

    /// Sends what is left of the request, as far as the socket takes it now.
    fn send(&mut self, request: &[u8]) -> Result<()> {
        while self.bytes_unsent > 0 {
            let rest = &request[request.len() - self.bytes_unsent..];
            let sent = match &mut self.session {
                Some(session) => session.send(&mut self.stream, rest),
                None => self.stream.write(rest),
            };
            match sent {
                Ok(sent) => self.bytes_unsent -= sent,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => break,
                Err(error) => return Err(error).context("sending a request"),
            }
        }
        Ok(())
    }

    /// Takes what has come of the answer.
    fn receive(&mut self, scratch: &mut [u8], body_bytes: usize) -> Result<()> {
        if let Some(session) = &mut self.session {
            return session.receive(&mut self.stream, scratch, |bytes| self.answer.take(bytes, body_bytes));
        }
        loop {
            let received = match self.answer {
                Answer::Head(_) => self.stream.read(scratch),
                Answer::Body { .. } => discard(&self.stream, scratch),
            };
            let received = match received {
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                received => received.context("receiving an answer")?,
            };
            self.answer.take(&scratch[..received], body_bytes)?;
            // A read that leaves room has emptied the socket, and what comes later is a new event.
            if received < scratch.len() {
                return Ok(());
            }
        }
    }
}

/// As a read, but the kernel only counts the bytes: the load must be faster than the proxy.
fn discard(stream: &TcpStream, scratch: &mut [u8]) -> io::Result<usize> {
    let (_, received) = recv(stream, scratch, RecvFlags::TRUNC)?;
    Ok(received)
}

impl Default for Answer {
    fn default() -> Self {
        Self::Head(Vec::new())
    }
}

impl Answer {
    fn take(&mut self, received: &[u8], body_bytes: usize) -> Result<()> {
        let bytes_left = match self {
            Self::Body { bytes_left } => bytes_left.checked_sub(received.len()),
            Self::Head(partial) => {
                let answer = if partial.is_empty() {
                    received
                } else {
                    partial.extend_from_slice(received);
                    &*partial
                };
                let Some(head) = head_bytes(answer, body_bytes)? else {
                    ensure!(answer.len() <= HEAD_BYTES_MAX, "the head of the answer does not end");
                    if partial.is_empty() {
                        partial.extend_from_slice(received);
                    }
                    return Ok(());
                };
                body_bytes.checked_sub(answer.len() - head)
            }
        };
        let bytes_left = bytes_left.context("the answer is longer than its Content-Length")?;
        *self = Self::Body { bytes_left };
        Ok(())
    }

    fn is_complete(&self) -> bool {
        matches!(self, Self::Body { bytes_left: 0 })
    }
}

/// The length of the head, once it is complete; an error if it is not the head that the targets send.
fn head_bytes(received: &[u8], body_bytes: usize) -> Result<Option<usize>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(head) = response.parse(received).context("the answer is not HTTP")? else {
        return Ok(None);
    };
    if response.code != Some(200) {
        bail!("not a 200: {}", String::from_utf8_lossy(&received[..received.len().min(512)]));
    }
    let length = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let length = length.context("the answer has no Content-Length")?;
    let length: usize = str::from_utf8(length.value)?.parse()?;
    ensure!(length == body_bytes, "Content-Length is {length}, not {body_bytes}");
    Ok(Some(head))
}
