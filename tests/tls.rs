//! HTTPS with the clients that people use: curl, openssl, Python, a browser, and testssl's opinion.

use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::process::Command;

use crate::harness::*;

const GET: &str = "GET /hello HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n";

fn pattern(size: usize) -> String {
    "abcdefghijklmnopqrstuvwxyz0".chars().cycle().take(size).collect()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

async fn handshakes(lb: &Lb, result: &str) -> f64 {
    lb.metric("elbow_tls_handshakes_total", &[("listener", "web"), ("result", result)]).await
}

async fn sessions(lb: &Lb, version: &str, resumed: &str) -> f64 {
    lb.metric("elbow_tls_sessions_total", &[("version", version), ("resumed", resumed)]).await
}

/// What `s_client` says when it has asked for `/hello` by the name of the shop.
async fn ask(secure: &Secure, lb: &Lb, arguments: &[&str]) -> String {
    let arguments = [&["-servername", "shop.example", "-ign_eof"], arguments].concat();
    secure.s_client(lb.web(), &arguments, GET).await
}

#[tokio::test]
async fn curl_is_served_over_both_versions() {
    let (secure, upstream) = (Secure::shop(), Upstream::answering("hello").await);
    let lb = secure.setup(&[&upstream], "").top("[access_log]\npath = \"-\"").start().await;
    for (version, label) in [("--tlsv1.2", "1.2"), ("--tlsv1.3", "1.3")] {
        let output = secure.curl(lb.web(), "/hello", &[version, "--tls-max", label]).await;
        assert_eq!(stdout(&output), "hello", "{output:?}");
        assert_eq!(sessions(&lb, label, "false").await, 1.0);
    }
    let request = upstream.seen().remove(0);
    assert_eq!(request.header("x-forwarded-proto"), Some("https"));
    assert_eq!(request.header("x-forwarded-port"), Some(lb.web().port().to_string().as_str()));
    eventually("both lines of the log", PATIENCE, async || lb.stdout().lines().count() == 2).await;
    let log: Vec<serde_json::Value> = lb.stdout().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(log[0]["tls_version"], "TLSv1.2");
    assert_eq!(log[0]["tls_cipher"], "ECDHE-ECDSA-AES128-GCM-SHA256");
    assert_eq!(log[1]["tls_version"], "TLSv1.3");
    assert_eq!(log[1]["tls_server_name"], "shop.example");
}

#[tokio::test]
async fn bodies_of_any_size_pass_unharmed() {
    let upstream = Upstream::start(|request| answer(200, pattern(request.path()[1..].parse().unwrap()))).await;
    let secure = Secure::shop();
    let lb = secure.setup(&[&upstream], "").start().await;
    for size in [1, 1023, 1025, 16 * 1024 - 1, 16 * 1024 + 1, 300_000, 5_000_000] {
        let body = pattern(size);
        secure.write("body", &body);
        for framing in ["X-None: 1", "Transfer-Encoding: chunked"] {
            let send = ["--data-binary", "@body", "-H", framing, "-H", "Expect:"];
            let output = secure.curl(lb.web(), &format!("/{size}"), &send).await;
            assert!(output.status.success(), "{size} {framing}: {}", String::from_utf8_lossy(&output.stderr));
            assert!(output.stdout == body.as_bytes(), "{size} bytes, {framing}: {} came back", output.stdout.len());
            let arrived = upstream.seen().pop().unwrap().body;
            assert!(arrived == body.as_bytes(), "{size} bytes, {framing}: {} arrived", arrived.len());
        }
    }
}

#[tokio::test]
async fn a_client_that_reads_slowly_gets_all_of_it() {
    let upstream = Upstream::start(|_| {
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 20000000\r\n\r\n".into();
        vec![Act::ReadBody, Act::Write(head), Act::Repeat(b"0123456789".repeat(1000), 2000)]
    });
    let (secure, upstream) = (Secure::shop(), upstream.await);
    let lb = secure.setup(&[&upstream], "").start().await;
    let output = secure.curl(lb.web(), "/", &["--limit-rate", "8M", "-o", "got"]).await;
    assert!(output.status.success(), "{output:?}");
    let got = std::fs::read(secure.path("got")).unwrap();
    assert!(got == b"0123456789".repeat(2_000_000), "{} bytes", got.len());
}

#[tokio::test]
async fn policies_offer_what_they_say() {
    let (secure, upstream) = (Secure::shop(), Upstream::answering("hello").await);
    let both = ("-tls1_2", "-tls1_3");
    for (policy, offers_12, offers_13) in [
        ("intermediate", true, true),
        ("modern", false, true),
        ("ELBSecurityPolicy-2016-08", true, false),
        ("ELBSecurityPolicy-TLS13-1-2-2021-06", true, true),
    ] {
        let lb = secure.setup(&[&upstream], &format!("tls_policy = \"{policy}\"")).start().await;
        for (version, is_offered) in [(both.0, offers_12), (both.1, offers_13)] {
            let said = ask(&secure, &lb, &[version]).await;
            assert_eq!(said.contains("hello"), is_offered, "{policy} {version}: {said}");
        }
        let refused = f64::from(u8::from(!offers_12) + u8::from(!offers_13));
        assert_eq!(handshakes(&lb, "nothing_in_common").await, refused, "{policy}");
        let chacha = ["-tls1_2", "-cipher", "ECDHE-ECDSA-CHACHA20-POLY1305"];
        assert_eq!(ask(&secure, &lb, &chacha).await.contains("hello"), policy == "intermediate", "{policy}");
        let cbc = ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA256:ECDHE-ECDSA-AES256-SHA"];
        assert!(!ask(&secure, &lb, &cbc).await.contains("hello"), "{policy}");
    }
}

#[tokio::test]
async fn sessions_are_resumed_over_a_restart() {
    let (secure, upstream) = (Secure::shop(), Upstream::answering("hello").await);
    let mut lb = secure.setup(&[&upstream], "").start().await;
    eventually("a key for tickets", PATIENCE, async || {
        ask(&secure, &lb, &["-tls1_2", "-sess_out", "s"]).await.contains("TLS session ticket:")
    })
    .await;
    for (version, label) in [("-tls1_2", "1.2"), ("-tls1_3", "1.3")] {
        assert!(ask(&secure, &lb, &[version, "-sess_out", label]).await.contains("New, TLSv"));
        assert!(ask(&secure, &lb, &[version, "-sess_in", label]).await.contains("Reused, TLSv"), "{label}");
        assert_eq!(sessions(&lb, label, "true").await, 1.0);
        // Another name is another server.
        let other = ["-servername", "www.shop.example", version, "-sess_in", label];
        assert!(secure.s_client(lb.web(), &other, "Q\n").await.contains("New, TLSv"), "{label}");
    }
    lb.stop().await;
    lb.start_again().await;
    lb.kill9().await;
    lb.start_again().await;
    lb.until("app", "t0", "healthy").await;
    for (version, label) in [("-tls1_2", "1.2"), ("-tls1_3", "1.3")] {
        let said = ask(&secure, &lb, &[version, "-sess_in", label]).await;
        assert!(said.contains("Reused, TLSv") && said.contains("hello"), "{label}: {said}");
    }
}

#[tokio::test]
async fn certificates_are_chosen_by_name_and_by_what_the_client_can_check() {
    let secure = Secure::new();
    let issue = |names: &[&str], kind, subject: &str| {
        secure.ca.issue_with(names, kind, |params| {
            params.distinguished_name.push(rcgen::DnType::CommonName, subject);
        })
    };
    let first = issue(&["first.example"], CaKind::Rsa, "first");
    let exact = issue(&["www.shop.example"], CaKind::Ecdsa, "exact");
    let wild_rsa = issue(&["*.shop.example", "shop.example"], CaKind::Rsa, "wild-rsa");
    let wild = issue(&["*.shop.example", "shop.example"], CaKind::Ecdsa, "wild-ecdsa");
    let secure = secure.with("a", &first).with("b", &exact).with("c", &wild_rsa).with("d", &wild);
    let upstream = Upstream::answering("hello").await;
    let lb = secure.setup(&[&upstream], "").start().await;
    let rsa_only: &[&str] = &["-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"];
    let rsa_schemes: &[&str] = &["-tls1_3", "-sigalgs", "RSA-PSS+SHA256"];
    for (name, arguments, expected) in [
        (Some("www.shop.example"), &[][..], "exact"),
        (Some("WWW.Shop.Example"), &[], "exact"),
        (Some("other.shop.example"), &[], "wild-ecdsa"),
        (Some("other.shop.example"), rsa_only, "wild-rsa"),
        (Some("other.shop.example"), rsa_schemes, "wild-rsa"),
        (Some("shop.example"), &[], "wild-ecdsa"),
        (Some("a.b.shop.example"), &[], "first"),
        (Some("unknown.example"), &[], "first"),
        (None, &[], "first"),
        // Nothing under that name can be checked by this client: it is shown the first one.
        (Some("www.shop.example"), rsa_only, "first"),
    ] {
        let named = name.map_or(vec!["-noservername"], |name| vec!["-servername", name]);
        let said = secure.s_client(lb.web(), &[&named, arguments].concat(), "Q\n").await;
        let shown = said.lines().find(|line| line.starts_with("subject=")).unwrap_or_default();
        assert!(shown.ends_with(&format!("CN = {expected}")), "{name:?} {arguments:?}: {shown}\n{said}");
    }
}

const CLIENT: [&str; 4] = ["--cert", "client.pem", "--key", "client.key"];

fn with_clients() -> (Secure, Ca) {
    let (secure, ca) = (Secure::shop(), Ca::new("Clients CA"));
    let client = ca.issue_client("alice");
    secure.write("client.pem", &client.certificate);
    secure.write("client.key", &client.key);
    let stranger = Ca::new("Strangers CA").issue_client("mallory");
    secure.write("stranger.pem", &stranger.certificate);
    secure.write("stranger.key", &stranger.key);
    secure.write("clients.pem", ca.pem());
    (secure, ca)
}

const FORGED: [&str; 8] = [
    "-H",
    "X-Amzn-Mtls-Clientcert-Subject: CN=root",
    "-H",
    "x-amzn-mtls-clientcert: forged",
    "-H",
    "X_Amzn_Mtls_Clientcert_Subject: CN=root",
    "-H",
    "Connection: close, X-Amzn-Mtls-Clientcert-Fingerprint",
];

fn told_of_certificate(request: &Request) -> Vec<(String, String)> {
    let headers = request.head.headers.iter();
    let mut told: Vec<_> = headers.filter(|(name, _)| name.to_lowercase().contains("mtls")).cloned().collect();
    told.iter_mut().for_each(|(name, _)| *name = name.replace("X-Amzn-Mtls-Clientcert-", ""));
    told
}

#[tokio::test]
async fn clients_show_certificates_that_targets_are_told_of() {
    let (secure, _ca) = with_clients();
    let upstream = Upstream::answering("hello").await;
    let ca = secure.path("clients.pem").display().to_string();
    let keys = format!("client_auth = \"require\"\nclient_ca = \"{ca}\"");
    let lb = secure.setup(&[&upstream], &keys).start().await;
    for version in ["1.2", "1.3"] {
        let none = secure.curl(lb.web(), "/", &["--tls-max", version]).await;
        assert!(!none.status.success(), "{none:?}");
        let stranger = ["--tls-max", version, "--cert", "stranger.pem", "--key", "stranger.key"];
        assert!(!secure.curl(lb.web(), "/", &stranger).await.status.success());
    }
    assert_eq!(handshakes(&lb, "client_certificate").await, 4.0);
    assert_eq!(upstream.requests(), 0);
    let output = secure.curl(lb.web(), "/", &[&CLIENT[..], &FORGED].concat()).await;
    assert_eq!(stdout(&output), "hello", "{output:?}");
    let told = told_of_certificate(&upstream.only_request());
    let value = |name: &str| {
        let mut values = told.iter().filter(|(other, _)| other == name).map(|(_, value)| value.as_str());
        let value = values.next().unwrap_or_else(|| panic!("no {name} in {told:?}"));
        assert_eq!(values.next(), None, "{name} twice in {told:?}");
        value
    };
    assert_eq!(told.len(), 6, "{told:?}");
    assert_eq!(value("Subject"), "O=Acme\\, Inc.,CN=alice");
    assert_eq!(value("Issuer"), "CN=Clients CA");
    assert!(value("Validity").starts_with("NotBefore=20"), "{told:?}");
    let openssl = |arguments: &'static [&str]| {
        let mut command = Command::new("openssl");
        command.args(arguments).arg("-in").arg(secure.path("client.pem"));
        run(command, "")
    };
    let fingerprint = stdout(&openssl(&["x509", "-noout", "-sha256", "-fingerprint"]).await);
    let fingerprint = fingerprint.trim().split_once('=').unwrap().1.replace(':', "").to_lowercase();
    assert_eq!(value("Fingerprint"), fingerprint);
    let serial = stdout(&openssl(&["x509", "-noout", "-serial"]).await);
    assert_eq!(value("Serial-Number"), serial.trim().strip_prefix("serial=").unwrap());
    let leaf = value("Leaf").replace("%0A", "\n").replace("%20", " ");
    assert_eq!(leaf, std::fs::read_to_string(secure.path("client.pem")).unwrap().replace("\r\n", "\n"));
}

