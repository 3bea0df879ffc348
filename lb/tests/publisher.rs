//! The publisher over real time: what is published and seen takes effect, and what leaves waits for its work.

mod common;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use common::house::{DEADLINE, House};
use common::{Want, group_name, healthy, id, target};
use lb::model::{Change, Origin, Target};
use lb::state::{Admission, EventKind, Observation, TargetState};

#[tokio::test]
async fn a_verdict_takes_effect_and_is_told() {
    let want = Want::new().listener("web", "app").target("app", "a", "127.0.0.1:1");
    let house = House::start(&want);
    let mut events = house.live.events();
    assert_eq!(house.state("a"), Some(TargetState::Initial));
    let backend = house.backend("a");
    house.observer.observe(Observation::Health(backend.id, healthy()));
    house.until(|snapshot| snapshot.pool_of(&group_name("app")).is_some_and(|pool| pool.eligible == 1)).await;
    let event = events.recv().await.expect("an event");
    let EventKind::Target { from, to, .. } = event.kind else { panic!("another event: {event:?}") };
    assert_eq!((from, to), (Some(TargetState::Initial), Some(TargetState::Healthy)));
}

#[tokio::test]
async fn what_is_in_flight_keeps_a_deregistered_target_until_it_ends() {
    let want = Want::new().listener("web", "app").target("app", "a", "127.0.0.1:1").target("app", "b", "127.0.0.1:2");
    let house = House::start(&want);
    let backend = house.backend("a");
    let (work, other) = (backend.begin(0).expect("takes work"), house.backend("b").begin(0).expect("takes work"));
    let generation = house.publisher.publish(want.clone().without("app", "a").without("app", "b").wanted()).await;
    assert_eq!(generation, house.live.load().generation);
    assert_eq!(house.state("a"), Some(TargetState::Draining));
    assert_eq!(backend.admission(), Admission::None);
    assert!(backend.begin(0).is_none());
    drop(other);
    house.until_state("b", None).await;
    assert_eq!(house.state("a"), Some(TargetState::Draining));
    drop(work);
    house.until_state("a", None).await;
    assert_eq!(backend.admission(), Admission::Gone);
}

#[tokio::test]
async fn what_does_not_end_is_cut_when_its_time_is_over() {
    let delay = Duration::from_millis(80);
    let want = Want::new().listener("web", "app").target("app", "a", "127.0.0.1:1").delay("app", delay);
    let house = House::start(&want);
    let backend = house.backend("a");
    let _work = backend.begin(0).expect("takes work");
    let began = std::time::Instant::now();
    house.publish(&want.clone().without("app", "a")).await;
    house.until_state("a", None).await;
    assert!(began.elapsed() >= delay);
    assert_eq!(backend.admission(), Admission::Gone);
}

#[tokio::test]
async fn registering_again_calls_the_leaving_off() {
    let want = Want::new().listener("web", "app").target("app", "a", "127.0.0.1:1");
    let house = House::start(&want);
    let backend = house.backend("a");
    house.observer.observe(Observation::Health(backend.id, healthy()));
    let work = backend.begin(0).expect("takes work");
    house.publish(&want.clone().without("app", "a")).await;
    assert!(backend.begin(0).is_none());
    house.publish(&want).await;
    assert!(backend.begin(0).is_some());
    assert_eq!(house.state("a"), Some(TargetState::Healthy));
    drop(work);
    tokio::time::sleep(Duration::from_millis(60)).await;
    assert_eq!(house.state("a"), Some(TargetState::Healthy));
}

#[tokio::test]
async fn in_a_zone_that_is_closed_what_is_in_flight_may_finish() {
    let zones = |zones: &[&str]| {
        let zones = zones.iter().map(|zone| Arc::from(*zone)).collect();
        let in_zone = |id: &str, zone: &str| {
            let target = Target { zone: Some(zone.into()), ..target(id, "127.0.0.1:1", 1) };
            Change::PutTarget(Origin::Api, group_name("app"), target)
        };
        let want = Want::new().listener("web", "app").with(&in_zone("a", "east")).with(&in_zone("b", "west"));
        want.set("app", |group| group.zones = zones)
    };
    let (east, both) = (zones(&["east"]), zones(&["east", "west"]));
    let house = House::start(&both);
    for id in ["a", "b"] {
        house.observer.observe(Observation::Health(house.backend(id).id, healthy()));
    }
    house.until_state("b", TargetState::Healthy).await;
    let backend = house.backend("b");
    let work = backend.begin(0).expect("takes work");
    house.publish(&east).await;
    assert_eq!((house.state("b"), backend.admission()), (Some(TargetState::Draining), Admission::None));
    assert_eq!(house.reason("b"), "its zone west is not served: what is in flight has 300s to finish");
    house.publish(&both).await;
    assert_eq!((house.state("b"), backend.admission()), (Some(TargetState::Healthy), Admission::All));
    house.publish(&east).await;
    drop(work);
    house.until_state("b", TargetState::Unused).await;
    assert_eq!((house.reason("b").as_str(), backend.admission()), ("its zone west is not served", Admission::Gone));
    // What its checks say is known all along.
    house.publish(&both).await;
    assert_eq!((house.state("b"), backend.admission()), (Some(TargetState::Healthy), Admission::All));
    assert_eq!(house.backend("b").id, backend.id);
    // Its time may be over sooner.
    let _work = backend.begin(0).expect("takes work");
    house.publish(&east.delay("app", Duration::from_millis(50))).await;
    house.until_state("b", TargetState::Unused).await;
    assert_eq!(backend.admission(), Admission::Gone);
    assert_eq!(house.state("a"), Some(TargetState::Healthy));
}

#[tokio::test]
async fn a_name_leads_to_a_backend_once_it_is_resolved() {
    let want = Want::new().listener("web", "app").target("app", "a", "web.internal:81");
    let house = House::start(&want);
    let address = || house.live.load().member(&group_name("app"), &id("a")).and_then(|member| member.backend.address);
    assert_eq!(address(), None);
    house.observer.observe(Observation::Resolved("web.internal".into(), [127, 0, 0, 9].into()));
    house.until(|snapshot| snapshot.generation > 1).await;
    assert_eq!(address(), Some(SocketAddr::from(([127, 0, 0, 9], 81))));
}

#[tokio::test]
async fn the_task_ends_with_its_last_handle() {
    let house = House::start(&Want::new());
    let live = Arc::downgrade(&house.live);
    drop(house);
    let ends = async {
        while live.strong_count() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(DEADLINE, ends).await.expect("in time");
}
