//! One slow target of three: what becomes of the tail, by algorithm, over real connections and beside HAProxy.
//!
//! An open loop at a fixed rate: what is slow puts no request off, and times count from when a request was due. The
//! first target becomes slow as the measured time begins, so finding it out is part of the figures.

use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde::Serialize;

use crate::load::{Load, Pace, TARGETS};
use crate::measure::{Cores, Sample, machine};
use crate::peers::{Elbow, Haproxy, Peer};
use crate::report::{DISTURBED, median, table};
use crate::workload::{Through, WORKLOADS};
use crate::{scratch, write_json};

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// elbow's binary
    #[arg(long, default_value = "target/release/elbow")]
    elbow: PathBuf,
    /// Turns of each algorithm with each load
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Length of a measured run
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=50))]
    seconds: u64,
    /// Only the first so many loads
    #[arg(long, default_value_t = LOADS.len())]
    loads: usize,
    /// How often a turn is taken until no other process disturbs it
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1000))]
    turns_max: u32,
    /// Where the figures go as JSON
    #[arg(long, default_value = "benches/results/local/slow.json")]
    json: PathBuf,
}

/// How often is asked, and how long a target takes that is not slow.
#[derive(Debug, Clone, Copy)]
struct Rate {
    name: &'static str,
    requests_per_s: u32,
    work: Duration,
}

const fn rate(name: &'static str, requests_per_s: u32, work_ms: u64) -> Rate {
    Rate { name, requests_per_s, work: Duration::from_millis(work_ms) }
}

const LOADS: [Rate; 5] = [
    rate("1,000/s, work 0 ms", 1_000, 0),
    rate("3,000/s, work 0 ms", 3_000, 0),
    rate("10,000/s, work 0 ms", 10_000, 0),
    rate("200/s, work 0 ms", 200, 0),
    rate("1,000/s, work 10 ms", 1_000, 10),
];

const SLOW: usize = 0;
const SLOW_BY: Duration = Duration::from_millis(200);
const WARM_UP: Duration = Duration::from_secs(1);

/// Who takes turns: each algorithm of elbow's that knows of load, each of HAProxy's that is like one, and both's rotation.
const CONTENDERS: [(&str, &str); 7] = [
    ("elbow", "round_robin"),
    ("elbow", "least_outstanding_requests"),
    ("elbow", "random_of_two"),
    ("elbow", "peak_ewma"),
    ("haproxy", "roundrobin"),
    ("haproxy", "leastconn"),
    ("haproxy", "random(2)"),
];

#[derive(Debug, Serialize)]
struct Figures {
    machine: String,
    rounds: u32,
    run_seconds: u64,
    summary: Vec<Row>,
    runs: Vec<Row>,
}

/// One turn, or the medians of all.
#[derive(Debug, Clone, Serialize)]
struct Row {
    load: &'static str,
    proxy: &'static str,
    algorithm: &'static str,
    p50_ms: f64,
    p99_ms: f64,
    p999_ms: f64,
    /// The part of all requests that the slow target had.
    slow_share: f64,
    /// Share in which the proxy or the load was ready and another task had its core.
    disturbed: f64,
}

/// Runs all rounds, writes the JSON and returns the table.
pub(crate) fn run(options: &Options) -> Result<String> {
    let cores = Cores::find()?;
    let mut runs = Vec::new();
    let loads = &LOADS[..options.loads.min(LOADS.len())];
    for round in 1..=options.rounds {
        for load in loads {
            for (proxy, algorithm) in CONTENDERS {
                let row = measure_undisturbed(*load, proxy, algorithm, cores, options);
                runs.push(row.with_context(|| format!("{proxy} {algorithm} at {}, round {round}", load.name))?);
            }
        }
    }
    let of_load = |load| CONTENDERS.into_iter().map(move |contender| (load, contender));
    let rows = loads.iter().flat_map(of_load);
    let summary = rows.filter_map(|(load, (proxy, algorithm))| {
        let is_of = |run: &&Row| (run.load, run.proxy, run.algorithm) == (load.name, proxy, algorithm);
        Row::median(&runs.iter().filter(is_of).collect::<Vec<_>>())
    });
    let summary = summary.collect();
    let figures = Figures { machine: machine()?, rounds: options.rounds, run_seconds: options.seconds, summary, runs };
    write_json(&options.json, &figures)?;
    Ok(figures.tables())
}

