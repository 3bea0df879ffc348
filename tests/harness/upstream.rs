//! A scriptable web server: it can answer well, badly, late or not at all, and it remembers what it was sent.
//!
//! Each has a loopback address of its own (127.x.y.z), so that a stopped one stays refused: no other socket of the
//! machine can be given its address and port.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::wire::{Broken, Head, Wire};
use super::{PATIENCE, eventually};

/// What an upstream does next on a connection.
#[derive(Debug, Clone)]
pub enum Act {
    /// Takes the request's body, as it is framed.
    ReadBody,
    /// Writes these bytes.
    Write(Vec<u8>),
    /// Writes these bytes so many times.
    Repeat(Vec<u8>, u64),
    /// Waits before the next act.
    Wait(Duration),
    /// Waits until the test opens the gate.
    Until(Gate),
    /// Neither reads nor writes for as long as the test lasts.
    Stall,
    /// Reads and forgets until the peer goes, which is counted in [`Upstream::gone`].
    Hold,
    /// Sends back all it is sent until the peer goes, which is counted in [`Upstream::gone`].
    Echo,
    /// Ends the writing half and reads on.
    HalfClose,
    /// Closes the connection.
    Close,
    /// Resets the connection.
    Reset,
}

/// A request as it arrived.
#[derive(Debug, Clone)]
pub struct Request {
    /// Its head.
    pub head: Head,
    /// Its body so far.
    pub body: Vec<u8>,
    /// The trailers of its body.
    pub trailers: Vec<(String, String)>,
    /// Which connection it came on, counted from 0.
    pub connection: usize,
}

impl Request {
    /// The method.
    pub fn method(&self) -> &str {
        self.head.first_line.split(' ').next().unwrap_or_default()
    }

    /// The request target.
    pub fn path(&self) -> &str {
        self.head.first_line.split(' ').nth(1).unwrap_or_default()
    }

    /// The only value of a header; `None` where there is none.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }
}

