//! The figures of CloudWatch and the access log of Classic ELB, after known traffic through load balancers that were
//! made by its API.

use std::net::SocketAddr;

use crate::harness::*;

const LOG: &str = "[access_log]\npath = \"-\"\nformat = \"elb-classic\"";

/// A load balancer `shop` with listeners on an address of its own.
struct Shop {
    lb: Lb,
    address: std::net::IpAddr,
}

impl Shop {
    async fn open(listeners: &[String]) -> Self {
        let address = own_address();
        let lb = Setup::default().top(&format!("[elb_api]\nbind = \"{address}\"\n{LOG}")).start_cold().await;
        let shop = Self { lb, address };
        let mut create = vec!["create-lb", "shop", "--availability-zones", "us-east-1a"];
        listeners.iter().for_each(|listener| create.extend(["--listener", listener]));
        shop.elb(&create).await;
        shop
    }

    async fn elb(&self, arguments: &[&str]) {
        let output = self.lb.cli(&[&["elb"], arguments].concat()).await;
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    async fn check(&self, target: &str) {
        let target = ["configure-healthcheck", "shop", "--target", target];
        let times = ["--interval", "5", "--timeout", "2", "--unhealthy-threshold", "2", "--healthy-threshold", "2"];
        self.elb(&[&target[..], &times].concat()).await;
    }

    async fn register(&self, id: &str, state: &str) {
        self.elb(&["register-instances-with-lb", "shop", "--instances", id]).await;
        self.lb.until("shop", id, state).await;
    }

    fn at(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.address, port)
    }

    async fn figure(&self, name: &str, class: Option<&str>) -> f64 {
        let class = class.map(|class| ("code_class", class));
        let labels: Vec<_> = [("region", "us-east-1"), ("load_balancer", "shop")].into_iter().chain(class).collect();
        self.lb.metric(&format!("elbow_elb_{name}"), &labels).await
    }

    async fn figures(&self, wanted: &[(&str, Option<&str>, f64)]) {
        for (name, class, value) in wanted {
            let mut seen = f64::NAN;
            eventually(&format!("{name} {class:?} to be {value}"), ms(3000), async || {
                seen = self.figure(name, *class).await;
                seen == *value
            })
            .await;
        }
    }

    async fn lines(&self, count: usize) -> Vec<Vec<String>> {
        let read = || self.lb.stdout();
        eventually(&format!("{count} lines"), PATIENCE, async || read().lines().count() >= count).await;
        read().lines().map(fields).collect()
    }
}

/// The fields of a line, quoted ones without their quotes.
fn fields(line: &str) -> Vec<String> {
    let mut fields = Vec::new();
    for (index, part) in line.split('"').enumerate() {
        match index % 2 {
            0 => fields.extend(part.split_ascii_whitespace().map(str::to_owned)),
            _ => fields.push(part.to_owned()),
        }
    }
    assert_eq!(fields.len(), 15, "{line}");
    fields
}

