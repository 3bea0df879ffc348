//! What binds a client to a target, and what does not: cookies, addresses, and the count of sessions.

mod common;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant, SystemTime};

use common::house::now;
use common::{Want, group_name, health, healthy, id};
use lb::affinity::{Affinity, Answer, Followed, Request, SEALED_BYTES, Seen, Sticky, VALUES_TRIED_MAX, Why, follow};
use lb::http1::{HeadLimits, RequestContext, RequestHead, ResponseHead, parse_request, parse_response};
use lb::model::{Change, CookieKey, CookieKeys, CookieName, CookieStyle, OnUnavailable, Stickiness, StickyBy};
use lb::state::{Member, Observation, Observed, Pool, Snapshot, Verdict, compile};
use proptest::prelude::*;

fn key(id: u32) -> CookieKey {
    CookieKey { id, secret: [id as u8 ^ 0x5a; 32] }
}

fn keys(ids: impl IntoIterator<Item = u32>) -> CookieKeys {
    CookieKeys::new(ids.into_iter().map(key))
}

proptest! {
    #[test]
    fn a_cookie_is_read_from_any_field_and_cut_from_none_but_its_own(
        others in proptest::collection::vec("[a-zA-Z]{1,8}=[a-z0-9]{0,8}", 0..5),
        place in 0usize..5,
    ) {
        let pool = pool_of(&sticky(lb_cookie(None)));
        let cookie = cookie_for(&pool, "b");
        let mut all = others;
        all.insert(place.min(all.len()), cookie);
        let (seen, _) = recognised(&pool, &format!("Cookie: {}\r\n", all.join("; ")));
        prop_assert_eq!(target_of(&pool, &seen), Some("b".to_owned()));
        prop_assert!(!seen.has_void);
    }
}

fn lb_cookie(duration: Option<Duration>) -> StickyBy {
    StickyBy::LbCookie { name: CookieName::parse("ELBOW").expect("a legal name"), duration }
}

fn app_cookie() -> StickyBy {
    StickyBy::AppCookie { name: CookieName::parse("SID").expect("a legal name") }
}

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

fn sticky_unless(on_unavailable: OnUnavailable, by: StickyBy) -> Want {
    let want = Want::new().listener("web", "app").with(&Change::PutCookieKeys(keys([1])));
    let want = NAMES
        .iter()
        .enumerate()
        .fold(want, |want, (index, name)| want.target("app", name, &format!("127.0.0.{}:80", index + 1)));
    want.set("app", |group| group.stickiness = Some(Stickiness::new(by, on_unavailable)))
}

fn sticky(by: StickyBy) -> Want {
    sticky_unless(OnUnavailable::Repick, by)
}

/// A snapshot with every target healthy.
fn snapshot_of(want: &Want) -> Snapshot {
    let wanted = want.wanted();
    let first = compile(&wanted, &Observed::default(), None, now());
    let mut observed = Observed::default();
    for member in first.groups().flat_map(|pool| pool.members.iter()) {
        observed.take_in(Observation::Health(member.backend.id, healthy()));
    }
    compile(&wanted, &observed, Some(&first), now())
}

fn pool_of(want: &Want) -> std::sync::Arc<Pool> {
    pool_in(&snapshot_of(want))
}

fn pool_in(snapshot: &Snapshot) -> std::sync::Arc<Pool> {
    std::sync::Arc::clone(snapshot.pool_of(&group_name("app")).expect("a pool"))
}

fn affinity(pool: &Pool) -> &dyn Affinity {
    pool.affinity.as_deref().expect("a sticky group")
}

fn member<'a>(pool: &'a Pool, target: &str) -> &'a Member {
    &pool.members_of(&id(target))[0]
}

/// What a request with these fields shows, now.
fn recognised(pool: &Pool, fields: &str) -> (Seen, RequestHead) {
    recognised_at(pool, fields, [127, 0, 0, 1].into(), SystemTime::now())
}

