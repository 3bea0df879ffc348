//! What is no handshake, or a hostile one: it ends that connection alone, soon, is counted, and costs little.

use std::time::Instant;

use crate::harness::*;

/// What a client sends, and how that counts.
struct Case {
    what: &'static str,
    bytes: Vec<u8>,
    /// Ends its sending half after that.
    ends: bool,
    result: &'static str,
}

fn case(what: &'static str, bytes: impl AsRef<[u8]>, result: &'static str) -> Case {
    Case { what, bytes: bytes.as_ref().to_vec(), ends: false, result }
}

fn record(kind: u8, version: u16, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap();
    [&[kind], &version.to_be_bytes()[..], &length.to_be_bytes(), body].concat()
}

fn handshake(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind], &u32::try_from(body.len()).unwrap().to_be_bytes()[1..], body].concat()
}

fn vector(length_bytes: usize, body: &[u8]) -> Vec<u8> {
    let length = u64::try_from(body.len()).unwrap().to_be_bytes();
    [&length[8 - length_bytes..], body].concat()
}

fn extension(kind: u16, body: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &vector(2, body)].concat()
}

/// A ClientHello that is right in itself, but for what is said otherwise.
struct Hello {
    version: u16,
    suites: Vec<u16>,
    versions: Vec<u16>,
    groups: Vec<u16>,
    schemes: Vec<u16>,
    share: (u16, Vec<u8>),
    compressions: Vec<u8>,
    more: Vec<u8>,
}

impl Default for Hello {
    fn default() -> Self {
        Self {
            version: 0x0303,
            suites: vec![0x1301, 0xc02b, 0xc02f],
            versions: vec![0x0304, 0x0303],
            groups: vec![0x001d],
            schemes: vec![0x0403, 0x0804],
            share: (0x001d, vec![9; 32]),
            compressions: vec![0],
            more: Vec::new(),
        }
    }
}

impl Hello {
    fn body(&self) -> Vec<u8> {
        let words = |words: &[u16]| words.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<_>>();
        let share = [&self.share.0.to_be_bytes()[..], &vector(2, &self.share.1)].concat();
        let extensions = [
            extension(43, &vector(1, &words(&self.versions))),
            extension(10, &vector(2, &words(&self.groups))),
            extension(13, &vector(2, &words(&self.schemes))),
            extension(51, &vector(2, &share)),
            self.more.clone(),
        ];
        [
            &self.version.to_be_bytes()[..],
            &[7; 32],
            &vector(1, &[5; 32]),
            &vector(2, &words(&self.suites)),
            &vector(1, &self.compressions),
            &vector(2, &extensions.concat()),
        ]
        .concat()
    }

    fn message(&self) -> Vec<u8> {
        handshake(1, &self.body())
    }

    fn record(&self) -> Vec<u8> {
        record(22, 0x0301, &self.message())
    }
}

fn server_name(name: &[u8]) -> Vec<u8> {
    extension(0, &vector(2, &[&[0][..], &vector(2, name)].concat()))
}

