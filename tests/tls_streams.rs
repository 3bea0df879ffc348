//! Streams over TLS: what is within is passed on as it is, with curl, openssl and Python as clients.

use std::process::Output;
use std::time::Instant;

use lb::proxy_protocol::{Header, Parsed, Ssl, SslCertificate, kind, parse, write_v2};
use tokio::io::AsyncReadExt;

use crate::harness::*;

/// So many bytes that every buffer on the way overflows.
const MUCH: usize = 10 << 20;

/// What each program begins with: `connect` shakes hands with the listener that the arguments name. An end that is not
/// said within TLS, and a reset as well, is an `SSLEOFError`.
const PYTHON: &str = r#"
import socket, ssl, sys, threading
context = ssl.create_default_context(cafile="ca.pem")
def connect(source="127.0.0.1"):
    plain = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=20, source_address=(source, 0))
    return context.wrap_socket(plain, server_hostname="shop.example", suppress_ragged_eofs=False)
def read(stream, count):
    got = bytearray()
    while len(got) < count:
        piece = stream.recv(min(65536, count - len(got)))
        assert piece, f"an end after {len(got)} bytes"
        got += piece
    return bytes(got)
"#;

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Runs a Python program that connects to the listener.
async fn python(secure: &Secure, lb: &Lb, program: &str) -> String {
    let (ip, port) = (lb.web().ip().to_string(), lb.web().port().to_string());
    secure.python(&format!("{PYTHON}{program}"), &[&ip, &port]).await
}

async fn ended(lb: &Lb, end: &str) -> f64 {
    lb.metric("elbow_connections_ended_total", &[("listener", "web"), ("target_group", "app"), ("end", end)]).await
}

#[tokio::test]
async fn curl_gets_https_from_a_server_without_tls() {
    let (secure, upstream) = (Secure::shop(), Upstream::answering("hello").await);
    let setup = Setup::targets(&[&upstream]).group("protocol = \"tcp\"");
    let lb = secure.before(setup, "tls", "").top("[access_log]\npath = \"-\"").start().await;
    for version in ["1.2", "1.3"] {
        let output = secure.curl(lb.web(), "/hello", &[&format!("--tlsv{version}"), "--tls-max", version]).await;
        assert_eq!(stdout(&output), "hello", "{output:?}");
        let sessions = [("listener", "web"), ("version", version), ("resumed", "false")];
        assert_eq!(lb.metric("elbow_tls_sessions_total", &sessions).await, 1.0);
    }
    assert_eq!(upstream.seen()[0].header("x-forwarded-for"), None, "nothing is added to a stream");
    eventually("both lines of the log", PATIENCE, async || lb.stdout().lines().count() == 2).await;
    let log: Vec<serde_json::Value> = lb.stdout().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&log[0]["protocol"], &log[0]["end"]), (&"TCP".into(), &"completed".into()));
    assert_eq!((&log[0]["tls_version"], &log[1]["tls_version"]), (&"TLSv1.2".into(), &"TLSv1.3".into()));
    assert_eq!(log[0]["tls_cipher"], "ECDHE-ECDSA-AES128-GCM-SHA256");
    assert_eq!(log[1]["tls_server_name"], "shop.example");
    assert_eq!(ended(&lb, "completed").await, 2.0);
}

#[tokio::test]
async fn much_in_both_directions_at_once_arrives_whole() {
    let (secure, target) = (Secure::shop(), StreamTarget::echoing().await);
    let lb = secure.streams(&[&target], "").start().await;
    // One thread does both: two at once on one `SSL` are not safe, nor does Python before 3.13 keep them apart.
    let program = format!(
        r#"
import hashlib, os, select
much, sent, got = os.urandom({MUCH}), 0, bytearray()
stream = connect()
stream.setblocking(False)
while len(got) < len(much):
    wants = []
    if sent < len(much):
        try:
            sent += stream.send(much[sent:sent + 65536])
        except ssl.SSLWantWriteError:
            wants = [stream]
    try:
        piece = stream.recv(65536)
        assert piece, f"an end after {{len(got)}} bytes"
        got += piece
    except ssl.SSLWantReadError:
        if wants or sent == len(much):
            assert any(select.select([stream], wants, [], 20)), f"nothing after {{len(got)}} bytes"
assert hashlib.sha256(got).digest() == hashlib.sha256(much).digest()
print(stream.version())
"#
    );
    assert_eq!(python(&secure, &lb, &program).await, "TLSv1.3\n");
    let much = MUCH as f64;
    eventually("the bytes to be counted", PATIENCE, async || {
        lb.metric("elbow_received_bytes_total", &[("listener", "web")]).await == much
            && lb.metric("elbow_sent_bytes_total", &[("listener", "web")]).await == much
    })
    .await;
}

