//! The form in which heads are written on.

use lb::http1::{
    Connection, FieldFault, Peer, RequestEdits, ResponseEdits, Version, WrittenFraming, write_own_response,
    write_request_head, write_response_head,
};

use super::{GET, HEAD, accepted, answered, edits, forwarded, forwarded_by, values};

const OURS: &str = "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Port: 8080\r\n";

#[test]
fn what_is_in_our_form_already_is_kept_to_the_byte() {
    let raw = "GET /a?b=c HTTP/1.1\r\nHost: example.com\r\nAccept: */*\r\ncookie: a=b; c=d\r\nX-Text: caf\u{e9}\t!\r\n";
    assert_eq!(forwarded(format!("{raw}\r\n")), format!("{raw}{OURS}\r\n"));
}

#[test]
fn what_is_not_in_our_form_is_brought_into_it() {
    let raw = "GET / HTTP/1.1\r\nhost:example.com\r\nX-A: \t 1\t \r\nX-B:2\r\nX-C:\r\nX-D:\t3\r\nX-E: 4 \r\n\r\n";
    let lines = "GET / HTTP/1.1\r\nhost: example.com\r\nX-A: 1\r\nX-B: 2\r\nX-C: \r\nX-D: 3\r\nX-E: 4\r\n";
    assert_eq!(forwarded(raw), format!("{lines}{OURS}\r\n"));
}

#[test]
fn targets_are_written_in_origin_form() {
    let line = |raw: &str| forwarded(raw).split("\r\nX-Forwarded").next().map(str::to_string);
    let cases = [
        ("GET http://b.test/x?y HTTP/1.1\r\nHost: a.test\r\n\r\n", "GET /x?y HTTP/1.1\r\nHost: b.test"),
        ("GET http://b.test:8080 HTTP/1.1\r\nHost: a.test\r\n\r\n", "GET / HTTP/1.1\r\nHost: b.test:8080"),
        ("GET HTTPS://b.test?y HTTP/1.1\r\nHost: b.test\r\n\r\n", "GET /?y HTTP/1.1\r\nHost: b.test"),
        ("OPTIONS http://b.test HTTP/1.1\r\nHost: b.test\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: b.test"),
        ("OPTIONS http://b.test/ HTTP/1.1\r\nHost: b.test\r\n\r\n", "OPTIONS / HTTP/1.1\r\nHost: b.test"),
        ("OPTIONS * HTTP/1.1\r\nHost: a.test\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: a.test"),
        ("GET /x HTTP/1.0\r\n\r\n", "GET /x HTTP/1.1\r\nHost: listener.test:8080"),
        ("GET /x HTTP/1.0\r\nHost: a.test\r\n\r\n", "GET /x HTTP/1.1\r\nHost: a.test"),
        ("GET http://b.test/ HTTP/1.0\r\n\r\n", "GET / HTTP/1.1\r\nHost: b.test"),
        ("\r\nGET /x HTTP/1.1\r\nHost: a.test\r\n\r\n", "GET /x HTTP/1.1\r\nHost: a.test"),
        ("GET //evil.test/x HTTP/1.1\r\nHost: a.test\r\n\r\n", "GET //evil.test/x HTTP/1.1\r\nHost: a.test"),
    ];
    for (raw, expected) in cases {
        assert_eq!(line(raw).as_deref(), Some(expected), "{raw:?}");
    }
}

#[test]
fn fields_of_the_other_connection_go() {
    let raw = "GET / HTTP/1.1\r\nConnection: close, X-One\r\nX-Two: 2\r\nHost: a\r\nKeep-Alive: timeout=5\r\n\
        Proxy-Connection: keep-alive\r\nTE: trailers\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\nX-ONE: 1\r\n\
        Connection: x-two\r\nExpect: 100-continue\r\nTrailer: X-T\r\nContent_Length: 3\r\nTransfer_Encoding: chunked\r\n\
        X_Forwarded_For: 1.2.3.4\r\nX-Three: 3\r\nProxy-Authorization: Basic eA==\r\n\r\n";
    let kept = "GET / HTTP/1.1\r\nHost: a\r\nX-Three: 3\r\nProxy-Authorization: Basic eA==\r\n";
    assert_eq!(forwarded(raw), format!("{kept}{OURS}\r\n"));
}

