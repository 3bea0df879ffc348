//! One client connection: its requests one after the other, its deadlines, and its end.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};

use super::arrival::Arrival;
use super::deadline::Deadline;
use super::desk::Desk;
use super::door::{Door, Front};
use super::error::Failure;
use super::handle::handle;
use super::local::{Local, Tied};
use super::metered::Metered;
use super::tether::Tether;
use crate::http1::{Parsed, parse_request};
use crate::model::{SendProxy, TargetGroup};
use crate::state::{Backend, Pool};
use crate::stream::{Ahead, Stream};
use crate::upstream::{Link, OwnConnections};

/// How long a new connection whose request is not there yet may take when its listener goes.
pub(super) const FIRST_REQUEST_GRACE: Duration = Duration::from_secs(1);
/// How much unread input is read away, so that the answer arrives and not a reset.
const LINGER_BYTES_MAX: u64 = 1024 * 1024;
/// How long that may take.
const LINGER_MAX: Duration = Duration::from_secs(2);

/// A client's connection.
pub(super) struct Client<S> {
    pub(super) io: Metered<S>,
    /// Whose it is.
    pub(super) arrival: Arrival,
    /// The client's address as text, for X-Forwarded-For.
    pub(super) peer_text: Box<str>,
    pub(super) local: Rc<Local>,
    pub(super) tether: Rc<Tether>,
    pub(super) deadline: Deadline,
    /// The client sent its end of stream. It may still read.
    pub(super) has_ended: bool,
    /// Requests begun on it.
    pub(super) requests: u64,
    /// When the first byte of the present request came.
    pub(super) began_at: Instant,
    /// There when bytes of a request have come and it is not worked on yet.
    desk: Option<Box<Desk>>,
    /// Idle connections to targets that know them as this client's.
    own: OwnConnections,
    _tied: Tied,
}

/// What follows a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Another one, if the client likes.
    Request,
    /// The end: all was said.
    Close,
    /// The end, but the client may still be sending: what it sends is read away for a while.
    Linger,
    /// A reset, so that the client does not take what it got for the whole.
    Reset,
}

/// Serves a client until one of the two has had enough. The guard is dropped with it.
pub(crate) async fn serve<S: Stream>(
    stream: S,
    arrival: Arrival,
    door: Rc<Door>,
    local: Rc<Local>,
    _guard: impl Sized,
) {
    let mut client = Client::new(stream, arrival, door, local);
    client.attach().await;
    loop {
        let next = match poll_fn(|cx| client.poll_head(cx)).await {
            Heard::Request => handle(&mut client, None).await,
            Heard::Refused(failure) => handle(&mut client, Some(failure)).await,
            Heard::Nothing => Next::Close,
        };
        if next != Next::Request {
            return client.end(next).await;
        }
    }
}

/// Tells a client that there are too many, without waiting for its request.
pub(crate) async fn refuse<S: Stream>(
    stream: S,
    peer: SocketAddr,
    door: Rc<Door>,
    local: Rc<Local>,
    _guard: impl Sized,
) {
    let mut client = Client::new(stream, Arrival::of(peer), door, local);
    client.attach().await;
    let next = handle(&mut client, Some(Failure::TooManyConnections)).await;
    client.end(next).await;
}

/// How waiting for a request ended.
enum Heard {
    /// With one: its head is on the desk.
    Request,
    /// With one that is not taken.
    Refused(Failure),
    /// With none: the client left, or was silent too long, or is to leave.
    Nothing,
}

impl<S: Stream> Client<S> {
    fn new(stream: S, arrival: Arrival, door: Rc<Door>, local: Rc<Local>) -> Self {
        let now = Instant::now();
        let front = door.front();
        let mut deadline = Deadline::new();
        deadline.set(Some(now + front.frontend.listener.head_timeout));
        let tether = Rc::new(Tether::new(door));
        Self {
            io: Metered::new(stream, front, local.worker),
            peer_text: arrival.source.ip().to_canonical().to_string().into(),
            arrival,
            _tied: local.tie(&tether),
            local,
            tether,
            deadline,
            has_ended: false,
            requests: 0,
            began_at: now,
            desk: None,
            own: OwnConnections::default(),
        }
    }

    /// Lets the worker wake this connection's task.
    async fn attach(&self) {
        poll_fn(|cx| {
            self.tether.attach(cx);
            Poll::Ready(())
        })
        .await;
    }

    /// Whether the connection is to end after the answer in flight.
    pub(super) fn is_leaving(&self) -> bool {
        self.tether.door.is_closed() || self.local.is_stopping()
    }

    /// Ready when a deadline has passed or the connection is cut.
    pub(super) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Failure> {
        if self.tether.is_cut() {
            return Poll::Ready(Failure::Cut);
        }
        self.deadline.poll(cx).map(|()| Failure::ClientTooSlow)
    }

    /// The desk, to work at. It comes back through [`Self::expect_next`], or with the end of the connection.
    pub(super) fn take_desk(&mut self) -> Box<Desk> {
        self.desk.take().unwrap_or_else(|| self.local.shelf.take_desk())
    }

    /// Puts a desk back that is not needed any more.
    pub(super) fn put_desk(&self, desk: Box<Desk>) {
        self.local.shelf.put_desk(desk);
    }