#[tokio::test]
async fn figures_and_lines_are_those_of_known_traffic() {
    let upstream = Upstream::answering("ok").await;
    let (host, port) = (upstream.address().ip().to_string(), upstream.address().port());
    let listeners = [
        format!("protocol=HTTP,lb-port=8080,instance-port={port}"),
        format!("protocol=TCP,lb-port=9000,instance-port={port}"),
    ];
    let shop = Shop::open(&listeners).await;
    shop.check(&format!("TCP:{port}")).await;

    // None registered: elbow's own answer, and no request that was routed.
    assert_eq!(get(shop.at(8080), "/").await.status, 503);
    shop.figures(&[("request_count_total", None, 0.0), ("http_code_elb_total", Some("5XX"), 1.0)]).await;

    shop.register(&host, "healthy").await;
    for status in [200, 200, 302, 404, 500] {
        upstream.set(move |_| answer(status, "body"));
        assert_eq!(get(shop.at(8080), "/a?b=c").await.status, status);
    }
    upstream.set(|_| vec![Act::ReadBody, Act::Close]);
    let post = "POST /x HTTP/1.1\r\nHost: shop.test:8080\r\nUser-Agent: say \"hi\"\r\nContent-Length: 5\r\n\r\nhello";
    assert_eq!(exchange(shop.at(8080), post).await.unwrap().status, 502);
    assert_eq!(exchange(shop.at(8080), "GET / HTTP/1.1\r\n\r\n").await.unwrap().status, 400);
    upstream.set(|_| answer(200, "0123456789"));
    assert_eq!(exchange(shop.at(8080), post).await.unwrap().status, 200);
    let mut client = Stream::connect(shop.at(9000)).await;
    let request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    client.send(request).await;
    client.half_close().await;
    let answer = client.rest().await.unwrap();
    assert!(answer.ends_with(b"0123456789"));

    let counted = [
        ("request_count_total", None, 8.0),
        ("http_code_backend_total", Some("2XX"), 3.0),
        ("http_code_backend_total", Some("3XX"), 1.0),
        ("http_code_backend_total", Some("4XX"), 1.0),
        ("http_code_backend_total", Some("5XX"), 1.0),
        ("http_code_elb_total", Some("4XX"), 1.0),
        ("http_code_elb_total", Some("5XX"), 2.0),
        ("latency_seconds_count", None, 7.0),
        ("backend_connection_errors_total", None, 0.0),
        ("spillover_count_total", None, 0.0),
        ("surge_queue_length", None, 0.0),
    ];
    shop.figures(&counted).await;
    shop.figures(&[("healthy_hosts", None, 1.0), ("unhealthy_hosts", None, 0.0)]).await;

    let lines = shop.lines(9).await;
    let instance = upstream.address().to_string();
    assert!(lines.iter().all(|line| line[1] == "shop"), "{lines:#?}");
    let of = |index: usize| lines[index].iter().map(String::as_str).collect::<Vec<_>>();
    assert_eq!(of(0)[3..11], ["-", "-1", "-1", "-1", "503", "0", "0", "0"]);
    assert_eq!((of(1)[3], &of(1)[7..11]), (&*instance, &["200", "200", "0", "4"][..]));
    assert!(of(1)[11].starts_with("GET http://") && of(1)[11].ends_with(":8080/a?b=c HTTP/1.1"), "{}", of(1)[11]);
    assert!(of(1)[4..7].iter().all(|time| time.parse::<f64>().is_ok_and(|time| (0.0..20.0).contains(&time))));
    assert_eq!(of(6)[3..11], ["-", "-1", "-1", "-1", "502", "0", "5", "0"]);
    assert_eq!(of(7)[3..13], ["-", "-1", "-1", "-1", "400", "0", "0", "0", "- - - ", "-"]);
    assert_eq!(of(8)[7..13], ["200", "200", "5", "10", "POST http://shop.test:8080/x HTTP/1.1", "say \\x22hi\\x22"]);
    let streamed = shop.lines(10).await.remove(9);
    assert_eq!(streamed[3], instance);
    let (received, sent) = (request.len().to_string(), answer.len().to_string());
    assert_eq!(streamed[7..], ["-", "-", &received, &sent, "- - - ", "-", "-", "-"]);

    // Nothing is taken back when listeners and instances go.
    shop.elb(&["delete-lb-listeners", "shop", "--lb-ports", "8080", "--force"]).await;
    shop.elb(&["deregister-instances-from-lb", "shop", "--instances", &host]).await;
    shop.figures(&counted).await;
}

#[tokio::test]
async fn failed_connects_of_traffic_and_of_checks_are_counted() {
    let mut upstream = Upstream::answering("ok").await;
    let (host, port) = (upstream.address().ip().to_string(), upstream.address().port());
    let shop = Shop::open(&[format!("protocol=HTTP,lb-port=8080,instance-port={port}")]).await;
    shop.check(&format!("TCP:{port}")).await;
    shop.register(&host, "healthy").await;
    upstream.stop().await;
    assert_eq!(get(shop.at(8080), "/").await.status, 502);
    let errors = async || shop.figure("backend_connection_errors_total", None).await;
    // Three attempts, and whatever checks there were meanwhile.
    assert!(errors().await >= 3.0);
    shop.figures(&[("request_count_total", None, 0.0), ("http_code_elb_total", Some("5XX"), 1.0)]).await;
    let before = errors().await;
    eventually("a check that fails to connect", PATIENCE, async || errors().await > before).await;
    shop.figures(&[("healthy_hosts", None, 1.0)]).await;
}