fn recognised_at(pool: &Pool, fields: &str, source: IpAddr, now: SystemTime) -> (Seen, RequestHead) {
    let bytes = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n").into_bytes();
    let limits = HeadLimits { headers_bytes_max: 1 << 20, ..HeadLimits::default() };
    let mut head = RequestHead::default();
    parse_request(&bytes, &limits, &mut head).expect("a legal head");
    let mut seen = Seen::default();
    affinity(pool).recognise(&Request { head: &head, bytes: &bytes, source, now }, &mut seen);
    (seen, head)
}

/// The target that a request goes to because it is bound there.
fn target_of(pool: &Pool, seen: &Seen) -> Option<String> {
    match follow(pool, affinity(pool), seen, &[], false) {
        Followed::Taken { in_flight, .. } => Some(in_flight.backend().target.to_string()),
        Followed::Awaited | Followed::Free(_) | Followed::Refused(_) => None,
    }
}

fn decided(pool: &Pool, seen: &Seen) -> Sticky {
    match follow(pool, affinity(pool), seen, &[], false) {
        Followed::Taken { decided, .. } | Followed::Free(decided) => decided,
        Followed::Refused(why) => Sticky::Refused(why),
        Followed::Awaited => panic!("nobody is patient here"),
    }
}

/// The `Set-Cookie` that goes with an answer of this target with these fields.
fn set_cookie(pool: &Pool, target: &str, decided: Sticky, seen: &Seen, fields: &str) -> String {
    set_cookie_over(pool, target, decided, seen, fields, false)
}

fn set_cookie_over(pool: &Pool, target: &str, decided: Sticky, seen: &Seen, fields: &str, is_secure: bool) -> String {
    let bytes = format!("HTTP/1.1 200 OK\r\n{fields}\r\n").into_bytes();
    let mut head = ResponseHead::default();
    parse_response(&bytes, &HeadLimits::default(), RequestContext::default(), &mut head).expect("a legal head");
    let backend = &*member(pool, target).backend;
    let (random, now) = (7, SystemTime::now());
    let mut out = Vec::new();
    affinity(pool)
        .bind(&Answer { head: &head, bytes: &bytes, backend, decided, seen, is_secure, random, now }, &mut out);
    String::from_utf8(out).expect("text")
}

/// A cookie that binds to a target, as a request carries it.
fn cookie_for(pool: &Pool, target: &str) -> String {
    let set = set_cookie(pool, target, Sticky::Fresh, &Seen::default(), "Set-Cookie: SID=1\r\n");
    set.split(';').next().unwrap_or_default().to_owned()
}

#[test]
fn the_cookie_says_how_it_is_to_be_kept() {
    let attributes = |duration, is_secure| {
        let pool = pool_of(&sticky(lb_cookie(duration)));
        let set = set_cookie_over(&pool, "a", Sticky::Repicked(Why::Gone), &Seen::default(), "", is_secure);
        set.split_once("; ").expect("attributes").1.to_owned()
    };
    assert_eq!(attributes(None, false), "Path=/; HttpOnly; SameSite=Lax");
    assert_eq!(attributes(None, true), "Path=/; HttpOnly; SameSite=Lax; Secure");
    let hour = Some(Duration::from_secs(3_600));
    assert_eq!(attributes(hour, true), "Path=/; HttpOnly; SameSite=Lax; Secure; Max-Age=3600");
    let pool = pool_of(&sticky(lb_cookie(hour)));
    assert_eq!(set_cookie(&pool, "a", Sticky::Bound, &Seen::default(), ""), "");
    let address = pool_of(&sticky(StickyBy::SourceIp));
    assert_eq!(set_cookie(&address, "a", Sticky::Fresh, &Seen::default(), ""), "");
}

/// Stickiness in the style of Classic ELB.
fn like_elb(by: StickyBy) -> std::sync::Arc<Pool> {
    let want = sticky(by.clone());
    let style = Stickiness { by, on_unavailable: OnUnavailable::Repick, style: CookieStyle::Elb };
    pool_of(&want.set("app", |group| group.stickiness = Some(style)))
}

