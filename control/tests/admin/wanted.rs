//! What is wanted: objects are made, changed, tagged, removed, exported, imported and read from the file again.

use http::Method;
use lb::state::TargetState;
use serde_json::{Value, json};

use crate::house::{FILE, House, eventually};

const TARGETS: &str = "/v1/target-groups/app/targets";

fn target(port: u16) -> Value {
    json!({"address": format!("127.0.0.1:{port}")})
}

#[tokio::test]
async fn a_target_is_registered_changed_listed_and_deregistered() {
    let house = House::start().await;
    let path = &format!("{TARGETS}/web-1");
    let made = house.put(path, &json!({"address": "127.0.0.1:80", "weight": 3, "zone": "z1"})).await;
    let view = made.json(201);
    assert_eq!(made.header("etag"), format!("\"{}\"", view["revision"]));
    assert_eq!(view["reason"].as_str().map(str::is_empty), Some(false), "{view}");
    assert!(view["since"].as_str().unwrap().ends_with('Z'), "{view}");
    for (field, value) in [
        ("id", json!("web-1")),
        ("address", json!("127.0.0.1:80")),
        ("weight", json!(3)),
        ("zone", json!("z1")),
        ("owner", json!("api")),
        ("state", json!("initial")),
        ("in_flight", json!(0)),
    ] {
        assert_eq!(view[field], value, "{field} of {view}");
    }

    assert_eq!(house.put(path, &target(80)).await.json(200)["weight"], 1);
    let list = house.get(TARGETS).await.json(200);
    let ids: Vec<_> = list.as_array().unwrap().iter().map(|target| target["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["from-file", "web-1"]);
    // What was read can be written back.
    let read = house.get(path).await.json(200);
    assert_eq!(house.put(path, &read).await.json(200)["revision"], read["revision"]);

    let leaving = house.delete(path).await.json(202);
    assert_eq!((&leaving["id"], &leaving["state"]), (&json!("web-1"), &json!("draining")));
    eventually("web-1 to leave", async || house.get(path).await.status == 404).await;
    house.delete(path).await.problem(404);
}

#[tokio::test]
async fn ids_may_be_addresses() {
    let house = House::start().await;
    house.put(&format!("{TARGETS}/[::1]:80"), &json!({"address": "[::1]:80"})).await.json(201);
    house.put(&format!("{TARGETS}/%5B::1%5D%3A80"), &json!({"address": "[::1]:80"})).await.json(200);
    assert_eq!(house.get(&format!("{TARGETS}/[::1]:80")).await.json(200)["id"], "[::1]:80");
}

#[tokio::test]
async fn a_files_target_takes_another_weight_and_drains() {
    let house = House::start().await;
    let path = &format!("{TARGETS}/from-file");
    let before = house.get(path).await;
    let view = house.put(path, &json!({"address": "127.0.0.1:1", "weight": 7})).await.json(200);
    assert_eq!((&view["weight"], &view["owner"]), (&json!(7), &json!("file")));
    let stale = house.ask(Method::PUT, path).header("if-match", before.header("etag"));
    stale.json(&json!({"address": "127.0.0.1:1", "weight": 8})).send().await.problem(412);

    assert_eq!(house.post(&format!("{path}/drain")).await.json(200)["state"], "draining");
    assert_eq!(house.state("app", "from-file"), Some(TargetState::Draining));
    let config = house.get("/v1/config").await.json(200);
    let wanted = &config["target_groups"][0]["targets"][0];
    let told = (&wanted["weight"], &wanted["adjusted_weight"], &wanted["draining"], &wanted["owner"]);
    assert_eq!(told, (&json!(1), &json!(7), &json!(true), &json!("file")));
    assert_eq!(house.post(&format!("{path}/undrain")).await.json(200)["state"], "initial");
}

#[tokio::test]
async fn a_listener_is_bound_before_anything_changes() {
    let house = House::start().await;
    let made = house.put("/v1/listeners/api", &json!({"bind": "127.0.0.1:0", "target_group": "app"})).await;
    let view = made.json(201);
    let bound: std::net::SocketAddr = view["address"].as_str().unwrap().parse().unwrap();
    assert_ne!(bound.port(), 0);
    assert_eq!((&view["bind"], &view["owner"]), (&json!("127.0.0.1:0"), &json!("api")));
    assert_eq!(view["head_timeout"], "10s");
    // What was read can be written back.
    assert_eq!(house.put("/v1/listeners/api", &view).await.json(200), view);

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let bind = taken.local_addr().unwrap().to_string();
    let refused = house.put("/v1/listeners/late", &json!({"bind": bind, "target_group": "app"})).await.problem(409);
    assert_eq!(refused["pointer"], "/bind");
    assert!(refused["detail"].as_str().unwrap().contains("in use"), "{refused}");
    let dangling = json!({"bind": "127.0.0.1:0", "target_group": "none"});
    let refused = house.put("/v1/listeners/late", &dangling).await.problem(409);
    assert_eq!(refused["pointer"], "/target_group");

    let list = house.get("/v1/listeners").await.json(200);
    let names: Vec<_> = list.as_array().unwrap().iter().map(|listener| listener["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["api", "web"]);
    assert_eq!(house.delete("/v1/listeners/api").await.status, 204);
    house.get("/v1/listeners/api").await.problem(404);
}

#[tokio::test]
async fn a_group_goes_only_when_nobody_needs_it() {
    let house = House::start().await;
    let made = house.put("/v1/target-groups/api", &json!({"deregistration_delay": "5s"})).await.json(201);
    assert_eq!(made["deregistration_delay"], "5s");
    assert_eq!(house.put("/v1/target-groups/api", &made).await.json(200), made);
    house.put("/v1/target-groups/api/targets/a", &target(80)).await.json(201);
    assert_eq!(house.get("/v1/target-groups/api/targets/a").await.json(200)["state"], "unused");
    // A new definition does not touch the targets.
    house.put("/v1/target-groups/api", &json!({})).await.json(200);
    house.get("/v1/target-groups/api/targets/a").await.json(200);

    house.put("/v1/listeners/api", &json!({"bind": "127.0.0.1:0", "target_group": "api"})).await.json(201);
    assert_eq!(house.delete("/v1/target-groups/api").await.problem(409)["type"], "urn:elbow:problem:in-use");
    house.delete("/v1/listeners/api").await;
    assert_eq!(house.delete("/v1/target-groups/api").await.status, 204);
    house.get("/v1/target-groups/api").await.problem(404);
}

#[tokio::test]
async fn preconditions_hold_writes_back() {
    let house = House::start().await;
    let path = &format!("{TARGETS}/a");
    let first = house.put(path, &target(1)).await;
    let second = house.put(path, &target(2)).await;
    let (stale, now) = (first.header("etag").to_owned(), second.header("etag").to_owned());
    assert_ne!(stale, now);
    let put = |tag: &str| house.ask(Method::PUT, path).header("if-match", tag).json(&target(3));
    for tag in [&stale, "\"none\"", "\"\"", &format!("W/{now}"), &format!("{stale}, \"0\"")] {
        put(tag).send().await.problem(412);
        house.ask(Method::DELETE, path).header("if-match", tag).send().await.problem(412);
        house.ask(Method::POST, &format!("{path}/drain")).header("if-match", tag).send().await.problem(412);
    }
    put("unquoted").send().await.problem(400);
    assert_eq!(house.get(path).await.header("etag"), now);
    let third = put(&format!("{stale}, {now}")).send().await;
    third.json(200);
    put("*").send().await.json(200);

    let absent = house.ask(Method::PUT, path).header("if-none-match", "*").json(&target(4));
    absent.send().await.problem(412);
    let none = &format!("{TARGETS}/none");
    house.ask(Method::PUT, none).header("if-match", "*").json(&target(4)).send().await.problem(412);
    house.ask(Method::PUT, none).header("if-none-match", "\"1\"").json(&target(4)).send().await.problem(400);
    house.ask(Method::PUT, none).header("if-none-match", "*").json(&target(4)).send().await.json(201);
}

#[tokio::test]
async fn collections_are_tagged_with_the_revision_of_all() {
    let house = House::start().await;
    let tags = async || {
        let mut tags = Vec::new();
        for path in ["/v1/config", "/v1/listeners", "/v1/target-groups", TARGETS, "/v1/state"] {
            tags.push(house.get(path).await.header("etag").to_owned());
        }
        tags
    };
    let before = tags().await;
    assert!(before.iter().all(|tag| *tag == before[0] && tag.starts_with('"')), "{before:?}");
    house.put(&format!("{TARGETS}/a"), &target(1)).await.json(201);
    let after = tags().await;
    assert!(after.iter().all(|tag| *tag == after[0] && *tag != before[0]), "{after:?}");
}

#[tokio::test]
async fn state_goes_out_and_comes_back_whole() {
    let house = House::start().await;
    house.put(&format!("{TARGETS}/a"), &json!({"address": "127.0.0.1:81", "weight": 5})).await.json(201);
    house.put(&format!("{TARGETS}/from-file"), &json!({"address": "127.0.0.1:1", "weight": 9})).await.json(200);
    let exported = house.get("/v1/state").await;

    let other = House::start().await;
    other.put(&format!("{TARGETS}/b"), &target(82)).await.json(201);
    let stale = other.ask(Method::PUT, "/v1/state").header("if-match", "\"0\"").json(&exported.json(200));
    stale.send().await.problem(412);
    let imported = other.put("/v1/state", &exported.json(200)).await.json(200);
    assert!(imported["revision"].is_u64(), "{imported}");
    assert_eq!(other.get(&format!("{TARGETS}/a")).await.json(200)["weight"], 5);
    assert_eq!(other.get(&format!("{TARGETS}/from-file")).await.json(200)["weight"], 9);
    eventually("b to leave", async || other.state("app", "b").is_none()).await;

    other.put("/v1/state", &json!({"nonsense": 1})).await.problem(422);
    assert_eq!(other.get(&format!("{TARGETS}/a")).await.json(200)["weight"], 5);
}

#[tokio::test]
async fn a_reload_tells_what_it_did_or_where_the_file_is_wrong() {
    let house = House::start().await;
    let more = FILE.replace("127.0.0.1:1\"", "127.0.0.1:2\"") + "[[target_group]]\nname = \"second\"\n";
    std::fs::write(&house.file, more).unwrap();
    let told = house.post("/v1/reload").await.json(200);
    assert_eq!(told["added"], json!([{"kind": "target_group", "name": "second"}]), "{told}");
    let changed = json!([{"kind": "target", "name": "from-file", "target_group": "app"}]);
    assert_eq!((&told["changed"], &told["removed"]), (&changed, &json!([])));

    std::fs::write(&house.file, FILE.replace("bind", "bnid")).unwrap();
    let problem = house.post("/v1/reload").await.problem(422);
    let wrong = problem["errors"].as_array().unwrap().iter().find(|wrong| wrong["line"] == 4).unwrap();
    assert_eq!(wrong["column"], 1, "{wrong}");
    assert!(metric(&house, "elbow_config_last_apply_success").await == "0");

    std::fs::write(&house.file, FILE).unwrap();
    house.post("/v1/reload").await.json(200);
    assert!(metric(&house, "elbow_config_last_apply_success").await == "1");

    std::fs::write(&house.file, format!("[workers]\ncount = 7\n{FILE}")).unwrap();
    let problem = house.post("/v1/reload").await.problem(409);
    assert!(problem["detail"].as_str().unwrap().contains("workers"), "{problem}");
    let without = House::start_with(None, true).await;
    without.post("/v1/reload").await.problem(409);
}

async fn metric(house: &House, name: &str) -> String {
    let text = house.get("/metrics").await.text();
    let line = text.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap();
    line.rsplit_once(' ').unwrap().1.to_owned()
}
