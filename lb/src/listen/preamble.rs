//! What may stand ahead of a connection's own bytes: a header of the PROXY protocol, by which a trusted proxy says
//! whose connection it is.
//!
//! It is looked at in the kernel's buffer and taken from there when it is whole, so that not a byte behind it is read:
//! what follows may be HTTP, TLS or anything. Not here: what a header is (`proxy_protocol`).

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use rustix::net::RecvFlags;
use tokio::io::Interest;
use tokio::net::TcpStream;

use crate::model::{Listener, ProxyProtocol};
use crate::proxy::{Arrival, Deadline, Door, Local, Tether};
use crate::proxy_protocol::{HEADER_BYTES_MAX, Header, Parsed, Refusal, parse};
use crate::telemetry::ProxyHeaderFault;

/// How long a connection whose header is not there yet may take when its listener goes.
const GRACE: Duration = Duration::from_secs(1);

/// What stands ahead of a connection.
enum Ahead {
    Header(Header),
    /// No header, but other bytes.
    Other,
    /// Nothing more, and it is no header yet.
    Torn,
    /// Nothing at all: whoever it was has left.
    Nobody,
    Refused(Refusal),
}

/// Whose a connection is; none where that is nobody's who may connect, or nobody is there any more.
pub(super) async fn arrival(
    stream: &TcpStream,
    peer: SocketAddr,
    door: &Rc<Door>,
    local: &Rc<Local>,
) -> Option<Arrival> {
    let front = door.front();
    let listener = &front.frontend.listener;
    let outcome = match (listener.proxy_protocol, is_trusted(listener, peer)) {
        (ProxyProtocol::Off, _) | (ProxyProtocol::Accept, false) => Ok(Some(Arrival::of(peer))),
        (ProxyProtocol::Require, false) => Err(ProxyHeaderFault::Untrusted),
        (asked, true) => match hear(stream, door, local, listener.head_timeout).await {
            None => Err(ProxyHeaderFault::TimedOut),
            Some(Ahead::Header(header)) => Ok(Some(Arrival::named_by(header, peer))),
            Some(Ahead::Other) if asked == ProxyProtocol::Accept => Ok(Some(Arrival::of(peer))),
            Some(Ahead::Other) => Err(ProxyHeaderFault::Missing),
            Some(Ahead::Nobody) => Ok(None),
            Some(Ahead::Torn) => Err(ProxyHeaderFault::Malformed),
            Some(Ahead::Refused(refusal)) => {
                tracing::debug!(%peer, listener = %listener.name, %refusal, "a PROXY protocol header was refused");
                Err(ProxyHeaderFault::Malformed)
            }
        },
    };
    outcome.unwrap_or_else(|fault| {
        front.cells(local.worker).proxy_header_refused(fault);
        None
    })
}

fn is_trusted(listener: &Listener, peer: SocketAddr) -> bool {
    listener.trusted_proxies.iter().any(|network| network.contains(peer.ip()))
}

/// Waits for what stands ahead, as long as it may take.
async fn hear(stream: &TcpStream, door: &Rc<Door>, local: &Rc<Local>, timeout: Duration) -> Option<Ahead> {
    let tether = Rc::new(Tether::new(Rc::clone(door)));
    let _tied = local.tie(&tether);
    let mut deadline = Deadline::new();
    deadline.set(Some(Instant::now() + timeout));
    let mut ahead = pin!(read_ahead(stream));
    poll_fn(|cx| {
        tether.attach(cx);
        if let Poll::Ready(ahead) = ahead.as_mut().poll(cx) {
            return Poll::Ready(Some(ahead));
        }
        if tether.is_cut() {
            return Poll::Ready(Some(Ahead::Nobody));
        }
        if door.is_closed() || local.is_stopping() {
            deadline.hasten(Instant::now() + GRACE);
        }
        deadline.poll(cx).map(|()| None)
    })
    .await
}

/// Reads a header, and nothing where there is none.
async fn read_ahead(stream: &TcpStream) -> Ahead {
    loop {
        // Neither fails but for want of an event loop.
        let Ok(ready) = stream.ready(Interest::READABLE).await else { return Ahead::Nobody };
        let looked = stream.try_io(Interest::READABLE, || match look(stream)? {
            // The kernel's buffer is not empty, but nothing new is to be expected before the next event.
            None if !ready.is_read_closed() => Err(io::ErrorKind::WouldBlock.into()),
            None => Ok(Ahead::Torn),
            Some(ahead) => Ok(ahead),
        });
        match looked {
            Ok(ahead) => return ahead,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return Ahead::Nobody,
        }
    }
}

/// Looks at what has come; none while it may become a header.
fn look(stream: &TcpStream) -> io::Result<Option<Ahead>> {
    let mut bytes = [0; HEADER_BYTES_MAX];
    let (_, count) = rustix::net::recv(stream, &mut bytes[..], RecvFlags::PEEK | RecvFlags::DONTWAIT)?;
    Ok(match parse(&bytes[..count]) {
        _ if count == 0 => Some(Ahead::Nobody),
        Ok(Parsed::Partial) => None,
        Ok(Parsed::Foreign) => Some(Ahead::Other),
        Err(refusal) => Some(Ahead::Refused(refusal)),
        Ok(Parsed::Complete(header, length)) => {
            // It lies there, so it comes in one piece.
            let (_, taken) = rustix::net::recv(stream, &mut bytes[..length], RecvFlags::DONTWAIT)?;
            Some(if taken == length { Ahead::Header(header) } else { Ahead::Torn })
        }
    })
}
