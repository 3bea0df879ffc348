//! Certificates over the admin API and in files: put, shown, told, replaced under load, and never given out with
//! their keys.

use std::time::SystemTime;

use serde_json::json;

use crate::harness::*;

/// Asks for the page over and over from several threads, half of them over kept connections, and says how many answers
/// came and how many requests failed.
const PYTHON_LOAD: &str = r#"
import http.client, ssl, sys, threading, os
context = ssl.create_default_context(cafile="ca.pem")
context.check_hostname = False
failed, done, lock = [], [0], threading.Lock()
def ask(keeps):
    kept = None
    while not os.path.exists("stop"):
        try:
            if kept is None:
                kept = http.client.HTTPSConnection(sys.argv[1], int(sys.argv[2]), context=context, timeout=20)
            kept.request("GET", "/")
            answer = kept.getresponse()
            assert answer.status == 200 and answer.read() == b"hello"
            with lock: done[0] += 1
        except Exception as error:
            with lock: failed.append(repr(error))
        if not keeps:
            kept.close()
            kept = None
threads = [threading.Thread(target=ask, args=(number % 2 == 0,)) for number in range(6)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(done[0], len(failed), failed[:3])
"#;

/// The serial number of the certificate that is shown, in hexadecimal.
async fn shown(secure: &Secure, lb: &Lb) -> String {
    let said = secure.s_client(lb.web(), &["-servername", "shop.example", "-showcerts"], "Q\n").await;
    let from = said.find("-----BEGIN").unwrap_or_else(|| panic!("no certificate: {said}"));
    let until = said.find("-----END CERTIFICATE-----").unwrap() + "-----END CERTIFICATE-----".len();
    said[from..until].trim().to_owned()
}

fn trimmed(issued: &Issued) -> String {
    issued.certificate.trim().replace("\r\n", "\n")
}

#[tokio::test]
async fn files_are_swapped_twenty_times_under_load_and_no_request_fails() {
    let (secure, upstream) = (Secure::shop(), Upstream::answering("hello").await);
    let lb = secure.setup(&[&upstream], "").start().await;
    let (ip, port) = (lb.web().ip().to_string(), lb.web().port().to_string());
    let arguments = [ip.as_str(), &port];
    let load = secure.python(PYTHON_LOAD, &arguments);
    let swap = async {
        for round in 0..20 {
            let issued = secure.ca.issue(&["shop.example", "127.0.0.1"]);
            match round % 2 {
                0 => secure.replace("shop", &issued),
                _ => {
                    secure.replace("shop", &issued);
                    let answer = lb.admin().post("/v1/reload", "").await;
                    assert_eq!(answer.status, 200, "{}", answer.text());
                }
            }
            eventually("the new certificate to be shown", PATIENCE, async || {
                shown(&secure, &lb).await == trimmed(&issued)
            })
            .await;
        }
        secure.write("stop", "");
    };
    let (said, ()) = tokio::join!(load, swap);
    let mut numbers = said.split(' ');
    let done: u32 = numbers.next().unwrap().parse().unwrap();
    assert_eq!(numbers.next(), Some("0"), "{said}");
    assert!(done > 200, "{said}");
    eprintln!("{done} requests over 20 swaps, none failed");
}

#[tokio::test]
async fn a_certificate_is_put_shown_told_and_removed() {
    let (secure, upstream) = (Secure::shop(), Upstream::answering("hello").await);
    let lb = secure.setup(&[&upstream], "").start().await;
    let admin = lb.admin();
    let issued = secure.ca.issue_with(&["shop.example"], CaKind::Rsa, |params| {
        params.distinguished_name.push(rcgen::DnType::CommonName, "shop");
    });
    let body = json!({ "certificate": issued.certificate, "key": issued.key, "arn": "arn:aws:acm:::certificate/1" });
    let put = admin.put("/v1/certificates/mine", &body.to_string()).await;
    assert_eq!(put.status, 201, "{}", put.text());
    let view = put.json();
    assert_eq!(view["subject"], "CN=shop");
    assert_eq!(view["issuer"], "CN=Test CA");
    assert_eq!(view["names"], json!(["shop.example"]));
    assert_eq!(view["key_type"], "RSA 2048");
    assert_eq!(view["owner"], "api");
    assert_eq!(view["arn"], "arn:aws:acm:::certificate/1");
    assert_eq!(view["used_by"], json!([]));
    assert_eq!(view["fingerprint"].as_str().unwrap().len(), 64);
    let listener = json!({
        "bind": "127.0.0.1:0", "protocol": "https", "certificates": ["mine", "shop"], "target_group": "app",
    });
    assert_eq!(admin.put("/v1/listeners/second", &listener.to_string()).await.status, 201);
    let mut lb = lb;
    lb.refresh();
    let admin = lb.admin();
    assert_eq!(secure.curl(lb.listener("second"), "/", &[]).await.stdout, b"hello");
    let refused = admin.delete("/v1/certificates/mine").await;
    assert_eq!(refused.status, 409, "{}", refused.text());
    assert!(refused.text().contains("second"), "{}", refused.text());
    assert_eq!(admin.delete("/v1/certificates/shop").await.status, 409, "the file's");
    assert_eq!(admin.put("/v1/certificates/shop", &body.to_string()).await.status, 409, "the file's");
    let list = admin.get("/v1/certificates").await.json();
    let names: Vec<_> = list.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["mine", "shop"]);
    let config = admin.get("/v1/config").await.json();
    let wanted = |index: usize, key: &str| config["certificates"][index][key].clone();
    assert_eq!(
        (wanted(0, "name"), wanted(0, "owner"), wanted(1, "owner")),
        (json!("mine"), json!("api"), json!("file"))
    );
    assert_eq!(wanted(1, "cert"), json!(secure.path("shop.pem")));
    let not_after = lb.metric("elbow_tls_cert_not_after_seconds", &[("certificate", "mine")]).await;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64();
    assert!((29.0..31.0).contains(&((not_after - now) / DAY.as_secs_f64())), "{not_after}");
    let missing = listener.to_string().replace("mine", "nobodys");
    let refused = admin.put("/v1/listeners/third", &missing).await;
    assert_eq!((refused.status, refused.json()["pointer"].as_str()), (409, Some("/certificates")));
    assert_eq!(admin.delete("/v1/listeners/second").await.status, 204);
    assert_eq!(admin.delete("/v1/certificates/mine").await.status, 204);
    assert_eq!(admin.get("/v1/certificates/mine").await.status, 404);
}

