//! Probes against real sockets that behave well or badly.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lb::model::{HealthCheck, HealthCheckProtocol, HttpQuestion, Matcher, ProbePort, SendProxy, Threshold};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

const TIMEOUT: Duration = Duration::from_millis(400);

/// What is left of a probe's time when it must be over: generous, for slow machines.
const SLACK: Duration = Duration::from_secs(3);

fn check(protocol: HealthCheckProtocol) -> HealthCheck {
    HealthCheck {
        protocol,
        port: ProbePort::Traffic,
        interval: Duration::from_secs(10),
        timeout: TIMEOUT,
        healthy_threshold: Threshold::new(2).unwrap(),
        unhealthy_threshold: Threshold::new(2).unwrap(),
    }
}

fn http(matcher: &str) -> HealthCheck {
    http_with("/health", None, &[], matcher)
}

fn http_with(path: &str, host: Option<&str>, headers: &[(&str, &str)], matcher: &str) -> HealthCheck {
    let headers = headers.iter().map(|(name, value)| (Arc::from(*name), Arc::from(*value))).collect();
    let matcher = Matcher::parse(matcher).unwrap();
    check(HealthCheckProtocol::Http(HttpQuestion { path: path.into(), host: host.map(Arc::from), headers, matcher }))
}

/// Serves one connection, and says afterwards how long it was until the probe closed it and what it had asked.
async fn serve<F>(answer: impl FnOnce(TcpStream) -> F + Send + 'static) -> (SocketAddr, oneshot::Receiver<String>)
where
    F: Future<Output = TcpStream> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (asked, receiver) = oneshot::channel();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_) => break,
            }
        }
        let mut stream = answer(stream).await;
        // Until the probe closes its end.
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        let _ = asked.send(String::from_utf8(head).unwrap());
    });
    (address, receiver)
}

async fn say(answer: &'static [u8]) -> (SocketAddr, oneshot::Receiver<String>) {
    serve(move |mut stream| async move {
        let _ = stream.write_all(answer).await;
        stream
    })
    .await
}

/// Probes, and sees that it is over in time.
async fn probe(check: &HealthCheck, address: SocketAddr) -> Result<(), String> {
    let began = Instant::now();
    let outcome = health::probe::build(check, SendProxy::Off, None).probe(&address.into()).await;
    assert!(began.elapsed() < TIMEOUT + SLACK, "the probe took {:?}", began.elapsed());
    outcome.map_err(|failure| failure.why)
}

/// The probe closed its connection.
async fn closed(asked: oneshot::Receiver<String>) -> String {
    tokio::time::timeout(SLACK, asked).await.expect("the probe closes its connection").expect("the server lives")
}

