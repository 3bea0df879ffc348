//! Latency at fixed rates: what a proxy adds to a direct connection, elbow beside HAProxy and nginx.
//!
//! An open loop: requests are due at random at a fixed rate on connections that are kept, and a time counts from when a
//! request was due, so that what an answer puts off is in the figures too. Many short turns are pooled, because the tail of
//! a single one is decided by whoever else wanted its core.

use std::fmt::Write;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;
use hdrhistogram::Histogram;
use serde::Serialize;

use crate::load::{Load, Outcome, Pace};
use crate::measure::{Cores, Sample, TaskTime, machine, process_tree};
use crate::peers::{self, Elbow, Peer};
use crate::report::{median, table};
use crate::workload::{Through, Workload};
use crate::{scratch, write_json};

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Proxies, in the order of their turns, which come after those without a proxy
    #[arg(long, value_delimiter = ',', default_value = "haproxy,nginx,elbow")]
    peers: Vec<String>,
    /// elbow's binary
    #[arg(long, default_value = "target/release/elbow")]
    elbow: PathBuf,
    /// Turns of each proxy at each rate
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Length of a measured run
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=50))]
    seconds: u64,
    /// Client connections
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..=900))]
    connections: u16,
    /// Run the proxies under SCHED_FIFO (needs `chrt` and the right to do so)
    #[arg(long)]
    realtime: bool,
    /// How often a turn is taken until no other process disturbs it
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1000))]
    turns_max: u32,
    /// Where the figures go as JSON
    #[arg(long, default_value = "benches/results/local/latency.json")]
    json: PathBuf,
}

/// The rate at which nobody is busy, and the shares of what elbow can do.
const LOW_REQUESTS_PER_S: u32 = 20_000;
const SHARES_OF_CAPACITY: [(&str, f64); 3] =
    [("30 % of elbow's capacity", 0.3), ("60 % of elbow's capacity", 0.6), ("85 % of elbow's capacity", 0.85)];
const CAPACITY_TURNS: u32 = 5;
const WARM_UP: Duration = Duration::from_millis(500);
const DIRECT: &str = "direct";
/// What a proxy adds, and a target would see: a direct request has it already, so that targets do the same work.
const FORWARDED: &[&str] = &["X-Forwarded-For: 127.0.0.1"];
/// Where a hundredth of the time was somebody else's, so may be each of the slowest hundredth of requests.
const DISTURBED: f64 = 0.01;
const LATENCY_NS_MAX: u64 = 60_000_000_000;

#[derive(Debug, Clone, Copy)]
struct Rate {
    name: &'static str,
    requests_per_s: u32,
}

/// One turn of one peer.
struct Turn {
    outcome: Outcome,
    proxy: TaskTime,
    load: TaskTime,
}

/// All turns of one peer at one rate.
struct Pool {
    latency_ns: Histogram<u64>,
    turns: Vec<Turn>,
}

#[derive(Debug, Serialize)]
struct Figures {
    machine: String,
    rounds: u32,
    run_seconds: u64,
    connections: u16,
    realtime: bool,
    peers: Vec<String>,
    elbows_capacity_requests_per_s: f64,
    rows: Vec<Row>,
}

/// Over all turns of one peer at one rate. A percentile is absent where so much was never even asked.
#[derive(Debug, Clone, Serialize)]
struct Row {
    rate: &'static str,
    due_requests_per_s: u32,
    proxy: &'static str,
    answered_requests_per_s: f64,
    p50_us: Option<f64>,
    p99_us: Option<f64>,
    p999_us: Option<f64>,
    added_p50_us: Option<f64>,
    added_p99_us: Option<f64>,
    added_p999_us: Option<f64>,
    /// The p99 of the turn in the middle, and of the best and the worst.
    p99_us_of_turns: [f64; 3],
    /// Time in which a thread of the proxy was ready and another task had its core, per second.
    proxy_waited_ms_per_s: f64,
    cpu_us_per_request: f64,
    proxy_busy: f64,
    turns: usize,
    turns_disturbed: usize,
}

