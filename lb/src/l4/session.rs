//! One client connection of a listener of streams, from its arrival to its end.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use super::account::Account;
use super::choose::{Chosen, choose};
use super::relay::relay;
use crate::proxy::{Arrival, Deadline, Door, Front, InLine, Local, Tether, Tied};
use crate::state::{Failed, Outcome};
use crate::stream::Stream;
use crate::telemetry::EndReason;
use crate::tls::TlsFault;
use crate::upstream::{ConnectError, Link};

/// Targets that are tried for one connection.
const ATTEMPTS_MAX: usize = 3;

/// A client's connection and what the worker has to do with it.
pub(super) struct Session<S> {
    pub(super) io: S,
    pub(super) arrival: Arrival,
    pub(super) local: Rc<Local>,
    pub(super) tether: Rc<Tether>,
    pub(super) deadline: Deadline,
    pub(super) began_at: Instant,
    _tied: Tied,
}

/// Carries a connection until it has ended. The guard is dropped with it.
pub(crate) async fn serve<S: Stream>(
    stream: S,
    arrival: Arrival,
    door: Rc<Door>,
    local: Rc<Local>,
    _guard: impl Sized,
) {
    let mut session = Session::new(stream, arrival, door, local);
    session.attach().await;
    let mut account = Account::open(&session);
    let end = match reach(&mut session, &mut account).await {
        Ok((front, mut link)) => {
            let end = relay(&mut session, &front, &mut link, &mut account).await;
            if end != EndReason::Completed {
                link.stream.reset_on_drop();
            }
            end
        }
        Err(end) => end,
    };
    if end != EndReason::Completed {
        // A client must not take what it got for the whole.
        session.io.reset_on_drop();
    }
    session.tether.release();
    account.close(&session, end);
}

impl<S: Stream> Session<S> {
    fn new(stream: S, arrival: Arrival, door: Rc<Door>, local: Rc<Local>) -> Self {
        let tether = Rc::new(Tether::new(door));
        Self {
            io: stream,
            arrival,
            _tied: local.tie(&tether),
            local,
            tether,
            deadline: Deadline::new(),
            began_at: Instant::now(),
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
}

/// Connects to a target, or to another one where that fails: nothing of what the client sends has been read yet.
async fn reach<S: Stream>(session: &mut Session<S>, account: &mut Account) -> Result<(Rc<Front>, Link), EndReason> {
    let (mut tried, mut in_line) = (Vec::new(), InLine::default());
    loop {
        let chosen = choose(session, &tried, &mut in_line).await?;
        tried.push(chosen.in_flight.backend().id);
        let front = Rc::clone(&chosen.front);
        let cells = front.frontend.pool.metrics.workers.of(session.local.worker);
        let is_repeated = tried.len() > 1;
        let end = match attempt(session, account, chosen).await {
            Ok(link) => {
                cells.retries_succeeded.add(u64::from(is_repeated));
                return Ok((Rc::clone(&front), link));
            }
            Err(error) if failed(&error).is_none() => EndReason::NoTarget,
            Err(_) => {
                cells.connection_errors.add(1);
                cells.failed_connects.add(1);
                EndReason::TargetFailed
            }
        };
        let end = if session.tether.is_cut() { EndReason::Cut } else { end };
        if end != EndReason::TargetFailed || tried.len() == ATTEMPTS_MAX {
            cells.retries_failed.add(u64::from(is_repeated));
            return Err(end);
        }
    }
}

/// Connects to one target. The connection counts as in flight there until the tether lets go.
async fn attempt<S: Stream>(
    session: &mut Session<S>,
    account: &mut Account,
    chosen: Chosen,
) -> Result<Link, ConnectError> {
    let Chosen { front, in_flight, address } = chosen;
    let (pool, worker) = (&front.frontend.pool, session.local.worker);
    let backend = Arc::clone(in_flight.backend());
    account.tries(&front, &backend, address);
    session.tether.hold(in_flight);
    let greeting = session.arrival.greeting(pool.group.send_proxy, &session.io, || session.local.random());
    let started = Instant::now();
    let connected = session.local.connect(pool, Arc::clone(&backend), address, &greeting).await;
    let now = Instant::now();
    let took = now.saturating_duration_since(started);
    let is_worth_a_look = match &connected {
        Ok(_) => {
            pool.balancer.learn(&backend, Outcome::Answered, took, now);
            pool.metrics.workers.of(worker).target_connect.observe(took);
            backend.metrics.connected(worker);
            account.connects(took, now);
            backend.answered(started)
        }
        Err(error) => {
            session.tether.release();
            failed(error).is_some_and(|how| {
                pool.balancer.learn(&backend, Outcome::Failed, took, now);
                backend.failed(how, started, pool.group.ejection.failures)
            })
        }
    };
    if is_worth_a_look {
        session.local.observer.look();
    }
    connected
}

/// How the target, or the way to it, has failed; nothing where it is our own fault.
fn failed(error: &ConnectError) -> Option<Failed> {
    match error {
        ConnectError::Failed(..) => Some(Failed::Refused),
        ConnectError::TimedOut(_) | ConnectError::HandshakeTimedOut(_) => Some(Failed::TimedOut),
        ConnectError::Unsecured(_, TlsFault::Unable, _) | ConnectError::Exhausted(..) => None,
        ConnectError::Unsecured(..) => Some(Failed::Unsecured),
    }
}
