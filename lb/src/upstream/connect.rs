//! Making a connection to a target.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::{Link, Wire};
use crate::state::Backend;

/// Why there is no connection. No byte has been sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// The target, or the way to it, said no.
    #[error("connecting to {0} failed: {1}")]
    Failed(SocketAddr, #[source] io::Error),
    /// Nothing was said within the time.
    #[error("connecting to {0} took too long")]
    TimedOut(SocketAddr),
    /// It is for lack of file descriptors, ports or memory here.
    #[error("no connection to {0} can be made here: {1}")]
    Exhausted(SocketAddr, #[source] io::Error),
}

/// Connects within `timeout`, and sends `greeting` ahead of everything.
pub(crate) async fn connect(
    backend: Arc<Backend>,
    address: SocketAddr,
    timeout: Duration,
    greeting: &[u8],
) -> Result<Link, ConnectError> {
    let connected = tokio::time::timeout(timeout, open(address, greeting)).await;
    let stream = connected.map_err(|_| ConnectError::TimedOut(address))?.map_err(|error| refused(address, error))?;
    Ok(Link { stream: Wire::Plain(stream), backend, address, is_used: false })
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
