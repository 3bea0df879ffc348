//! What the HTTP/1.1 codec accepts, what it refuses, and the form in which it writes things on.

mod chunked;
mod limits;
mod properties;
mod requests;
mod responses;
mod writing;

use lb::http1::{
    Connection, Forwarding, HeadLimits, Parsed, Peer, RequestContext, RequestEdits, RequestHead, RequestRefusal,
    ResponseHead, ResponseRefusal, parse_request, parse_response, write_request_head,
};

/// The context of a plain GET.
const GET: RequestContext = RequestContext { is_head: false, asked_websocket: false };
const HEAD: RequestContext = RequestContext { is_head: true, asked_websocket: false };
const WEBSOCKET: RequestContext = RequestContext { is_head: false, asked_websocket: true };

const OURS: Forwarding<'_> =
    Forwarding { peer: Peer::Unchecked, client_address: "192.0.2.1", proto: "http", port: "8080", certificate: &[] };

/// Parses a request that is there in full: `None` when it is not.
fn request(raw: impl AsRef<[u8]>) -> Result<Option<RequestHead>, RequestRefusal> {
    let mut head = RequestHead::default();
    let parsed = parse_request(raw.as_ref(), &HeadLimits::default(), &mut head)?;
    Ok((parsed == Parsed::Complete).then_some(head))
}

/// Parses a request that must be accepted.
fn accepted(raw: impl AsRef<[u8]>) -> RequestHead {
    let shown = String::from_utf8_lossy(raw.as_ref()).into_owned();
    request(raw)
        .unwrap_or_else(|refusal| panic!("{refusal}: {shown:?}"))
        .unwrap_or_else(|| panic!("partial: {shown:?}"))
}

/// Parses a response that is there in full: `None` when it is not.
fn response(raw: impl AsRef<[u8]>, context: RequestContext) -> Result<Option<ResponseHead>, ResponseRefusal> {
    let mut head = ResponseHead::default();
    let parsed = parse_response(raw.as_ref(), &HeadLimits::default(), context, &mut head)?;
    Ok((parsed == Parsed::Complete).then_some(head))
}

/// Parses a response that must be accepted.
fn answered(raw: impl AsRef<[u8]>, context: RequestContext) -> ResponseHead {
    let shown = String::from_utf8_lossy(raw.as_ref()).into_owned();
    response(raw, context)
        .unwrap_or_else(|refusal| panic!("{refusal}: {shown:?}"))
        .unwrap_or_else(|| panic!("partial: {shown:?}"))
}

/// The edits of a listener without trusted proxies.
fn edits(head: &RequestHead) -> RequestEdits<'static> {
    RequestEdits {
        forwarding: OURS,
        host_default: "listener.test:8080",
        framing: head.framing.into(),
        connection: if head.upgrade_websocket { Connection::Websocket } else { Connection::Unsaid },
        request_id: None,
        cookies_cut: None,
        fields: &[],
    }
}

/// What a target receives of a request.
fn forwarded_by(peer: Peer, raw: impl AsRef<[u8]>) -> String {
    let head = accepted(raw.as_ref());
    let mut out = Vec::new();
    let edits = RequestEdits { forwarding: Forwarding { peer, ..OURS }, ..edits(&head) };
    write_request_head(&mut out, raw.as_ref(), &head, &edits);
    String::from_utf8(out).expect("the tests that look at text send text")
}

/// What a target receives of a request, where no proxies are trusted.
fn forwarded(raw: impl AsRef<[u8]>) -> String {
    forwarded_by(Peer::Unchecked, raw)
}

/// The values of all lines with this name, in any case.
fn values<'a>(head: &'a str, name: &str) -> Vec<&'a str> {
    let fields = head.split("\r\n").skip(1).filter_map(|line| line.split_once(": "));
    fields.filter(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
}
