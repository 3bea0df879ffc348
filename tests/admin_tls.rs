//! The admin address over TLS: clients of every kind, whom the command line trusts, and certificates that are replaced.

use std::process::Output;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::*;

/// Asks with full verification.
const PYTHON_ASK: &str = r#"
import ssl, sys, urllib.request
context = ssl.create_default_context(cafile="ca.pem")
print(urllib.request.urlopen(f"https://{sys.argv[1]}/metrics", context=context, timeout=20).read().decode())
"#;

const ON: &str = "[admin]\ncertificate = \"admin\"";

fn secure() -> Secure {
    let secure = Secure::new();
    let issued = secure.ca.issue(&["shop.example", "127.0.0.1"]);
    secure.with("admin", &issued)
}

async fn started(secure: &Secure, upstream: &Upstream) -> Lb {
    secure.setup(&[upstream], "").top(ON).start_cold().await
}

/// A verb with its arguments, and the state directory only where it is to find run.json.
async fn verb(lb: &Lb, arguments: &[&str]) -> Output {
    let mut command = elbow();
    command.args(arguments).env("ELBOW_TOKEN", &lb.admin().token);
    if !arguments.contains(&"--admin") {
        command.arg("--state-dir").arg(lb.state_dir());
    }
    cli_output(command).await
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn run_json(lb: &Lb) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(lb.state_dir().join("run.json")).unwrap()).unwrap()
}

#[tokio::test]
async fn clients_that_verify_are_served() {
    let (secure, upstream) = (secure(), Upstream::answering("hello").await);
    let lb = started(&secure, &upstream).await;
    let admin = lb.admin().address;
    let token = format!("Authorization: Bearer {}", lb.admin().token);
    for version in [&["--tls-max", "1.2"], &["--tlsv1.3", "--http1.1"]] {
        let output = secure.curl(admin, "/v1/config", &[&["-f", "-H", &token], &version[..]].concat()).await;
        assert!(said(&output).contains("\"listeners\""), "{}", said(&output));
    }
    let origin = format!("Origin: https://shop.example:{}", admin.port());
    let output = secure.curl(admin, "/v1/config", &["-f", "-H", &token, "-H", &origin]).await;
    assert!(output.status.success(), "its own pages may ask: {}", said(&output));
    assert!(secure.python(PYTHON_ASK, &[&admin.to_string()]).await.contains("elbow_build_info"));
    let told = secure.s_client(admin, &["-alpn", "h2,http/1.1", "-tls1_3"], "Q\n").await;
    assert!(told.contains("ALPN protocol: http/1.1") && told.contains("Verify return code: 0"), "{told}");
    let told = secure.s_client(admin, &["-tls1_1", "-cipher", "DEFAULT:@SECLEVEL=0"], "Q\n").await;
    assert!(told.contains("alert"), "{told}");
}

#[tokio::test]
async fn who_speaks_in_the_clear_is_told_and_who_is_silent_holds_nothing_up() {
    let (secure, upstream) = (secure(), Upstream::answering("hello").await);
    let mut lb = started(&secure, &upstream).await;
    let told = lb.admin().get("/v1/config").await;
    assert_eq!((told.status, told.header("connection")), (400, Some("close")), "{}", told.text());
    assert!(told.text().contains("this port speaks TLS: use https here"), "{}", told.text());
    let mut garbage = tokio::net::TcpStream::connect(lb.admin().address).await.unwrap();
    garbage.write_all(b"\x16\x03\x01\x00\x05hello").await.unwrap();
    within("the end of it", PATIENCE, garbage.read_to_end(&mut Vec::new())).await.unwrap();
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(tokio::net::TcpStream::connect(lb.admin().address).await.unwrap());
    }
    for half in &mut silent[..50] {
        half.write_all(b"\x16\x03\x01").await.unwrap();
    }
    assert!(verb(&lb, &["status"]).await.status.success(), "others are served beside them");
    lb.stop().await;
}

