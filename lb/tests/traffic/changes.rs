//! Changes while traffic flows: listeners and targets that come and go, and a graceful stop.

use std::time::Duration;

use lb::model::{Change, ListenerName, Origin};

use crate::house::{House, eventually};
use crate::wire::{Target, Wire, field};
use crate::{client_of, want_of};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const SLOW: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n";

fn without_listener(want: crate::common::Want, name: &str) -> crate::common::Want {
    want.with(&Change::DeleteListener(Origin::Api, ListenerName::parse(name).unwrap()))
}

#[test]
fn a_listener_that_goes_takes_only_its_own_connections_along() {
    let target = Target::echoing("a");
    let want = want_of(&[&target]).listener("other", "app");
    let house = House::with(&want);
    let (web, other) = (house.address("web"), house.address("other"));
    let (mut idle, mut busy, mut untouched) = (Wire::to(web), Wire::to(web), Wire::to(other));
    for client in [&mut idle, &mut busy, &mut untouched] {
        client.send(GET).response();
    }
    busy.send(SLOW);
    eventually("a request is in flight", || house.in_flight() == 1);
    house.publish(&without_listener(want, "web"));
    assert_eq!(idle.rest(), "");
    let (head, _) = busy.send("ok").response();
    assert_eq!(field(&head, "connection"), Some("close"));
    assert_eq!(busy.rest(), "");
    assert_eq!(field(&untouched.send(GET).response().0, "connection"), None);
    eventually("the port is closed", || std::net::TcpStream::connect(web).is_err());
}

#[test]
fn a_listener_that_leads_elsewhere_keeps_its_connections() {
    let (a, b) = (Target::echoing("a"), Target::echoing("b"));
    let want = want_of(&[&a]).group("second").target("second", "b", &b.text());
    let house = House::with(&want);
    let mut client = client_of(&house);
    assert_eq!(field(&client.send(GET).response().0, "x-target"), Some("a"));
    let mut listener = want.config.listeners["web"].wanted.clone();
    listener.forward = lb::model::Forward::to(crate::common::group_name("second"));
    house.publish(&want.with(&Change::PutListener(Origin::Api, listener)));
    house.all_healthy();
    assert_eq!(field(&client.send(GET).response().0, "x-target"), Some("b"));
}

#[test]
fn a_deregistered_target_gets_nothing_new_and_finishes_what_it_has() {
    let (a, b) = (Target::echoing("a"), Target::echoing("b"));
    let want = want_of(&[&a, &b]);
    let house = House::with(&want);
    let mut clients: Vec<_> = (0..8).map(|_| client_of(&house)).collect();
    for client in &mut clients {
        client.send(SLOW);
    }
    eventually("all are in flight", || house.in_flight() == 8);
    house.publish(&want.without("app", "a"));
    for _ in 0..20 {
        assert_eq!(field(&client_of(&house).send(GET).response().0, "x-target"), Some("b"));
    }
    for client in &mut clients {
        assert!(client.send("ok").response().0.starts_with("HTTP/1.1 200 OK"));
        assert_eq!(field(&client.send(GET).response().0, "x-target"), Some("b"));
    }
    house.until(|snapshot| snapshot.pools.values().all(|pool| pool.members.len() == 1));
}

#[test]
fn what_a_deregistered_target_does_not_finish_in_time_is_cut() {
    let target = Target::playing(|mut wire| {
        wire.head();
        wire.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n");
        wire.rest();
    });
    let want = want_of(&[&target]).delay("app", Duration::from_millis(100));
    let house = House::with(&want);
    let mut client = client_of(&house);
    client.send("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n").head();
    house.publish(&want.without("app", "a"));
    assert_eq!(client.rest(), "");
}

#[test]
fn a_graceful_stop_finishes_what_is_in_flight() {
    let target = Target::echoing("a");
    let mut house = House::with(&want_of(&[&target]));
    let (mut idle, mut busy) = (client_of(&house), client_of(&house));
    idle.send(GET).response();
    busy.send(SLOW);
    eventually("a request is in flight", || house.in_flight() == 1);
    let finish = std::thread::spawn(move || {
        assert_eq!(idle.rest(), "");
        let (head, _) = busy.send("ok").response();
        assert_eq!(field(&head, "connection"), Some("close"));
        assert_eq!(busy.rest(), "");
    });
    let took = house.shutdown(Duration::from_secs(30));
    finish.join().unwrap();
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[test]
fn a_graceful_stop_ends_by_its_deadline() {
    let target = Target::echoing("a");
    let mut house = House::with(&want_of(&[&target]));
    let mut busy = client_of(&house);
    busy.send(SLOW);
    eventually("a request is in flight", || house.in_flight() == 1);
    let took = house.shutdown(Duration::from_millis(100));
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert!(busy.rest().starts_with("HTTP/1.1 503 "), "what is cut before its answer is told so");
}

#[test]
fn what_stood_in_the_queue_at_a_stop_is_served() {
    let target = Target::echoing("a");
    let mut house = House::with(&want_of(&[&target]));
    let address = house.address("web");
    let mut clients: Vec<_> = (0..20).map(|_| Wire::to(address)).collect();
    for client in &mut clients {
        client.send(GET);
    }
    let stop = std::thread::spawn(move || house.shutdown(Duration::from_secs(5)));
    for client in &mut clients {
        assert!(client.response().0.starts_with("HTTP/1.1 200 OK"));
    }
    stop.join().unwrap();
}
