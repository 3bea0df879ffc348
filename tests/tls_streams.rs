//! Streams over TLS: what is within is passed on as it is, with curl, openssl and Python as clients.

use std::process::Output;

use crate::harness::*;

/// So many bytes that every buffer on the way overflows.
const MUCH: usize = 10 << 20;

/// What each program begins with: `connect` shakes hands with the listener that the arguments name.
const PYTHON: &str = r#"
import socket, ssl, sys, threading
context = ssl.create_default_context(cafile="ca.pem")
def connect(source="127.0.0.1"):
    plain = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=20, source_address=(source, 0))
    return context.wrap_socket(plain, server_hostname="shop.example")
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
    let program = format!(
        r#"
import hashlib, os
much = os.urandom({MUCH})
stream = connect()
sender = threading.Thread(target=lambda: stream.sendall(much))
sender.start()
got = read(stream, len(much))
sender.join()
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
