//! Answers of targets that are refused, by principle, and answers that are understood.

use lb::http1::FieldFault as Fault;
use lb::http1::{Delivery, ResponseFraming as Framing, ResponseRefusal as Refusal, Version, WrittenFraming};

use super::{GET, HEAD, WEBSOCKET, answered, response};

#[test]
fn hostile_status_lines_are_refused() {
    let cases: &[(&str, Refusal)] = &[
        ("hello\r\n\r\n", Refusal::StatusLine),
        ("<html>", Refusal::StatusLine),
        ("SSH-2.0-OpenSSH_9.6\r\n", Refusal::StatusLine),
        ("HTTP/1.1\r\n\r\n", Refusal::StatusLine),
        ("HTTP/1.1 \r\n\r\n", Refusal::StatusLine),
        ("HTTP/1.1 20\r\n\r\n", Refusal::StatusLine),
        ("HTTP/1.1 20 OK\r\n\r\n", Refusal::StatusLine),
        ("HTTP/1.1 2000 OK\r\n\r\n", Refusal::StatusLine),
        ("HTTP/1.1 2x0 OK\r\n\r\n", Refusal::StatusLine),
        ("HTTP/1.1 +20 OK\r\n\r\n", Refusal::StatusLine),
        ("HTTP/1.1 000 Zero\r\n\r\n", Refusal::StatusLine),
        ("HTTP/1.1 099 Low\r\n\r\n", Refusal::StatusLine),
        ("HTTP/1.1  200 OK\r\n\r\n", Refusal::StatusLine),
        ("HTTP/1.1\t200 OK\r\n\r\n", Refusal::StatusLine),
        ("HTTP/1.1 200\tOK\r\n\r\n", Refusal::StatusLine),
        ("HTTP/1.1 200 O\0K\r\n\r\n", Refusal::StatusLine),
        ("HTTP/1.1 200 O\rK\r\n\r\n", Refusal::StatusLine),
        ("HTTP/1.1 200 O\x1bK\r\n\r\n", Refusal::StatusLine),
        ("HTTP/2.0 200 OK\r\n\r\n", Refusal::StatusLine),
        ("HTTP/0.9 200 OK\r\n\r\n", Refusal::StatusLine),
        ("http/1.1 200 OK\r\n\r\n", Refusal::StatusLine),
        ("ICY 200 OK\r\n\r\n", Refusal::StatusLine),
        (" HTTP/1.1 200 OK\r\n\r\n", Refusal::StatusLine),
        ("\r\nHTTP/1.1 200 OK\r\n\r\n", Refusal::StatusLine),
        ("\nHTTP/1.1 200 OK\r\n\r\n", Refusal::StatusLine),
        ("HTTP/1.1 200 OK\n\r\n", Refusal::Fields(Fault::LineEnd)),
        ("HTTP/1.1 200\n\r\n", Refusal::Fields(Fault::LineEnd)),
        ("HTTP/1.1 200 \n\r\n", Refusal::Fields(Fault::LineEnd)),
        ("HTTP/1.1 200 caf\u{e9}\n\r\n", Refusal::Fields(Fault::LineEnd)),
    ];
    for (raw, refusal) in cases {
        assert_eq!(response(raw, GET).map(|_| ()), Err(*refusal), "{raw:?}");
    }
}

#[test]
fn hostile_fields_are_refused_whatever_the_status() {
    let cases: &[(&str, Fault)] = &[
        ("Content-Length: five\r\n", Fault::ContentLength),
        ("Content-Length: +5\r\n", Fault::ContentLength),
        ("Content-Length: 5,5\r\n", Fault::ContentLength),
        ("Content-Length: 5, 5\r\n", Fault::ContentLength),
        ("Content-Length:\r\n", Fault::ContentLength),
        ("Content-Length: 18446744073709551616\r\n", Fault::ContentLength),
        ("Content-Length: 5\r\nContent-Length: 5\r\n", Fault::ContentLengthRepeated),
        ("Content-Length: 5\r\nContent-Length: 6\r\n", Fault::ContentLengthRepeated),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", Fault::TwoFramings),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", Fault::TwoFramings),
        ("Transfer-Encoding: gzip\r\n", Fault::TransferCoding),
        ("Transfer-Encoding: gzip, chunked\r\n", Fault::TransferCoding),
        ("Transfer-Encoding: chunked, gzip\r\n", Fault::TransferCoding),
        ("Transfer-Encoding: identity\r\n", Fault::TransferCoding),
        ("Transfer-Encoding: xchunked\r\n", Fault::TransferCoding),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", Fault::TransferCodingRepeated),
        ("X : 1\r\n", Fault::Name),
        ("X: 1\r\n folded\r\n", Fault::Name),
        (" X: 1\r\n", Fault::Name),
        ("no colon\r\n", Fault::Name),
        ("X\0: 1\r\n", Fault::Name),
        ("X: \0\r\n", Fault::Value),
        ("X: a\rb\r\n", Fault::Value),
        ("X: 1\nY: 2\r\n", Fault::LineEnd),
        ("X: 1\n", Fault::LineEnd),
    ];
    for (lines, fault) in cases {
        for status in ["200 OK", "204 No Content", "304 Not Modified", "100 Continue", "500 Oops"] {
            for context in [GET, HEAD] {
                let raw = format!("HTTP/1.1 {status}\r\n{lines}\r\n");
                assert_eq!(response(&raw, context).map(|_| ()), Err((*fault).into()), "{raw:?}");
            }
        }
    }
    let raw = "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(response(raw, GET).map(|_| ()), Err(Fault::TransferCodingInHttp10.into()));
}

