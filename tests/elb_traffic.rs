//! What listeners do that were made through the ELB API, as far as it is Classic ELB's way with HTTP: which requests are
//! taken, what is changed on their way, and what is answered without an instance.

use std::net::SocketAddr;

use crate::harness::*;

const PORT: u16 = 8080;

/// A load balancer made through the API, in front of one instance.
struct Classic {
    lb: Lb,
    front: SocketAddr,
}

impl Classic {
    async fn before(upstream: &Upstream) -> Self {
        let (bind, instance) = (own_address(), upstream.address());
        let top = format!("[elb_api]\nbind = \"{bind}\"\nauth = \"none\"");
        let lb = Setup::default().top(&top).start_cold().await;
        let classic = Self { front: SocketAddr::new(bind, PORT), lb };
        classic
            .done(&format!(
                "Action=CreateLoadBalancer&LoadBalancerName=web&AvailabilityZones.member.1=us-east-1a\
                 &Listeners.member.1.Protocol=HTTP&Listeners.member.1.LoadBalancerPort={PORT}\
                 &Listeners.member.1.InstancePort={}",
                instance.port()
            ))
            .await;
        let id = instance.ip();
        classic.done(&instances("RegisterInstancesWithLoadBalancer", &id.to_string())).await;
        eventually("the instance to be in service", PATIENCE, async || {
            classic.lb.target_states("web").await.get(&id.to_string()).is_some_and(|state| state == "healthy")
        })
        .await;
        classic
    }

    /// An action that is expected to be done.
    async fn done(&self, parameters: &str) {
        let signature = "AWS4-HMAC-SHA256 Credential=AKIAANYBODY/20260101/us-east-1/elasticloadbalancing/aws4_request, \
                         SignedHeaders=host;x-amz-date, Signature=00";
        let headers = [
            ("Authorization", signature),
            ("X-Amz-Date", "20260101T000000Z"),
            ("Content-Type", "application/x-www-form-urlencoded"),
        ];
        let body = format!("Version=2012-06-01&{parameters}");
        let response = self.lb.admin().without_token("POST", "/", &headers, &body).await;
        assert_eq!(response.status, 200, "{}", response.text());
    }

    /// Sets the desync mitigation mode.
    async fn mitigate(&self, mode: &str) {
        let attribute = "LoadBalancerAttributes.AdditionalAttributes.member.1";
        self.done(&format!(
            "Action=ModifyLoadBalancerAttributes&LoadBalancerName=web&{attribute}.Key=elb.http.desyncmitigationmode\
             &{attribute}.Value={mode}"
        ))
        .await;
    }

    async fn noncompliant(&self, class: &str) -> f64 {
        let listener = format!("web:{PORT}");
        self.lb.metric("elbow_noncompliant_requests_total", &[("listener", &listener), ("class", class)]).await
    }
}

fn instances(action: &str, id: &str) -> String {
    format!("Action={action}&LoadBalancerName=web&Instances.member.1.InstanceId={id}")
}

#[tokio::test]
async fn the_attribute_sets_the_desync_mitigation_mode() {
    let upstream = Upstream::answering("ok").await;
    let classic = Classic::before(&upstream).await;
    let ambiguous = "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";
    for (mode, status, connection) in
        [(None, 200, Some("close")), (Some("monitor"), 200, None), (Some("strictest"), 400, Some("close"))]
    {
        if let Some(mode) = mode {
            classic.mitigate(mode).await;
        }
        let mut client = Client::connect(classic.front).await;
        client.send(ambiguous).await;
        let response = client.response().await;
        assert_eq!((response.status, response.header("connection")), (status, connection), "{mode:?}");
        if connection.is_some() {
            client.assert_closed().await;
        } else {
            assert_eq!(client.get("/after").await.status, 200);
        }
    }
    eventually("three ambiguous requests", PATIENCE, async || classic.noncompliant("ambiguous").await == 3.0).await;
    let mut client = Client::connect(classic.front).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").await;
    client.response().await.assert_made_by_elbow(400);
    classic.mitigate("defensive").await;
    let mut client = Client::connect(classic.front).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(client.response().await.header("connection"), None);
    assert_eq!(client.get("/after").await.status, 200);
    eventually("two acceptable requests", PATIENCE, async || classic.noncompliant("acceptable").await == 2.0).await;
}

