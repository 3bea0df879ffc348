//! TLS to targets, with nginx, openssl and Python as such: whose certificates are accepted, what targets are asked and
//! shown, connections that are kept and sessions that are resumed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::SystemTime;

use crate::harness::*;

/// So many bytes that every buffer on the way overflows.
const MUCH: usize = 10 << 20;
/// A check over TLS, whose verdicts come within fractions of a second.
const TLS_CHECK: &str = "protocol = \"tls\"\ninterval = \"300ms\"\ntimeout = \"290ms\"\nunhealthy_threshold = 1";
/// A check that says nothing of TLS.
const TCP_CHECK: &str = "protocol = \"tcp\"\ninterval = \"300s\"\ntimeout = \"5s\"";

/// A group `app` with these keys before such targets.
fn setup(targets: &[&TlsTarget], keys: &str) -> Setup {
    let setup = Setup::default().group("protocol = \"https\"").group(keys).health_check(TCP_CHECK);
    let named = targets.iter().enumerate();
    named.fold(setup, |setup, (index, target)| setup.target_at(&format!("t{index}"), target.address(), ""))
}

fn by_ca(secure: &Secure) -> String {
    format!("tls_verify = \"ca\"\ntls_ca = \"{}\"", secure.path("ca.pem").display())
}

async fn handshakes(lb: &Lb, result: &str) -> f64 {
    lb.metric("elbow_target_tls_handshakes_total", &[("target_group", "app"), ("result", result)]).await
}

/// What the API says why a target is as it is.
async fn reason(lb: &Lb, id: &str) -> String {
    let targets = lb.admin().targets("app").await;
    let target = targets.into_iter().find(|target| target["id"] == id).unwrap_or_else(|| panic!("no target {id}"));
    target["reason"].as_str().unwrap().to_owned()
}

fn day(time: SystemTime) -> String {
    let time = time::OffsetDateTime::from(time);
    format!("{:04}-{:02}-{:02}", time.year(), u8::from(time.month()), time.day())
}

#[tokio::test]
async fn any_certificate_will_do_unless_something_is_asked_of_it() {
    let (stranger, now) = (Ca::new("Stranger"), SystemTime::now());
    let issued = stranger.issue_between(&["other.example"], now - 30 * DAY, now - DAY);
    let target = TlsTarget::nginx(&issued, TOLD).await;
    let lb = setup(&[&target], "").start().await;
    let response = lb.get("/").await;
    assert_eq!(response.status, 200, "{}", response.text());
    assert!(response.text().contains("sni= "), "an address has no name to ask for: {}", response.text());
    assert_eq!(handshakes(&lb, "success").await, 1.0);
}

#[tokio::test]
async fn a_short_old_key_will_do_where_nothing_is_asked() {
    let directory = tempfile::tempdir().unwrap();
    let arguments = "req -x509 -newkey rsa:1024 -nodes -keyout key.pem -out cert.pem -days 1 -subj /CN=old";
    let mut openssl = tokio::process::Command::new("openssl");
    let output = openssl.args(arguments.split(' ')).current_dir(directory.path()).output().await.unwrap();
    assert!(output.status.success(), "{output:?}");
    let read = |name: &str| std::fs::read_to_string(directory.path().join(name)).unwrap();
    let issued = Issued { certificate: read("cert.pem"), key: read("key.pem") };
    for versions in ["TLSv1.2", "TLSv1.3"] {
        let weak = format!("ssl_ciphers DEFAULT@SECLEVEL=0; ssl_protocols {versions};");
        let target = TlsTarget::nginx_with(&issued, "ssl", &weak, TOLD).await;
        let lb = setup(&[&target], "").start().await;
        let response = lb.get("/").await;
        assert!(response.text().contains(&format!("protocol={versions}")), "{}", response.text());
        let pin = pin_of(&directory.path().join("cert.pem")).await;
        let pinned = format!("tls_verify = \"pinned\"\ntls_pinned_keys = [\"{pin}\"]");
        let lb = setup(&[&target], &pinned).start().await;
        let response = lb.get("/").await;
        response.assert_made_by_elbow(502);
        assert!(response.text().contains("its public key is too short to be checked"), "{}", response.text());
    }
}

