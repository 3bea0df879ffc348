//! Files of certificates: what is wrong with them is told with its place, what is changed is taken over, and a
//! certificate that the API was given outlives a restart with its key.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../../tests/harness/ca.rs"]
#[allow(dead_code, unreachable_pub, missing_docs, reason = "it is the vocabulary of another test binary too")]
mod ca;
mod common;

use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use ca::{Ca, DAY, Issued, Kind};
use common::House;
use control::certificates::{Ended, Keeper};
use control::file;
use control::schema;
use control::store::Refused;
use lb::model::{CertificateName, Change, ClientAuth, ListenerName, Origin, Rejected};
use serde_json::json;

const FILE: &str = r#"
[[certificate]]
name = "shop"
cert = "DIR/cert.pem"
key = "DIR/key.pem"
[[listener]]
name = "web"
bind = "127.0.0.1:0"
protocol = "https"
certificates = ["shop"]
target_group = "app"
[[target_group]]
name = "app"
"#;

/// A directory with a configuration and its files.
struct Files(tempfile::TempDir);

impl Files {
    fn with(certificate: &str, key: &str) -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        files.write("cert.pem", certificate);
        files.write("key.pem", key);
        files.configure(FILE);
        files
    }

    fn configure(&self, text: &str) {
        self.write("elbow.toml", &text.replace("DIR", self.0.path().to_str().unwrap()));
    }

    /// Writes beside and renames, as whoever renews certificates does.
    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.path().join("new"), text).unwrap();
        std::fs::rename(self.0.path().join("new"), self.0.path().join(name)).unwrap();
    }

    fn load(&self, ended: Ended<'_>) -> Result<file::Loaded, String> {
        let loaded = file::load_with(&self.0.path().join("elbow.toml"), &|_| None, ended);
        let directory = self.0.path().to_str().unwrap();
        loaded.map_err(|error| error.to_string().replace(directory, "DIR"))
    }
}

fn issued() -> Issued {
    Ca::new("CA").issue(&["shop.example"])
}

fn shop() -> CertificateName {
    CertificateName::parse("shop").unwrap()
}

#[test]
fn what_is_wrong_with_a_file_is_told_with_its_place() {
    let ca = Ca::new("CA");
    let good = ca.issue(&["shop.example"]);
    let now = SystemTime::now();
    let over = ca.issue_between(&["shop.example"], now - 3 * DAY, now - DAY);
    let early = ca.issue_between(&["shop.example"], now + 2 * DAY, now + 9 * DAY);
    let other = ca.issue(&["shop.example"]).key;
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let old_encrypted = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n";
    let torn = &good.certificate[..good.certificate.len() / 2];
    let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let cert = "4:8: DIR/cert.pem: ";
    let key = "5:7: DIR/key.pem: ";
    let cases = [
        (good.certificate.as_str(), other.as_str(), key, "the private key does not belong to the certificate"),
        (&good.certificate, encrypted, key, "the private key is encrypted"),
        (&good.certificate, old_encrypted, key, "the private key is encrypted"),
        (&good.certificate, "", key, "it holds no private key in PEM"),
        (&good.certificate, &good.certificate, key, "it holds no private key in PEM"),
        ("", &good.key, cert, "it holds no certificate in PEM"),
        ("hello", &good.key, cert, "it holds no certificate in PEM"),
        (&good.key, &good.key, cert, "it holds no certificate in PEM"),
        (torn, &good.key, cert, "it is not valid PEM"),
        (garbage, &good.key, cert, "certificate 1 in it cannot be read"),
        (&over.certificate, &over.key, "4:8: ", "the certificate has expired: it ended on 2"),
        (&early.certificate, &early.key, "4:8: ", "the certificate does not hold yet: it begins on 2"),
    ];
    for (certificate, key, place, why) in cases {
        let told = Files::with(certificate, key).load(Ended::Refused).expect_err(why);
        assert!(told.starts_with(&format!("DIR/elbow.toml:{place}")), "{place} in {told}");
        assert!(told.contains(why), "{why:?} in {told}");
    }
    let files = Files::with(&good.certificate, &good.key);
    std::fs::remove_file(files.0.path().join("key.pem")).unwrap();
    let told = files.load(Ended::Refused).unwrap_err();
    assert!(told.starts_with("DIR/elbow.toml:5:7: cannot read DIR/key.pem: No such file"), "{told}");
}

