//! What keeps state durable: the trait, and what goes through it. One file a backing.

use std::fmt::Debug;
use std::path::PathBuf;

use serde_json::Value;

/// Keeps rows through any crash. Called by one thread.
pub trait Backing: Debug + Send {
    /// Everything that is kept.
    ///
    /// # Errors
    /// [`BackingError`].
    fn load(&mut self) -> Result<Kept, BackingError>;

    /// Makes a commit durable, all of it or nothing.
    ///
    /// # Errors
    /// [`BackingError`]: nothing of it is kept.
    fn commit(&mut self, commit: &Commit) -> Result<(), BackingError>;
}

/// Everything that is kept.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Kept {
    /// The newest revision ever given out.
    pub revision: u64,
    /// One row for each object.
    pub rows: Vec<Row>,
}

/// One kept object.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Which.
    pub key: RowKey,
    /// The revision that last changed it.
    pub revision: u64,
    /// The object, in schema form.
    pub document: Value,
}

/// Which object a row keeps. All but adjustments are owned by the API.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum RowKey {
    /// A listener, by name.
    Listener(String),
    /// A target group, by name.
    TargetGroup(String),
    /// A target, by group and id.
    Target(String, String),
    /// What was adjusted on a target of any owner, by group and id.
    Adjusted(String, String),
}

/// What was adjusted, with the entry it was adjusted on.
#[derive(Debug, Clone, PartialEq)]
pub struct Adjusted {}

/// What one commit makes durable.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Commit {
    /// The newest revision given out.
    pub revision: u64,
    /// Rows to write.
    pub put: Vec<Row>,
    /// Rows to remove.
    pub delete: Vec<RowKey>,
    /// What was changed, for the history: revision and what, in words.
    pub history: Vec<(u64, String)>,
}

/// Why a backing could not keep or give what it should.
#[derive(Debug, thiserror::Error)]
pub enum BackingError {
    /// It was made by a newer version.
    #[error(
        "{path} was made by a newer elbow (format {found}, this one knows {known}): start that version, or move the \
         file away to begin anew"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The newest format known here.
        known: i64,
    },
    /// It is damaged.
    #[error(
        "{path} is damaged ({what}): keep a copy of it, put back a backup, or move it away, start anew and load an \
         export with `elbow state import`"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// Reading or writing failed.
    #[error("cannot {action} {path}")]
    Failed {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