#[tokio::test]
async fn targets_are_accepted_by_who_vouches_for_them_and_by_their_names() {
    let secure = Secure::new();
    let named = TlsTarget::nginx(&secure.ca.issue(&["app.internal", "other.internal"]), TOLD).await;
    let asked = format!("{}\ntls_server_name = \"app.internal\"", by_ca(&secure));
    let lb = setup(&[&named], &asked).health_check(TLS_CHECK).start().await;
    let response = lb.get("/").await;
    assert!(response.text().contains("sni=app.internal "), "{}", response.text());
    lb.until("app", "t0", "healthy").await;
    assert!(reason(&lb, "t0").await.contains("a TLS handshake with"), "{}", reason(&lb, "t0").await);

    // Without a name it is the address that counts, or the host of the target.
    let lb = setup(&[&named], &by_ca(&secure)).health_check(TLS_CHECK).start().await;
    lb.until("app", "t0", "unhealthy").await;
    let expected = format!("its certificate is for app.internal, other.internal, and not for {}", named.address().ip());
    assert!(reason(&lb, "t0").await.contains(&expected), "{}", reason(&lb, "t0").await);
    let response = lb.get("/").await;
    response.assert_made_by_elbow(502);
    assert_eq!(response.header("proxy-status"), Some("elbow; error=tls_certificate_error"));
    assert!(response.text().contains("its certificate is for another name"), "{}", response.text());
    assert!(handshakes(&lb, "certificate").await >= 1.0);

    let local = TlsTarget::nginx_at([127, 0, 0, 1].into(), &secure.ca.issue(&["127.0.0.1", "localhost"]), TOLD).await;
    for (host, sni) in [("127.0.0.1", "sni= "), ("localhost", "sni=localhost ")] {
        let port = local.address().port();
        let target = format!("[[target_group.target]]\nid = \"t0\"\naddress = \"{host}:{port}\"\n");
        let lb = setup(&[], &by_ca(&secure)).more(&target).start().await;
        let response = lb.get("/").await;
        assert!(response.text().contains(sni), "{host}: {}", response.text());
    }
}

#[tokio::test]
async fn who_is_not_accepted_is_told_by_checks_in_plain_words() {
    let (secure, stranger, now) = (Secure::new(), Ca::new("Stranger"), SystemTime::now());
    let name = &["app.internal"][..];
    let expired = TlsTarget::nginx(&secure.ca.issue_between(name, now - 30 * DAY, now - DAY), TOLD).await;
    let early = TlsTarget::nginx(&secure.ca.issue_between(name, now + DAY, now + 30 * DAY), TOLD).await;
    let strange = TlsTarget::nginx(&stranger.issue(name), TOLD).await;
    let client = TlsTarget::nginx(&secure.ca.issue_client("somebody"), TOLD).await;
    let plain = TlsTarget::nginx_with(&secure.ca.issue(name), "", "", TOLD).await;
    let asked = format!("{}\ntls_server_name = \"app.internal\"", by_ca(&secure));
    let check = "protocol = \"https\"\ninterval = \"300ms\"\ntimeout = \"290ms\"\nunhealthy_threshold = 1";
    let lb = setup(&[&expired, &early, &strange, &client, &plain], &asked).health_check(check).start().await;
    let expected = [
        format!("its certificate expired on {}", day(now - DAY)),
        format!("its certificate does not hold before {}", day(now + DAY)),
        "its certificate is signed by nobody in tls_ca".to_owned(),
        "its certificate is not for servers".to_owned(),
        "what it says is not valid TLS".to_owned(),
    ];
    for (index, expected) in expected.iter().enumerate() {
        let id = format!("t{index}");
        lb.until("app", &id, "unhealthy").await;
        let reason = reason(&lb, &id).await;
        assert!(reason.starts_with("no TLS with ") && reason.contains(expected), "{reason}, and not {expected}");
    }
}

