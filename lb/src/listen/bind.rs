//! Binding the sockets of listeners before a change is committed, so that a port that cannot be had refuses it.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use socket2::{Domain, Protocol, Socket, Type};

use crate::model::{Config, ListenerName};

/// The sockets of every listener, by its name. A value: dropping it closes what nobody else holds.
pub type BoundSockets = BTreeMap<ListenerName, Arc<BoundSocket>>;

/// One address, bound once for each worker with `SO_REUSEPORT`.
#[derive(Debug)]
pub struct BoundSocket {
    /// The address that was asked for.
    pub bind: SocketAddr,
    /// The address that was bound, with the port the kernel chose where 0 was asked for.
    pub address: SocketAddr,
    per_worker: Box<[Mutex<Option<TcpListener>>]>,
    /// Client connections that came in here and are open, over all workers.
    connections: AtomicUsize,
}

/// Why a listener's address could not be bound. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[error("listener {listener} cannot bind {bind}")]
pub struct BindError {
    /// The listener.
    pub listener: ListenerName,
    /// The address.
    pub bind: SocketAddr,
    /// What the kernel said.
    pub source: std::io::Error,
}

impl BoundSocket {
    /// Hands a worker its own socket; the second time there is none. Whoever takes it closes it.
    pub fn take(&self, worker: usize) -> Option<TcpListener> {
        self.per_worker.get(worker)?.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take()
    }

    /// Counts one more connection, unless there are `connections_max` (0: no limit) already.
    pub(super) fn count_in(&self, connections_max: usize) -> bool {
        let before = self.connections.fetch_add(1, Ordering::Relaxed);
        let is_admitted = connections_max == 0 || before < connections_max;
        if !is_admitted {
            self.count_out();
        }
        is_admitted
    }

    /// Counts one connection less.
    pub(super) fn count_out(&self) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Connections the kernel holds for a worker that has not accepted them yet.
const BACKLOG_MAX: i32 = 4096;

/// Binds what `config` wants for `workers` workers, keeping every socket of `previous` that is still wanted.
///
/// # Errors
/// [`BindError`] for the first address that cannot be had. Sockets bound on the way are closed again.
pub fn bind(previous: &BoundSockets, config: &Config, workers: usize) -> Result<BoundSockets, BindError> {
    let mut sockets = BoundSockets::new();
    for (name, held) in &config.listeners {
        let wanted = held.wanted.bind;
        let socket = match reusable(previous, name, wanted) {
            Some(socket) => socket,
            None => {
                let ours = previous.values().any(|socket| overlaps(socket.address, wanted));
                let bound = BoundSocket::open(wanted, workers, ours);
                Arc::new(bound.map_err(|source| BindError { listener: name.clone(), bind: wanted, source })?)
            }
        };
        sockets.insert(name.clone(), socket);
    }
    Ok(sockets)
}

/// The socket that already serves an address: a renamed listener keeps it; port 0 belongs to its name.
fn reusable(previous: &BoundSockets, name: &ListenerName, wanted: SocketAddr) -> Option<Arc<BoundSocket>> {
    if wanted.port() == 0 {
        return previous.get(name).filter(|socket| socket.bind == wanted).cloned();
    }
    previous.values().find(|socket| socket.bind == wanted).cloned()
}

/// Whether one of our own sockets, about to go or not, stands in the way of `wanted`.
fn overlaps(own: SocketAddr, wanted: SocketAddr) -> bool {
    own.port() == wanted.port()
        && (own.ip() == wanted.ip() || own.ip().is_unspecified() || wanted.ip().is_unspecified())
}

impl BoundSocket {
    fn open(wanted: SocketAddr, workers: usize, ours: bool) -> std::io::Result<Self> {
        // Without SO_REUSEPORT the kernel says whether the port is free; with it, another process of the same user
        // would silently share it. Port 0 never shares, and a port that is ours already cannot be asked for so.
        if wanted.port() != 0 && !ours {
            drop(socket(wanted, false)?);
        }
        let mut address = wanted;
        let mut per_worker = Vec::with_capacity(workers);
        for _ in 0..workers {
            let socket = socket(address, true)?;
            address = local_address(&socket)?;
            socket.listen(BACKLOG_MAX)?;
            per_worker.push(Mutex::new(Some(TcpListener::from(socket))));
        }
        Ok(Self { bind: wanted, address, per_worker: per_worker.into(), connections: AtomicUsize::new(0) })
    }
}

fn socket(address: SocketAddr, reuse_port: bool) -> std::io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    // Answers are written whole; waiting for more to send would only delay their ends. Accepted sockets inherit it.
    socket.set_tcp_nodelay(true)?;
    if reuse_port {
        socket.set_reuse_port(true)?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

fn local_address(socket: &Socket) -> std::io::Result<SocketAddr> {
    socket.local_addr()?.as_socket().ok_or_else(|| std::io::Error::other("the kernel bound no internet address"))
}
