//! Writes that race: of those that name the same revision one wins, and none is lost.

use std::collections::BTreeMap;

use http::Method;
use serde_json::json;

use crate::house::House;

const WRITERS: u16 = 16;

/// How often each status came.
async fn statuses(asks: Vec<crate::house::Ask>) -> BTreeMap<u16, usize> {
    let mut racing = tokio::task::JoinSet::new();
    for ask in asks {
        racing.spawn(ask.send());
    }
    let mut statuses = BTreeMap::new();
    while let Some(answer) = racing.join_next().await {
        *statuses.entry(answer.unwrap().status.as_u16()).or_default() += 1;
    }
    statuses
}

#[tokio::test]
async fn of_writes_with_the_same_tag_one_wins() {
    let house = House::start().await;
    let path = "/v1/target-groups/app/targets/a";
    let tag = house.put(path, &json!({"address": "127.0.0.1:80"})).await.header("etag").to_owned();
    let put = |port: u16| {
        let body = json!({"address": format!("127.0.0.1:{port}")});
        house.ask(Method::PUT, path).header("if-match", &tag).json(&body)
    };
    let counts = statuses((1..=WRITERS).map(put).collect()).await;
    assert_eq!(counts, BTreeMap::from([(200, 1), (412, usize::from(WRITERS) - 1)]));
}

#[tokio::test]
async fn of_writes_that_create_one_wins() {
    let house = House::start().await;
    let put = |port: u16| {
        let body = json!({"address": format!("127.0.0.1:{port}")});
        house.ask(Method::PUT, "/v1/target-groups/app/targets/a").header("if-none-match", "*").json(&body)
    };
    let counts = statuses((1..=WRITERS).map(put).collect()).await;
    assert_eq!(counts, BTreeMap::from([(201, 1), (412, usize::from(WRITERS) - 1)]));
}

#[tokio::test]
async fn writes_to_different_targets_all_win() {
    let house = House::start().await;
    let put = |port: u16| {
        let body = json!({"address": format!("127.0.0.1:{port}")});
        house.ask(Method::PUT, &format!("/v1/target-groups/app/targets/t-{port}")).json(&body)
    };
    let counts = statuses((1..=WRITERS).map(put).collect()).await;
    assert_eq!(counts, BTreeMap::from([(201, usize::from(WRITERS))]));
    let list = house.get("/v1/target-groups/app/targets").await.json(200);
    assert_eq!(list.as_array().unwrap().len(), usize::from(WRITERS) + 1);
}

#[tokio::test]
async fn new_weights_of_a_files_target_race_without_harm() {
    let house = House::start().await;
    let put = |weight: u16| {
        let body = json!({"address": "127.0.0.1:1", "weight": weight});
        house.ask(Method::PUT, "/v1/target-groups/app/targets/from-file").json(&body)
    };
    let counts = statuses((2..6).map(put).collect()).await;
    assert_eq!(counts, BTreeMap::from([(200, 4)]));
}
