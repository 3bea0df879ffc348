//! Requests that are unusual, though not so that they are refused everywhere, and what the modes of a listener make of
//! them: what reaches the target, what the client sees, which connections close, and what is counted.

use crate::harness::*;

/// A request that is taken although it is unusual.
struct Unusual {
    what: &'static str,
    class: &'static str,
    /// What a refusal says of it.
    named: &'static str,
    request: &'static str,
    /// The body that its target is to see.
    body: &'static str,
    /// A field that its target is to see, and one that it is not to see.
    kept: Option<(&'static str, &'static str)>,
    dropped: Option<&'static str>,
}

const BEYOND_ASCII: &str = "a header value holds bytes beyond ASCII";
const LENGTH_OF_NOTHING: &str = "GET and HEAD have no Content-Length";
const BODY_OF_GET: &str = "GET and HEAD have no body";
const ALIAS: &str = "a header name looks like Content-Length or Transfer-Encoding";

const UNUSUAL: &[Unusual] = &[
    Unusual {
        what: "a value beyond ASCII",
        class: "acceptable",
        named: BEYOND_ASCII,
        request: "GET /odd HTTP/1.1\r\nHost: a\r\nX-Name: Jürgen\r\n\r\n",
        body: "",
        kept: Some(("x-name", "Jürgen")),
        dropped: None,
    },
    Unusual {
        what: "a length of 0 on GET",
        class: "acceptable",
        named: LENGTH_OF_NOTHING,
        request: "GET /odd HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
        body: "",
        kept: Some(("content-length", "0")),
        dropped: None,
    },
    Unusual {
        what: "a length of 0 on HEAD",
        class: "acceptable",
        named: LENGTH_OF_NOTHING,
        request: "HEAD /odd HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
        body: "",
        kept: Some(("content-length", "0")),
        dropped: None,
    },
    Unusual {
        what: "a body of GET",
        class: "ambiguous",
        named: BODY_OF_GET,
        request: "GET /odd HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
        body: "hello",
        kept: Some(("content-length", "5")),
        dropped: None,
    },
    Unusual {
        what: "a chunked body of GET",
        class: "ambiguous",
        named: BODY_OF_GET,
        request: "GET /odd HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        body: "hello",
        kept: Some(("transfer-encoding", "chunked")),
        dropped: None,
    },
    Unusual {
        what: "a body of HEAD",
        class: "ambiguous",
        named: BODY_OF_GET,
        request: "HEAD /odd HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
        body: "hello",
        kept: Some(("content-length", "5")),
        dropped: None,
    },
    Unusual {
        what: "Content_Length",
        class: "ambiguous",
        named: ALIAS,
        request: "POST /odd HTTP/1.1\r\nHost: a\r\nContent_Length: 0\r\nContent-Length: 5\r\n\r\nhello",
        body: "hello",
        kept: Some(("content-length", "5")),
        dropped: Some("content_length"),
    },
    Unusual {
        what: "Transfer.Encoding",
        class: "ambiguous",
        named: ALIAS,
        request: "GET /odd HTTP/1.1\r\nHost: a\r\nTransfer.Encoding: chunked\r\n\r\n",
        body: "",
        kept: None,
        dropped: Some("transfer.encoding"),
    },
    Unusual {
        what: "Transfer---Encoding",
        class: "ambiguous",
        named: ALIAS,
        request: "POST /odd HTTP/1.1\r\nHost: a\r\nTransfer---Encoding: chunked\r\nContent-Length: 5\r\n\r\nhello",
        body: "hello",
        kept: Some(("content-length", "5")),
        dropped: Some("transfer---encoding"),
    },
    Unusual {
        what: "two unusual things, of which the worse counts",
        class: "ambiguous",
        named: BODY_OF_GET,
        request: "GET /odd HTTP/1.1\r\nHost: a\r\nX-Name: Jürgen\r\nContent-Length: 5\r\n\r\nhello",
        body: "hello",
        kept: Some(("x-name", "Jürgen")),
        dropped: None,
    },
];

/// Requests that every mode refuses, with the class they count in and the status.
const REFUSED: &[(&str, &str, u16)] = &[
    (
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "ambiguous",
        400,
    ),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello", "ambiguous", 400),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", "ambiguous", 400),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", "ambiguous", 400),
    ("GET / HTTP/1.1\r\nHost: a\r\n \r\n\r\n", "severe", 400),
    ("GET / HTTP/1.1\r\nHost: a\r\nX-A: b\0c\r\n\r\n", "severe", 400),
    ("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", "severe", 400),
    ("GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n", "severe", 400),
    ("GET /ü HTTP/1.1\r\nHost: a\r\n\r\n", "severe", 400),
    ("G(T / HTTP/1.1\r\nHost: a\r\n\r\n", "severe", 400),
    ("GET / HTTP/1.2\r\nHost: a\r\n\r\n", "acceptable", 505),
];