#[tokio::test]
async fn the_command_line_trusts_the_key_that_run_json_tells() {
    let (secure, upstream) = (secure(), Upstream::answering("hello").await);
    let lb = started(&secure, &upstream).await;
    let before = run_json(&lb);
    assert_eq!(before["admin_url"], format!("https://{}", lb.admin().address));
    for arguments in [&["status"][..], &["target", "list", "app"], &["reload"]] {
        let output = verb(&lb, arguments).await;
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
    }
    secure.replace("admin", &secure.ca.issue(&["elsewhere.example"]));
    eventually("another key in run.json", PATIENCE, async || run_json(&lb)["admin_pin"] != before["admin_pin"]).await;
    let output = verb(&lb, &["status"]).await;
    assert!(output.status.success(), "the name counts for nothing beside the key: {}", said(&output));
    let told = secure.s_client(lb.admin().address, &["-verify_hostname", "elsewhere.example"], "Q\n").await;
    assert!(told.contains("Verify return code: 0"), "the new certificate is shown: {told}");
    let mut wrong = run_json(&lb);
    wrong["admin_pin"] = before["admin_pin"].clone();
    std::fs::write(lb.state_dir().join("run.json"), wrong.to_string()).unwrap();
    let output = verb(&lb, &["status"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("does not have the key that run.json tells"), "{}", said(&output));
}

#[tokio::test]
async fn an_address_that_is_named_is_verified() {
    let (secure, upstream) = (secure(), Upstream::answering("hello").await);
    let lb = started(&secure, &upstream).await;
    let port = lb.admin().address.port();
    let (by_address, by_name) = (format!("https://127.0.0.1:{port}"), format!("https://localhost:{port}"));
    let (ca, other) = (secure.path("ca.pem"), secure.path("other.pem"));
    std::fs::write(&other, Ca::new("Other").pem()).unwrap();
    let (ca, other) = (ca.to_str().unwrap(), other.to_str().unwrap());
    let in_the_clear = format!("http://127.0.0.1:{port}");
    let in_clear = Setup::targets(&[&upstream]).start_cold().await;
    let (web, plain) = (format!("https://{}", in_clear.admin().address), secure.path("none.pem"));
    for (arguments, words) in [
        (&["--admin", &by_address, "--admin-ca", ca][..], None),
        (&["--admin", &by_address], Some("is signed by nobody this machine trusts: name its CA with --admin-ca")),
        (&["--admin", &by_address, "--admin-ca", other], Some("is signed by nobody in")),
        (&["--admin", &by_name, "--admin-ca", ca], Some("is for")),
        (&["--admin", &in_the_clear], Some("use https here")),
        (&["--admin", &web, "--admin-ca", ca], Some("does not speak TLS: try http://")),
        (&["--admin", &by_address, "--admin-ca", plain.to_str().unwrap()], Some("none.pem")),
    ] {
        let output = verb(&lb, &[&["status"], arguments].concat()).await;
        let told = said(&output);
        assert_eq!(output.status.code(), Some(i32::from(words.is_some())), "{arguments:?}: {told}");
        assert!(words.is_none_or(|words| told.contains(words)), "{words:?} in {told}");
    }
}

#[tokio::test]
async fn another_certificate_takes_a_restart_and_an_unknown_one_is_refused() {
    let (secure, upstream) = (secure(), Upstream::answering("hello").await);
    let setup = secure.setup(&[&upstream], "").top(ON);
    let toml = setup.toml();
    let lb = setup.start_cold().await;
    lb.write_config(&toml.replace(ON, ""));
    let output = verb(&lb, &["reload"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("[admin] certificate cannot change while elbow runs"), "{}", said(&output));
    lb.write_config(&toml.replace(ON, "[admin]\ncertificate = \"amin\""));
    let output = verb(&lb, &["reload"]).await;
    for words in ["amin, which does not exist", "did you mean `admin`?"] {
        assert!(said(&output).contains(words), "{words} in {}", said(&output));
    }
    let token = format!("Authorization: Bearer {}", lb.admin().token);
    let delete = ["-X", "DELETE", "-H", &token];
    let told = said(&secure.curl(lb.admin().address, "/v1/certificates/admin", &delete).await);
    assert!(told.contains("\"status\":409"), "{told}");
}
