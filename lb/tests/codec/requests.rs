//! Requests that are refused, by principle, and requests that are understood.

use lb::http1::FieldFault as Fault;
use lb::http1::{
    BodyFraming, FieldKind, HeadLimits, Method, Parsed, RequestHead, RequestRefusal as Refusal, TargetForm, Version,
    is_valid_host, parse_request,
};

use super::{accepted, request};

/// Every one of these with the refusal it must meet. `H` stands for a valid Host line.
#[test]
fn hostile_request_lines_are_refused() {
    let cases: &[(&str, Refusal)] = &[
        ("GET /\r\n\r\n", Refusal::RequestLine),
        ("GET\r\n\r\n", Refusal::RequestLine),
        ("GET  / HTTP/1.1\r\nH", Refusal::RequestLine),
        ("GET /  HTTP/1.1\r\nH", Refusal::RequestLine),
        ("GET\t/ HTTP/1.1\r\nH", Refusal::RequestLine),
        ("GET /\tHTTP/1.1\r\nH", Refusal::RequestLine),
        (" GET / HTTP/1.1\r\nH", Refusal::RequestLine),
        ("GET / HTTP/1.1 \r\nH", Refusal::Fields(Fault::LineEnd)),
        ("GET / HTTP/1.1\nH", Refusal::Fields(Fault::LineEnd)),
        ("GET / HTTP/1.1\rH", Refusal::Fields(Fault::LineEnd)),
        ("GET /a b HTTP/1.1\r\nH", Refusal::RequestLine),
        ("GET /\0 HTTP/1.1\r\nH", Refusal::RequestLine),
        ("GET /\x7f HTTP/1.1\r\nH", Refusal::RequestLine),
        ("GET /\x0b HTTP/1.1\r\nH", Refusal::RequestLine),
        ("GE(T / HTTP/1.1\r\nH", Refusal::RequestLine),
        ("G\0T / HTTP/1.1\r\nH", Refusal::RequestLine),
        ("GET / http/1.1\r\nH", Refusal::RequestLine),
        ("GET / HTTP/1\r\nH", Refusal::RequestLine),
        ("GET / HTTP/1.10\r\nH", Refusal::Fields(Fault::LineEnd)),
        ("GET / HTTP/11.1\r\nH", Refusal::RequestLine),
        ("GET / HTTPS/1.1\r\nH", Refusal::RequestLine),
        ("GET / HTTP/0.9\r\nH", Refusal::Version),
        ("GET / HTTP/1.2\r\nH", Refusal::Version),
        ("GET / HTTP/2.0\r\nH", Refusal::Version),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Refusal::Version),
        ("\nGET / HTTP/1.1\r\nH", Refusal::RequestLine),
        ("\r\n\r\nGET / HTTP/1.1\r\nH", Refusal::RequestLine),
        ("\r\n\nGET / HTTP/1.1\r\nH", Refusal::RequestLine),
        ("\rGET / HTTP/1.1\r\nH", Refusal::Fields(Fault::LineEnd)),
        ("\x16\x03\x01\x02", Refusal::RequestLine),
        ("CONNECT example.com:443 HTTP/1.1\r\nH", Refusal::Connect),
        ("CONNECT / HTTP/1.1\r\nH", Refusal::Connect),
        (&format!("{} / HTTP/1.1\r\nH", "M".repeat(128)), Refusal::MethodTooLong),
    ];
    assert_refused(cases);
}