#[test]
fn connection_options_take_nothing_that_is_ours() {
    let raw = "POST / HTTP/1.1\r\nHost: a\r\nConnection: Host, Content-Length, Transfer-Encoding, X-Forwarded-For, \
        X-Forwarded-Proto, X-Forwarded-Port, Connection, close\r\nContent-Length: 2\r\nX-Forwarded-For: 6.6.6.6\r\n\
        X-Forwarded-Proto: gopher\r\n\r\n";
    for peer in [Peer::Unchecked, Peer::Untrusted, Peer::Trusted] {
        let expected = format!("POST / HTTP/1.1\r\nHost: a\r\n{OURS}Content-Length: 2\r\n\r\n");
        assert_eq!(forwarded_by(peer, raw), expected, "{peer:?}: nominated fields go before ours are added");
    }
}

#[test]
fn forwarding_fields_are_believed_as_far_as_the_peer_is_trusted() {
    let raw = "GET / HTTP/1.1\r\nX-Forwarded-For: 1.1.1.1, 2.2.2.2\r\nHost: a\r\nX-Forwarded-Proto: https\r\n\
        x-forwarded-for: 3.3.3.3\r\nX-Forwarded-Port: 443\r\nX-Forwarded-Host: b\r\nX-Forwarded-For:\r\n\
        Forwarded: for=1.1.1.1\r\nX-Real-IP: 9.9.9.9\r\n\r\n";
    let cases = [
        (Peer::Unchecked, "1.1.1.1, 2.2.2.2, 3.3.3.3, 192.0.2.1", "http", "8080", true),
        (Peer::Untrusted, "192.0.2.1", "http", "8080", false),
        (Peer::Trusted, "1.1.1.1, 2.2.2.2, 3.3.3.3, 192.0.2.1", "https", "443", true),
    ];
    for (peer, forwarded_for, proto, port, keeps_others) in cases {
        let head = forwarded_by(peer, raw);
        assert_eq!(values(&head, "X-Forwarded-For"), [forwarded_for], "{peer:?}");
        assert_eq!(values(&head, "X-Forwarded-Proto"), [proto], "{peer:?}");
        assert_eq!(values(&head, "X-Forwarded-Port"), [port], "{peer:?}");
        assert_eq!(!values(&head, "X-Forwarded-Host").is_empty(), keeps_others, "{peer:?}");
        assert_eq!(!values(&head, "Forwarded").is_empty(), keeps_others, "{peer:?}");
        assert_eq!(values(&head, "X-Real-IP"), ["9.9.9.9"], "{peer:?}");
    }
    let head = forwarded_by(Peer::Trusted, "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto:\r\n\r\n");
    assert_eq!(values(&head, "X-Forwarded-Proto"), ["http"], "a trusted peer that says nothing");
}