#[tokio::test]
async fn openssl_speaks_both_versions_resumes_and_is_known_by_name_and_certificate() {
    let (secure, target) = (Secure::shop(), StreamTarget::start().await);
    let clients = Ca::new("Clients CA");
    let client = clients.issue_client("alice");
    secure.write("client.pem", &client.certificate);
    secure.write("client.key", &client.key);
    secure.write("clients.pem", clients.pem());
    let ca = secure.path("clients.pem").display().to_string();
    let keys = format!("client_auth = \"require\"\nclient_ca = \"{ca}\"\nalpn = [\"h2\", \"http/1.1\"]");
    let lb = secure.streams(&[&target], &keys).group("send_proxy = \"v2\"").start().await;
    let common = ["-servername", "shop.example", "-ign_eof", "-cert", "client.pem", "-key", "client.key"];
    let ask = async |more: &[&str]| {
        let arguments = [&common[..], more].concat();
        let asked = secure.s_client(lb.web(), &arguments, "hello");
        let played = async {
            let mut server = target.accept().await;
            let header = header_of(&mut server).await;
            server.assert_reads("hello").await;
            server.send("all that I say").await;
            drop(server);
            header
        };
        tokio::join!(asked, played)
    };
    for (version, cipher) in [("1.2", "ECDHE-ECDSA-AES128-GCM-SHA256"), ("1.3", "TLS_AES_128_GCM_SHA256")] {
        let flag = format!("-tls{}", version.replace('.', "_"));
        let (said, header) = ask(&[&flag, "-sess_out", version, "-alpn", "imap,http/1.1"]).await;
        assert!(said.contains("all that I say") && said.contains("New, TLSv"), "{said}");
        let name = format!("TLSv{version}");
        let told = |is_of_resumed| {
            let certificate = Some(SslCertificate { common_name: Some("alice"), is_of_resumed });
            Ssl { version: &name, cipher, certificate }.value()
        };
        assert_eq!(header.tlvs.get(kind::SSL), Some(&told(false)[..]), "{header:?}");
        assert_eq!(header.tlvs.get(kind::AUTHORITY), Some(&b"shop.example"[..]));
        assert_eq!(header.tlvs.get(kind::ALPN), Some(&b"http/1.1"[..]));
        assert_eq!(header.tlvs.get(kind::UNIQUE_ID).map(<[u8]>::len), Some(32));
        let (said, header) = ask(&[&flag, "-sess_in", version]).await;
        assert!(said.contains("all that I say") && said.contains("Reused, TLSv"), "{said}");
        assert_eq!(header.tlvs.get(kind::SSL), Some(&told(true)[..]), "{header:?}");
        assert_eq!(header.tlvs.get(kind::ALPN), None, "none was asked for");
    }
    // Without a certificate, or without a protocol in common, nobody gets as far as a target.
    let stranger = ["-servername", "shop.example", "-ign_eof"];
    assert!(!secure.s_client(lb.web(), &stranger, "hello").await.contains("all that I say"));
    let said = secure.s_client(lb.web(), &[&common[..], &["-alpn", "imap"]].concat(), "").await;
    assert!(said.contains("alert"), "{said}");
    let handshakes = async |result| lb.metric("elbow_tls_handshakes_total", &[("result", result)]).await;
    assert_eq!((handshakes("client_certificate").await, handshakes("nothing_in_common").await), (1.0, 1.0));
    assert_eq!(lb.metric("elbow_target_connections_total", &[]).await, 4.0);
}

#[tokio::test]
async fn no_protocol_is_agreed_on_where_nobody_says_what_is_spoken() {
    let (secure, target) = (Secure::shop(), StreamTarget::echoing().await);
    let lb = secure.streams(&[&target], "").start().await;
    let program = "
context.set_alpn_protocols(['h2', 'imap'])
stream = connect()
stream.sendall(b'hello')
print(read(stream, 5), stream.selected_alpn_protocol())
";
    assert_eq!(python(&secure, &lb, program).await, "b'hello' None\n");
}

