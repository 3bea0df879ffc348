//! Waiting in line for room at the targets of a full group: the order, the end of it, and that nobody is forgotten.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use lb::model::{Change, Forward, ListenerProtocol, Origin, TargetProtocol};
use lb::state::Pool;

use crate::common::{Want, group_name};
use crate::house::{DEADLINE, House, eventually};
use crate::wire::{Target, Wire, field};
use crate::{client_of, want_of};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A target that answers, or speaks, only when it is let: once for each leave.
struct Gated {
    target: Target,
    gate: Arc<Gate>,
}

#[derive(Default)]
struct Gate {
    /// What came, in order, and how many may be answered.
    state: Mutex<(Vec<String>, usize)>,
    changed: Condvar,
}

impl Gate {
    /// Notes what came, and returns when it may be answered.
    fn pass(&self, what: String) {
        let mut state = self.state.lock().unwrap();
        state.0.push(what);
        let mut state = self.changed.wait_while(state, |(_, leaves)| *leaves == 0).unwrap();
        state.1 -= 1;
    }

    fn let_pass(&self, count: usize) {
        self.state.lock().unwrap().1 += count;
        self.changed.notify_all();
    }

    fn came(&self) -> Vec<String> {
        self.state.lock().unwrap().0.clone()
    }
}

impl Gated {
    fn http() -> Self {
        let gate = Arc::new(Gate::default());
        let inside = Arc::clone(&gate);
        let target = Target::playing(move |mut wire| {
            while let Some(head) = wire.try_head() {
                let path = head.split(' ').nth(1).unwrap();
                if !path.starts_with("/free") {
                    inside.pass(path.to_owned());
                }
                if wire.try_send(OK).is_err() {
                    return;
                }
            }
        });
        Self { target, gate }
    }

    fn tcp() -> Self {
        let gate = Arc::new(Gate::default());
        let inside = Arc::clone(&gate);
        let target = Target::playing(move |mut wire| {
            let name = String::from_utf8(wire.take(2)).unwrap();
            inside.pass(name);
            let _ = wire.try_send("ok");
        });
        Self { target, gate }
    }
}

fn full_at(count: usize, queue_max: usize, want: Want) -> Want {
    want.set("app", |group| (group.connections_max, group.surge_queue_max) = (count, queue_max))
}

fn tcp(want: Want) -> Want {
    let mut listener = want.config.listeners["web"].wanted.clone();
    listener.protocol = ListenerProtocol::Tcp;
    let mut group = want.config.groups["app"].settings.wanted.clone();
    group.protocol = TargetProtocol::Tcp;
    listener.forward = Forward::to(group_name("app"));
    let group = Change::PutTargetGroup(Origin::Api, group);
    let without = Change::DeleteListener(Origin::Api, listener.name.clone());
    want.with(&without).with(&group).with(&Change::PutListener(Origin::Api, listener))
}

fn pool(house: &House) -> Arc<Pool> {
    Arc::clone(house.live.load().pool_of(&group_name("app")).unwrap())
}

fn waiting(house: &House) -> usize {
    pool(house).surge.length()
}

fn spilled(house: &House) -> u64 {
    pool(house).metrics.workers.sum(|cells| &cells.spillover)
}

/// A client that has asked for this path, once so many wait.
fn asking(house: &House, path: &str, wait: usize) -> Wire {
    let mut client = client_of(house);
    client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
    eventually("it waits", || waiting(house) == wait);
    client
}

/// Holds the only slot with a request for `/0`; then so many more wait in line, asking for `/1` and so on.
fn line_of(house: &House, gated: &Gated, count: usize) -> Vec<Wire> {
    let mut clients = vec![asking(house, "/0", 0)];
    eventually("the first is there", || gated.gate.came() == ["/0"]);
    clients.extend((1..=count).map(|number| asking(house, &format!("/{number}"), number)));
    clients
}

fn paths(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("/{number}")).collect()
}

#[test]
fn requests_wait_for_room_and_are_served_in_the_order_they_came() {
    let gated = Gated::http();
    let house = House::with(&full_at(1, 100, want_of(&[&gated.target])));
    let mut clients = line_of(&house, &gated, 20);
    for (number, client) in clients.iter_mut().enumerate() {
        gated.gate.let_pass(1);
        assert!(client.response().0.starts_with("HTTP/1.1 200 "));
        eventually("one less waits", || waiting(&house) == 19_usize.saturating_sub(number));
    }
    assert_eq!(gated.gate.came(), paths(21));
    eventually("nothing is in flight", || house.in_flight() == 0);
    assert_eq!((waiting(&house), spilled(&house)), (0, 0));
}