#[test]
fn a_cookie_of_elb_never_ends_by_itself() {
    let pool = like_elb(lb_cookie(Some(Duration::from_secs(60))));
    let fields = format!("Cookie: {}\r\n", cookie_for(&pool, "c"));
    let year = SystemTime::now() + Duration::from_secs(365 * 86_400);
    assert_eq!(target_of(&pool, &recognised_at(&pool, &fields, [127, 0, 0, 1].into(), year).0).as_deref(), Some("c"));
    assert_eq!(set_cookie(&pool, "c", Sticky::Bound, &Seen::default(), ""), "");
}

#[test]
fn a_cookie_of_elb_goes_with_the_applications_and_looks_like_it() {
    let pool = like_elb(app_cookie());
    let none = Seen::default();
    assert_eq!(set_cookie(&pool, "a", Sticky::Fresh, &none, "Set-Cookie: other=1\r\n"), "");
    let given =
        "Set-Cookie: SID=1; Path=/a_b; Domain=x.example; Max-Age=9; HttpOnly; Secure; SameSite=Strict; Odd=1;\r\n";
    let set = set_cookie(&pool, "a", Sticky::Bound, &none, given);
    let (pair, attributes) = set.split_once(';').expect("attributes");
    assert_eq!(attributes, "Path=/a%5Fb;Domain=x.example;Max-Age=9;HttpOnly;Secure;SameSite=Strict");
    let mut twin = Vec::new();
    affinity(&pool).twin(set.as_bytes(), &mut twin);
    let copied = "Path=/a%5Fb;Domain=x.example;Max-Age=9;HttpOnly;SECURE;SAMESITE=None";
    assert_eq!(String::from_utf8(twin).unwrap(), format!("{};{copied}", pair.replace("AWSELB=", "AWSELBCORS=")));
    let with = recognised(&pool, &format!("Cookie: {pair}; SID=1\r\n")).0;
    assert_eq!(target_of(&pool, &with).as_deref(), Some("a"));
    assert_eq!(target_of(&pool, &recognised(&pool, &format!("Cookie: {pair}\r\n")).0), None);
    // Who has moved is bound again by the application alone.
    assert_eq!(set_cookie(&pool, "b", Sticky::Repicked(Why::Gone), &with, ""), "");
}

#[test]
fn the_same_keys_on_another_node_lead_to_the_same_target() {
    let want = sticky(lb_cookie(None));
    let one = pool_of(&want);
    // Registered in another order, with other neighbours, at other addresses.
    let mut other = Want::new().listener("web", "app").with(&Change::PutCookieKeys(keys([2, 1])));
    for (index, name) in ["x", "d", "b", "a", "y", "c"].iter().enumerate() {
        other = other.target("app", name, &format!("127.1.0.{}:80", index + 1));
    }
    let by = lb_cookie(Some(Duration::from_secs(60)));
    let stickiness = Stickiness::new(by, OnUnavailable::Repick);
    let other = pool_of(&other.set("app", |group| group.stickiness = Some(stickiness)));
    for name in NAMES {
        let (seen, _) = recognised(&other, &format!("Cookie: {}\r\n", cookie_for(&one, name)));
        assert_eq!(target_of(&other, &seen).as_deref(), Some(name));
    }
}

#[test]
fn a_binding_ends_with_its_duration() {
    let pool = pool_of(&sticky(lb_cookie(Some(Duration::from_secs(60)))));
    let fields = format!("Cookie: {}\r\n", cookie_for(&pool, "c"));
    let at = |s| recognised_at(&pool, &fields, [127, 0, 0, 1].into(), SystemTime::now() + Duration::from_secs(s)).0;
    assert_eq!(target_of(&pool, &at(55)).as_deref(), Some("c"));
    assert_eq!(decided(&pool, &at(65)), Sticky::Repicked(Why::Void));
    assert!(at(65).has_void && at(65).genuine().is_empty());
    let forever = pool_of(&sticky(lb_cookie(None)));
    let fields = format!("Cookie: {}\r\n", cookie_for(&forever, "c"));
    let year = SystemTime::now() + Duration::from_secs(365 * 86_400);
    let (seen, _) = recognised_at(&forever, &fields, [127, 0, 0, 1].into(), year);
    assert_eq!(target_of(&forever, &seen).as_deref(), Some("c"));
}

