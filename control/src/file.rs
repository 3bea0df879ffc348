//! The configuration file: reading it, saying exactly where it is wrong, and reading it again.
//!
//! TOML becomes the tree that [`crate::schema`] reads; what that finds wrong is led back to line and column.
//! `${VAR}` and `${VAR:-default}` in string values are replaced from the environment on the way (`$${` is a plain
//! `${`). A file must be whole by itself: its listeners forward to target groups it declares.
//! Not here: what keys mean ([`crate::schema`]), watching for signals (the binary).

mod error;
mod expand;
mod reload;
mod tree;

use std::fs::File;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::time::SystemTime;

use lb::model::{
    Declared, Forward, GroupName, HostPort, Listener, ListenerName, Rejected, Target, TargetGroup, TargetId, Weight,
};

pub use error::{FileError, FileProblem, Style};
pub use reload::{ReloadError, Reloaded, Reloader};

use crate::certificates::{self, Ended};
use crate::schema::{self, Problem, Problems, ProcessSettings, Wrong};
use crate::store::Refused;
use tree::Tree;

/// The largest file that is read.
const FILE_BYTES_MAX: u64 = 64 << 20;

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

/// Reads a file, and those it names.
///
/// # Errors
/// [`FileError`]: it cannot be read, or all that is wrong with it, certificates that do not hold now among it.
pub fn load(path: &Path, environment: Environment<'_>) -> Result<Loaded, FileError> {
    load_with(path, environment, Ended::Refused)
}

/// As [`load`], with another mind about certificates that do not hold now.
///
/// # Errors
/// As [`load`].
pub fn load_with(path: &Path, environment: Environment<'_>, ended: Ended<'_>) -> Result<Loaded, FileError> {
    let name = path.display().to_string();
    let fill = |declared: &mut Declared| certificates::fill(declared, ended, SystemTime::now());
    match read(path) {
        Ok(text) => parse_with(&name, &text, environment, fill),
        Err(error) => Err(FileError::unreadable(name, &error.to_string())),
    }
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::other("it is larger than 64 MiB"));
    }
    Ok(text)
}

/// Reads the text of a file; `name` stands for it in what is said. Files that it names are not read.
///
/// # Errors
/// [`FileError`]: all that is wrong with it.
pub fn parse(name: &str, text: &str, environment: Environment<'_>) -> Result<Loaded, FileError> {
    parse_with(name, text, environment, |_| Vec::new())
}

fn parse_with(
    name: &str,
    text: &str,
    environment: Environment<'_>,
    fill: impl FnOnce(&mut Declared) -> Vec<Problem>,
) -> Result<Loaded, FileError> {
    let tree = Tree::parse(text).map_err(|malformed| FileError::malformed(name, text, malformed))?;
    let (document, problems) = tree.document(environment);
    let problems = match schema::read_document(&document) {
        Ok((process, mut declared)) if problems.is_empty() => {
            let mut found = fill(&mut declared);
            let faults = declared.faults();
            let fault = |fault| Problem::at_value(&schema::pointer_to(&document, fault), told(&declared, fault));
            found.extend(faults.iter().map(fault));
            found.extend(unknown_admin_certificate(&process, &declared));
            if found.is_empty() {
                return Ok(Loaded { process, declared });
            }
            found
        }
        Ok(_) => problems,
        Err(found) => both(problems, found),
    };
    Err(FileError::found(name, text, &tree, problems))
}

/// That the admin address is to show a certificate that is not there.
fn unknown_admin_certificate(process: &ProcessSettings, declared: &Declared) -> Option<Problem> {
    let name = process.admin_certificate.as_ref()?;
    if declared.certificates.iter().any(|certificate| certificate.name == *name) {
        return None;
    }
    let wrong = Wrong::new(format!("the admin address is to show certificate {name}, which does not exist"));
    let hint = not_declared(name.as_str(), "certificate", &certificate_names(declared));
    Some(Problem::at_value("/admin/certificate", wrong.hint(hint)))
}

