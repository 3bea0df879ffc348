//! A store over a state directory of its own, with a real publisher and no workers, and short ways to say what is wanted.

#![allow(dead_code, clippy::unwrap_used, reason = "each test binary uses its part, and fails by panicking")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use control::store::{self, Applied, Opened, Precondition, Refused, Store, StoreThread};
use lb::listen::BoundSockets;
use lb::model::{
    Change, Config, Declared, Discovery, Ec2Address, Ec2Discovery, Forward, GroupName, HostPort, Listener,
    ListenerName, Origin, Target, TargetGroup, TargetId, Weight,
};
use lb::state::{Live, Now, Observed, Observer, Publisher, Wanted, compile};

/// A running store and what it runs on.
pub(crate) struct House {
    pub(crate) store: Store,
    pub(crate) thread: StoreThread,
    pub(crate) live: Arc<Live>,
    _observer: Observer,
}

impl House {
    /// Opens a state directory with a file that declares nothing.
    pub(crate) fn open(state_dir: &Path) -> Self {
        Self::open_with(state_dir, &Declared::default())
    }

    /// Opens a state directory with a file.
    pub(crate) fn open_with(state_dir: &Path, file: &Declared) -> Self {
        Self::open_serving(state_dir, file, 0)
    }

    /// Opens a state directory with a file, and sockets for workers (that take up whatever comes).
    pub(crate) fn open_serving(state_dir: &Path, file: &Declared, workers: usize) -> Self {
        Self::start(store::open(state_dir).expect("the state directory opens"), file, workers)
    }

    /// Starts on what was opened.
    pub(crate) fn start(opened: Opened, file: &Declared, workers: usize) -> Self {
        let config = Arc::new(opened.wanted_with(file).expect("the file fits what is kept"));
        let sockets = lb::listen::bind(&BoundSockets::new(), &config, workers).expect("the listeners can be bound");
        let wanted = Wanted { config: Arc::clone(&config), sockets: sockets.clone(), workers };
        let now = Now { instant: Instant::now(), wall: SystemTime::now() };
        let live = Arc::new(Live::new(compile(&wanted, &Observed::default(), None, now), workers));
        for worker in 0..workers {
            live.take_up(worker, u64::MAX);
        }
        let (observer, observations) = Observer::new();
        let publisher = Publisher::start(&live, wanted, observations);
        let started = opened.start(config, sockets, publisher, Arc::clone(&live), workers);
        let (store, thread) = started.expect("the store starts");
        Self { store, thread, live, _observer: observer }
    }

    pub(crate) fn config(&self) -> Arc<Config> {
        Arc::clone(&self.live.load().config)
    }

    pub(crate) async fn apply(&self, change: Change) -> Result<Applied, Refused> {
        self.store.apply(vec![change], Precondition::None).await
    }

    /// Ends the store in order.
    pub(crate) async fn close(self) {
        let Self { store, mut thread, .. } = self;
        drop(store);
        thread.ended().await.expect("the store ends in order");
    }
}

pub(crate) fn group_name(name: &str) -> GroupName {
    GroupName::parse(name).unwrap()
}

pub(crate) fn id(id: &str) -> TargetId {
    TargetId::parse(id).unwrap()
}

pub(crate) fn group(name: &str) -> TargetGroup {
    TargetGroup::new(group_name(name))
}

pub(crate) fn target(id: &str, address: &str) -> Target {
    let id = TargetId::parse(id).unwrap();
    Target { id, address: HostPort::parse(address).unwrap(), weight: Weight::default(), zone: None }
}

pub(crate) fn listener(name: &str, bind: &str, to: &str) -> Listener {
    Listener::new(ListenerName::parse(name).unwrap(), bind.parse().unwrap(), Forward::to(group_name(to)))
}

pub(crate) fn put_group(name: &str) -> Change {
    Change::PutTargetGroup(Origin::Api, group(name))
}

pub(crate) fn put_target(to: &str, id: &str, address: &str) -> Change {
    Change::PutTarget(Origin::Api, group_name(to), target(id, address))
}

pub(crate) fn put_listener(name: &str, bind: &str, to: &str) -> Change {
    Change::PutListener(Origin::Api, listener(name, bind, to))
}

pub(crate) fn discovery() -> Discovery {
    Discovery::Ec2(Ec2Discovery {
        tags: [("role".into(), vec!["web".into()])].into(),
        asg: None,
        region: None,
        address: Ec2Address::Private,
        port: Some(80),
        port_tag: None,
        weight_tag: None,
        interval: Duration::from_secs(15),
        complete_lifecycle_action: None,
        set_instance_health: false,
    })
}

/// A file with one group `app`, a listener `web` to it, and these targets in it.
pub(crate) fn file(targets: &[Target]) -> Declared {
    Declared {
        listeners: vec![listener("web", "127.0.0.1:0", "app")],
        target_groups: vec![group("app")],
        targets: targets.iter().map(|target| (group_name("app"), target.clone())).collect(),
        ..Declared::default()
    }
}

/// Waits until something holds.
pub(crate) async fn eventually(holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "it never came about");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
