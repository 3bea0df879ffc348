//! The keys of elbow's own cookies through the API: told by their ids, rotated, and shown in an export alone.

use http::Method;
use serde_json::{Value, json};

use crate::house::House;

fn ids(keys: &Value) -> Vec<String> {
    keys.as_array().unwrap().iter().map(|key| key["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_rotation_seals_with_a_new_key_and_keeps_the_old() {
    let house = House::start().await;
    let first = house.get("/v1/cookie-keys").await;
    let (tag, keys) = (first.header("etag").to_owned(), first.json(200));
    assert_eq!(keys, json!([{ "id": keys[0]["id"], "seals": true }]));
    let rotated = house.post("/v1/cookie-keys/rotate").await;
    let (new_tag, keys) = (rotated.header("etag").to_owned(), rotated.json(200));
    let (newest, oldest) = (&keys[0]["id"], &ids(&first.json(200))[0]);
    assert_eq!(keys, json!([{ "id": newest, "seals": true }, { "id": oldest, "seals": false }]));
    let listed = house.get("/v1/cookie-keys").await;
    assert_eq!((listed.header("etag"), listed.json(200)), (new_tag.as_str(), keys));
    assert_ne!(new_tag, tag);

    let again = |tag: &str| house.ask(Method::POST, "/v1/cookie-keys/rotate").header("if-match", tag).send();
    again(&tag).await.problem(412);
    assert_eq!(ids(&house.get("/v1/cookie-keys").await.json(200)).len(), 2, "nothing was rotated");
    assert_eq!(ids(&again(&new_tag).await.json(200)).len(), 3);
}

#[tokio::test]
async fn eight_keys_are_kept() {
    let house = House::start().await;
    let mut expected = ids(&house.get("/v1/cookie-keys").await.json(200));
    for _ in 0..9 {
        let told = ids(&house.post("/v1/cookie-keys/rotate").await.json(200));
        expected.insert(0, told[0].clone());
        expected.truncate(8);
        assert_eq!(told, expected);
    }
}

#[tokio::test]
async fn only_an_export_shows_keys() {
    let house = House::start().await;
    let rotated = house.post("/v1/cookie-keys/rotate").await.text();
    let state = house.get("/v1/state").await.json(200);
    let mut shown = rotated;
    for path in ["/v1/config", "/v1/cookie-keys", "/v1/target-groups", "/v1/openapi.json", "/metrics"] {
        shown += &house.get(path).await.text();
    }
    for change in [json!("nothing"), json!([])] {
        let mut wrong = state.clone();
        wrong["cookie_keys"][1]["id"] = change;
        shown += &house.put("/v1/state", &wrong).await.problem(422).to_string();
    }
    let mut wrong = state.clone();
    wrong["cookie_keys"][1]["secret"] = format!("{}x", state["cookie_keys"][1]["secret"].as_str().unwrap()).into();
    let problem = house.put("/v1/state", &wrong).await.problem(422);
    assert_eq!(problem["pointer"], "/cookie_keys/1/secret");
    shown += &problem.to_string();
    let keys = state["cookie_keys"].as_array().unwrap();
    assert_eq!(keys.len(), 2);
    for key in keys {
        let secret = key["secret"].as_str().unwrap();
        assert!(secret.len() == 64 && !shown.contains(secret), "{shown}");
    }
}