#[tokio::test]
async fn a_certificate_that_is_asked_for_may_be_missing() {
    let (secure, _ca) = with_clients();
    let upstream = Upstream::answering("hello").await;
    let ca = secure.path("clients.pem").display().to_string();
    let keys = format!("client_auth = \"request\"\nclient_ca = \"{ca}\"");
    let lb = secure.setup(&[&upstream], &keys).start().await;
    assert_eq!(stdout(&secure.curl(lb.web(), "/", &FORGED).await), "hello");
    assert_eq!(told_of_certificate(&upstream.only_request()), []);
    assert_eq!(stdout(&secure.curl(lb.web(), "/", &CLIENT).await), "hello");
    assert_eq!(told_of_certificate(&upstream.seen()[1]).len(), 6);
    let stranger = ["--cert", "stranger.pem", "--key", "stranger.key"];
    assert!(!secure.curl(lb.web(), "/", &stranger).await.status.success());
}

#[tokio::test]
async fn what_is_told_of_a_certificate_is_never_the_clients_word() {
    let upstream = Upstream::answering("hello").await;
    let forged = "GET / HTTP/1.1\r\nHost: a\r\nX-Amzn-Mtls-Clientcert-Subject: CN=root\r\n\
                  X_amzn-mtls-Clientcert-Subject: CN=root\r\n\r\n";
    for (networks, told) in [("[]", 0), ("[\"10.0.0.0/8\"]", 0), ("[\"127.0.0.0/8\"]", 1)] {
        let setup = Setup::targets(&[&upstream]).listener(&format!("trusted_proxies = {networks}"));
        let lb = setup.start().await;
        assert_eq!(exchange(lb.web(), forged).await.unwrap().status, 200);
        let request = upstream.seen().pop().unwrap();
        assert_eq!(told_of_certificate(&request).len(), told, "{networks}: {request:?}");
    }
}

