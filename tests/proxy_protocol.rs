//! The PROXY protocol: whose a connection is, as trusted proxies say it to elbow and as elbow says it to targets.

use std::net::SocketAddr;

use lb::proxy_protocol::{Addresses, Header, Parsed, kind, parse, write_v1, write_v2};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

use crate::harness::*;

const SOURCE: &str = "203.0.113.7:4711";
const TRUSTING: &str = "trusted_proxies = [\"127.0.0.1/32\"]";
const REQUIRED: &str = "proxy_protocol = \"require\"\ntrusted_proxies = [\"127.0.0.1/32\"]";
const ACCEPTED: &str = "proxy_protocol = \"accept\"\ntrusted_proxies = [\"127.0.0.1/32\"]";

fn ends(source: &str) -> Addresses {
    Addresses { source: source.parse().unwrap(), destination: "192.0.2.1:443".parse().unwrap() }
}

fn v1(source: &str) -> Vec<u8> {
    let mut header = Vec::new();
    write_v1(&mut header, Some(&ends(source)));
    header
}

fn v2(source: &str, tlvs: &[(u8, &[u8])]) -> Vec<u8> {
    let mut header = Vec::new();
    write_v2(&mut header, Some(&ends(source)), tlvs.iter().copied());
    header
}

async fn refused(lb: &Lb, reason: &str) -> f64 {
    lb.metric("elbow_proxy_headers_refused_total", &[("listener", "web"), ("reason", reason)]).await
}

/// Connects from another address than 127.0.0.1.
async fn stranger(to: SocketAddr) -> Stream {
    try_as_stranger(to).await.unwrap()
}

/// The same, where the connection may be reset before it is known to be there.
async fn try_as_stranger(to: SocketAddr) -> std::io::Result<Stream> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    within("connecting", PATIENCE, socket.connect(to)).await.map(Stream)
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 198.51.100.1\r\n\r\n";

#[tokio::test]
async fn a_request_is_whose_the_header_says() {
    let upstream = Upstream::answering("hello").await;
    let setup = Setup::targets(&[&upstream]).listener(REQUIRED);
    let lb = setup.top("[access_log]\npath = \"-\"\nformat = \"json\"").start().await;
    for (round, header) in [v1(SOURCE), v2(SOURCE, &[]), v2(SOURCE, &[(kind::ALPN, b"h2")])].iter().enumerate() {
        let mut client = lb.connect().await;
        client.send([header, GET].concat()).await;
        assert_eq!(client.response().await.text(), "hello");
        // Said once, it holds for the whole connection.
        assert_eq!(client.get("/").await.text(), "hello");
        for request in upstream.seen().iter().skip(2 * round) {
            // What the client itself says is not believed any more than without a proxy in front.
            assert_eq!(request.header("x-forwarded-for"), Some("203.0.113.7"), "{:?}", request.head.headers);
        }
    }
    eventually("the lines", PATIENCE, async || lb.stdout().lines().count() == 6).await;
    assert!(lb.stdout().lines().all(|line| line.contains(&format!("\"client\":\"{SOURCE}\""))), "{}", lb.stdout());
}

