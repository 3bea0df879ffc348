//! HTTP/1.x as users expect it through a load balancer: kept connections, pipelining, interim answers, bodies of every
//! framing, early and late ends. WebSocket has a file of its own.

use crate::harness::*;

#[tokio::test]
async fn a_connection_is_kept_on_both_sides() {
    let upstream = Upstream::answering("hello").await;
    let lb = Setup::targets(&[&upstream]).start().await;
    let mut client = lb.connect().await;
    for _ in 0..5 {
        let response = client.get("/").await;
        assert_eq!((response.status, response.text().as_str()), (200, "hello"));
        assert_eq!(response.header("connection"), None);
    }
    assert_eq!((upstream.requests(), upstream.connections()), (5, 1));
}

#[tokio::test]
async fn connection_close_is_honoured_on_either_side() {
    let upstream = Upstream::answering("bye").await;
    let lb = Setup::targets(&[&upstream]).start().await;
    let mut client = lb.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    let response = client.response().await;
    assert_eq!(response.header("connection"), Some("close"));
    client.assert_closed().await;

    upstream.set(|_| {
        [raw("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"), vec![Act::Close]].concat()
    });
    let mut client = lb.connect().await;
    for _ in 0..2 {
        let response = client.get("/").await;
        assert_eq!(response.text(), "ok");
        assert_eq!(response.header("connection"), None, "the target's wish is about its own connection");
    }
}

