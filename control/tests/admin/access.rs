//! Who may ask: the token, other sites, hosts, and how many at a time.

use http::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::house::{House, within};

const OPEN: [&str; 3] = ["/healthz", "/readyz", "/metrics"];

#[tokio::test]
async fn everything_under_v1_needs_the_token() {
    let house = House::start().await;
    let token = house.token.clone().unwrap();
    for path in ["/v1/config", "/v1/openapi.json", "/v1/nothing", "/v1", "/V1/config", "//v1/config", "/%761/config"] {
        let answer = house.ask(Method::GET, path).without("authorization").send().await;
        answer.problem(401);
        assert!(answer.header("www-authenticate").starts_with("Bearer"));
    }
    let wrong = ["Bearer ", "Bearer x", "Basic x", "Bearer", &format!("Bearer {token}x"), &token];
    for value in wrong {
        let ask = house.ask(Method::GET, "/v1/config").without("authorization").header("authorization", value);
        ask.send().await.problem(401);
    }
    let twice = house.ask(Method::GET, "/v1/config").header("authorization", "Bearer x");
    twice.send().await.problem(401);
    let lower = house.ask(Method::GET, "/v1/config").without("authorization");
    lower.header("authorization", &format!("bearer {token}")).send().await.json(200);
}

#[tokio::test]
async fn probes_and_metrics_are_open() {
    let house = House::start().await;
    house.readiness.ready();
    for path in OPEN {
        let answer = house.ask(Method::GET, path).without("authorization").send().await;
        assert_eq!(answer.status, 200, "{path}");
        let head = house.ask(Method::HEAD, path).without("authorization").send().await;
        assert_eq!((head.status.as_u16(), head.body.len()), (200, 0), "{path}");
    }
}

#[tokio::test]
async fn a_browser_on_behalf_of_another_site_is_refused_always() {
    for token in [true, false] {
        let house = House::start_with(None, token).await;
        let asks = [
            house.ask(Method::GET, "/v1/config"),
            house.ask(Method::PUT, "/v1/target-groups/x"),
            house.ask(Method::POST, "/v1/reload"),
            house.ask(Method::OPTIONS, "/v1/config"),
            house.ask(Method::GET, "/healthz"),
            house.ask(Method::GET, "/metrics"),
            house.ask(Method::GET, "/?Action=DescribeLoadBalancers"),
            house.ask(Method::POST, "/"),
        ];
        let own = format!("http://{}", house.address);
        for ask in asks {
            for (name, value) in [
                ("origin", "https://evil.example"),
                ("origin", "null"),
                ("origin", &own.replace("http:", "https:")),
                ("origin", "http://127.0.0.1"),
                ("sec-fetch-site", "cross-site"),
                ("sec-fetch-site", "same-site"),
                ("sec-fetch-site", ""),
            ] {
                ask.clone().header(name, value).send().await.problem(403);
            }
            ask.clone().header("origin", &own).header("origin", "https://evil.example").send().await.problem(403);
        }
        let same = house.ask(Method::GET, "/v1/config").header("origin", &own).header("sec-fetch-site", "same-origin");
        same.send().await.json(200);
        let typed = house.ask(Method::GET, "/v1/config").header("sec-fetch-site", "none");
        typed.send().await.json(200);
    }
}

#[tokio::test]
async fn without_a_token_the_host_must_be_loopback() {
    let house = House::start_with(None, false).await;
    let ask = |path: &str| house.ask(Method::GET, path).without("host");
    for host in ["localhost", "LocalHost:9900", "127.0.0.1", "127.9.9.9:1", "[::1]", "[::1]:80"] {
        ask("/v1/config").header("host", host).send().await.json(200);
    }
    let foreign = ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.1", "[::2]", "", "::1"];
    for host in foreign {
        for path in ["/v1/config", "/metrics", "/healthz"] {
            ask(path).header("host", host).send().await.problem(403);
        }
    }
    ask("/v1/config").header("host", "localhost").header("host", "evil.example").send().await.problem(403);
    // An absolute target names a host as well.
    let mut stream = TcpStream::connect(house.address).await.unwrap();
    let request = "GET http://evil.example/v1/config HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    within("an answer", stream.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
}

#[tokio::test]
async fn an_open_door_on_another_address_is_never_served() {
    let refused = House::start_at("0.0.0.0:0", None, false).await.stop().await.unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::InvalidInput, "{refused}");
}

#[tokio::test]
async fn connections_are_bounded_and_those_too_many_wait() {
    let house = House::start().await;
    let mut idle = Vec::new();
    for _ in 0..256 {
        let mut stream = TcpStream::connect(house.address).await.unwrap();
        // Half a head: the connection is in use.
        stream.write_all(b"GET /healthz HTTP/1.1\r\n").await.unwrap();
        idle.push(stream);
    }
    let mut late = TcpStream::connect(house.address).await.unwrap();
    late.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    let early = tokio::time::timeout(std::time::Duration::from_millis(300), late.read_u8()).await;
    assert!(early.is_err(), "the connection too many was served");
    drop(idle.pop());
    within("a free place", late.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.contains("200 OK"), "{answer}");
}
