//! The one who looks after certificates while elbow runs: takes over files that were changed, makes a new key for
//! session tickets when one is due, and warns of certificates that are about to end.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use lb::model::{
    Certificate, CertificateName, Change, Config, FileStamp, Held, Listener, ObjectRef, Origin, SourceFile,
    TargetGroup, TicketKey, TicketKeys,
};
use lb::state::{Live, Snapshot};
use lb::tls::TICKET_KEY_LIFETIME;
use rand::RngCore;
use tokio::task::JoinHandle;

use super::{Ended, day, fill_certificate, fill_group, fill_listener, validity};
use crate::schema::Wrong;
use crate::store::{Precondition, Refused, Store};

/// How often files are looked at. A file that changed is taken over once two looks in a row find it the same.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// How long before its end a certificate is warned of.
const WARN_BEFORE: Duration = Duration::from_secs(14 * 24 * 3600);
/// How often.
const WARN_INTERVAL: Duration = Duration::from_secs(12 * 3600);

/// The task that looks after certificates. It ends with this.
#[derive(Debug)]
pub struct Keeper(JoinHandle<()>);

impl Keeper {
    /// Starts it, on the runtime of the control side. Returns when there is a key for session tickets, if one is needed:
    /// what is wanted when elbow says that it is ready is then what was asked for, and not about to change by itself.
    pub async fn start(store: Store, live: Arc<Live>) -> Self {
        let task = Task { store, live, looked: HashMap::new(), tried: HashMap::new(), warned: HashMap::new() };
        task.renew_ticket_keys(&task.live.load().config).await;
        Self(tokio::spawn(task.run()))
    }

    /// Returns when it has died.
    pub async fn ended(&mut self) {
        // A panic is in the log already.
        let _ = (&mut self.0).await;
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct Task {
    store: Store,
    live: Arc<Live>,
    /// How each file stood at the last look.
    looked: HashMap<PathBuf, Look>,
    /// What was last tried of each object whose files are not as it was read from them.
    tried: HashMap<ObjectRef, Tried>,
    /// When each certificate was warned of last.
    warned: HashMap<CertificateName, Instant>,
}

/// A look at a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Look {
    /// How it stands; none: it cannot be found.
    stamp: Option<FileStamp>,
    /// Whether it stood so at the look before.
    rests: bool,
}

/// Taking over an object's files; once more only if they or the object are different.
#[derive(Debug, PartialEq, Eq)]
struct Tried {
    revision: u64,
    stamps: Vec<Option<FileStamp>>,
}

impl Task {
    async fn run(mut self) {
        let mut looks = tokio::time::interval(LOOK_INTERVAL);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            let snapshot = self.live.load();
            self.renew_ticket_keys(&snapshot.config).await;
            self.take_over_files(&snapshot.config).await;
            self.warn(&snapshot);
        }
    }

    /// Takes over what stands in files that are not as they were read, and rest now.
    async fn take_over_files(&mut self, config: &Config) {
        self.look(config);
        self.tried.retain(|object, _| config.revision_of(object).is_some());
        for held in config.certificates.values() {
            if self.is_due(ObjectRef::Certificate(held.wanted.name.clone()), held.revision, files_of_certificate(held))
            {
                self.take_over_certificate(held).await;
            }
        }
        for held in config.listeners.values() {
            if self.is_due(ObjectRef::Listener(held.wanted.name.clone()), held.revision, files_of_listener(held)) {
                self.take_over_trust(held, fill_listener, Change::PutListener, "client_ca changed").await;
            }
        }
        for held in config.groups.values().map(|group| &group.settings) {
            if self.is_due(ObjectRef::TargetGroup(held.wanted.name.clone()), held.revision, files_of_group(held)) {
                self.take_over_trust(held, fill_group, Change::PutTargetGroup, "tls_ca changed").await;
            }
        }
    }

    /// Looks at every file that something was read from.
    fn look(&mut self, config: &Config) {
        let certificates = config.certificates.values().flat_map(|held| files_of_certificate(held));
        let listeners = config.listeners.values().flat_map(|held| files_of_listener(held));
        let groups = config.groups.values().flat_map(|group| files_of_group(&group.settings));
        let files = certificates.chain(listeners).chain(groups);
        let before = std::mem::take(&mut self.looked);
        for SourceFile { path, .. } in files {
            if !self.looked.contains_key(path) {
                let stamp = std::fs::metadata(path).ok().map(|metadata| FileStamp::of(&metadata));
                let rests = before.get(path).is_some_and(|look| look.stamp == stamp);
                self.looked.insert(path.clone(), Look { stamp, rests });
            }
        }
    }