/// Measures what elbow can do, then runs all rounds, writes the JSON and returns the table.
pub(crate) fn run(options: &Options) -> Result<String> {
    let cores = Cores::find()?;
    let peers = options.peers.iter().map(|name| peers::build(name, &options.elbow)).collect::<Result<Vec<_>>>()?;
    let contenders: Vec<Option<&dyn Peer>> = [None].into_iter().chain(peers.iter().map(|peer| Some(&**peer))).collect();
    let capacity = capacity(cores, options).context("elbow's capacity")?;
    let shares = SHARES_OF_CAPACITY.map(|(name, share)| Rate { name, requests_per_s: (capacity * share) as u32 });
    let low = Rate { name: "20,000/s", requests_per_s: LOW_REQUESTS_PER_S };
    let rates: Vec<Rate> = [low].into_iter().chain(shares).collect();
    let mut pools = Vec::new();
    for _ in 0..rates.len() * contenders.len() {
        pools.push(Pool { latency_ns: Histogram::new_with_max(LATENCY_NS_MAX, 3)?, turns: Vec::new() });
    }
    for round in 1..=options.rounds {
        let turns = rates.iter().flat_map(|rate| contenders.iter().map(move |contender| (rate, *contender)));
        for ((rate, contender), pool) in turns.zip(&mut pools) {
            let turn = measure_undisturbed(contender, *rate, cores, options);
            pool.take(turn.with_context(|| format!("{} at {}, round {round}", name(contender), rate.name))?)?;
        }
    }
    let mut rows = Vec::new();
    for (rate, pools) in rates.iter().zip(pools.chunks(contenders.len())) {
        let direct = pools[0].row(*rate, DIRECT, None);
        rows.extend(contenders.iter().zip(pools).map(|(of, pool)| pool.row(*rate, name(*of), Some(&direct))));
    }
    let figures = Figures {
        machine: machine()?,
        rounds: options.rounds,
        run_seconds: options.seconds,
        connections: options.connections,
        realtime: options.realtime,
        peers: peers.iter().map(|peer| peer.version()).collect::<Result<_>>()?,
        elbows_capacity_requests_per_s: capacity,
        rows,
    };
    write_json(&options.json, &figures)?;
    Ok(figures.table())
}

fn name(contender: Option<&dyn Peer>) -> &'static str {
    contender.map_or(DIRECT, Peer::name)
}

/// Requests per second where every client asks again at once, in the middle of some turns.
fn capacity(cores: Cores, options: &Options) -> Result<f64> {
    let elbow = Elbow::new(options.elbow.clone(), "round_robin");
    let mut rates = Vec::new();
    for _ in 0..CAPACITY_TURNS {
        let load = Load::new(Workload::named("small")?)?;
        let Outcome { requests, elapsed, .. } = turn(Some(&elbow), load, cores, options)?.outcome;
        rates.push(requests as f64 / elapsed.as_secs_f64());
    }
    Ok(median(rates))
}

/// One turn, taken again where another process took too much of a core; the last one counts whatever happened.
fn measure_undisturbed(contender: Option<&dyn Peer>, rate: Rate, cores: Cores, options: &Options) -> Result<Turn> {
    let request_headers = if contender.is_none() { FORWARDED } else { &[] };
    let clients = usize::from(options.connections);
    let workload = Workload { clients, request_headers, ..*Workload::named("small")? };
    let measure = || {
        let load = Load::beside(&workload, Pace::of(rate.requests_per_s).without_more_clients(), None)?;
        turn(contender, load, cores, options)
    };
    for _ in 1..options.turns_max {
        let turn = measure()?;
        if !turn.is_disturbed() {
            return Ok(turn);
        }
    }
    measure()
}

/// Starts the proxy if there is one, warms it up, measures, stops it.
fn turn(contender: Option<&dyn Peer>, mut load: Load, cores: Cores, options: &Options) -> Result<Turn> {
    let directory = scratch()?;
    let start = |peer: &dyn Peer| peer.start(Through::Http, &load.target_addresses(), directory.path());
    let proxy = match contender {
        None => cores.on_proxy_core(|| Ok(None))?,
        Some(peer) => cores.on_proxy_core(|| start(peer).map(Some))?,
    };
    let pid = proxy.as_ref().map(|proxy| proxy.process.id());
    if let (Some(pid), true) = (pid, options.realtime) {
        make_realtime(pid)?;
    }
    load.connect(proxy.as_ref().map_or(load.target_addresses()[0], |proxy| proxy.address))?;
    load.warm_up(WARM_UP)?;

    let sample = || Ok::<_, anyhow::Error>((pid.map(Sample::of_process_tree).transpose()?, Sample::of_this_thread()?));
    let (proxy_before, load_before) = sample()?;
    let outcome = load.run(Duration::from_secs(options.seconds))?;
    let (proxy_after, load_after) = sample()?;
    let proxy_time = proxy_after.zip(proxy_before).map(|(after, before)| after.since(&before));
    Ok(Turn { outcome, proxy: proxy_time.unwrap_or_default(), load: load_after.since(&load_before) })
}

