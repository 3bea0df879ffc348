//! Targets that refuse, close, or answer too late: what is tried again, and what the client is told.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::common::WORKERS;
use crate::house::{House, eventually};
use crate::wire::{Target, Wire, field};
use crate::{client_of, house_of, want_of};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nok";

/// An address that refuses connections.
fn refusing() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

fn refused(wire: &mut Wire, status: &str, error: &str) {
    let (head, body) = wire.response();
    assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
    assert_eq!(field(&head, "proxy-status"), Some(&*format!("elbow; error={error}")));
    assert!(body.starts_with("elbow: ") && body.ends_with('\n'), "{body}");
}

fn retries(house: &House) -> (u64, u64, u64) {
    let snapshot = house.live.load();
    let metrics = &snapshot.pools.values().next().unwrap().metrics;
    let sum = |of: fn(&lb::telemetry::GroupCells) -> &lb::telemetry::Counter| metrics.workers.sum(of);
    (sum(|c| &c.retries_succeeded), sum(|c| &c.retries_failed), sum(|c| &c.connection_errors))
}

#[test]
fn a_refused_connection_is_tried_elsewhere_whatever_the_method() {
    let target = Target::echoing("b");
    let want = want_of(&[]).target("app", "a", &refusing()).target("app", "b", &target.text());
    let house = House::with(&want);
    for request in [GET, POST].iter().cycle().take(20) {
        let mut client = client_of(&house);
        client.send(request);
        let (head, body) = client.response();
        assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
        assert!(request != &POST || body.ends_with("ok"), "{body}");
    }
    let (saved, failed, errors) = retries(&house);
    assert!(saved > 0 && failed == 0 && errors == saved, "{saved} {failed} {errors}");
}

#[test]
fn a_refusal_everywhere_is_told() {
    let want = want_of(&[]).target("app", "a", &refusing()).target("app", "b", &refusing());
    let house = House::with(&want);
    let mut client = client_of(&house);
    // The connection outlives the failure.
    for _ in 0..2 {
        refused(client.send(GET), "502", "connection_refused");
    }
    assert_eq!(retries(&house), (0, 2, 6));
}

#[test]
fn a_close_before_the_answer_is_tried_again_only_if_twice_is_as_good_as_once() {
    let hits = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&hits);
    let closing = Target::playing(move |mut wire| {
        wire.head();
        count.fetch_add(1, Ordering::SeqCst);
    });
    let house = house_of(&[&closing]);
    refused(client_of(&house).send(GET), "502", "connection_terminated");
    assert_eq!(hits.swap(0, Ordering::SeqCst), 3);
    refused(client_of(&house).send(POST), "502", "connection_terminated");
    assert_eq!(hits.load(Ordering::SeqCst), 1);
}

#[test]
fn a_body_that_is_buffered_is_sent_again() {
    let good = Target::echoing("b");
    let closing = Target::playing(|mut wire| drop(wire.head()));
    let house = house_of(&[&closing, &good]);
    for _ in 0..10 {
        let mut client = client_of(&house);
        client.send("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n");
        let head = client.head();
        assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
    }
}

#[test]
fn a_kept_connection_the_target_has_closed_costs_nothing() {
    let closed = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&closed);
    let target = Target::playing(move |mut wire| {
        wire.head();
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        drop(wire);
        count.fetch_add(1, Ordering::SeqCst);
    });
    let house = house_of(&[&target]);
    let mut client = client_of(&house);
    for n in 1..=20 {
        assert_eq!(client.send(POST).response().1, "ok");
        // What is not idempotent goes well once the close has arrived, whether or not an event told of it.
        eventually("it is closed", || closed.load(Ordering::SeqCst) == n);
    }
    let mut client = client_of(&house);
    for _ in 0..20 {
        assert_eq!(client.send(GET).response().1, "ok");
    }
}

#[test]
fn a_target_that_does_not_answer_in_time_is_told() {
    let target = Target::playing(|mut wire| while wire.try_head().is_some() {});
    let house =
        House::with(&want_of(&[&target]).set("app", |group| group.response_timeout = Duration::from_millis(100)));
    refused(client_of(&house).send(GET), "504", "http_response_timeout");
    eventually("nothing in flight", || house.in_flight() == 0);
}

#[test]
fn a_connect_that_nobody_answers_is_tried_elsewhere() {
    // A listener with a full backlog does not answer.
    let full = TcpListener::bind("127.0.0.1:0").unwrap();
    socket2::SockRef::from(&full).listen(0).unwrap();
    let address = full.local_addr().unwrap();
    let _fill: Vec<_> = (0..4).map(|_| fill(address)).collect();
    let target = Target::echoing("b");
    let want = want_of(&[]).target("app", "a", &address.to_string()).target("app", "b", &target.text());
    let house = House::with(&want.set("app", |group| group.connect_timeout = Duration::from_millis(100)));
    for _ in 0..6 {
        let mut client = client_of(&house);
        assert!(client.send(POST).response().0.starts_with("HTTP/1.1 200 OK"));
    }
}

