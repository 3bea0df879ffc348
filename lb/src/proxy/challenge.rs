//! The answer to an authority that looks whether a name is ours (http-01), instead of a target's. Not here: what it
//! looks for (`challenges`).

use super::account::Account;
use super::client::{Client, Next};
use super::desk::Desk;
use super::door::Front;
use super::error::Failure;
use super::handle::{may_keep, send_own};
use super::headers;
use crate::http1::{BodyFraming, Connection, Method, write_own_response};
use crate::stream::Stream;
use crate::telemetry::EndReason;

/// Answers a request for a token that an authority was promised an answer to. None: it is no such request.
pub(super) async fn answer<S: Stream>(
    client: &mut Client<S>,
    desk: &mut Desk,
    front: &Front,
    account: &mut Account,
) -> Option<Result<Next, Failure>> {
    let request = &desk.request;
    let bytes = desk.up.buffer.whole();
    let answer = client.local.challenges.answer_to(request.path_and_query.of(bytes))?;
    let is_head = request.method == Method::Head;
    if !is_head && request.method != Method::Get {
        return None;
    }
    let keeps = request.framing == BodyFraming::None && request.keep_alive && may_keep(client, desk, front);
    let connection = if keeps { headers::connection(request.version, true) } else { Connection::Close };
    let id = desk.request_id.bytes(bytes);
    let fields =
        [("Content-Type", &b"application/octet-stream"[..]), ("X-Request-Id", id), ("Cache-Control", b"no-store")];
    write_own_response(&mut desk.down.out.head, 200, connection, &fields, answer.as_bytes(), is_head);
    desk.up.buffer.consume(request.head_len);
    account.status = Some(200);
    account.end = EndReason::Refused;
    front.count_own_answer(client.local.worker, 200);
    let sent = send_own(client, desk).await;
    Some(sent.map(|()| if keeps { Next::Request } else { Next::Linger }))
}
