//! The one table from failures to answers that elbow makes itself.

use std::io::Write;

use super::error::Failure;
use crate::http1::{Connection, FieldFault, RequestRefusal, write_own_response};
use crate::tls::TlsFault;

/// What a client is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// The type for Proxy-Status: one of RFC 9209 where one fits.
    error: &'static str,
    /// Whether trying again soon makes sense.
    retry_after: bool,
}

/// What a client is told of a failure; nothing, when there is nobody to tell or nothing can be told any more.
pub(super) fn answer_to(failure: Failure) -> Option<Answer> {
    let answer = |status, error| Some(Answer { status, error, retry_after: false });
    let come_back = |status, error| Some(Answer { status, error, retry_after: true });
    match failure {
        Failure::Head(refusal) => answer(refusal.status(), head_error(refusal)),
        Failure::Body(_) => answer(400, "http_request_error"),
        Failure::BodyTooLarge => answer(413, "http_request_error"),
        Failure::ClientTooSlow => answer(408, "http_request_error"),
        Failure::ConnectRefused => answer(502, "connection_refused"),
        Failure::ConnectTimedOut => answer(504, "connection_timeout"),
        Failure::Unsecured(TlsFault::Distrusted(_)) => answer(502, "tls_certificate_error"),
        Failure::Unsecured(TlsFault::Refused) => answer(502, "tls_alert_received"),
        Failure::Unsecured(TlsFault::Unable) => answer(500, "proxy_configuration_error"),
        Failure::Unsecured(_) => answer(502, "tls_protocol_error"),
        Failure::Unsent | Failure::Unanswered => answer(502, "connection_terminated"),
        Failure::AnswerTruncated => answer(502, "http_response_incomplete"),
        Failure::AnswerRefused(_) | Failure::AnswerBody(_) => answer(502, "http_protocol_error"),
        Failure::InterimFlood => answer(502, "http_protocol_error"),
        Failure::TargetTimedOut => answer(504, "http_response_timeout"),
        Failure::NoTarget | Failure::BoundElsewhere | Failure::Awaited => answer(503, "destination_unavailable"),
        Failure::BoundToFull | Failure::AllFull | Failure::QueueFull | Failure::WaitedInVain => {
            come_back(503, "connection_limit_reached")
        }
        Failure::TooManyConnections => come_back(503, "connection_limit_reached"),
        Failure::Exhausted => come_back(503, "proxy_internal_error"),
        Failure::Cut => answer(503, "connection_terminated"),
        Failure::ClientLeft | Failure::AnswerUnread => None,
    }
}

fn head_error(refusal: RequestRefusal) -> &'static str {
    match refusal {
        RequestRefusal::Connect => "http_request_denied",
        RequestRefusal::Fields(FieldFault::TooMany | FieldFault::TooLarge) => "http_request_error",
        _ => "http_request_error",
    }
}

impl Answer {
    /// Writes the whole answer: Proxy-Status, the id of the request, and the failure in words.
    pub(super) fn write(
        &self,
        out: &mut Vec<u8>,
        failure: Failure,
        request_id: &[u8],
        connection: Connection,
        is_head: bool,
    ) {
        let mut status = [0; 64];
        let status = text(&mut status, format_args!("elbow; error={}", self.error));
        let mut body = [0; 256];
        let body = text(&mut body, format_args!("elbow: {failure}\n"));
        let fields = [
            ("Proxy-Status", status),
            ("X-Request-Id", request_id),
            ("Content-Type", b"text/plain; charset=utf-8"),
            ("Cache-Control", b"no-store"),
            ("Retry-After", b"1"),
        ];
        let fields = if self.retry_after { &fields[..] } else { &fields[..fields.len() - 1] };
        write_own_response(out, self.status, connection, fields, body, is_head);
    }
}

/// Formats into `room`; what does not fit is left away.
fn text<'a>(room: &'a mut [u8], arguments: std::fmt::Arguments<'_>) -> &'a [u8] {
    let size = room.len();
    let mut rest = &mut room[..];
    let _ = rest.write_fmt(arguments);
    let used = size - rest.len();
    &room[..used]
}