#[test]
fn framing_is_written_once_and_by_us() {
    let framing = |lines: &str| {
        let head = forwarded(format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n"));
        let of = |name: &str| values(&head, name).join("|");
        (of("Content-Length"), of("Transfer-Encoding"), of("Trailer"))
    };
    let text = |a: &str, b: &str, c: &str| (a.to_string(), b.to_string(), c.to_string());
    assert_eq!(framing(""), text("", "", ""));
    assert_eq!(framing("CONTENT-LENGTH:\t00012\r\n"), text("12", "", ""));
    assert_eq!(framing("Content-Length: 9223372036854775807\r\n"), text("9223372036854775807", "", ""));
    assert_eq!(framing("Trailer: X-Sum\r\ntransfer-encoding:CHUNKED \r\n"), text("", "chunked", "X-Sum"));
}

#[test]
fn a_websocket_handshake_keeps_its_upgrade_and_no_other_does() {
    let raw = "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    let head = forwarded(raw);
    assert_eq!((values(&head, "Connection"), values(&head, "Upgrade")), (vec!["Upgrade"], vec!["websocket"]));
    assert_eq!(values(&head, "Sec-WebSocket-Key").len(), 1);
    let granted = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n";
    let head = answered(granted, super::WEBSOCKET);
    let edits = ResponseEdits {
        framing: WrittenFraming::None,
        connection: Connection::Websocket,
        request_id: None,
        fields: &[],
    };
    let mut out = Vec::new();
    write_response_head(&mut out, granted.as_bytes(), &head, &edits);
    let expected = "HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    assert_eq!(String::from_utf8_lossy(&out), expected);
}

#[test]
fn fields_can_be_added() {
    let raw = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let head = accepted(raw);
    let mut out = b"before".to_vec();
    let edits = RequestEdits { fields: &[("X-Id", b"7")], connection: Connection::Close, ..edits(&head) };
    write_request_head(&mut out, raw.as_bytes(), &head, &edits);
    let expected = format!("beforeGET / HTTP/1.1\r\nHost: a\r\n{OURS}X-Id: 7\r\nConnection: close\r\n\r\n");
    assert_eq!(String::from_utf8_lossy(&out), expected, "appended to what is there");
}

#[test]
fn an_id_takes_the_place_of_whatever_came_or_what_came_is_passed_on() {
    let raw = "GET / HTTP/1.1\r\nX-Request-Id: a\r\nHost: a\r\nx-request-id: b\r\n\r\n";
    let head = accepted(raw);
    let write = |request_id| {
        let mut out = Vec::new();
        write_request_head(&mut out, raw.as_bytes(), &head, &RequestEdits { request_id, ..edits(&head) });
        String::from_utf8_lossy(&out).into_owned()
    };
    assert_eq!(values(&write(Some(b"ours")), "X-Request-Id"), ["ours"]);
    assert_eq!(values(&write(None), "X-Request-Id"), ["a", "b"]);
    for (lines, expected) in [("", vec!["ours"]), ("x-request-id: theirs\r\n", vec!["theirs"])] {
        let raw = format!("HTTP/1.1 204 No Content\r\n{lines}\r\n");
        let head = answered(&raw, GET);
        let (framing, connection) = (head.delivery(Version::Http11).framing, Connection::Unsaid);
        let mut out = Vec::new();
        let edits = ResponseEdits { framing, connection, request_id: Some(b"ours"), fields: &[] };
        write_response_head(&mut out, raw.as_bytes(), &head, &edits);
        assert_eq!(values(&String::from_utf8_lossy(&out), "X-Request-Id"), expected);
    }
}

#[test]
fn responses_are_written_in_one_form() {
    let write = |raw: &[u8], context, client, connection| {
        let head = answered(raw, context);
        let framing = head.delivery(client).framing;
        let mut out = Vec::new();
        let edits = ResponseEdits { framing, connection, request_id: None, fields: &[("Set-Cookie", b"ELBOW=x")] };
        write_response_head(&mut out, raw, &head, &edits);
        String::from_utf8_lossy(&out).into_owned()
    };
    let raw = "HTTP/1.1 200 Fine  by me\r\nServer: x\r\nConnection: close, X-Gone\r\nX-Gone: 1\r\nKeep-Alive: timeout=5\r\n\
        Content_Length: 9\r\nX-Forwarded-For: z\r\nContent-Length: 0004\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\n\
        Trailer: X-T\r\nHost:  y\r\n\r\n";
    let expected = "HTTP/1.1 200 Fine  by me\r\nServer: x\r\nX-Forwarded-For: z\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\n\
        Host: y\r\nSet-Cookie: ELBOW=x\r\nContent-Length: 4\r\n\r\n";
    assert_eq!(write(raw.as_bytes(), GET, Version::Http11, Connection::Unsaid), expected);

    let raw = b"HTTP/1.0 200 OK\r\n\r\n";
    let expected = "HTTP/1.1 200 OK\r\nSet-Cookie: ELBOW=x\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(write(raw, GET, Version::Http11, Connection::Unsaid), expected);
    let expected = "HTTP/1.1 200 OK\r\nSet-Cookie: ELBOW=x\r\nConnection: close\r\n\r\n";
    assert_eq!(write(raw, GET, Version::Http10, Connection::Close), expected);

    let raw = b"HTTP/1.1 404 \xc3\xa9\xff\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n";
    let expected = "HTTP/1.1 404 \r\nTrailer: X-T\r\nSet-Cookie: ELBOW=x\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(write(raw, GET, Version::Http11, Connection::Unsaid), expected, "obs-text leaves the reason");
    let expected = "HTTP/1.1 404 \r\nSet-Cookie: ELBOW=x\r\nConnection: keep-alive\r\n\r\n";
    assert_eq!(write(raw, HEAD, Version::Http10, Connection::KeepAlive), expected);
}

#[test]
fn answers_of_our_own_are_whole() {
    let mut out = Vec::new();
    let fields: &[(&str, &[u8])] = &[("Proxy-Status", b"elbow; error=http_request_error")];
    write_own_response(&mut out, 400, Connection::Close, fields, b"no\n", false);
    let head = "HTTP/1.1 400 Bad Request\r\nProxy-Status: elbow; error=http_request_error\r\nContent-Length: 3\r\n\
        Connection: close\r\n\r\n";
    assert_eq!(String::from_utf8_lossy(&out), format!("{head}no\n"));
    out.clear();
    write_own_response(&mut out, 400, Connection::Close, fields, b"no\n", true);
    assert_eq!(String::from_utf8_lossy(&out), head);
    assert_eq!(FieldFault::TwoFramings.to_string(), "Transfer-Encoding and Content-Length exclude each other");
}
