//! A snapshot that lives: a publisher over what is wanted, with nobody serving it.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use lb::state::{Backend, Live, Now, Observed, Observer, Publisher, Snapshot, TargetState, compile};

use super::{WORKERS, Want, group_name, id};

/// By when what must happen has happened, on the slowest machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

pub(crate) struct House {
    pub(crate) live: Arc<Live>,
    pub(crate) publisher: Publisher,
    pub(crate) observer: Observer,
}

pub(crate) fn now() -> Now {
    Now { instant: Instant::now(), wall: SystemTime::now() }
}

impl House {
    pub(crate) fn start(want: &Want) -> Self {
        let wanted = want.wanted();
        let live = Arc::new(Live::new(compile(&wanted, &Observed::default(), None, now()), WORKERS));
        let (observer, observations) = Observer::new();
        let publisher = Publisher::start(&live, wanted, observations);
        Self { live, publisher, observer }
    }

    pub(crate) async fn publish(&self, want: &Want) {
        self.publisher.publish(want.wanted()).await;
    }

    /// Waits until a snapshot is as it should be.
    pub(crate) async fn until(&self, holds: impl Fn(&Snapshot) -> bool) {
        let mut generations = self.live.subscribe();
        let wait = async {
            while !holds(&self.live.load()) {
                generations.changed().await.expect("the publisher lives");
            }
        };
        let in_time = tokio::time::timeout(DEADLINE, wait).await.is_ok();
        let snapshot = self.live.load();
        let members = snapshot.groups().flat_map(|pool| pool.members.iter());
        let members: Vec<_> = members.map(|member| (&member.backend.target, member.state, &member.reason)).collect();
        assert!(in_time, "never came about: {members:#?}");
    }

    /// Waits until a target of the group `app` is in a state.
    pub(crate) async fn until_state(&self, target: &str, state: impl Into<Option<TargetState>>) {
        let state = state.into();
        self.until(|snapshot| snapshot.member(&group_name("app"), &id(target)).map(|member| member.state) == state)
            .await;
    }

    /// The state of a target of the group `app`.
    pub(crate) fn state(&self, target: &str) -> Option<TargetState> {
        self.live.load().member(&group_name("app"), &id(target)).map(|member| member.state)
    }

    /// The reason for the state of a target of the group `app`.
    pub(crate) fn reason(&self, target: &str) -> String {
        let snapshot = self.live.load();
        snapshot.member(&group_name("app"), &id(target)).expect("registered").reason.to_string()
    }

    /// The backend of a target of the group `app`.
    pub(crate) fn backend(&self, target: &str) -> Arc<Backend> {
        Arc::clone(&self.live.load().member(&group_name("app"), &id(target)).expect("registered").backend)
    }
}