#[test]
fn hostile_targets_are_refused() {
    let cases: &[(&str, Refusal)] = &[
        ("GET foo HTTP/1.1\r\nH", Refusal::Target),
        ("GET example.com:80 HTTP/1.1\r\nH", Refusal::Target),
        ("GET * HTTP/1.1\r\nH", Refusal::Target),
        ("OPTIONS ** HTTP/1.1\r\nH", Refusal::Target),
        ("OPTIONS *?a HTTP/1.1\r\nH", Refusal::Target),
        ("GET /#top HTTP/1.1\r\nH", Refusal::Target),
        ("GET /caf\u{e9} HTTP/1.1\r\nH", Refusal::Target),
        ("GET ?a=b HTTP/1.1\r\nH", Refusal::Target),
        ("GET ftp://example.com/ HTTP/1.1\r\nH", Refusal::Target),
        ("GET http:/example.com/ HTTP/1.1\r\nH", Refusal::Target),
        ("GET http://example.com/#top HTTP/1.1\r\nH", Refusal::Target),
        ("GET http:// HTTP/1.1\r\nH", Refusal::Host),
        ("GET http:///path HTTP/1.1\r\nH", Refusal::Host),
        ("GET http://user@example.com/ HTTP/1.1\r\nH", Refusal::Host),
        ("GET http://user:secret@example.com/ HTTP/1.1\r\nH", Refusal::Host),
        ("GET http://example.com:port/ HTTP/1.1\r\nH", Refusal::Host),
        ("GET http://exa\\mple.com/ HTTP/1.1\r\nH", Refusal::Host),
        ("GET http://example.com/ HTTP/1.1\r\n\r\n", Refusal::HostMissing),
        ("GET http://example.com/ HTTP/1.1\r\nHost: a b\r\n\r\n", Refusal::Host),
    ];
    assert_refused(cases);
    // Not text at all: bytes beyond ASCII that are no UTF-8.
    assert_eq!(request(b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n").map(|_| ()), Err(Refusal::RequestLine));
}

#[test]
fn hostile_field_lines_are_refused() {
    let cases: &[(&str, Refusal)] = &[
        ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", Refusal::Fields(Fault::Name)),
        ("GET / HTTP/1.1\r\nHost\t: a\r\n\r\n", Refusal::Fields(Fault::Name)),
        ("GET / HTTP/1.1\r\n Host: a\r\n\r\n", Refusal::Fields(Fault::Name)),
        ("GET / HTTP/1.1\r\n\tHost: a\r\n\r\n", Refusal::Fields(Fault::Name)),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n folded\r\n\r\n", Refusal::Fields(Fault::Name)),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n\tfolded\r\n\r\n", Refusal::Fields(Fault::Name)),
        ("GET / HTTP/1.1\r\nHost: a\r\nX:\r\n folded\r\n\r\n", Refusal::Fields(Fault::Name)),
        ("GET / HTTP/1.1\r\nHost: a\r\n: 1\r\n\r\n", Refusal::Fields(Fault::Name)),
        ("GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", Refusal::Fields(Fault::Name)),
        ("GET / HTTP/1.1\r\nHost: a\r\nX Y: 1\r\n\r\n", Refusal::Fields(Fault::Name)),
        ("GET / HTTP/1.1\r\nHost: a\r\nX(Y): 1\r\n\r\n", Refusal::Fields(Fault::Name)),
        ("GET / HTTP/1.1\r\nHost: a\r\nX\0: 1\r\n\r\n", Refusal::Fields(Fault::Name)),
        ("GET / HTTP/1.1\r\nHost: a\r\nX\x0b: 1\r\n\r\n", Refusal::Fields(Fault::Name)),
        ("GET / HTTP/1.1\r\nHost: a\r\nX\u{e9}: 1\r\n\r\n", Refusal::Fields(Fault::Name)),
        ("GET / HTTP/1.1\r\nHost: a\r\nX\rY: 1\r\n\r\n", Refusal::Fields(Fault::Name)),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", Refusal::Fields(Fault::Value)),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", Refusal::Fields(Fault::Value)),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: a\x0bb\r\n\r\n", Refusal::Fields(Fault::Value)),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: a\x7fb\r\n\r\n", Refusal::Fields(Fault::Value)),
        ("GET / HTTP/1.1\r\nHost: a\r\nX:\x01\r\n\r\n", Refusal::Fields(Fault::Value)),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: a\r\r\n\r\n", Refusal::Fields(Fault::Value)),
        ("GET / HTTP/1.1\r\nHost: a\nX: 1\r\n\r\n", Refusal::Fields(Fault::LineEnd)),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: 1\n\r\n", Refusal::Fields(Fault::LineEnd)),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: 1  \n\r\n", Refusal::Fields(Fault::LineEnd)),
        ("GET / HTTP/1.1\r\nHost: a\r\nX:\n\r\n", Refusal::Fields(Fault::LineEnd)),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n\n", Refusal::Fields(Fault::LineEnd)),
        ("GET / HTTP/1.1\r\nHost: a\n\n", Refusal::Fields(Fault::LineEnd)),
        ("GET / HTTP/1.1\n\n", Refusal::Fields(Fault::LineEnd)),
        ("GET / HTTP/1.0\r\n\n", Refusal::Fields(Fault::LineEnd)),
        ("GET / HTTP/1.1\r\nHost: a\r\n\rX", Refusal::Fields(Fault::LineEnd)),
    ];
    assert_refused(cases);
}