#[test]
fn who_vouches_for_clients_is_read_and_looked_at() {
    let good = issued();
    let files = Files::with(&good.certificate, &good.key);
    let asks = "certificates = [\"shop\"]\nclient_auth = \"require\"\nclient_ca = \"DIR/ca.pem\"";
    files.configure(&FILE.replace("certificates = [\"shop\"]", asks));
    let told = files.load(Ended::Refused).unwrap_err();
    assert!(told.contains(":12:13: cannot read DIR/ca.pem"), "{told}");
    files.write("ca.pem", "nobody");
    let told = files.load(Ended::Refused).unwrap_err();
    assert!(told.contains(":12:13: DIR/ca.pem: it holds no certificate in PEM"), "{told}");
    let ca = Ca::new("Clients");
    files.write("ca.pem", ca.pem());
    let loaded = files.load(Ended::Refused).unwrap();
    let ClientAuth::Require(trusted) = &loaded.declared.listeners[0].tls.as_ref().unwrap().client_auth else {
        panic!("it asks for certificates")
    };
    assert_eq!(&*trusted.pem, ca.pem());
}

#[test]
fn a_key_of_any_usual_kind_is_taken() {
    for kind in [Kind::Ecdsa, Kind::Rsa] {
        let issued = Ca::new("CA").issue_with(&["shop.example"], kind, |_| {});
        Files::with(&issued.certificate, &issued.key).load(Ended::Refused).unwrap();
    }
}

#[tokio::test]
async fn what_has_ended_stays_where_it_is_in_use() {
    let now = SystemTime::now();
    let over = Ca::new("CA").issue_between(&["shop.example"], now - 3 * DAY, now - DAY);
    let files = Files::with(&over.certificate, &over.key);
    let declared = files.load(Ended::Taken).unwrap().declared;
    let state = tempfile::tempdir().unwrap();
    let house = House::open_with(state.path(), &declared);
    let config = house.config();
    files.load(Ended::RefusedUnlessIn(&config)).unwrap();
    let another = Ca::new("CA").issue_between(&["shop.example"], now - 3 * DAY, now - DAY);
    files.write("cert.pem", &another.certificate);
    files.write("key.pem", &another.key);
    let told = files.load(Ended::RefusedUnlessIn(&config)).unwrap_err();
    assert!(told.contains("expired"), "{told}");
    house.close().await;
}

