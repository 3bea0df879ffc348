//! Targets that get TLS wrong on purpose: each costs its own connection, in bounded time, and is told apart.

use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::harness::*;

/// What a target does with a connection, once it has had something of the handshake.
#[derive(Debug, Clone)]
enum Wrong {
    Says(Vec<u8>),
    /// The same again and again.
    Repeats(Vec<u8>),
    Closes,
    Stalls,
}

/// A target that gets it wrong, behind a check that it passes.
async fn target(wrong: Wrong) -> std::net::SocketAddr {
    let listener = TcpListener::bind((own_address(), 8443)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let wrong = wrong.clone();
            tokio::spawn(async move {
                let mut hello = [0; 4096];
                if !matches!(stream.read(&mut hello).await, Ok(1..)) {
                    return;
                }
                match wrong {
                    Wrong::Says(bytes) => drop(stream.write_all(&bytes).await),
                    Wrong::Repeats(bytes) => while stream.write_all(&bytes).await.is_ok() {},
                    Wrong::Closes => return,
                    Wrong::Stalls => {}
                }
                // Until elbow goes.
                let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
            });
        }
    });
    address
}

#[tokio::test]
async fn each_mistake_of_a_target_costs_its_connection_and_no_more() {
    // A ServerHello of 1 MiB that never ends, in records of 16 KiB.
    let endless = [&[22, 3, 3, 0x40, 0][..], &[2, 0x10, 0, 0][..], &vec![0; 0x3ffc]].concat();
    let cases = [
        ("noise", Wrong::Says(vec![0xff; 300]), "malformed", 502, "tls_protocol_error"),
        ("HTTP in the clear", Wrong::Says(b"HTTP/1.1 400 Bad\r\n\r\n".into()), "malformed", 502, "tls_protocol_error"),
        (
            "a huge record",
            Wrong::Says([&[22, 3, 3, 0xff, 0xff][..], &[0; 70_000]].concat()),
            "malformed",
            502,
            "tls_protocol_error",
        ),
        ("an endless message", Wrong::Repeats(endless), "malformed", 502, "tls_protocol_error"),
        ("an alert", Wrong::Says(vec![21, 3, 3, 0, 2, 2, 40]), "refused_by_target", 502, "tls_alert_received"),
        ("the end", Wrong::Closes, "target_left", 502, "tls_protocol_error"),
        ("silence", Wrong::Stalls, "timeout", 504, "connection_timeout"),
    ];
    for (what, wrong, result, status, error) in cases {
        let address = target(wrong).await;
        let keys = "protocol = \"https\"\nconnect_timeout = \"500ms\"\nejection = { failures = 0 }";
        let check = "protocol = \"tcp\"\ninterval = \"300s\"\ntimeout = \"5s\"";
        let lb = Setup::default().group(keys).health_check(check).target_at("t0", address, "").start().await;
        let began = Instant::now();
        let response = lb.get("/").await;
        assert!(began.elapsed() < PATIENCE / 2, "{what}: {:?}", began.elapsed());
        response.assert_made_by_elbow(status);
        assert_eq!(response.header("proxy-status"), Some(&*format!("elbow; error={error}")), "{what}");
        let counted = [("target_group", "app"), ("result", result)];
        let count = lb.metric("elbow_target_tls_handshakes_total", &counted).await;
        assert!(count >= 1.0, "{what} is counted as {result}: {count}");
    }
}

#[tokio::test]
async fn a_chain_of_a_mebibyte_is_too_long() {
    let ca = Ca::new("Any");
    let mut issued = ca.issue(&["app.internal"]);
    while issued.certificate.len() < 1 << 20 {
        issued.certificate.push_str(ca.pem());
    }
    let target = TlsTarget::openssl(&issued, &["-cert_chain", "cert.pem", "-www"]).await;
    let check = "protocol = \"tcp\"\ninterval = \"300s\"\ntimeout = \"5s\"";
    let setup = Setup::default().group("protocol = \"https\"").health_check(check);
    let lb = setup.target_at("t0", target.address(), "").start().await;
    let response = lb.get("/").await;
    response.assert_made_by_elbow(502);
    assert_eq!(response.header("proxy-status"), Some("elbow; error=tls_protocol_error"));
}
