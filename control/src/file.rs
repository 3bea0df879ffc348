//! The configuration file: reading it, saying exactly where it is wrong, and reading it again.
//!
//! TOML becomes the tree that [`crate::schema`] reads; what that finds wrong is led back to line and column.
//! `${VAR}` and `${VAR:-default}` in string values are replaced from the environment on the way (`$${` is a plain
//! `${`). A file must be whole by itself: its listeners forward to target groups it declares.
//! Not here: what keys mean ([`crate::schema`]), watching for signals (the binary).

mod error;
mod reload;

use std::net::SocketAddr;
use std::path::Path;

use lb::model::{Declared, HostPort};

pub use error::{FileError, FileProblem, Style};
pub use reload::{ReloadError, Reloaded, Reloader};

use crate::schema::ProcessSettings;

/// Where `${VAR}` is looked up: `&|name| std::env::var(name).ok()` in a process.
pub type Environment<'a> = &'a (dyn Fn(&str) -> Option<String> + Send + Sync);

/// A file, read and found legal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// What it says of the process itself; takes a restart.
    pub process: ProcessSettings,
    /// All else it wants, as one set. Hand it to the store as [`lb::model::Change::Declare`] of the file.
    pub declared: Declared,
}

/// Reads a file.
///
/// # Errors
/// [`FileError`]: it cannot be read, or all that is wrong with it.
pub fn load(path: &Path, environment: Environment<'_>) -> Result<Loaded, FileError> {
    let _ = (path, environment);
    unreachable!("being written")
}

/// Reads the text of a file; `name` stands for it in what is said.
///
/// # Errors
/// [`FileError`]: all that is wrong with it.
pub fn parse(name: &str, text: &str, environment: Environment<'_>) -> Result<Loaded, FileError> {
    let _ = (name, text, environment);
    unreachable!("being written")
}

/// What `--listen` and `--target` make without a file: HTTP listeners `web`, `web-2`, … in front of one target group
/// `app`. No `--listen` makes no listener.
pub fn from_arguments(listen: &[SocketAddr], targets: &[HostPort]) -> Declared {
    let _ = (listen, targets);
    unreachable!("being written")
}
