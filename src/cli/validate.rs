//! `elbow validate`: whether a file is right, and if not, where and why.

use std::io::IsTerminal;
use std::path::PathBuf;

use control::file::{self, FileError, Style};
use serde_json::json;

use super::output::{Failure, Output};
use crate::logging;

/// Checks a configuration file.
///
/// Exit code 0, or 2 with line, column, what is wrong and a hint for each mistake.
/// Nothing is bound, resolved or written: it can run anywhere the file is.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  elbow validate -c elbow.toml
  elbow validate -c elbow.toml --output json | jq '.problems[]'")]
pub(super) struct Arguments {
    /// The file
    #[arg(short, long, value_name = "FILE")]
    config: PathBuf,
}

pub(super) fn run(arguments: &Arguments, output: Output) -> Result<(), Failure> {
    let loaded = file::load(&arguments.config, &|name| std::env::var(name).ok()).map_err(|error| invalid(&error))?;
    let declared = &loaded.declared;
    let (listeners, groups) = (declared.listeners.len(), declared.target_groups.len());
    let targets = declared.targets.len();
    let text = format!(
        "{} is valid: {}, {}, {}",
        arguments.config.display(),
        counted(listeners, "listener"),
        counted(groups, "target group"),
        counted(targets, "target"),
    );
    let value = json!({ "valid": true, "listeners": listeners, "target_groups": groups, "targets": targets });
    output.say(&text, &value)
}

/// A wrong file as the failure of a verb.
pub(super) fn invalid(error: &FileError) -> Failure {
    let style = match std::io::stderr().is_terminal() {
        true => Style::Drawn { colour: logging::colours() },
        false => Style::Plain,
    };
    let json = json!({ "valid": false, "file": error.file(), "problems": error.problems() });
    Failure::Invalid { text: error.render(style), json }
}

fn counted(count: usize, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}
