//! What is wanted, kept: every change is durable before it is answered, and none is kept by half.
//!
//! One thread owns the backing and takes requests from a bounded queue; requests that wait together share a commit,
//! each accepted or refused on its own. Only what the API owns is kept, and what was adjusted on a file's targets;
//! what the file declares is read from it again on each start.
//! Not here: what a change means ([`lb::model`]), its notation ([`crate::schema`]).

mod backing;
mod error;
mod open;

use std::sync::Arc;

use lb::model::{Change, Config, ObjectRef};
use serde_json::Value;

pub use backing::{Adjusted, Backing, BackingError, Commit, Kept, Row, RowKey};
pub use error::{ImportError, OpenError, Refused};
pub use open::{Opened, open, open_with};

/// The door through which everything wanted enters. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {}

/// The thread behind a [`Store`]. It ends when the last [`Store`] is dropped.
#[derive(Debug)]
pub struct StoreThread {}

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
        let _ = (changes, precondition);
        unreachable!("being written")
    }

    /// All API-owned state as one JSON document, adjustments of file-owned targets among it.
    pub fn export(&self) -> Value {
        unreachable!("being written")
    }

    /// Replaces all API-owned state by an exported document, in one change: all of it or nothing. An adjustment of a
    /// target whose owner declares it differently now, or not at all, is left out, as when an owner changes its entry.
    ///
    /// # Errors
    /// [`ImportError`]: nothing was changed.
    pub async fn import(&self, state: &Value) -> Result<Applied, ImportError> {
        let _ = state;
        unreachable!("being written")
    }
}

impl StoreThread {
    /// Returns when the thread has ended and the state directory is free again: once the last [`Store`] is dropped,
    /// or earlier if it died.
    ///
    /// # Errors
    /// It panicked: changes can no longer be made, and the process should end.
    pub async fn ended(&mut self) -> Result<(), &'static str> {
        unreachable!("being written")
    }
}
