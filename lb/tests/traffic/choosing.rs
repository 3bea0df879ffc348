//! What a request carries decides where it goes, and what became of requests where others go.

use std::collections::HashSet;

use lb::model::{Algorithm, Change, Forward, HashKey, Network, Origin};

use crate::common::{group_name, listener};
use crate::house::{House, eventually};
use crate::wire::{Target, Wire, field};
use crate::{client_of, want_of};

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

fn hashing(key: &str) -> House {
    let targets = NAMES.map(Target::echoing);
    let want = want_of(&targets.each_ref()).set("app", |group| {
        group.algorithm = Algorithm::ConsistentHash;
        group.hash_key = HashKey::parse(key).unwrap();
    });
    let mut web = listener("web", Forward::to(group_name("app")));
    web.trusted_proxies = vec![Network::parse("127.0.0.0/8").unwrap()];
    House::with(&want.with(&Change::PutListener(Origin::Api, web)))
}

/// Who answers a request with this path and these fields, on a connection of its own.
fn who(house: &House, path: &str, fields: &str) -> String {
    let mut client = client_of(house);
    client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
    let (head, _) = client.response();
    field(&head, "x-target").expect("a target answered").to_owned()
}

/// Asserts that the same key leads to the same target, however else requests differ, and many keys to every target.
fn assert_keyed(key: &str, path: impl Fn(usize, usize) -> String, fields: impl Fn(usize, usize) -> String) {
    let house = hashing(key);
    let mut seen = HashSet::new();
    for value in 0..30 {
        let first = who(&house, &path(value, 0), &fields(value, 0));
        for other in 1..4 {
            assert_eq!(who(&house, &path(value, other), &fields(value, other)), first, "{key}: {value}");
        }
        seen.insert(first);
    }
    assert_eq!(seen.len(), NAMES.len(), "{key}: only {seen:?}");
}

#[test]
fn a_header_decides() {
    assert_keyed(
        "header:X-User",
        |_, other| format!("/{other}"),
        |user, other| format!("X-Other: {other}\r\nx-user: u{user}\r\n"),
    );
}

#[test]
fn a_cookie_decides() {
    assert_keyed(
        "cookie:sid",
        |_, other| format!("/{other}"),
        |user, other| format!("Cookie: a=sid; xsid={other}\r\nCookie: b={other}; sid=u{user}; c=d\r\n"),
    );
}

#[test]
fn the_path_decides_and_its_query_does_not() {
    assert_keyed("path", |page, other| format!("/pages/{page}?{other}"), |_, _| String::new());
}

#[test]
fn the_client_behind_trusted_proxies_decides() {
    // The first address is whatever the client likes to say; the last is a proxy of ours.
    assert_keyed(
        "source_ip",
        |_, other| format!("/{other}"),
        |client, other| format!("X-Forwarded-For: 192.0.2.{other}, 10.0.0.{client}\r\nX-Forwarded-For: 127.0.0.9\r\n"),
    );
    let house = hashing("source_ip");
    let direct: HashSet<_> = (0..20).map(|path| who(&house, &format!("/{path}"), "")).collect();
    assert_eq!(direct.len(), 1, "one client went to {direct:?}");
}

#[test]
fn a_request_without_the_key_goes_anywhere() {
    let house = hashing("header:X-User");
    let seen: HashSet<_> = (0..200).map(|_| who(&house, "/", "X-User:\r\n")).collect();
    assert_eq!(seen.len(), NAMES.len(), "only {seen:?}");
}

/// How many of many requests a target answers or closes on, of three of which the others are good.
fn share_of(bad: &Target) -> usize {
    let good = [Target::echoing("b"), Target::echoing("c")];
    let want = want_of(&[bad, &good[0], &good[1]]).set("app", |group| group.algorithm = Algorithm::PeakEwma);
    let house = House::with(&want);
    let mut client = client_of(&house);
    let good = (0..200)
        .filter(|_| {
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            client.response().0.contains("X-Target")
        })
        .count();
    eventually("nothing is in flight", || house.in_flight() == 0);
    200 - good
}

#[test]
fn a_target_that_fails_fast_is_soon_left_alone() {
    let failing = Target::answering("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n");
    let failed = share_of(&failing);
    assert!((1..20).contains(&failed), "{failed} of 200 went to a target that fails");
}

#[test]
fn a_target_that_closes_is_soon_left_alone() {
    let closing = Target::playing(|mut wire: Wire| drop(wire.try_head()));
    assert_eq!(share_of(&closing), 0, "what was closed on is tried again");
    let closed = closing.connections();
    assert!((1..20).contains(&closed), "{closed} attempts at a target that closes");
}