/// What comes first on a stream, as a header.
async fn header_of(stream: &mut Stream) -> Header {
    let mut bytes = Vec::new();
    loop {
        match parse(&bytes) {
            Ok(Parsed::Partial) => bytes.push(within("a header", PATIENCE, stream.0.read_u8()).await.unwrap()),
            Ok(Parsed::Complete(header, _)) => return header,
            other => panic!("{other:?} of {:?}", String::from_utf8_lossy(&bytes)),
        }
    }
}

#[tokio::test]
async fn what_is_seen_of_tls_is_told_and_not_what_a_proxy_in_front_says_of_it() {
    let (secure, target) = (Secure::shop(), StreamTarget::start().await);
    let keys = "proxy_protocol = \"require\"\ntrusted_proxies = [\"127.0.0.1/32\"]";
    let lb = secure.streams(&[&target], keys).group("send_proxy = \"v2\"").start().await;
    let ends = lb::proxy_protocol::Addresses {
        source: "203.0.113.7:4711".parse().unwrap(),
        destination: "192.0.2.1:443".parse().unwrap(),
    };
    let mut said = Vec::new();
    let tlvs: [(u8, &[u8]); 5] = [
        (kind::ALPN, b"h2"),
        (kind::AUTHORITY, b"forged.example"),
        (kind::SSL, &[1, 0, 0, 0, 0]),
        (kind::UNIQUE_ID, b"id of another"),
        (0xea, b"vpce"),
    ];
    write_v2(&mut said, Some(&ends), tlvs);
    let program = format!(
        "
plain = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=20)
plain.sendall(bytes.fromhex('{}'))
stream = context.wrap_socket(plain, server_hostname='shop.example')
read(stream, 1)
",
        said.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    );
    let played = async {
        let mut server = target.accept().await;
        let header = header_of(&mut server).await;
        server.send("x").await;
        (header, server)
    };
    let (_, (header, _server)) = tokio::join!(python(&secure, &lb, &program), played);
    assert_eq!(header.addresses, Some(ends));
    let mut told: Vec<_> = header.tlvs.carried().collect();
    let ssl = Ssl { version: "TLSv1.3", cipher: "TLS_AES_128_GCM_SHA256", certificate: None }.value();
    let mut expected = vec![
        (kind::AUTHORITY, &b"shop.example"[..]),
        (kind::SSL, &ssl),
        (kind::UNIQUE_ID, b"id of another"),
        (0xea, b"vpce"),
    ];
    told.sort_unstable();
    expected.sort_unstable();
    assert_eq!(told, expected);
}

/// A client that ends its sending half within TLS and reads on. The end of its handshake, what it says and its
/// close_notify are in one piece.
const HALF_CLOSE: &str = r#"
incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
plain = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=20)
stream = context.wrap_bio(incoming, outgoing, server_hostname="shop.example")
def until_done(step):
    while True:
        try:
            return step()
        except ssl.SSLWantReadError:
            plain.sendall(outgoing.read())
            piece = plain.recv(65536)
            incoming.write(piece) if piece else incoming.write_eof()
until_done(stream.do_handshake)
until_done(lambda: stream.write(b"all I say"))
try:
    stream.unwrap()
except ssl.SSLWantReadError:
    plain.sendall(outgoing.read())
got = bytearray()
while True:
    try:
        piece = until_done(lambda: stream.read(65536))
    except ssl.SSLZeroReturnError:
        break
    except ssl.SSLError as error:
        raise AssertionError(f"behind {len(got)} bytes: {error}")
    if not piece: break
    got += piece
print(len(got), set(got) == {120})
"#;

#[tokio::test]
async fn an_end_is_carried_across_while_the_other_way_goes_on() {
    let (secure, target) = (Secure::shop(), StreamTarget::start().await);
    let lb = secure.streams(&[&target], "").start().await;
    let played = async {
        let mut server = target.accept().await;
        assert_eq!(server.rest().await.unwrap(), b"all I say");
        server.send(vec![b'x'; MUCH]).await;
        drop(server);
    };
    let (said, ()) = tokio::join!(python(&secure, &lb, HALF_CLOSE), played);
    assert_eq!(said, format!("{MUCH} True\n"));
    // The other way round: the target says no more, and hears on.
    let program = format!(
        "
stream = connect()
assert read(stream, 9) == b'all I say'
assert stream.recv(1) == b'', 'a close_notify, not an error'
stream.sendall(b'x' * {MUCH})
stream.unwrap()
"
    );
    let played = async {
        let mut server = target.accept().await;
        server.send("all I say").await;
        server.half_close().await;
        assert_eq!(server.rest().await.unwrap().len(), MUCH);
    };
    tokio::join!(python(&secure, &lb, &program), played);
    eventually("both streams to be counted", PATIENCE, async || ended(&lb, "completed").await == 2.0).await;
}