#[tokio::test]
async fn a_session_is_not_resumed_where_more_is_asked_of_clients() {
    let (secure, _ca) = with_clients();
    let upstream = Upstream::answering("hello").await;
    let ca = secure.path("clients.pem").display().to_string();
    let strict = format!(
        "[[listener]]\nname = \"strict\"\nbind = \"127.0.0.1:0\"\ntarget_group = \"app\"\nprotocol = \"https\"\n\
         certificates = [\"shop\"]\nclient_auth = \"require\"\nclient_ca = \"{ca}\"\n"
    );
    let lb = secure.setup(&[&upstream], "").more(&strict).start().await;
    eventually("a key for tickets", PATIENCE, async || {
        ask(&secure, &lb, &["-tls1_2", "-sess_out", "1.2"]).await.contains("TLS session ticket:")
    })
    .await;
    ask(&secure, &lb, &["-tls1_3", "-sess_out", "1.3"]).await;
    for (version, session) in [("-tls1_2", "1.2"), ("-tls1_3", "1.3")] {
        let arguments = ["-servername", "shop.example", "-ign_eof", version, "-sess_in", session];
        let said = secure.s_client(lb.listener("strict"), &arguments, GET).await;
        assert!(!said.contains("hello") && !said.contains("Reused"), "{said}");
    }
}