#[tokio::test]
async fn a_private_key_is_never_given_out() {
    let (secure, upstream) = (Secure::shop(), Upstream::answering("hello").await);
    let mut lb = secure.setup(&[&upstream], "").start().await;
    let issued = secure.ca.issue(&["shop.example"]);
    let body = json!({ "certificate": issued.certificate, "key": issued.key }).to_string();
    assert_eq!(lb.admin().put("/v1/certificates/mine", &body).await.status, 201);
    let secrets: Vec<_> = [&issued.key, &std::fs::read_to_string(secure.path("shop.key")).unwrap()]
        .iter()
        .map(|key| key.lines().nth(1).unwrap().to_owned())
        .collect();
    for path in ["/v1/certificates", "/v1/certificates/mine", "/v1/config", "/v1/state", "/v1/listeners", "/metrics"] {
        let said = lb.admin().get(path).await.text();
        assert!(secrets.iter().all(|secret| !said.contains(secret)) && !said.contains("PRIVATE KEY"), "{path}: {said}");
    }
    let said = format!("{}{}", lb.logs(), lb.stdout());
    assert!(secrets.iter().all(|secret| !said.contains(secret)), "{said}");
    // An export comes back without keys where they are, and is refused whole where they are not.
    let state = lb.admin().get("/v1/state").await.text();
    let back = lb.admin().put("/v1/state", &state).await;
    assert_eq!(back.status, 200, "{}", back.text());
    assert_eq!(lb.admin().delete("/v1/certificates/mine").await.status, 204);
    let refused = lb.admin().put("/v1/state", &state).await;
    assert_eq!(refused.status, 422, "{}", refused.text());
    assert_eq!(lb.admin().put("/v1/certificates/mine", &body).await.status, 201);
    lb.kill9().await;
    lb.start_again().await;
    assert_eq!(lb.admin().get("/v1/certificates/mine").await.json()["owner"], "api");
}

#[tokio::test]
async fn what_is_wrong_with_a_certificate_is_told_and_nothing_changes() {
    let (secure, upstream) = (Secure::shop(), Upstream::answering("hello").await);
    let lb = secure.setup(&[&upstream], "").start().await;
    let good = secure.ca.issue(&["shop.example"]);
    let now = SystemTime::now();
    let over = secure.ca.issue_between(&["shop.example"], now - 3 * DAY, now - DAY);
    let early = secure.ca.issue_between(&["shop.example"], now + DAY, now + 3 * DAY);
    let other = secure.ca.issue(&["shop.example"]).key;
    let before = lb.admin().get("/v1/config").await.json()["revision"].clone();
    for (certificate, key, pointer, why) in [
        (&over.certificate, &over.key, "/certificate", "expired"),
        (&early.certificate, &early.key, "/certificate", "does not hold yet"),
        (&good.certificate, &other, "/key", "does not belong"),
        (&good.key, &good.key, "/certificate", "no certificate"),
        (&good.certificate, &good.certificate, "/key", "no private key"),
    ] {
        let body = json!({ "certificate": certificate, "key": key }).to_string();
        let refused = lb.admin().put("/v1/certificates/mine", &body).await;
        assert_eq!((refused.status, refused.json()["pointer"].as_str()), (422, Some(pointer)), "{}", refused.text());
        assert!(refused.text().contains(why), "{why}: {}", refused.text());
    }
    // Files as well: by a reload, which is refused, and on their own, which the log tells of.
    let (was, served) = (shown(&secure, &lb).await, secure.path("shop.pem"));
    let old = Issued {
        certificate: std::fs::read_to_string(&served).unwrap(),
        key: std::fs::read_to_string(secure.path("shop.key")).unwrap(),
    };
    secure.replace("shop", &over);
    let refused = lb.admin().post("/v1/reload", "").await;
    assert!(refused.status == 422 && refused.text().contains("expired"), "{} {}", refused.status, refused.text());
    eventually("the log to tell", PATIENCE, async || lb.logs().contains("the old one stays in use")).await;
    assert_eq!(shown(&secure, &lb).await, was);
    secure.replace("shop", &old);
    assert_eq!(lb.admin().get("/v1/config").await.json()["revision"], before);
}
