//! The store over a real state directory: what was answered is there after a reopening, what was refused is not.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use common::*;
use control::store::{self, BackingError, OpenError, Precondition, Refused};
use lb::model::{Change, Declared, ObjectRef, Origin, Rejected, Target, Weight};
use tempfile::tempdir;

fn mode_of(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn weigh(id_of: &str, weight: u64) -> Change {
    Change::Reweigh(group_name("app"), id(id_of), Weight::new(weight).unwrap())
}

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
    assert_eq!(last.revision, before.revision, "answered when it is published");
    house.close().await;

    let house = House::open(dir.path());
    let after = house.config();
    assert!((&after.listeners, &after.groups) == (&before.listeners, &before.groups), "same objects, same revisions");
    assert!(after.revision > before.revision, "a start is a revision of its own");
    assert!(after.target(&group_name("api"), &id("a")).unwrap().adjusted.draining);
    let next = house.apply(put_target("api", "c", "10.0.0.3:80")).await.unwrap();
    assert!(next.revision > after.revision, "revisions go on counting");
}

fn with_discovery(mut file: Declared) -> Declared {
    file.target_groups[0].discovery = Some(discovery());
    file
}

#[tokio::test]
async fn what_a_source_has_found_is_served_after_a_start() {
    let dir = tempdir().unwrap();
    let found = |targets: &[Target]| Change::DeclareTargets(Origin::Ec2, group_name("app"), targets.to_vec());
    let house = House::open_with(dir.path(), &with_discovery(file(&[])));
    let two = [target("i-1", "127.0.0.1:80"), target("i-2", "127.0.0.2:80")];
    house.apply(found(&two)).await.unwrap();
    house.apply(Change::Drain(group_name("app"), id("i-2"), true)).await.unwrap();
    let before = house.config();
    house.close().await;

    let house = House::open_with(dir.path(), &with_discovery(file(&[])));
    assert!(house.config().groups["app"].targets == before.groups["app"].targets, "the same, by the same owner");
    assert_eq!(house.store.export()["target"], serde_json::json!([]), "what was found is nobody's state");
    house.close().await;

    // The file has its say first, and what nobody asks for any more is gone for good.
    let house = House::open_with(dir.path(), &with_discovery(file(&[target("i-1", "127.0.0.9:80")])));
    let config = house.config();
    assert_eq!(config.target(&group_name("app"), &id("i-1")).unwrap().origin, Origin::File);
    assert_eq!(config.target(&group_name("app"), &id("i-2")).unwrap().origin, Origin::Ec2);
    house.close().await;
    let house = House::open_with(dir.path(), &file(&[]));
    assert!(house.config().groups["app"].targets.is_empty());
    let refused = house.apply(found(&two)).await.unwrap_err();
    assert!(matches!(refused, Refused::Rejected(Rejected::NoSource { .. })), "{refused}");
    house.close().await;
    let house = House::open_with(dir.path(), &with_discovery(file(&[])));
    assert!(house.config().groups["app"].targets.is_empty(), "it came back");
    house.close().await;
    let house = House::open(dir.path());
    assert!(house.config().groups.is_empty(), "a group with what was found in it may go");
}

#[tokio::test]
async fn revisions_are_never_given_out_twice() {
    let dir = tempdir().unwrap();
    let mut newest = 0;
    for round in 0..3 {
        // Nothing is written by the API: reloads and starts alone count on.
        let house = House::open_with(dir.path(), &file(&[target("a", &format!("10.0.0.{round}:80"))]));
        assert!(house.config().revision > newest, "a start after revision {newest}");
        let reloaded = house.apply(Change::Declare(Origin::File, file(&[target("b", "10.0.0.9:80")]))).await.unwrap();
        newest = reloaded.revision;
        house.close().await;
    }
}

#[tokio::test]
async fn the_same_change_again_changes_nothing() {
    let dir = tempdir().unwrap();
    let house = House::open(dir.path());
    let first = house.apply(put_group("api")).await.unwrap();
    let generation = house.live.load().generation;
    let again = house.apply(put_group("api")).await.unwrap();
    assert_eq!(again.revision, first.revision);
    assert!(house.live.load().generation <= generation + 1);
}

