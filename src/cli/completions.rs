//! `elbow completions`: what a shell needs to complete elbow's verbs and flags.

use clap_complete::Shell;

use super::output::{Failure, write_out};

/// Writes completions for a shell.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  elbow completions bash > /etc/bash_completion.d/elbow
  elbow completions fish > ~/.config/fish/completions/elbow.fish")]
pub(super) struct Arguments {
    /// The shell.
    shell: Shell,
}

pub(super) fn run(arguments: &Arguments, definitions: &mut clap::Command) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, definitions, "elbow", &mut script);
    write_out(&String::from_utf8_lossy(&script))
}
