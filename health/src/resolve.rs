//! Where host names of targets lead, asked again and again off the request path.
//!
//! A name keeps its address while the answer still holds it, so that an answer in another order moves nothing; and
//! while there is no answer. Not here: what happens when a target moves (`lb::state`).

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use lb::model::{Config, Host};
use lb::state::{Live, Observation, Observer};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};

/// From the start of one look-up of a name to the start of the next.
const INTERVAL: Duration = Duration::from_secs(30);

/// How long a look-up may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How many look-ups may be under way at once.
const LOOKUPS_MAX: usize = 16;

type Answer = Result<Vec<IpAddr>, String>;
type LookingUp = Pin<Box<dyn Future<Output = Answer> + Send>>;
type LookUp = Box<dyn Fn(Arc<str>) -> LookingUp + Send>;

/// Owns the task that resolves names. Dropping it ends it.
#[derive(Debug)]
pub struct Resolver {
    task: JoinHandle<()>,
}

impl Resolver {
    /// Starts resolving every host name that the configuration holds, with the system's resolver, on the current
    /// runtime.
    pub fn start(live: Arc<Live>, observer: Observer) -> Self {
        Self::with(live, observer, |name| async move { look_up(&name).await })
    }

    /// As [`Self::start`], with another way of looking names up.
    pub fn with<F>(live: Arc<Live>, observer: Observer, look_up: impl Fn(Arc<str>) -> F + Send + 'static) -> Self
    where
        F: Future<Output = Result<Vec<IpAddr>, String>> + Send + 'static,
    {
        let look_up: LookUp = Box::new(move |name| Box::pin(look_up(name)));
        let task = Task { live, observer, look_up, names: HashMap::new(), lookups: JoinSet::new() };
        Self { task: tokio::spawn(task.run()) }
    }

    /// Returns if the task has ended, which it does not do while the process is well.
    pub async fn ended(&mut self) {
        // How it ended is in the log already: it can only have panicked.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Task {
    live: Arc<Live>,
    observer: Observer,
    look_up: LookUp,
    names: HashMap<Arc<str>, Name>,
    lookups: JoinSet<(Arc<str>, Answer)>,
}

/// What is known of a name.
struct Name {
    address: Option<IpAddr>,
    /// What went wrong last, until it goes well again.
    failure: Option<String>,
    /// When to ask; absent while it is being asked.
    due: Option<Instant>,
}

impl Task {
    async fn run(mut self) {
        let mut generations = self.live.subscribe();
        let mut known = Arc::clone(&self.live.load().config);
        self.reconcile(&known);
        loop {
            self.start_due();
            let next = self.names.values().filter_map(|name| name.due).min();
            let next = next.filter(|_| self.lookups.len() < LOOKUPS_MAX);
            tokio::select! {
                changed = generations.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let config = Arc::clone(&self.live.load().config);
                    if !Arc::ptr_eq(&known, &config) {
                        self.reconcile(&config);
                        known = config;
                    }
                }
                Some(Ok((name, answer))) = self.lookups.join_next() => self.hear(&name, answer),
                () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
            }
        }
    }

    /// Takes up new names, to be asked at once, and forgets those that are gone.
    fn reconcile(&mut self, config: &Config) {
        let targets = config.groups.values().flat_map(|group| group.targets.values());
        let wanted: HashSet<&Arc<str>> = targets.filter_map(|held| named(&held.declared.address.host)).collect();
        self.names.retain(|name, _| wanted.contains(name));
        for name in wanted {
            let fresh = || Name { address: None, failure: None, due: Some(Instant::now()) };
            self.names.entry(Arc::clone(name)).or_insert_with(fresh);
        }
    }

    fn start_due(&mut self) {
        let now = Instant::now();
        for (name, known) in &mut self.names {
            if self.lookups.len() >= LOOKUPS_MAX {
                return;
            }
            if known.due.is_some_and(|due| due <= now) {
                known.due = None;
                let (name, looking_up) = (Arc::clone(name), (self.look_up)(Arc::clone(name)));
                self.lookups.spawn(async move {
                    let answer = timeout(TIMEOUT, looking_up).await;
                    (name, answer.unwrap_or_else(|_| Err(format!("no answer within {TIMEOUT:?}"))))
                });
            }
        }
    }

    fn hear(&mut self, name: &Arc<str>, answer: Answer) {
        let Some(known) = self.names.get_mut(name) else { return };
        known.due = Some(Instant::now() + INTERVAL);
        let answer = answer.and_then(|addresses| choose(known.address, &addresses).ok_or("it has no address".into()));
        match answer {
            Ok(address) => {
                if known.failure.take().is_some() {
                    tracing::info!(%name, %address, "the name resolves again");
                }
                if known.address != Some(address) {
                    known.address = Some(address);
                    self.observer.observe(Observation::Resolved(Arc::clone(name), address));
                }
            }
            Err(failure) => {
                if known.failure.as_ref() != Some(&failure) {
                    tracing::warn!(%name, %failure, kept = ?known.address, "a target's name does not resolve");
                }
                known.failure = Some(failure);
            }
        }
    }
}

/// The address to use: the present one while the answer holds it, or else the first.
fn choose(present: Option<IpAddr>, answer: &[IpAddr]) -> Option<IpAddr> {
    present.filter(|present| answer.contains(present)).or(answer.first().copied())
}

fn named(host: &Host) -> Option<&Arc<str>> {
    match host {
        Host::Name(name) => Some(name),
        Host::Ip(_) => None,
    }
}

async fn look_up(name: &str) -> Answer {
    let addresses = tokio::net::lookup_host((name, 0)).await.map_err(|error| error.to_string())?;
    Ok(addresses.map(|address| address.ip()).collect())
}
