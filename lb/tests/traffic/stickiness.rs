//! A client stays at its target: what it is given, what it shows, and what the target sees of that.

use std::time::Duration;

use lb::model::{Change, CookieKey, CookieKeys, CookieName, CookieStyle, OnUnavailable, Stickiness, StickyBy};

use crate::common::{Want, group_name, id};
use crate::house::House;
use crate::wire::{Target, Wire, field};
use crate::{client_of, want_of};

const NAMES: [&str; 3] = ["a", "b", "c"];

fn keys(ids: &[u32]) -> CookieKeys {
    CookieKeys::new(ids.iter().map(|id| CookieKey { id: *id, secret: [*id as u8; 32] }))
}

fn lb_cookie(duration: Option<Duration>) -> StickyBy {
    StickyBy::LbCookie { name: CookieName::parse("ELBOW").unwrap(), duration }
}

fn sticky(by: StickyBy) -> Want {
    let targets = NAMES.map(Target::echoing);
    let stickiness = Stickiness::new(by, OnUnavailable::Repick);
    want_of(&targets.each_ref())
        .set("app", |group| group.stickiness = Some(stickiness))
        .with(&Change::PutCookieKeys(keys(&[1])))
}

/// One request on a connection of its own: who answered, what it saw, and the answer's head.
fn ask(house: &House, fields: &str) -> (String, String, String) {
    ask_over(&mut client_of(house), fields)
}

fn ask_over(client: &mut Wire, fields: &str) -> (String, String, String) {
    client.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
    let (head, seen) = client.response();
    (field(&head, "x-target").expect("a target answered").to_owned(), seen, head)
}

/// The cookie that an answer sets, as a request sends it back.
fn cookie_of(head: &str) -> String {
    let set = field(head, "set-cookie").expect("a cookie is set");
    set.split(';').next().unwrap().to_owned()
}

#[test]
fn a_new_client_gets_a_cookie_and_stays_where_it_leads() {
    let house = House::with(&sticky(lb_cookie(None)));
    for _ in 0..10 {
        let (first, _, head) = ask(&house, "");
        let cookie = cookie_of(&head);
        let attributes = field(&head, "set-cookie").unwrap().split_once(';').unwrap().1;
        assert_eq!(attributes, " Path=/; HttpOnly; SameSite=Lax");
        for _ in 0..5 {
            let (next, seen, head) = ask(&house, &format!("Cookie: a=1; {cookie}; b=2\r\n"));
            assert_eq!(next, first);
            assert_eq!(field(&head, "set-cookie"), None, "it is set on a new binding only");
            assert_eq!(field(&seen, "cookie"), Some(&*format!("a=1; {cookie}; b=2")), "a genuine one is forwarded");
        }
    }
}

#[test]
fn a_forged_cookie_never_reaches_the_target() {
    let house = House::with(&sticky(lb_cookie(Some(Duration::from_secs(60)))));
    let mut client = client_of(&house);
    for (sent, arrives) in [
        ("ELBOW=forged", None),
        ("ELBOW=forged; a=1", Some("a=1")),
        ("a=1; ELBOW=forged;  b=2", Some("a=1;  b=2")),
        ("a=1;b=2; ELBOW=", Some("a=1;b=2")),
        ("ELBOW=x; ELBOW=y;ELBOW;elbow=mine", Some("elbow=mine")),
    ] {
        let (_, seen, head) = ask_over(&mut client, &format!("Cookie: {sent}\r\n"));
        assert_eq!(field(&seen, "cookie"), arrives, "{sent}");
        assert!(field(&head, "set-cookie").unwrap().ends_with("; Max-Age=60"));
    }
}

#[test]
fn a_rotated_key_still_opens_and_a_drained_target_keeps_its_own() {
    let mut want = sticky(lb_cookie(None));
    let house = House::with(&want);
    let (first, _, head) = ask(&house, "");
    let cookie = format!("Cookie: {}\r\n", cookie_of(&head));
    want = want.with(&Change::PutCookieKeys(keys(&[2, 1])));
    house.publish(&want);
    assert_eq!(ask(&house, &cookie).0, first);
    want = want.with(&Change::Drain(group_name("app"), id(&first), true));
    house.publish(&want);
    for _ in 0..6 {
        assert_eq!(ask(&house, &cookie).0, first, "drained: its own stay");
        assert_ne!(ask(&house, "").0, first, "drained: nobody else comes");
    }
    want = want.without("app", &first);
    house.publish(&want);
    let (next, _, head) = ask(&house, &cookie);
    assert_ne!(next, first);
    assert!(field(&head, "set-cookie").is_some(), "a re-pick sets a new cookie");
}

#[test]
fn in_the_style_of_elb_two_cookies_are_set_once_and_either_binds() {
    let by = StickyBy::LbCookie { name: CookieName::parse("AWSELB").unwrap(), duration: Some(Duration::from_secs(60)) };
    let stickiness = Stickiness { by, on_unavailable: OnUnavailable::Repick, style: CookieStyle::Elb };
    let targets = NAMES.map(Target::echoing);
    let want = want_of(&targets.each_ref())
        .set("app", |group| group.stickiness = Some(stickiness))
        .with(&Change::PutCookieKeys(keys(&[1])));
    let house = House::with(&want);
    let (first, _, head) = ask(&house, "");
    let set: Vec<_> = head.lines().filter_map(|line| line.strip_prefix("Set-Cookie: ")).collect();
    let value = set[0].strip_prefix("AWSELB=").unwrap().strip_suffix(";PATH=/;MAX-AGE=60").expect("no flags");
    assert_eq!(set[1..], [format!("AWSELBCORS={value};PATH=/;MAX-AGE=60;SECURE;SAMESITE=None")]);
    for cookies in [format!("AWSELB={value}"), format!("AWSELBCORS={value}"), format!("AWSELB=x; AWSELBCORS={value}")] {
        for _ in 0..4 {
            let (next, seen, head) = ask(&house, &format!("Cookie: a=1; {cookies}\r\n"));
            assert_eq!((next, field(&head, "set-cookie")), (first.clone(), None));
            assert_eq!(field(&seen, "cookie"), Some(&*format!("a=1; {cookies}")), "it is forwarded");
        }
    }
}