/// Requests that nobody can object to.
const COMPLIANT: &[&str] = &[
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "\r\nGET / HTTP/1.1\r\nHost: a\r\nX-Empty:\r\nX-Tab: a\tb\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 3\r\n\r\n\u{fc}x",
    "DELETE / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi",
    "POST / HTTP/1.1\r\nHost: a\r\ntransfer-encoding: Chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX_Any: b\r\nContent-Disposition: inline\r\nTransfer-Encodings: many\r\n\r\n",
];

/// What was counted so far, and what is to have been.
struct Counts<'a> {
    lb: &'a Lb,
    expected: Vec<&'static str>,
}

impl<'a> Counts<'a> {
    fn of(lb: &'a Lb) -> Self {
        Self { lb, expected: Vec::new() }
    }

    /// Waits until all that was expected so far is counted, each once.
    async fn check(&self) {
        for class in ["acceptable", "ambiguous", "severe"] {
            let expected = self.expected.iter().filter(|one| **one == class).count() as f64;
            let labels = [("listener", "web"), ("class", class)];
            let mut counted = 0.0;
            eventually(&format!("{expected} requests counted as {class}"), PATIENCE, async || {
                counted = self.lb.metric("elbow_noncompliant_requests_total", &labels).await;
                counted >= expected
            })
            .await;
            assert!((counted - expected).abs() < 0.5, "{class}: {counted} instead of {expected}");
        }
    }
}

async fn upstream() -> Upstream {
    Upstream::start(|request| match request.method() {
        "HEAD" => raw("HTTP/1.1 200 Scripted\r\nContent-Length: 2\r\n\r\n"),
        _ => answer(200, "ok"),
    })
    .await
}

async fn serving(upstream: &Upstream, mode: &str) -> Lb {
    let listener = format!("desync_mitigation = \"{mode}\"");
    Setup::targets(&[upstream]).listener(&listener).one_worker().start().await
}

/// The request that arrived last.
fn last(upstream: &Upstream) -> Request {
    upstream.seen().pop().expect("a request arrived")
}

/// Sends an unusual request between two ordinary ones. Answers with its answer, and with what arrived of it.
async fn pass(client: &mut Client, upstream: &Upstream, case: &Unusual) -> (Response, Request) {
    client.get("/before").await;
    client.send(case.request).await;
    let response = client.response_to(case.request.split(' ').next().unwrap()).await;
    assert_eq!(response.status, 200, "{}: {}", case.what, response.text());
    let seen = last(upstream);
    assert_eq!(seen.path(), "/odd", "{}", case.what);
    assert_eq!(String::from_utf8_lossy(&seen.body), case.body, "{}", case.what);
    if let Some((name, value)) = case.kept {
        assert_eq!(seen.header(name), Some(value), "{}", case.what);
    }
    if let Some(name) = case.dropped {
        assert_eq!(seen.header(name), None, "{}", case.what);
    }
    (response, seen)
}

/// Asserts that nothing is special about the connections of a request that was passed on.
async fn assert_kept(client: &mut Client, upstream: &Upstream, case: &Unusual, response: &Response, seen: &Request) {
    assert_eq!((response.header("connection"), seen.header("connection")), (None, None), "{}", case.what);
    assert_eq!(client.get("/after").await.status, 200, "{}", case.what);
    assert_eq!(last(upstream).connection, seen.connection, "{}: the target's connection is used again", case.what);
}

#[tokio::test]
async fn monitor_passes_on_and_counts() {
    let upstream = upstream().await;
    let lb = serving(&upstream, "monitor").await;
    let mut counts = Counts::of(&lb);
    for case in UNUSUAL {
        let mut client = lb.connect().await;
        let (response, seen) = pass(&mut client, &upstream, case).await;
        assert_kept(&mut client, &upstream, case, &response, &seen).await;
        counts.expected.push(case.class);
        counts.check().await;
    }
}