#[tokio::test]
async fn what_is_adjusted_on_a_files_target_stands_until_its_entry_changes() {
    let dir = tempdir().unwrap();
    let entry = target("a", "10.0.0.1:80");
    let of = |house: &House| {
        let config = house.config();
        let held = config.target(&group_name("app"), &id("a")).unwrap();
        (held.weight().get(), held.adjusted.draining)
    };
    let house = House::open_with(dir.path(), &file(std::slice::from_ref(&entry)));
    house.apply(weigh("a", 5)).await.unwrap();
    house.apply(Change::Drain(group_name("app"), id("a"), true)).await.unwrap();
    house.close().await;

    let house = House::open_with(dir.path(), &file(std::slice::from_ref(&entry)));
    assert_eq!(of(&house), (5, true), "after a restart with the same file");
    house.apply(Change::Declare(Origin::File, file(std::slice::from_ref(&entry)))).await.unwrap();
    assert_eq!(of(&house), (5, true), "after a reload of the same file");
    house.close().await;

    let moved = Target { weight: Weight::new(2).unwrap(), ..entry.clone() };
    let house = House::open_with(dir.path(), &file(std::slice::from_ref(&moved)));
    assert_eq!(of(&house), (2, false), "the entry changed while elbow was down");
    house.close().await;
    let house = House::open_with(dir.path(), &file(std::slice::from_ref(&entry)));
    assert_eq!(of(&house), (1, false), "what was dropped does not come back with the old entry");
    house.apply(weigh("a", 5)).await.unwrap();
    house.apply(Change::Declare(Origin::File, file(&[moved]))).await.unwrap();
    house.close().await;
    let house = House::open_with(dir.path(), &file(&[entry]));
    assert_eq!(of(&house), (1, false), "nor what a reload dropped");
}

#[tokio::test]
async fn what_has_two_owners_is_refused_at_the_start_naming_it() {
    let dir = tempdir().unwrap();
    let house = House::open_with(dir.path(), &file(&[]));
    house.apply(put_target("app", "a", "10.0.0.1:80")).await.unwrap();
    house.apply(put_group("mine")).await.unwrap();
    house.apply(put_listener("front", "127.0.0.1:0", "mine")).await.unwrap();
    house.close().await;

    let opened = store::open(dir.path()).unwrap();
    let refused = |declared: &Declared| opened.wanted_with(declared).unwrap_err().to_string();
    assert_eq!(
        refused(&file(&[target("a", "10.0.0.1:80")])),
        "target a of target group app belongs to api: change it there"
    );
    let with_group = Declared { target_groups: vec![group("app"), group("mine")], ..file(&[]) };
    assert_eq!(refused(&with_group), "target group mine belongs to api: change it there");
    assert_eq!(refused(&Declared::default()), "target group app is still in use by targets a (api)");
    let with_listener = Declared { listeners: vec![listener("front", "127.0.0.1:0", "app")], ..file(&[]) };
    assert_eq!(refused(&with_listener), "listener front belongs to api: change it there");
    opened.wanted_with(&file(&[target("b", "10.0.0.1:80")])).unwrap();
}

#[tokio::test]
async fn a_precondition_is_checked_when_the_change_is_made() {
    let dir = tempdir().unwrap();
    let house = House::open(dir.path());
    house.apply(put_group("app")).await.unwrap();
    let app = || ObjectRef::TargetGroup(group_name("app"));
    let put = |id, precondition| house.store.apply(vec![put_target("app", id, "10.0.0.1:80")], precondition);
    let current = house.config().revision_of(&app());
    put("a", Precondition::Exists(app())).await.unwrap();
    put("b", Precondition::Matches(app(), vec![99, current.unwrap()])).await.unwrap();
    let refused = put("c", Precondition::Matches(app(), vec![99])).await.unwrap_err();
    assert!(matches!(&refused, Refused::Precondition { object, current: now } if *object == app() && *now == current));
    let missing = ObjectRef::TargetGroup(group_name("none"));
    let refused = put("c", Precondition::Exists(missing.clone())).await.unwrap_err();
    assert!(matches!(refused, Refused::Precondition { current: None, .. }));
    put("c", Precondition::Absent(missing)).await.unwrap();
    assert!(put("d", Precondition::Absent(app())).await.is_err());

    // Of many who saw the same revision, one wins.
    let target = ObjectRef::Target(group_name("app"), id("a"));
    let seen = house.config().revision_of(&target).unwrap();
    let writers = (1..=20).map(|weight| {
        let (store, target) = (house.store.clone(), target.clone());
        tokio::spawn(async move {
            store.apply(vec![weigh("a", weight + 1)], Precondition::Matches(target, vec![seen])).await
        })
    });
    let mut won = 0;
    for writer in writers.collect::<Vec<_>>() {
        won += u32::from(writer.await.unwrap().is_ok());
    }
    assert_eq!(won, 1);
}

#[tokio::test]
async fn several_changes_are_one() {
    let dir = tempdir().unwrap();
    let house = House::open(dir.path());
    let changes = vec![put_listener("front", "127.0.0.1:0", "app"), put_group("app")];
    let applied = house.store.apply(changes, Precondition::None).await.unwrap();
    assert_eq!(applied.config.listeners.len(), 1, "what must hold between objects is asked of the outcome");
    let changes = vec![put_group("more"), put_target("none", "a", "10.0.0.1:80")];
    let refused = house.store.apply(changes, Precondition::None).await.unwrap_err();
    assert!(matches!(refused, Refused::Rejected(Rejected::NotFound(_))), "{refused}");
    assert!(!house.config().groups.contains_key("more"), "refused whole");
    house.close().await;
    assert!(!House::open(dir.path()).config().groups.contains_key("more"));
}

