//! Automatic certificates from a real authority, unattended: issued in both ways, renewed under load, not ordered
//! again after a crash, and kept when the authority is gone.

use std::time::Duration;

use crate::harness::*;

/// Long enough for anything but a renewal.
const LONG_S: u64 = 3600;
/// How long an authority may take to issue.
const ISSUE_MAX: Duration = Duration::from_secs(60);

/// elbow with a listener `web` in the clear and one `secure` that shows `shop`, where the authority looks for them.
fn setup(pebble: &Pebble, upstream: &Upstream, acme: &str, names: &str, keys: &str) -> Setup {
    let clear = format!("[[listener]]\nname = \"clear\"\nbind = \"{}\"\ntarget_group = \"app\"\n", pebble.http());
    let setup = secure_only(pebble, upstream, acme, names, keys);
    setup.more(&clear)
}

fn secure_only(pebble: &Pebble, upstream: &Upstream, acme: &str, names: &str, keys: &str) -> Setup {
    let certificate = format!("[[certificate]]\nname = \"shop\"\nacme = {names}\n");
    let secure = format!(
        "[[listener]]\nname = \"secure\"\nbind = \"{}\"\nprotocol = \"https\"\ncertificates = [\"shop\"]\n\
         target_group = \"app\"\n{keys}\n",
        pebble.tls()
    );
    Setup::targets(&[upstream]).top(&pebble.table(acme)).more(&certificate).more(&secure)
}

async fn certificate(lb: &Lb) -> serde_json::Value {
    lb.admin().get("/v1/certificates/shop").await.json()
}

/// Waits until a certificate was issued that is another than the one of this serial number; answers with its own.
async fn issued_after(lb: &Lb, before: &str) -> String {
    let mut serial = String::new();
    eventually("a certificate to be issued", ISSUE_MAX, async || {
        serial = certificate(lb).await["serial"].as_str().unwrap_or_default().to_owned();
        !serial.is_empty() && serial != before
    })
    .await;
    serial
}

