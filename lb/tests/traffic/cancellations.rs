//! Clients that leave and targets that fail at any moment: nothing stays in flight.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use lb::model::Algorithm;

use crate::common::balancing::{ALGORITHMS, randoms};
use crate::house::{House, eventually};
use crate::want_of;
use crate::wire::{Target, Wire};

const CLIENTS: u64 = 4;
const REQUESTS_PER_CLIENT: usize = 40;
const LONG: usize = 300_000;

/// A target that answers, answers at length, answers by half, closes, resets, and keeps silent, one after the other.
fn moody() -> Target {
    let turn = AtomicUsize::new(0);
    Target::playing(move |mut wire| {
        while wire.hears() {
            match turn.fetch_add(1, Ordering::SeqCst) % 7 {
                0 | 1 => _ = wire.try_send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
                2 => {
                    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LONG}\r\n\r\n");
                    _ = wire.try_send(head + &"x".repeat(LONG));
                }
                3 => {
                    _ = wire.try_send("HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nhalf");
                    return;
                }
                4 => return,
                5 => return wire.reset(),
                _ => _ = wire.end(),
            }
        }
    })
}

/// One request, left at some moment.
fn leave(mut client: Wire, random: u64) {
    let get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    match random % 6 {
        0 => {
            client.send(get);
            client.reset();
        }
        1 => drop(client.send(get)),
        2 => {
            client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nnot all");
            client.reset();
        }
        3 => {
            client.send(get.repeat(3));
            client.glance();
            client.reset();
        }
        4 => {
            client.send(get).finish_sending().glance();
        }
        _ => {
            client.send(get.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"));
            client.glance();
        }
    }
}

fn check(algorithm: Algorithm) {
    let targets = [moody(), moody(), moody()];
    let want = want_of(&targets.each_ref()).set("app", |group| {
        group.algorithm = algorithm;
        // A client that closes looks like one that has said all, so that silence has to end by itself.
        group.response_timeout = Duration::from_millis(200);
    });
    let house = House::with(&want);
    thread::scope(|scope| {
        for client in 1..=CLIENTS {
            let address = house.address("web");
            scope.spawn(move || {
                randoms(client).take(REQUESTS_PER_CLIENT).for_each(|random| leave(Wire::to(address), random >> 16));
            });
        }
    });
    eventually("nothing is in flight", || house.in_flight() == 0);
}

#[test]
fn nothing_stays_in_flight_whoever_leaves() {
    ALGORITHMS.into_iter().for_each(check);
}