#[tokio::test]
async fn an_address_that_cannot_be_had_refuses_the_change() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let dir = tempdir().unwrap();
    let house = House::open_serving(dir.path(), &Declared::default(), 1);
    house.apply(put_group("app")).await.unwrap();
    let bind = taken.local_addr().unwrap().to_string();
    let refused = house.apply(put_listener("front", &bind, "app")).await.unwrap_err();
    assert!(matches!(refused, Refused::Bind(_)), "{refused}");
    drop(taken);
    house.apply(put_listener("front", &bind, "app")).await.unwrap();
    let refused = house.apply(put_listener("second", &bind, "app")).await.unwrap_err();
    assert_eq!(refused.to_string(), "listeners front and second bind the same address");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_writers_at_once_are_all_answered_and_kept() {
    let dir = tempdir().unwrap();
    let house = House::open(dir.path());
    house.apply(put_group("app")).await.unwrap();
    let writers = (0..100).map(|number| {
        let store = house.store.clone();
        tokio::spawn(async move {
            let put = put_target("app", &format!("t-{number}"), "10.0.0.1:80");
            let applied = store.apply(vec![put], Precondition::None).await.unwrap();
            let refused = store.apply(vec![put_target("none", "a", "10.0.0.1:80")], Precondition::None).await;
            assert!(refused.is_err(), "refused on its own");
            applied.revision
        })
    });
    let mut revisions = Vec::new();
    for writer in writers.collect::<Vec<_>>() {
        revisions.push(writer.await.unwrap());
    }
    revisions.sort_unstable();
    revisions.dedup();
    assert_eq!(revisions.len(), 100, "each change has a revision of its own");
    assert_eq!(house.config().groups["app"].targets.len(), 100);
    house.close().await;
    let house = House::open(dir.path());
    assert_eq!(house.config().groups["app"].targets.len(), 100);
}

#[tokio::test]
async fn the_directory_is_private_and_held_by_one() {
    let dir = tempdir().unwrap();
    let state_dir = dir.path().join("new/state");
    let house = House::open(&state_dir);
    assert_eq!(mode_of(&state_dir), 0o700);
    assert_eq!(mode_of(&state_dir.join("elbow.db")), 0o600);
    let error = store::open(&state_dir).unwrap_err();
    let expected =
        format!("the state directory {} is held by another elbow, process {}", state_dir.display(), std::process::id());
    assert!(matches!(error, OpenError::Held { .. }));
    assert_eq!(error.to_string(), expected);
    house.close().await;
    store::open(&state_dir).unwrap();
}

#[tokio::test]
async fn a_damaged_or_foreign_file_is_refused_and_left_as_it_is() {
    let dir = tempdir().unwrap();
    let house = House::open(dir.path());
    house.apply(put_group("app")).await.unwrap();
    house.close().await;
    let file = dir.path().join("elbow.db");
    let whole = std::fs::read(&file).unwrap();
    let torn = [&whole[..whole.len() / 2], &vec![0x5a; whole.len() / 2]].concat();
    for damage in [Vec::new(), b"no database at all, and long enough to be looked at".to_vec(), torn] {
        std::fs::write(&file, &damage).unwrap();
        let error = store::open(dir.path()).unwrap_err();
        assert!(matches!(error, OpenError::Backing(BackingError::Damaged { .. })), "{error}");
        assert!(error.to_string().contains("elbow.db is damaged") && error.to_string().contains("elbow state import"));
        assert_eq!(std::fs::read(&file).unwrap(), damage, "left as it is");
    }
    std::fs::write(&file, &whole).unwrap();
    assert!(House::open(dir.path()).config().groups.contains_key("app"), "the copy put back");
}

#[tokio::test]
async fn a_newer_format_is_refused_and_left_as_it_is() {
    let dir = tempdir().unwrap();
    House::open(dir.path()).close().await;
    let file = dir.path().join("elbow.db");
    rusqlite::Connection::open(&file).unwrap().pragma_update(None, "user_version", 4).unwrap();
    let error = store::open(dir.path()).unwrap_err();
    assert!(matches!(error, OpenError::Backing(BackingError::Newer { found: 4, known: 3, .. })), "{error}");
    assert!(error.to_string().contains("made by a newer elbow"));
}