#[tokio::test]
async fn keys_are_updated_within_a_connection() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (secure, upstream) = (Secure::shop(), Upstream::answering("hello").await);
    let lb = secure.setup(&[&upstream], "").start().await;
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", &lb.web().to_string(), "-tls1_3"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut said = String::new();
    // `k` sends new keys; `K` asks for elbow's as well.
    for (answers, command) in ["k\n", "K\n", "K\n", ""].into_iter().enumerate() {
        stdin.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        let mut piece = [0; 4096];
        while said.matches("hello").count() <= answers {
            let count = within("an answer", PATIENCE, stdout.read(&mut piece)).await.unwrap();
            assert!(count > 0, "it ended after {answers} answers: {said}");
            said.push_str(&String::from_utf8_lossy(&piece[..count]));
        }
        stdin.write_all(command.as_bytes()).await.unwrap();
        // Commands are single letters at the start of what is read at once.
        pause(ms(200)).await;
    }
    assert_eq!(handshakes(&lb, "success").await, 1.0);
}

/// Reads to the end of a connection, and says whether the end was told within TLS.
const PYTHON_END: &str = r#"
import socket, ssl, sys
context = ssl.create_default_context(cafile="ca.pem")
raw = socket.create_connection((sys.argv[1], int(sys.argv[2])))
tls = context.wrap_socket(raw, server_hostname="shop.example", suppress_ragged_eofs=False)
tls.sendall(b"GET / HTTP/1.0\r\nHost: shop.example\r\n\r\n")
got = b""
try:
    while True:
        piece = tls.recv(65536)
        if not piece:
            print("ended", len(got.split(b"\r\n\r\n", 1)[1]), tls.version())
            break
        got += piece