/// All threads of the proxy go before whatever is not realtime; those it starts later inherit that.
fn make_realtime(proxy: u32) -> Result<()> {
    for pid in process_tree(proxy)? {
        let output = Command::new("chrt").args(["--all-tasks", "--fifo", "--pid", "1", &pid.to_string()]).output()?;
        ensure!(output.status.success(), "chrt: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

impl Turn {
    fn is_disturbed(&self) -> bool {
        let waited_ns = self.proxy.waiting_ns.max(self.load.waiting_ns);
        waited_ns as f64 / self.outcome.elapsed.as_nanos() as f64 > DISTURBED
    }

    fn p99_us(&self) -> f64 {
        self.outcome.latency_ns.value_at_quantile(0.99) as f64 / 1000.0
    }
}

impl Pool {
    fn take(&mut self, turn: Turn) -> Result<()> {
        self.latency_ns.add(&turn.outcome.latency_ns)?;
        self.turns.push(turn);
        Ok(())
    }

    fn row(&self, rate: Rate, proxy: &'static str, direct: Option<&Row>) -> Row {
        let sum = |of: fn(&Turn) -> f64| self.turns.iter().map(of).sum::<f64>();
        let elapsed_s = sum(|turn| turn.outcome.elapsed.as_secs_f64());
        let cpu_us = sum(|turn| turn.proxy.on_cpu_ns as f64) / 1000.0;
        let unasked = self.turns.iter().map(|turn| turn.outcome.unasked).sum();
        let microseconds = |quantile| Some(quantile_ns(&self.latency_ns, unasked, quantile)? as f64 / 1000.0);
        let [p50_us, p99_us, p999_us] = [0.5, 0.99, 0.999].map(microseconds);
        let added = |ours: Option<f64>, of: fn(&Row) -> Option<f64>| Some(ours? - direct.and_then(of)?);
        let mut p99s: Vec<f64> = self.turns.iter().map(Turn::p99_us).collect();
        p99s.sort_by(f64::total_cmp);
        let [first, last] = [p99s.first(), p99s.last()].map(|p99| p99.copied().unwrap_or_default());
        Row {
            rate: rate.name,
            due_requests_per_s: rate.requests_per_s,
            proxy,
            answered_requests_per_s: self.latency_ns.len() as f64 / elapsed_s,
            p50_us,
            p99_us,
            p999_us,
            added_p50_us: added(p50_us, |row| row.p50_us),
            added_p99_us: added(p99_us, |row| row.p99_us),
            added_p999_us: added(p999_us, |row| row.p999_us),
            p99_us_of_turns: [median(p99s), first, last],
            proxy_waited_ms_per_s: sum(|turn| turn.proxy.waiting_ns as f64) / 1e6 / elapsed_s,
            cpu_us_per_request: cpu_us / self.latency_ns.len() as f64,
            proxy_busy: cpu_us / 1e6 / elapsed_s,
            turns: self.turns.len(),
            turns_disturbed: self.turns.iter().filter(|turn| turn.is_disturbed()).count(),
        }
    }
}

/// Of all that was due, where what was never asked took longer than all the rest; absent if the quantile is among it.
fn quantile_ns(latency_ns: &Histogram<u64>, unasked: u64, quantile: f64) -> Option<u64> {
    let asked = latency_ns.len() as f64;
    let quantile = quantile * (asked + unasked as f64) / asked;
    (quantile <= 1.0).then(|| latency_ns.value_at_quantile(quantile))
}

impl Row {
    fn cells(&self) -> Vec<String> {
        let whole = |figure: Option<f64>| figure.map_or("too late".to_owned(), |figure| format!("{figure:.0}"));
        let [median, min, max] = self.p99_us_of_turns;
        vec![
            self.rate.to_owned(),
            self.proxy.to_owned(),
            format!("{} of {}", whole(Some(self.answered_requests_per_s)), self.due_requests_per_s),
            whole(self.p50_us),
            whole(self.p99_us),
            whole(self.p999_us),
            whole(self.added_p50_us),
            whole(self.added_p99_us),
            whole(self.added_p999_us),
            format!("{median:.0} ({min:.0} to {max:.0})"),
            format!("{:.2}", self.proxy_waited_ms_per_s),
            format!("{:.1}", self.cpu_us_per_request),
            format!("{} of {}", self.turns_disturbed, self.turns),
        ]
    }
}

impl Figures {
    /// In Markdown.
    fn table(&self) -> String {
        let (rounds, seconds, connections) = (self.rounds, self.run_seconds, self.connections);
        let mut text =
            format!("{}; {rounds} interleaved runs of {seconds} s pooled, {connections} connections", self.machine);
        text += if self.realtime { ", proxies under SCHED_FIFO\n" } else { "\n" };
        for peer in &self.peers {
            _ = writeln!(text, "{peer}");
        }
        _ = writeln!(text, "elbow's capacity: {:.0} requests/s", self.elbows_capacity_requests_per_s);
        let heading = [
            "rate",
            "proxy",
            "answers/s",
            "p50 µs",
            "p99 µs",
            "p99.9 µs",
            "added p50",
            "added p99",
            "added p99.9",
            "p99 of a turn",
            "waited ms/s",
            "CPU µs/request",
            "disturbed",
        ];
        text + &table(&heading, self.rows.iter().map(Row::cells))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_never_asked_took_longest() {
        let mut latency_ns = Histogram::new(3).expect("a histogram");
        (1..=98).for_each(|value| latency_ns.record(value).expect("in range"));
        assert_eq!(quantile_ns(&latency_ns, 0, 0.5), Some(49));
        assert_eq!(quantile_ns(&latency_ns, 2, 0.98), Some(98));
        assert_eq!(quantile_ns(&latency_ns, 2, 0.99), None);
    }
}