#[tokio::test]
async fn a_row_that_cannot_be_read_is_damage_and_named() {
    let dir = tempdir().unwrap();
    let house = House::open(dir.path());
    house.apply(put_group("app")).await.unwrap();
    house.close().await;
    let connection = rusqlite::Connection::open(dir.path().join("elbow.db")).unwrap();
    connection.execute("UPDATE object SET document = '{\"algorithm\": \"magic\"}' WHERE name = 'app'", []).unwrap();
    drop(connection);
    let error = store::open(dir.path()).unwrap_err().to_string();
    assert!(error.contains("target group app cannot be read: /algorithm: `magic` is no algorithm"), "{error}");
}

#[tokio::test]
async fn history_tells_what_was_changed_and_is_bounded() {
    let dir = tempdir().unwrap();
    let house = House::open(dir.path());
    house.apply(put_group("app")).await.unwrap();
    let puts = (0..10_050).map(|number| put_target("app", &format!("t-{number}"), "10.0.0.1:80")).collect();
    house.store.apply(puts, Precondition::None).await.unwrap();
    house.apply(Change::Drain(group_name("app"), id("t-7"), true)).await.unwrap();
    house.close().await;
    let connection = rusqlite::Connection::open(dir.path().join("elbow.db")).unwrap();
    let one = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap();
    assert_eq!(one("SELECT what FROM history ORDER BY id DESC LIMIT 1"), "drains target t-7 of target group app");
    assert_eq!(one("SELECT CAST(count(*) AS TEXT) FROM history"), "10000");
    assert_eq!(one("SELECT CAST(revision AS TEXT) FROM newest"), "5", "with a cookie key and a start");
    assert_eq!(one("SELECT owner || kind FROM object WHERE name = 'app'"), "apitarget_group");
}

#[tokio::test]
async fn an_export_is_taken_in_elsewhere_whole() {
    let (here, there) = (tempdir().unwrap(), tempdir().unwrap());
    let from_file = file(&[target("f", "10.0.0.1:80"), target("g", "10.0.0.2:80")]);
    let house = House::open_with(here.path(), &from_file);
    house.apply(put_group("mine")).await.unwrap();
    house.apply(put_listener("front", "127.0.0.1:0", "mine")).await.unwrap();
    house.apply(put_target("app", "a", "10.0.0.3:80")).await.unwrap();
    house.apply(Change::Drain(group_name("app"), id("a"), true)).await.unwrap();
    house.apply(weigh("f", 9)).await.unwrap();
    house.apply(weigh("g", 8)).await.unwrap();
    let exported = house.store.export();
    let wanted = house.config();

    let other = House::open_with(there.path(), &file(&[target("f", "10.0.0.1:80"), target("g", "10.9.9.9:80")]));
    other.apply(put_group("old")).await.unwrap();
    other.apply(Change::Drain(group_name("app"), id("g"), true)).await.unwrap();
    let imported = other.store.import(&exported, Precondition::None).await.unwrap();
    assert_eq!(imported.revision, imported.before.revision + 1, "one change");
    let config = other.config();
    assert!(!config.groups.contains_key("old"), "what the API owned before is gone");
    assert!(config.groups.contains_key("mine") && config.listeners.contains_key("front"));
    let of = |config: &lb::model::Config, name: &str| {
        let held = config.target(&group_name("app"), &id(name)).unwrap().clone();
        (held.weight().get(), held.adjusted.draining)
    };
    assert_eq!(of(&config, "a"), (1, true));
    assert_eq!(of(&config, "f"), (9, false));
    assert_eq!(of(&config, "g"), (1, false), "the file there says something else of it");
    other.close().await;
    let other = House::open_with(there.path(), &file(&[target("f", "10.0.0.1:80"), target("g", "10.9.9.9:80")]));
    assert_eq!(of(&other.config(), "f"), (9, false), "durable");

    house.store.import(&exported, Precondition::None).await.unwrap();
    assert_eq!(*house.config(), *wanted, "taking in one's own export changes nothing");
}

#[tokio::test]
async fn an_import_that_does_not_fit_changes_nothing() {
    let dir = tempdir().unwrap();
    let house = House::open_with(dir.path(), &file(&[]));
    house.apply(put_group("mine")).await.unwrap();
    let before = house.config();
    for (document, why) in [
        (serde_json::json!({}), "`elbow_state` is missing"),
        (serde_json::json!({ "elbow_state": 2 }), "2 is out of range"),
        (serde_json::json!({ "elbow_state": 1, "target": [{ "target_group": "app" }] }), "`address` is missing"),
        (
            serde_json::json!({ "elbow_state": 1, "target_group": [{ "name": "app" }] }),
            "target group app belongs to file",
        ),
        (
            serde_json::json!({ "elbow_state": 1, "target": [{ "target_group": "gone", "address": "10.0.0.1:80" }] }),
            "there is no target group gone",
        ),
    ] {
        let error = house.store.import(&document, Precondition::None).await.unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
        assert_eq!(*house.config(), *before);
    }
}
