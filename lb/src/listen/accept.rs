//! Accepting the connections of one listener on one worker.

use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use rustix::net::{SocketFlags, acceptfrom_with};
use tokio::io::unix::AsyncFd;

use super::BoundSocket;
use super::accepted::Accepted;
use super::limits::{Admitted, ConnectionLimit, Refusing};
use super::preamble;
use crate::l4;
use crate::model::{Listener, ListenerProtocol, ProxyProtocol};
use crate::proxy::{Arrival, Door, Local, refuse, secure, serve, serve_secure};
use crate::stream::{Stream, make_drop_reset};

/// How long to wait when the process has no file descriptor or memory left for another connection.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// Accepts until the door is closed, then what the kernel has queued already, and ends.
pub(super) async fn accept(
    listening: AsyncFd<TcpListener>,
    socket: Arc<BoundSocket>,
    door: Rc<Door>,
    local: Rc<Local>,
    limit: Arc<ConnectionLimit>,
) {
    let mut was_exhausted = false;
    let _open = local.accepting();
    loop {
        match next(&listening, &door).await {
            Ok(Some((stream, peer))) => {
                was_exhausted = false;
                welcome(stream, peer, &socket, &door, &local, &limit);
            }
            Ok(None) => break,
            Err(error) if is_about_that_connection(&error) => {}
            Err(error) => {
                if !was_exhausted {
                    let listener = &door.front().frontend.listener.name;
                    tracing::error!(%listener, %error, "cannot accept connections; trying again until it works");
                }
                was_exhausted = true;
                tokio::time::sleep(EXHAUSTED_PAUSE).await;
            }
        }
    }
    // The kernel is asked itself, for events may not have told yet of all who wait in front of the closed door.
    while let Ok((stream, peer)) = take(listening.get_ref()) {
        welcome(stream, peer, &socket, &door, &local, &limit);
    }
}

/// The next connection; `None` once the door is closed.
async fn next(listening: &AsyncFd<TcpListener>, door: &Door) -> io::Result<Option<(TcpStream, SocketAddr)>> {
    poll_fn(|cx| {
        if door.is_closed() {
            return Poll::Ready(Ok(None));
        }
        door.wake_when_closed(cx.waker());
        loop {
            if let Ok(taken) = ready!(listening.poll_read_ready(cx))?.try_io(|listening| take(listening.get_ref())) {
                return Poll::Ready(taken.map(Some));
            }
        }
    })
    .await
}

/// Takes a connection from the kernel's queue.
fn take(listening: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    let (stream, peer) = acceptfrom_with(listening, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)?;
    let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok());
    Ok((stream.into(), peer.ok_or(io::ErrorKind::ConnectionAborted)?))
}

/// Serves a connection, or refuses it when there are too many.
fn welcome(
    stream: TcpStream,
    peer: SocketAddr,
    socket: &Arc<BoundSocket>,
    door: &Rc<Door>,
    local: &Rc<Local>,
    limit: &Arc<ConnectionLimit>,
) {
    let front = door.front();
    let is_secure = front.frontend.tls.is_some();
    match Admitted::admit(limit, socket, &front, local) {
        Some(admitted) => {
            let (door, local) = (Rc::clone(door), Rc::clone(local));
            let Listener { protocol, proxy_protocol, .. } = *front.frontend.listener;
            // The connection is known to `local`, which can end it; the event loop takes it along if it stays.
            if (protocol, proxy_protocol) == (ListenerProtocol::Http, ProxyProtocol::Off) {
                // The way of most gets by without a choice on it.
                tokio::task::spawn_local(serve(Accepted::Unwatched(stream), Arrival::of(peer), door, local, admitted));
            } else {
                tokio::task::spawn_local(serve_as(protocol, stream, peer, door, local, admitted));
            }
        }
        None => {
            local.metrics().connections_refused.add(1);
            if front.frontend.listener.protocol.is_stream() {
                // There is no saying it in words.
                make_drop_reset(&stream);
                return;
            }
            // A handshake is too much work only to say no.
            if let Some(refusing) = Refusing::begin(limit).filter(|_| !is_secure) {
                tokio::task::spawn_local(refuse(
                    Accepted::Unwatched(stream),
                    peer,
                    Rc::clone(door),
                    Rc::clone(local),
                    refusing,
                ));
            }
        }
    }
}

/// Finds out whose a connection is, which may be another's than the peer's, and serves it by its protocol.
async fn serve_as(
    protocol: ListenerProtocol,
    stream: TcpStream,
    peer: SocketAddr,
    door: Rc<Door>,
    local: Rc<Local>,
    admitted: Admitted,
) {
    // Whom no event can tell of is not served.
    let Ok(stream) = tokio::net::TcpStream::from_std(stream) else { return };
    let Some(arrival) = preamble::arrival(&stream, peer, &door, &local).await else {
        return stream.reset_on_drop();
    };
    match protocol {
        ListenerProtocol::Http => serve(stream, arrival, door, local, admitted).await,
        ListenerProtocol::Https => serve_secure(stream, arrival, door, local, admitted).await,
        ListenerProtocol::Tcp => l4::serve(stream, arrival, door, local, admitted).await,
        ListenerProtocol::Tls => {
            if let Some(stream) = Box::pin(secure(stream, &door, &local)).await {
                l4::serve(stream, arrival, door, local, admitted).await;
            }
        }
    }
}

/// Whether an error of accept concerns the connection that was to be accepted, and not us.
fn is_about_that_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}
