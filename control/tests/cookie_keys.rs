//! The keys of elbow's own cookies, kept: made on the first start, rotated, taken elsewhere, and never shown.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::path::Path;

use common::*;
use control::secrets::new_cookie_key;
use control::store::{self, Precondition};
use lb::model::{COOKIE_KEYS_MAX, Change, CookieKeys};
use serde_json::{Value, json};
use tempfile::tempdir;

fn keys(house: &House) -> CookieKeys {
    CookieKeys::clone(&house.config().cookie_keys)
}

async fn rotate(house: &House) -> CookieKeys {
    house.apply(Change::RotateCookieKey(new_cookie_key(&keys(house)))).await.unwrap();
    keys(house)
}

fn database(state_dir: &Path) -> rusqlite::Connection {
    rusqlite::Connection::open(state_dir.join("elbow.db")).unwrap()
}

fn format_of(state_dir: &Path) -> i64 {
    database(state_dir).pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
}

/// Makes the state what the version without cookie keys left behind.
fn without_keys(state_dir: &Path) {
    let database = database(state_dir);
    assert_eq!(database.execute("DELETE FROM object WHERE kind = 'cookie_keys'", []).unwrap(), 1);
    database.pragma_update(None, "user_version", 1).unwrap();
}

#[tokio::test]
async fn the_first_opening_makes_a_key_and_keeps_it_before_anything_runs() {
    let (here, there) = (tempdir().unwrap(), tempdir().unwrap());
    // Opened and dropped: as a crash before the start would leave it.
    drop(store::open(here.path()).unwrap());
    let rows: i64 = database(here.path())
        .query_row("SELECT count(*) FROM object WHERE kind = 'cookie_keys'", [], |row| row.get(0))
        .unwrap();
    assert_eq!(rows, 1, "durable");
    let house = House::open(here.path());
    let first = keys(&house);
    assert_eq!(first.iter().count(), 1);
    house.close().await;
    assert_eq!(keys(&House::open(here.path())), first, "it stays");
    assert_ne!(keys(&House::open(there.path())), first, "each state has its own");
}

#[tokio::test]
async fn a_state_of_the_version_before_opens_and_gets_a_key() {
    let dir = tempdir().unwrap();
    let house = House::open(dir.path());
    house.apply(put_group("app")).await.unwrap();
    let before = house.config();
    house.close().await;
    without_keys(dir.path());
    let house = House::open(dir.path());
    assert_eq!(keys(&house).iter().count(), 1);
    assert_eq!(house.config().groups, before.groups);
    assert!(house.config().revision > before.revision);
    let made = keys(&house);
    house.close().await;
    assert_eq!(format_of(dir.path()), 3, "the version before would take the row of keys for damage");
    assert_eq!(keys(&House::open(dir.path())), made);
}

#[tokio::test]
async fn a_damaged_state_of_the_version_before_is_left_as_it_is() {
    let dir = tempdir().unwrap();
    let house = House::open(dir.path());
    house.apply(put_group("app")).await.unwrap();
    house.close().await;
    without_keys(dir.path());
    database(dir.path()).execute("UPDATE object SET document = '{\"algorithm\": \"magic\"}'", []).unwrap();
    assert!(store::open(dir.path()).unwrap_err().to_string().contains("is damaged: target group app"));
    assert_eq!(format_of(dir.path()), 1);
}

#[tokio::test]
async fn a_rotation_adds_a_key_and_drops_only_the_oldest_of_too_many() {
    let dir = tempdir().unwrap();
    let house = House::open(dir.path());
    let mut expected = keys(&house).iter().cloned().collect::<Vec<_>>();
    for _ in 0..COOKIE_KEYS_MAX + 2 {
        let rotated = rotate(&house).await;
        let newest = rotated.newest().unwrap().clone();
        assert!(!expected.contains(&newest));
        expected.insert(0, newest);
        expected.truncate(COOKIE_KEYS_MAX);
        assert_eq!(rotated.iter().cloned().collect::<Vec<_>>(), expected);
    }
    let last = keys(&house);
    house.close().await;
    assert_eq!(keys(&House::open(dir.path())), last, "durable, in the same order");
}

#[tokio::test]
async fn an_import_takes_keys_over_and_leaves_them_alone_without_any() {
    let (here, there) = (tempdir().unwrap(), tempdir().unwrap());
    let (house, other) = (House::open(here.path()), House::open(there.path()));
    let wanted = rotate(&house).await;
    let mut exported = house.store.export();
    let applied = other.store.import(&exported, Precondition::None).await.unwrap();
    assert_eq!(*applied.config.cookie_keys, wanted);
    other.close().await;
    let other = House::open(there.path());
    assert_eq!(keys(&other), wanted, "durable");

    let own = rotate(&other).await;
    exported.as_object_mut().unwrap().remove("cookie_keys").unwrap();
    other.store.import(&exported, Precondition::None).await.unwrap();
    assert_eq!(keys(&other), own, "an export of a version without keys says nothing of them");
}

