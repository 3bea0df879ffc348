//! What is said to targets and to clients beside what they say to each other: the two heads, rewritten.

use super::body::Source;
use super::client::Client;
use super::desk::Desk;
use super::door::Front;
use super::error::Failure;
use super::flow::FlowError;
use super::handle::is_isolated;
use crate::http1::{
    Connection, Forwarding, Peer, RequestContext, RequestEdits, ResponseEdits, Version, WrittenFraming,
    write_request_head, write_response_head,
};
use crate::stream::Stream;

/// Stages the request for a target: the rewritten head, and what has come of the body.
pub(super) fn stage_request<S: Stream>(desk: &mut Desk, front: &Front, client: &Client<S>) -> Result<(), Failure> {
    let listener = &front.frontend.listener;
    let request = &desk.request;
    let host_default = match request.host {
        Some(_) => String::new(),
        None => client.io.local_address().map_or_else(String::new, |address| address.to_string()),
    };
    let framing = WrittenFraming::from(request.framing);
    let shown = client.io.secured().and_then(|secured| Some(secured.peer.as_ref()?.fields()));
    let edits = RequestEdits {
        forwarding: Forwarding {
            peer: match &listener.trusted_proxies[..] {
                [] => Peer::Unchecked,
                trusted if trusted.iter().any(|network| network.contains(client.arrival.source.ip())) => Peer::Trusted,
                _ => Peer::Untrusted,
            },
            client_address: &client.peer_text,
            proto: listener.protocol.scheme(),
            port: &front.port,
            certificate: shown.as_ref().map_or(&[], |fields| &fields[..]),
        },
        host_default: &host_default,
        framing,
        connection: match request.upgrade_websocket {
            true => Connection::Websocket,
            false if is_isolated(desk, front) => Connection::Close,
            false => Connection::Unsaid,
        },
        request_id: desk.request_id.ours(),
        cookies_cut: desk.bond.cookies_cut(front),
        fields: &[],
    };
    write_request_head(&mut desk.up.out.head, desk.up.buffer.filled(), request, &edits);
    let head_len = request.head_len;
    desk.up.buffer.consume(head_len);
    desk.up.limit_body(listener.body_bytes_max);
    let begun = desk.up.begin(Source::from(request.framing), framing == WrittenFraming::Chunked, head_len);
    begun.map_err(client_failure)
}

/// What the meaning of an answer depends on.
pub(super) fn context(desk: &Desk) -> RequestContext {
    RequestContext {
        is_head: desk.request.method == crate::http1::Method::Head,
        asked_websocket: desk.request.upgrade_websocket,
    }
}

/// Stages the head of an interim answer for the client.
pub(super) fn stage_interim(desk: &mut Desk) {
    if desk.request.version == Version::Http11 {
        let (framing, connection) = (WrittenFraming::None, Connection::Unsaid);
        let edits = ResponseEdits { framing, connection, request_id: None, fields: &[] };
        let (out, read) = desk.down.head_of();
        write_response_head(out, read, &desk.response, &edits);
    }
    desk.down.consume(desk.response.head_len);
}

/// Stages the target's answer for the client: the rewritten head, and what has come of the body. Answers with
/// whether the client's connection is kept after it.
pub(super) fn stage_answer(desk: &mut Desk, may_keep: bool) -> Result<bool, Failure> {
    let response = &desk.response;
    let delivery = response.delivery(desk.request.version);
    let set_cookies = desk.bond.cookies().map(|cookie| ("Set-Cookie", cookie));
    let set_count = set_cookies.iter().take_while(|(_, cookie)| !cookie.is_empty()).count();
    let keeps = may_keep && desk.request.keep_alive && !delivery.must_close;
    let edits = ResponseEdits {
        framing: delivery.framing,
        connection: if response.is_switching() {
            Connection::Websocket
        } else {
            connection(desk.request.version, keeps)
        },
        request_id: Some(desk.request_id.bytes(desk.up.buffer.whole())),
        fields: &set_cookies[..set_count],
    };
    let (out, read) = desk.down.head_of();
    write_response_head(out, read, response, &edits);
    let (head_len, source) = (response.head_len, Source::from(response.framing));
    desk.ends_with_connection = delivery.must_close;
    desk.down.written_bytes = 0;
    desk.down.consume(head_len);
    let source = if desk.response.is_switching() { Source::UntilClose } else { source };
    let has_chunks_out = delivery.framing == WrittenFraming::Chunked && !matches!(source, Source::Done);
    desk.down.begin(source, has_chunks_out, 0).map_err(target_failure)?;
    Ok(keeps)
}

/// What a client is told of its connection.
pub(super) fn connection(version: Version, keeps: bool) -> Connection {
    match (keeps, version) {
        (false, _) => Connection::Close,
        (true, Version::Http11) => Connection::Unsaid,
        (true, Version::Http10) => Connection::KeepAlive,
    }
}

/// What a broken flow from the client means, as far as it is the client's doing.
pub(super) fn client_failure(error: FlowError) -> Failure {
    match error {
        FlowError::Malformed(refusal) => Failure::Body(refusal),
        FlowError::TooLong => Failure::BodyTooLarge,
        FlowError::Source | FlowError::Truncated | FlowError::Sink => Failure::ClientLeft,
    }
}

/// What a broken flow from the target means, as far as it is the target's doing.
pub(super) fn target_failure(error: FlowError) -> Failure {
    match error {
        FlowError::Malformed(refusal) => Failure::AnswerBody(refusal),
        FlowError::Source | FlowError::Truncated | FlowError::TooLong => Failure::AnswerTruncated,
        FlowError::Sink => Failure::ClientLeft,
    }
}