#[tokio::test]
async fn a_request_is_changed_on_its_way_as_classic_elb_does() {
    let upstream = Upstream::answering("ok").await;
    let classic = Classic::before(&upstream).await;
    let old = exchange(classic.front, "GET /old HTTP/1.0\r\n\r\n").await.unwrap();
    assert_eq!(old.status, 200);
    let seen = upstream.only_request();
    assert_eq!(seen.head.first_line, "GET /old HTTP/1.1");
    assert_eq!(seen.header("host"), Some(&*classic.front.to_string()), "the load balancer's own address");

    let mut client = Client::connect(classic.front).await;
    client
        .send(
            "GET /new?q HTTP/1.1\r\nHost: shop.test\r\nX-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\n\
             X-Forwarded-Port: 443\r\nConnection: X-Own\r\nX-Own: 1\r\nTE: trailers\r\nKeep-Alive: 5\r\n\r\n",
        )
        .await;
    assert_eq!(client.response().await.status, 200);
    let seen = &upstream.seen()[1];
    for (name, value) in [
        ("host", Some("shop.test")),
        ("x-forwarded-for", Some("192.0.2.1, 127.0.0.1")),
        ("x-forwarded-proto", Some("http")),
        ("x-forwarded-port", Some("8080")),
        ("x-amzn-trace-id", None),
        ("connection", None),
        ("x-own", None),
        ("te", None),
        ("keep-alive", None),
    ] {
        assert_eq!(seen.header(name), value, "{name}");
    }
    assert_eq!(client.get("/kept").await.status, 200);
    let connections: Vec<_> = upstream.seen().iter().map(|request| request.connection).collect();
    assert_eq!(connections[1], connections[2], "connections to instances are kept");
}

#[tokio::test]
async fn a_client_that_expects_100_continue_is_answered_at_once() {
    let upstream = Upstream::answering("ok").await;
    let classic = Classic::before(&upstream).await;
    let mut client = Client::connect(classic.front).await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n").await;
    assert_eq!(client.response().await.status, 100);
    client.send("hi").await;
    assert_eq!(client.response().await.status, 200);
    let seen = upstream.only_request();
    assert_eq!((seen.header("expect"), &*seen.body), (None, &b"hi"[..]));
}

#[tokio::test]
async fn connect_is_refused_and_so_is_a_method_longer_than_127_characters() {
    let upstream = Upstream::answering("ok").await;
    let classic = Classic::before(&upstream).await;
    let long = "M".repeat(127);
    for (request, status) in [
        ("CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n".to_owned(), 400),
        (format!("{long}M / HTTP/1.1\r\nHost: a\r\n\r\n"), 405),
    ] {
        let mut client = Client::connect(classic.front).await;
        client.send(request).await;
        let response = client.response().await;
        response.assert_made_by_elbow(status);
        assert_eq!(response.header("connection"), Some("close"));
        client.assert_closed().await;
    }
    assert_eq!(upstream.requests(), 0);
    let taken = exchange(classic.front, format!("{long} / HTTP/1.1\r\nHost: a\r\n\r\n")).await.unwrap();
    assert_eq!(taken.status, 200);
    assert_eq!(upstream.only_request().method(), long);
}

#[tokio::test]
async fn what_no_instance_answers_is_answered_as_classic_elb_does() {
    let upstream = Upstream::start(|request| match request.path() {
        "/garbage" => raw("nothing\r\n\r\n"),
        "/silence" => vec![Act::Hold],
        _ => answer(200, "ok"),
    })
    .await;
    let classic = Classic::before(&upstream).await;
    get(classic.front, "/garbage").await.assert_made_by_elbow(502);
    classic
        .done(
            "Action=ModifyLoadBalancerAttributes&LoadBalancerName=web\
             &LoadBalancerAttributes.ConnectionSettings.IdleTimeout=1",
        )
        .await;
    get(classic.front, "/silence").await.assert_made_by_elbow(504);
    exchange(classic.front, "nonsense\r\n\r\n").await.unwrap().assert_made_by_elbow(400);
    let id = upstream.address().ip().to_string();
    classic.done(&instances("DeregisterInstancesFromLoadBalancer", &id)).await;
    get(classic.front, "/").await.assert_made_by_elbow(503);
    let port = format!("web:{PORT}");
    for code in ["400", "502", "503", "504"] {
        let count = classic.lb.metric("elbow_lb_responses_total", &[("listener", &port), ("code", code)]).await;
        assert!((count - 1.0).abs() < 0.5, "{code}: {count}");
    }
}