except (ssl.SSLEOFError, ConnectionResetError) as error:
    print("cut", type(error).__name__)
"#;

#[tokio::test]
async fn the_end_of_an_answer_is_told_and_a_torn_one_is_not_mistaken_for_whole() {
    let (secure, upstream) = (Secure::shop(), Upstream::answering("").await);
    let lb = secure.setup(&[&upstream], "").start().await;
    let (ip, port) = (lb.web().ip().to_string(), lb.web().port().to_string());
    let head = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n";
    upstream.set(move |_| vec![Act::ReadBody, Act::Write(format!("{head}12345").into()), Act::Close]);
    assert_eq!(secure.python(PYTHON_END, &[&ip, &port]).await, "ended 5 TLSv1.3\n");
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n";
    upstream.set(move |_| vec![Act::ReadBody, Act::Write(chunked.into()), Act::Wait(ms(200)), Act::Reset]);
    let said = secure.python(PYTHON_END, &[&ip, &port]).await;
    assert!(said.starts_with("cut"), "{said}");
}

const PYTHON_KEPT: &str = r#"
import http.client, ssl, sys
context = ssl.create_default_context(cafile="ca.pem")
context.check_hostname = False
kept = http.client.HTTPSConnection(sys.argv[1], int(sys.argv[2]), context=context)
for number in range(200):
    kept.request("POST", f"/{number * 97}", body=b"x" * (number * 97))
    answer = kept.getresponse()
    assert answer.status == 200 and len(answer.read()) == number * 97, number
print("done", kept.sock.version(), kept.sock.cipher()[0])
"#;

#[tokio::test]
async fn one_connection_carries_many_requests() {
    let upstream = Upstream::start(|request| answer(200, pattern(request.path()[1..].parse().unwrap()))).await;
    let secure = Secure::shop();
    let lb = secure.setup(&[&upstream], "").start().await;
    let (ip, port) = (lb.web().ip().to_string(), lb.web().port().to_string());
    assert_eq!(secure.python(PYTHON_KEPT, &[&ip, &port]).await, "done TLSv1.3 TLS_AES_128_GCM_SHA256\n");
    assert_eq!(handshakes(&lb, "success").await, 1.0);
}

