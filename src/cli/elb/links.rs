//! `elbow install-links DIR`: links to this program under the names of the commands of 2010.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::names;
use crate::cli::output::{Failure, Output};

/// Makes or refreshes links to elbow named as the commands of 2010: elb-create-lb, elb-describe-lbs, …
///
/// What stands under such a name and is no link to an elbow is never replaced; then no link is made at all.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  elbow install-links /usr/local/bin && elb-describe-lbs")]
pub(crate) struct Arguments {
    /// The directory to make them in, best one that PATH names
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

pub(crate) fn run(arguments: &Arguments, output: Output) -> Result<(), Failure> {
    let program = std::env::current_exe().context("where this program is")?;
    let named = || arguments.directory.display().to_string();
    let directory = arguments.directory.canonicalize().with_context(named)?;
    // Side by side, they may be moved together.
    let target = match (program.parent(), program.file_name()) {
        (Some(parent), Some(name)) if parent == directory => PathBuf::from(name),
        _ => program,
    };
    let links: Vec<_> = names().iter().map(|name| arguments.directory.join(name)).collect();
    for link in &links {
        refuse_what_is_not_ours(link)?;
    }
    for link in &links {
        make(link, &target).with_context(|| link.display().to_string())?;
    }
    let made: Vec<_> = links.iter().map(|link| format!("{} -> {}", link.display(), target.display())).collect();
    output.say(&made.join("\n"), &links)
}

fn refuse_what_is_not_ours(link: &Path) -> anyhow::Result<()> {
    let named = || link.display().to_string();
    match fs::symlink_metadata(link) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_context(named),
        Ok(there) if !there.is_symlink() => bail!("{} is there and no link: nothing was made", named()),
        Ok(_) => {}
    }
    let target = fs::read_link(link).with_context(named)?;
    let is_elbow = target.file_name().is_some_and(|name| name.to_string_lossy().starts_with("elbow"));
    if !is_elbow {
        bail!("{} links to {}, which is no elbow: nothing was made", named(), target.display());
    }
    Ok(())
}

/// Makes a link at once: whoever calls it meanwhile finds the old one or the new one.
fn make(link: &Path, target: &Path) -> std::io::Result<()> {
    let mut unfinished = link.as_os_str().to_owned();
    unfinished.push(".new");
    let unfinished = PathBuf::from(unfinished);
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    symlink(target, &unfinished)?;
    fs::rename(&unfinished, link)
}