/// What openssl says of the certificate that is shown for a name, checked against the authority's root.
async fn verified(pebble: &Pebble, name: &str) -> String {
    let mut openssl = tokio::process::Command::new("openssl");
    openssl.args(["s_client", "-connect", &pebble.tls(), "-servername", name, "-verify_hostname", name]);
    openssl.args(["-verify_return_error", "-CAfile"]).arg(pebble.root().await);
    let output = run(openssl, "Q\n").await;
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

async fn assert_verified(pebble: &Pebble, name: &str) {
    let said = verified(pebble, name).await;
    assert!(said.contains("Verify return code: 0 (ok)"), "{said}");
}

#[tokio::test]
async fn a_certificate_for_two_names_is_issued_by_http_01_behind_a_redirect() {
    let (pebble, upstream) = (Pebble::start(LONG_S).await, Upstream::answering("hello").await);
    let names = "[\"Shop.example\", \"www.shop.example\"]";
    let redirects = format!(
        "[[listener]]\nname = \"clear\"\nbind = \"{}\"\ntarget_group = \"app\"\nredirect_to_https = true\n",
        pebble.http()
    );
    let acme = "challenge = \"http-01\"\ncontact = [\"mailto:ops@shop.example\"]";
    let lb = secure_only(&pebble, &upstream, acme, names, "").more(&redirects).start().await;
    issued_after(&lb, "").await;
    assert_verified(&pebble, "shop.example").await;
    assert_verified(&pebble, "www.shop.example").await;
    let shown = certificate(&lb).await;
    assert_eq!(shown["source"], "acme");
    assert_eq!(shown["key_type"], "ECDSA P-256");
    assert_eq!(shown["acme"]["names"], serde_json::json!(["shop.example", "www.shop.example"]));
    assert!(shown["acme"]["next_at"].is_string() && shown["acme"]["last_error"].is_null(), "{shown}");
    assert!(!shown.to_string().contains("PRIVATE KEY"));
    assert_eq!(pebble.orders(), 1);
    let leaked = upstream.seen().iter().filter(|request| request.path().contains("acme")).count();
    assert_eq!(leaked, 0, "a challenge went to a target");
    assert!(
        (lb.metric("elbow_acme_renewals_total", &[("certificate", "shop"), ("result", "success")]).await - 1.0).abs()
            < 0.1
    );
}

#[tokio::test]
async fn a_token_that_is_not_ours_goes_to_the_target() {
    let (pebble, upstream) = (Pebble::start(LONG_S).await, Upstream::answering("hello").await);
    let lb = setup(&pebble, &upstream, "", "[\"shop.example\"]", "").start().await;
    let answer = get(lb.listener("clear"), "/.well-known/acme-challenge/certbots-own").await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
    issued_after(&lb, "").await;
}

#[tokio::test]
async fn a_certificate_is_issued_by_tls_alpn_01_where_clients_must_show_theirs() {
    let (pebble, upstream) = (Pebble::start(LONG_S).await, Upstream::answering("hello").await);
    let secure = Secure::new();
    let keys = format!("client_auth = \"require\"\nclient_ca = \"{}\"", secure.path("ca.pem").display());
    let lb = secure_only(&pebble, &upstream, "challenge = \"tls-alpn-01\"", "[\"shop.example\"]", &keys).start().await;
    issued_after(&lb, "").await;
    let said = verified(&pebble, "shop.example").await;
    assert!(said.contains("Verify return code: 0 (ok)") || said.contains("Verification: OK"), "{said}");
    assert!(lb.metric("elbow_tls_handshakes_total", &[("listener", "secure"), ("result", "challenge")]).await >= 1.0);
}

#[tokio::test]
async fn both_ways_are_tried_in_turn() {
    let (pebble, upstream) = (Pebble::start(LONG_S).await, Upstream::answering("hello").await);
    // `web` speaks HTTP, but not where the authority looks.
    let lb = secure_only(&pebble, &upstream, "", "[\"shop.example\"]", "").start().await;
    issued_after(&lb, "").await;
    assert_verified(&pebble, "shop.example").await;
    assert_eq!(pebble.orders(), 2, "{}", pebble.log());
}

#[tokio::test]
async fn until_it_is_issued_handshakes_are_refused_and_all_else_works() {
    let (mut pebble, upstream) = (Pebble::start(LONG_S).await, Upstream::answering("hello").await);
    pebble.stop().await;
    let secure = Secure::new().with("other", &Ca::new("Test CA").issue(&["other.example"]));
    let other = secure.path("other.pem");
    let other = format!(
        "[[certificate]]\nname = \"other\"\ncert = \"{}\"\nkey = \"{}\"\n[[listener]]\nname = \"both\"\n\
         bind = \"127.0.0.1:0\"\nprotocol = \"https\"\ncertificates = [\"shop\", \"other\"]\ntarget_group = \"app\"\n",
        other.display(),
        secure.path("other.key").display()
    );
    let lb = setup(&pebble, &upstream, "", "[\"shop.example\"]", "").more(&other).start().await;
    eventually("it to be ready", PATIENCE, async || lb.admin().get("/readyz").await.status == 200).await;
    assert_eq!(get(lb.listener("clear"), "/").await.status, 200);
    for listener in ["secure", "both"] {
        let said = secure.s_client(lb.listener(listener), &["-servername", "shop.example"], "Q\n").await;
        assert!(said.contains("alert access denied") && !said.contains("BEGIN CERTIFICATE"), "{said}");
    }
    let said = secure.s_client(lb.listener("both"), &["-servername", "other.example"], "Q\n").await;
    assert!(said.contains("BEGIN CERTIFICATE"), "{said}");
    eventually("the log to say it", PATIENCE, async || lb.logs().contains("no certificate from https://")).await;
    let shown = certificate(&lb).await;
    assert!(shown["acme"]["last_error"].is_string() && shown["not_after"].is_null(), "{shown}");
    assert!(lb.metric("elbow_acme_renewals_total", &[("result", "failure")]).await >= 1.0);
}

#[tokio::test]
async fn it_is_renewed_under_load_and_no_request_fails() {
    let (pebble, upstream) = (Pebble::start(20).await, Upstream::answering("hello").await);
    let lb = setup(&pebble, &upstream, "", "[\"shop.example\"]", "").start().await;
    let mut serial = issued_after(&lb, "").await;
    let root = pebble.root().await;
    let mut done = 0;
    let started = std::time::Instant::now();
    let mut renewals = 0;
    while renewals < 2 {
        assert!(started.elapsed() < 2 * ISSUE_MAX, "it was not renewed: {}", certificate(&lb).await);
        let mut curl = tokio::process::Command::new("curl");
        let tls: std::net::SocketAddr = pebble.tls().parse().unwrap();
        let resolve = format!("shop.example:{}:{}", tls.port(), tls.ip());
        let url = format!("https://shop.example:{}/", tls.port());
        curl.args(["-sSf", "--max-time", "20", "--resolve", &resolve, "--cacert"]).arg(&root).args([&url, &url, &url]);
        let output = run(curl, "").await;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        done += 3;
        let now = certificate(&lb).await["serial"].as_str().unwrap_or_default().to_owned();
        renewals += usize::from(now != serial);
        serial = now;
    }
    eprintln!("{done} requests over {renewals} renewals, none failed");
    assert_eq!(lb.metric("elbow_acme_renewals_total", &[("result", "failure")]).await, 0.0);
}

#[tokio::test]
async fn neither_a_restart_nor_a_crash_orders_again_nor_a_certificate_put_back() {
    let (pebble, upstream) = (Pebble::start(LONG_S).await, Upstream::answering("hello").await);
    let with = setup(&pebble, &upstream, "", "[\"shop.example\"]", "");
    let mut lb = with.clone().start().await;
    let serial = issued_after(&lb, "").await;
    lb.kill9().await;
    lb.start_again().await;
    assert_eq!(certificate(&lb).await["serial"], serial.as_str(), "there from the first moment");
    assert_verified(&pebble, "shop.example").await;
    lb.stop().await;
    lb.start_again().await;
    let without = Setup::targets(&[&upstream]).top(&pebble.table("")).toml();
    assert_eq!(lb.reload(&without).await.status, 200);
    assert_eq!(lb.admin().get("/v1/certificates/shop").await.status, 404);
    assert_eq!(lb.reload(&with.toml()).await.status, 200);
    assert_eq!(certificate(&lb).await["serial"], serial.as_str());
    always("nothing is ordered again", ms(1500), async || pebble.orders() == 1).await;
    let state = std::fs::metadata(lb.state_dir().join("elbow.db")).unwrap();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&state.permissions()) & 0o777, 0o600);
    let exported = lb.admin().get("/v1/state").await.text();
    assert!(!exported.contains("PRIVATE KEY") && !exported.contains("key_pkcs8"), "{exported}");
}