#[tokio::test]
async fn a_certificate_that_stands_in_tls_ca_itself_is_accepted() {
    let directory = tempfile::tempdir().unwrap();
    let arguments = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -out cert.pem -days 1 \
                     -subj /CN=app -addext subjectAltName=DNS:app.internal";
    let mut openssl = tokio::process::Command::new("openssl");
    let output = openssl.args(arguments.split_whitespace()).current_dir(directory.path()).output().await.unwrap();
    assert!(output.status.success(), "{output:?}");
    let read = |name: &str| std::fs::read_to_string(directory.path().join(name)).unwrap();
    let target = TlsTarget::nginx(&Issued { certificate: read("cert.pem"), key: read("key.pem") }, TOLD).await;
    let ca = directory.path().join("cert.pem");
    for (name, status) in [("app.internal", 200), ("other.internal", 502)] {
        let asked = format!("tls_verify = \"ca\"\ntls_ca = \"{}\"\ntls_server_name = \"{name}\"", ca.display());
        let lb = setup(&[&target], &asked).start().await;
        assert_eq!(lb.get("/").await.status, status, "{name}");
    }
}

#[tokio::test]
async fn a_pinned_key_is_all_that_counts() {
    let (secure, now) = (Secure::new(), SystemTime::now());
    for kind in [CaKind::Ecdsa, CaKind::Rsa] {
        let issued = Ca::new("Stranger").issue_with(&["other.example"], kind, |params| {
            (params.not_before, params.not_after) = ((now - 30 * DAY).into(), (now - DAY).into());
        });
        secure.replace("target", &issued);
        let pin = pin_of(&secure.path("target.pem")).await;
        for versions in ["TLSv1.2", "TLSv1.3"] {
            let target = TlsTarget::nginx_with(&issued, "ssl", &format!("ssl_protocols {versions};"), TOLD).await;
            let curls = pin.replace("sha256/", "sha256//");
            let asked = format!("tls_verify = \"pinned\"\ntls_pinned_keys = [\"{curls}\"]");
            let lb = setup(&[&target], &asked).health_check(TLS_CHECK).start().await;
            assert_eq!(lb.get("/").await.status, 200, "{}", lb.logs());
            lb.until("app", "t0", "healthy").await;
        }
    }
    let target = TlsTarget::nginx(&secure.ca.issue(&["app.internal"]), TOLD).await;
    let pin = pin_of(&secure.path("target.pem")).await;
    let asked = format!("tls_verify = \"pinned\"\ntls_pinned_keys = [\"{pin}\"]");
    let lb = setup(&[&target], &asked).health_check(TLS_CHECK).start().await;
    lb.until("app", "t0", "unhealthy").await;
    let reason = reason(&lb, "t0").await;
    assert!(reason.contains("its public key is not among the pinned ones"), "{reason}");
    let response = lb.get("/").await;
    assert_eq!(response.header("proxy-status"), Some("elbow; error=tls_certificate_error"));
}

#[tokio::test]
async fn a_certificate_is_shown_to_targets_that_ask_for_one() {
    let secure = Secure::new();
    let shown = secure.ca.issue_client("lb");
    let secure = secure.with("lb", &shown);
    let issued = secure.ca.issue(&["app.internal"]);
    let asks = format!("ssl_client_certificate {}; ssl_verify_client on;", secure.path("ca.pem").display());
    let target = TlsTarget::nginx_with(&issued, "ssl", &asks, TOLD).await;
    let lb = setup(&[&target], "tls_certificate = \"lb\"").more(secure.tables()).start().await;
    let response = lb.get("/").await;
    assert_eq!(response.status, 200, "{}", response.text());
    assert!(response.text().contains("CN=lb"), "{}", response.text());
    let response = lb.admin().delete("/v1/certificates/lb").await;
    assert_eq!(response.status, 409, "{}", response.text());

    // openssl ends the handshake where none is shown: with TLS 1.2 within it, with 1.3 after it.
    let ca = secure.path("ca.pem").display().to_string();
    for (version, result) in [("-tls1_2", "refused_by_target"), ("-tls1_3", "success")] {
        let target = TlsTarget::openssl(&issued, &[version, "-www", "-Verify", "1", "-CAfile", &ca]).await;
        let lb = setup(&[&target], "").health_check(TLS_CHECK).start().await;
        lb.until("app", "t0", "unhealthy").await;
        assert!(reason(&lb, "t0").await.contains("it refused the handshake"), "{}", reason(&lb, "t0").await);
        lb.get("/").await.assert_made_by_elbow(502);
        assert!(handshakes(&lb, result).await >= 1.0, "{version}");
        let lb = setup(&[&target], "tls_certificate = \"lb\"").more(secure.tables()).health_check(TLS_CHECK);
        let lb = lb.start().await;
        lb.until("app", "t0", "healthy").await;
    }
}

