//! What keeps state durable: the trait, and what goes through it. One file a backing.

use std::fmt;
use std::path::PathBuf;

use lb::model::Origin;
use serde_json::Value;

/// Keeps rows through any crash. Called by one thread.
pub trait Backing: fmt::Debug + Send {
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

    /// What stands for it in what is said: the file.
    fn place(&self) -> PathBuf;
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
#[derive(Clone, PartialEq)]
pub struct Row {
    /// Which.
    pub key: RowKey,
    /// Who owns it. Of what the file owns, only adjustments are kept; of what a source has found, the targets as well.
    pub owner: Origin,
    /// The revision that last changed it.
    pub revision: u64,
    /// The object, in schema form.
    pub document: Value,
}

/// Which object a row keeps.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RowKey {
    /// A listener, by name.
    Listener(String),
    /// A certificate, by name.
    Certificate(String),
    /// The keys of TLS session tickets.
    TicketKeys,
    /// The account at the authority that issues certificates.
    AcmeAccount,
    /// What was issued as a certificate, by its name.
    Issued(String),
    /// A load balancer of the ELB API, by account, region and name.
    LoadBalancer(String, String, String),
    /// A target group, by name.
    TargetGroup(String),
    /// A target, by group and id.
    Target(String, String),
    /// What was adjusted on a target, by group and id.
    Adjusted(String, String),
    /// The keys of elbow's own cookies, all in one row.
    CookieKeys,
}

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
        "{path} was made by a newer elbow (format {found}, this one knows {known}); start that version, or move the \
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
        "{path} is damaged: {what}; it was left as it is. Put back a copy of it, or move it away (with the files \
         beside it that begin with its name), start anew and load an export with `elbow state import`"
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

impl fmt::Debug for Row {
    /// A document may hold secrets, which do not get into logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, owner, revision, document: _ } = self;
        let mut row = f.debug_struct("Row");
        row.field("key", key).field("owner", owner).field("revision", revision).finish_non_exhaustive()
    }
}

impl fmt::Display for RowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listener(name) => write!(f, "listener {name}"),
            Self::Certificate(name) => write!(f, "certificate {name}"),
            Self::TicketKeys => write!(f, "the keys of session tickets"),
            Self::AcmeAccount => write!(f, "the account of automatic certificates"),
            Self::Issued(name) => write!(f, "what was issued as certificate {name}"),
            Self::LoadBalancer(account, region, name) => write!(f, "load balancer {account}/{region}/{name}"),
            Self::TargetGroup(name) => write!(f, "target group {name}"),
            Self::Target(group, id) => write!(f, "target {id} of target group {group}"),
            Self::Adjusted(group, id) => write!(f, "what was adjusted on target {id} of target group {group}"),
            Self::CookieKeys => f.write_str("the cookie keys"),
        }
    }
}
