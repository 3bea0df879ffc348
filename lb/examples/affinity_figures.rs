//! What stickiness costs a request: `cargo run --release -p lb --example affinity_figures`.

#![expect(clippy::print_stdout, reason = "it prints figures")]

#[path = "../tests/common/mod.rs"]
mod common;

use std::hint::black_box;
use std::time::{Instant, SystemTime};

use common::house::now;
use common::{Want, group_name, healthy, id};
use lb::affinity::{Answer, Binding, Request, Seal, SealedKind, Seen, Sticky, follow};
use lb::http1::{HeadLimits, RequestHead, ResponseHead, parse_request};
use lb::model::{
    COOKIE_KEYS_MAX, Change, CookieKey, CookieKeys, CookieName, OWN_COOKIE_NAME, OnUnavailable, Stickiness, StickyBy,
};
use lb::state::{BackendId, Observation, Observed, Pool, compile};

const ROUNDS: u32 = 200_000;

fn main() {
    let key = |id| CookieKey { id, secret: [id as u8; 32] };
    let keys = CookieKeys::new((0..COOKIE_KEYS_MAX as u32).map(key));
    let seal = Seal::new(&keys, &group_name("app"), SealedKind::LbCookie);
    let fingerprint = lb::affinity::Fingerprint::of(&group_name("app"), &id("web-1"));
    let binding = Binding { target: fingerprint, session: 7, until_unix_s: None };
    let value = seal.seal(&binding).expect("a key");
    measure("sealing a value", || seal.seal(&binding));
    measure("opening a value", || seal.open(&value));
    measure("refusing one of another length", || seal.open(b"forged"));
    let oldest = CookieKeys::new([key(COOKIE_KEYS_MAX as u32 - 1)]);
    let oldest = Seal::new(&oldest, &group_name("app"), SealedKind::LbCookie).seal(&binding).expect("a key");
    measure("opening one of the oldest key", || seal.open(&oldest));
    let name = CookieName::parse(OWN_COOKIE_NAME).expect("a legal name");
    for targets in [3, 10_000] {
        for by in [StickyBy::LbCookie { name: name.clone(), duration: None }, StickyBy::SourceIp] {
            figures(targets, by, &keys);
        }
    }
}

fn figures(targets: u32, by: StickyBy, keys: &CookieKeys) {
    println!("{targets} targets, {by:?}:");
    let mut want = Want::new().listener("web", "app").with(&Change::PutCookieKeys(keys.clone()));
    want = want.set("app", |group| group.stickiness = Some(Stickiness::new(by, OnUnavailable::Repick)));
    for index in 0..targets {
        let [_, b, c, d] = index.to_be_bytes();
        want = want.target("app", &format!("i-{index:08}"), &format!("127.{b}.{c}.{d}:80"));
    }
    let first = compile(&want.wanted(), &Observed::default(), None, now());
    let mut observed = Observed::default();
    (1..=u64::from(targets)).for_each(|backend| observed.take_in(Observation::Health(BackendId(backend), healthy())));
    let snapshot = compile(&want.wanted(), &observed, Some(&first), now());
    let pool = snapshot.pool_of(&group_name("app")).expect("a pool");
    let cookie = cookie(pool);
    let bytes = format!("GET /some/path HTTP/1.1\r\nHost: a\r\nCookie: sid=4711; theme=dark; {cookie}\r\n\r\n");
    let mut head = RequestHead::default();
    parse_request(bytes.as_bytes(), &HeadLimits::default(), &mut head).expect("a legal head");
    let (affinity, mut seen) = (pool.affinity.as_deref().expect("sticky"), Seen::default());
    let mut host = 0u32;
    measure("  recognising", || {
        host = host.wrapping_add(1);
        seen.clear();
        let source = std::net::Ipv4Addr::from_bits(host).into();
        affinity
            .recognise(&Request { head: &head, bytes: bytes.as_bytes(), source, now: SystemTime::now() }, &mut seen);
    });
    measure("  following", || follow(pool, affinity, &seen, &[], false));
}

/// A cookie for a target in the middle; none, where none is set.
fn cookie(pool: &Pool) -> String {
    let mut out = Vec::new();
    let answer = Answer {
        head: &ResponseHead::default(),
        bytes: b"",
        backend: &pool.members[pool.members.len() / 2].backend,
        decided: Sticky::Fresh,
        seen: &Seen::default(),
        is_secure: false,
        random: 7,
        now: SystemTime::now(),
    };
    let affinity = pool.affinity.as_deref().expect("sticky");
    affinity.bind(&answer, &mut out);
    String::from_utf8_lossy(&out).split(';').next().unwrap_or_default().to_owned()
}

fn measure<T>(what: &str, mut act: impl FnMut() -> T) {
    // The least of several runs: the rest is the machine's doing.
    let run = |_| {
        let began = Instant::now();
        (0..ROUNDS).for_each(|_| {
            black_box(act());
        });
        began.elapsed() / ROUNDS
    };
    let least = (0..7).map(run).min().unwrap_or_default();
    println!("{what:<34} {:>7} ns", least.as_nanos());
}
