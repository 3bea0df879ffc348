//! The store over a real state directory: what was answered is there after a reopening, whatever was refused is not.

mod common;

use common::*;
use lb::model::{Change, Origin, Weight};
use tempfile::tempdir;

#[tokio::test]
async fn what_was_answered_is_there_after_a_reopening() {
    let dir = tempdir().unwrap();
    let house = House::open(dir.path());
    house.apply(put_group("api")).await.unwrap();
    house.apply(put_target("api", "a", "10.0.0.1:80")).await.unwrap();
    house.apply(put_target("api", "b", "web.internal:80")).await.unwrap();
    house.apply(put_listener("front", "127.0.0.1:0", "api")).await.unwrap();
    house.apply(Change::Reweigh(group_name("api"), id("b"), Weight::new(7).unwrap())).await.unwrap();
    house.apply(Change::Drain(group_name("api"), id("a"), true)).await.unwrap();
    let last = house.apply(Change::DeleteTarget(Origin::Api, group_name("api"), id("b"))).await.unwrap();
    let before = house.config();
    assert_eq!(last.revision, before.revision);
    house.close().await;

    let house = House::open(dir.path());
    let after = house.config();
    assert!((&after.listeners, &after.groups) == (&before.listeners, &before.groups), "same objects, same revisions");
    assert!(after.revision > before.revision, "a start is a revision of its own");
    assert!(house.config().target(&group_name("api"), &id("a")).unwrap().adjusted.draining);
    let next = house.apply(put_target("api", "c", "10.0.0.3:80")).await.unwrap();
    assert!(next.revision > after.revision, "revisions go on counting");
}