#[tokio::test]
async fn a_torn_stream_is_no_end() {
    let (secure, target) = (Secure::shop(), StreamTarget::start().await);
    let lb = secure.streams(&[&target], "").start().await;
    // A client that leaves without a word, as one does that is killed, or as somebody on the way makes it look.
    for program in ["stream.sendall(b'half of it')\nstream.close()", "plain = stream.detach()\nsocket.close(plain)"] {
        let said = if program.contains("half") { "half of it" } else { "" };
        let played = async {
            let mut server = target.accept().await;
            server.assert_reads(said).await;
            server.assert_reset().await;
        };
        let program = format!("stream = connect()\n{program}\n");
        tokio::join!(python(&secure, &lb, &program), played);
    }
    eventually("both to be counted", PATIENCE, async || ended(&lb, "client_left").await == 2.0).await;
    // A target that is reset: the client must not take what it got for the whole.
    let program = "
stream = connect()
assert read(stream, 10) == b'half of it'
try:
    stream.recv(1)
except OSError as error:
    print(type(error).__name__)
";
    let played = async {
        let mut server = target.accept().await;
        server.send("half of it").await;
        pause(ms(100)).await;
        server.reset();
    };
    let (said, ()) = tokio::join!(python(&secure, &lb, program), played);
    assert_eq!(said, "SSLEOFError\n");
    assert_eq!(ended(&lb, "target_failed").await, 1.0);
}

/// Connects, and waits for how the stream ends.
const WAIT: &str = "
stream = connect()
try:
    print(stream.recv(1))
except OSError as error:
    print(type(error).__name__)
";

#[tokio::test]
async fn streams_that_elbow_breaks_off_are_reset() {
    let (secure, mut target) = (Secure::shop(), StreamTarget::start().await);
    let keys = "idle_timeout = \"1s\"\nconnections_max = 1";
    let lb = secure.streams(&[&target], keys).group("on_down = \"reset\"").start().await;
    let waits = async |lb: &Lb| assert_eq!(python(&secure, lb, WAIT).await, "SSLEOFError\n");
    let started = Instant::now();
    let played = async { target.accept().await.assert_reset().await };
    tokio::join!(waits(&lb), played);
    assert!(started.elapsed() >= ms(900), "{:?}", started.elapsed());
    assert_eq!(ended(&lb, "idle").await, 1.0);
    // One too many is reset without a handshake.
    let held = Stream::connect(lb.web()).await;
    eventually("it to be counted", PATIENCE, async || lb.metric("elbow_connections_open", &[]).await == 1.0).await;
    Stream::assert_turned_away(lb.web()).await;
    drop(held);
    eventually("it to be gone", PATIENCE, async || lb.metric("elbow_connections_open", &[]).await == 0.0).await;
    let played = async {
        let mut server = target.accept().await;
        target.fail_checks().await;
        server.assert_reset().await;
    };
    tokio::join!(waits(&lb), played);
    assert_eq!(ended(&lb, "target_down").await, 1.0);
}

#[tokio::test]
async fn a_stop_lets_streams_finish_until_its_timeout() {
    let (secure, target) = (Secure::shop(), StreamTarget::start().await);
    let lb = secure.streams(&[&target], "").top("[shutdown]\ntimeout = \"1s\"").start().await;
    let started = Instant::now();
    let played = async {
        let mut server = target.accept().await;
        lb.signal(rustix::process::Signal::TERM);
        server.assert_reset().await;
    };
    let (said, ()) = tokio::join!(python(&secure, &lb, WAIT), played);
    assert_eq!(said, "SSLEOFError\n");
    assert!(started.elapsed() >= ms(900), "{:?}", started.elapsed());
}