#[tokio::test]
async fn a_passing_probe_asks_plainly_and_closes() {
    let (address, asked) = say(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").await;
    let check = http_with("/health?full=1", None, &[("X-Probe", "yes"), ("X-Probe", "again")], "200-299");
    assert_eq!(probe(&check, address).await, Ok(()));
    let head = closed(asked).await.to_ascii_lowercase();
    let mut lines = head.lines();
    assert_eq!(lines.next(), Some("get /health?full=1 http/1.1"));
    let version = env!("CARGO_PKG_VERSION");
    for line in [
        &format!("host: {address}"),
        &format!("user-agent: elbow-health-check/{version}"),
        "connection: close",
        "x-probe: yes",
        "x-probe: again",
    ] {
        assert!(head.lines().any(|other| other == line), "{line:?} is not in {head}");
    }
}

#[tokio::test]
async fn a_check_may_name_its_own_host_and_agent() {
    let (address, asked) = say(b"HTTP/1.0 200 OK\r\n\r\nfine").await;
    let check = http_with("/", Some("web.example"), &[("User-Agent", "mine")], "200");
    assert_eq!(probe(&check, address).await, Ok(()));
    let head = closed(asked).await.to_ascii_lowercase();
    assert!(head.contains("\r\nhost: web.example\r\n"), "{head}");
    assert_eq!(head.matches("user-agent").count(), 1);
    assert!(head.contains("\r\nuser-agent: mine\r\n"), "{head}");
}

#[tokio::test]
async fn statuses_are_matched_and_redirects_not_followed() {
    let (address, asked) = say(b"HTTP/1.1 503 Unavailable\r\nContent-Length: 4\r\n\r\nbusy").await;
    let reason = probe(&http("200-299"), address).await.unwrap_err();
    assert_eq!(reason, format!("HTTP 503, expected 200-299, from {address}/health"));
    closed(asked).await;

    let redirect = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n";
    let (address, _asked) = say(redirect).await;
    let reason = probe(&http("200"), address).await.unwrap_err();
    assert_eq!(reason, format!("HTTP 302, expected 200, from {address}/health"));
    let (address, _asked) = say(redirect).await;
    assert_eq!(probe(&http("200,301-302"), address).await, Ok(()));
}

#[tokio::test]
async fn interim_answers_are_not_the_answer() {
    let (address, _asked) = say(b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(probe(&http("200"), address).await, Ok(()));
}

#[tokio::test]
async fn a_refused_connection_says_so() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    for check in [http("200"), check(HealthCheckProtocol::Tcp)] {
        assert_eq!(probe(&check, address).await, Err(format!("connection refused by {address}")));
    }
}

#[tokio::test]
async fn silence_ends_by_the_timeout() {
    let (address, asked) = serve(|stream| async { stream }).await;
    let reason = probe(&http("200"), address).await.unwrap_err();
    assert_eq!(reason, format!("no answer within 400ms from {address}/health"));
    closed(asked).await;
}

#[tokio::test]
async fn a_head_that_trickles_ends_by_the_timeout() {
    let (address, asked) = serve(|mut stream| async {
        for byte in b"HTTP/1.1 200 OK\r\nX-Slow: ".iter().chain(std::iter::repeat(&b'z')) {
            if stream.write_all(&[*byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        stream
    })
    .await;
    let reason = probe(&http("200"), address).await.unwrap_err();
    assert_eq!(reason, format!("no answer within 400ms from {address}/health"));
    closed(asked).await;
}

#[tokio::test]
async fn what_is_not_http_fails() {
    for garbage in [&b"\x16\x03\x01\x02\x00 nonsense\r\n\r\n"[..], b"HTTP/1.1 2 OK\r\n\r\n", b"SSH-2.0-OpenSSH_9\r\n"] {
        let (address, asked) = say(garbage).await;
        let reason = probe(&http("200"), address).await.unwrap_err();
        assert_eq!(reason, format!("an answer that is not HTTP from {address}/health"));
        closed(asked).await;
    }
}

#[tokio::test]
async fn a_connection_closed_without_an_answer_fails() {
    let (address, _asked) = serve(|mut stream| async {
        let _ = stream.shutdown().await;
        stream
    })
    .await;
    let reason = probe(&http("200"), address).await.unwrap_err();
    assert_eq!(reason, format!("connection closed without an answer by {address}/health"));
}

#[tokio::test]
async fn an_endless_head_fails() {
    let (address, asked) = serve(|mut stream| async {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n").await;
        while stream.write_all(b"X-More: and more and more and more\r\n").await.is_ok() {}
        stream
    })
    .await;
    probe(&http("200"), address).await.unwrap_err();
    closed(asked).await;
}

#[tokio::test]
async fn the_status_decides_whatever_becomes_of_the_body() {
    // Endless.
    let (address, asked) = serve(|mut stream| async {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
        while stream.write_all(&[b'z'; 4096]).await.is_ok() {}
        stream
    })
    .await;
    assert_eq!(probe(&http("200"), address).await, Ok(()));
    closed(asked).await;
    // Stalled, and broken off.
    for answer in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"[..],
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n",
    ] {
        let (address, asked) = say(answer).await;
        assert_eq!(probe(&http("200"), address).await, Ok(()));
        closed(asked).await;
    }
}

#[tokio::test]
async fn a_tcp_probe_connects_and_closes() {
    let (address, asked) = say(b"").await;
    assert_eq!(probe(&check(HealthCheckProtocol::Tcp), address).await, Ok(()));
    assert_eq!(closed(asked).await, "");
}