#[tokio::test]
async fn http_in_the_clear_is_told_where_it_is() {
    let (secure, upstream) = (Secure::shop(), Upstream::answering("hello").await);
    let lb = secure.setup(&[&upstream], "").start().await;
    let answer = exchange(lb.web(), "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    answer.assert_made_by_elbow(400);
    assert!(answer.text().contains("https"), "{}", answer.text());
    assert_eq!(handshakes(&lb, "plaintext").await, 1.0);
}

#[tokio::test]
async fn a_listener_sends_clients_to_https() {
    let upstream = Upstream::answering("hello").await;
    let lb = Setup::targets(&[&upstream]).listener("redirect_to_https = 8443").start().await;
    let mut client = lb.connect().await;
    for (method, status) in [("GET", 301), ("HEAD", 301), ("DELETE", 308)] {
        client.send(format!("{method} /a%20b?c=d HTTP/1.1\r\nHost: shop.example:80\r\n\r\n")).await;
        let answer = client.response_to(method).await;
        assert_eq!((answer.status, answer.header("location")), (status, Some("https://shop.example:8443/a%20b?c=d")));
    }
    client.send("POST / HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 5\r\n\r\n12345").await;
    let answer = client.response_to("POST").await;
    assert_eq!((answer.status, answer.header("connection")), (308, Some("close")));
    client.assert_closed().await;
    assert_eq!(upstream.requests(), 0);
    assert_eq!(lb.metric("elbow_lb_responses_total", &[("code", "301")]).await, 2.0);
}

#[tokio::test]
async fn a_stop_lets_requests_end_and_says_goodbye() {
    let (secure, upstream) = (Secure::shop(), Upstream::answering("").await);
    let mut lb = secure.setup(&[&upstream], "").start().await;
    let gate = Gate::closed();
    let held = gate.clone();
    upstream.set(move |_| {
        let mut acts = vec![Act::ReadBody, Act::Until(held.clone())];
        acts.extend(answer(200, "late"));
        acts
    });
    let to = lb.web();
    let curl = secure.curl(to, "/", &[]);
    let stop = async {
        upstream.wait_for_requests(1).await;
        let opening = async {
            pause(ms(300)).await;
            gate.open();
        };
        tokio::join!(lb.stop(), opening);
    };
    let (output, ()) = tokio::join!(curl, stop);
    assert_eq!(stdout(&output), "late", "{output:?}");
}

#[tokio::test]
async fn a_browser_shows_the_page() {
    let page = "<html><body><p id=p>before</p><script>fetch('/api').then(a => a.text()).then(t => \
                document.getElementById('p').textContent = t)</script></body></html>";
    let upstream = Upstream::start(move |request| match request.path() {
        "/api" => answer(200, "said by the target"),
        _ => {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n", page.len());
            raw(head + page)
        }
    });
    let (secure, upstream) = (Secure::shop(), upstream.await);
    let lb = secure.setup(&[&upstream], "").start().await;
    let Ok(found) = Command::new("chromium").arg("--version").stdout(Stdio::null()).status().await else {
        return eprintln!("SKIPPED: chromium is not installed (tests/run does that)");
    };
    assert!(found.success());
    let mut command = Command::new("chromium");
    let rules = format!("--host-resolver-rules=MAP shop.example:443 {}", lb.web());
    command.args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--ignore-certificate-errors",
    ]);
    command.args([&rules, "--virtual-time-budget=10000", "--dump-dom", "https://shop.example/"]);
    command.arg(format!("--user-data-dir={}", secure.path("profile").display()));
    let output = run(command, "").await;
    assert!(stdout(&output).contains("said by the target"), "{output:?}");
    assert!(sessions(&lb, "1.3", "false").await >= 1.0);
}

#[tokio::test]
async fn testssl_finds_nothing() {
    let (secure, upstream) = (Secure::shop(), Upstream::answering("hello").await);
    let lb = secure.setup(&[&upstream], "").start().await;
    let program = ["testssl", "testssl.sh"].into_iter().find(|name| {
        let found =
            std::process::Command::new(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        found.is_ok()
    });
    let Some(program) = program else {
        return eprintln!("SKIPPED: testssl is not installed (tests/run does that)");
    };
    let report = secure.path("report.json");
    let mut command = Command::new(program);
    command.args(["--quiet", "--color", "0", "--warnings", "off", "--ip", "one", "-p", "-s", "-f", "-U", "--jsonfile"]);
    command.arg(&report).arg(lb.web().to_string());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let output = within("testssl", Duration::from_secs(400), command.output()).await.unwrap();
    let report = std::fs::read_to_string(&report).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    let report: serde_json::Value = serde_json::from_str(&report).unwrap_or_else(|error| panic!("{error}: {report}"));
    let findings = report.as_array().unwrap();
    // What it says of the openssl that it runs on is not about elbow.
    let findings: Vec<_> = findings.iter().filter(|finding| finding["id"] != "engine_problem").collect();
    let above = findings.iter().filter(|finding| !["OK", "INFO"].contains(&finding["severity"].as_str().unwrap()));
    let above: Vec<_> =
        above.map(|finding| format!("{} {} {}", finding["id"], finding["severity"], finding["finding"])).collect();
    assert!(findings.len() >= 35, "{} findings: {output:?}", findings.len());
    assert!(above.is_empty(), "{above:#?}");
}
