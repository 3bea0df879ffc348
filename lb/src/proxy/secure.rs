//! A client's TLS handshake, before anything is heard of it: how long it may take, who may end it, and what is told
//! of its end. Not here: the handshake itself (`tls`).

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::net::TcpStream;

use super::arrival::Arrival;
use super::client::{FIRST_REQUEST_GRACE, serve};
use super::deadline::Deadline;
use super::door::Door;
use super::local::Local;
use super::tether::Tether;
use crate::telemetry::HandshakeResult;
use crate::tls::{Failed, TlsStream, handshake};

/// What somebody is told who speaks HTTP in the clear where TLS is spoken.
const PLAINTEXT_ANSWER: &[u8] = b"HTTP/1.1 400 Bad Request\r\nProxy-Status: elbow; error=tls_protocol_error\r\n\
    Content-Type: text/plain; charset=utf-8\r\nCache-Control: no-store\r\nContent-Length: 44\r\nConnection: close\r\n\r\n\
    elbow: this port speaks TLS: use https here\n";

/// Serves a client that speaks HTTP over TLS. The guard is dropped with it.
pub(crate) async fn serve_secure(
    stream: TcpStream,
    arrival: Arrival,
    door: Rc<Door>,
    local: Rc<Local>,
    guard: impl Sized,
) {
    if let Some(stream) = Box::pin(secure(stream, &door, &local)).await {
        serve(stream, arrival, door, local, guard).await;
    }
}

/// Shakes hands with a client that has just connected, within the time that a request head may take. Answers with the
/// encrypted connection, or with nothing: then it has ended, and was counted.
pub(crate) async fn secure(stream: TcpStream, door: &Rc<Door>, local: &Rc<Local>) -> Option<TlsStream> {
    let front = door.front();
    let cells = front.cells(local.worker);
    let tether = Rc::new(Tether::new(Rc::clone(door)));
    let _tied = local.tie(&tether);
    let mut limits = Limits { tether, local: Rc::clone(local), deadline: Deadline::new() };
    limits.deadline.set(Some(Instant::now() + front.frontend.listener.head_timeout));
    let terminator = front.frontend.tls.as_ref()?;
    let mut shaking = pin!(handshake(stream, terminator, &local.challenges, &local.scratch, &local.turnstile));
    let shaken = poll_fn(|cx| {
        if let Poll::Ready(outcome) = shaking.as_mut().poll(cx) {
            return Poll::Ready(Some(outcome));
        }
        limits.poll_end(cx).map(|()| None)
    });
    match shaken.await {
        None if limits.tether.is_cut() => cells.handshake_failed(HandshakeResult::Cut),
        None => cells.handshake_failed(HandshakeResult::Timeout),
        Some(Err(Failed { result, stream })) => {
            cells.handshake_failed(result);
            if result == HandshakeResult::Plaintext && !front.frontend.listener.protocol.is_stream() {
                // Who has no room for so little does not read.
                let _ = stream.try_write(PLAINTEXT_ANSWER);
            }
        }
        Some(Ok(stream)) => {
            cells.handshake_succeeded(stream.is_tls13(), stream.is_resumed());
            return Some(stream);
        }
    }
    None
}

/// What ends a handshake from outside.
struct Limits {
    tether: Rc<Tether>,
    local: Rc<Local>,
    deadline: Deadline,
}

impl Limits {
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.tether.attach(cx);
        if self.tether.is_cut() {
            return Poll::Ready(());
        }
        if self.tether.door.is_closed() || self.local.is_stopping() {
            self.deadline.hasten(Instant::now() + FIRST_REQUEST_GRACE);
        }
        self.deadline.poll(cx)
    }
}
