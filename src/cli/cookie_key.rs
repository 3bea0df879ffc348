//! `elbow cookie-key …`: the keys with which elbow seals its own cookies.

use http::Method;
use serde_json::Value;

use super::output::{Failure, Output, cell, table};
use crate::client::{Client, Connect};

/// Rotates and lists the keys that seal elbow's own cookies.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  elbow cookie-key list
  elbow cookie-key rotate
  elbow cookie-key list --output json | jq -r '.[] | select(.seals) | .id'")]
pub(super) struct Arguments {
    #[command(flatten)]
    connect: Connect,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Seals new cookies with a new key
    ///
    /// Cookies that older keys sealed still hold, so that no client loses its target. Eight keys are kept: the oldest of
    /// more is dropped, and clients that still come with its cookies get new ones, perhaps at another target.
    #[command(after_help = "\
Examples:
  elbow cookie-key rotate
  elbow cookie-key rotate && elbow state export - | ssh other-machine elbow state import -")]
    Rotate,
    /// Lists the ids of the keys, the newest first; never the keys themselves
    List,
}

pub(super) async fn run(arguments: Arguments, output: Output) -> Result<(), Failure> {
    let client = Client::find(&arguments.connect)?;
    match arguments.verb {
        Verb::Rotate => {
            let keys = client.send(Method::POST, "/v1/cookie-keys/rotate", None).await?;
            let newest = keys.get(0).map(|key| cell(key, "id")).unwrap_or_default();
            output.say(&format!("new cookies are sealed with key {newest}"), &keys)
        }
        Verb::List => {
            let keys = client.get("/v1/cookie-keys").await?;
            output.say(&keys_table(&keys), &keys)
        }
    }
}

fn keys_table(keys: &Value) -> String {
    let does = |key: &Value| if cell(key, "seals") == "true" { "seals and opens" } else { "opens" };
    let row = |key: &Value| [cell(key, "id"), does(key).to_owned()];
    table(["COOKIE KEY", "DOES"], keys.as_array().into_iter().flatten().map(row).collect())
}