#[tokio::test]
async fn connections_are_kept_and_sessions_resumed() {
    let secure = Secure::new();
    for versions in ["TLSv1.2", "TLSv1.3"] {
        let issued = secure.ca.issue(&["app.internal"]);
        let target = TlsTarget::nginx_with(&issued, "ssl", &format!("ssl_protocols {versions};"), TOLD).await;
        let keys = format!("{}\ntls_server_name = \"app.internal\"\nkeepalive_timeout = \"500ms\"", by_ca(&secure));
        let lb = setup(&[&target], &keys).one_worker().start().await;
        let mut client = lb.connect().await;
        for _ in 0..50 {
            assert_eq!(client.get("/").await.status, 200);
            // What must not be sent twice asks the kernel whether the target is still there.
            let post = {
                client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx").await;
                client.response().await
            };
            assert!([200, 405].contains(&post.status), "{}", post.status);
        }
        assert_eq!((handshakes(&lb, "success").await, handshakes(&lb, "resumed").await), (1.0, 0.0), "{versions}");
        pause(ms(1500)).await;
        assert_eq!(client.get("/").await.status, 200);
        assert_eq!((handshakes(&lb, "success").await, handshakes(&lb, "resumed").await), (1.0, 1.0), "{versions}");
        let requests = target.requests();
        let connections =
            requests.iter().map(|line| line.split(' ').nth(1).unwrap()).collect::<std::collections::BTreeSet<_>>();
        assert_eq!((requests.len(), connections.len()), (101, 2), "{requests:?}");
        assert!(requests[100].starts_with("r "), "{requests:?}");
    }
}

#[tokio::test]
async fn large_bodies_pass_both_ways() {
    let secure = Secure::new();
    let head = format!("HTTP/1.1 200 Scripted\r\nContent-Length: {MUCH}\r\n\r\n");
    let answer = vec![Act::ReadBody, Act::Write(head.into()), Act::Repeat(vec![b'z'; 1024], MUCH as u64 / 1024)];
    let upstream = Upstream::start(move |_| answer.clone()).await;
    let pass =
        format!("proxy_pass http://{}; proxy_http_version 1.1; proxy_request_buffering off;", upstream.address());
    let target = TlsTarget::nginx(&secure.ca.issue(&["app.internal"]), &pass).await;
    let keys = format!("{}\ntls_server_name = \"app.internal\"", by_ca(&secure));
    let lb = setup(&[&target], &keys).start().await;
    let body: Vec<u8> = (0..MUCH).map(|index| (index * 7 + index / 251) as u8).collect();
    let mut client = lb.connect().await;
    for _ in 0..2 {
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len());
        client.send(head).await;
        client.send(&body).await;
        let response = client.response().await;
        assert_eq!(response.status, 200);
        assert!(response.body == vec![b'z'; MUCH], "{} bytes came back", response.body.len());
    }
    assert!(upstream.seen().iter().all(|request| request.body == body), "what was sent arrives");
}

