//! Names of targets: looked up at once, again and again, kept while the answer holds, kept without an answer.

#[path = "../../lb/tests/common/mod.rs"]
mod common;

use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::house::House;
use common::{Want, group_name, id};
use health::Resolver;

/// What the next look-up answers, and how many there were.
struct Names(Arc<Mutex<(Answer, usize)>>);

type Answer = Result<Vec<IpAddr>, String>;

/// Addresses on loopback, by their last numbers.
fn answer(last: &[u8]) -> Answer {
    Ok(last.iter().map(|last| IpAddr::from([127, 0, 0, *last])).collect())
}

impl Names {
    fn new(first: Answer) -> Self {
        Self(Arc::new(Mutex::new((first, 0))))
    }

    fn answer(&self, answer: Answer) {
        self.0.lock().expect("not poisoned").0 = answer;
    }

    fn asked(&self) -> usize {
        self.0.lock().expect("not poisoned").1
    }

    fn start(&self, house: &House) -> Resolver {
        let names = Arc::clone(&self.0);
        Resolver::with(Arc::clone(&house.live), house.observer.clone(), move |name| {
            assert_eq!(&*name, "web.internal");
            let mut names = names.lock().expect("not poisoned");
            names.1 += 1;
            std::future::ready(names.0.clone())
        })
    }
}

fn address(house: &House) -> Option<String> {
    let snapshot = house.live.load();
    snapshot.member(&group_name("app"), &id("a")).and_then(|member| member.backend.address).map(|a| a.to_string())
}

async fn until_address(house: &House, wanted: &str) {
    house.until(|_| address(house).as_deref() == Some(wanted)).await;
}

/// Time is stepped by hand, so that half a minute takes none.
#[tokio::test(start_paused = true)]
async fn names_are_followed() {
    let names = Names::new(answer(&[1, 2]));
    let want = Want::new().listener("web", "app");
    let house = House::start(&want);
    let _resolver = names.start(&house);
    let want = want.target("app", "a", "web.internal:81");
    house.publish(&want).await;
    assert_eq!(house.reason("a"), "waiting for the name web.internal to resolve");
    until_address(&house, "127.0.0.1:81").await;
    let backend = house.backend("a").id;

    // Another order, the same address; and none at all, still the same.
    for other in [answer(&[2, 1]), Err("no such name".into()), answer(&[])] {
        let asked = names.asked();
        names.answer(other);
        tokio::time::sleep(Duration::from_secs(31)).await;
        assert_eq!(names.asked(), asked + 1);
        assert_eq!(house.backend("a").id, backend);
    }

    // Gone from the answer: the target has moved.
    names.answer(answer(&[3]));
    tokio::time::sleep(Duration::from_secs(25)).await;
    until_address(&house, "127.0.0.3:81").await;
    assert_ne!(house.backend("a").id, backend);

    // No target has the name any more: it is not asked for.
    house.publish(&want.without("app", "a")).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let asked = names.asked();
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(names.asked(), asked);
}

#[tokio::test]
async fn the_system_knows_this_host() {
    let want = Want::new().listener("web", "app").target("app", "a", "localhost:81");
    let house = House::start(&want);
    let _resolver = Resolver::start(Arc::clone(&house.live), house.observer.clone());
    house.until(|_| address(&house).is_some_and(|address| address.ends_with(":81"))).await;
}
