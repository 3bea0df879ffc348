//! What the HTTP/1.1 codec accepts, what it refuses, and the form in which it writes things on.

use lb::http1::{
    Connection, Forwarding, HeadLimits, Parsed, Peer, RequestEdits, RequestHead, parse_request, write_request_head,
};

#[test]
fn a_plain_request_is_written_on() {
    let raw =
        b"GET /a?b HTTP/1.1\r\nHost: example.com\r\nConnection: close, X-Gone\r\nX-Gone: 1\r\nAccept: */*\r\n\r\n";
    let mut head = RequestHead::default();
    assert_eq!(parse_request(raw, &HeadLimits::default(), &mut head), Ok(Parsed::Complete));
    let forwarding = Forwarding { peer: Peer::Unchecked, client_address: "192.0.2.1", proto: "http", port: "80" };
    let edits = RequestEdits {
        forwarding,
        host_default: "",
        framing: head.framing.into(),
        connection: Connection::Unsaid,
        fields: &[],
    };
    let mut out = Vec::new();
    write_request_head(&mut out, raw, &head, &edits);
    let expected = "GET /a?b HTTP/1.1\r\nHost: example.com\r\nAccept: */*\r\nX-Forwarded-For: 192.0.2.1\r\n\
                    X-Forwarded-Proto: http\r\nX-Forwarded-Port: 80\r\n\r\n";
    assert_eq!(String::from_utf8_lossy(&out), expected);
}
