//! Reading the file again: all of it or nothing, and the reason with its place.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::path::PathBuf;

use common::*;
use control::file::{self, ReloadError, Reloader};
use lb::model::Change;
use tempfile::{TempDir, tempdir};

const FILE: &str = "[[listener]]\nname = \"web\"\nbind = \"127.0.0.1:0\"\ntarget_group = \"app\"\n\n\
                    [[target_group]]\nname = \"app\"\n[[target_group.target]]\nid = \"a\"\naddress = \"10.0.0.1:80\"\n";

struct Setting {
    dir: TempDir,
    house: House,
    reloader: Reloader,
}

impl Setting {
    fn new() -> Self {
        let dir = tempdir().unwrap();
        let path = dir.path().join("elbow.toml");
        std::fs::write(&path, FILE).unwrap();
        let loaded = file::load(&path, &|_| None).unwrap();
        let house = House::open_serving(&dir.path().join("state"), &loaded.declared, 1);
        let reloader = Reloader::new(Some(path), loaded.process, house.store.clone());
        Self { dir, house, reloader }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("elbow.toml")
    }

    fn write(&self, text: &str) {
        std::fs::write(self.path(), text).unwrap();
    }

    /// Reloads, sees to it that it is refused and that nothing was changed, and says why.
    async fn refused(&self) -> String {
        let before = self.house.config();
        let error = self.reloader.reload().await.unwrap_err();
        assert_eq!(*self.house.config(), *before, "nothing was changed");
        assert!(!self.reloader.last_succeeded());
        error.to_string().replace(&format!("{}:", self.path().display()), "")
    }
}

#[tokio::test]
async fn a_reload_says_what_is_different() {
    let setting = Setting::new();
    let before = setting.house.config();
    let nothing = setting.reloader.reload().await.unwrap();
    assert_eq!(nothing.revision, before.revision);
    assert!(nothing.added.is_empty() && nothing.changed.is_empty() && nothing.removed.is_empty() && !nothing.global);

    let text =
        FILE.replace("id = \"a\"", "id = \"b\"").replace("name = \"app\"\n", "name = \"app\"\ninitial_wait = \"1s\"\n");
    setting.write(&format!("[shutdown]\ntimeout = \"1s\"\n{text}"));
    let reloaded = setting.reloader.reload().await.unwrap();
    assert_eq!(reloaded.revision, before.revision + 1);
    let words = |objects: &[lb::model::ObjectRef]| objects.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(words(&reloaded.added), ["target b of target group app"]);
    assert_eq!(words(&reloaded.removed), ["target a of target group app"]);
    assert_eq!(words(&reloaded.changed), ["target group app"]);
    assert!(reloaded.global && setting.reloader.last_succeeded());
}

#[tokio::test]
async fn a_wrong_file_changes_nothing() {
    let setting = Setting::new();
    setting.write(&FILE.replace("127.0.0.1:0", "127.0.0.1:x"));
    let refused = setting.refused().await;
    assert!(refused.starts_with("3:8: \"127.0.0.1:x\" is not an address to listen on"), "{refused}");
    std::fs::remove_file(setting.path()).unwrap();
    assert!(setting.refused().await.contains("No such file"));
    setting.write(FILE);
    setting.reloader.reload().await.unwrap();
    assert!(setting.reloader.last_succeeded());
}

#[tokio::test]
async fn what_takes_a_restart_is_refused_naming_it() {
    let setting = Setting::new();
    let text = "[admin]\nlisten = \"127.0.0.1:9901\"\n[state]\ndir = \"/elsewhere\"\n[workers]\ncount = 3\n";
    setting.write(&format!("{text}{FILE}"));
    let expected = "[admin] listen, [state] dir, [workers] count cannot change while elbow runs: restart it, or put the \
                    old value back";
    assert_eq!(setting.refused().await, expected);
}

#[tokio::test]
async fn what_belongs_to_the_api_is_refused_with_its_place() {
    let setting = Setting::new();
    setting.house.apply(put_target("app", "b", "10.0.0.2:80")).await.unwrap();
    setting.write(&format!("{FILE}[[target_group.target]]\nid = \"b\"\naddress = \"10.0.0.2:80\"\n"));
    let expected =
        "12:6: target b of target group app belongs to api: change it there\n  hint: or take it out of the file";
    assert_eq!(setting.refused().await, expected);
    setting.write("");
    let expected = "1:1: target group app is still in use by targets b (api)\n  hint: leave it in the file until nothing \
                    needs it any more";
    assert_eq!(setting.refused().await, expected);
    let delete = Change::DeleteTarget(lb::model::Origin::Api, group_name("app"), id("b"));
    setting.house.apply(delete).await.unwrap();
    setting.reloader.reload().await.unwrap();
    assert!(setting.house.config().groups.is_empty());
}

#[tokio::test]
async fn an_address_that_cannot_be_had_is_refused_with_its_place() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let setting = Setting::new();
    let bind = taken.local_addr().unwrap();
    setting.write(&FILE.replace("127.0.0.1:0", &bind.to_string()));
    let refused = setting.refused().await;
    assert!(refused.starts_with(&format!("3:8: listener web cannot bind {bind}: Address already in use")), "{refused}");
}

#[tokio::test]
async fn an_access_log_that_cannot_be_opened_is_refused() {
    let setting = Setting::new();
    let path = setting.dir.path().join("missing/access.log");
    setting.write(&format!("[access_log]\npath = \"{}\"\n{FILE}", path.display()));
    let refused = setting.refused().await;
    assert!(refused.starts_with(&format!("access log {}: No such file", path.display())), "{refused}");
}

#[tokio::test]
async fn without_a_file_there_is_nothing_to_reload() {
    let setting = Setting::new();
    let reloader = Reloader::new(None, control::schema::ProcessSettings::default(), setting.house.store.clone());
    assert!(matches!(reloader.reload().await, Err(ReloadError::NoFile)));
}