fn measure_undisturbed(
    load: Rate,
    proxy: &'static str,
    algorithm: &'static str,
    cores: Cores,
    options: &Options,
) -> Result<Row> {
    for _ in 1..options.turns_max {
        let row = measure(load, proxy, algorithm, cores, options)?;
        if row.disturbed <= DISTURBED {
            return Ok(row);
        }
    }
    measure(load, proxy, algorithm, cores, options)
}

/// Starts the proxy, warms it up with three targets alike, lets one of them become slow, measures, stops it.
fn measure(rate: Rate, proxy: &'static str, algorithm: &'static str, cores: Cores, options: &Options) -> Result<Row> {
    let peer: Box<dyn Peer> = match proxy {
        "elbow" => Box::new(Elbow::new(options.elbow.clone(), algorithm)),
        _ => Box::new(Haproxy::balancing(algorithm)),
    };
    let mut load = Load::paced(&WORKLOADS[0], Pace::of(rate.requests_per_s))?;
    (0..TARGETS).for_each(|target| load.delay(target, rate.work));
    let directory = scratch()?;
    let running = cores.on_proxy_core(|| peer.start(Through::Http, &load.target_addresses(), directory.path()))?;
    load.connect(running.address)?;
    load.warm_up(WARM_UP)?;
    load.delay(SLOW, SLOW_BY + rate.work);

    let pid = running.process.id();
    let (proxy_before, load_before) = (Sample::of_process_tree(pid)?, Sample::of_this_thread()?);
    let outcome = load.run(Duration::from_secs(options.seconds))?;
    let (proxy_after, load_after) = (Sample::of_process_tree(pid)?, Sample::of_this_thread()?);
    let waited = [proxy_after.since(&proxy_before), load_after.since(&load_before)].map(|time| time.waiting_ns);
    let answered: u64 = outcome.answered.iter().sum();
    ensure!(answered == outcome.requests, "targets answered {answered}, clients got {}", outcome.requests);
    let milliseconds = |quantile| outcome.latency_ns.value_at_quantile(quantile) as f64 / 1e6;
    Ok(Row {
        load: rate.name,
        proxy,
        algorithm,
        p50_ms: milliseconds(0.5),
        p99_ms: milliseconds(0.99),
        p999_ms: milliseconds(0.999),
        slow_share: outcome.answered[SLOW] as f64 / answered as f64,
        disturbed: waited[0].max(waited[1]) as f64 / outcome.elapsed.as_nanos() as f64,
    })
}

impl Row {
    fn median(runs: &[&Self]) -> Option<Self> {
        let of = |figure: fn(&Self) -> f64| median(runs.iter().map(|run| figure(run)).collect());
        Some(Self {
            p50_ms: of(|run| run.p50_ms),
            p99_ms: of(|run| run.p99_ms),
            p999_ms: of(|run| run.p999_ms),
            slow_share: of(|run| run.slow_share),
            disturbed: of(|run| run.disturbed),
            ..(*runs.first()?).clone()
        })
    }

    fn cells(&self, rotation: f64) -> Vec<String> {
        vec![
            self.proxy.to_owned(),
            self.algorithm.to_owned(),
            format!("{:.2}", self.p50_ms),
            format!("{:.1}", self.p99_ms),
            format!("{:.1}", self.p999_ms),
            format!("{:.2} %", self.slow_share * 100.0),
            format!("{:.2}", self.p99_ms / rotation),
        ]
    }
}

impl Figures {
    /// A table for each load, in Markdown.
    fn tables(&self) -> String {
        let (rounds, seconds) = (self.rounds, self.run_seconds);
        let mut text = format!("{}; medians of {rounds} interleaved runs of {seconds} s\n", self.machine);
        for rows in self.summary.chunk_by(|row, next| row.load == next.load) {
            _ = write!(text, "\n{}\n", rows[0].load);
            let heading = ["proxy", "algorithm", "p50 ms", "p99 ms", "p99.9 ms", "slow share", "p99 / round_robin's"];
            text += &table(&heading, rows.iter().map(|row| row.cells(rows[0].p99_ms)));
        }
        let disturbed = self.runs.iter().filter(|run| run.disturbed > DISTURBED).count();
        if disturbed > 0 {
            let runs = self.runs.len();
            _ = writeln!(text, "disturbed: in {disturbed} of {runs} runs another process took over 5 % of a core");
        }
        text
    }
}
