//! Why a state directory could not be opened, and why a change was refused.

use std::path::PathBuf;
use std::sync::Arc;

use lb::listen::BindError;
use lb::model::{ObjectRef, Rejected};

use super::BackingError;
use crate::schema::{Problem, Problems};

/// Why a change was not made.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Refused {
    /// It does not fit what is wanted.
    #[error(transparent)]
    Rejected(#[from] Rejected),
    /// The precondition does not hold.
    #[error("{}", match current {
        Some(revision) => format!("{object} is there, at revision {revision}"),
        None => format!("there is no {object}"),
    })]
    Precondition {
        /// The object.
        object: ObjectRef,
        /// The revision that last changed it, where there is one.
        current: Option<u64>,
    },
    /// All that is wanted is at another revision than was asked for.
    #[error("the configuration is at revision {current}")]
    Outdated {
        /// The revision that holds.
        current: u64,
    },
    /// A listener's address cannot be had.
    #[error(transparent)]
    Bind(#[from] Arc<BindError>),
    /// It could not be made durable.
    #[error("the change could not be kept")]
    NotKept(#[source] Arc<BackingError>),
    /// It is durable, but workers have not taken it up in time.
    #[error("the change is kept as revision {revision}, but not every worker has taken it up in time")]
    NotTakenUp {
        /// The revision that holds it.
        revision: u64,
    },
    /// The store has stopped.
    #[error("elbow is stopping")]
    Stopped,
}

/// Why an exported document was not taken in.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ImportError {
    /// The document is wrong.
    #[error(transparent)]
    Document(#[from] Problems),
    /// It does not fit what is wanted.
    #[error(transparent)]
    Refused(#[from] Refused),
}

impl From<Problem> for ImportError {
    fn from(problem: Problem) -> Self {
        Self::Document(problem.into())
    }
}

/// Why a state directory could not be opened. Nothing in it was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory or a file in it cannot be used.
    #[error("cannot {action} {path}")]
    File {
        /// What was tried.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another elbow holds it.
    #[error("the state directory {dir} is held by another elbow{}", match holder {
        Some(pid) => format!(", process {pid}"),
        None => String::new(),
    })]
    Held {
        /// The directory.
        dir: PathBuf,
        /// The process that holds it, where it said so.
        holder: Option<u32>,
    },
    /// The backing refused.
    #[error(transparent)]
    Backing(#[from] BackingError),
}
