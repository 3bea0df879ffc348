//! Opening a state directory, joining what is kept there with what the file declares, and starting the store.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use lb::listen::BoundSockets;
use lb::model::{
    Adjustment, Certificate, Change, Config, CookieKeys, Declared, Discovery, Group, GroupName, LoadBalancerId,
    ObjectRef, Origin, Rejected, Target,
};
use lb::state::{Live, Publisher, Wanted};
use tokio::sync::{mpsc, oneshot};

use super::lock::Lock;
use super::rows::{self, Restored, RestoredTarget};
use super::sqlite::Sqlite;
use super::writer::Writer;
use super::{Backing, BackingError, Commit, OpenError, Row, RowKey, Store, StoreThread, publish};
use crate::elb::{self, Facts, Means};
use crate::schema::Adjusted;
use crate::secrets;

/// How many requests may stand in line for the writer; more wait their turn.
const REQUESTS_MAX: usize = 1024;
/// How many commits may wait to be published; they are published as one.
const COMMITTED_MAX: usize = 16;

/// An open state directory, held exclusively until the store's thread has ended (or this is dropped).
#[derive(Debug)]
pub struct Opened {
    backing: Box<dyn Backing>,
    restored: Restored,
    dependent: Vec<RowKey>,
    revision: u64,
    lock: Option<Lock>,
}

/// Opens a state directory: makes it where it is not there, takes its lock, and reads what is kept. Where there is no
/// key for cookies yet, one is made, so that no cookie is ever sealed with a key that a crash could lose.
///
/// # Errors
/// [`OpenError`]: somebody else holds it, or it is damaged or of a newer version; nothing was replaced.
pub fn open(state_dir: &Path) -> Result<Opened, OpenError> {
    let lock = Lock::take(state_dir)?;
    let opened = open_with(Box::new(Sqlite::open(state_dir)?))?;
    Ok(Opened { lock: Some(lock), ..opened })
}

/// Opens any other backing.
///
/// # Errors
/// [`BackingError`] from reading it, or from keeping its first cookie key.
pub fn open_with(mut backing: Box<dyn Backing>) -> Result<Opened, BackingError> {
    let kept = backing.load()?;
    let (mut restored, mut revision) = (rows::restore(&kept, &backing.place())?, kept.revision);
    if restored.cookie_keys.newest().is_none() {
        (restored.cookie_keys, revision) = keep_first_cookie_key(&mut *backing, revision)?;
    }
    // What stands only while somebody else wants it so.
    let depends = |row: &Row| matches!(row.key, RowKey::Adjusted(..)) || row.owner.discovers();
    let dependent = kept.rows.into_iter().filter(depends).map(|row| row.key);
    Ok(Opened { backing, restored, dependent: dependent.collect(), revision, lock: None })
}

/// Makes the first key and keeps it, as the change it is. Answers with it and the revision that holds it.
fn keep_first_cookie_key(backing: &mut dyn Backing, revision: u64) -> Result<(CookieKeys, u64), BackingError> {
    let none = Config { revision, ..Config::default() };
    let key = secrets::new_cookie_key(&none.cookie_keys);
    let history = vec![(revision + 1, Change::RotateCookieKey(key.clone()).to_string())];
    let keys = none.cookie_keys.rotated(key);
    let with_key = Config { revision: revision + 1, cookie_keys: Arc::new(keys.clone()), ..Config::default() };
    backing.commit(&rows::commit(&none, &with_key, history))?;
    Ok((keys, with_key.revision))
}