#[tokio::test]
async fn a_websocket_passes_to_a_target_over_tls() {
    const UPGRADE: &str = "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                           Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    const SWITCHING: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                             Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    let upstream = Upstream::start(|_| vec![Act::Write(SWITCHING.into()), Act::Echo]).await;
    let pass = format!(
        "proxy_pass http://{}; proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; \
         proxy_set_header Connection upgrade;",
        upstream.address()
    );
    let target = TlsTarget::nginx(&Ca::new("Any").issue(&["app.internal"]), &pass).await;
    let lb = setup(&[&target], "").start().await;
    let mut client = lb.connect().await;
    client.send(UPGRADE).await;
    assert_eq!(client.response().await.status, 101);
    for _ in 0..20 {
        client.send(vec![b'z'; 50_000]).await;
        client.assert_reads(&vec![b'z'; 50_000]).await;
    }
}

#[tokio::test]
async fn a_stream_over_tls_is_carried_with_its_ends() {
    const ECHO_AT_THE_END: &str = "
def serve(plain):
    try:
        stream = context.wrap_socket(plain, server_side=True)
        got = bytearray()
        while True:
            piece = stream.recv(65536)
            if not piece: break
            got += piece
        stream.sendall(got)
        stream.unwrap().close()
    except OSError: pass
while True:
    threading.Thread(target=serve, args=(listening.accept()[0],), daemon=True).start()
";
    let secure = Secure::shop();
    let target = TlsTarget::python(&secure.ca.issue(&["app.internal"]), ECHO_AT_THE_END).await;
    let keys = format!("protocol = \"tls\"\n{}\ntls_server_name = \"app.internal\"", by_ca(&secure));
    let setup = Setup::default().group(&keys).health_check(TLS_CHECK).target_at("t0", target.address(), "");
    let lb = setup.listener("protocol = \"tcp\"").start().await;
    for size in [10, MUCH] {
        let mut client = Stream::connect(lb.web()).await;
        let bytes: Vec<u8> = (0..size).map(|index| (index * 13 + index / 251) as u8).collect();
        client.send(&bytes).await;
        client.half_close().await;
        assert!(client.rest().await.unwrap() == bytes, "what came back of {size} bytes");
    }
    let ended = [("listener", "web"), ("target_group", "app"), ("end", "completed")];
    eventually("both to be counted", PATIENCE, async || {
        lb.metric("elbow_connections_ended_total", &ended).await == 2.0
    })
    .await;
    assert_eq!(handshakes(&lb, "success").await + handshakes(&lb, "resumed").await, 2.0);
}

#[tokio::test]
async fn a_header_of_the_proxy_protocol_goes_ahead_of_tls() {
    let secure = Secure::new();
    let issued = secure.ca.issue(&["app.internal"]);
    let target = TlsTarget::nginx_with(&issued, "ssl proxy_protocol", "", TOLD).await;
    for version in ["v1", "v2"] {
        let keys = format!("send_proxy = \"{version}\"\n{}\ntls_server_name = \"app.internal\"", by_ca(&secure));
        let lb = setup(&[&target], &keys).health_check(TLS_CHECK).start().await;
        let response = lb.get("/").await;
        assert!(response.text().contains("peer=127.0.0.1"), "{}", response.text());
        lb.until("app", "t0", "healthy").await;
    }
}

#[tokio::test]
async fn checks_need_not_speak_what_traffic_does() {
    let secure = Secure::new();
    let plain = Upstream::answering("plain").await;
    let keys = format!("{}\ntls_server_name = \"app.internal\"", by_ca(&secure));
    let check = |protocol: &str, port: u16| {
        format!("protocol = \"{protocol}\"\nport = {port}\ninterval = \"300ms\"\ntimeout = \"290ms\"")
    };
    // An http group on one address, checked over https at another port of the same.
    let beside = TlsTarget::nginx_at(plain.address().ip(), &secure.ca.issue(&["app.internal"]), TOLD).await;
    let lb = Setup::default().group(&keys).target("t0", &plain, "");
    let lb = lb.health_check(&check("https", beside.address().port())).start().await;
    lb.until("app", "t0", "healthy").await;
    assert!(reason(&lb, "t0").await.contains("GET https://"), "{}", reason(&lb, "t0").await);
    assert_eq!(lb.get("/").await.text(), "plain");
    let lb = setup(&[], &keys).target_at("t0", beside.address(), "");
    let lb = lb.health_check(&check("http", plain.address().port())).start().await;
    lb.until("app", "t0", "healthy").await;
    assert_eq!(lb.get("/").await.status, 200);
}