#[test]
fn hostile_framing_is_refused() {
    let lengths = ["+5", "-5", "5,5", "5, 5", "0x5", "5 5", "5;", "", "five", "5.0", "1e3", "\u{665}", "5\t5", "'5'"];
    let too_large = ["9223372036854775808", "18446744073709551615", "18446744073709551616", "99999999999999999999999"];
    for value in lengths.iter().chain(&too_large) {
        let raw = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {value}\r\n\r\nhello");
        assert_eq!(request(&raw).map(|_| ()), Err(Fault::ContentLength.into()), "{raw:?}");
    }
    let codings = [
        "xchunked",
        "chunkedx",
        "identity",
        "gzip",
        "gzip, chunked",
        "chunked, identity",
        "chunked, chunked",
        "identity, chunked",
        "chunked,",
        ",chunked",
        "chunked;q=1",
        "\"chunked\"",
        "chunke d",
        "",
        "chunked\u{a0}",
    ];
    for value in codings {
        let raw = format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: {value}\r\n\r\n0\r\n\r\n");
        assert_eq!(request(&raw).map(|_| ()), Err(Fault::TransferCoding.into()), "{raw:?}");
    }
    let cases: &[(&str, Fault)] = &[
        ("Content-Length: 5\r\nContent-Length: 5\r\n", Fault::ContentLengthRepeated),
        ("Content-Length: 5\r\ncontent-length: 6\r\n", Fault::ContentLengthRepeated),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", Fault::TwoFramings),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", Fault::TwoFramings),
        ("Content-Length: 0\r\ntransfer-encoding: CHUNKED\r\n", Fault::TwoFramings),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", Fault::TransferCodingRepeated),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", Fault::TransferCodingRepeated),
        ("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n", Fault::TransferCoding),
        ("Transfer-Encoding:\x0bchunked\r\n", Fault::Value),
        ("Transfer-Encoding: chunked\x0b\r\n", Fault::Value),
        ("Transfer-Encoding : chunked\r\n", Fault::Name),
        ("Transfer-Encoding\r\n: chunked\r\n", Fault::Name),
        ("Transfer-Encoding:\r\n chunked\r\n", Fault::Name),
        ("X: y\nTransfer-Encoding: chunked\r\n", Fault::LineEnd),
        // What Connection says takes neither of them away.
        ("Connection: Content-Length\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n", Fault::TwoFramings),
    ];
    for (lines, fault) in cases {
        let raw = format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n0\r\n\r\n");
        assert_eq!(request(&raw).map(|_| ()), Err((*fault).into()), "{raw:?}");
    }
    let raw = "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    assert_eq!(request(raw).map(|_| ()), Err(Fault::TransferCodingInHttp10.into()));
    // Every refusal of this kind is a 400, and says that it is an attack's kind.
    for fault in [Fault::TwoFramings, Fault::ContentLength, Fault::TransferCoding, Fault::LineEnd] {
        assert_eq!((Refusal::from(fault).status(), Refusal::from(fault).class()), (400, "ambiguous"));
    }
}

