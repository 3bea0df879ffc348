//! Crashes: a change that was answered is there after kill -9 at any moment, none is there by half, and state that
//! cannot be trusted is never replaced.

use std::collections::BTreeMap;

use rand::Rng;

use crate::harness::*;

const ROUNDS: usize = 50;
const WRITERS: usize = 4;
const TARGETS_PER_WRITER: usize = 5;

/// What is registered: an address and a weight that belong together, or nothing.
type Registered = Option<(String, u64)>;

/// What a writer was told about one target, and what it asked for since without having been answered.
#[derive(Debug, Default, Clone)]
struct Told {
    answered: Registered,
    asked: Option<Registered>,
}

/// The `version`th state of a target: address and weight both tell it, so that a torn one shows.
fn state_of(version: u64) -> (String, u64) {
    (format!("127.0.0.1:{}", 10_000 + version % 1000), version % 1000)
}

/// Registers, changes and deregisters its own targets until elbow dies.
async fn write(admin: Admin, writer: usize, mut told: BTreeMap<String, Told>) -> BTreeMap<String, Told> {
    loop {
        let number = rand::rng().random_range(0..TARGETS_PER_WRITER);
        let id = format!("w{writer}-{number}");
        let path = format!("/v1/target-groups/app/targets/{id}");
        let leaves = rand::rng().random_bool(0.3);
        let (wanted, bytes) = if leaves {
            (None, admin.bytes("DELETE", &path, ""))
        } else {
            let (address, weight) = state_of(rand::rng().random_range(0..1000));
            let body = format!("{{\"address\": \"{address}\", \"weight\": {weight}}}");
            (Some((address, weight)), admin.bytes("PUT", &path, &body))
        };
        let entry = told.entry(id).or_default();
        entry.asked = Some(wanted.clone());
        let Some(status) = ask(&admin, &bytes).await else { return told };
        match status {
            200..=202 => entry.answered = wanted,
            404 if leaves => assert_eq!(entry.answered, None, "an answered registration is not found"),
            other => panic!("{other} to {}", String::from_utf8_lossy(&bytes)),
        }
        entry.asked = None;
    }
}

/// The status of the answer; `None` when elbow died before it was complete.
async fn ask(admin: &Admin, bytes: &[u8]) -> Option<u16> {
    let mut client = Client::try_connect(admin.address).await?;
    client.send(bytes).await;
    client.try_response().await.ok().map(|response| response.status)
}

/// Everything the API owns, as it stands.
async fn registered(lb: &Lb) -> BTreeMap<String, (String, u64)> {
    let targets = lb.admin().targets("app").await;
    let held = targets.iter().filter(|target| target["state"] != "draining").map(|target| {
        let text = |key: &str| target[key].as_str().unwrap().to_owned();
        (text("id"), (text("address"), target["weight"].as_u64().unwrap()))
    });
    held.collect()
}

#[tokio::test]
async fn a_kill_at_any_moment_loses_no_answered_change_and_tears_none() {
    let slow = "protocol = \"tcp\"\ninterval = \"300s\"\ntimeout = \"1s\"";
    let mut lb = Setup::default().health_check(slow).start_cold().await;
    let mut told: Vec<BTreeMap<String, Told>> = vec![BTreeMap::new(); WRITERS];
    let mut answered_in_all = 0;
    for round in 0..ROUNDS {
        let writers = told.into_iter().enumerate();
        let writing: Vec<_> =
            writers.map(|(writer, told)| tokio::spawn(write(lb.admin().clone(), writer, told))).collect();
        pause(ms(rand::rng().random_range(0..120))).await;
        lb.kill9().await;
        told = Vec::new();
        for writer in writing {
            told.push(within("a writer", PATIENCE, writer).await.expect("a writer failed"));
        }
        lb.start_again().await;
        let there = registered(&lb).await;
        for (id, told) in told.iter_mut().flatten() {
            let now = there.get(id).cloned();
            let legal = now == told.answered || told.asked.as_ref() == Some(&now);
            assert!(legal, "round {round}: {id} is {now:?}, but {told:?}");
            answered_in_all += usize::from(told.answered.is_some());
            *told = Told { answered: now, asked: None };
        }
        let known = told.iter().map(BTreeMap::len).sum::<usize>();
        assert!(there.len() <= known, "round {round}: {there:?} holds what nobody asked for");
    }
    assert!(answered_in_all > ROUNDS, "hardly anything was registered: the test tested nothing");
}