/// What may have been meant by a name that is not declared.
fn not_declared(name: &str, kind: &str, known: &[&str]) -> String {
    match schema::alike(name, known) {
        Some(name) => format!("did you mean `{name}`?"),
        None => format!("declare it with [[{kind}]]"),
    }
}

fn certificate_names(declared: &Declared) -> Vec<&str> {
    declared.certificates.iter().map(|certificate| certificate.name.as_str()).collect()
}

/// What is wrong between the objects of a file, with what may have been meant.
fn told(declared: &Declared, fault: &Rejected) -> Wrong {
    let wrong = Wrong::new(fault.to_string());
    let (missing, kind, known): (_, _, Vec<_>) = match fault {
        Rejected::DanglingForward { target_group, .. } => {
            let known = declared.target_groups.iter().map(|group| group.name.as_str()).collect();
            (target_group.as_str(), "target_group", known)
        }
        Rejected::DanglingCertificate { certificate, .. } => {
            (certificate.as_str(), "certificate", certificate_names(declared))
        }
        Rejected::Mismatch { from, target_group, .. } => {
            let fits = if from.is_stream() { "tcp" } else { "http" };
            return wrong.hint(format!("write protocol = \"{fits}\" for {target_group}, or name another group"));
        }
        _ => return wrong,
    };
    wrong.hint(not_declared(missing, kind, &known))
}

/// Where in a file stands what the store refused, if that is about the file: an object with another owner, an address
/// that cannot be had.
pub fn place(path: &Path, environment: Environment<'_>, refused: &Refused) -> Option<FileError> {
    let name = path.display().to_string();
    let text = read(path).ok()?;
    let tree = Tree::parse(&text).ok()?;
    let (document, _) = tree.document(environment);
    let (pointer, detail) = match refused {
        Refused::Rejected(rejected) => (schema::pointer_to(&document, rejected), rejected.to_string()),
        Refused::Bind(error) => {
            let listener = schema::pointer_to_listener(&document, &error.listener)?;
            (format!("{listener}/bind"), format!("{error}: {}", error.source))
        }
        _ => return None,
    };
    let wrong = match refused {
        Refused::Rejected(Rejected::OwnedBy { .. }) => Wrong::new(detail).hint("or take it out of the file"),
        Refused::Rejected(Rejected::InUse { .. }) => {
            Wrong::new(detail).hint("leave it in the file until nothing needs it any more")
        }
        _ => Wrong::new(detail),
    };
    Some(FileError::found(&name, &text, &tree, vec![Problem::at_value(&pointer, wrong)]))
}

/// Adds what the schema found, less what it found because a value is missing that was wrong already.
fn both(mut problems: Vec<Problem>, found: Problems) -> Vec<Problem> {
    let new = |problem: &Problem| problems.iter().all(|known| known.pointer != problem.pointer);
    let new: Vec<_> = found.into_iter().filter(new).collect();
    problems.extend(new);
    problems
}

/// What `--listen` and `--target` make without a file: HTTP listeners `web`, `web-2`, … in front of one target group
/// `app`. No `--listen` makes no listener.
///
/// # Errors
/// A sentence: a target's address is too long to be its id, or is given twice.
pub fn from_arguments(listen: &[SocketAddr], targets: &[HostPort]) -> Result<Declared, String> {
    let group = GroupName::parse("app").map_err(|error| error.to_string())?;
    let mut declared = Declared { target_groups: vec![TargetGroup::new(group.clone())], ..Declared::default() };
    for (index, bind) in listen.iter().enumerate() {
        let name = if index == 0 { "web".to_owned() } else { format!("web-{}", index + 1) };
        let name = ListenerName::parse(&name).map_err(|error| error.to_string())?;
        declared.listeners.push(Listener::new(name, *bind, Forward::to(group.clone())));
    }
    for address in targets {
        let id = TargetId::parse(&address.to_string()).map_err(|error| error.to_string())?;
        let target = Target { id, address: address.clone(), weight: Weight::default(), zone: None };
        declared.targets.push((group.clone(), target));
    }
    match declared.faults().first() {
        None => Ok(declared),
        Some(fault) => Err(fault.to_string()),
    }
}