#[tokio::test]
async fn keys_that_are_none_are_refused_with_their_place_and_unseen() {
    let dir = tempdir().unwrap();
    let house = House::open(dir.path());
    let before = house.config();
    let secret = "5ec2e7".repeat(11)[..64].to_owned();
    let key = |id: &str, secret: &str| json!({ "id": id, "secret": secret });
    let good = || key("0000000a", &secret);
    let too_many: Vec<_> = (0..=COOKIE_KEYS_MAX).map(|id| key(&format!("{id:08x}"), &secret)).collect();
    for (keys, told) in [
        (json!([]), "/cookie_keys: there must be at least one key (leave it out to keep the present ones)"),
        (Value::from(too_many), "/cookie_keys: 9 keys are too many: at most 8 are kept"),
        (
            json!("x"),
            "/cookie_keys: expected a list of tables, found a string (write [[cookie_keys]], with double brackets)",
        ),
        (json!([good(), good()]), "/cookie_keys/1/id: key 0000000a is given twice"),
        (json!([good(), {}]), "/cookie_keys/1/id: `id` is missing; /cookie_keys/1/secret: `secret` is missing"),
        (json!([key("a", &secret)]), "/cookie_keys/0/id: it is not the id of a key: expected 8 hexadecimal digits"),
        (
            json!([key("+000000a", &secret)]),
            "/cookie_keys/0/id: it is not the id of a key: expected 8 hexadecimal digits",
        ),
        (
            json!([key("0000000a", &secret[1..])]),
            "/cookie_keys/0/secret: it is not a key: expected 64 hexadecimal digits",
        ),
        (
            json!([key("0000000a", &secret.replace('5', "g"))]),
            "/cookie_keys/0/secret: it is not a key: expected 64 hexadecimal digits",
        ),
        (json!([{ "id": "0000000a", "secret": [secret] }]), "/cookie_keys/0/secret: expected a string, found a list"),
        (
            json!([{ "id": "0000000a", "secret": secret, "seals": true }]),
            "/cookie_keys/0/seals: unknown key `seals` (known here are id, secret)",
        ),
    ] {
        let mut state = house.store.export();
        state["cookie_keys"] = keys;
        state["target_group"] = json!([{ "name": "more" }]);
        let error = house.store.import(&state, Precondition::None).await.unwrap_err();
        assert_eq!(error.to_string(), told);
        assert!(!format!("{error:?}").contains("5ec2e7"), "{error:?}");
        assert_eq!(*house.config(), *before, "all or nothing");
    }
}

#[tokio::test]
async fn a_key_is_in_its_row_alone() {
    let dir = tempdir().unwrap();
    let house = House::open(dir.path());
    house.apply(put_group("app")).await.unwrap();
    rotate(&house).await;
    let exported = house.store.export();
    let secrets: Vec<_> = exported["cookie_keys"].as_array().unwrap().iter().map(|key| key["secret"].clone()).collect();
    assert_eq!(secrets.len(), 2);
    house.store.import(&exported, Precondition::None).await.unwrap();
    let config = house.config();
    let bytes: Vec<_> = config.cookie_keys.iter().map(|key| format!("{:?}", key.secret)).collect();
    let debug = format!("{config:?} {:?} {:?}", house.store, config.cookie_keys);
    house.close().await;
    let database = database(dir.path());
    let column = |sql: &str| {
        let mut select = database.prepare(sql).unwrap();
        let rows = select.query_map([], |row| row.get::<_, String>(0)).unwrap();
        rows.map(Result::unwrap).collect::<Vec<_>>().join("\n")
    };
    let history = column("SELECT what FROM history ORDER BY id");
    assert_eq!(history.matches("rotates the cookie key to ").count(), 2, "the first one among them: {history}");
    let elsewhere = column("SELECT document FROM object WHERE kind != 'cookie_keys'") + &history + &debug;
    let row = column("SELECT document FROM object WHERE kind = 'cookie_keys'");
    for secret in secrets {
        let secret = secret.as_str().unwrap();
        assert!(row.contains(secret) && !elsewhere.contains(secret));
    }
    assert!(bytes.iter().all(|bytes| !debug.contains(bytes)), "{debug}");
}

#[tokio::test]
async fn damaged_keys_are_named_and_not_shown() {
    let dir = tempdir().unwrap();
    House::open(dir.path()).close().await;
    for document in
        ["{}", "{\"cookie_keys\": []}", "{\"cookie_keys\": [{\"id\": \"0000000a\", \"secret\": \"5ec2e7\"}]}", "5ec2e7"]
    {
        database(dir.path()).execute("UPDATE object SET document = ?", [document]).unwrap();
        let error = store::open(dir.path()).unwrap_err().to_string();
        assert!(error.contains("is damaged: ") && error.contains("cookie"), "{error}");
        assert!(!error.contains("5ec2e7"), "{error}");
    }
}
