//! What is ambiguous is refused, and what is forwarded is written in one form: request smuggling and response garbage,
//! over real sockets.

use crate::harness::*;

/// Requests that have to be refused with 400 and the connection closed, nothing of them reaching a target. Each is
/// followed on the same connection by a request that would be answered if the first had been taken for something.
const REFUSED: &[(&str, &str)] = &[
    ("no Host", "GET / HTTP/1.1\r\n\r\n"),
    ("two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"),
    ("two Hosts in an absolute target", "GET http://a/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
    ("an empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n"),
    ("a Host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
    ("a Host with a user", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"),
    ("a Host with a space", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
    ("a list of Hosts", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"),
    ("a Host with a bad port", "GET / HTTP/1.1\r\nHost: a:b\r\n\r\n"),
    ("an absolute target with a user", "GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("an absolute target without authority", "GET http:/// HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("a target of another scheme", "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("a target that is none", "GET nowhere HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("a fragment in the target", "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("a space in the target", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("a tab in the request line", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("two spaces in the request line", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("no version", "GET /\r\nHost: a\r\n\r\n"),
    ("HTTP/2.0 in a request line", "GET / HTTP/2.0\r\nHost: a\r\n\r\n"),
    ("HTTP/1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n"),
    ("HTTP/1.10", "GET / HTTP/1.10\r\nHost: a\r\n\r\n"),
    ("http/1.1", "GET / http/1.1\r\nHost: a\r\n\r\n"),
    ("a method that is no token", "G(T / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("the HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ("a TLS hello", "\x16\x03\x01\x02\0\x01\0\x01\r\n\r\n"),
    ("both framings", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    (
        "both framings, reversed",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n",
    ),
    (
        "chunked twice",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    ("chunked twice in a list", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
    ("identity", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n"),
    ("gzip, chunked", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    ("chunked, identity", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"),
    ("a misspelt chunked", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
    ("a quoted chunked", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n"),
    ("chunked with a parameter", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked;a=b\r\n\r\n0\r\n\r\n"),
    ("chunked with a vertical tab", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n"),
    ("an empty Transfer-Encoding", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n0\r\n\r\n"),
    ("chunked in HTTP/1.0", "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("a space before the colon", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n"),
    ("a space before the colon of a length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n\r\nabcde"),
    ("two lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcde"),
    ("two equal lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nabcde"),
    ("a list of lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\nabcde"),
    ("a signed length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nabcde"),
    ("a negative length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\nabcde"),
    ("a hexadecimal length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\nabcde"),
    ("a fractional length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5.0\r\n\r\nabcde"),
    ("an empty length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\nabcde"),
    ("a length with a space in it", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1 0\r\n\r\nabcde"),
    ("a length of 2^64", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551616\r\n\r\nabcde"),
    ("a length beyond any number", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999999\r\n\r\nx"),
    ("a folded header", "GET / HTTP/1.1\r\nHost: a\r\nX-A: b\r\n c\r\n\r\n"),
    ("a folded first header", "GET / HTTP/1.1\r\n Host: a\r\n\r\n"),
    ("a folded Transfer-Encoding", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n"),
    ("a bare LF", "GET / HTTP/1.1\nHost: a\n\n"),
    ("a bare LF within", "GET / HTTP/1.1\r\nHost: a\r\nX-A: b\nX-C: d\r\n\r\n"),
    ("a bare LF before the end", "GET / HTTP/1.1\r\nHost: a\r\nX-A: b\r\n\n"),
    ("a bare CR in a value", "GET / HTTP/1.1\r\nHost: a\r\nX-A: b\rX-C: d\r\n\r\n"),
    ("a bare CR in the request line", "GET /\r HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("a NUL in a value", "GET / HTTP/1.1\r\nHost: a\r\nX-A: b\0c\r\n\r\n"),
    ("a NUL in a name", "GET / HTTP/1.1\r\nHost: a\r\nX\0A: b\r\n\r\n"),
    ("a NUL in the target", "GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("a control character in a value", "GET / HTTP/1.1\r\nHost: a\r\nX-A: b\x01c\r\n\r\n"),
    ("a header without a name", "GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n"),
    ("a header without a colon", "GET / HTTP/1.1\r\nHost: a\r\nnothing\r\n\r\n"),
    ("a name with a space", "GET / HTTP/1.1\r\nHost: a\r\nX A: b\r\n\r\n"),
    ("a name with a quote", "GET / HTTP/1.1\r\nHost: a\r\nX\"A: b\r\n\r\n"),
    ("a name beyond ASCII", "GET / HTTP/1.1\r\nHost: a\r\nX-Ü: b\r\n\r\n"),
];

/// Bodies that are no chunked ones. Their head is fine, so a target may have seen it, but never a whole request.
const BROKEN_CHUNKS: &[(&str, &str)] = &[
    ("no size", "\r\nabc\r\n0\r\n\r\n"),
    ("a size that is no number", "xyz\r\nabc\r\n0\r\n\r\n"),
    ("a signed size", "+3\r\nabc\r\n0\r\n\r\n"),
    ("a negative size", "-3\r\nabc\r\n0\r\n\r\n"),
    ("a size with 0x", "0x3\r\nabc\r\n0\r\n\r\n"),
    ("a size with a space before", " 3\r\nabc\r\n0\r\n\r\n"),
    ("a size of 2^64", "10000000000000000\r\nabc\r\n0\r\n\r\n"),
    ("a size of endless digits", "00000000000000000000000000000000000003\r\nabc\r\n0\r\n\r\n"),
    ("a bare LF after the size", "3\nabc\r\n0\r\n\r\n"),
    ("a bare CR after the size", "3\rabc\r\n0\r\n\r\n"),
    ("a bare LF after the data", "3\r\nabc\n0\r\n\r\n"),
    ("data longer than its size", "3\r\nabcd\r\n0\r\n\r\n"),
    ("a bare LF in an extension", "3;a\nb\r\nabc\r\n0\r\n\r\n"),
    ("a NUL in an extension", "3;a\0b\r\nabc\r\n0\r\n\r\n"),
    ("a bare LF at the end", "3\r\nabc\r\n0\r\n\n"),
    ("a trailer that is no header", "3\r\nabc\r\n0\r\nno trailer\r\n\r\n"),
    ("a folded trailer", "3\r\nabc\r\n0\r\nX-A: b\r\n c\r\n\r\n"),
];

const NEXT: &str = "GET /next HTTP/1.1\r\nHost: next\r\n\r\n";

#[tokio::test]
async fn ambiguous_requests_are_refused_and_reach_nobody() {
    let upstream = Upstream::answering("taken").await;
    let lb = Setup::targets(&[&upstream]).start().await;
    let mut wrong = Vec::new();
    for (what, request) in REFUSED {
        let mut client = lb.connect().await;
        client.send([request.as_bytes(), NEXT.as_bytes()].concat()).await;
        match client.try_response().await {
            Ok(response) if response.status == 400 || (response.status == 505 && what.contains("HTTP/")) => {
                let named = response.header("proxy-status").is_some_and(|value| value.starts_with("elbow; error="));
                if !named || response.header("connection") != Some("close") || response.body.is_empty() {
                    wrong.push(format!("{what}: refused, but so: {:?} {}", response.head.headers, response.text()));
                }
                match client.rest().await {
                    Ok(rest) if rest.is_empty() => {}
                    after => wrong.push(format!("{what}: after the refusal came {after:?}")),
                }
            }
            other => wrong.push(format!("{what}: {:?}", other.map(|response| response.head.first_line))),
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), REFUSED.len(), wrong.join("\n"));
    assert_eq!(upstream.requests(), 0, "{:?}", upstream.seen());
    assert_eq!(lb.get("/").await.text(), "taken", "it still serves");
}

#[tokio::test]
async fn ambiguous_requests_are_counted_by_their_class() {
    let upstream = Upstream::answering("taken").await;
    let lb = Setup::targets(&[&upstream]).start().await;
    let _ = exchange(lb.web(), "GET / HTTP/1.1\r\n\r\n").await;
    let listener = [("listener", "web")];
    eventually("the refusal to be counted", PATIENCE, async || {
        lb.metric("elbow_noncompliant_requests_total", &listener).await == 1.0
            && lb.metric("elbow_lb_responses_total", &[("listener", "web"), ("code", "400")]).await == 1.0
    })
    .await;
}

#[tokio::test]
async fn broken_chunks_end_the_connection_and_smuggle_nothing() {
    let upstream = Upstream::answering("taken").await;
    let lb = Setup::targets(&[&upstream]).start().await;
    let mut wrong = Vec::new();
    for (what, body) in BROKEN_CHUNKS {
        for apart in [false, true] {
            let mut client = lb.connect().await;
            client.send("POST /chunks HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").await;
            if apart {
                pause(ms(20)).await;
            }
            client.send([body, NEXT].concat()).await;
            match client.try_response().await {
                Ok(response) if response.status == 400 => client.assert_closed().await,
                Err(Broken::Closed | Broken::Reset) => {}
                other => wrong.push(format!("{what}: {:?}", other.map(|response| response.head.first_line))),
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), BROKEN_CHUNKS.len(), wrong.join("\n"));
    let whole: Vec<_> = upstream.seen().into_iter().filter(|request| request.path() != "/chunks").collect();
    assert!(whole.is_empty(), "requests that nobody made arrived: {whole:?}");
    assert_eq!(lb.get("/").await.text(), "taken");
}

#[tokio::test]
async fn odd_but_legal_chunks_are_rewritten_in_one_form() {
    let upstream = Upstream::answering("taken").await;
    let lb = Setup::targets(&[&upstream]).start().await;
    let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n";
    for body in [
        "3;ext\r\nabc\r\n0\r\n\r\n",
        "3;ext=\"quo;ted\"\r\nabc\r\n0;last\r\n\r\n",
        "003\r\nabc\r\n000\r\n\r\n",
        "1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\nX-T: t\r\n\r\n",
    ] {
        let before = upstream.requests();
        assert_eq!(exchange(lb.web(), [head, body].concat()).await.unwrap().status, 200, "{body:?}");
        // The upstream reads chunk sizes strictly and knows no extensions: that it could read shows they are gone.
        assert_eq!(upstream.seen()[before].body, b"abc", "{body:?}");
    }
}

#[tokio::test]
async fn connection_cannot_nominate_what_elbow_adds_or_needs() {
    let upstream = Upstream::answering("ok").await;
    let lb = Setup::targets(&[&upstream]).start().await;
    let nominated = "X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Port, Host, Content-Length, X-Mine, close";
    let request =
        format!("POST / HTTP/1.1\r\nHost: a\r\nX-Mine: 1\r\nContent-Length: 2\r\nConnection: {nominated}\r\n\r\nhi");
    assert_eq!(exchange(lb.web(), request).await.unwrap().status, 200);
    let request = upstream.only_request();
    assert_eq!(request.header("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(request.header("x-forwarded-proto"), Some("http"));
    assert_eq!(request.header("x-forwarded-port"), Some(lb.web().port().to_string().as_str()));
    assert_eq!((request.header("host"), request.body.as_slice()), (Some("a"), &b"hi"[..]));
    assert_eq!((request.header("x-mine"), request.header("connection")), (None, None));
}

#[tokio::test]
async fn names_that_alias_framing_or_forwarding_by_underscores_are_dropped() {
    let upstream = Upstream::answering("ok").await;
    let lb = Setup::targets(&[&upstream]).start().await;
    let names =
        ["Content_Length", "transfer_encoding", "X_Forwarded_For", "X_Forwarded-Proto", "x-forwarded_port", "Host_"];
    let headers: String = names.iter().map(|name| format!("{name}: 7\r\n")).collect();
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\n{headers}X_Harmless: 1\r\n\r\n");
    assert_eq!(exchange(lb.web(), request).await.unwrap().status, 200);
    let request = upstream.only_request();
    for name in &names[..5] {
        assert_eq!(request.header(name), None, "{name} could be taken for what elbow wrote");
    }
    assert_eq!(request.header("x_harmless"), Some("1"), "an underscore alone is no offence");
}

/// What a target may send instead of an answer. Nothing was sent to the client yet: 502, and the next request is well.
const GARBAGE: &[(&str, &str)] = &[
    ("nothing", ""),
    ("no HTTP", "hello there, I am a mail server\r\n\r\n"),
    ("another protocol", "SSH-2.0-OpenSSH_9.2\r\n"),
    ("no version", "200 OK\r\n\r\n"),
    ("HTTP/2", "HTTP/2 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ("a status of two digits", "HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n"),
    ("a status of four digits", "HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n"),
    ("a status of letters", "HTTP/1.1 abc OK\r\nContent-Length: 0\r\n\r\n"),
    ("a status below 100", "HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n"),
    ("two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc"),
    ("two equal lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nab"),
    ("a list of lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nab"),
    ("a signed length", "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nab"),
    ("a negative length", "HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nab"),
    ("a length of 2^64", "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551616\r\n\r\nab"),
    ("both framings", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("an unknown coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nab"),
    ("mixed codings", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    ("chunked twice", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("a 101 nobody asked for", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"),
    ("a folded header", "HTTP/1.1 200 OK\r\nX-A: b\r\n c\r\nContent-Length: 0\r\n\r\n"),
    ("a NUL in a header", "HTTP/1.1 200 OK\r\nX-A: b\0c\r\nContent-Length: 0\r\n\r\n"),
    ("a bare CR in a header", "HTTP/1.1 200 OK\r\nX-A: b\rc\r\nContent-Length: 0\r\n\r\n"),
    ("a space before a colon", "HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n"),
    ("half a head", "HTTP/1.1 200 OK\r\nContent-Le"),
];

#[tokio::test]
async fn garbage_instead_of_an_answer_is_a_502() {
    let mut wrong = Vec::new();
    for (what, bytes) in GARBAGE {
        let upstream = Upstream::start(move |_| [raw(bytes), vec![Act::Close]].concat()).await;
        let lb = Setup::targets(&[&upstream]).one_worker().start().await;
        let mut client = lb.connect().await;
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi").await;
        match client.try_response().await {
            Ok(response) if response.status == 502 && response.header("proxy-status").is_some() => {}
            other => wrong.push(format!("{what}: {:?}", other.map(|response| response.head.first_line))),
        }
        upstream.set(|_| answer(200, "fine"));
        let next = client.get("/").await;
        if next.text() != "fine" {
            wrong.push(format!("{what}: the next request got {}", next.head.first_line));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), GARBAGE.len(), wrong.join("\n"));
}

#[tokio::test]
async fn a_connection_that_brought_garbage_is_not_used_again() {
    for (what, bytes) in GARBAGE.iter().filter(|(_, bytes)| bytes.ends_with("\r\n\r\n")) {
        let upstream = Upstream::start(move |_| raw(bytes)).await;
        let lb = Setup::targets(&[&upstream]).one_worker().start().await;
        let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
        let first = exchange(lb.web(), post).await.unwrap();
        assert_eq!(first.status, 502, "{what}");
        upstream.set(|_| answer(200, "fine"));
        assert_eq!(lb.get("/").await.text(), "fine", "{what}");
        assert_eq!(upstream.connections(), 2, "{what}: the first connection was used again");
    }
}

/// Bodies that break after their head was forwarded: the client has to see that they were cut.
const CUT: &[(&str, &str)] = &[
    ("a length not reached", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"),
    ("no last chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"),
    ("half a chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nA\r\nabc"),
    ("a bad chunk size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n0\r\n\r\n"),
    ("no line end after a chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n"),
    ("no end of trailers", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-T: t\r\n"),
];

#[tokio::test]
async fn an_answer_that_breaks_off_shows_as_cut() {
    for (what, bytes) in CUT {
        for version in ["1.1", "1.0"] {
            let (head, body) = bytes.split_at(bytes.find("\r\n\r\n").unwrap() + 4);
            let script = [raw(head), vec![Act::Write(body.into()), Act::Wait(ms(20)), Act::Close]].concat();
            let upstream = Upstream::start(move |_| script.clone()).await;
            let lb = Setup::targets(&[&upstream]).start().await;
            let mut client = lb.connect().await;
            client.send(format!("GET / HTTP/{version}\r\nHost: a\r\n\r\n")).await;
            match client.try_response().await {
                Err(Broken::Truncated | Broken::Reset) => {}
                // Whatever could still be told in full may be: nothing of the answer had been sent yet.
                Ok(response) if response.status == 502 => {}
                other => panic!("{what}, to HTTP/{version}: {other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn bytes_after_a_whole_answer_end_the_targets_connection() {
    let surplus = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    let upstream = Upstream::start(move |_| raw(surplus)).await;
    let lb = Setup::targets(&[&upstream]).one_worker().start().await;
    for count in 1..=3 {
        assert_eq!(lb.get("/").await.text(), "ok");
        assert_eq!(upstream.connections(), count, "a connection with bytes left over was used again");
    }
    upstream.set(|_| {
        let late = Act::Write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil".into());
        [answer(200, "ok"), vec![Act::Wait(ms(20)), late]].concat()
    });
    assert_eq!(lb.get("/").await.text(), "ok");
    pause(ms(100)).await;
    upstream.set(|_| answer(200, "ok"));
    assert_eq!(lb.get("/").await.text(), "ok", "what came while the connection was idle is nobody's answer");
}

#[tokio::test]
async fn a_body_where_none_may_be_is_not_forwarded() {
    let upstream = Upstream::start(|request| match request.path() {
        "/204" => raw("HTTP/1.1 204 No Content\r\n\r\nsurplus"),
        "/304" => raw("HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\nsurplus"),
        _ => raw("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nsurplus"),
    })
    .await;
    let lb = Setup::targets(&[&upstream]).start().await;
    let mut client = lb.connect().await;
    for (method, path) in [("GET", "/204"), ("GET", "/304"), ("HEAD", "/")] {
        client.send(format!("{method} {path} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        client.response_to(method).await;
    }
    assert_eq!(client.get("/").await.text(), "surplus", "the connection is still in step");
}

#[tokio::test]
async fn hop_by_hop_headers_of_the_target_stay_behind() {
    let upstream = Upstream::start(|_| {
        raw("HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Hop\r\nKeep-Alive: timeout=5\r\nX-Hop: 1\r\nX-End: 1\r\n\
             Proxy-Connection: keep-alive\r\nUpgrade: h2c\r\nContent-Length: 0\r\n\r\n")
    })
    .await;
    let lb = Setup::targets(&[&upstream]).start().await;
    let response = lb.get("/").await;
    for name in ["connection", "keep-alive", "x-hop", "proxy-connection", "upgrade"] {
        assert_eq!(response.header(name), None, "{name}");
    }
    assert_eq!(response.header("x-end"), Some("1"));
}