#[test]
fn a_few_cookies_of_the_name_are_tried() {
    let pool = pool_of(&sticky(lb_cookie(None)));
    let good = cookie_for(&pool, "d");
    for bad in 0..VALUES_TRIED_MAX + 3 {
        let cookies = format!("Cookie: {}{good}\r\n", "ELBOW=x; ".repeat(bad));
        let (seen, _) = recognised(&pool, &cookies);
        assert_eq!(target_of(&pool, &seen).is_some(), bad < VALUES_TRIED_MAX, "after {bad} bad ones");
        assert_eq!(seen.has_void, bad > 0);
    }
    let split = format!("Cookie: ELBOW=x\r\ncookie: a=1;{good}\r\n");
    assert_eq!(target_of(&pool, &recognised(&pool, &split).0).as_deref(), Some("d"));
    let huge = format!("Cookie: ELBOW={}\r\n", "A".repeat(60_000));
    assert_eq!(decided(&pool, &recognised(&pool, &huge).0), Sticky::Repicked(Why::Void));
    assert_eq!(decided(&pool, &recognised(&pool, "Cookie: elbow=x\r\n").0), Sticky::Fresh, "names have a case");
}

#[test]
fn an_old_cookie_beside_a_new_one_binds_nobody_to_who_has_left() {
    let want = sticky(lb_cookie(None));
    let pool = pool_of(&want);
    let both = format!("Cookie: {}; {}\r\n", cookie_for(&pool, "a"), cookie_for(&pool, "b"));
    assert_eq!(target_of(&pool, &recognised(&pool, &both).0).as_deref(), Some("a"));
    let left = pool_of(&want.without("app", "a"));
    assert_eq!(target_of(&left, &recognised(&left, &both).0).as_deref(), Some("b"));
}

#[test]
fn who_is_not_well_is_not_taken() {
    let on = |on_unavailable, verdict: Option<Verdict>| {
        let wanted = sticky_unless(on_unavailable, lb_cookie(None)).wanted();
        let first = compile(&wanted, &Observed::default(), None, now());
        let mut observed = Observed::default();
        for member in pool_in(&first).members.iter() {
            let verdict = if *member.backend.target.as_str() == *"a" { verdict } else { Some(Verdict::Healthy) };
            if let Some(verdict) = verdict {
                observed.take_in(Observation::Health(member.backend.id, health(verdict)));
            }
        }
        let pool = pool_in(&compile(&wanted, &observed, Some(&first), now()));
        decided(&pool, &recognised(&pool, &format!("Cookie: {}\r\n", cookie_for(&pool, "a"))).0)
    };
    assert_eq!(on(OnUnavailable::Repick, Some(Verdict::Healthy)), Sticky::Bound);
    assert_eq!(on(OnUnavailable::Repick, Some(Verdict::Unhealthy)), Sticky::Repicked(Why::Unhealthy));
    assert_eq!(on(OnUnavailable::Repick, None), Sticky::Repicked(Why::Initial));
    assert_eq!(on(OnUnavailable::Fail, Some(Verdict::Unhealthy)), Sticky::Refused(Why::Unhealthy));
    assert_eq!(on(OnUnavailable::Fail, None), Sticky::Refused(Why::Initial));
}

