//! What a target is told about the client: forwarding headers, whom they are taken from, and what is never passed on.

use crate::harness::*;

async fn forwarded(setup: fn(Setup) -> Setup, headers: &str) -> (Lb, Request) {
    let upstream = Upstream::answering("ok").await;
    let lb = setup(Setup::targets(&[&upstream])).start().await;
    let request = format!("GET / HTTP/1.1\r\nHost: shop.example.test:8443\r\n{headers}\r\n");
    assert_eq!(exchange(lb.web(), request).await.unwrap().status, 200);
    (lb, upstream.only_request())
}

fn trusting(setup: Setup) -> Setup {
    setup.listener("trusted_proxies = [\"127.0.0.0/8\"]")
}

fn trusting_others(setup: Setup) -> Setup {
    setup.listener("trusted_proxies = [\"10.0.0.0/8\", \"::1/128\"]")
}

#[tokio::test]
async fn the_target_is_told_address_protocol_and_port() {
    let (lb, request) = forwarded(|setup| setup, "").await;
    assert_eq!(request.header("host"), Some("shop.example.test:8443"));
    assert_eq!(request.header("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(request.header("x-forwarded-proto"), Some("http"));
    assert_eq!(request.header("x-forwarded-port"), Some(lb.web().port().to_string().as_str()));
    assert_eq!(request.header("via"), None);
    assert!(request.header("x-request-id").is_some());
    assert_eq!(request.head.headers.len(), 5, "{:?}", request.head.headers);
}

#[tokio::test]
async fn by_default_the_clients_address_is_appended_and_the_rest_replaced() {
    let headers = "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-For: 192.0.2.2, 192.0.2.3\r\n\
                   X-Forwarded-Proto: https\r\nX-Forwarded-Port: 443\r\n";
    let (lb, request) = forwarded(|setup| setup, headers).await;
    assert_eq!(request.head.all("x-forwarded-for").join(", "), "192.0.2.1, 192.0.2.2, 192.0.2.3, 127.0.0.1");
    assert_eq!(request.header("x-forwarded-proto"), Some("http"));
    assert_eq!(request.header("x-forwarded-port"), Some(lb.web().port().to_string().as_str()));
}

#[tokio::test]
async fn a_trusted_proxy_is_believed_and_extended() {
    let headers = "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Port: 443\r\n\
                   X-Forwarded-Host: h\r\nForwarded: for=192.0.2.1\r\n";
    let (_lb, request) = forwarded(trusting, headers).await;
    assert_eq!(request.head.all("x-forwarded-for").join(", "), "192.0.2.1, 127.0.0.1");
    assert_eq!(request.header("x-forwarded-proto"), Some("https"));
    assert_eq!(request.header("x-forwarded-port"), Some("443"));
    assert_eq!(request.header("x-forwarded-host"), Some("h"));
    assert_eq!(request.header("forwarded"), Some("for=192.0.2.1"));
}

#[tokio::test]
async fn a_trusted_proxy_that_says_nothing_leaves_it_to_elbow() {
    let (lb, request) = forwarded(trusting, "").await;
    assert_eq!(request.header("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(request.header("x-forwarded-proto"), Some("http"));
    assert_eq!(request.header("x-forwarded-port"), Some(lb.web().port().to_string().as_str()));
}

#[tokio::test]
async fn with_trusted_proxies_anybody_elses_word_is_dropped() {
    let headers = "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Port: 443\r\n\
                   X-Forwarded-Host: h\r\nX-Forwarded-Anything: x\r\nForwarded: for=192.0.2.1\r\n";
    let (lb, request) = forwarded(trusting_others, headers).await;
    assert_eq!(request.header("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(request.header("x-forwarded-proto"), Some("http"));
    assert_eq!(request.header("x-forwarded-port"), Some(lb.web().port().to_string().as_str()));
    for name in ["x-forwarded-host", "x-forwarded-anything", "forwarded"] {
        assert_eq!(request.header(name), None, "{name}");
    }
}

#[tokio::test]
async fn connection_bound_headers_are_not_forwarded() {
    let headers = "Connection: keep-alive, X-Mine\r\nX-Mine: 1\r\nKeep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\n\
                   TE: trailers\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nUpgrade: h2c\r\nX-Theirs: 2\r\n";
    let (_lb, request) = forwarded(|setup| setup, headers).await;
    for name in ["connection", "x-mine", "keep-alive", "proxy-connection", "te", "http2-settings", "upgrade"] {
        assert_eq!(request.header(name), None, "{name}");
    }
    assert_eq!(request.header("x-theirs"), Some("2"));
}

#[tokio::test]
async fn credentials_pass() {
    let (_lb, request) = forwarded(|setup| setup, "Authorization: Basic eDp5\r\nCookie: a=b; c=d\r\n").await;
    assert_eq!((request.header("authorization"), request.header("cookie")), (Some("Basic eDp5"), Some("a=b; c=d")));
}
