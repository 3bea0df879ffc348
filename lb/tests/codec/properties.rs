//! What holds for every input, not only for those somebody thought of.

use lb::http1::{
    CHUNK_END, CHUNK_PREFIX_BYTES_MAX, ChunkedDecoder, HeadLimits, Parsed, Peer, RequestContext, RequestEdits,
    RequestHead, ResponseEdits, ResponseFraming, ResponseHead, Version, WrittenFraming, chunk_prefix, parse_request,
    parse_response, write_last_chunk, write_request_head, write_response_head,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::{GET, OURS, edits, request, response};

/// Names and values among which accepted, refused, dropped and rewritten ones meet often.
fn field_line() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        select(vec![
            "Host",
            "Content-Length",
            "Transfer-Encoding",
            "Connection",
            "Upgrade",
            "TE",
            "Trailer",
            "Expect",
            "Cookie",
            "X-Forwarded-For",
            "X-Forwarded-Proto",
            "X-Forwarded-Port",
            "Forwarded",
            "X_Forwarded_For",
            "Content_Length",
            "Keep-Alive",
            "Proxy-Connection",
            "X-A",
            "Accept",
        ])
        .prop_map(str::to_string),
        "[a-zA-Z0-9_-]{1,12}",
    ];
    let value = prop_oneof![
        select(vec![
            "",
            "a",
            "example.com",
            "a:80",
            "0",
            "5",
            "0005",
            "5,5",
            "chunked",
            "gzip",
            "close",
            "keep-alive, X-A",
            "Host",
            "X-Forwarded-For",
            "upgrade",
            "websocket",
            "100-continue",
            "10.0.0.1, 10.0.0.2",
        ])
        .prop_map(str::to_string),
        "[ -~\t]{0,24}",
    ];
    let colon = select(vec![": ", ": ", ": ", ":", ":\t", ":  ", " : "]);
    let end = select(vec!["\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\r\n", " \r\n", "\n"]);
    (name, colon, value, end).prop_map(|(name, colon, value, end)| format!("{name}{colon}{value}{end}"))
}

fn request_text() -> impl Strategy<Value = String> {
    let method = select(vec!["GET", "GET", "HEAD", "POST", "OPTIONS", "CONNECT", "PURGE", "get"]);
    let target = prop_oneof![
        select(vec![
            "/",
            "/a?b",
            "*",
            "http://h.test",
            "http://h.test:1/x",
            "https://h?q",
            "http://u@h/",
            "h:80",
            "//x"
        ])
        .prop_map(str::to_string),
        "/[!-~]{0,20}",
    ];
    let version = select(vec!["HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/2.0", "http/1.1"]);
    let host = select(vec!["Host: a.test\r\n", "Host: a.test\r\n", "Host: a.test\r\n", ""]);
    let body = select(vec!["", "hello", "0\r\n\r\n", "GET / HTTP/1.1\r\nHost: b\r\n\r\n"]);
    (method, target, version, host, vec(field_line(), 0..6), body).prop_map(
        |(method, target, version, host, fields, body)| {
            format!("{method} {target} {version}\r\n{host}{}\r\n{body}", fields.concat())
        },
    )
}

fn response_text() -> impl Strategy<Value = String> {
    let line = select(vec![
        "HTTP/1.1 200 OK",
        "HTTP/1.1 200",
        "HTTP/1.0 200 OK",
        "HTTP/1.1 204 No",
        "HTTP/1.1 304 Same",
        "HTTP/1.1 100 Go",
        "HTTP/1.1 101 Switch",
        "HTTP/1.1 999 \u{e9}",
        "HTTP/1.1 42 No",
        "HTTP/1.1 500 \tOops ",
    ]);
    let body = select(vec!["", "hello", "0\r\n\r\n"]);
    (line, vec(field_line(), 0..6), body)
        .prop_map(|(line, fields, body)| format!("{line}\r\n{}\r\n{body}", fields.concat()))
}

