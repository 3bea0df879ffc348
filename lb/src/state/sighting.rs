//! How it goes with finding the targets of a group. Not here: looking for them (`control::discover`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use crate::model::{Config, GroupName, Origin};
use crate::state::Snapshot;

/// How it goes with finding the targets of a group, as whoever looks for them sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// Who looks.
    pub origin: Origin,
    /// How many targets the last answer showed.
    pub seen: usize,
    /// How many stay although the answer did not show them: so many at once are not believed to be gone at once.
    pub held: usize,
    /// How many looks have failed since elbow started.
    pub errors: u64,
    /// Why the last look failed, if it did.
    pub error: Option<Arc<str>>,
    /// When a look last succeeded.
    pub last_success_at: Option<SystemTime>,
}

/// How it goes with each group's source.
pub(super) type Sightings = BTreeMap<GroupName, Sighting>;

impl Sighting {
    /// Nobody has looked yet.
    pub fn none(origin: Origin) -> Self {
        Self { origin, seen: 0, held: 0, errors: 0, error: None, last_success_at: None }
    }
}

/// What is seen of sources that are wanted.
pub(super) fn sightings(config: &Config, seen: &Sightings, previous: Option<&Snapshot>) -> Arc<Sightings> {
    let finds_instances = config.global.elb_api.ec2.is_some();
    let has_source = |name: &GroupName| {
        let settings = config.groups.get(name).map(|group| &group.settings);
        settings.is_some_and(|settings| {
            settings.wanted.discovery.is_some() || (finds_instances && settings.origin == Origin::Elb)
        })
    };
    let wanted = seen.iter().filter(|(name, _)| has_source(name));
    let old = previous.map(|previous| &previous.sightings).filter(|old| old.iter().eq(wanted.clone()));
    old.cloned().unwrap_or_else(|| Arc::new(wanted.map(|(name, seen)| (name.clone(), seen.clone())).collect()))
}