#[test]
fn connections_wait_for_room_and_are_served_in_the_order_they_came() {
    let gated = Gated::tcp();
    let house = House::with(&full_at(1, 10, tcp(want_of(&[&gated.target]))));
    let mut clients = Vec::new();
    for number in 0..=10 {
        let mut client = client_of(&house);
        client.send(format!("{number:02}"));
        eventually("it has its place", || gated.gate.came().len() == 1 && waiting(&house) == number);
        clients.push(client);
    }
    assert!(client_of(&house).end().is_err(), "one too many is reset");
    assert_eq!(spilled(&house), 1);
    gated.gate.let_pass(11);
    // Each makes room by its end.
    for mut client in clients {
        assert_eq!(client.rest(), "ok");
    }
    let order: Vec<_> = (0..=10).map(|number| format!("{number:02}")).collect();
    assert_eq!(gated.gate.came(), order);
    eventually("nothing is in flight", || house.in_flight() == 0);
    assert_eq!(waiting(&house), 0);
}

#[test]
fn who_finds_the_line_full_is_sent_away() {
    let gated = Gated::http();
    let house = House::with(&full_at(1, 1, want_of(&[&gated.target])));
    let mut clients = line_of(&house, &gated, 1);
    let (head, body) = client_of(&house).send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").response();
    assert!(head.starts_with("HTTP/1.1 503 ") && field(&head, "retry-after") == Some("1"), "{head}");
    assert_eq!(field(&head, "proxy-status"), Some("elbow; error=connection_limit_reached"));
    assert!(body.contains("as many requests wait as may"), "{body}");
    assert_eq!(spilled(&house), 1);
    gated.gate.let_pass(2);
    clients.iter_mut().for_each(|client| assert_eq!(client.response().1, "ok"));
    assert_eq!(spilled(&house), 1);
}

#[test]
fn who_leaves_frees_the_place_and_takes_no_call_along() {
    let gated = Gated::http();
    let house = House::with(&full_at(1, 100, want_of(&[&gated.target])));
    let mut clients = line_of(&house, &gated, 8);
    // Every second one leaves: by a reset, or by an end of its stream.
    for number in [8, 6, 4, 2] {
        let client = clients.remove(number);
        if number % 4 == 0 { client.reset() } else { drop(client) }
    }
    eventually("their places are free", || waiting(&house) == 4);
    gated.gate.let_pass(5);
    clients.iter_mut().for_each(|client| assert_eq!(client.response().1, "ok"));
    assert_eq!(gated.gate.came(), ["/0", "/1", "/3", "/5", "/7"]);
}

#[test]
fn who_leaves_at_the_moment_of_the_call_hands_it_on() {
    let gated = Gated::http();
    let house = House::with(&full_at(1, 100, want_of(&[&gated.target])));
    for round in 1..=100 {
        let mut first = asking(&house, "/first", 0);
        eventually("the first is there", || gated.gate.came().len() == round);
        let leaving = asking(&house, "/free/leaving", 1);
        let mut staying = asking(&house, "/free/staying", 2);
        let leaves = thread::spawn(move || leaving.reset());
        gated.gate.let_pass(1);
        assert_eq!(first.response().1, "ok");
        assert_eq!(staying.response().1, "ok");
        leaves.join().unwrap();
        eventually("nothing is in flight", || house.in_flight() == 0 && waiting(&house) == 0);
    }
}

#[test]
fn a_new_target_takes_who_waits_at_once_and_in_order() {
    let (gated, other) = (Gated::http(), Gated::http());
    let want = full_at(1, 100, want_of(&[&gated.target]));
    let house = House::with(&want);
    let mut clients = line_of(&house, &gated, 6);
    other.gate.let_pass(100);
    let want = want.target("app", "other", &other.target.text());
    house.publish(&want);
    house.all_healthy();
    clients.iter_mut().skip(1).for_each(|client| assert_eq!(client.response().1, "ok"));
    assert_eq!(other.gate.came(), paths(7)[1..]);
    gated.gate.let_pass(1);
    assert_eq!(clients[0].response().1, "ok");
}

#[test]
fn a_higher_limit_lets_in_and_a_shut_line_sends_away() {
    let gated = Gated::http();
    let want = full_at(1, 100, want_of(&[&gated.target]));
    let house = House::with(&want);
    let mut clients = line_of(&house, &gated, 5);
    house.publish(&full_at(3, 100, want.clone()));
    eventually("two more have got in", || gated.gate.came().len() == 3 && waiting(&house) == 3);
    let mut came = gated.gate.came();
    came.sort();
    assert_eq!(came, ["/0", "/1", "/2"]);
    house.publish(&full_at(3, 0, want.clone()));
    for client in &mut clients[3..] {
        let (head, _) = client.response();
        assert!(head.starts_with("HTTP/1.1 503 ") && field(&head, "retry-after") == Some("1"), "{head}");
    }
    assert_eq!((waiting(&house), spilled(&house)), (0, 3));
    house.publish(&full_at(3, 100, want.clone()));
    let mut more: Vec<_> = (1..=3).map(|number| asking(&house, "/more", number)).collect();
    house.publish(&full_at(0, 100, want));
    eventually("all are in flight", || house.in_flight() == 6);
    gated.gate.let_pass(6);
    clients[..3].iter_mut().chain(&mut more).for_each(|client| assert_eq!(client.response().1, "ok"));
}