/// Text with some bytes overwritten.
fn damaged(text: impl Strategy<Value = String>) -> impl Strategy<Value = Vec<u8>> {
    (text, vec((any::<Index>(), any::<u8>()), 0..4)).prop_map(|(text, damages)| {
        let mut bytes = text.into_bytes();
        for (at, byte) in damages {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes
    })
}

/// Offsets at which `bytes` arrive in pieces, the end among them.
fn cuts(bytes: &[u8], at: &[Index]) -> Vec<usize> {
    let mut cuts: Vec<usize> = at.iter().map(|at| at.index(bytes.len() + 1)).chain([bytes.len()]).collect();
    cuts.sort_unstable();
    cuts
}

/// All that a parsed request says, for comparing two of them.
fn meaning(head: &RequestHead) -> String {
    format!(
        "{:?} {:?} {:?} {:?} {:?} {:?} {:?} {} {} {} {}",
        head.method,
        head.target,
        head.form,
        head.version,
        head.fields,
        head.framing,
        head.host,
        head.keep_alive,
        head.expect_continue,
        head.upgrade_websocket,
        head.head_len
    )
}

/// Checks what must hold for every head that is accepted: no line end but CR LF, no other control character but tab.
fn assert_clean(head: &[u8]) {
    let head = String::from_utf8_lossy(head).replace("\r\n", "");
    assert!(!head.contains(|each: char| each.is_ascii_control() && each != '\t'), "{head:?}");
}

/// Checks that a head is in the one form we write, by reading it as plainly as can be.
fn assert_canonical(head: &str, is_request: bool) {
    let lines: Vec<&str> = head.strip_suffix("\r\n\r\n").expect("an empty line at the end").split("\r\n").collect();
    let (first, fields) = lines.split_first().expect("a first line");
    let names: Vec<String> = fields
        .iter()
        .map(|line| {
            let (name, value) = line.split_once(": ").expect("`name: value`");
            assert!(!name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':'), "{line:?}");
            assert_eq!(value, value.trim_matches([' ', '\t']), "{line:?}");
            assert!(!value.contains(['\r', '\n', '\0']), "{line:?}");
            name.to_ascii_lowercase()
        })
        .collect();
    let count = |name: &str| names.iter().filter(|other| *other == name).count();
    assert!(count("content-length") + count("transfer-encoding") <= 1, "one framing: {head:?}");
    assert!(count("connection") <= 1 && count("upgrade") <= count("connection"), "{head:?}");
    for gone in ["keep-alive", "proxy-connection", "te", "http2-settings", "content_length", "x_forwarded_for"] {
        assert_eq!(count(gone), 0, "{head:?}");
    }
    if is_request {
        let parts: Vec<&str> = first.split(' ').collect();
        assert!(
            parts.len() == 3 && parts[2] == "HTTP/1.1" && (parts[1].starts_with('/') || parts[1] == "*"),
            "{first}"
        );
        for ours in ["host", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-port"] {
            assert_eq!(count(ours), 1, "exactly one {ours}: {head:?}");
        }
        assert_eq!(count("expect"), 0, "{head:?}");
    } else {
        assert!(first.starts_with("HTTP/1.1 ") && first.as_bytes()[9..12].iter().all(u8::is_ascii_digit), "{first}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn any_bytes_are_survived(bytes in vec(any::<u8>(), 0..300), context in any::<(bool, bool)>()) {
        let _ = request(&bytes);
        let context = RequestContext { is_head: context.0, asked_websocket: context.1 };
        let _ = response(&bytes, context);
    }

    #[test]
    fn damaged_requests_are_the_same_in_any_pieces(bytes in damaged(request_text()), at in vec(any::<Index>(), 0..8)) {
        let whole = request(&bytes);
        let mut head = RequestHead::default();
        let mut outcome = Ok(Parsed::Partial);
        for cut in cuts(&bytes, &at) {
            outcome = parse_request(&bytes[..cut], &HeadLimits::default(), &mut head);
            if outcome != Ok(Parsed::Partial) {
                break;
            }
        }
        match (whole, outcome) {
            (Ok(Some(whole)), Ok(Parsed::Complete)) => {
                prop_assert_eq!(meaning(&whole), meaning(&head));
                assert_clean(&bytes[..head.head_len]);
            }
            (Ok(None), Ok(Parsed::Partial)) => {}
            (Err(whole), Err(refusal)) => prop_assert_eq!(whole, refusal),
            // What is wrong may show only when the head is complete; until then it waits, and its limit ends it.
            (Err(_), Ok(Parsed::Partial)) => prop_assert!(!bytes.windows(3).any(|three| three == b"\n\r\n")),
            (whole, outcome) => prop_assert!(false, "whole: {:?}, in pieces: {:?}", whole.map(|_| ()), outcome),
        }
    }

    #[test]
    fn damaged_responses_are_the_same_in_any_pieces(bytes in damaged(response_text()), at in vec(any::<Index>(), 0..8)) {
        let whole = response(&bytes, GET);
        let mut head = ResponseHead::default();
        let mut outcome = Ok(Parsed::Partial);
        for cut in cuts(&bytes, &at) {
            outcome = parse_response(&bytes[..cut], &HeadLimits::default(), GET, &mut head);
            if outcome != Ok(Parsed::Partial) {
                break;
            }
        }
        match (whole, outcome) {
            (Ok(Some(whole)), Ok(Parsed::Complete)) => {
                prop_assert_eq!((whole.status, whole.framing, &whole.fields), (head.status, head.framing, &head.fields));
                assert_clean(&bytes[..head.head_len]);
            }
            (Ok(None), Ok(Parsed::Partial)) => {}
            (Err(whole), Err(refusal)) => prop_assert_eq!(whole, refusal),
            (Err(_), Ok(Parsed::Partial)) => prop_assert!(!bytes.windows(3).any(|three| three == b"\n\r\n")),
            (whole, outcome) => prop_assert!(false, "whole: {:?}, in pieces: {:?}", whole.map(|_| ()), outcome),
        }
    }

    #[test]
    fn what_is_forwarded_is_canonical_and_means_the_same(
        text in request_text(),
        peer in select(vec![Peer::Unchecked, Peer::Untrusted, Peer::Trusted]),
    ) {
        let Ok(Some(head)) = request(&text) else { return Ok(()) };
        let edits = RequestEdits { forwarding: lb::http1::Forwarding { peer, ..OURS }, ..edits(&head) };
        let mut out = Vec::new();
        write_request_head(&mut out, text.as_bytes(), &head, &edits);
        assert_canonical(&String::from_utf8_lossy(&out), true);

        let again = request(&out).expect("what we write, we accept").expect("complete");
        prop_assert_eq!(again.head_len, out.len(), "nothing of it is left over");
        prop_assert_eq!((again.method, again.framing), (head.method, head.framing));
        prop_assert_eq!(again.path(&out), if text.starts_with("OPTIONS http") && again.path(&out) == b"*" {
            b"*"
        } else {
            head.path(text.as_bytes())
        });
        let host = head.host.map_or(edits.host_default.as_bytes(), |host| host.of(text.as_bytes()));
        prop_assert_eq!(again.host.map(|host| host.of(&out)), Some(host));
        prop_assert_eq!(again.upgrade_websocket, head.upgrade_websocket);
        prop_assert!(again.keep_alive && !again.expect_continue);
    }

    #[test]
    fn what_is_answered_is_canonical_and_means_the_same(text in response_text(), is_http10 in any::<bool>()) {
        let Ok(Some(head)) = response(&text, GET) else { return Ok(()) };
        let client = if is_http10 { Version::Http10 } else { Version::Http11 };
        let delivery = head.delivery(client);
        let mut out = Vec::new();
        let connection = if delivery.must_close { lb::http1::Connection::Close } else { lb::http1::Connection::Unsaid };
        let edits = ResponseEdits { framing: delivery.framing, connection, request_id: None, fields: &[] };
        write_response_head(&mut out, text.as_bytes(), &head, &edits);
        assert_canonical(&String::from_utf8_lossy(&out), false);

        let again = response(&out, GET).expect("what we write, we accept").expect("complete");
        prop_assert_eq!((again.head_len, again.status), (out.len(), head.status));
        let framing = match delivery.framing {
            WrittenFraming::Chunked => ResponseFraming::Chunked,
            _ => head.framing,
        };
        prop_assert_eq!(again.framing, if delivery.must_close { ResponseFraming::UntilClose } else { framing });
        prop_assert_eq!(again.keep_alive, !delivery.must_close);
    }

    #[test]
    fn what_is_chunked_comes_out_as_it_was(
        chunks in vec(vec(any::<u8>(), 1..40), 0..8),
        trailer in any::<bool>(),
        at in vec(any::<Index>(), 0..12),
    ) {
        let mut body = Vec::new();
        for chunk in &chunks {
            body.extend_from_slice(chunk_prefix(chunk.len(), &mut [0; CHUNK_PREFIX_BYTES_MAX]));
            body.extend_from_slice(chunk);
            body.extend_from_slice(CHUNK_END);
        }
        let trailers: &[u8] = if trailer { b"X-Sum: 1\r\n" } else { b"" };
        write_last_chunk(&mut body, trailers);
        let whole = body.len();
        body.extend_from_slice(b"0\r\nsurplus");

        let (mut decoder, mut data, mut consumed) = (ChunkedDecoder::new(), Vec::new(), 0);
        for cut in cuts(&body, &at) {
            while consumed < cut && !decoder.is_done() {
                let input = &body[consumed..cut];
                let step = decoder.decode(input).expect("valid");
                prop_assert!(step.consumed > 0);
                data.extend_from_slice(&input[step.data]);
                consumed += step.consumed;
            }
        }
        prop_assert_eq!((data, consumed), (chunks.concat(), whole));
        prop_assert!(decoder.is_done());
        prop_assert_eq!(decoder.trailers(), trailers);
    }

    #[test]
    fn any_chunked_bytes_are_survived_and_nothing_is_made_up(
        bytes in vec(prop_oneof![select(b"0123aF;\r\n\r\nx: ".to_vec()), any::<u8>()], 0..200),
        piece in 1usize..20,
    ) {
        let (mut decoder, mut at, mut data_len) = (ChunkedDecoder::new(), 0, 0);
        while at < bytes.len() && !decoder.is_done() {
            let input = &bytes[at..bytes.len().min(at + piece)];
            let Ok(step) = decoder.decode(input) else { break };
            prop_assert!(step.consumed <= input.len() && step.consumed > 0);
            prop_assert!(step.data.end <= step.consumed && step.data.start <= step.data.end);
            data_len += step.data.len();
            at += step.consumed;
        }
        prop_assert!(data_len <= at);
    }
}