impl Opened {
    /// Joins what is kept with what the file declares: the configuration to start with.
    ///
    /// # Errors
    /// [`Rejected`]: an object has two owners, or the file dropped a group that API-owned objects still need.
    pub fn wanted_with(&self, declared: &Declared) -> Result<Config, Rejected> {
        self.refuse_dropped_groups(declared)?;
        let Restored {
            ticket_keys,
            acme,
            certificates,
            listeners,
            load_balancers,
            groups,
            targets,
            adjusted,
            cookie_keys,
            ..
        } = &self.restored;
        let mut changes = vec![Change::PutCookieKeys(cookie_keys.clone()), Change::PutTicketKeys(ticket_keys.clone())];
        let certificate =
            |(certificate, _): &(Certificate, u64)| Change::PutCertificate(Origin::Api, certificate.clone());
        changes.extend(certificates.iter().map(certificate));
        changes.extend(groups.iter().map(|(group, _)| Change::PutTargetGroup(Origin::Api, group.clone())));
        changes.push(Change::Declare(Origin::File, declared.clone()));
        let global = declared.global.clone().unwrap_or_default();
        let known = declared.certificates.iter().chain(certificates.iter().map(|(certificate, _)| certificate));
        let means = Means::new(&global, known);
        for (id, facts, _) in load_balancers {
            changes.push(elb::put(id, facts, &means)?);
        }
        let put =
            |restored: &RestoredTarget| Change::PutTarget(Origin::Api, restored.group.clone(), restored.target.clone());
        changes.extend(targets.iter().map(put));
        changes.extend(listeners.iter().map(|(listener, _)| Change::PutListener(Origin::Api, listener.clone())));
        let adjust = |(group, Adjusted { on, adjustment }): &(GroupName, Adjusted)| {
            Change::Adjust(group.clone(), on.clone(), *adjustment)
        };
        let kept = Config { revision: self.revision, acme: Arc::new(acme.clone()), ..Config::default() };
        if !self.restored.found.is_empty()
            && let Ok(others) = kept.apply_all(&changes)
        {
            changes.extend(self.found_for(&others));
        }
        changes.extend(adjusted.iter().map(adjust));
        let joined = kept.apply_all(&changes);
        // Whichever came second here: what is kept was there first, and the file can be changed now.
        let mut config = joined.map_err(|rejected| match rejected {
            Rejected::OwnedBy { object, .. } => Rejected::OwnedBy { object, owner: Origin::Api },
            other => other,
        })?;
        self.give_back_revisions(&mut config);
        Ok(config)
    }

    /// What sources had found, for those groups that still ask for it. Others' targets go first: they are declared.
    fn found_for(&self, others: &Config) -> Vec<Change> {
        let mut found: BTreeMap<(&GroupName, Origin), Vec<Target>> = BTreeMap::new();
        for RestoredTarget { origin, group, target, .. } in &self.restored.found {
            let asks = |group: &Arc<Group>| {
                let source = group.settings.wanted.discovery.as_ref().map(Discovery::origin);
                source == Some(*origin) && !group.targets.contains_key(&target.id)
            };
            if others.groups.get(group).is_some_and(asks) {
                found.entry((group, *origin)).or_default().push(target.clone());
            }
        }
        let declare =
            |((group, origin), targets): ((&GroupName, _), _)| Change::DeclareTargets(origin, group.clone(), targets);
        found.into_iter().map(declare).collect()
    }

    fn refuse_dropped_groups(&self, declared: &Declared) -> Result<(), Rejected> {
        let declared = declared.target_groups.iter().map(|group| &group.name);
        let there: HashSet<_> = declared.chain(self.restored.groups.iter().map(|(group, _)| &group.name)).collect();
        let elb: HashSet<_> = self.restored.load_balancers.iter().map(|(_, facts, _)| &*facts.target_group).collect();
        let targets = self.restored.targets.iter();
        let is_orphan = |group: &GroupName| !there.contains(group) && !elb.contains(group.as_str());
        let mut orphans = targets.filter(|restored| is_orphan(&restored.group)).peekable();
        let Some(RestoredTarget { group: target_group, .. }) = orphans.peek().copied() else { return Ok(()) };
        let orphans = orphans
            .filter(|restored| restored.group == *target_group)
            .map(|restored| (&restored.target.id, Origin::Api));
        Err(Rejected::held_by_targets(target_group, orphans))
    }