/// Says hello over new streams from several threads until there is a file `stop`; half of them keep theirs for a while.
const LOAD: &str = r#"
import os, time
failed, done, lock = [], [0], threading.Lock()
def ask(number):
    while not os.path.exists("stop"):
        try:
            stream = connect()
            for _ in range(20 if number % 2 == 0 else 1):
                stream.sendall(b"hello")
                assert read(stream, 5) == b"hello"
            stream.close()
            with lock: done[0] += 1
        except Exception as error:
            with lock: failed.append(repr(error))
threads = [threading.Thread(target=ask, args=(number,)) for number in range(6)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(done[0], len(failed), failed[:3])
"#;

fn none_failed(said: &str) -> u32 {
    let mut numbers = said.split(' ');
    let done = numbers.next().unwrap().parse().unwrap();
    assert_eq!(numbers.next(), Some("0"), "{said}");
    done
}

#[tokio::test]
async fn certificates_are_swapped_twenty_times_under_load_and_no_stream_fails() {
    let (secure, target) = (Secure::shop(), StreamTarget::echoing().await);
    let lb = secure.streams(&[&target], "").start().await;
    let swap = async {
        for round in 0..20 {
            let issued = secure.ca.issue(&["shop.example", "127.0.0.1"]);
            secure.replace("shop", &issued);
            if round % 2 == 0 {
                let answer = lb.admin().post("/v1/reload", "").await;
                assert_eq!(answer.status, 200, "{}", answer.text());
            }
            let fresh = issued.certificate.trim().replace("\r\n", "\n");
            eventually("the new certificate to be shown", PATIENCE, async || {
                let arguments = ["-servername", "shop.example", "-showcerts"];
                secure.s_client(lb.web(), &arguments, "Q\n").await.contains(&fresh)
            })
            .await;
        }
        secure.write("stop", "");
    };
    let (said, ()) = tokio::join!(python(&secure, &lb, LOAD), swap);
    let done = none_failed(&said);
    assert!(done > 100, "{said}");
    eprintln!("{done} streams over 20 swaps, none failed");
}

#[tokio::test]
async fn targets_come_and_go_under_load_and_no_stream_fails() {
    let targets = [StreamTarget::echoing().await, StreamTarget::echoing().await, StreamTarget::echoing().await];
    let secure = Secure::shop();
    let keys = "algorithm = \"round_robin\"\nderegistration_delay = \"20s\"";
    let lb = secure.streams(&[&targets[0]], "").group(keys).start().await;
    let change = async {
        for round in 0..4 {
            for target in &targets[1..] {
                let path = format!("/v1/target-groups/app/targets/{}", target.address().ip());
                let body = format!("{{\"address\": \"{}\"}}", target.address());
                let put = lb.admin().put(&format!("{path}?wait=healthy"), &body).await;
                assert!(put.status < 300, "{round}: {}", put.text());
                let before = lb.metric("elbow_target_connections_total", &[]).await;
                eventually("more streams", PATIENCE, async || {
                    lb.metric("elbow_target_connections_total", &[]).await > before + 10.0
                })
                .await;
                let gone = lb.admin().delete(&format!("{path}?wait=drained&timeout=15s")).await;
                assert_eq!(gone.status, 200, "{}", gone.text());
            }
        }
        secure.write("stop", "");
    };
    let (said, ()) = tokio::join!(python(&secure, &lb, LOAD), change);
    assert!(none_failed(&said) > 50, "{said}");
}

#[tokio::test]
async fn one_source_goes_to_one_target() {
    let targets = [StreamTarget::start().await, StreamTarget::start().await, StreamTarget::start().await];
    let secure = Secure::shop();
    let keys = "[target_group.stickiness]\ntype = \"source_ip\"";
    let lb = secure.streams(&[&targets[0], &targets[1], &targets[2]], "").group(keys).start().await;
    let program = "
for round in range(3):
    for last in range(1, 25):
        stream = connect(f'127.0.0.{last}')
        read(stream, 1)
        stream.close()
";
    let echo = async {
        for _ in 0..72 {
            let mut server = tokio::select! {
                stream = targets[0].accept() => stream,
                stream = targets[1].accept() => stream,
                stream = targets[2].accept() => stream,
            };
            server.send("x").await;
        }
    };
    tokio::join!(python(&secure, &lb, program), echo);
    for target in ["t0", "t1", "t2"] {
        let count = lb.metric("elbow_target_connections_total", &[("target", target)]).await;
        assert!(count > 0.0 && count % 3.0 == 0.0, "{target}: {count} of 24 sources three times");
    }
}