#[test]
fn there_is_exactly_one_valid_host() {
    let cases: &[(&str, Refusal)] = &[
        ("GET / HTTP/1.1\r\n\r\n", Refusal::HostMissing),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", Refusal::HostRepeated),
        ("GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n", Refusal::HostRepeated),
        ("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", Refusal::HostRepeated),
        ("GET http://a/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", Refusal::HostRepeated),
        ("GET / HTTP/1.1\r\nHost:\r\n\r\n", Refusal::Host),
        ("GET / HTTP/1.1\r\nHost: a.com, b.com\r\n\r\n", Refusal::Host),
    ];
    assert_refused(cases);
    let invalid = [
        "",
        " ",
        ":80",
        "a b",
        "a/b",
        "a\\b",
        "user@a",
        "a:80:80",
        "a:x",
        "a:-1",
        "a:65536",
        "a:080808",
        "a,b",
        "a?b",
        "a#b",
        "\"a\"",
        "<a>",
        "a|b",
        "a^b",
        "a`b",
        "a{b}",
        "%",
        "%4",
        "%zz",
        "a%2",
        "[::1",
        "::1",
        "[]",
        "[::g]",
        "[::1]x",
        "[::1]:x",
        "[v1.a]",
        "[fe80::1%25eth0]",
        "http://a",
        "caf\u{e9}",
    ];
    for host in invalid {
        assert!(!is_valid_host(host.as_bytes()), "{host:?}");
    }
    let valid = [
        "a",
        "A.example.COM",
        "example.com.",
        "a:80",
        "a:",
        "1.2.3.4:65535",
        "[::1]",
        "[::1]:8080",
        "a_b",
        "%41b:1",
        "x~!$&'()*+;=",
    ];
    for host in valid {
        assert!(is_valid_host(host.as_bytes()), "{host:?}");
    }
}