#[tokio::test]
async fn other_names_are_ordered_at_a_reload_and_the_old_certificate_serves_meanwhile() {
    let (mut pebble, upstream) = (Pebble::start(LONG_S).await, Upstream::answering("hello").await);
    let mut lb = setup(&pebble, &upstream, "", "[\"shop.example\"]", "").start().await;
    let serial = issued_after(&lb, "").await;
    let more = setup(&pebble, &upstream, "", "[\"shop.example\", \"new.example\"]", "").toml();
    assert_eq!(lb.reload(&more).await.status, 200);
    let serial = issued_after(&lb, &serial).await;
    assert_verified(&pebble, "new.example").await;
    // An authority that has forgotten everything, the account among it, while other names are asked for.
    pebble.stop().await;
    pebble.start_again().await;
    let others = setup(&pebble, &upstream, "", "[\"other.example\"]", "").toml();
    assert_eq!(lb.reload(&others).await.status, 200);
    issued_after(&lb, &serial).await;
    assert_verified(&pebble, "other.example").await;
}

#[tokio::test]
async fn while_the_authority_is_gone_the_old_one_stays_and_it_is_renewed_when_it_is_back() {
    let (mut pebble, upstream) = (Pebble::start(30).await, Upstream::answering("hello").await);
    let lb = setup(&pebble, &upstream, "", "[\"shop.example\"]", "").start().await;
    let serial = issued_after(&lb, "").await;
    pebble.stop().await;
    let failures = async || lb.metric("elbow_acme_renewals_total", &[("result", "failure")]).await;
    eventually("a renewal to fail", ISSUE_MAX, async || failures().await >= 1.0).await;
    assert!(lb.logs().contains("the old one stays in use"), "{}", lb.logs());
    assert_eq!(certificate(&lb).await["serial"], serial.as_str());
    pebble.start_again().await;
    issued_after(&lb, &serial).await;
    assert_verified(&pebble, "shop.example").await;
}

#[tokio::test]
async fn what_cannot_be_issued_is_refused_with_the_reason() {
    let table = "[acme]\nterms_agreed = true\n";
    let cases = [
        (table, "acme = [\"*.shop.example\"]", "dns-01"),
        (table, "acme = [\"10.0.0.1\"]", "an address"),
        (table, "acme = []", "no name"),
        (table, "acme = [\"shop.example\", \"SHOP.example\"]", "named twice"),
        (table, "acme = [\"shop.example\"]\ncert = \"x.pem\"", "in no file"),
        ("", "acme = [\"shop.example\"]", "add [acme]"),
        ("[acme]\n", "acme = [\"shop.example\"]", "terms"),
        ("[acme]\nterms_agreed = true\ndirectory = \"http://ca.example/\"\n", "acme = [\"a.example\"]", "https://"),
        ("[acme]\nterms_agreed = true\ncontact = [\"ops\"]\n", "acme = [\"a.example\"]", "mailto:"),
        ("[acme]\nterms_agreed = true\neab_key_id = \"a\"\n", "acme = [\"a.example\"]", "eab_hmac_key"),
    ];
    let directory = tempfile::tempdir().unwrap();
    for (acme, keys, why) in cases {
        let file = directory.path().join("elbow.toml");
        std::fs::write(&file, format!("{acme}\n[[certificate]]\nname = \"shop\"\n{keys}\n")).unwrap();
        let mut command = elbow();
        command.args(["validate", "-c"]).arg(&file);
        let output = cli_output(command).await;
        let said = String::from_utf8_lossy(&output.stderr).replace("\n", " ");
        assert_eq!(output.status.code(), Some(2), "{acme}{keys}: {said}");
        assert!(said.contains(why), "{acme}{keys}: {said}");
    }
}