#[test]
fn nobody_waits_longer_than_for_an_answer_nor_without_targets() {
    let gated = Gated::http();
    let timeout = Duration::from_millis(300);
    let want = full_at(1, 100, want_of(&[&gated.target])).set("app", |group| group.response_timeout = timeout);
    let house = House::with(&want);
    // The target's silence has the same limit, so the slot is held by one who sends slowly.
    let slow = || {
        let mut slow = client_of(&house);
        slow.send("POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n");
        eventually("it is in flight", || house.in_flight() == 1);
        slow
    };
    let held = slow();
    let started = Instant::now();
    let (head, body) = asking(&house, "/1", 1).response();
    assert!(head.starts_with("HTTP/1.1 503 ") && field(&head, "retry-after") == Some("1"), "{head}");
    assert!(body.contains("for as long as a request may wait"), "{body}");
    assert!(started.elapsed() >= timeout - Duration::from_millis(100), "{:?}", started.elapsed());
    assert_eq!(waiting(&house), 0);
    let want = want.set("app", |group| group.response_timeout = DEADLINE);
    house.publish(&want);
    let mut client = asking(&house, "/2", 1);
    house.publish(&want.without("app", "a"));
    let (head, _) = client.response();
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    assert_eq!(field(&head, "proxy-status"), Some("elbow; error=destination_unavailable"));
    assert_eq!(waiting(&house), 0);
    drop(held);
}

#[test]
fn who_waits_when_the_listener_leads_elsewhere_goes_there() {
    let (gated, other) = (Gated::http(), Target::answering(OK));
    let want = full_at(1, 100, want_of(&[&gated.target])).group("second").target("second", "b", &other.text());
    let house = House::with(&want);
    let mut clients = line_of(&house, &gated, 3);
    let mut listener = want.config.listeners["web"].wanted.clone();
    listener.forward = Forward::to(group_name("second"));
    house.publish(&want.with(&Change::PutListener(Origin::Api, listener)));
    house.all_healthy();
    clients[1..].iter_mut().for_each(|client| assert_eq!(client.response().1, "ok"));
    assert_eq!(waiting(&house), 0);
    gated.gate.let_pass(1);
    assert_eq!(clients[0].response().1, "ok");
}

#[test]
fn who_waits_when_elbow_stops_is_cut_in_time() {
    let gated = Gated::http();
    let mut house = House::with(&full_at(1, 100, want_of(&[&gated.target])));
    let clients = line_of(&house, &gated, 3);
    let took = house.shutdown(Duration::from_millis(200));
    assert!(took < Duration::from_secs(2), "{took:?}");
    drop(clients);
}

/// Many clients over all workers, one slot at each of two targets, requests of no length: whoever were forgotten would
/// wait until the next one comes along, or for ever at the end.
#[test]
fn nobody_is_forgotten() {
    const CLIENTS: usize = 24;
    const REQUESTS: usize = 150;
    let targets = [Target::answering(OK), Target::answering(OK)];
    let house = House::with(&full_at(1, 1024, want_of(&targets.each_ref())));
    let served = AtomicUsize::new(0);
    let longest = Mutex::new(Duration::ZERO);
    thread::scope(|scope| {
        for number in 0..CLIENTS {
            let (address, served, longest) = (house.address("web"), &served, &longest);
            scope.spawn(move || {
                let mut client = Wire::to(address);
                for round in 0..REQUESTS {
                    let started = Instant::now();
                    if (number + round) % 16 == 0 {
                        // One that does not stay for its answer.
                        let mut leaving = Wire::to(address);
                        leaving.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
                        if round % 2 == 0 { leaving.reset() } else { drop(leaving) }
                    }
                    let (head, _) = client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").response();
                    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
                    served.fetch_add(1, Ordering::SeqCst);
                    let mut longest = longest.lock().unwrap();
                    *longest = longest.max(started.elapsed());
                }
            });
        }
    });
    assert_eq!(served.load(Ordering::SeqCst), CLIENTS * REQUESTS);
    let longest = *longest.lock().unwrap();
    assert!(longest < Duration::from_secs(3), "somebody waited {longest:?}");
    eventually("nothing is in flight", || house.in_flight() == 0 && waiting(&house) == 0);
    assert_eq!(spilled(&house), 0);
}