#[tokio::test]
async fn nothing_is_read_after_a_request_that_closes() {
    let upstream = Upstream::answering("ok").await;
    let lb = Setup::targets(&[&upstream]).start().await;
    let mut client = lb.connect().await;
    client.send("GET /1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.response().await.text(), "ok");
    client.assert_closed().await;
    assert_eq!(upstream.only_request().path(), "/1");
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let first = Gate::closed();
    let held = first.clone();
    let upstream = Upstream::start(move |request| {
        let wait = if request.path() == "/0" { vec![Act::Until(held.clone())] } else { vec![] };
        [wait, answer(200, request.path())].concat()
    })
    .await;
    let lb = Setup::targets(&[&upstream]).start().await;
    let mut client = lb.connect().await;
    let requests = (0..8).map(|number| match number {
        3 => format!("POST /{number} HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"),
        5 => format!("POST /{number} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
        _ => format!("GET /{number} HTTP/1.1\r\nHost: a\r\n\r\n"),
    });
    client.send(requests.collect::<String>()).await;
    upstream.wait_for_requests(1).await;
    first.open();
    for number in 0..8 {
        assert_eq!(client.response().await.text(), format!("/{number}"));
    }
    let seen = upstream.seen();
    assert_eq!((seen[3].body.as_slice(), seen[5].body.as_slice()), (&b"abc"[..], &b"abc"[..]));
}

#[tokio::test]
async fn empty_lines_before_a_request_are_passed_over() {
    let upstream = Upstream::answering("ok").await;
    let lb = Setup::targets(&[&upstream]).start().await;
    let mut client = lb.connect().await;
    client.send("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.response().await.status, 200);
    client.send("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.response().await.status, 200);
}

#[tokio::test]
async fn a_request_may_arrive_byte_by_byte() {
    let upstream = Upstream::start(|request| answer(200, request.header("x-a").unwrap_or("none"))).await;
    let lb = Setup::targets(&[&upstream]).start().await;
    let mut client = lb.connect().await;
    for byte in b"POST / HTTP/1.1\r\nHost: a\r\nX-A: b\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n" {
        client.send([*byte]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(client.response().await.text(), "b");
    assert_eq!(upstream.only_request().body, b"hi");
}

#[tokio::test]
async fn a_response_may_arrive_byte_by_byte() {
    let upstream = Upstream::start(|_| {
        let bytes = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A: b\r\n\r\n2\r\nhi\r\n0\r\nX-T: t\r\n\r\n";
        let single = bytes.iter().flat_map(|byte| [Act::Write(vec![*byte]), Act::Wait(ms(1))]);
        [Act::ReadBody].into_iter().chain(single).collect()
    })
    .await;
    let lb = Setup::targets(&[&upstream]).start().await;
    let mut client = lb.connect().await;
    for _ in 0..2 {
        let response = client.get("/").await;
        assert_eq!((response.text().as_str(), response.header("x-a")), ("hi", Some("b")));
        assert_eq!(response.trailers, [("X-T".to_owned(), "t".to_owned())]);
    }
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn expect_100_continue_is_answered_at_once_and_not_forwarded() {
    let upstream = Upstream::start(|_| answer(200, "taken")).await;
    let lb = Setup::targets(&[&upstream]).start().await;
    let mut client = lb.connect().await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n").await;
    let interim = client.response().await;
    assert_eq!((interim.status, interim.head.headers.len()), (100, 0));
    client.send("body").await;
    assert_eq!(client.response().await.text(), "taken");
    let request = upstream.only_request();
    assert_eq!((request.header("expect"), request.body.as_slice()), (None, &b"body"[..]));
    // A client that did not wait gets no 100, or one: either way its answer follows.
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nexpect: 100-Continue\r\n\r\nbody").await;
    let mut response = client.response().await;
    if response.status == 100 {
        response = client.response().await;
    }
    assert_eq!(response.text(), "taken");
}

#[tokio::test]
async fn an_expectation_that_is_not_known_is_refused() {
    let upstream = Upstream::answering("ok").await;
    let lb = Setup::targets(&[&upstream]).start().await;
    let request = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nExpect: miracles\r\n\r\n";
    let response = exchange(lb.web(), request).await.unwrap();
    assert!(matches!(response.status, 200 | 417), "{}", response.status);
    if response.status == 200 {
        assert_eq!(upstream.only_request().header("expect"), None);
    }
}

#[tokio::test]
async fn interim_answers_of_the_target_are_forwarded() {
    let hint = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n";
    let upstream =
        Upstream::start(move |_| [raw(hint), raw("HTTP/1.1 102 Processing\r\n\r\n"), answer(200, "done")].concat())
            .await;
    let lb = Setup::targets(&[&upstream]).start().await;
    let mut client = lb.connect().await;
    for _ in 0..2 {
        let early = client.get("/").await;
        assert_eq!((early.status, early.header("link")), (103, Some("</a.css>")));
        assert_eq!(client.response().await.status, 102);
        assert_eq!(client.response().await.text(), "done");
    }
    assert_eq!(upstream.connections(), 1);
    let mut old = lb.connect().await;
    old.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n").await;
    assert_eq!(old.response().await.status, 200, "HTTP/1.0 knows no interim answers");
}

#[tokio::test]
async fn a_100_of_the_target_does_not_reach_the_client_twice() {
    let upstream = Upstream::start(|_| {
        [vec![Act::Write(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec())], answer(200, "done")].concat()
    })
    .await;
    let lb = Setup::targets(&[&upstream]).start().await;
    let mut client = lb.connect().await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n").await;
    assert_eq!(client.response().await.status, 100);
    client.send("hi").await;
    let mut response = client.response().await;
    if response.status == 100 {
        response = client.response().await;
    }
    assert_eq!((response.status, response.text().as_str()), (200, "done"));
}

#[tokio::test]
async fn answers_without_a_body_have_none() {
    let upstream = Upstream::start(|request| match (request.method(), request.path()) {
        ("HEAD", "/chunked") => raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ("HEAD", _) => raw("HTTP/1.1 200 OK\r\nContent-Length: 1234\r\nX-A: b\r\n\r\n"),
        (_, "/204") => raw("HTTP/1.1 204 No Content\r\n\r\n"),
        (_, "/304") => raw("HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\nETag: \"x\"\r\n\r\n"),
        _ => answer(200, "body"),
    })
    .await;
    let lb = Setup::targets(&[&upstream]).start().await;
    let mut client = lb.connect().await;
    client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let head = client.response_to("HEAD").await;
    assert_eq!((head.status, head.header("content-length"), head.header("x-a")), (200, Some("1234"), Some("b")));
    client.send("HEAD /chunked HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.response_to("HEAD").await.status, 200);
    assert_eq!(client.get("/204").await.status, 204);
    let not_modified = client.get("/304").await;
    assert_eq!((not_modified.status, not_modified.header("etag")), (304, Some("\"x\"")));
    assert_eq!(client.get("/").await.text(), "body", "the connection is still in step");
    assert_eq!(upstream.connections(), 1, "the target's connection is still in step, too");
}

#[tokio::test]
async fn chunked_bodies_stream_both_ways_with_their_trailers() {
    let upstream = Upstream::start(|_| {
        raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 5\r\n\r\n")
    })
    .await;
    let lb = Setup::targets(&[&upstream]).start().await;
    let mut client = lb.connect().await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Md5\r\n\r\n").await;
    client.send("3\r\nabc\r\nA;name=\"value\"\r\n0123456789\r\n0\r\nX-Md5: z\r\n\r\n").await;
    let response = client.response().await;
    assert_eq!(response.text(), "hello");
    assert_eq!(response.header("transfer-encoding"), Some("chunked"));
    assert_eq!(response.trailers, [("X-Sum".to_owned(), "5".to_owned())]);
    let request = upstream.only_request();
    assert_eq!(
        (request.body.as_slice(), request.header("transfer-encoding")),
        (&b"abc0123456789"[..], Some("chunked"))
    );
    assert_eq!(request.header("content-length"), None);
    assert_eq!(request.trailers, [("X-Md5".to_owned(), "z".to_owned())]);
}

#[tokio::test]
async fn bodies_flow_both_ways_at_once() {
    let upstream = Upstream::start(|_| {
        let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n".to_vec();
        vec![Act::Write(head), Act::ReadBody, Act::Write(b"4\r\nlast\r\n0\r\n\r\n".to_vec())]
    })
    .await;
    let lb = Setup::targets(&[&upstream]).start().await;
    let mut client = lb.connect().await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc").await;
    let (status, _) = client.response_head().await;
    assert_eq!(status, 200);
    // The first half of the answer is here while half of the request is not.
    let mut first = Vec::new();
    while !String::from_utf8_lossy(&first).contains("first") {
        first.extend(client.read_some().await.expect("more of the answer"));
    }
    client.send("def").await;
    let mut last = first;
    while !String::from_utf8_lossy(&last).contains("last") {
        last.extend(client.read_some().await.expect("the rest of the answer"));
    }
    assert_eq!(upstream.only_request().body, b"abcdef");
}

#[tokio::test]
async fn a_body_that_ends_with_the_targets_connection_is_whole() {
    let upstream = Upstream::start(|_| [raw("HTTP/1.1 200 OK\r\n\r\nuntil the end"), vec![Act::Close]].concat()).await;
    let lb = Setup::targets(&[&upstream]).start().await;
    let mut client = lb.connect().await;
    let response = client.get("/").await;
    assert_eq!(response.text(), "until the end");
    if response.header("connection") == Some("close") {
        client.assert_closed().await;
    } else {
        assert_eq!(client.get("/").await.text(), "until the end");
    }
}

#[tokio::test]
async fn an_http_1_0_target_is_understood() {
    let upstream = Upstream::start(|_| [raw("HTTP/1.0 200 OK\r\n\r\nold"), vec![Act::Close]].concat()).await;
    let lb = Setup::targets(&[&upstream]).start().await;
    assert_eq!(lb.get("/").await.text(), "old");
    upstream.set(|_| raw("HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nold"));
    let mut client = lb.connect().await;
    assert_eq!(client.get("/").await.text(), "old");
    assert_eq!(client.get("/").await.text(), "old", "the client's own connection is HTTP/1.1 and kept");
}

#[tokio::test]
async fn an_http_1_0_client_gets_a_plain_body_and_a_close() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\nX-T: 1\r\n\r\n";
    let upstream = Upstream::start(move |_| raw(chunked)).await;
    let lb = Setup::targets(&[&upstream]).start().await;
    let mut client = lb.connect().await;
    client.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n").await;
    let text = String::from_utf8(client.rest().await.unwrap()).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(!head.to_ascii_lowercase().contains("transfer-encoding"), "{head}");
    assert_eq!(body, "hello!");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(upstream.only_request().head.first_line.ends_with(" HTTP/1.1"));
}

#[tokio::test]
async fn an_http_1_0_client_may_ask_to_be_kept() {
    let upstream = Upstream::answering("hello").await;
    let lb = Setup::targets(&[&upstream]).start().await;
    let mut client = lb.connect().await;
    client.send("GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n").await;
    let response = client.response().await;
    if response.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("keep-alive")) {
        client.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n").await;
        assert_eq!(client.response().await.text(), "hello");
    }
    client.assert_closed().await;
}

#[tokio::test]
async fn http_1_0_without_host_gets_the_listeners_address() {
    let upstream = Upstream::answering("ok").await;
    let lb = Setup::targets(&[&upstream]).start().await;
    assert_eq!(exchange(lb.web(), "GET / HTTP/1.0\r\n\r\n").await.unwrap().status, 200);
    assert_eq!(upstream.only_request().header("host"), Some(lb.web().to_string().as_str()));
}

#[tokio::test]
async fn in_an_absolute_target_the_authority_wins_over_host() {
    let upstream = Upstream::answering("ok").await;
    let lb = Setup::targets(&[&upstream]).start().await;
    let mut client = lb.connect().await;
    client.send("GET http://right.test:81/p?q=1 HTTP/1.1\r\nHost: wrong.test\r\n\r\n").await;
    assert_eq!(client.response().await.status, 200);
    client.send("GET HTTP://right.test HTTP/1.1\r\nHost: right.test\r\n\r\n").await;
    assert_eq!(client.response().await.status, 200);
    let seen = upstream.seen();
    assert_eq!((seen[0].path(), seen[0].header("host")), ("/p?q=1", Some("right.test:81")));
    assert_eq!((seen[1].path(), seen[1].header("host")), ("/", Some("right.test")));
}

#[tokio::test]
async fn options_for_the_whole_server_is_forwarded_as_such() {
    let upstream = Upstream::answering("ok").await;
    let lb = Setup::targets(&[&upstream]).start().await;
    assert_eq!(exchange(lb.web(), "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap().status, 200);
    assert_eq!(upstream.only_request().head.first_line, "OPTIONS * HTTP/1.1");
    let other = exchange(lb.web(), "GET * HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    other.assert_made_by_elbow(400);
}

#[tokio::test]
async fn connect_is_refused() {
    let upstream = Upstream::answering("ok").await;
    let lb = Setup::targets(&[&upstream]).start().await;
    let mut client = lb.connect().await;
    client.send("CONNECT example.test:443 HTTP/1.1\r\nHost: example.test:443\r\n\r\n").await;
    let response = client.response().await;
    assert!(matches!(response.status, 400 | 405 | 501), "{}", response.status);
    assert!(response.header("proxy-status").is_some());
    client.assert_closed().await;
    assert_eq!(upstream.requests(), 0);
}

#[tokio::test]
async fn a_client_that_ends_its_sending_half_is_still_answered() {
    let gate = Gate::closed();
    let held = gate.clone();
    let upstream = Upstream::start(move |_| [vec![Act::Until(held.clone())], answer(200, "still")].concat()).await;
    let lb = Setup::targets(&[&upstream]).start().await;
    let mut client = lb.connect().await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi").await;
    client.half_close().await;
    upstream.wait_for_requests(1).await;
    pause(ms(100)).await;
    gate.open();
    assert_eq!(client.response().await.text(), "still");
    client.assert_closed().await;
}

#[tokio::test]
async fn a_client_that_resets_cancels_its_request_at_the_target() {
    let upstream = Upstream::start(|_| vec![Act::ReadBody, Act::Hold]).await;
    let lb = Setup::targets(&[&upstream]).start().await;
    let mut client = lb.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    upstream.wait_for_requests(1).await;
    client.reset();
    eventually("the request to be cancelled at the target", PATIENCE, async || upstream.gone() == 1).await;
    eventually("nothing in flight", PATIENCE, async || lb.admin().targets("app").await[0]["in_flight"] == 0).await;
}

#[tokio::test]
async fn a_client_that_resets_during_its_upload_cancels_it_at_the_target() {
    let upstream = Upstream::start(|_| vec![Act::Hold]).await;
    let lb = Setup::targets(&[&upstream]).start().await;
    let mut client = lb.connect().await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nsome").await;
    upstream.wait_for_requests(1).await;
    client.reset();
    eventually("the upload to be cancelled at the target", PATIENCE, async || upstream.gone() == 1).await;
}

#[tokio::test]
async fn an_early_answer_reaches_a_client_that_is_still_sending() {
    let upstream = Upstream::start(|_| {
        let refusal = "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno";
        vec![Act::Write(refusal.into()), Act::HalfClose, Act::Hold]
    })
    .await;
    let lb = Setup::targets(&[&upstream]).start().await;
    let mut client = lb.connect().await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 50000000\r\n\r\n").await;
    client.send(vec![b'x'; 100_000]).await;
    let response = client.response().await;
    assert_eq!((response.status, response.text().as_str()), (403, "no"));
    // The rest of the body is not awaited for ever: the connection ends, or the client may finish.
    let mut taken = 0;
    while taken < 60_000_000 && client.try_send(vec![b'x'; 1 << 20]).await.is_ok() {
        taken += 1 << 20;
    }
    assert_eq!(upstream.requests(), 1, "what was left of the body is no request");
}

#[tokio::test]
async fn an_early_answer_arrives_although_the_target_closes_at_once() {
    let upstream = Upstream::start(|_| {
        vec![Act::Write("HTTP/1.1 413 No\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno".into()), Act::Close]
    })
    .await;
    let lb = Setup::targets(&[&upstream]).start().await;
    for _ in 0..5 {
        let mut client = lb.connect().await;
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5000000\r\n\r\n").await;
        for _ in 0..20 {
            client.send(vec![b'x'; 50_000]).await;
        }
        // The target resets what it did not read; whether its answer outran the reset is up to the kernel.
        let response = client.response().await;
        assert!(matches!(response.status, 413 | 502), "{}", response.status);
    }
}

#[tokio::test]
async fn duplicate_and_repeated_headers_pass_in_order() {
    let upstream = Upstream::start(|_| {
        raw("HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nX-Mixed-CASE: y\r\nSet-Cookie: b=2\r\nContent-Length: 0\r\n\r\n")
    })
    .await;
    let lb = Setup::targets(&[&upstream]).start().await;
    let mut client = lb.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\nCookie: c=1\r\nX-Many: 1\r\nX-Empty:\r\nX-Many: 2\r\n\r\n").await;
    let response = client.response().await;
    assert_eq!(response.head.all("set-cookie"), ["a=1", "b=2"]);
    assert!(response.head.headers.iter().any(|(name, _)| name == "X-Mixed-CASE"), "case is kept");
    let request = upstream.only_request();
    assert_eq!(request.head.all("x-many"), ["1", "2"]);
    assert_eq!((request.header("x-empty"), request.header("cookie")), (Some(""), Some("c=1")));
}

#[tokio::test]
async fn methods_and_statuses_of_any_name_pass() {
    let upstream = Upstream::start(|request| {
        assert_eq!(request.method(), "M-SEARCH");
        raw("HTTP/1.1 299 Oddly Fine: yes\r\nContent-Length: 0\r\n\r\n")
    })
    .await;
    let lb = Setup::targets(&[&upstream]).start().await;
    let response = exchange(lb.web(), "M-SEARCH /?a=b;c&d=%20 HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    assert_eq!(response.status, 299);
    assert_eq!(upstream.only_request().path(), "/?a=b;c&d=%20", "the path is forwarded as it was sent");
}

#[tokio::test]
async fn text_beyond_ascii_passes_in_values() {
    let upstream = Upstream::answering("ok").await;
    let lb = Setup::targets(&[&upstream]).start().await;
    let response = exchange(lb.web(), "GET / HTTP/1.1\r\nHost: a\r\nX-Name: Grüße\r\n\r\n").await.unwrap();
    assert_eq!(response.status, 200);
    assert_eq!(upstream.only_request().header("x-name"), Some("Grüße"));
}