    /// Whether an object is to be read again: its files are not as it was read from them, all of them rest (a
    /// certificate and its key are replaced one after the other), and this was not tried yet.
    fn is_due<'f>(&mut self, object: ObjectRef, revision: u64, files: impl Iterator<Item = &'f SourceFile>) -> bool {
        let mut stamps = Vec::new();
        let (mut has_changed, mut rests) = (false, true);
        for file in files {
            let Some(look) = self.looked.get(&file.path) else { return false };
            has_changed |= file.read != look.stamp;
            rests &= look.rests;
            stamps.push(look.stamp);
        }
        let now = Tried { revision, stamps };
        if !has_changed || !rests || self.tried.get(&object) == Some(&now) {
            return false;
        }
        self.tried.insert(object, now);
        true
    }

    async fn take_over_certificate(&self, held: &Held<Certificate>) {
        let mut certificate = held.wanted.clone();
        let name = certificate.name.clone();
        let read = move || {
            let outcome = fill_certificate(&mut certificate, Ended::Refused, SystemTime::now());
            outcome.map(|()| certificate).map_err(|(_, wrong)| wrong.to_string())
        };
        let certificate = match tokio::task::spawn_blocking(read).await {
            Ok(Ok(certificate)) if certificate == held.wanted => return,
            Ok(Ok(certificate)) => certificate,
            Ok(Err(why)) => {
                return tracing::warn!(certificate = %name, "its files changed, and the old one stays in use: {why}");
            }
            Err(_) => return,
        };
        let change = Change::PutCertificate(held.origin, certificate);
        self.apply(change, ObjectRef::Certificate(name), held.revision, "its files changed").await;
    }

    /// Reads those who vouch for others once more, for a listener or a target group.
    async fn take_over_trust<T: Trusting>(
        &self,
        held: &Held<T>,
        fill: fn(&mut T) -> Result<(), Wrong>,
        change: fn(Origin, T) -> Change,
        what_changed: &str,
    ) {
        let mut wanted = held.wanted.clone();
        let object = wanted.object();
        let read = move || fill(&mut wanted).map(|()| wanted).map_err(|wrong| wrong.to_string());
        let wanted = match tokio::task::spawn_blocking(read).await {
            Ok(Ok(wanted)) if wanted == held.wanted => return,
            Ok(Ok(wanted)) => wanted,
            Ok(Err(why)) => return tracing::warn!(%object, "{what_changed}, and the old one stays in use: {why}"),
            Err(_) => return,
        };
        self.apply(change(held.origin, wanted), object, held.revision, what_changed).await;
    }

    async fn apply(&self, change: Change, object: ObjectRef, revision: u64, why: &str) {
        let in_words = object.to_string();
        match self.store.apply(vec![change], Precondition::Matches(object, vec![revision])).await {
            Ok(applied) => tracing::info!(revision = applied.revision, "{in_words} was taken over: {why}"),
            // Somebody else has changed it just now, from the same files or away from them.
            Err(Refused::Precondition { .. } | Refused::Stopped) => {}
            Err(error) => tracing::error!(error = &error as &dyn std::error::Error, "{in_words} stays as it was"),
        }
    }

    /// Makes the first key for session tickets, and another one when its time has come. The one before it still opens
    /// what it has sealed.
    async fn renew_ticket_keys(&self, config: &Config) {
        let is_needed = config.listeners.values().any(|held| held.wanted.tls.is_some());
        let now = SystemTime::now();
        // A clock that was set back makes no key older; it is replaced in time all the same.
        let age = |key: &TicketKey| now.duration_since(key.made_at).unwrap_or(TICKET_KEY_LIFETIME);
        let is_fresh = config.ticket_keys.newest().is_some_and(|newest| age(newest) < TICKET_KEY_LIFETIME);
        if !is_needed || is_fresh {
            return;
        }
        let mut key = TicketKey { id: [0; 8], secret: [0; 32], made_at: now };
        rand::rng().fill_bytes(&mut key.id);
        rand::rng().fill_bytes(&mut key.secret);
        let still_open = config.ticket_keys.iter().filter(|old| age(old) < 2 * TICKET_KEY_LIFETIME);
        let keys = TicketKeys::new(std::iter::once(key).chain(still_open.map(|old| TicketKey::clone(old))));
        match self.store.apply(vec![Change::PutTicketKeys(keys)], Precondition::None).await {
            Ok(_) => tracing::debug!("session tickets are sealed under another key from now on"),
            Err(Refused::Stopped) => {}
            Err(error) => tracing::error!(error = &error as &dyn std::error::Error, "no new key for session tickets"),
        }
    }

    /// Warns of certificates that end soon, or do not hold.
    fn warn(&mut self, snapshot: &Snapshot) {
        self.warned.retain(|name, _| snapshot.credentials.contains_key(name));
        let now = SystemTime::now();
        for (name, credential) in &snapshot.credentials {
            let is_due = self.warned.get(name).is_none_or(|at| at.elapsed() >= WARN_INTERVAL);
            let facts = &credential.facts;
            let ends_soon = facts.holds_for(now).is_some_and(|left| left < WARN_BEFORE);
            if !is_due {
                continue;
            }
            match validity(facts, now) {
                Err(why) => tracing::error!(certificate = %name, "clients will refuse it: {why}"),
                Ok(()) if ends_soon => tracing::warn!(certificate = %name, "it ends on {}", day(facts.not_after)),
                Ok(()) => continue,
            }
            self.warned.insert(name.clone(), Instant::now());
        }
    }
}

/// What names a file of those who vouch for others.
trait Trusting: Clone + PartialEq + Send + 'static {
    fn object(&self) -> ObjectRef;
}

impl Trusting for Listener {
    fn object(&self) -> ObjectRef {
        ObjectRef::Listener(self.name.clone())
    }
}

impl Trusting for TargetGroup {
    fn object(&self) -> ObjectRef {
        ObjectRef::TargetGroup(self.name.clone())
    }
}

fn files_of_group(held: &Held<TargetGroup>) -> impl Iterator<Item = &SourceFile> {
    held.wanted.tls.verify.ca().map(|ca| &ca.file).into_iter()
}

fn files_of_certificate(held: &Held<Certificate>) -> impl Iterator<Item = &SourceFile> {
    held.wanted.files().into_iter().flat_map(|files| [&files.cert, &files.key])
}

fn files_of_listener(held: &Held<Listener>) -> impl Iterator<Item = &SourceFile> {
    held.wanted.tls.iter().filter_map(|tls| tls.client_auth.ca()).map(|ca| &ca.file)
}
