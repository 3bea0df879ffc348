//! Limits and deadlines: who is too large, too slow or too many, and how that ends.

use std::time::Duration;

use lb::model::Listener;

use crate::common::Want;
use crate::house::{House, eventually};
use crate::wire::{Target, Wire, field};
use crate::{client_of, want_of};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn with_listener(want: Want, change: impl FnOnce(&mut Listener)) -> Want {
    let mut listener = want.config.listeners["web"].wanted.clone();
    change(&mut listener);
    want.with(&lb::model::Change::PutListener(lb::model::Origin::Api, listener))
}

fn house(change: impl FnOnce(&mut Listener)) -> House {
    House::with(&with_listener(want_of(&[&Target::echoing("a")]), change))
}

fn refused(client: &mut Wire, status: &str) {
    let answer = client.rest();
    assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    assert!(answer.contains("\r\nConnection: close\r\n"), "{answer}");
}

#[test]
fn a_silent_preface_ends_quietly_and_half_a_head_is_told() {
    let house = house(|listener| listener.head_timeout = Duration::from_millis(100));
    assert_eq!(client_of(&house).rest(), "");
    refused(client_of(&house).send("GET / HT"), "408");
    let mut kept = client_of(&house);
    kept.send(GET).response();
    refused(kept.send("GET / HT"), "408");
}

#[test]
fn a_silent_kept_connection_ends() {
    let house = house(|listener| listener.idle_timeout = Duration::from_millis(100));
    let mut client = client_of(&house);
    client.send(GET).response();
    assert_eq!(client.rest(), "");
}

#[test]
fn too_much_is_refused() {
    let house = house(|listener| {
        listener.request_line_bytes_max = 100;
        listener.headers_bytes_max = 200;
        listener.header_count_max = 4;
        listener.body_bytes_max = 10;
    });
    let long = "x".repeat(300);
    refused(client_of(&house).send(format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n")), "414");
    refused(client_of(&house).send(format!("GET / HTTP/1.1\r\nHost: a\r\nX: {long}\r\n\r\n")), "431");
    refused(client_of(&house).send(format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(4))), "431");
    refused(client_of(&house).send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n"), "413");
    let chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    refused(client_of(&house).send(format!("{chunked}b\r\n12345678901\r\n0\r\n\r\n")), "413");
    refused(client_of(&house).send(chunked).send("5\r\n12345\r\n").send("6\r\n123456\r\n"), "413");
}

#[test]
fn the_ambiguous_is_refused_and_counted() {
    let house = house(|_| {});
    for request in [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5 \r\nhello\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        "GET / HTTP/1.1\nHost: a\n\n",
    ] {
        refused(client_of(&house).send(request), "400");
    }
    refused(client_of(&house).send("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n"), "400");
    let snapshot = house.live.load();
    let cells = &snapshot.frontends.values().next().unwrap().metrics.workers;
    let counted: u64 = cells.iter().flat_map(|cells| cells.noncompliant.iter()).map(lb::telemetry::Counter::get).sum();
    assert_eq!(counted, 6);
}

#[test]
fn a_trickler_is_cut_off_and_a_slow_upload_completes() {
    let house = house(|listener| listener.body_rate_min_bytes = 1024);
    let mut trickler = client_of(&house);
    trickler.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
    let mut slow = client_of(&house);
    slow.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 14000\r\n\r\n");
    // 200 bytes every 0.1 s are just enough, one is not.
    for _ in 0..70 {
        let _ = trickler.try_send("x");
        slow.send([b'y'; 200]);
        std::thread::sleep(Duration::from_millis(100));
    }
    refused(&mut trickler, "408");
    assert!(slow.head().starts_with("HTTP/1.1 200 OK"));
}

#[test]
fn an_answer_nobody_reads_ends() {
    let target = Target::playing(|mut wire| {
        wire.head();
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n");
        while wire.try_send([0; 65536]).is_ok() {}
    });
    let house = House::with(&want_of(&[&target]));
    let mut client = client_of(&house);
    client.send(GET);
    eventually("the answer is under way", || house.in_flight() == 1);
    eventually("the connection ends", || house.in_flight() == 0);
}

#[test]
fn a_connection_carries_only_so_many_requests() {
    let house = house(|listener| listener.requests_per_connection_max = 2);
    let mut client = client_of(&house);
    assert_eq!(field(&client.send(GET).response().0, "connection"), None);
    assert_eq!(field(&client.send(GET).response().0, "connection"), Some("close"));
    assert_eq!(client.rest(), "");
}

#[test]
fn connections_beyond_the_limit_are_refused_and_come_back() {
    let house = house(|listener| listener.connections_max = 2);
    let mut kept: Vec<_> = (0..2).map(|_| client_of(&house)).collect();
    kept.iter_mut().for_each(|client| drop(client.send(GET).response()));
    let answer = client_of(&house).send(GET).rest();
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("\r\nRetry-After: "), "{answer}");
    let refused = || house.telemetry.workers.sum(|worker| &worker.connections_refused);
    assert_eq!(refused(), 1);
    kept.pop();
    eventually("there is room again", || {
        let mut client = client_of(&house);
        client.try_send(GET).is_ok() && client.try_head().is_some_and(|head| head.starts_with("HTTP/1.1 200 "))
    });
}
