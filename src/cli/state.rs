//! `elbow state …`: all that the API owns, out to a file and back in.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use control::secrets::write_private;
use http::Method;
use serde_json::Value;

use super::output::{Failure, Output};
use crate::client::{Client, Connect};

/// Saves what the admin API owns to a file, or brings it back.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  elbow state export state.json
  elbow state import state.json
  elbow state export - | ssh other-machine elbow state import -")]
pub(super) struct Arguments {
    #[command(flatten)]
    connect: Connect,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Writes everything the API owns (listeners, groups, targets) and the keys of cookies as one JSON document
    ///
    /// Keep it as secret as the admin token; the file is readable by its owner only. A node that imports it knows the
    /// clients that this one bound to targets.
    Export {
        /// Where to; - for standard output
        file: PathBuf,
    },
    /// Replaces everything the API owns by such a document, all of it or nothing
    ///
    /// Without `cookie_keys` in it, the keys of cookies stay as they are.
    Import {
        /// Where from; - for standard input
        file: PathBuf,
    },
}

pub(super) async fn run(arguments: Arguments, output: Output) -> Result<(), Failure> {
    let client = Client::find(&arguments.connect)?;
    match arguments.verb {
        Verb::Export { file } => {
            let state = client.get("/v1/state").await?;
            let text = format!("{}\n", serde_json::to_string_pretty(&state)?);
            write(&file, &text).with_context(|| format!("writing {}", file.display()))?;
            Ok(())
        }
        Verb::Import { file } => {
            let text = read(&file).with_context(|| format!("reading {}", file.display()))?;
            let state: Value =
                serde_json::from_str(&text).with_context(|| format!("{} is not a JSON document", file.display()))?;
            let answer = client.send(Method::PUT, "/v1/state", Some(&state)).await?;
            output.say("imported", &answer)
        }
    }
}

fn read(file: &Path) -> std::io::Result<String> {
    if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text)?;
        return Ok(text);
    }
    std::fs::read_to_string(file)
}

/// For its owner's eyes only: the keys of cookies are in it.
fn write(file: &Path, text: &str) -> std::io::Result<()> {
    if file == Path::new("-") {
        return std::io::stdout().write_all(text.as_bytes());
    }
    write_private(file, text)
}