#[test]
fn protocols_are_switched_only_when_asked_and_only_to_that() {
    let granted = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: WebSocket\r\n\r\n";
    let head = answered(granted, WEBSOCKET);
    assert!(head.is_switching() && !head.is_interim());
    assert_eq!(response(granted, GET).map(|_| ()), Err(Refusal::UnaskedUpgrade));
    for raw in [
        "HTTP/1.1 101 Switching Protocols\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n\r\n",
        "HTTP/1.0 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    ] {
        assert_eq!(response(raw, WEBSOCKET).map(|_| ()), Err(Refusal::UnaskedUpgrade), "{raw:?}");
    }
    assert!(!answered("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", WEBSOCKET).is_switching());
}

#[test]
fn bodies_are_delimited_as_rfc_9112_says() {
    let framing =
        |status: u16, lines: &str, context| answered(format!("HTTP/1.1 {status} X\r\n{lines}\r\n"), context).framing;
    let (length, chunked) = ("Content-Length: 7\r\n", "Transfer-Encoding: chunked\r\n");
    assert_eq!(framing(200, length, GET), Framing::Length(7));
    assert_eq!(framing(200, chunked, GET), Framing::Chunked);
    assert_eq!(framing(200, "", GET), Framing::UntilClose);
    assert_eq!(framing(999, length, GET), Framing::Length(7), "three digits are a status");
    for status in [100, 103, 204, 304] {
        assert_eq!(framing(status, length, GET), Framing::None, "{status}");
        assert_eq!(framing(status, chunked, GET), Framing::None, "{status}");
    }
    for lines in [length, chunked, ""] {
        assert_eq!(framing(200, lines, HEAD), Framing::None, "an answer to HEAD");
    }
    assert!(answered("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n", GET).is_interim());
    let raw = "HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok";
    let head = answered(raw, GET);
    assert_eq!((head.status, head.reason.len(), &raw[head.head_len..]), (200, 0, "ok"), "a missing reason is forgiven");
}

#[test]
fn a_target_keeps_its_connection_unless_it_says_or_shows_otherwise() {
    let keeps = |version: &str, lines: &str| answered(format!("HTTP/{version} 200 OK\r\n{lines}\r\n"), GET).keep_alive;
    let length = "Content-Length: 0\r\n";
    assert!(keeps("1.1", length) && !keeps("1.1", &format!("{length}Connection: close\r\n")));
    assert!(!keeps("1.0", length) && keeps("1.0", &format!("{length}Connection: keep-alive\r\n")));
    assert!(!keeps("1.1", ""), "a body until close");
    assert!(!keeps("1.1", "Connection: keep-alive\r\n"), "a body until close");
}

#[test]
fn each_answer_has_one_way_to_each_client() {
    let delivery = |status: u16, lines: &str, context, client| {
        answered(format!("HTTP/1.1 {status} X\r\n{lines}\r\n"), context).delivery(client)
    };
    let keeps = |framing| Delivery { framing, must_close: false };
    let closes = Delivery { framing: WrittenFraming::None, must_close: true };
    let (length, chunked) = ("Content-Length: 7\r\n", "Transfer-Encoding: chunked\r\n");
    for client in [Version::Http10, Version::Http11] {
        assert_eq!(delivery(200, length, GET, client), keeps(WrittenFraming::Length(7)));
        assert_eq!(delivery(200, length, HEAD, client), keeps(WrittenFraming::Length(7)), "HEAD tells the length");
        assert_eq!(delivery(304, length, GET, client), keeps(WrittenFraming::Length(7)));
        assert_eq!(delivery(200, chunked, HEAD, client), keeps(WrittenFraming::None));
        assert_eq!(delivery(204, "Content-Length: 0\r\n", GET, client), keeps(WrittenFraming::None));
        assert_eq!(delivery(103, length, GET, client), keeps(WrittenFraming::None));
    }
    for lines in [chunked, ""] {
        assert_eq!(delivery(200, lines, GET, Version::Http11), keeps(WrittenFraming::Chunked));
        assert_eq!(delivery(200, lines, GET, Version::Http10), closes);
    }
}
