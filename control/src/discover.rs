//! Targets that are found instead of named: one task for each group that has a source.
//!
//! In reading order: [`Source`] (answers with its *full* set or an error), [`build`], [`Discoverer`] (one task a source,
//! as the configuration asks for them), [`course`] (one source's task), [`guard`] (how much may be missing at once),
//! [`pace`] (when to look again) and [`mod@ec2`]. What was found enters as [`lb::model::Change::DeclareTargets`]; a source
//! that cannot be asked changes nothing.
//! Not here: how AWS is spoken to ([`crate::aws`]).

mod course;
mod ec2;
mod guard;
mod pace;

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, OnceLock};

use futures_util::future::BoxFuture;
use lb::model::{Config, Discovery, GroupName, Target, TargetId};
use lb::state::{Live, Observer, Snapshot};
use tokio::task::{AbortHandle, JoinHandle, JoinSet};

use crate::aws::imds::{self, Place};
use crate::store::Store;
use course::Course;
pub(crate) use pace::pause;

/// Finds the targets of one group.
trait Source: Send {
    /// Looks, and answers with all there is, or why it cannot tell.
    fn look(&mut self) -> BoxFuture<'_, Result<Seen, String>>;

    /// Does what is to be done outside, now that what was seen is in effect.
    fn follow_up<'s>(&'s mut self, snapshot: &'s Snapshot) -> BoxFuture<'s, ()>;
}

/// All that one look has shown.
#[derive(Debug, Default)]
struct Seen {
    /// What can take traffic.
    there: Vec<Target>,
    /// What the answer itself shows as going or gone: nobody needs to wonder about it.
    gone: HashSet<TargetId>,
}

fn build(group: &GroupName, discovery: &Discovery) -> Box<dyn Source> {
    match discovery {
        Discovery::Ec2(wanted) => Box::new(ec2::Ec2::new(group.clone(), wanted.clone())),
    }
}

/// All sources that are wanted, each in a task of its own. They end with this.
#[derive(Debug)]
pub struct Discoverer {
    task: JoinHandle<()>,
    here: Arc<OnceLock<Place>>,
}

impl Discoverer {
    /// Starts it, on the runtime of the control side.
    pub fn start(store: Store, live: Arc<Live>, observer: Observer) -> Self {
        let here = Arc::default();
        let task = Task {
            store,
            live,
            observer,
            courses: BTreeMap::new(),
            under_way: JoinSet::new(),
            here: Arc::clone(&here),
            has_asked_where: false,
        };
        Self { task: tokio::spawn(task.run()), here }
    }

    /// Where this machine is, if it is an instance of EC2, discovery is wanted, and it has told.
    pub fn here(&self) -> Option<&Place> {
        self.here.get()
    }

    /// Returns when it has died.
    pub async fn ended(&mut self) {
        // A panic is in the log already.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Discoverer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Task {
    store: Store,
    live: Arc<Live>,
    observer: Observer,
    /// The source that each group has, and its task.
    courses: BTreeMap<GroupName, (Discovery, AbortHandle)>,
    under_way: JoinSet<Ended>,
    here: Arc<OnceLock<Place>>,
    has_asked_where: bool,
}

/// What has ended by itself.
enum Ended {
    /// A course, which never does.
    Course,
    /// Asking where this machine is.
    Where(Result<Place, String>),
}

impl Task {
    async fn run(mut self) {
        let mut generations = self.live.subscribe();
        loop {
            generations.mark_unchanged();
            let config = Arc::clone(&self.live.load().config);
            self.follow(&config);
            tokio::select! {
                changed = generations.changed() => if changed.is_err() { return },
                Some(ended) = self.under_way.join_next() => match ended {
                    Ok(Ended::Where(place)) => self.learn(place),
                    Err(error) if error.is_cancelled() => {}
                    // One that died takes all with it: its owner must not go on without it.
                    Ok(Ended::Course) | Err(_) => return,
                },
            }
        }
    }

    /// Begins a course for each source, anew where something else is wanted of it, and ends those that nobody wants.
    fn follow(&mut self, config: &Config) {
        let wanted = |group: &GroupName| config.groups.get(group)?.settings.wanted.discovery.as_ref();
        self.courses.retain(|group, (discovery, course)| {
            let stays = wanted(group) == Some(discovery);
            if !stays {
                course.abort();
            }
            stays
        });
        for (group, held) in &config.groups {
            let Some(discovery) = &held.settings.wanted.discovery else { continue };
            if self.courses.contains_key(group) {
                continue;
            }
            self.ask_where();
            let course = Course::new(group.clone(), discovery, &self.store, &self.live, &self.observer);
            let running = async {
                course.run().await;
                Ended::Course
            };
            let course = self.under_way.spawn(running);
            self.courses.insert(group.clone(), (discovery.clone(), course));
        }
    }

    /// Off EC2 nobody answers, and nobody waits for it.
    fn ask_where(&mut self) {
        if !std::mem::replace(&mut self.has_asked_where, true) {
            self.under_way.spawn(async { Ended::Where(imds::place().await) });
        }
    }

    fn learn(&self, place: Result<Place, String>) {
        match place {
            Ok(place) => {
                tracing::info!(instance = place.instance, region = place.region, zone = place.zone, "this is EC2");
                // It is asked once.
                let _ = self.here.set(place);
            }
            Err(why) => tracing::debug!("this is not EC2: {why}"),
        }
    }
}