#[tokio::test]
async fn who_is_not_accepted_costs_no_request_and_is_ejected() {
    let (secure, stranger) = (Secure::new(), Ca::new("Stranger"));
    let good = TlsTarget::nginx(&secure.ca.issue(&["app.internal"]), TOLD).await;
    let bad = TlsTarget::nginx(&stranger.issue(&["app.internal"]), TOLD).await;
    let keys = format!(
        "{}\ntls_server_name = \"app.internal\"\nalgorithm = \"round_robin\"\n\
         ejection = {{ failures = 3, duration = \"5m\" }}",
        by_ca(&secure)
    );
    let lb = setup(&[&good, &bad], &keys).environment("RUST_LOG", "debug").start().await;
    let mut retried = None;
    eventually("the target to be ejected", PATIENCE, async || {
        for request in ["GET / HTTP/1.1\r\nHost: a\r\n\r\n", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx"]
        {
            let response = exchange(lb.web(), request).await.unwrap();
            assert_eq!(response.status, 200, "{}", response.text());
            if retried.is_none() && handshakes(&lb, "certificate").await > 0.0 {
                retried = response.header("x-request-id").map(str::to_owned);
            }
        }
        lb.target_states("app").await["t1"] == "ejected"
    })
    .await;
    assert!(reason(&lb, "t1").await.contains("(TLS failed)"), "{}", reason(&lb, "t1").await);
    assert!(lb.metric("elbow_backend_connection_errors_total", &[("target_group", "app")]).await >= 3.0);
    let said = format!("no TLS with {}: its certificate is signed by nobody in tls_ca", bad.address());
    assert!(lb.logs().contains(&said), "{}", lb.logs());
    let told = lb.admin().get(&format!("/v1/explain?request={}", retried.expect("one was tried again"))).await.text();
    assert!(told.contains("no TLS with the target: its certificate is signed by nobody in tls_ca"), "{told}");
}

#[tokio::test]
async fn those_who_vouch_are_swapped_under_load() {
    let (secure, next) = (Secure::new(), Ca::new("Next CA"));
    let both = |one: &Ca, other: &Ca| format!("{}{}", one.pem(), other.pem());
    let old = TlsTarget::nginx(&secure.ca.issue(&["app.internal"]), TOLD).await;
    let new = TlsTarget::nginx(&next.issue(&["app.internal"]), TOLD).await;
    let keys = format!("{}\ntls_server_name = \"app.internal\"\nejection = {{ failures = 0 }}", by_ca(&secure));
    let lb = Arc::new(setup(&[&old, &new], &keys).start().await);
    let (stop, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let (to, stop, served) = (lb.web(), Arc::clone(&stop), Arc::clone(&served));
        clients.spawn(async move {
            let mut client = Client::connect(to).await;
            while !stop.load(Ordering::Relaxed) {
                let response = client.get("/").await;
                assert_eq!(response.status, 200, "{}", response.text());
                served.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    secure.write("ca.pem", &both(&secure.ca, &next));
    eventually("the new target to serve", PATIENCE, async || !new.requests().is_empty()).await;
    secure.write("ca.pem", next.pem());
    let taken_over = "target group app was taken over: tls_ca changed";
    eventually("it to be taken over", PATIENCE, async || lb.logs().matches(taken_over).count() == 2).await;
    // Connections that the old authority vouched for carry nothing any more, but what was in flight.
    let before = old.requests().len();
    let until = served.load(Ordering::Relaxed) + 200;
    eventually("200 more requests", PATIENCE, async || served.load(Ordering::Relaxed) > until).await;
    assert!(old.requests().len() <= before + 4, "{} more", old.requests().len() - before);
    stop.store(true, Ordering::Relaxed);
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
}