    /// Keeps the desk for the next request if its first bytes are there already, and starts waiting for it.
    pub(super) fn expect_next(&mut self, mut desk: Box<Desk>, front: &Front, now: Instant) {
        desk.next_request(&self.local.shelf);
        self.began_at = now;
        let listener = &front.frontend.listener;
        if desk.up.buffer.is_empty() {
            self.put_desk(desk);
            self.deadline.set(Some(now + listener.idle_timeout));
        } else {
            self.desk = Some(desk);
            self.deadline.set(Some(now + listener.head_timeout));
        }
    }

    /// An idle connection to a target, if there is one that may carry a request of this client.
    pub(super) fn take_link(
        &mut self,
        pool: &Pool,
        backend: &Backend,
        address: SocketAddr,
        thoroughly: bool,
    ) -> Option<Link> {
        match pool.group.send_proxy {
            SendProxy::Off => self.local.idle.take(pool, backend, address, self.began_at, thoroughly),
            SendProxy::V1 | SendProxy::V2 => self.own.take(pool, backend, address, self.began_at, thoroughly),
        }
    }

    /// What a target is sent ahead of everything on a new connection.
    pub(super) fn greeting(&self, group: &TargetGroup) -> Vec<u8> {
        self.arrival.greeting(group.send_proxy, &self.io, || self.local.random())
    }

    /// Keeps a connection to a target for the next request: of any client, or of this one if it is known as its own.
    pub(super) fn keep_link(&mut self, link: Link, group: &TargetGroup, now: Instant) {
        match group.send_proxy {
            SendProxy::Off => self.local.idle.keep(link, group, now),
            SendProxy::V1 | SendProxy::V2 => self.own.keep(link, group, now),
        }
    }

    /// Waits for a complete request head.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Heard> {
        let front = self.tether.door.front();
        self.io.count_for(&front);
        loop {
            if let Some(desk) = &mut self.desk {
                match parse_request(desk.up.buffer.filled(), &front.head_limits, &mut desk.request) {
                    Ok(Parsed::Complete) => return Poll::Ready(Heard::Request),
                    Ok(Parsed::Partial) if self.requests > 0 => {
                        self.deadline.set(Some(self.began_at + front.frontend.listener.head_timeout));
                    }
                    // The first head has its time from accept on, which the deadline knows already.
                    Ok(Parsed::Partial) => {}
                    Err(refusal) => return Poll::Ready(Heard::Refused(Failure::Head(refusal))),
                }
            }
            match self.poll_more(cx) {
                Poll::Ready(true) => {}
                Poll::Ready(false) => return Poll::Ready(Heard::Nothing),
                Poll::Pending => return self.poll_patience(cx),
            }
        }
    }

    /// Reads more of the head; answers with whether something came. An idle connection holds no buffer meanwhile.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        if self.has_ended || ready!(self.io.poll_readable(cx)).is_err() {
            return Poll::Ready(false);
        }
        let mut desk = self.take_desk();
        let buffer = &mut desk.up.buffer;
        let was_empty = buffer.is_empty();
        if buffer.is_full() {
            buffer.grow(buffer.size() * 2);
        }
        let outcome = buffer.poll_fill(cx, &mut self.io);
        if buffer.is_empty() {
            self.put_desk(desk);
        } else {
            self.desk = Some(desk);
        }
        let count = ready!(outcome).unwrap_or(0);
        self.has_ended = count == 0;
        if was_empty && count > 0 {
            self.began_at = Instant::now();
        }
        Poll::Ready(count > 0)
    }

    /// Nothing came: says whether to go on waiting.
    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<Heard> {
        let has_begun = self.desk.is_some();
        if !has_begun && self.is_leaving() {
            if self.requests == 0 {
                self.deadline.hasten(Instant::now() + FIRST_REQUEST_GRACE);
            } else if self.io.look() != Ahead::Bytes {
                return Poll::Ready(Heard::Nothing);
            }
        }
        match self.poll_end(cx) {
            Poll::Ready(Failure::ClientTooSlow) if has_begun => Poll::Ready(Heard::Refused(Failure::ClientTooSlow)),
            Poll::Ready(_) => Poll::Ready(Heard::Nothing),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Ends the connection.
    async fn end(&mut self, next: Next) {
        match next {
            Next::Reset => self.io.reset_on_drop(),
            Next::Linger => {
                self.deadline.set(Some(Instant::now() + LINGER_MAX));
                // An error means that the client is gone already.
                let _ = self.io.shutdown().await;
                let received_max = self.io.received + LINGER_BYTES_MAX;
                poll_fn(|cx| self.poll_linger(cx, received_max)).await;
            }
            Next::Close | Next::Request => self.io.say_goodbye(),
        }
    }

    /// Reads away what the client still sends, until it stops or it is enough.
    fn poll_linger(&mut self, cx: &mut Context<'_>, received_max: u64) -> Poll<()> {
        while self.io.received < received_max {
            let mut waste = [std::mem::MaybeUninit::uninit(); 4096];
            let mut waste = ReadBuf::uninit(&mut waste);
            match Pin::new(&mut self.io).poll_read(cx, &mut waste) {
                Poll::Ready(Ok(())) if !waste.filled().is_empty() => {}
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return self.poll_end(cx).map(drop),
            }
        }
        Poll::Ready(())
    }
}

impl<S> Drop for Client<S> {
    fn drop(&mut self) {
        if let Some(desk) = self.desk.take() {
            self.local.shelf.put_desk(desk);
        }
    }
}