fn fill(address: std::net::SocketAddr) -> socket2::Socket {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_nonblocking(true).unwrap();
    let _ = socket.connect(&address.into());
    socket
}

#[test]
fn an_answer_that_is_none_is_a_bad_gateway() {
    for answer in [
        "SMTP ready\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ] {
        let target = Target::answering(answer);
        let house = house_of(&[&target]);
        refused(client_of(&house).send(GET), "502", "http_protocol_error");
        assert_eq!(target.connections(), 1, "{answer:?}");
    }
}

#[test]
fn an_answer_that_breaks_off_is_seen_to() {
    let target = Target::playing(|mut wire| {
        let head = wire.head();
        if head.contains("/chunked") {
            wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
        } else {
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
        }
    });
    let house = house_of(&[&target]);
    assert!(client_of(&house).send(GET).rest().ends_with("\r\n\r\nhello"));
    let mut client = client_of(&house);
    let answer = client.send("GET /chunked HTTP/1.1\r\nHost: a\r\n\r\n").rest();
    assert!(answer.ends_with("5\r\nhello\r\n"), "{answer}");
    let mut old = client_of(&house);
    assert!(old.send("GET /chunked HTTP/1.0\r\n\r\n").end().is_err(), "a clean end would look complete");
}

#[test]
fn surplus_after_an_answer_ends_that_connection() {
    let target = Target::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n");
    let house = house_of(&[&target]);
    let mut client = client_of(&house);
    for _ in 0..3 {
        assert_eq!(client.send(GET).response().1, "ok");
    }
    assert_eq!(target.connections(), 3);
}

#[test]
fn an_early_answer_arrives_while_the_client_still_sends() {
    let target = Target::playing(|mut wire| {
        wire.head();
        wire.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
    });
    let house = house_of(&[&target]);
    let mut client = client_of(&house);
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n").send([0; 65536]);
    assert!(client.head().starts_with("HTTP/1.1 413 "));
    client.expect("no");
    // What it still sends is read away for a while, and no longer.
    for _ in 0..1000 {
        if client.try_send([0; 65536]).is_err() {
            return;
        }
    }
    panic!("the upload was taken to the end");
}

#[test]
fn a_small_rest_of_an_upload_nobody_waited_for_keeps_the_connection() {
    let target = Target::playing(|mut wire| {
        wire.head();
        wire.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
        wire.rest();
    });
    let house = house_of(&[&target]);
    let mut client = client_of(&house);
    for _ in 0..3 {
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n");
        assert_eq!(client.response().1, "ok");
        client.send([0; 1000]);
    }
}

#[test]
fn a_client_that_resets_cancels_its_request() {
    let ended = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&ended);
    let target = Target::playing(move |mut wire| {
        wire.head();
        let _ = wire.end();
        count.fetch_add(1, Ordering::SeqCst);
    });
    let house = house_of(&[&target]);
    let mut client = client_of(&house);
    client.send(GET);
    eventually("the request arrives", || house.in_flight() == 1);
    client.reset();
    eventually("the request is cancelled", || ended.load(Ordering::SeqCst) == 1 && house.in_flight() == 0);
    // The same, after an end of stream that was not yet a goodbye.
    let mut client = client_of(&house);
    client.send(GET).finish_sending();
    eventually("the request arrives", || house.in_flight() == 1);
    client.reset();
    eventually("the request is cancelled", || ended.load(Ordering::SeqCst) == 2 && house.in_flight() == 0);
}

#[test]
fn requests_wait_for_the_first_verdict() {
    let target = Target::echoing("a");
    let house = House::unchecked(&want_of(&[&target]));
    let mut clients: Vec<_> = (0..4 * WORKERS).map(|_| client_of(&house)).collect();
    for client in &mut clients {
        client.send(GET);
    }
    house.all_healthy();
    for client in &mut clients {
        assert!(client.response().0.starts_with("HTTP/1.1 200 OK"));
    }
}

#[test]
fn requests_do_not_wait_for_ever() {
    let target = Target::echoing("a");
    let want = want_of(&[&target]).set("app", |group| group.initial_wait = Duration::from_millis(50));
    let house = House::unchecked(&want);
    refused(client_of(&house).send(GET), "503", "destination_unavailable");
    refused(client_of(&House::with(&want_of(&[]))).send(GET), "503", "destination_unavailable");
}

#[test]
fn a_full_target_spills_over() {
    let target = Target::playing(|mut wire| {
        wire.head();
        wire.expect("go");
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    });
    let house =
        House::with(&want_of(&[&target]).set("app", |group| (group.connections_max, group.surge_queue_max) = (1, 0)));
    let mut first = client_of(&house);
    first.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n");
    eventually("the first is in flight", || house.in_flight() == 1);
    let mut second = client_of(&house);
    let (head, _) = second.send(GET).response();
    assert!(head.starts_with("HTTP/1.1 503 ") && field(&head, "retry-after") == Some("1"), "{head}");
    first.send("go");
    assert_eq!(first.response().1, "ok");
    eventually("nothing is in flight", || house.in_flight() == 0);
}
