//! The way of one request, from its head to what follows on the connection.

use std::future::poll_fn;
use std::task::Poll;
use std::time::{Duration, Instant};

use super::account::Account;
use super::attempt::Reached;
use super::client::{Client, Next};
use super::desk::Desk;
use super::door::Front;
use super::error::Failure;
use super::exchange::{Exchange, Upload};
use super::redirect::redirect;
use super::request_id::RequestId;
use super::respond::answer_to;
use super::retry::reach;
use super::{challenge, headers, sticky, upgrade};
use crate::http1::{BodyFraming, Connection, Method, RequestRefusal, Unusual};
use crate::model::DesyncMitigation;
use crate::stream::Stream;
use crate::telemetry::NoncompliantClass;
use crate::upstream::Link;

/// How much of a request body that its target did not wait for is read away, to keep the client's connection.
const DRAIN_BYTES_MAX: u64 = 256 * 1024;
/// How long that may take, and how long a client may take to read an answer of ours.
const PATIENCE: Duration = Duration::from_secs(5);

/// Answers one request, be it with the failure that its head already is.
pub(super) async fn handle<S: Stream>(client: &mut Client<S>, refused: Option<Failure>) -> Next {
    let front = client.tether.door.front();
    let mut desk = client.take_desk();
    let given = desk.request.request_id.filter(|_| refused.is_none());
    desk.request_id = given.map_or_else(|| client.local.request_id(), RequestId::Theirs);
    let mut account = Account::open(client, &desk, &front, refused.is_none());
    client.requests += 1;
    let outcome = match refused {
        None => forward(client, &mut desk, &front, &mut account).await,
        Some(failure) => Err(failure),
    };
    if let Some(class) = noncompliance(&desk, &account, outcome.as_ref().err()) {
        front.count_noncompliant(client.local.worker, class);
    }
    let next = match outcome {
        Ok(next) => next,
        Err(failure) => fail(client, &mut desk, &front, &mut account, failure).await,
    };
    client.tether.release();
    let now = account.ended_at.unwrap_or_else(Instant::now);
    account.close(client, &desk, &front, now);
    match next {
        Next::Request => client.expect_next(desk, &front, now),
        _ => client.put_desk(desk),
    }
    next
}

/// The ordinary way, step by step.
async fn forward<S: Stream>(
    client: &mut Client<S>,
    desk: &mut Desk,
    front: &Front,
    account: &mut Account,
) -> Result<Next, Failure> {
    admit(desk, front)?;
    // Before all else: an authority does not follow a redirect to a certificate that is not there yet.
    if client.local.challenges.is_any()
        && let Some(answered) = challenge::answer(client, desk, front, account).await
    {
        return answered;
    }
    if let Some(port) = front.frontend.listener.redirect_to_https {
        return redirect(client, desk, front, account, port).await;
    }
    sticky::recognise(client, desk, front);
    say_continue(client, desk).await?;
    headers::stage_request(desk, front, client)?;
    let reached = reach(client, desk, account).await?;
    sticky::bind(client, desk, &reached);
    let may_keep = may_keep(client, desk, &reached.front);
    let keeps = headers::stage_answer(desk, may_keep)?;
    account.status = Some(desk.response.status);
    if desk.response.is_switching() {
        return upgrade::tunnel(client, desk, reached, account).await;
    }
    deliver(client, desk, reached, account, keeps).await
}

/// Refuses what the head alone shows to be too much, or not usual enough for this listener.
fn admit(desk: &Desk, front: &Front) -> Result<(), Failure> {
    let listener = &front.frontend.listener;
    match desk.request.unusual {
        Some(unusual) if listener.desync_mitigation == DesyncMitigation::Strictest => {
            return Err(Failure::Head(RequestRefusal::Unusual(unusual)));
        }
        _ => {}
    }
    let body_bytes_max = listener.body_bytes_max;
    match desk.request.framing {
        BodyFraming::Length(length) if body_bytes_max > 0 && length > body_bytes_max => Err(Failure::BodyTooLarge),
        _ => Ok(()),
    }
}

/// Tells a client that waits for it to go on with its body. The target is not asked.
async fn say_continue<S: Stream>(client: &mut Client<S>, desk: &mut Desk) -> Result<(), Failure> {
    let has_begun = desk.up.buffer.filled().len() > desk.request.head_len;
    if !desk.request.expect_continue || has_begun {
        return Ok(());
    }
    desk.down.out.head.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
    send_own(client, desk).await
}

/// Whether both connections are to end with the request, since others may see another end of it than we do.
pub(super) fn is_isolated(desk: &Desk, front: &Front) -> bool {
    desk.request.unusual.is_some_and(Unusual::is_ambiguous)
        && front.frontend.listener.desync_mitigation != DesyncMitigation::Monitor
}

/// Whether the connection may carry another request after this one, as far as we are concerned.
pub(super) fn may_keep<S: Stream>(client: &Client<S>, desk: &Desk, front: &Front) -> bool {
    let requests_max = front.frontend.listener.requests_per_connection_max;
    // A client that has ended its side may have sent its next request before.
    let has_more = !client.has_ended || !desk.up.buffer.is_empty();
    !client.is_leaving()
        && !client.local.is_draining()
        && has_more
        && !is_isolated(desk, front)
        && (requests_max == 0 || client.requests < requests_max)
}

