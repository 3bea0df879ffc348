//! `elbow reload`: the running process reads its file again, all of it or nothing.

use http::Method;

use super::output::{Failure, Output};
use crate::client::{Client, Connect};

/// Makes a running elbow read its file again.
///
/// Waits for the outcome: exit code 0, or 1 with the reason, and then nothing changed.
/// All of the file takes effect or nothing does. Connections of listeners and groups that did not change never notice.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  elbow validate -c /etc/elbow/elbow.toml && elbow reload
  elbow reload --state-dir ./state")]
pub(super) struct Arguments {
    #[command(flatten)]
    connect: Connect,
}

pub(super) async fn run(arguments: Arguments, output: Output) -> Result<(), Failure> {
    let answer = Client::find(&arguments.connect)?.send(Method::POST, "/v1/reload", None).await?;
    let revision = answer.get("revision").map(|revision| format!(": revision {revision}")).unwrap_or_default();
    output.say(&format!("reloaded{revision}"), &answer)
}