#[test]
fn a_group_that_failed_open_keeps_its_clients() {
    let wanted = sticky(lb_cookie(None)).weighted("app", "b", "127.0.0.2:80", 0).wanted();
    let first = compile(&wanted, &Observed::default(), None, now());
    let mut observed = Observed::default();
    for member in pool_in(&first).members.iter() {
        observed.take_in(Observation::Health(member.backend.id, health(Verdict::Unhealthy)));
    }
    let pool = pool_in(&compile(&wanted, &observed, Some(&first), now()));
    assert!(pool.failed_open);
    let on = |target| decided(&pool, &recognised(&pool, &format!("Cookie: {}\r\n", cookie_for(&pool, target))).0);
    assert_eq!(on("a"), Sticky::Bound);
    assert_eq!(on("b"), Sticky::Repicked(Why::Unhealthy), "its weight is zero: it is none of those that are used");
}

#[test]
fn a_full_target_and_one_that_failed_are_not_taken() {
    let pool = pool_of(&sticky(lb_cookie(None)).set("app", |group| group.connections_max = 2));
    let (seen, _) = recognised(&pool, &format!("Cookie: {}\r\n", cookie_for(&pool, "a")));
    let backend = &member(&pool, "a").backend;
    let work: Vec<_> = (0..2).map(|_| backend.begin(2).expect("has room")).collect();
    assert_eq!(decided(&pool, &seen), Sticky::Repicked(Why::Full));
    drop(work);
    assert_eq!(decided(&pool, &seen), Sticky::Bound);
    assert_eq!(backend.in_flight(), 0, "what is not followed up is given back");
    let tried = follow(&pool, affinity(&pool), &seen, &[backend.id], false);
    assert!(matches!(tried, Followed::Free(Sticky::Repicked(Why::Failed))), "{tried:?}");
}

#[test]
fn keys_alone_make_a_pool_anew_and_only_where_they_seal() {
    let want = sticky(lb_cookie(None)).group("plain");
    let before = snapshot_of(&want);
    let rotated = want.with(&Change::RotateCookieKey(key(2)));
    let after = compile(&rotated.wanted(), &Observed::default(), Some(&before), now());
    let again = compile(&rotated.wanted(), &Observed::default(), Some(&after), now());
    let same = |one: &Snapshot, other: &Snapshot, group| {
        let pool = |snapshot: &Snapshot| std::sync::Arc::clone(snapshot.pool_of(&group_name(group)).expect("a pool"));
        std::sync::Arc::ptr_eq(&pool(one), &pool(other))
    };
    assert!(!same(&before, &after, "app") && same(&before, &after, "plain"));
    assert!(same(&after, &again, "app"));
    let fields = format!("Cookie: {}\r\n", cookie_for(&pool_in(&before), "c"));
    assert_eq!(target_of(&pool_in(&before), &recognised(&pool_in(&after), &fields).0).as_deref(), Some("c"));
}

#[test]
fn the_cookie_of_the_application_takes_its_companion_along() {
    let pool = pool_of(&sticky(app_cookie()));
    let set = |fields: &str| {
        let set = set_cookie(&pool, "b", Sticky::Bound, &Seen::default(), fields);
        set.split_once("; ").map(|(value, attributes)| {
            assert_eq!(value.len(), "ELBOW=".len() + SEALED_BYTES);
            attributes.to_owned()
        })
    };
    let own = |attributes: &str| Some(attributes.to_owned());
    assert_eq!(set(""), None);
    assert_eq!(set("Set-Cookie: other=1; Path=/\r\n"), None);
    assert_eq!(set("Set-Cookie: sid=1; Path=/\r\n"), None, "names have a case");
    assert_eq!(set("Set-Cookie: SID=1\r\n"), own("HttpOnly"));
    assert_eq!(
        set("Set-Cookie: SID=1; path=/app; DOMAIN=example.org;Max-Age=60; Secure; SameSite=None; HttpOnly; x=y\r\n"),
        own("HttpOnly; path=/app; DOMAIN=example.org; Max-Age=60; Secure; SameSite=None")
    );
    assert_eq!(
        set("Set-Cookie: SID=1; Path=/1\r\nSet-Cookie: a=b\r\nSet-Cookie: SID=2; Path=/2\r\n"),
        own("HttpOnly; Path=/2")
    );
    for deleting in [
        "SID=; Max-Age=0",
        "SID=deleted; Max-Age=0; Path=/",
        "SID=; Max-Age=-5",
        "SID=; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
        "SID=x; expires=Thu, 01-Jan-70 00:00:01 GMT",
        "SID=x; expires=Tue Jan  5 08:49:37 2021",
        "SID=x; expires=Fri, 31-Dec-1999 23:59:59 GMT",
        "SID=x; Expires=Wed, 09 Jun 2100 10:18:14 GMT; Max-Age=0",
    ] {
        assert_eq!(set(&format!("Set-Cookie: {deleting}\r\n")), None, "{deleting}");
    }
    for lasting in [
        "SID=x; Expires=Wed, 09 Jun 2100 10:18:14 GMT",
        "SID=x; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=60",
        "SID=x; Expires=whenever",
        "SID=x; Max-Age=soon",
        "SID=",
    ] {
        assert!(set(&format!("Set-Cookie: {lasting}\r\n")).is_some(), "{lasting}");
    }
}

