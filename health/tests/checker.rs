//! The checker over real sockets: what it makes of targets that pass, fail, change, leave and come back.

#[path = "../../lb/tests/common/mod.rs"]
mod common;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use common::house::{DEADLINE, House};
use common::{Want, group_name};
use health::Checker;
use lb::model::{HealthCheckProtocol, HttpQuestion, Matcher, Threshold};
use lb::state::Snapshot;
use lb::state::TargetState::{Draining, Healthy, Initial, Unhealthy, Unused};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A target whose answer to probes can be switched, and which counts them.
struct Probed {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    failing: AtomicBool,
    stalling: AtomicBool,
    probes: AtomicUsize,
}

impl Probed {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port on loopback");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared::default());
        let task = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self { address, shared, task }
    }

    fn address(&self) -> String {
        self.address.to_string()
    }

    fn fail(&self, failing: bool) {
        self.shared.failing.store(failing, SeqCst);
    }

    fn stall(&self) {
        self.shared.stalling.store(true, SeqCst);
    }

    fn probes(&self) -> usize {
        self.shared.probes.load(SeqCst)
    }

    async fn until_probed(&self, times: usize) {
        let wait = async {
            while self.probes() < times {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(DEADLINE, wait).await.expect("probed in time");
    }
}

impl Drop for Probed {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let Ok((mut stream, _)) = listener.accept().await else { return };
        shared.probes.fetch_add(1, SeqCst);
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).await;
            if !shared.stalling.load(SeqCst) {
                let status = if shared.failing.load(SeqCst) { "503 Down" } else { "200 OK" };
                let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                let _ = stream.write_all(answer.as_bytes()).await;
            }
            // Until the probe closes its end.
            let _ = stream.read(&mut request).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

/// A group `app` behind a listener, whose targets are checked every `interval_ms`.
fn checked(interval_ms: u64) -> Want {
    Want::new().listener("web", "app").set("app", |group| {
        let check = &mut group.health_check;
        check.interval = Duration::from_millis(interval_ms);
        check.timeout = Duration::from_millis(interval_ms) / 2;
        check.protocol = HealthCheckProtocol::Http(HttpQuestion {
            path: "/".into(),
            host: None,
            headers: Vec::new(),
            matcher: Matcher::parse("200-299").expect("legal"),
        });
    })
}

fn start(want: &Want) -> (House, Checker) {
    let house = House::start(want);
    let checker = Checker::start(Arc::clone(&house.live), house.observer.clone());
    (house, checker)
}

/// An interval that no test waits for.
const LONG_MS: u64 = 100_000;

#[tokio::test]
async fn one_passed_probe_at_once_makes_a_new_target_healthy() {
    let probed = Probed::start().await;
    let want = checked(LONG_MS);
    let (house, _checker) = start(&want);
    let began = Instant::now();
    house.publish(&want.target("app", "a", &probed.address())).await;
    house.until_state("a", Healthy).await;
    assert!(began.elapsed() < DEADLINE);
    assert_eq!(probed.probes(), 1);
    assert_eq!(house.reason("a"), format!("passes its check: GET {}/", probed.address));
    let snapshot = house.live.load();
    let metrics = &snapshot.pool_of(&group_name("app")).expect("a pool").metrics;
    assert_eq!((metrics.probes_passed.get(), metrics.probes_failed.get()), (1, 0));
}

#[tokio::test]
async fn thresholds_turn_a_verdict_and_the_reason_says_why() {
    let probed = Probed::start().await;
    let want = checked(100).target("app", "a", &probed.address());
    let (house, _checker) = start(&want);
    house.until_state("a", Healthy).await;
    let probes = probed.probes();
    probed.fail(true);
    house.until_state("a", Unhealthy).await;
    assert!(probed.probes() >= probes + 2);
    let reason = house.reason("a");
    let expected = format!("HTTP 503, expected 200-299, from {}/, failing since 20", probed.address);
    assert!(reason.starts_with(&expected), "{reason}");
    let since = house.live.load().groups().next().expect("a pool").members[0].since;
    let probes = probed.probes();
    probed.until_probed(probes + 2).await;
    assert_eq!(house.reason("a"), reason);
    assert_eq!(house.live.load().groups().next().expect("a pool").members[0].since, since);
    probed.fail(false);
    let probes = probed.probes();
    house.until_state("a", Healthy).await;
    assert!(probed.probes() >= probes + 2);
}

#[tokio::test]
async fn a_target_that_recovers_is_told_from_one_that_fails() {
    let probed = Probed::start().await;
    let ten = Threshold::new(10).expect("legal");
    let want = checked(200).set("app", |group| group.health_check.healthy_threshold = ten);
    let (house, _checker) = start(&want.target("app", "a", &probed.address()));
    // The first check alone makes a new target healthy, whatever the threshold is.
    house.until_state("a", Healthy).await;
    probed.fail(true);
    house.until_state("a", Unhealthy).await;
    let recovers =
        |recovering| move |snapshot: &Snapshot| snapshot.groups().any(|pool| pool.members[0].recovering == recovering);
    assert!(recovers(false)(&house.live.load()));
    probed.fail(false);
    house.until(recovers(true)).await;
    assert_eq!(house.state("a"), Some(Unhealthy));
    assert_eq!(house.reason("a"), "passed its last check; 10 in a row make it healthy");
    probed.fail(true);
    house.until(recovers(false)).await;
    assert!(house.reason("a").starts_with("HTTP 503"), "{}", house.reason("a"));
}

#[tokio::test]
async fn a_new_target_that_fails_is_initial_with_a_reason_and_then_unhealthy() {
    let probed = Probed::start().await;
    probed.fail(true);
    let want = checked(200).target("app", "a", &probed.address());
    let (house, _checker) = start(&want);
    house.until(|snapshot| snapshot.groups().any(|pool| pool.members[0].reason.contains("HTTP 503"))).await;
    assert_eq!(house.state("a"), Some(Initial));
    house.until_state("a", Unhealthy).await;
}

#[tokio::test]
async fn health_survives_a_weight_and_a_changed_check() {
    let probed = Probed::start().await;
    let want = checked(LONG_MS).target("app", "a", &probed.address());
    let (house, _checker) = start(&want);
    house.until_state("a", Healthy).await;
    let backend = house.backend("a").id;
    house.publish(&want.clone().weighted("app", "a", &probed.address(), 7)).await;
    assert_eq!(house.state("a"), Some(Healthy));
    assert_eq!(house.backend("a").id, backend);
    // Another check: the verdict stands until the new check has had its threshold of failures.
    probed.fail(true);
    let two = Threshold::new(2).expect("legal");
    let want = want.set("app", |group| {
        group.health_check.interval = Duration::from_millis(100);
        group.health_check.timeout = Duration::from_millis(90);
        group.health_check.unhealthy_threshold = two;
    });
    house.publish(&want).await;
    assert_eq!(house.state("a"), Some(Healthy));
    house.until_state("a", Unhealthy).await;
    assert!(probed.probes() >= 3);
    assert_eq!(house.backend("a").id, backend);
}

#[tokio::test]
async fn a_target_that_moves_starts_clean_and_its_old_address_is_let_be() {
    let (old, new) = (Probed::start().await, Probed::start().await);
    new.stall();
    let want = checked(400).target("app", "a", &old.address());
    let (house, _checker) = start(&want);
    house.until_state("a", Healthy).await;
    let before = house.backend("a");
    let _work = before.begin(0).expect("takes work");
    house.publish(&want.target("app", "a", &new.address())).await;
    assert_eq!(house.state("a"), Some(Initial));
    assert_ne!(house.backend("a").id, before.id);
    new.until_probed(2).await;
    // In the time of two probes there the old address, which is leaving, had at most the one that was under way.
    let probes = old.probes();
    new.until_probed(4).await;
    assert_eq!(old.probes(), probes);
}

#[tokio::test]
async fn what_leaves_rests_and_is_probed_when_it_is_called_back() {
    let (probed, other) = (Probed::start().await, Probed::start().await);
    let want = checked(100).target("app", "a", &probed.address()).target("app", "b", &other.address());
    let (house, _checker) = start(&want);
    house.until_state("a", Healthy).await;
    house.until_state("b", Healthy).await;
    let _work = house.backend("a").begin(0).expect("takes work");
    house.publish(&want.clone().without("app", "a")).await;
    assert_eq!(house.state("a"), Some(Draining));
    // In the time of two probes of another, it had at most the one that was under way.
    other.until_probed(other.probes() + 2).await;
    let probes = probed.probes();
    other.until_probed(other.probes() + 3).await;
    assert_eq!(probed.probes(), probes);
    house.publish(&want).await;
    assert_eq!(house.state("a"), Some(Healthy));
    probed.until_probed(probes + 1).await;
}

#[tokio::test]
async fn what_is_of_no_use_is_not_probed_and_starts_clean_when_it_is() {
    let probed = Probed::start().await;
    let want = checked(LONG_MS).group("other").target("app", "a", &probed.address());
    let (house, _checker) = start(&want);
    house.until_state("a", Healthy).await;
    house.publish(&want.clone().listener("web", "other")).await;
    assert_eq!(house.state("a"), Some(Unused));
    probed.stall();
    house.publish(&want).await;
    assert_eq!(house.state("a"), Some(Initial));
    probed.until_probed(2).await;
}

#[tokio::test]
async fn no_more_probes_are_under_way_than_may_be() {
    let probed = Probed::start().await;
    probed.stall();
    let mut want = checked(20_000);
    for index in 0..300 {
        want = want.target("app", &format!("t{index}"), &probed.address());
    }
    let (_house, _checker) = start(&want);
    probed.until_probed(256).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(probed.probes(), 256);
}

#[tokio::test]
async fn dropping_the_checker_ends_its_probes() {
    let probed = Probed::start().await;
    let want = checked(100).target("app", "a", &probed.address());
    let (house, checker) = start(&want);
    house.until_state("a", Healthy).await;
    drop(checker);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let probes = probed.probes();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(probed.probes(), probes);
}