/// Delivers the answer that is staged, and sees what becomes of both connections.
async fn deliver<S: Stream>(
    client: &mut Client<S>,
    desk: &mut Desk,
    reached: Reached,
    account: &mut Account,
    keeps: bool,
) -> Result<Next, Failure> {
    let Reached { front, mut link, upload } = reached;
    let mut exchange = Exchange::new(client, desk, &mut link, &front, upload);
    let relayed = exchange.relay().await;
    account.first_sent_at = exchange.first_written_at;
    relayed?;
    let is_uploaded = exchange.finish().await == Upload::Sent;
    client.tether.release();
    let now = Instant::now();
    account.ended_at = Some(now);
    release(client, desk, link, &front, is_uploaded, now);
    if !is_uploaded {
        // The target did not wait for the whole request. Its client may still be busy sending it.
        let is_drained = drain(client, desk).await;
        return Ok(if keeps && is_drained { Next::Request } else { Next::Linger });
    }
    Ok(match keeps {
        true => Next::Request,
        // A client that closes by itself has nothing more to say.
        false if !desk.request.keep_alive || client.has_ended => Next::Close,
        false => Next::Linger,
    })
}

/// Keeps the connection to the target, if it is in a state to carry another request.
fn release<S: Stream>(client: &mut Client<S>, desk: &Desk, link: Link, front: &Front, is_uploaded: bool, now: Instant) {
    let has_surplus = !desk.down.is_drained();
    let may_keep = !client.local.is_stopping() && !is_isolated(desk, front);
    if is_uploaded && desk.response.keep_alive && !has_surplus && may_keep {
        client.keep_link(link, &front.frontend.pool.group, now);
    }
}

/// Reads the rest of a request body away, if it is not much. Answers with whether it is all gone.
async fn drain<S: Stream>(client: &mut Client<S>, desk: &mut Desk) -> bool {
    client.deadline.set(Some(Instant::now() + PATIENCE));
    let read_max = desk.up.read_bytes + DRAIN_BYTES_MAX;
    poll_fn(|cx| match desk.up.poll_discard(cx, &mut client.io, &client.local.shelf, read_max) {
        Poll::Ready(outcome) => Poll::Ready(outcome.is_ok()),
        Poll::Pending => client.poll_end(cx).map(|_| false),
    })
    .await
}

/// Answers with a failure, if nothing of another answer is out and there is somebody to answer.
async fn fail<S: Stream>(
    client: &mut Client<S>,
    desk: &mut Desk,
    front: &Front,
    account: &mut Account,
    failure: Failure,
) -> Next {
    client.tether.release();
    account.fails(failure);
    let is_begun = account.status.is_some() && desk.down.written_bytes > 0;
    let is_torn = desk.down.out.is_torn();
    let answer = answer_to(failure).filter(|_| !is_begun && !is_torn);
    let Some(answer) = answer else {
        // Where the end of the connection is the end of the body, only a reset tells that this is not it.
        return if is_begun && desk.ends_with_connection { Next::Reset } else { Next::Close };
    };
    let is_request_over = account.is_understood && !failure.is_of_request() && desk.up.is_source_done();
    let keeps = is_request_over && desk.request.keep_alive && may_keep(client, desk, front);
    let is_head = account.is_understood && desk.request.method == Method::Head;
    let connection = if keeps { headers::connection(desk.request.version, true) } else { Connection::Close };
    desk.down.clear(&client.local.shelf);
    let id = desk.request_id.bytes(desk.up.buffer.whole());
    answer.write(&mut desk.down.out.head, failure, id, connection, is_head);
    account.status = Some(answer.status);
    front.count_own_answer(client.local.worker, answer.status);
    match send_own(client, desk).await {
        Ok(()) if keeps => Next::Request,
        Ok(()) => Next::Linger,
        Err(_) => Next::Close,
    }
}

/// How far a request was from what it has to be, refused or not.
fn noncompliance(desk: &Desk, account: &Account, failure: Option<&Failure>) -> Option<NoncompliantClass> {
    let class = match failure {
        Some(Failure::Head(refusal)) => refusal.class(),
        Some(Failure::Body(_)) => "ambiguous",
        _ => RequestRefusal::Unusual(desk.request.unusual.filter(|_| account.is_understood)?).class(),
    };
    match class {
        "acceptable" => Some(NoncompliantClass::Acceptable),
        "ambiguous" => Some(NoncompliantClass::Ambiguous),
        "malformed" => Some(NoncompliantClass::Severe),
        _ => None,
    }
}

/// Sends what is staged for the client and is not a target's.
pub(super) async fn send_own<S: Stream>(client: &mut Client<S>, desk: &mut Desk) -> Result<(), Failure> {
    client.deadline.set(Some(Instant::now() + PATIENCE));
    let sent = poll_fn(|cx| match desk.down.poll_write(cx, &mut client.io) {
        Poll::Ready(outcome) => Poll::Ready(outcome.map_err(|_| Failure::ClientLeft)),
        Poll::Pending => client.poll_end(cx).map(|_| Err(Failure::AnswerUnread)),
    });
    sent.await?;
    desk.down.out.clear();
    desk.down.written_bytes = 0;
    Ok(())
}
