//! WebSocket: a tunnel after the target's 101 and only then, and no other upgrade at all.

use std::time::Instant;

use crate::harness::*;

const UPGRADE: &str = "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
const SWITCHING: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

#[tokio::test]
async fn a_websocket_is_a_tunnel_after_the_targets_101() {
    let upstream = Upstream::start(|_| vec![Act::Write(format!("{SWITCHING}first").into()), Act::Echo]).await;
    let lb = Setup::targets(&[&upstream]).start().await;
    let mut client = lb.connect().await;
    client.send(UPGRADE).await;
    let response = client.response().await;
    assert_eq!((response.status, response.header("upgrade")), (101, Some("websocket")));
    assert!(response.header("connection").unwrap().eq_ignore_ascii_case("upgrade"));
    assert_eq!(response.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    client.assert_reads(b"first").await;
    client.send(b"\x00\xff any bytes \r\n\r\n").await;
    client.assert_reads(b"\x00\xff any bytes \r\n\r\n").await;
    let request = upstream.only_request();
    assert!(request.header("connection").unwrap().eq_ignore_ascii_case("upgrade"));
    assert_eq!(request.header("upgrade"), Some("websocket"));
    let big = vec![b'z'; 3_000_000];
    let mut read = Vec::new();
    for piece in big.chunks(50_000) {
        client.send(piece).await;
        while read.len() < 50_000 {
            read.extend(client.read_some().await.expect("the echo"));
        }
        assert!(read.drain(..50_000).all(|byte| byte == b'z'));
    }
    client.half_close().await;
    assert_eq!(client.rest().await.unwrap(), b"");
    eventually("the tunnel to end at the target", PATIENCE, async || upstream.gone() == 1).await;
}

#[tokio::test]
async fn what_a_client_sends_before_the_101_is_no_request_and_not_lost() {
    let gate = Gate::closed();
    let held = gate.clone();
    let upstream =
        Upstream::start(move |_| vec![Act::Until(held.clone()), Act::Write(SWITCHING.into()), Act::Echo]).await;
    let lb = Setup::targets(&[&upstream]).start().await;
    let mut client = lb.connect().await;
    client.send(format!("{UPGRADE}GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")).await;
    upstream.wait_for_requests(1).await;
    gate.open();
    assert_eq!(client.response().await.status, 101);
    client.assert_reads(b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(upstream.requests(), 1);
}

#[tokio::test]
async fn a_refused_websocket_is_an_ordinary_answer() {
    let upstream = Upstream::start(|_| answer(403, "no")).await;
    let lb = Setup::targets(&[&upstream]).start().await;
    let mut client = lb.connect().await;
    client.send(UPGRADE).await;
    let response = client.response().await;
    assert_eq!((response.status, response.text().as_str()), (403, "no"));
    upstream.set(|_| answer(200, "next"));
    assert_eq!(client.get("/next").await.text(), "next");
    assert_eq!(upstream.connections(), 1, "the connection to the target was reused");
}

#[tokio::test]
async fn h2c_and_other_upgrades_are_never_passed_on() {
    let upstream = Upstream::answering("plain").await;
    let lb = Setup::targets(&[&upstream]).start().await;
    let mut client = lb.connect().await;
    for headers in [
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
        "Connection: Upgrade\r\nUpgrade: TLS/1.0\r\n",
        "Upgrade: websocket\r\n",
    ] {
        client.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{headers}\r\n")).await;
        assert_eq!(client.response().await.text(), "plain");
    }
    for request in upstream.seen() {
        let names = ["upgrade", "http2-settings", "connection"];
        assert!(names.iter().all(|name| request.header(name).is_none()), "{:?}", request.head.headers);
    }
}

#[tokio::test]
async fn a_silent_websocket_ends_after_tunnel_idle_timeout() {
    let switching = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let upstream = Upstream::start(move |_| vec![Act::Write(switching.into()), Act::Echo]).await;
    let limits = "tunnel_idle_timeout = \"1s\"\nidle_timeout = \"200ms\"\nhead_timeout = \"200ms\"";
    let lb = Setup::targets(&[&upstream]).listener(limits).group("response_timeout = \"200ms\"").start().await;
    let mut client = lb.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n").await;
    assert_eq!(client.response().await.status, 101);
    for _ in 0..5 {
        pause(ms(400)).await;
        client.send("ping").await;
        client.assert_reads(b"ping").await;
    }
    let started = Instant::now();
    client.assert_closed().await;
    assert!(started.elapsed() >= ms(900), "{:?}", started.elapsed());
    eventually("the tunnel to end at the target", PATIENCE, async || upstream.gone() == 1).await;
}
