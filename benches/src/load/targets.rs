//! The targets: each gives every request the same answer, at once or after a time. A connection that asks nothing, as a health check's, is
//! taken and not counted.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};
use socket2::{Domain, Socket, Type};

use super::CONNECTIONS_FROM;
use crate::workload::{ClientConnection, Through, Workload};

pub(crate) const TARGETS: usize = 3;

const BACKLOG: i32 = 4096;
const CONNECTIONS_MAX: usize = 4096;
const REQUEST_BYTES_MAX: usize = 16 * 1024;
const HEADERS_MAX: usize = 64;

#[derive(Debug)]
pub(crate) struct Targets {
    listeners: Vec<TcpListener>,
    addresses: [SocketAddr; TARGETS],
    answer: Vec<u8>,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    /// Requests answered by each target.
    answered: [u64; TARGETS],
    /// How long each target waits before an answer.
    delays: [Duration; TARGETS],
    /// Connections to each target that wait for their answer, and when it is due.
    waiting: [VecDeque<(Instant, usize)>; TARGETS],
    through: Through,
    connection: ClientConnection,
}

#[derive(Debug)]
struct Connection {
    target: usize,
    stream: TcpStream,
    /// What has come of a request that did not come in one piece.
    partial: Vec<u8>,
    answer_bytes_left: usize,
    is_waiting: bool,
    was_checked: bool,
    /// Ends the stream behind the answer.
    ends: bool,
}

impl Targets {
    pub(crate) fn bind(registry: &Registry, workload: &Workload) -> Result<Self> {
        let mut addresses = [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)); TARGETS];
        let mut listeners = Vec::with_capacity(TARGETS);
        for (index, address) in addresses.iter_mut().enumerate() {
            let socket = Socket::new(Domain::IPV4, Type::STREAM.nonblocking(), None)?;
            socket.bind(&(*address).into())?;
            socket.listen(BACKLOG)?;
            let mut listener = TcpListener::from_std(socket.into());
            registry.register(&mut listener, Token(index), Interest::READABLE)?;
            *address = listener.local_addr()?;
            listeners.push(listener);
        }
        let answer = workload.answer();
        Ok(Self {
            listeners,
            addresses,
            answer,
            connections: Vec::new(),
            free: Vec::new(),
            answered: [0; TARGETS],
            delays: [Duration::ZERO; TARGETS],
            waiting: Default::default(),
            through: workload.through,
            connection: workload.client_connection,
        })
    }

    /// From now on a target waits so long before each answer.
    pub(crate) fn delay(&mut self, target: usize, delay: Duration) {
        self.delays[target] = delay;
    }

    pub(crate) fn start_tally(&mut self) {
        self.answered = [0; TARGETS];
    }

    pub(crate) fn accept(&mut self, registry: &Registry, target: usize) -> Result<()> {
        loop {
            let mut stream = match self.listeners[target].accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                // Reset while it was queued: some health checks do so.
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => continue,
                Err(error) => return Err(error).context("accepting a connection"),
            };
            stream.set_nodelay(true)?;
            let index = self.free.pop().unwrap_or(self.connections.len());
            ensure!(index < CONNECTIONS_MAX, "the proxy keeps more than {CONNECTIONS_MAX} connections");
            let token = Token(CONNECTIONS_FROM + index);
            registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
            let connection = Some(Connection {
                target,
                stream,
                partial: Vec::new(),
                answer_bytes_left: 0,
                is_waiting: false,
                // What passes requests on adds the client's address; of a stream nothing is changed.
                was_checked: self.through == Through::Tcp,
                ends: self.through == Through::Tcp && self.connection == ClientConnection::NewPerRequest,
            });
            if index == self.connections.len() {
                self.connections.push(connection);
            } else {
                self.connections[index] = connection;
            }
        }
    }

    /// One connection's socket is ready for something.
    pub(crate) fn ready(&mut self, index: usize, scratch: &mut [u8]) -> Result<()> {
        // An event of the same turn may have closed it.
        let Some(connection) = &mut self.connections[index] else { return Ok(()) };
        connection.send(&self.answer)?;
        let received = match connection.stream.read(scratch) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => 0,
            received => received.context("receiving a request")?,
        };
        if received == 0 {
            let idle = connection.partial.is_empty() && connection.answer_bytes_left == 0 && !connection.is_waiting;
            ensure!(idle, "the proxy cut a connection with a request in flight");
            self.connections[index] = None;
            self.free.push(index);
            return Ok(());
        }
        if connection.take(&scratch[..received])? {
            self.answered[connection.target] += 1;
            let delay = self.delays[connection.target];
            if delay.is_zero() {
                return connection.answer(&self.answer);
            }
            connection.is_waiting = true;
            self.waiting[connection.target].push_back((Instant::now() + delay, index));
        }
        Ok(())
    }

    /// Sends the answers that have waited long enough.
    pub(crate) fn answer_what_is_due(&mut self) -> Result<()> {
        for waiting in &mut self.waiting {
            while let Some((_, index)) = waiting.pop_front_if(|(due, _)| *due <= Instant::now()) {
                if let Some(connection) = &mut self.connections[index] {
                    connection.answer(&self.answer)?;
                }
            }
        }
        Ok(())
    }

    pub(crate) fn addresses(&self) -> [SocketAddr; TARGETS] {
        self.addresses
    }

    /// Every target had its part.
    pub(crate) fn check_each_was_asked(&self) -> Result<()> {
        ensure!(self.answered.iter().all(|&count| count > 0), "a target was never asked: {:?}", self.answered);
        Ok(())
    }

    /// Together they answered what the clients got (less or more what is in flight).
    pub(crate) fn check_answered(&self, requests: u64, in_flight_max: usize) -> Result<[u64; TARGETS]> {
        let answered: u64 = self.answered.iter().sum();
        let differs_by = answered.abs_diff(requests);
        ensure!(differs_by <= in_flight_max as u64, "targets answered {answered}, clients got {requests}");
        Ok(self.answered)
    }
}