    /// What the API owns keeps its entity tags over a restart.
    fn give_back_revisions(&self, config: &mut Config) {
        for (certificate, revision) in &self.restored.certificates {
            if let Some(held) = config.certificates.get_mut(&certificate.name) {
                Arc::make_mut(held).revision = *revision;
            }
        }
        for (id, _, revision) in &self.restored.load_balancers {
            if let Some(held) = config.load_balancers.get_mut(id) {
                Arc::make_mut(held).revision = *revision;
            }
        }
        for (listener, revision) in &self.restored.listeners {
            if let Some(held) = config.listeners.get_mut(&listener.name) {
                Arc::make_mut(held).revision = *revision;
            }
        }
        for (group, revision) in &self.restored.groups {
            if let Some(group) = config.groups.get_mut(&group.name) {
                Arc::make_mut(&mut Arc::make_mut(group).settings).revision = *revision;
            }
        }
        for RestoredTarget { origin, group, target, revision } in
            self.restored.targets.iter().chain(&self.restored.found)
        {
            if let Some(group) = config.groups.get_mut(group)
                && let Some(held) = Arc::make_mut(group).targets.get_mut(&target.id)
                && held.origin == *origin
            {
                Arc::make_mut(held).revision = *revision;
            }
        }
    }

    /// Starts the store on `config` (from [`Self::wanted_with`]) with the sockets bound for it, once it is published.
    /// Call it on the runtime of the control side.
    ///
    /// # Errors
    /// [`BackingError`]: the new revision, or what the file overrode, could not be made durable.
    pub fn start(
        mut self,
        config: Arc<Config>,
        sockets: BoundSockets,
        publisher: Publisher,
        live: Arc<Live>,
        workers: usize,
    ) -> Result<(Store, StoreThread), BackingError> {
        let commit = self.first_commit(&config);
        if commit.revision != self.revision || !commit.delete.is_empty() || !commit.put.is_empty() {
            self.backing.commit(&commit)?;
        }
        let Self { backing, lock, .. } = self;
        let (ask, requests) = mpsc::channel(REQUESTS_MAX);
        let (committed, to_publish) = mpsc::channel(COMMITTED_MAX);
        let (ended, thread) = oneshot::channel();
        let writer = Writer { backing, wanted: Wanted { config, sockets, workers }, requests, committed };
        let run = move || {
            writer.run();
            drop(lock);
            // Not sent when the thread panics: that is how its owner learns of it.
            let _ = ended.send(());
        };
        let spawned = std::thread::Builder::new().name("elbow-store".to_owned()).spawn(run);
        spawned.map_err(|error| BackingError::Failed {
            action: "start the thread that writes",
            path: std::path::PathBuf::new(),
            source: error.into(),
        })?;
        let publishing = tokio::spawn(publish::run(to_publish, publisher, Arc::clone(&live)));
        Ok((Store { ask, live }, StoreThread::new(thread, publishing)))
    }

    /// The revision of the start, without what was adjusted on entries that the file declares differently now, and what
    /// was found for groups that no longer ask for it; with where the instances of load balancers are now.
    fn first_commit(&self, config: &Config) -> Commit {
        let stands = |group: &str, id: &str| {
            let held = config.groups.get(group).and_then(|group| group.targets.get(id));
            held.is_some_and(|held| held.adjusted != Adjustment::default())
        };
        let is_found = |group: &str, id: &str| {
            let held = config.groups.get(group).and_then(|group| group.targets.get(id));
            held.is_some_and(|held| held.origin.discovers())
        };
        let dropped = self.dependent.iter().filter(|key| match key {
            RowKey::Adjusted(group, id) => !stands(group, id),
            RowKey::Target(group, id) => !is_found(group, id),
            _ => false,
        });
        let delete = dropped.cloned().collect();
        let has_moved = |(id, facts, _): &&(LoadBalancerId, Facts, u64)| {
            config.load_balancers.get(id).is_some_and(|held| *held.wanted.facts != *facts.to_text())
        };
        let moved = self.restored.load_balancers.iter().filter(has_moved);
        let put = moved.flat_map(|(id, ..)| rows::written(config, &ObjectRef::LoadBalancer(id.clone()))).collect();
        let history = vec![(config.revision, "elbow starts".to_owned())];
        Commit { revision: config.revision, put, delete, history }
    }
}