#[test]
fn the_companion_binds_while_the_cookie_of_the_application_is_sent() {
    let pool = pool_of(&sticky(app_cookie()));
    let companion = cookie_for(&pool, "b");
    let show = |fields: String| recognised(&pool, &fields).0;
    let both = show(format!("Cookie: SID=1; {companion}\r\n"));
    assert_eq!(target_of(&pool, &both).as_deref(), Some("b"));
    let alone = show(format!("Cookie: {companion}\r\n"));
    assert_eq!(decided(&pool, &alone), Sticky::Fresh);
    assert!(!alone.has_void, "it is genuine nevertheless");
    let forged = show("Cookie: SID=1; ELBOW=forged\r\n".to_owned());
    assert_eq!(decided(&pool, &forged), Sticky::Repicked(Why::Void));
    let of_lb = cookie_for(&pool_of(&sticky(lb_cookie(None))), "b");
    assert_eq!(decided(&pool, &show(format!("Cookie: SID=1; {of_lb}\r\n"))), Sticky::Repicked(Why::Void));
    // Whose target is gone stays with the next one, although the application does not set its cookie again.
    let moved = set_cookie(&pool, "c", Sticky::Repicked(Why::Gone), &both, "");
    assert!(moved.ends_with("; HttpOnly; Path=/; SameSite=Lax"), "{moved}");
    assert_eq!(set_cookie(&pool, "c", Sticky::Fresh, &show("Cookie: SID=1\r\n".to_owned()), ""), "");
}

fn by_address(pool: &Pool, addresses: u32) -> HashMap<u32, String> {
    let source = |index: u32| IpAddr::from(Ipv4Addr::from_bits(0x0a00_0000 + index * 7));
    let target = |index| {
        let (seen, _) = recognised_at(pool, "", source(index), SystemTime::now());
        (index, target_of(pool, &seen).expect("an address has a target"))
    };
    (0..addresses).map(target).collect()
}