impl Connection {
    /// Takes what has come, and says whether it completes a request. No request here has a body, and no proxy
    /// pipelines, so a request ends where the bytes end in an empty line.
    fn take(&mut self, received: &[u8]) -> Result<bool> {
        ensure!(
            self.answer_bytes_left == 0 && !self.is_waiting,
            "the proxy sends a request before the last one was answered"
        );
        let request = if self.partial.is_empty() {
            received
        } else {
            self.partial.extend_from_slice(received);
            &self.partial
        };
        if !request.ends_with(b"\r\n\r\n") {
            ensure!(request.len() <= REQUEST_BYTES_MAX, "the head of the request does not end");
            if self.partial.is_empty() {
                self.partial.extend_from_slice(received);
            }
            return Ok(false);
        }
        if !self.was_checked {
            check(request)?;
            self.was_checked = true;
        }
        self.partial.clear();
        Ok(true)
    }

    fn answer(&mut self, answer: &[u8]) -> Result<()> {
        self.is_waiting = false;
        self.answer_bytes_left = answer.len();
        self.send(answer)
    }

    /// Sends what is left of the answer, as far as the socket takes it now.
    fn send(&mut self, answer: &[u8]) -> Result<()> {
        while self.answer_bytes_left > 0 {
            match self.stream.write(&answer[answer.len() - self.answer_bytes_left..]) {
                Ok(sent) => self.answer_bytes_left -= sent,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error).context("sending an answer"),
            }
            if self.answer_bytes_left == 0 && self.ends {
                self.stream.shutdown(Shutdown::Write)?;
            }
        }
        Ok(())
    }
}

/// The work is comparable: HTTP/1.1, and the client's address is passed on. Seen once a connection.
fn check(request: &[u8]) -> Result<()> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Request::new(&mut headers);
    ensure!(parsed.parse(request).context("the request is not HTTP")?.is_complete(), "the request is not complete");
    ensure!(parsed.version == Some(1), "the request is not HTTP/1.1");
    let forwarded = parsed.headers.iter().find(|header| header.name.eq_ignore_ascii_case("x-forwarded-for"));
    ensure!(forwarded.is_some_and(|header| header.value == b"127.0.0.1"), "no X-Forwarded-For with the client");
    Ok(())
}