fn garbage() -> Vec<Case> {
    let whole = Hello::default().record();
    let truncated = |at: usize, what| Case { what, bytes: whole[..at].to_vec(), ends: true, result: "client_left" };
    vec![
        Case { what: "nothing", bytes: Vec::new(), ends: true, result: "client_left" },
        truncated(3, "half of a record's head"),
        truncated(5, "a record's head alone"),
        truncated(6, "the first byte of a hello"),
        truncated(40, "a hello that ends in its random"),
        truncated(whole.len() - 1, "a hello less its last byte"),
        case("zeros", [0; 600], "malformed"),
        case("ones", [0xff; 600], "malformed"),
        case("a newline", "\r\n\r\n", "malformed"),
        case("HTTP", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "plaintext"),
        case("HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "plaintext"),
        case("SSH", "SSH-2.0-OpenSSH_9.2\r\n", "plaintext"),
        case("PROXY", "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", "plaintext"),
        case("PROXY v2", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c0123456789ab", "malformed"),
        case("SSLv2", [&[0x80, 0x2e, 1, 0, 2, 0, 0x15, 0, 0, 0, 0x10][..], &[0x41; 60]].concat(), "malformed"),
    ]
}

fn records() -> Vec<Case> {
    let hello = Hello::default();
    let message = hello.message();
    let pieces = |size: usize| message.chunks(size).map(|piece| record(22, 0x0301, piece)).collect::<Vec<_>>().concat();
    let too_long = [&[22, 3, 1, 0xff, 0xff][..], &[0; 70_000]].concat();
    let endless = handshake(1, &[0; 0xffff]);
    let endless = endless.chunks(16_000).map(|piece| record(22, 0x0301, piece)).collect::<Vec<_>>().concat();
    let claims = |length: u32| {
        let mut body = vec![1];
        body.extend_from_slice(&length.to_be_bytes()[1..]);
        record(22, 0x0301, &[&body[..], &[0; 100]].concat())
    };
    vec![
        case("a record longer than any", too_long, "malformed"),
        case("a hello of 64 KiB of zeros", endless, "malformed"),
        case("a hello that claims 16 MiB", [claims(0xff_ffff), vec![0; 9]].concat(), "malformed"),
        case("an empty handshake record", record(22, 0x0301, &[]).repeat(2000), "malformed"),
        case("an empty application record", record(23, 0x0303, &[]), "malformed"),
        case("application data first", record(23, 0x0303, &[0; 64]), "malformed"),
        case("an alert first", record(21, 0x0303, &[2, 40]), "refused_by_client"),
        case("a change of ciphers first", record(20, 0x0303, &[1]), "malformed"),
        case("a heartbeat that asks for more than it has", record(24, 0x0303, &[1, 0x40, 0]), "malformed"),
        case("a record of an unknown kind", record(99, 0x0303, &[0; 10]), "malformed"),
        case("a record of an unknown version", record(22, 0x9999, &message), "malformed"),
        case("a hello in pieces, then garbage", [pieces(50), vec![0xee; 300]].concat(), "malformed"),
        case("a hello byte by byte, then garbage", [pieces(1), vec![0xee; 300]].concat(), "malformed"),
        case("a hello twice", hello.record().repeat(2), "malformed"),
        case("a hello and application data", [hello.record(), record(23, 0x0303, &[1; 99])].concat(), "malformed"),
        case("a server's hello", record(22, 0x0303, &handshake(2, &hello.body())), "malformed"),
        case("a finish first", record(22, 0x0303, &handshake(20, &[0; 12])), "malformed"),
        case("a key update first", record(22, 0x0303, &handshake(24, &[0])), "malformed"),
        case("a handshake of an unknown kind", record(22, 0x0303, &handshake(77, &[0; 12])), "malformed"),
    ]
}

fn hellos() -> Vec<Case> {
    let with = |change: &dyn Fn(&mut Hello)| {
        let mut hello = Hello::default();
        change(&mut hello);
        hello.record()
    };
    let cut = |by: usize| {
        let body = Hello::default().body();
        record(22, 0x0301, &handshake(1, &body[..body.len() - by]))
    };
    let padded = [Hello::default().body(), vec![0; 10]].concat();
    let none = "nothing_in_common";
    vec![
        case("a hello that ends within an extension", cut(7), "malformed"),
        case("a hello without its last byte", cut(1), "malformed"),
        case("bytes behind the extensions", record(22, 0x0301, &handshake(1, &padded)), "malformed"),
        case("SSL 3.0", with(&|hello| (hello.version, hello.versions) = (0x0300, vec![0x0300])), none),
        case("TLS 1.0", with(&|hello| (hello.version, hello.versions) = (0x0301, vec![0x0301])), none),
        case("TLS 1.1", with(&|hello| hello.versions = vec![0x0302]), none),
        case("a version of the future", with(&|hello| hello.versions = vec![0x0399]), none),
        case("no version", with(&|hello| hello.versions = vec![]), "malformed"),
        case("no cipher suite", with(&|hello| hello.suites = vec![]), "malformed"),
        case("unknown cipher suites", with(&|hello| hello.suites = vec![0x5a5a; 9]), none),
        case("export ciphers", with(&|hello| (hello.suites, hello.versions) = (vec![3, 6, 8], vec![0x0303])), none),
        case(
            "RSA key exchange",
            with(&|hello| (hello.suites, hello.versions) = (vec![0x2f, 0x9c], vec![0x0303])),
            none,
        ),
        case("thousands of cipher suites", with(&|hello| hello.suites = vec![0x5a5a; 7000]), none),
        case("no groups", with(&|hello| hello.groups = vec![]), "malformed"),
        case("unknown groups", with(&|hello| (hello.groups, hello.share.0) = (vec![0x5a5a], 0x5a5a)), none),
        case("no signature schemes", with(&|hello| hello.schemes = vec![]), "malformed"),
        case("signatures by SHA-1 only", with(&|hello| hello.schemes = vec![0x0203]), none),
        case("a share that is a byte short", with(&|hello| hello.share.1 = vec![9; 31]), "malformed"),
        case("a share of zeros", with(&|hello| hello.share.1 = vec![0; 32]), "malformed"),
        case("a share of 8 KiB", with(&|hello| hello.share.1 = vec![9; 8192]), "malformed"),
        case("compression", with(&|hello| hello.compressions = vec![1]), none),
        case("the same extension twice", with(&|hello| hello.more = extension(43, &[2, 3, 4])), "malformed"),
        case("an extension longer than the rest", with(&|hello| hello.more = vec![0, 99, 0xff, 0xff]), "malformed"),
        case("an empty name", with(&|hello| hello.more = server_name(b"")), "malformed"),
        case("two names", with(&|hello| hello.more = server_name(b"a.example").repeat(2)), "malformed"),
        case("only another protocol", with(&|hello| hello.more = extension(16, &vector(2, &vector(1, b"h2")))), none),
        case("an empty protocol", with(&|hello| hello.more = extension(16, &vector(2, &vector(1, b"")))), "malformed"),
    ]
}

async fn counted(lb: &Lb) -> f64 {
    lb.metric("elbow_tls_handshakes_total", &[("listener", "web")]).await
}

#[tokio::test]
async fn what_is_no_handshake_ends_that_connection_alone() {
    assert_each_ends_alone("https", "http", "head_timeout = \"2s\"").await;
}

#[tokio::test]
async fn neither_do_others_suffer_where_streams_are_passed_on() {
    assert_each_ends_alone("tls", "tcp", "head_timeout = \"2s\"\nalpn = [\"http/1.1\"]").await;
}

async fn assert_each_ends_alone(protocol: &str, group: &str, keys: &str) {
    let (secure, upstream) = (Secure::shop(), Upstream::answering("hello").await);
    let setup = Setup::targets(&[&upstream]).group(&format!("protocol = \"{group}\""));
    let lb = secure.before(setup, protocol, keys).start().await;
    let mut wrong = Vec::new();
    for Case { what, bytes, ends, result } in garbage().into_iter().chain(records()).chain(hellos()) {
        let before = (counted(&lb).await, lb.metric("elbow_tls_handshakes_total", &[("result", result)]).await);
        let started = Instant::now();
        let mut client = lb.connect().await;
        client.send(&bytes).await;
        if ends {
            client.half_close().await;
        }
        let mut said = Vec::new();
        while let Some(more) = client.read_some().await {
            said.extend_from_slice(&more);
        }
        // Only where HTTP is spoken is HTTP an answer.
        let is_told = said.starts_with(b"HTTP/1.1 400 ");
        let took = started.elapsed();
        eventually(&format!("the end of {what} to be counted"), PATIENCE, async || counted(&lb).await > before.0).await;
        let after = lb.metric("elbow_tls_handshakes_total", &[("result", result)]).await;
        if is_told != (result == "plaintext" && protocol == "https") {
            wrong.push(format!("{what}: told {:?}", String::from_utf8_lossy(&said)));
        }
        if after != before.1 + 1.0 || took > ms(1500) {
            wrong.push(format!("{what}: not {result}, or too late: {took:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(lb.metric("elbow_connections_open", &[]).await, 0.0);
    assert_eq!(lb.metric("elbow_worker_panics_total", &[]).await, 0.0);
    assert_eq!(upstream.requests(), 0);
    assert_eq!(secure.curl(lb.web(), "/", &[]).await.stdout, b"hello");
}

#[tokio::test]
async fn a_handshake_has_its_time() {
    let (secure, upstream) = (Secure::shop(), Upstream::answering("hello").await);
    let lb = secure.setup(&[&upstream], "head_timeout = \"1s\"").start().await;
    let hello = Hello::default().record();
    // One says nothing, one half of it, one all of it and then no more, and one a byte now and then.
    let (mut silent, mut half, mut whole) = (lb.connect().await, lb.connect().await, lb.connect().await);
    let started = Instant::now();
    half.send(&hello[..20]).await;
    whole.send(&hello).await;
    let mut slow = lb.connect().await;
    for byte in &hello {
        if started.elapsed() > ms(1300) {
            break;
        }
        slow.send([*byte]).await;
        pause(ms(15)).await;
    }
    for client in [&mut silent, &mut half, &mut whole, &mut slow] {
        while client.read_some().await.is_some() {}
    }
    assert!(started.elapsed() < ms(4000), "{:?}", started.elapsed());
    eventually("all to be counted", PATIENCE, async || {
        lb.metric("elbow_tls_handshakes_total", &[("result", "timeout")]).await == 4.0
    })
    .await;
}

#[tokio::test]
async fn many_half_handshakes_cost_little_and_hold_nobody_up() {
    let (secure, upstream) = (Secure::shop(), Upstream::answering("hello").await);
    let setup = secure.setup(&[&upstream], "head_timeout = \"20s\"").one_worker().files_max(8000);
    let lb = setup.start().await;
    assert!(secure.curl(lb.web(), "/", &[]).await.status.success());
    let before = lb.resident_kib();
    let hello = Hello::default().record();
    let mut held = Vec::new();
    for _ in 0..400 {
        let mut client = lb.connect().await;
        client.send(&hello).await;
        held.push(client);
    }
    for client in &mut held {
        assert!(client.read_some().await.is_some(), "a server's hello");
    }
    let each = (lb.resident_kib().saturating_sub(before)) / 400;
    assert!(each < 64, "{each} KiB for each");
    assert_eq!(secure.curl(lb.web(), "/", &[]).await.stdout, b"hello");
    drop(held);
    eventually("all of them to be gone", PATIENCE, async || lb.metric("elbow_connections_open", &[]).await == 0.0)
        .await;
}
