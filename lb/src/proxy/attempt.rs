//! One attempt: a connection to the chosen target, and the request over it until the head of the answer is there.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use super::account::Account;
use super::client::Client;
use super::desk::Desk;
use super::door::Front;
use super::error::Failure;
use super::exchange::{Exchange, Upload};
use super::retry::Chosen;
use crate::state::Outcome;
use crate::stream::Stream;
use crate::telemetry::CodeClass;
use crate::upstream::{ConnectError, Link};

/// A target whose answer has begun.
pub(super) struct Reached {
    /// By which snapshot it was chosen.
    pub(super) front: Rc<Front>,
    pub(super) link: Link,
    pub(super) upload: Upload,
}

/// Sends the request to one target. What is in flight there is held by the client's tether from here on.
pub(super) async fn attempt<S: Stream>(
    client: &mut Client<S>,
    desk: &mut Desk,
    account: &mut Account,
    chosen: Chosen,
    is_repeated: bool,
) -> Result<Reached, Failure> {
    let Chosen { front, in_flight, address } = chosen;
    let (pool, backend) = (&front.frontend.pool, in_flight.backend());
    let cells = front.group_cells(client.local.worker);
    // What must not be sent twice is worth a system call that shows whether the target has just closed.
    let thoroughly = !desk.request.method.is_idempotent();
    // A request that failed once goes over a new connection: old ones may have died together.
    let idle = if is_repeated { None } else { client.take_link(pool, backend, address, thoroughly) };
    let backend = idle.is_none().then(|| Arc::clone(backend));
    client.tether.hold(in_flight);
    let mut link = match (idle, backend) {
        (Some(link), _) => link,
        (None, backend) => {
            let started = Instant::now();
            let greeting = client.greeting(&pool.group);
            let connecting = backend.map(|backend| Box::pin(client.local.connect(pool, backend, address, &greeting)));
            let Some(connecting) = connecting else { return Err(Failure::NoTarget) };
            let connected = connecting.await.map_err(|error| connect_failure(&error));
            let is_failed = connected.as_ref().is_err_and(|failure| failure.of_connection().is_some());
            cells.failed_connects.add(u64::from(is_failed));
            let link = connected?;
            account.connect = Some(started.elapsed());
            link
        }
    };
    let mut exchange = Exchange::new(client, desk, &mut link, &front, Upload::Sending);
    let answered = exchange.answer().await;
    let (upload, sent_at) = (exchange.upload, exchange.sent_at);
    let now = Instant::now();
    answered.inspect_err(|failure| account.remains_unanswered(*failure, sent_at, now))?;
    let status = desk.response.status;
    account.is_answered(status, sent_at, now);
    let waited = now.saturating_duration_since(sent_at.unwrap_or(now));
    cells.target_response.observe(waited);
    cells.answers.add(CodeClass::of(status));
    link.backend.metrics.answered(client.local.worker, CodeClass::of(status));
    let outcome = if status < 500 { Outcome::Answered } else { Outcome::Error };
    // Who answered before it had the whole request has not shown how long it takes.
    if sent_at.is_some() || outcome == Outcome::Error {
        pool.balancer.learn(&link.backend, outcome, waited, now);
    }
    Ok(Reached { front, link, upload })
}

fn connect_failure(error: &ConnectError) -> Failure {
    match error {
        ConnectError::Failed(..) => Failure::ConnectRefused,
        ConnectError::TimedOut(_) | ConnectError::HandshakeTimedOut(_) => Failure::ConnectTimedOut,
        ConnectError::Unsecured(_, fault, _) => Failure::Unsecured(*fault),
        ConnectError::Exhausted(..) => Failure::Exhausted,
    }
}