#[tokio::test]
async fn defensive_closes_both_connections_after_what_is_ambiguous() {
    let upstream = upstream().await;
    let lb = serving(&upstream, "defensive").await;
    let mut counts = Counts::of(&lb);
    for case in UNUSUAL {
        let mut client = lb.connect().await;
        let (response, seen) = pass(&mut client, &upstream, case).await;
        if case.class == "ambiguous" {
            let said = (response.header("connection"), seen.header("connection"));
            assert_eq!(said, (Some("close"), Some("close")), "{}", case.what);
            client.assert_closed().await;
            assert_eq!(lb.get("/after").await.status, 200);
            assert_ne!(last(&upstream).connection, seen.connection, "{}: the target's is closed, too", case.what);
        } else {
            assert_kept(&mut client, &upstream, case, &response, &seen).await;
        }
        counts.expected.push(case.class);
        counts.check().await;
    }
}

#[tokio::test]
async fn defensive_serves_nothing_that_follows_what_is_ambiguous() {
    let upstream = upstream().await;
    let lb = serving(&upstream, "defensive").await;
    let mut client = lb.connect().await;
    client
        .send("GET /odd HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhiGET /next HTTP/1.1\r\nHost: a\r\n\r\n")
        .await;
    assert_eq!(client.response().await.header("connection"), Some("close"));
    client.assert_closed().await;
    assert_eq!(upstream.only_request().path(), "/odd");
}

#[tokio::test]
async fn strictest_refuses_and_says_why() {
    let upstream = upstream().await;
    let lb = serving(&upstream, "strictest").await;
    let mut counts = Counts::of(&lb);
    for case in UNUSUAL {
        let mut client = lb.connect().await;
        client.get("/before").await;
        client.send(case.request).await;
        let method = case.request.split(' ').next().unwrap();
        let response = client.response_to(method).await;
        response.assert_made_by_elbow(400);
        assert_eq!(response.header("connection"), Some("close"), "{}", case.what);
        if method != "HEAD" {
            assert_eq!(response.text(), format!("elbow: {}\n", case.named), "{}", case.what);
        }
        client.assert_closed().await;
        assert_eq!(last(&upstream).path(), "/before", "{}", case.what);
        counts.expected.push(case.class);
        counts.check().await;
    }
    let refused = lb.metric("elbow_lb_responses_total", &[("listener", "web"), ("code", "400")]).await;
    assert!((refused - UNUSUAL.len() as f64).abs() < 0.5, "{refused}");
}

#[tokio::test]
async fn what_every_mode_refuses_is_counted_once() {
    for mode in ["monitor", "defensive", "strictest"] {
        let upstream = upstream().await;
        let lb = serving(&upstream, mode).await;
        let mut counts = Counts::of(&lb);
        for (request, class, status) in REFUSED {
            let mut client = lb.connect().await;
            client.send(request).await;
            client.response().await.assert_made_by_elbow(*status);
            client.assert_closed().await;
            counts.expected.push(class);
            counts.check().await;
        }
        // Of a request whose head is unusual and whose body is broken, the worse counts.
        let broken = "POST / HTTP/1.1\r\nHost: a\r\nX-Name: ü\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n";
        let _ = exchange(lb.web(), broken).await;
        counts.expected.push(if mode == "strictest" { "acceptable" } else { "ambiguous" });
        counts.check().await;
    }
}

#[tokio::test]
async fn the_strictest_mode_takes_what_is_compliant_and_counts_none_of_it() {
    let upstream = upstream().await;
    let lb = serving(&upstream, "strictest").await;
    let mut client = lb.connect().await;
    for request in COMPLIANT {
        client.send(request).await;
        let response = client.response().await;
        assert_eq!(response.status, 200, "{request:?}: {}", response.text());
        assert_eq!(response.header("connection"), None, "{request:?}");
    }
    assert_eq!(upstream.requests(), COMPLIANT.len());
    Counts::of(&lb).check().await;
}

#[tokio::test]
async fn a_reload_changes_the_mode_of_open_connections() {
    let upstream = upstream().await;
    let mut lb = serving(&upstream, "monitor").await;
    let mut client = lb.connect().await;
    let odd = "GET /odd HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
    client.send(odd).await;
    assert_eq!(client.response().await.status, 200);
    let toml = lb.setup().toml();
    assert_eq!(lb.reload(&toml.replace("\"monitor\"", "\"strictest\"")).await.status, 200);
    client.send(odd).await;
    client.response().await.assert_made_by_elbow(400);
    let shown = lb.admin().get("/v1/listeners/web").await.json();
    assert_eq!(shown["desync_mitigation"], "strictest");
}