#[test]
fn an_address_has_its_target_and_the_next_one_while_that_is_away() {
    const ADDRESSES: u32 = 4_000;
    let want = sticky(StickyBy::SourceIp);
    let all = by_address(&pool_of(&want), ADDRESSES);
    for name in NAMES {
        let share = all.values().filter(|target| *target == name).count();
        assert!((900..1100).contains(&share), "{name} has {share}");
    }
    let drain = |draining| Change::Drain(group_name("app"), id("a"), draining);
    let drained = by_address(&pool_of(&want.clone().with(&drain(true))), ADDRESSES);
    assert_eq!(drained, all, "a drained target keeps its part");
    let without = by_address(&pool_of(&want.clone().without("app", "a")), ADDRESSES);
    let weightless = by_address(&pool_of(&want.clone().weighted("app", "a", "127.0.0.1:80", 0)), ADDRESSES);
    assert_eq!(without, weightless);
    assert!(all.iter().all(|(address, target)| target == "a" || without[address] == *target), "only its own move");

    let wanted = want.wanted();
    let before = snapshot_of(&want);
    let mut observed = Observed::default();
    for member in pool_in(&before).members.iter() {
        let verdict = if member.backend.target == id("a") { Verdict::Unhealthy } else { Verdict::Healthy };
        observed.take_in(Observation::Health(member.backend.id, health(verdict)));
    }
    let left = compile(&want.without("app", "a").wanted(), &observed, Some(&before), now());
    assert_eq!(by_address(&pool_in(&left), ADDRESSES), without, "whatever was before");
    let away = pool_in(&compile(&wanted, &observed, Some(&before), now()));
    let away_too = pool_in(&compile(&wanted, &observed, Some(&before), now()));
    let elsewhere = by_address(&away, ADDRESSES);
    assert_eq!(elsewhere, by_address(&away_too, ADDRESSES), "the next one is the same for everybody");
    let spread = |name: &&str| all.iter().filter(|(at, target)| *target == "a" && elsewhere[at] == **name).count();
    assert!(NAMES[1..].iter().all(|name| spread(name) > 200), "those of one are spread over all others");
    assert!(all.iter().all(|(at, target)| target == "a" || elsewhere[at] == *target));
}

#[test]
fn an_address_is_refused_where_its_target_alone_may_have_it() {
    let want = sticky_unless(OnUnavailable::Fail, StickyBy::SourceIp).set("app", |group| group.connections_max = 1);
    let pool = pool_of(&want);
    let work: Vec<_> = ["a", "b"].iter().map(|name| member(&pool, name).backend.begin(0)).collect();
    let decide = |index: u32| {
        let (seen, _) = recognised_at(&pool, "", Ipv4Addr::from_bits(index).into(), SystemTime::now());
        decided(&pool, &seen)
    };
    let all: Vec<_> = (0..200).map(decide).collect();
    assert!(all.iter().all(|decided| matches!(decided, Sticky::Bound | Sticky::Refused(Why::Full))), "{all:?}");
    assert!(all.contains(&Sticky::Bound) && all.contains(&Sticky::Refused(Why::Full)));
    drop(work);
}

#[tokio::test]
async fn a_drained_target_counts_the_sessions_it_still_sees() {
    let mut want = sticky(lb_cookie(None));
    let house = common::house::House::start(&want);
    let backend = house.backend("a");
    let began = Instant::now();
    assert_eq!(backend.sessions(began), None, "of one that is not drained nothing is counted");
    want = want.with(&Change::Drain(group_name("app"), id("a"), true));
    house.publish(&want).await;
    assert_eq!(backend.sessions(began), Some(0));
    for session in common::balancing::randoms(1).take(1_000) {
        backend.note_session(session, began);
        backend.note_session(session, began);
    }
    let about = |at| backend.sessions(at).expect("drained");
    assert!((985..=1015).contains(&about(began)), "{}", about(began));
    let minutes = |minutes: u64| began + Duration::from_secs(60 * minutes);
    for session in common::balancing::randoms(1).take(30) {
        backend.note_session(session, minutes(3));
    }
    assert!((985..=1015).contains(&about(minutes(3))), "those of the period before still count, once");
    assert!((29..=31).contains(&about(minutes(5))), "{}", about(minutes(5)));
    assert_eq!(about(minutes(9)), 0, "who does not come any more is not there any more");
    house.publish(&want.with(&Change::Drain(group_name("app"), id("a"), false))).await;
    assert_eq!(backend.sessions(minutes(9)), None);
}

#[tokio::test]
async fn where_nothing_is_sticky_no_session_is_counted() {
    let want = Want::new().listener("web", "app").weighted("app", "a", "127.0.0.1:80", 0);
    let house = common::house::House::start(&want);
    assert_eq!(house.backend("a").sessions(Instant::now()), None);
}