async fn eventually(what: &str, house: &House, holds: impl Fn(&lb::model::Config) -> bool) {
    let started = Instant::now();
    while !holds(&house.config()) {
        assert!(started.elapsed() < Duration::from_secs(20), "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn chain(config: &lb::model::Config, name: &str) -> String {
    config.certificates[&CertificateName::parse(name).unwrap()].wanted.chain.to_string()
}

#[tokio::test]
async fn changed_files_are_taken_over_once_they_fit() {
    let (first, second, third) = (issued(), issued(), issued());
    let files = Files::with(&first.certificate, &first.key);
    let zoo = "[[certificate]]\nname = \"zoo\"\ncert = \"DIR/zoo.pem\"\nkey = \"DIR/zoo-key.pem\"\n";
    files.configure(&format!("{zoo}{FILE}"));
    files.write("zoo.pem", &first.certificate);
    files.write("zoo-key.pem", &first.key);
    let state = tempfile::tempdir().unwrap();
    let house = House::open_with(state.path(), &files.load(Ended::Refused).unwrap().declared);
    let keeper = Keeper::start(house.store.clone(), house.live.clone()).await;
    files.write("cert.pem", &second.certificate);
    files.write("zoo.pem", &third.certificate);
    files.write("zoo-key.pem", &third.key);
    // Of the two pairs, which changed at once, it looks at this one last.
    eventually("the other certificate", &house, |config| chain(config, "zoo") == third.certificate).await;
    assert_eq!(chain(&house.config(), "shop"), first.certificate, "half of a pair is not taken over");
    files.write("key.pem", &second.key);
    let revision = house.config().revision;
    eventually("the new certificate", &house, |config| chain(config, "shop") == second.certificate).await;
    let held = house.config().certificates[&shop()].clone();
    assert_eq!((held.origin, held.revision), (Origin::File, revision + 1));
    assert_eq!(&*house.live.load().credentials[&shop()].held.wanted.chain, second.certificate);
    drop(keeper);
    house.close().await;
}

#[tokio::test]
async fn what_is_replaced_before_the_first_look_is_not_missed() {
    let (first, second) = (issued(), issued());
    let files = Files::with(&first.certificate, &first.key);
    let asks = "certificates = [\"shop\"]\nclient_auth = \"require\"\nclient_ca = \"DIR/ca.pem\"";
    files.configure(&FILE.replace("certificates = [\"shop\"]", asks));
    files.write("ca.pem", Ca::new("Clients").pem());
    let declared = files.load(Ended::Refused).unwrap().declared;
    let other = Ca::new("Others");
    files.write("ca.pem", other.pem());
    files.write("cert.pem", &second.certificate);
    files.write("key.pem", &second.key);
    let state = tempfile::tempdir().unwrap();
    let house = House::open_with(state.path(), &declared);
    let keeper = Keeper::start(house.store.clone(), house.live.clone()).await;
    eventually("the new certificate", &house, |config| chain(config, "shop") == second.certificate).await;
    eventually("who vouches for clients now", &house, |config| {
        let listener = &config.listeners[&ListenerName::parse("web").unwrap()].wanted;
        listener.tls.as_ref().and_then(|tls| tls.client_auth.ca()).is_some_and(|ca| *ca.pem == *other.pem())
    })
    .await;
    drop(keeper);
    house.close().await;
}

#[tokio::test]
async fn what_the_api_was_given_outlives_a_restart() {
    let state = tempfile::tempdir().unwrap();
    let house = House::open(state.path());
    let given = issued();
    let body = json!({ "certificate": given.certificate, "key": given.key, "arn": "arn:aws:acm:x" });
    let certificate = schema::read_certificate(&shop(), &body).unwrap();
    house.apply(Change::PutCertificate(Origin::Api, certificate.clone())).await.unwrap();
    let listener =
        json!({ "bind": "127.0.0.1:0", "protocol": "https", "certificates": ["shop"], "target_group": "app" });
    let listener = schema::read_listener(&ListenerName::parse("web").unwrap(), &listener).unwrap();
    house.apply(Change::PutTargetGroup(Origin::Api, common::group("app"))).await.unwrap();
    house.apply(Change::PutListener(Origin::Api, listener)).await.unwrap();
    let refused = house.apply(Change::DeleteCertificate(Origin::Api, shop())).await.unwrap_err();
    assert!(matches!(refused, Refused::Rejected(Rejected::InUse { .. })), "{refused}");
    let keeper = Keeper::start(house.store.clone(), house.live.clone()).await;
    eventually("a key for tickets", &house, |config| config.ticket_keys.newest().is_some()).await;
    let before = house.config();
    drop(keeper);
    house.close().await;
    let house = House::open(state.path());
    let after = house.config();
    assert_eq!(after.certificates[&shop()].wanted, certificate);
    assert_eq!(after.certificates[&shop()].revision, before.certificates[&shop()].revision);
    assert_eq!(after.ticket_keys.iter().count(), 1);
    assert_eq!(after.ticket_keys.newest().unwrap().secret, before.ticket_keys.newest().unwrap().secret);
    house.close().await;
    for entry in std::fs::read_dir(state.path()).unwrap() {
        use std::os::unix::fs::PermissionsExt;
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{} is readable by others", entry.path().display());
    }
    assert!(Path::new(state.path()).join("elbow.db").exists());
}
