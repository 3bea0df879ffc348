//! elbow's benches. `compare` puts elbow side by side with real proxies, `scale` asks what very many targets cost, `pick`
//! what one choice costs, `simulate` what choices are good for, `slow` what one slow target does to the tail, `storm` what
//! very many handshakes do to those who are connected, and `latency` what a proxy adds at fixed rates.
//! What the figures mean stands in `benches/README.md`.

mod admin;
mod balancing;
mod compare;
mod latency;
mod load;
mod measure;
mod peers;
mod pick;
mod report;
mod scale;
mod simulate;
mod slow;
mod storm;
mod workload;

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use serde::Serialize;

#[derive(Debug, Parser)]
#[command(about = "elbow's benches", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// CPU per request, requests per second and latency, side by side with other proxies
    Compare(compare::Options),
    /// Start, registrations and memory with very many targets in one group
    Scale(scale::Options),
    /// What one choice costs, by algorithm and number of targets (needs valgrind)
    Pick(pick::Options),
    /// What choices are good for: every algorithm over simulated targets, in virtual time
    Simulate(simulate::Options),
    /// The tail when one target of three is slow, by algorithm, beside HAProxy
    Slow(slow::Options),
    /// Kept connections while very many handshakes come in, beside HAProxy and nginx
    Storm(storm::Options),
    /// Latency at fixed rates, beside HAProxy, nginx and no proxy at all
    Latency(latency::Options),
    #[command(hide = true)]
    Picks(pick::Picks),
}

fn main() -> Result<()> {
    let tables = match Cli::parse().command {
        Command::Compare(options) => compare::run(&options)?,
        Command::Scale(options) => scale::run(&options)?,
        Command::Pick(options) => pick::run(&options)?,
        Command::Simulate(options) => simulate::run(&options)?,
        Command::Slow(options) => slow::run(&options)?,
        Command::Storm(options) => storm::run(&options)?,
        Command::Latency(options) => latency::run(&options)?,
        Command::Picks(options) => pick::picks(&options)?,
    };
    Ok(io::stdout().write_all(tables.as_bytes())?)
}

/// A directory for one run's files. Beside the results and not under `/tmp`, which may be no disk at all.
fn scratch() -> Result<tempfile::TempDir> {
    let parent = Path::new("benches/results/local");
    fs::create_dir_all(parent).context("run the bench from the root of the repository")?;
    Ok(tempfile::Builder::new().prefix("run-").tempdir_in(parent.canonicalize()?)?)
}

fn write_json(path: &Path, figures: &impl Serialize) -> Result<()> {
    let file = File::create(path).with_context(|| path.display().to_string())?;
    let mut file = BufWriter::new(file);
    serde_json::to_writer_pretty(&mut file, figures)?;
    writeln!(file)?;
    Ok(file.flush()?)
}
