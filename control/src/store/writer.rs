//! The thread that makes changes durable. It owns the backing, the newest configuration and its sockets.

use std::collections::HashMap;
use std::sync::Arc;

use lb::listen::BoundSockets;
use lb::model::{Adjustment, Certificate, Change, Config, Declared, ObjectRef, Origin, Rejected};
use lb::state::Wanted;
use tokio::sync::{mpsc, oneshot};

use super::{Applied, Backing, Precondition, Refused, rows};
use crate::elb::{self, Means};
use crate::schema::{Adjusted, Owned};

/// How many requests may share a commit.
const BATCH_MAX: usize = 256;

/// One request for a change.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) work: Work,
    pub(super) precondition: Precondition,
    pub(super) answer: Answer,
}

/// What is asked.
#[derive(Debug)]
pub(super) enum Work {
    /// These changes, as one.
    Apply(Vec<Change>),
    /// That the file declares this.
    Declare(Box<Declared>),
    /// That the API owns exactly this.
    Replace(Box<Owned>),
}

/// Who waits.
pub(super) type Answer = oneshot::Sender<Result<Applied, Refused>>;

/// A durable configuration that is to be published, and who waits for it.
#[derive(Debug)]
pub(super) struct Committed {
    pub(super) wanted: Wanted,
    pub(super) waiting: Vec<(Applied, Answer)>,
}

/// The thread's state.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) backing: Box<dyn Backing>,
    pub(super) wanted: Wanted,
    pub(super) requests: mpsc::Receiver<Request>,
    pub(super) committed: mpsc::Sender<Committed>,
}

/// What will hold once the batch is committed.
struct Draft {
    config: Arc<Config>,
    sockets: BoundSockets,
    history: Vec<(u64, String)>,
    waiting: Vec<(Applied, Answer)>,
}

impl Writer {
    /// Serves requests until nobody can ask any more, or nobody publishes.
    pub(super) fn run(mut self) {
        while let Some(first) = self.requests.blocking_recv() {
            let mut batch = vec![first];
            while batch.len() < BATCH_MAX
                && let Ok(next) = self.requests.try_recv()
            {
                batch.push(next);
            }
            if let Some(committed) = self.serve(batch)
                && self.committed.blocking_send(committed).is_err()
            {
                return;
            }
        }
    }

    /// Takes each request of a batch on its own, and all that were accepted through one commit.
    fn serve(&mut self, batch: Vec<Request>) -> Option<Committed> {
        let Wanted { config, sockets, .. } = self.wanted.clone();
        let mut draft = Draft { config, sockets, history: Vec::new(), waiting: Vec::new() };
        for Request { work, precondition, answer } in batch {
            match self.accept(&mut draft, work, &precondition) {
                Ok(applied) => draft.waiting.push((applied, answer)),
                // Whoever does not wait any more is not told, here and below.
                Err(refused) => drop(answer.send(Err(refused))),
            }
        }
        let Draft { config, sockets, history, waiting } = draft;
        if waiting.is_empty() {
            return None;
        }
        if config.revision != self.wanted.config.revision {
            let commit = rows::commit(&self.wanted.config, &config, history);
            if let Err(error) = self.backing.commit(&commit) {
                tracing::error!(error = &error as &dyn std::error::Error, "a change could not be kept");
                // Closed before anyone is told: whoever is refused may ask again at once.
                drop(sockets);
                let error = Arc::new(error);
                for (_, answer) in waiting {
                    drop(answer.send(Err(Refused::NotKept(Arc::clone(&error)))));
                }
                return None;
            }
        }
        self.wanted = Wanted { config, sockets, workers: self.wanted.workers };
        Some(Committed { wanted: self.wanted.clone(), waiting })
    }

    fn accept(&self, draft: &mut Draft, work: Work, precondition: &Precondition) -> Result<Applied, Refused> {
        precondition.check(&draft.config)?;
        let (changes, in_words) = match work {
            Work::Apply(changes) => {
                let in_words = changes.iter().map(ToString::to_string).collect();
                (changes, in_words)
            }
            Work::Declare(declared) => {
                let in_words = Change::Declare(Origin::File, Declared::clone(&declared)).to_string();
                (declare(&draft.config, *declared)?, vec![in_words])
            }
            Work::Replace(owned) => (replace(&draft.config, *owned)?, vec!["api state is imported".to_owned()]),
        };
        let before = Arc::clone(&draft.config);
        let config = Arc::new(before.apply_all(&changes)?);
        let revision = config.revision;
        if revision != before.revision {
            if config.listeners != before.listeners {
                draft.sockets = self.bind(&draft.sockets, &config)?;
            }
            draft.history.extend(in_words.into_iter().map(|what| (revision, what)));
            draft.config = Arc::clone(&config);
        }
        Ok(Applied { revision, before, config })
    }

