//! Making a connection to a target: the socket, what is sent ahead of everything, and TLS where that is spoken.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::{Link, Wire};
use crate::model::Host;
use crate::state::{Backend, Pool};
use crate::tls::{Scratch, TlsFault, Turnstile, originate};

/// Why there is no connection. No byte of the client's has been sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// The target, or the way to it, said no.
    #[error("connecting to {0} failed: {1}")]
    Failed(SocketAddr, #[source] io::Error),
    /// Nothing was said within the time.
    #[error("connecting to {0} took too long")]
    TimedOut(SocketAddr),
    /// The handshake was not done within the time.
    #[error("connecting to {0} took too long: the TLS handshake was not done")]
    HandshakeTimedOut(SocketAddr),
    /// It is connected, and there is no TLS with it.
    #[error("no TLS with {0}: {2}")]
    Unsecured(SocketAddr, TlsFault, String),
    /// It is for lack of file descriptors, ports or memory here.
    #[error("no connection to {0} can be made here: {1}")]
    Exhausted(SocketAddr, #[source] io::Error),
}

/// Connects to a target of a pool within the time its group allows, and sends `greeting` ahead of everything.
pub(crate) async fn connect(
    pool: &Pool,
    backend: Arc<Backend>,
    address: SocketAddr,
    greeting: &[u8],
    scratch: &Rc<Scratch>,
    turnstile: &Turnstile,
) -> Result<Link, ConnectError> {
    let is_connected = Cell::new(false);
    let connecting = async {
        let stream = open(address, greeting).await.map_err(|error| refused(address, error))?;
        is_connected.set(true);
        let Some(originator) = &pool.tls else { return Ok(Wire::Plain(stream)) };
        let host = pool.host_of(&backend).cloned().unwrap_or(Host::Ip(address.ip()));
        let name = originator.name_of(&host, address.ip());
        let secured = originate(stream, originator, name, address, scratch, turnstile).await;
        let stream = secured.map_err(|(fault, why)| ConnectError::Unsecured(address, fault, why))?;
        Ok(Wire::Secure(Box::new(stream)))
    };
    let stream = match tokio::time::timeout(pool.group.connect_timeout, connecting).await {
        Ok(connected) => connected?,
        Err(_) if is_connected.get() && pool.tls.is_some() => return Err(ConnectError::HandshakeTimedOut(address)),
        Err(_) => return Err(ConnectError::TimedOut(address)),
    };
    Ok(Link { stream, backend, address, originator: pool.tls.clone(), is_used: false })
}

async fn open(address: SocketAddr, greeting: &[u8]) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    // Requests are written whole; waiting for more to send would only delay their ends.
    let _ = stream.set_nodelay(true);
    if !greeting.is_empty() {
        stream.write_all(greeting).await?;
    }
    Ok(stream)
}

fn refused(address: SocketAddr, error: io::Error) -> ConnectError {
    use rustix::io::Errno;
    let ours = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM, Errno::ADDRNOTAVAIL];
    match Errno::from_io_error(&error) {
        Some(errno) if ours.contains(&errno) => ConnectError::Exhausted(address, error),
        Some(Errno::TIMEDOUT) => ConnectError::TimedOut(address),
        _ => ConnectError::Failed(address, error),
    }
}
