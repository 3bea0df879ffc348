//! `elbow version`: version, commit and target.

use serde_json::json;

use super::output::{Failure, Output};
use crate::version::{COMMIT, TARGET, VERSION};

/// Shows version, commit and target.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {}

pub(super) fn run(_: &Arguments, output: Output) -> Result<(), Failure> {
    let text = format!("elbow {VERSION} (commit {COMMIT}, {TARGET})");
    output.say(&text, &json!({ "version": VERSION, "commit": COMMIT, "target": TARGET }))
}
