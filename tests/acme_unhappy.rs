//! What an authority may answer that a real one does not on demand: a small one that is scripted, in the clear on
//! loopback. It checks no signature, and sees to it that nothing is asked of it too often.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::harness::*;

/// How a scripted authority answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    /// Every order is refused for an hour.
    RateLimited,
    /// No nonce is ever right.
    BadNonce,
    /// The names are never found to be ours.
    Invalid,
    /// Orders are answered with something else than JSON, and too much of it.
    Garbage,
}

struct Authority {
    upstream: Upstream,
    orders: Arc<AtomicUsize>,
}

impl Authority {
    async fn start(mood: Mood) -> Self {
        let base = Arc::new(OnceLock::new());
        let orders = Arc::<AtomicUsize>::default();
        let (told, counted) = (Arc::clone(&base), Arc::clone(&orders));
        let upstream = Upstream::start(move |request| {
            let base: &String = told.get().expect("it is told where it listens");
            let at = |path: &str| format!("{base}{path}");
            let order = |status: &str| json!({ "status": status, "authorizations": [], "finalize": at("/finalize") });
            if request.path() == "/order" {
                counted.fetch_add(1, Relaxed);
            }
            match (request.path(), mood) {
                ("/directory", _) => {
                    let urls =
                        json!({ "newNonce": at("/nonce"), "newAccount": at("/account"), "newOrder": at("/order") });
                    reply(200, &[], &urls)
                }
                ("/nonce", _) => raw("HTTP/1.1 200 OK\r\nReplay-Nonce: any\r\nContent-Length: 0\r\n\r\n"),
                ("/account", _) => reply(201, &[("Location", &at("/account/1"))], &json!({})),
                ("/order", Mood::BadNonce) => reply(400, &[], &problem("badNonce", "try another")),
                ("/order", Mood::RateLimited) => {
                    reply(429, &[("Retry-After", "3600")], &problem("rateLimited", "too many certificates"))
                }
                ("/order", Mood::Garbage) => vec![
                    Act::ReadBody,
                    Act::Write(b"HTTP/1.1 201 Created\r\nReplay-Nonce: any\r\n\r\n".to_vec()),
                    Act::Repeat(vec![b'x'; 1 << 16], 1 << 12),
                    Act::Close,
                ],
                ("/order", Mood::Invalid) => reply(201, &[("Location", &at("/order/1"))], &order("pending")),
                _ => reply(200, &[], &order("invalid")),
            }
        })
        .await;
        base.set(format!("http://{}", upstream.address())).unwrap();
        Self { upstream, orders }
    }

    fn orders(&self) -> usize {
        self.orders.load(Relaxed)
    }

    async fn elbow(&self) -> Lb {
        let directory = format!("http://{}/directory", self.upstream.address());
        let acme = format!("[acme]\nterms_agreed = true\ndirectory = \"{directory}\"");
        Setup::default().top(&acme).more("[[certificate]]\nname = \"shop\"\nacme = [\"shop.example\"]").start().await
    }
}

fn problem(kind: &str, detail: &str) -> Value {
    json!({ "type": format!("urn:ietf:params:acme:error:{kind}"), "detail": detail })
}

fn reply(status: u16, headers: &[(&str, &str)], body: &Value) -> Vec<Act> {
    let more: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let body = body.to_string();
    let length = body.len();
    raw(format!("HTTP/1.1 {status} Any\r\nReplay-Nonce: any\r\n{more}Content-Length: {length}\r\n\r\n{body}"))
}

async fn shown(lb: &Lb) -> Value {
    lb.admin().get("/v1/certificates/shop").await.json()["acme"].clone()
}

/// What is told of the first failure, and how far the next attempt lies.
async fn failure(lb: &Lb) -> (String, Duration) {
    eventually("an attempt to fail", PATIENCE, async || shown(lb).await["last_error"].is_string()).await;
    let shown = shown(lb).await;
    let next = shown["next_at"].as_str().unwrap();
    let parsed = time::OffsetDateTime::parse(next, &time::format_description::well_known::Rfc3339);
    let wait = SystemTime::from(parsed.unwrap()).duration_since(SystemTime::now()).unwrap_or_default();
    (shown["last_error"].as_str().unwrap().to_owned(), wait)
}

#[tokio::test]
async fn a_rate_limit_is_kept_to() {
    let authority = Authority::start(Mood::RateLimited).await;
    let lb = authority.elbow().await;
    let (why, wait) = failure(&lb).await;
    assert!(why.contains("too many certificates") && why.contains("rateLimited"), "{why}");
    assert!((3500..3700).contains(&wait.as_secs()), "{wait:?}");
    always("it is left alone", ms(1500), async || authority.orders() == 1).await;
}

#[tokio::test]
async fn a_storm_of_bad_nonces_ends() {
    let authority = Authority::start(Mood::BadNonce).await;
    let lb = authority.elbow().await;
    let (why, wait) = failure(&lb).await;
    assert!(why.contains("badNonce"), "{why}");
    assert!((50..80).contains(&wait.as_secs()), "{wait:?}");
    assert!(authority.orders() <= 4, "{}", authority.orders());
}

#[tokio::test]
async fn an_order_that_becomes_invalid_is_told() {
    let authority = Authority::start(Mood::Invalid).await;
    let lb = authority.elbow().await;
    let (why, wait) = failure(&lb).await;
    assert!(why.contains("given up the order"), "{why}");
    assert!((50..80).contains(&wait.as_secs()), "{wait:?}");
}

#[tokio::test]
async fn garbage_without_end_is_bounded_in_memory() {
    let authority = Authority::start(Mood::Garbage).await;
    let lb = authority.elbow().await;
    let before = lb.resident_kib();
    let (why, _) = failure(&lb).await;
    assert!(why.contains("length limit"), "{why}");
    assert!(lb.resident_kib() < before + 32 * 1024, "{before} KiB became {} KiB", lb.resident_kib());
}