/// Takes the request and answers it with a length.
pub fn answer(status: u16, body: impl AsRef<[u8]>) -> Vec<Act> {
    let body = body.as_ref();
    let mut bytes = format!("HTTP/1.1 {status} Scripted\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
    bytes.extend_from_slice(body);
    vec![Act::ReadBody, Act::Write(bytes)]
}

/// Takes the request and answers it with these bytes.
pub fn raw(bytes: impl AsRef<[u8]>) -> Vec<Act> {
    vec![Act::ReadBody, Act::Write(bytes.as_ref().to_vec())]
}

/// Holds scripted acts back until the test opens it.
#[derive(Debug, Clone)]
pub struct Gate(watch::Sender<bool>);

impl Gate {
    /// A closed gate.
    pub fn closed() -> Self {
        Self(watch::Sender::new(false))
    }

    /// Lets everything through that waits or will wait.
    pub fn open(&self) {
        self.0.send_replace(true);
    }

    /// Whether it is open.
    pub fn is_open(&self) -> bool {
        *self.0.borrow()
    }

    async fn pass(&self) {
        let _ = self.0.subscribe().wait_for(|open| *open).await;
    }
}

type Script = Arc<dyn Fn(&Request) -> Vec<Act> + Send + Sync>;

struct Shared {
    script: Script,
    health: Arc<dyn Fn(usize) -> u16 + Send + Sync>,
    seen: Vec<Request>,
    connections: usize,
    accepted: usize,
    open: usize,
    probes: Vec<Head>,
    gone: usize,
    failures: VecDeque<String>,
}

/// A scriptable web server on loopback. It is gone when this value is.
pub struct Upstream {
    address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
    serving: Option<JoinSet<()>>,
}

impl Upstream {
    /// One that answers every request as `script` says.
    pub async fn start(script: impl Fn(&Request) -> Vec<Act> + Send + Sync + 'static) -> Self {
        Self::on_port(0, script).await
    }

    /// The same on a port that it shares with others, each at an address of its own.
    pub async fn on_port(port: u16, script: impl Fn(&Request) -> Vec<Act> + Send + Sync + 'static) -> Self {
        Self::at(SocketAddr::new(own_address(), port), script).await
    }

    /// The same at an address that is not its alone.
    pub async fn at(address: SocketAddr, script: impl Fn(&Request) -> Vec<Act> + Send + Sync + 'static) -> Self {
        Self::start_at(address, script)
    }

    /// One that answers at every loopback address, all at the same port.
    pub async fn everywhere(script: impl Fn(&Request) -> Vec<Act> + Send + Sync + 'static) -> Self {
        Self::start_at(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0), script)
    }

    fn start_at(address: SocketAddr, script: impl Fn(&Request) -> Vec<Act> + Send + Sync + 'static) -> Self {
        let shared = Shared {
            script: Arc::new(script),
            health: Arc::new(|_| 200),
            seen: Vec::new(),
            connections: 0,
            accepted: 0,
            open: 0,
            probes: Vec::new(),
            gone: 0,
            failures: VecDeque::new(),
        };
        let mut upstream = Self { address, shared: Arc::new(Mutex::new(shared)), serving: None };
        upstream.start_again();
        upstream
    }

    /// One that answers every request with 200 and this body.
    pub async fn answering(body: &'static str) -> Self {
        Self::start(move |_| answer(200, body)).await
    }

    /// Answers as `script` says from the next request on.
    pub fn set(&self, script: impl Fn(&Request) -> Vec<Act> + Send + Sync + 'static) {
        self.shared().script = Arc::new(script);
    }

    /// Answers `GET /health` with this status from now on. 0: does not answer it.
    pub fn set_health(&self, status: u16) {
        self.set_health_by_number(move |_| status);
    }

    /// Answers the first `GET /health` from now on with `status(0)`, the second with `status(1)`, and so on.
    pub fn set_health_by_number(&self, status: impl Fn(usize) -> u16 + Send + Sync + 'static) {
        let mut shared = self.shared();
        shared.health = Arc::new(status);
        shared.probes.clear();
    }

    /// Closes every connection and the listening socket: from now on connecting is refused.
    pub async fn stop(&mut self) {
        if let Some(mut serving) = self.serving.take() {
            serving.shutdown().await;
        }
    }

    /// Listens again where it did before.
    pub fn start_again(&mut self) {
        assert!(self.serving.is_none(), "it is still running");
        let listener = listen(self.address).unwrap_or_else(|error| panic!("listening on {}: {error}", self.address));
        self.address = listener.local_addr().expect("a bound socket has an address");
        let mut serving = JoinSet::new();
        serving.spawn(accept(listener, Arc::clone(&self.shared)));
        self.serving = Some(serving);
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The requests that arrived so far, health checks on `/health` left out.
    pub fn seen(&self) -> Vec<Request> {
        self.shared().seen.clone()
    }

    /// How many requests arrived so far, health checks on `/health` left out.
    pub fn requests(&self) -> usize {
        self.shared().seen.len()
    }

    /// The only request that arrived so far.
    pub fn only_request(&self) -> Request {
        let mut seen = self.seen();
        assert_eq!(seen.len(), 1, "requests that arrived: {seen:?}");
        seen.remove(0)
    }

    /// Waits until so many requests have arrived.
    pub async fn wait_for_requests(&self, count: usize) {
        eventually(&format!("{count} requests at the upstream"), PATIENCE, async || self.requests() >= count).await;
    }

    /// How many connections brought a byte that is not a health check's.
    pub fn connections(&self) -> usize {
        self.shared().connections
    }

    /// How many connections were accepted, empty ones and probes included.
    pub fn accepted(&self) -> usize {
        self.shared().accepted
    }

    /// How many connections are open, probes included.
    pub fn open(&self) -> usize {
        self.shared().open
    }

    /// The health checks on `/health` that arrived since their answer was last set.
    pub fn probes(&self) -> Vec<Head> {
        self.shared().probes.clone()
    }

    /// How many times the peer went during [`Act::Hold`] or [`Act::Echo`].
    pub fn gone(&self) -> usize {
        self.shared().gone
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        lock(&self.shared)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        let failure = self.shared().failures.pop_front();
        if let (Some(failure), false) = (failure, std::thread::panicking()) {
            panic!("a scripted upstream failed: {failure}");
        }
    }
}

/// A loopback address that nothing else on the machine is likely to use.
pub fn own_address() -> IpAddr {
    let [a, b, c] = rand::random::<[u8; 3]>();
    Ipv4Addr::new(127, a.clamp(1, 250), b, c.clamp(1, 250)).into()
}

/// The lock is never held across an await, and a panic inside it is a failed test anyway.
fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(1024)
}

