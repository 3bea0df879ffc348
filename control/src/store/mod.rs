//! What is wanted, kept: every change is durable before it is answered, and none is kept by half.
//!
//! One thread owns the backing and takes requests from a bounded queue; requests that wait together share a commit,
//! each accepted or refused on its own. Only what the API owns is kept, what sources have found, and what was adjusted on others' targets;
//! what the file declares is read from it again on each start.
//! Not here: what a change means ([`lb::model`]), its notation ([`crate::schema`]).

mod acme;
mod backing;
mod error;
mod lock;
mod open;
mod publish;
mod rows;
mod sqlite;
mod ticket_keys;
mod writer;

use std::sync::Arc;

use lb::model::{Change, Config, Declared, GroupName, ObjectRef, Target};
use lb::state::Live;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

pub use backing::{Backing, BackingError, Commit, Kept, Row, RowKey};
pub use error::{ImportError, OpenError, Refused};
pub use open::{Opened, open, open_with};

use crate::{certificates, schema};
use writer::{Request, Work};

/// The door through which everything wanted enters. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    ask: mpsc::Sender<Request>,
    live: Arc<Live>,
}

/// The thread behind a [`Store`]. It ends when the last [`Store`] is dropped.
#[derive(Debug)]
pub struct StoreThread {
    thread: Option<oneshot::Receiver<()>>,
    publishing: Option<JoinHandle<()>>,
    died: bool,
}

impl StoreThread {
    fn new(thread: oneshot::Receiver<()>, publishing: JoinHandle<()>) -> Self {
        Self { thread: Some(thread), publishing: Some(publishing), died: false }
    }
}

/// What must hold for a change to be made, checked at the moment it is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Precondition {
    /// Nothing.
    None,
    /// The object is there (`If-Match: *`).
    Exists(ObjectRef),
    /// The object is there, and one of these revisions last changed it (`If-Match: "7"`).
    Matches(ObjectRef, Vec<u64>),
    /// The object is not there (`If-None-Match: *`).
    Absent(ObjectRef),
    /// The owner of this target declares it exactly so.
    Declares(GroupName, Target),
    /// All that is wanted is at one of these revisions.
    At(Vec<u64>),
}

/// A change that is durable and taken up by every worker.
#[derive(Debug, Clone)]
pub struct Applied {
    /// The revision that holds it. As before when it changed nothing.
    pub revision: u64,
    /// What it was applied to: tells a creation from a change.
    pub before: Arc<Config>,
    /// What holds with it. Later changes are not in it.
    pub config: Arc<Config>,
}

impl Store {
    /// Applies changes as one: all of them or none. Returns when they are durable and every worker serves by them.
    ///
    /// # Errors
    /// [`Refused`]: nothing was changed (but see [`Refused::NotTakenUp`]).
    pub async fn apply(&self, changes: Vec<Change>, precondition: Precondition) -> Result<Applied, Refused> {
        self.ask(Work::Apply(changes), precondition).await
    }

    /// Takes over what the file declares, in one change, as [`Self::apply`] does.
    ///
    /// # Errors
    /// [`Refused`]: nothing was changed (but see [`Refused::NotTakenUp`]).
    pub async fn declare(&self, declared: Declared) -> Result<Applied, Refused> {
        self.ask(Work::Declare(Box::new(declared)), Precondition::None).await
    }

    /// All that is wanted, as it was last published.
    pub fn config(&self) -> Arc<Config> {
        Arc::clone(&self.live.load().config)
    }

    /// All API-owned state as one JSON document, adjustments of file-owned targets and the keys of cookies among it.
    pub fn export(&self) -> Value {
        schema::write_owned(&self.live.load().config)
    }

    /// Replaces all API-owned state by an exported document, in one change: all of it or nothing. An adjustment of a
    /// target whose owner declares it differently now, or not at all, is left out, as when an owner changes its entry.
    /// Keys of cookies are taken over where the document has any.
    ///
    /// # Errors
    /// [`ImportError`]: nothing was changed.
    pub async fn import(&self, state: &Value, precondition: Precondition) -> Result<Applied, ImportError> {
        let mut owned = Box::new(schema::read_owned(state)?);
        let fill = move || certificates::fill_owned(&mut owned.listeners, &mut owned.groups).map(|()| owned);
        let filled = tokio::task::spawn_blocking(fill).await;
        let owned = filled.map_err(|_| ImportError::Refused(Refused::Stopped))??;
        Ok(self.ask(Work::Replace(owned), precondition).await?)
    }

    async fn ask(&self, work: Work, precondition: Precondition) -> Result<Applied, Refused> {
        let (answer, answered) = oneshot::channel();
        self.ask.send(Request { work, precondition, answer }).await.map_err(|_| Refused::Stopped)?;
        answered.await.unwrap_or(Err(Refused::Stopped))
    }
}

impl Precondition {
    fn check(&self, config: &Config) -> Result<(), Refused> {
        let current = |object| config.revision_of(object);
        let (object, holds) = match self {
            Self::None => return Ok(()),
            Self::At(revisions) if revisions.contains(&config.revision) => return Ok(()),
            Self::At(_) => return Err(Refused::Outdated { current: config.revision }),
            Self::Exists(object) => (object.clone(), current(object).is_some()),
            Self::Matches(object, revisions) => {
                (object.clone(), current(object).is_some_and(|current| revisions.contains(&current)))
            }
            Self::Absent(object) => (object.clone(), current(object).is_none()),
            Self::Declares(group, target) => {
                let declares = config.target(group, &target.id).is_some_and(|held| held.declared == *target);
                (ObjectRef::Target(group.clone(), target.id.clone()), declares)
            }
        };
        if holds { Ok(()) } else { Err(Refused::Precondition { current: current(&object), object }) }
    }
}

impl StoreThread {
    /// Returns when the thread has ended and the state directory is free again: once the last [`Store`] is dropped,
    /// or earlier if it died.
    ///
    /// # Errors
    /// It panicked: changes can no longer be made, and the process should end.
    pub async fn ended(&mut self) -> Result<(), &'static str> {
        if let Some(thread) = &mut self.thread {
            let died = thread.await.is_err();
            (self.thread, self.died) = (None, self.died | died);
        }
        if let Some(publishing) = &mut self.publishing {
            let died = publishing.await.is_err();
            (self.publishing, self.died) = (None, self.died | died);
        }
        if self.died { Err("the store's thread") } else { Ok(()) }
    }
}
