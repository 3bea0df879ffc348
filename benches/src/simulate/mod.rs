//! What algorithms are good for: the real balancers in virtual time, over targets that are simulated.
//!
//! Everything of elbow's is real, from the configuration over `compile` and its ramps to the choice and the counts;
//! what is made up are the clock, the requests, and how long targets work on them. Every algorithm meets the same
//! arrivals, and every run is the same on every machine.

mod clients;
mod figures;
mod house;
mod scenario;
mod svg;
mod world;

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;

use crate::balancing::ALGORITHMS;
use crate::report::table;
use crate::write_json;
use clients::Clients;
use figures::Row;
use scenario::{SCENARIOS, SIZES, Size};
use world::World;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Only a part of the requests, for a first look
    #[arg(long, default_value_t = 1.0)]
    part: f64,
    /// Only this algorithm
    #[arg(long)]
    only: Option<String>,
    /// Where the picture goes
    #[arg(long, default_value = "benches/results/local/simulate.svg")]
    svg: PathBuf,
    /// Where the figures go as JSON
    #[arg(long, default_value = "benches/results/local/simulate.json")]
    json: PathBuf,
}

/// Runs the simulation, writes the picture and the JSON, and returns the tables.
pub(crate) fn run(options: &Options) -> Result<String> {
    let clients = Clients::new();
    let (mut rows, mut text) = (Vec::new(), String::new());
    for size in SIZES {
        let size = Size { requests: (size.requests as f64 * options.part) as usize, ..size };
        let rows_before = rows.len();
        for scenario in &SCENARIOS {
            for (name, algorithm) in
                ALGORITHMS.iter().filter(|(name, _)| options.only.as_deref().is_none_or(|only| only == *name))
            {
                let figures = World::of(scenario, size, *algorithm, &clients)?.run()?;
                rows.push(figures.sum_up(scenario.name, name, size.targets, size.workers));
            }
        }
        _ = write!(text, "\n{} targets, {} workers\n", size.targets, size.workers);
        let heading = ["scenario", "algorithm", "p50 ms", "p99 ms", "p99.9 ms", "imbalance", "odd ones' share"];
        text += &table(&heading, rows[rows_before..].iter().map(Row::cells));
    }
    write_json(&options.json, &rows)?;
    fs::write(&options.svg, svg::draw(&rows)).with_context(|| options.svg.display().to_string())?;
    Ok(text)
}