async fn accept(listener: TcpListener, shared: Arc<Mutex<Shared>>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { return };
        while connections.try_join_next().is_some() {}
        let open = Open::count(&shared);
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            let _open = open;
            let served = AssertUnwindSafe(serve(Wire::new(stream), &shared)).catch_unwind().await;
            if let Err(panic) = served {
                lock(&shared).failures.push_back(text_of(&*panic));
            }
        });
    }
}

/// A connection that is open, counted until it is dropped.
struct Open(Arc<Mutex<Shared>>);

impl Open {
    fn count(shared: &Arc<Mutex<Shared>>) -> Self {
        let mut counts = lock(shared);
        counts.accepted += 1;
        counts.open += 1;
        Self(Arc::clone(shared))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        lock(&self.0).open -= 1;
    }
}

fn text_of(panic: &(dyn std::any::Any + Send)) -> String {
    let fixed = || panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    panic.downcast_ref::<String>().cloned().or_else(fixed).unwrap_or_else(|| "without a word".to_owned())
}

async fn serve(mut wire: Wire, shared: &Mutex<Shared>) {
    let mut connection = None;
    loop {
        let head = match wire.head().await {
            Ok(head) => head,
            Err(Broken::Malformed(what)) => panic!("elbow sent what is not HTTP/1.1: {what}"),
            Err(_) => return,
        };
        if head.first_line.starts_with("GET /health ") {
            if probed(&mut wire, head, shared).await.is_err() {
                return;
            }
            continue;
        }
        let (index, acts) = {
            let mut shared = lock(shared);
            let connection = *connection.get_or_insert_with(|| {
                shared.connections += 1;
                shared.connections - 1
            });
            let request = Request { head, body: Vec::new(), trailers: Vec::new(), connection };
            let script = Arc::clone(&shared.script);
            let acts = script(&request);
            shared.seen.push(request);
            (shared.seen.len() - 1, acts)
        };
        for act in acts {
            match perform(act, wire, shared, index).await {
                Some(same) => wire = same,
                None => return,
            }
        }
    }
}

async fn probed(wire: &mut Wire, head: Head, shared: &Mutex<Shared>) -> std::io::Result<()> {
    let status = {
        let mut shared = lock(shared);
        shared.probes.push(head);
        (shared.health)(shared.probes.len() - 1)
    };
    if status == 0 {
        std::future::pending::<()>().await;
    }
    wire.write(format!("HTTP/1.1 {status} Scripted\r\nContent-Length: 0\r\n\r\n").as_bytes()).await
}

/// Does one act; `None` ends the connection.
async fn perform(act: Act, mut wire: Wire, shared: &Mutex<Shared>, request: usize) -> Option<Wire> {
    match act {
        Act::ReadBody => read_body(&mut wire, shared, request).await.ok()?,
        Act::Write(bytes) => wire.write(&bytes).await.ok()?,
        Act::Repeat(bytes, times) => {
            for _ in 0..times {
                wire.write(&bytes).await.ok()?;
            }
        }
        Act::Wait(time) => tokio::time::sleep(time).await,
        Act::Until(gate) => gate.pass().await,
        Act::Stall => std::future::pending().await,
        Act::Hold | Act::Echo => {
            let (stream, buffered) = wire.into_parts();
            hold(stream, &buffered, matches!(act, Act::Echo)).await;
            lock(shared).gone += 1;
            return None;
        }
        Act::HalfClose => wire.half_close().await,
        Act::Close => return None,
        Act::Reset => {
            wire.reset();
            return None;
        }
    }
    Some(wire)
}

async fn read_body(wire: &mut Wire, shared: &Mutex<Shared>, request: usize) -> Result<(), Broken> {
    let framing = lock(shared).seen[request].head.request_framing();
    let framing = framing.unwrap_or_else(|broken| panic!("elbow sent {broken:?}"));
    let mut sink = |piece: &[u8]| lock(shared).seen[request].body.extend_from_slice(piece);
    let trailers = wire.body_into(framing, &mut sink).await?;
    lock(shared).seen[request].trailers = trailers;
    Ok(())
}

async fn hold(mut stream: TcpStream, buffered: &[u8], echo: bool) {
    if echo && stream.write_all(buffered).await.is_err() {
        return;
    }
    let mut piece = vec![0; 64 << 10];
    loop {
        match stream.read(&mut piece).await {
            Ok(0) | Err(_) => return,
            Ok(read) if echo => {
                if stream.write_all(&piece[..read]).await.is_err() {
                    return;
                }
            }
            Ok(_) => {}
        }
    }
}
