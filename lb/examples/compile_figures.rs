//! What a snapshot of 10,000 targets costs: `cargo run --release -p lb --example compile_figures`.

#![expect(clippy::print_stdout, reason = "it prints figures")]

#[path = "../tests/common/mod.rs"]
mod common;

use std::time::{Duration, Instant};

use common::{Want, group_name, healthy, house::now};
use lb::model::{
    Algorithm, COOKIE_KEYS_MAX, Change, CookieKey, CookieKeys, CookieName, OWN_COOKIE_NAME, OnUnavailable, Stickiness,
    StickyBy,
};
use lb::state::{BackendId, Failed, Observation, Observed, Snapshot, Streak, compile, difference};

const TARGETS: u32 = 10_000;
const ROUNDS: usize = 101;

fn main() {
    for algorithm in [Algorithm::LeastOutstandingRequests, Algorithm::RoundRobin] {
        println!("{TARGETS} targets, {algorithm:?}, medians of {ROUNDS}:");
        figures(algorithm, None);
    }
    let name = CookieName::parse(OWN_COOKIE_NAME).expect("a legal name");
    let lb_cookie = StickyBy::LbCookie { name, duration: None };
    for by in [lb_cookie, StickyBy::SourceIp] {
        println!("{TARGETS} targets, LeastOutstandingRequests, sticky by {by:?}, medians of {ROUNDS}:");
        figures(Algorithm::LeastOutstandingRequests, Some(Stickiness::new(by, OnUnavailable::Repick)));
    }
}

fn figures(algorithm: Algorithm, stickiness: Option<Stickiness>) {
    let mut want = Want::new().listener("web", "app").set("app", |group| {
        group.algorithm = algorithm;
        group.stickiness = stickiness;
    });
    let key = |id| CookieKey { id, secret: [id as u8; 32] };
    want = want.with(&Change::PutCookieKeys(CookieKeys::new((0..COOKIE_KEYS_MAX as u32).map(key))));
    for index in 0..TARGETS {
        let [_, b, c, d] = index.to_be_bytes();
        want = want.weighted("app", &format!("i-{index:08}"), &format!("127.{b}.{c}.{d}:80"), u64::from(index % 3 + 1));
    }
    let wanted = want.wanted();
    let mut observed = Observed::default();
    let began = Instant::now();
    let mut snapshot = compile(&wanted, &observed, None, now());
    println!("  the first                {:>9.2?}", began.elapsed());
    for backend in 1..=u64::from(TARGETS) {
        observed.take_in(Observation::Health(BackendId(backend), healthy()));
    }
    let began = Instant::now();
    snapshot = compile(&wanted, &observed, Some(&snapshot), now());
    println!("  all become healthy       {:>9.2?}", began.elapsed());

    let began = Instant::now();
    let mut registered = Vec::new();
    for round in 0..ROUNDS {
        want = want.target("app", &format!("new-{round}"), &format!("127.100.0.{}:80", round + 1));
        registered.push(want.wanted());
    }
    println!("  a new Config             {:>9.2?}", began.elapsed() / ROUNDS as u32);

    median("nothing changed", &mut snapshot, |previous, _| compile(&wanted, &observed, Some(previous), now()));
    let mut observed_now = observed.clone();
    median("one verdict's reason", &mut snapshot, |previous, round| {
        let mut health = healthy();
        health.reason = format!("round {round}").into();
        observed_now.take_in(Observation::Health(BackendId(5_000), health));
        compile(&wanted, &observed_now, Some(previous), now())
    });
    median("one registration", &mut snapshot, |previous, round| {
        let wanted = &registered[round];
        compile(wanted, &observed_now, Some(previous), now())
    });
    let wanted = &registered[ROUNDS - 1];
    median("one ejection", &mut snapshot, |previous, round| {
        let failing = (BackendId(1_000 + round as u64), Streak::Failures(5, Failed::Refused));
        observed_now.streaks = [failing].into();
        compile(wanted, &observed_now, Some(previous), now())
    });
    median("nothing, with those out", &mut snapshot, |previous, _| {
        compile(wanted, &observed_now, Some(previous), now())
    });
    let pool = snapshot.pool_of(&group_name("app")).expect("a pool");
    println!("  members {}, eligible {}", pool.members.len(), pool.eligible);
}

fn median(what: &str, snapshot: &mut Snapshot, mut next: impl FnMut(&Snapshot, usize) -> Snapshot) {
    let (mut compiling, mut comparing, mut dropping) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let began = Instant::now();
        let made = next(snapshot, round);
        compiling.push(began.elapsed());
        let began = Instant::now();
        let events = difference(snapshot, &made, now().wall);
        comparing.push(began.elapsed());
        drop(events);
        let old = std::mem::replace(snapshot, made);
        let began = Instant::now();
        drop(old);
        dropping.push(began.elapsed());
    }
    let mid = |all: &mut Vec<Duration>| {
        all.sort();
        all[ROUNDS / 2]
    };
    let (compiling, comparing, dropping) = (mid(&mut compiling), mid(&mut comparing), mid(&mut dropping));
    println!("  {what:<24} {compiling:>9.2?}, difference {comparing:>9.2?}, dropping the old {dropping:>9.2?}");
}