/// The file that holds the state.
fn database(lb: &Lb) -> std::path::PathBuf {
    let entries = std::fs::read_dir(lb.state_dir()).unwrap().map(|entry| entry.unwrap().path());
    let databases: Vec<_> =
        entries.filter(|path| std::fs::read(path).is_ok_and(|bytes| bytes.starts_with(b"SQLite format 3"))).collect();
    assert_eq!(databases.len(), 1, "{databases:?}");
    databases.into_iter().next().unwrap()
}

/// Starts elbow on a state that it has to refuse, and checks that it left it alone.
async fn assert_refused(lb: &mut Lb, told: &[&str]) {
    let path = database_or_damaged(lb);
    let before = std::fs::read(&path).unwrap();
    let output = lb.start_refused().await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(path.to_str().unwrap()) || said.contains(lb.state_dir().to_str().unwrap()), "where: {said}");
    for word in told {
        assert!(said.to_lowercase().contains(word), "{word:?} is missing: {said}");
    }
    assert_eq!(std::fs::read(&path).unwrap(), before, "the file was changed");
}

fn database_or_damaged(lb: &Lb) -> std::path::PathBuf {
    let mut files: Vec<_> = std::fs::read_dir(lb.state_dir()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "db" || extension == "sqlite"));
    assert_eq!(files.len(), 1, "{files:?}");
    files.remove(0)
}

#[tokio::test]
async fn a_damaged_state_is_refused_and_left_alone() {
    for damage in [&b"this is no database at all, but it might have been one"[..], &b"SQLite format 3\0torn"[..]] {
        let mut lb = Setup::default().start_cold().await;
        lb.admin().put("/v1/target-groups/extra", "{}").await;
        lb.stop().await;
        std::fs::write(database(&lb), damage).unwrap();
        assert_refused(&mut lb, &["state"]).await;
    }
}

#[tokio::test]
async fn damage_in_the_middle_is_refused_and_left_alone() {
    let mut lb = Setup::default().start_cold().await;
    for number in 0..200 {
        lb.admin().put(&format!("/v1/target-groups/group-{number}"), "{}").await;
    }
    lb.stop().await;
    let path = database(&lb);
    let mut bytes = std::fs::read(&path).unwrap();
    for page in bytes.chunks_mut(4096).skip(2) {
        let middle = page.len() / 2;
        page[..middle].fill(0xA5);
    }
    std::fs::write(&path, bytes).unwrap();
    assert_refused(&mut lb, &["state"]).await;
}

#[tokio::test]
async fn state_of_a_newer_version_is_refused_and_left_alone() {
    let mut lb = Setup::default().start_cold().await;
    lb.admin().put("/v1/target-groups/extra", "{}").await;
    lb.stop().await;
    let path = database(&lb);
    // SQLite keeps its user's version of a database at byte 60 of the file, big-endian.
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[60..64].copy_from_slice(&999_999_u32.to_be_bytes());
    std::fs::write(&path, bytes).unwrap();
    assert_refused(&mut lb, &["newer"]).await;
}

#[tokio::test]
async fn a_second_elbow_on_the_same_state_says_who_holds_it() {
    let mut lb = Setup::default().start_cold().await;
    let pid = lb.pid().to_string();
    let output = lb.start_refused().await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(&pid), "it names the process {pid}: {said}");
    assert!(lb.runs());
    assert_eq!(lb.admin().get("/v1/config").await.status, 200);
    lb.kill9().await;
    lb.start_again().await;
}

#[tokio::test]
async fn a_crash_leaves_nothing_that_misleads_the_next_start() {
    let upstream = Upstream::answering("ok").await;
    let mut lb = Setup::targets(&[&upstream]).start().await;
    lb.kill9().await;
    assert!(lb.state_dir().join("run.json").exists());
    let token = lb.admin().token.clone();
    lb.start_again().await;
    assert_eq!(lb.admin().token, token, "the token stays");
    assert_eq!(lb.get("/").await.text(), "ok");
}
