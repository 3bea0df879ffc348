//! The comparison: every peer takes its turn in every round, each time as a new process. Not the sums (`report`).

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use clap::Args;

use crate::load::Load;
use crate::measure::{Cores, Sample, machine};
use crate::peers::{self, Peer};
use crate::report::{Comparison, Named, Run};
use crate::workload::{WORKLOADS, Workload};
use crate::{scratch, write_json};

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Proxies, in the order of their turns
    #[arg(long, value_delimiter = ',', default_value = "haproxy,nginx,elbow")]
    peers: Vec<String>,
    /// Workloads (default: all)
    #[arg(long, value_delimiter = ',')]
    workloads: Vec<String>,
    /// elbow's binary
    #[arg(long, default_value = "target/release/elbow")]
    elbow: PathBuf,
    /// Turns of each proxy with each workload
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Length of a measured run
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// How often a turn is taken until no other process disturbs it
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1000))]
    turns_max: u32,
    /// Where the figures go as JSON
    #[arg(long, default_value = "benches/results/local/compare.json")]
    json: PathBuf,
}

/// A run is measured after this long, and once every client has had an answer.
const WARM_UP: Duration = Duration::from_millis(500);

/// Runs all rounds, writes the JSON and returns the tables.
pub(crate) fn run(options: &Options) -> Result<String> {
    let cores = Cores::find()?;
    let peers = options.peers.iter().map(|name| peers::build(name, &options.elbow)).collect::<Result<Vec<_>>>()?;
    let workloads = choose_workloads(&options.workloads)?;
    let versions = peers.iter().map(|peer| Ok(Named { name: peer.name(), is: peer.version()? }));
    let mut comparison = Comparison {
        measured_at_unix_s: SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs(),
        machine: machine()?,
        rounds: options.rounds,
        run_seconds: options.seconds,
        peers: versions.collect::<Result<_>>()?,
        workloads: workloads.iter().map(|row| Named { name: row.name, is: row.about.to_owned() }).collect(),
        summary: Vec::new(),
        ratios: Vec::new(),
        runs: Vec::new(),
    };
    for round in 1..=options.rounds {
        for workload in &workloads {
            for peer in &peers {
                let run = measure_undisturbed(peer.as_ref(), workload, cores, options);
                let run = run.with_context(|| format!("{} with `{}`, round {round}", peer.name(), workload.name))?;
                comparison.runs.push(Run { round, ..run });
            }
        }
    }
    comparison.sum_up();
    write_json(&options.json, &comparison)?;
    Ok(comparison.tables())
}

/// One turn, taken again where another process took too much of a core; the last one counts whatever happened.
fn measure_undisturbed(peer: &dyn Peer, workload: &Workload, cores: Cores, options: &Options) -> Result<Run> {
    let time = Duration::from_secs(options.seconds);
    for _ in 1..options.turns_max {
        let run = measure(peer, workload, cores, time)?;
        if !run.is_disturbed() {
            return Ok(run);
        }
    }
    measure(peer, workload, cores, time)
}

/// Starts the proxy, warms it up, measures, stops it.
fn measure(peer: &dyn Peer, workload: &Workload, cores: Cores, time: Duration) -> Result<Run> {
    let mut load = Load::new(workload)?;
    let directory = scratch()?;
    let proxy = cores.on_proxy_core(|| peer.start(workload.through, &load.target_addresses(), directory.path()))?;
    load.connect(proxy.address)?;
    load.warm_up(WARM_UP)?;

    let pid = proxy.process.id();
    let (proxy_before, load_before) = (Sample::of_process_tree(pid)?, Sample::of_this_thread()?);
    let outcome = load.run(time)?;
    let (proxy_after, load_after) = (Sample::of_process_tree(pid)?, Sample::of_this_thread()?);

    let (proxy_time, load_time) = (proxy_after.since(&proxy_before), load_after.since(&load_before));
    let elapsed_ns = outcome.elapsed.as_nanos() as f64;
    let microseconds = |quantile| outcome.latency_ns.value_at_quantile(quantile) as f64 / 1000.0;
    Ok(Run {
        round: 0,
        workload: workload.name,
        peer: peer.name(),
        requests: outcome.requests,
        cpu_us_per_request: proxy_time.on_cpu_ns as f64 / 1000.0 / outcome.requests as f64,
        requests_per_s: outcome.requests as f64 / outcome.elapsed.as_secs_f64(),
        p50_us: microseconds(0.5),
        p99_us: microseconds(0.99),
        proxy_busy: proxy_time.on_cpu_ns as f64 / elapsed_ns,
        disturbed: (proxy_time.waiting_ns.max(load_time.waiting_ns)) as f64 / elapsed_ns,
    })
}

fn choose_workloads(names: &[String]) -> Result<Vec<&'static Workload>> {
    if names.is_empty() {
        return Ok(WORKLOADS.iter().collect());
    }
    names.iter().map(|name| Workload::named(name)).collect()
}