#[test]
fn methods_and_targets_are_understood() {
    let raw = "GET /a/b?c=d HTTP/1.1\r\nHost: example.com:80\r\n\r\nnext";
    let head = accepted(raw);
    assert_eq!((head.method, head.version, head.form), (Method::Get, Version::Http11, TargetForm::Origin));
    assert_eq!(head.path_and_query.of(raw.as_bytes()), b"/a/b?c=d");
    assert_eq!(head.path(raw.as_bytes()), b"/a/b");
    assert_eq!(head.host.map(|host| host.of(raw.as_bytes())), Some(&b"example.com:80"[..]));
    assert_eq!(&raw[head.head_len..], "next");

    let raw = "GET HTTP://Other.test:81?q HTTP/1.1\r\nHost: example.com\r\n\r\n";
    let head = accepted(raw);
    assert_eq!((head.form, head.path(raw.as_bytes())), (TargetForm::Absolute, &b"/"[..]));
    assert_eq!(head.host.map(|host| host.of(raw.as_bytes())), Some(&b"Other.test:81"[..]), "the authority wins");

    assert_eq!(accepted("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").form, TargetForm::Asterisk);
    assert_eq!(accepted("get / HTTP/1.1\r\nHost: a\r\n\r\n").method, Method::Other, "methods are case-sensitive");
    assert_eq!(accepted("GET / HTTP/1.0\r\n\r\n").host, None);
    assert_eq!(accepted("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n").head_len, 29, "one empty line before is forgiven");
    assert_eq!(accepted("GET /{a}|\"b\"^`<>\\ HTTP/1.1\r\nHost: a\r\n\r\n").form, TargetForm::Origin);

    let idempotent = |method: &str| accepted(format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n")).method.is_idempotent();
    assert!(["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"].into_iter().all(idempotent));
    assert!(!["POST", "PATCH", "PURGE", "get"].into_iter().any(idempotent));
}

#[test]
fn bodies_connections_and_expectations_are_understood() {
    let framing = |lines: &str| accepted(format!("PUT / HTTP/1.1\r\nHost: a\r\n{lines}\r\n")).framing;
    assert_eq!(framing(""), BodyFraming::None);
    assert_eq!(framing("content-LENGTH: \t 0042 \t\r\n"), BodyFraming::Length(42));
    assert_eq!(framing("Content-Length: 9223372036854775807\r\n"), BodyFraming::Length(i64::MAX as u64));
    assert_eq!(framing("Transfer-Encoding: Chunked\r\n"), BodyFraming::Chunked);
    assert_eq!(
        framing("Content_Length: 5\r\nTransfer_Encoding: chunked\r\n"),
        BodyFraming::None,
        "aliases frame nothing"
    );

    let keeps =
        |version: &str, lines: &str| accepted(format!("GET / HTTP/{version}\r\nHost: a\r\n{lines}\r\n")).keep_alive;
    assert!(keeps("1.1", "") && keeps("1.1", "Connection: keep-alive\r\n") && keeps("1.1", "Connection: ,x,\r\n"));
    assert!(!keeps("1.1", "Connection: Close\r\n") && !keeps("1.1", "Connection: a\r\nConnection: b , close\r\n"));
    assert!(!keeps("1.0", "") && keeps("1.0", "Connection: Keep-Alive\r\n"));
    assert!(!keeps("1.0", "Connection: keep-alive, close\r\n") && !keeps("1.0", "Proxy-Connection: keep-alive\r\n"));

    let expects = |version: &str, lines: &str| {
        accepted(format!("PUT / HTTP/{version}\r\nHost: a\r\nExpect: 100-Continue\r\n{lines}\r\n")).expect_continue
    };
    assert!(expects("1.1", "Content-Length: 1\r\n") && expects("1.1", "Transfer-Encoding: chunked\r\n"));
    assert!(
        !expects("1.1", "") && !expects("1.1", "Content-Length: 0\r\n") && !expects("1.0", "Content-Length: 1\r\n")
    );
}

#[test]
fn only_a_websocket_is_an_upgrade() {
    let upgrades = |line: &str, lines: &str| accepted(format!("{line}\r\nHost: a\r\n{lines}\r\n")).upgrade_websocket;
    let handshake = "Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n";
    assert!(upgrades("GET /chat HTTP/1.1", handshake));
    assert!(!upgrades("POST /chat HTTP/1.1", handshake) && !upgrades("GET /chat HTTP/1.0", handshake));
    assert!(!upgrades("GET / HTTP/1.1", &format!("{handshake}Content-Length: 3\r\n")), "a handshake has no body");
    for lines in [
        "Upgrade: websocket\r\n",
        "Connection: upgrade\r\n",
        "Connection: upgrade\r\nUpgrade: h2c\r\n",
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n",
        "Connection: upgrade\r\nUpgrade: websocket, h2c\r\n",
        "Connection: upgrade\r\nUpgrade: h2c\r\nUpgrade: websocket\r\n",
        "Connection: upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n",
    ] {
        assert!(!upgrades("GET / HTTP/1.1", lines), "{lines:?}");
    }
}

#[test]
fn fields_are_known_by_name_in_any_case() {
    let kind = |name: &str| accepted(format!("GET / HTTP/1.1\r\nHost: a\r\n{name}: x\r\n\r\n")).fields[1].kind;
    for (name, expected) in [
        ("keep-ALIVE", FieldKind::HopByHop),
        ("proxy-connection", FieldKind::HopByHop),
        ("TE", FieldKind::HopByHop),
        ("http2-settings", FieldKind::HopByHop),
        ("x-forwarded-FOR", FieldKind::XForwardedFor),
        ("X-Forwarded-Proto", FieldKind::XForwardedProto),
        ("X-Forwarded-Port", FieldKind::XForwardedPort),
        ("X-Forwarded-Host", FieldKind::Forwarding),
        ("X-Forwarded-A", FieldKind::Forwarding),
        ("Forwarded", FieldKind::Forwarding),
        ("Trailer", FieldKind::Trailer),
        ("cookie", FieldKind::Cookie),
        ("Content_Length", FieldKind::FramingAlias),
        ("transfer_encoding", FieldKind::FramingAlias),
        ("Transfer.Encoding", FieldKind::FramingAlias),
        ("Transfer---Encoding", FieldKind::FramingAlias),
        ("content-length_", FieldKind::FramingAlias),
        ("_Content-Length", FieldKind::FramingAlias),
        ("Con-tent-Len-gth", FieldKind::FramingAlias),
        ("Content-Lengths", FieldKind::Other),
        ("Content-Disposition", FieldKind::Other),
        ("X_Forwarded-For", FieldKind::Aliasing),
        ("x_forwarded_proto", FieldKind::Aliasing),
        ("X-Forwarded_Anything", FieldKind::Aliasing),
        ("Proxy_Connection", FieldKind::Aliasing),
        ("x-request-ID", FieldKind::RequestId),
        ("X_Request_Id", FieldKind::Aliasing),
        ("X-Request-Ids", FieldKind::Other),
        ("User_Id", FieldKind::Other),
        ("Content-Lengths", FieldKind::Other),
        ("XContent-Length", FieldKind::Other),
        ("Contentxlength", FieldKind::Other),
        ("X-Forwarder-For", FieldKind::Other),
        ("X-Requested-With", FieldKind::Other),
    ] {
        assert_eq!(kind(name), expected, "{name}");
    }
}

#[test]
fn an_id_of_a_request_can_be_typed_and_is_the_only_one() {
    let id = |lines: &str| {
        let raw = format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
        accepted(&raw).request_id.map(|id| String::from_utf8_lossy(id.of(raw.as_bytes())).into_owned())
    };
    let longest = "x".repeat(128);
    for good in ["a", "4fd1-c0ffee", "!\"#$%&'()*+,/:;<=>?@[\\]^_`{|}~", &longest] {
        assert_eq!(id(&format!("x-request-id: {good}\r\n")).as_deref(), Some(good));
    }
    for bad in ["", "a b", "a\tb", "\u{e9}", &format!("{longest}x"), "a\r\nX-Request-Id: a", "a\r\nx-request-id: b"] {
        assert_eq!(id(&format!("X-Request-Id: {bad}\r\n")), None, "{bad:?}");
    }
    assert_eq!(id(""), None);
    assert_eq!(id("X-Request-Id: a\r\nConnection: x-request-id\r\n").as_deref(), Some("a"), "it is ours to judge");
}

/// Checks each case, whole and byte by byte.
fn assert_refused(cases: &[(&str, Refusal)]) {
    for (raw, refusal) in cases {
        let raw = match raw.strip_suffix('H') {
            Some(line) => format!("{line}Host: example.com\r\n\r\n"),
            None => (*raw).to_string(),
        };
        assert_eq!(request(&raw).map(|_| ()), Err(*refusal), "{raw:?}");
        let mut head = RequestHead::default();
        let mut trickle =
            (0..=raw.len()).map(|len| parse_request(&raw.as_bytes()[..len], &HeadLimits::default(), &mut head));
        let outcome = trickle.find(|outcome| *outcome != Ok(Parsed::Partial));
        let is_closed = raw.contains("\n\r\n") || raw.contains("\n\n");
        assert!(outcome == Some(Err(*refusal)) || (outcome.is_none() && !is_closed), "{raw:?}: {outcome:?}");
    }
}