    /// Binds what a configuration wants. What this batch no longer wants is bound still, and may be taken over.
    fn bind(&self, drafted: &BoundSockets, config: &Config) -> Result<BoundSockets, Refused> {
        let mut previous = self.wanted.sockets.clone();
        previous.extend(drafted.iter().map(|(name, socket)| (name.clone(), Arc::clone(socket))));
        let bound = lb::listen::bind(&previous, config, self.wanted.workers);
        bound.map_err(|error| Refused::Bind(Arc::new(error)))
    }
}

/// The changes after which the file declares exactly `declared`. Load balancers are carried out by what it says of them.
fn declare(config: &Config, declared: Declared) -> Result<Vec<Change>, Rejected> {
    let global = declared.global.clone().unwrap_or_default();
    let kept = config.certificates.values().filter(|held| held.origin != Origin::File).map(|held| &held.wanted);
    let means = Means::new(&global, declared.certificates.iter().chain(kept));
    let mut load_balancers = Vec::new();
    for (id, held) in &config.load_balancers {
        load_balancers.push(elb::put_again(id, &held.wanted, &means)?);
    }
    Ok(std::iter::once(Change::Declare(Origin::File, declared)).chain(load_balancers).collect())
}

/// The changes after which the API owns exactly `owned`, and nothing is adjusted but what it says. Keys of cookies
/// stay where it has none: without any, nobody would be known again.
fn replace(config: &Config, owned: Owned) -> Result<Vec<Change>, Rejected> {
    let adjusted = owned.adjusted.iter();
    let adjusted: HashMap<_, _> = adjusted.map(|(group, adjusted)| ((group, &adjusted.on.id), &adjusted.on)).collect();
    let targets = config.groups.iter().flat_map(|(name, group)| group.targets.values().map(move |held| (name, held)));
    let reset = targets.filter(|(group, held)| {
        let stays = adjusted.get(&(*group, &held.declared.id)).is_some_and(|on| **on == held.declared);
        held.adjusted != Adjustment::default() && !stays
    });
    let reset = reset.map(|(group, held)| Change::Adjust(group.clone(), held.declared.clone(), Adjustment::default()));
    let mut changes: Vec<_> = reset.collect();
    let Owned { certificates, listeners, load_balancers, groups, targets, adjusted, cookie_keys } = owned;
    let certificates: Vec<_> =
        certificates.into_iter().map(|given| with_key(config, given)).collect::<Result<_, _>>()?;
    let of_file = config.certificates.values().filter(|held| held.origin == Origin::File).map(|held| &held.wanted);
    let means = Means::new(&config.global, of_file.chain(&certificates));
    let put = |(id, facts): &(_, _)| elb::put(id, facts, &means);
    let put = load_balancers.iter().map(put).collect::<Result<Vec<_>, _>>()?;
    let gone = config.load_balancers.keys().filter(|id| load_balancers.iter().all(|(other, _)| other != *id));
    changes.extend(gone.cloned().map(Change::DeleteLoadBalancer));
    let declared = Declared { global: None, certificates, listeners, target_groups: groups, targets };
    changes.extend(put);
    changes.push(Change::Declare(Origin::Api, declared));
    let adjust = |(group, Adjusted { on, adjustment })| Change::Adjust(group, on, adjustment);
    changes.extend(adjusted.into_iter().map(adjust));
    changes.extend(cookie_keys.map(Change::PutCookieKeys));
    Ok(changes)
}

/// An export holds no private keys: the one that is there already is kept.
fn with_key(config: &Config, given: Certificate) -> Result<Certificate, Rejected> {
    if !given.key.pem().is_empty() {
        return Ok(given);
    }
    let held = config.certificates.get(&given.name).filter(|held| held.wanted.chain == given.chain);
    let key = held.map(|held| held.wanted.key.clone());
    let key = key.ok_or_else(|| Rejected::KeyMissing(ObjectRef::Certificate(given.name.clone())))?;
    Ok(Certificate { key, ..given })
}