#[tokio::test]
async fn the_proxys_own_connections_are_its_own() {
    let upstream = Upstream::answering("hello").await;
    let lb = Setup::targets(&[&upstream]).listener(REQUIRED).start().await;
    let mut local = Vec::new();
    write_v2(&mut local, None, []);
    for header in [&local[..], b"PROXY UNKNOWN\r\n"] {
        let mut client = lb.connect().await;
        client.send([header, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"].concat()).await;
        assert_eq!(client.response().await.text(), "hello");
        assert_eq!(upstream.seen().last().unwrap().header("x-forwarded-for"), Some("127.0.0.1"));
    }
}

#[tokio::test]
async fn hashing_and_stickiness_go_by_the_source_that_the_header_names() {
    let targets = [StreamTarget::echoing().await, StreamTarget::echoing().await, StreamTarget::echoing().await];
    for keys in ["algorithm = \"consistent_hash\"", "[target_group.stickiness]\ntype = \"source_ip\""] {
        let setup = Setup::streams(&[&targets[0], &targets[1], &targets[2]]).listener(REQUIRED).group(keys);
        let lb = setup.start().await;
        let counts = async || {
            let mut counts = Vec::new();
            for target in ["t0", "t1", "t2"] {
                counts.push(lb.metric("elbow_target_connections_total", &[("target", target)]).await);
            }
            counts
        };
        let connect = async |source: String| {
            let mut client = Stream::connect(lb.web()).await;
            client.send([&v2(&source, &[])[..], b"hello"].concat()).await;
            client.assert_reads("hello").await;
        };
        for _ in 0..5 {
            connect(SOURCE.to_owned()).await;
        }
        assert!(counts().await.contains(&5.0), "{:?}", counts().await);
        for last in 1..40 {
            connect(format!("203.0.113.{last}:4711")).await;
        }
        assert!(counts().await.iter().all(|count| *count > 0.0), "{:?}", counts().await);
    }
}

#[tokio::test]
async fn what_follows_a_header_is_passed_on_to_the_byte() {
    let target = StreamTarget::start().await;
    let lb = Setup::streams(&[&target]).listener(REQUIRED).start().await;
    for header in [v1(SOURCE), v2(SOURCE, &[(kind::UNIQUE_ID, b"id")])] {
        // In one piece with what follows, and byte by byte.
        let mut client = Stream::connect(lb.web()).await;
        client.send([&header[..], &header, b"more"].concat()).await;
        let mut server = target.accept().await;
        server.assert_reads([&header[..], b"more"].concat()).await;
        let mut client = Stream::connect(lb.web()).await;
        client.0.set_nodelay(true).unwrap();
        for byte in [&header[..], b"more"].concat() {
            client.send([byte]).await;
            tokio::task::yield_now().await;
        }
        target.accept().await.assert_reads("more").await;
        // With an end right behind it.
        let mut client = Stream::connect(lb.web()).await;
        client.send(&header).await;
        client.half_close().await;
        target.accept().await.assert_ended().await;
    }
}

#[tokio::test]
async fn accepting_takes_connections_with_and_without() {
    let upstream = Upstream::answering("hello").await;
    let lb = Setup::targets(&[&upstream]).listener(ACCEPTED).start().await;
    for (header, expected) in [(&v1(SOURCE)[..], "203.0.113.7"), (b"", "127.0.0.1")] {
        let mut client = lb.connect().await;
        client.send([header, b"PROPFIND / HTTP/1.1\r\nHost: a\r\n\r\n"].concat()).await;
        assert_eq!(client.response().await.text(), "hello");
        assert_eq!(upstream.seen().last().unwrap().header("x-forwarded-for"), Some(expected));
    }
    // An empty line ahead of a request is how a header of version 2 begins.
    let mut client = lb.connect().await;
    for piece in ["P", "RO", "PFIND / HTTP/1.1\r\nHost: a\r\n\r\n"] {
        client.send(piece).await;
        pause(ms(20)).await;
    }
    assert_eq!(client.response().await.text(), "hello");
}

#[tokio::test]
async fn a_header_from_a_stranger_is_not_believed() {
    let upstream = Upstream::answering("hello").await;
    let lb = Setup::targets(&[&upstream]).listener(ACCEPTED).start().await;
    for header in [v1(SOURCE), v2(SOURCE, &[])] {
        let mut client = stranger(lb.web()).await;
        client.send([&header[..], b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"].concat()).await;
        let answer = String::from_utf8_lossy(&client.rest().await.unwrap()).into_owned();
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    }
    assert!(upstream.seen().is_empty());
    // Without a header it is a client like any other.
    let mut client = stranger(lb.web()).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert!(client.rest().await.unwrap().ends_with(b"hello"));
    assert_eq!(upstream.seen()[0].header("x-forwarded-for"), Some("127.0.0.2"));

    let target = StreamTarget::start().await;
    let lb = Setup::streams(&[&target]).listener(ACCEPTED).start().await;
    stranger(lb.web()).await.send(v1(SOURCE)).await;
    let mut server = target.accept().await;
    assert_eq!(server.rest().await.unwrap(), v1(SOURCE), "it is the application's business");
}

#[tokio::test]
async fn where_headers_are_required_strangers_are_turned_away() {
    let target = StreamTarget::start().await;
    let lb = Setup::streams(&[&target]).listener(REQUIRED).start().await;
    if let Ok(mut client) = try_as_stranger(lb.web()).await {
        client.assert_reset().await;
    }
    assert_eq!(refused(&lb, "untrusted").await, 1.0);
    let mut client = Stream::connect(lb.web()).await;
    client.send("hello").await;
    client.assert_reset().await;
    assert_eq!(refused(&lb, "missing").await, 1.0);
    // Who connects and leaves, as a check does, is no fault.
    drop(Stream::connect(lb.web()).await);
    let mut client = Stream::connect(lb.web()).await;
    client.send([&v1(SOURCE)[..], b"hello"].concat()).await;
    target.accept().await.assert_reads("hello").await;
    assert_eq!(lb.metric("elbow_proxy_headers_refused_total", &[]).await, 2.0);
}

#[tokio::test]
async fn a_header_has_to_come_in_time() {
    let target = StreamTarget::start().await;
    for keys in [REQUIRED, ACCEPTED] {
        let lb = Setup::streams(&[&target]).listener(keys).listener("head_timeout = \"300ms\"").start().await;
        let mut silent = Stream::connect(lb.web()).await;
        let mut slow = Stream::connect(lb.web()).await;
        slow.send(&v2(SOURCE, &[])[..20]).await;
        silent.assert_reset().await;
        slow.assert_reset().await;
        assert_eq!(refused(&lb, "timeout").await, 2.0);
    }
}

#[tokio::test]
async fn hostile_headers_end_their_connection_alone() {
    let upstream = Upstream::answering("hello").await;
    let lb = Setup::targets(&[&upstream]).listener(REQUIRED).start().await;
    let signature = b"\r\n\r\n\0\r\nQUIT\n";
    let whole = v2(SOURCE, &[(kind::AUTHORITY, b"example.com")]);
    let mut wrong_sum = whole.clone();
    wrong_sum[17] ^= 1;
    let hostile: Vec<Vec<u8>> = vec![
        b"PROXY \r\n".into(),
        b"PROXY TCP4 203.0.113.7 192.0.2.1 4711 443\n".into(),
        b"PROXY TCP4 203.0.113.7 192.0.2.1 4711 443 \r\n".into(),
        b"PROXY TCP4 203.0.113.7 192.0.2.1 4711 65536\r\n".into(),
        b"PROXY TCP6 203.0.113.7 192.0.2.1 4711 443\r\n".into(),
        b"PROXY UDP4 203.0.113.7 192.0.2.1 4711 443\r\n".into(),
        b"PROXY TCP4 localhost 192.0.2.1 4711 443\r\n".into(),
        [b"PROXY UNKNOWN ".to_vec(), vec![b'x'; 4096]].concat(),
        [b"PROXY TCP4 ".to_vec(), vec![b' '; 96]].concat(),
        [&signature[..], &[0x11, 0x11, 0, 12], &[0; 12]].concat(),
        [&signature[..], &[0x22, 0x11, 0, 12], &[0; 12]].concat(),
        [&signature[..], &[0x21, 0x11, 0, 11], &[0; 12]].concat(),
        [&signature[..], &[0x21, 0x12, 0, 12], &[0; 12]].concat(),
        [&signature[..], &[0x21, 0x11, 0xff, 0xff]].concat(),
        [&signature[..], &[0x21, 0x11, 0, 14], &[0; 14]].concat(),
        wrong_sum,
    ];
    let mut kept = lb.connect().await;
    kept.send([&v1(SOURCE)[..], GET].concat()).await;
    assert_eq!(kept.response().await.status, 200);
    for (count, bytes) in (1..).zip(&hostile) {
        let mut client = Stream::connect(lb.web()).await;
        client.send([&bytes[..], GET].concat()).await;
        client.assert_reset().await;
        assert_eq!(refused(&lb, "malformed").await, f64::from(count), "{:?}", String::from_utf8_lossy(bytes));
    }
    // Torn off at each of its bytes; without any it is nobody.
    for length in 1..whole.len() {
        let mut client = Stream::connect(lb.web()).await;
        client.send(&whole[..length]).await;
        client.half_close().await;
        client.assert_reset().await;
    }
    let torn = hostile.len() + whole.len() - 1;
    assert_eq!(refused(&lb, "malformed").await, torn as f64);
    assert_eq!(upstream.seen().len(), 1, "not one of them reached a target");
    assert_eq!(kept.get("/").await.status, 200);
}

#[tokio::test]
async fn connections_that_wait_for_a_header_do_not_hold_up_a_stop() {
    let target = StreamTarget::start().await;
    let mut lb = Setup::streams(&[&target]).listener(REQUIRED).listener("head_timeout = \"1h\"").start().await;
    let mut silent = Stream::connect(lb.web()).await;
    eventually("it to be accepted", PATIENCE, async || lb.metric("elbow_connections_open", &[]).await == 1.0).await;
    lb.stop().await;
    silent.assert_reset().await;
}

/// What comes first on a stream, as a header, and how many bytes came with it.
async fn header_of(stream: &mut Stream) -> Header {
    let mut bytes = Vec::new();
    loop {
        match parse(&bytes) {
            Ok(Parsed::Partial) => bytes.push(within("a header", PATIENCE, stream.0.read_u8()).await.unwrap()),
            Ok(Parsed::Complete(header, length)) => {
                assert_eq!(length, bytes.len());
                return header;
            }
            other => panic!("{other:?} of {:?}", String::from_utf8_lossy(&bytes)),
        }
    }
}

#[tokio::test]
async fn targets_of_streams_are_told_whose_they_are() {
    let target = StreamTarget::start().await;
    for (version, is_v2) in [("v1", false), ("v2", true)] {
        let setup = Setup::streams(&[&target]).group(&format!("send_proxy = \"{version}\""));
        let lb = setup.listener(TRUSTING).start().await;
        let mut client = Stream::connect(lb.web()).await;
        client.send("hello").await;
        let mut server = target.accept().await;
        let header = header_of(&mut server).await;
        let expected = Addresses { source: client.address(), destination: lb.web() };
        assert_eq!(header.addresses, Some(expected));
        let id = header.tlvs.get(kind::UNIQUE_ID).map(<[u8]>::len);
        assert_eq!((id, header.tlvs.get(kind::CRC32C).is_some()), (is_v2.then_some(32), is_v2));
        server.assert_reads("hello").await;
    }
}

#[tokio::test]
async fn what_a_proxy_in_front_said_is_said_on() {
    let target = StreamTarget::start().await;
    let lb = Setup::streams(&[&target]).listener(REQUIRED).group("send_proxy = \"v2\"").start().await;
    let tls = [&[1, 0, 0, 0, 0][..], &[0x21, 0, 7], b"TLSv1.3"].concat();
    let said: [(u8, &[u8]); 6] = [
        (kind::ALPN, b"h2"),
        (kind::AUTHORITY, b"shop.example"),
        (kind::UNIQUE_ID, b"id of another"),
        (kind::SSL, &tls),
        (0xea, b"\x01vpce-08d2bf15fac5001c9"),
        (kind::NETNS, b"blue"),
    ];
    let mut client = Stream::connect(lb.web()).await;
    client.send(v2("[2001:db8::7]:4711", &said)).await;
    let header = header_of(&mut target.accept().await).await;
    let ends = header.addresses.unwrap();
    assert_eq!(ends.source, "[2001:db8::7]:4711".parse().unwrap());
    assert_eq!(ends.destination, "[::ffff:192.0.2.1]:443".parse().unwrap());
    let carried: Vec<_> = header.tlvs.carried().collect();
    assert_eq!(carried, said[..5], "all but the other's namespace");
}

#[tokio::test]
async fn a_request_to_a_target_that_is_told_goes_over_its_clients_own_connection() {
    let target = StreamTarget::start().await;
    let setup = Setup::default().health_check(&StreamTarget::health_check()).group("send_proxy = \"v1\"");
    let lb = setup.target_at("t0", target.address(), "").one_worker().start().await;
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = Stream::connect(lb.web()).await;
        client.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let mut server = target.accept().await;
        assert_eq!(header_of(&mut server).await.addresses.unwrap().source, client.address());
        server.assert_reads("GET /1 HTTP/1.1\r\n").await;
        server.send(answer).await;
        client.until("\r\n\r\nok").await;
        clients.push((client, server));
    }
    for (client, server) in &mut clients {
        // The rest of the first head, and no second header: it is kept for this client.
        client.send("GET /2 HTTP/1.1\r\nHost: a\r\n\r\n").await;
        server.until("\r\n\r\n").await;
        assert!(server.until("\r\n\r\n").await.starts_with(b"GET /2 "));
        server.send(answer).await;
        client.until("\r\n\r\nok").await;
    }
    // It goes with its client.
    let (client, mut server) = clients.remove(0);
    drop(client);
    server.assert_ended().await;
}

#[tokio::test]
async fn checks_on_the_port_of_the_traffic_say_that_they_are_our_own() {
    for (version, check) in [("v1", "tcp"), ("v2", "tcp"), ("v1", "http"), ("v2", "http")] {
        let target = StreamTarget::start().await;
        let setup = Setup::default().group(&format!("send_proxy = \"{version}\""));
        let setup = setup.health_check(&format!("protocol = \"{check}\"\ninterval = \"100ms\"\ntimeout = \"90ms\""));
        let lb = setup.target_at("t0", target.address(), "").start_cold().await;
        let mut probe = target.accept().await;
        let header = header_of(&mut probe).await;
        assert_eq!(header.addresses, None);
        if check == "http" {
            probe.assert_reads("GET / HTTP/1.1\r\n").await;
            probe.0.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        }
        lb.until("app", "t0", "healthy").await;
    }
}
