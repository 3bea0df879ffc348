//! A storm of handshakes: what becomes of those who are connected already, beside HAProxy and nginx.
//!
//! The connections that are kept are asked in an open loop at a low rate, so that their times tell of waiting and not of
//! work of their own. Beside them others connect, shake hands, ask once and are closed: at a rate that everybody can
//! carry, or as many at once as leave no time for anything else.

use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use serde::Serialize;

use crate::load::{Load, Pace, Storm};
use crate::measure::{Cores, Sample, machine};
use crate::peers::{self, Peer};
use crate::report::{DISTURBED, median, table};
use crate::workload::{Key, Through, Workload};
use crate::{scratch, write_json};

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Proxies, in the order of their turns
    #[arg(long, value_delimiter = ',', default_value = "haproxy,nginx,elbow")]
    peers: Vec<String>,
    /// elbow's binary
    #[arg(long, default_value = "target/release/elbow")]
    elbow: PathBuf,
    /// Turns of each proxy with each storm
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Length of a measured run
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// How often a turn is taken until no other process disturbs it
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1000))]
    turns_max: u32,
    /// Where the figures go as JSON
    #[arg(long, default_value = "benches/results/local/storm.json")]
    json: PathBuf,
}

/// How many handshakes come.
#[derive(Debug, Clone, Copy)]
enum Force {
    None,
    PerSecond(u32),
    AtOnce(usize),
}

/// What comes beside those who are measured, and with which key every handshake is signed.
#[derive(Debug, Clone, Copy)]
struct Weather {
    name: &'static str,
    key: Key,
    force: Force,
}

const fn weather(name: &'static str, key: Key, force: Force) -> Weather {
    Weather { name, key, force }
}

const WEATHERS: [Weather; 5] = [
    weather("none", Key::EcdsaP256, Force::None),
    weather("P-256, 500/s", Key::EcdsaP256, Force::PerSecond(500)),
    weather("P-256, 256 at once", Key::EcdsaP256, Force::AtOnce(256)),
    weather("RSA-2048, 200/s", Key::Rsa2048, Force::PerSecond(200)),
    weather("RSA-2048, 256 at once", Key::Rsa2048, Force::AtOnce(256)),
];

/// Of the connections that are kept, all together.
const KEPT_REQUESTS_PER_S: u32 = 500;
const KEPT_CONNECTIONS: usize = 200;
const WARM_UP: Duration = Duration::from_secs(1);

#[derive(Debug, Serialize)]
struct Figures {
    machine: String,
    rounds: u32,
    run_seconds: u64,
    peers: Vec<String>,
    summary: Vec<Row>,
    runs: Vec<Row>,
}

/// One turn, or the medians of all.
#[derive(Debug, Clone, Serialize)]
struct Row {
    storm: &'static str,
    proxy: &'static str,
    handshakes_per_s: f64,
    handshake_p50_ms: f64,
    handshake_p99_ms: f64,
    kept_p50_ms: f64,
    kept_p99_ms: f64,
    proxy_busy: f64,
    /// Share in which the proxy or the load was ready and another task had its core.
    disturbed: f64,
}

/// Runs all rounds, writes the JSON and returns the table.
pub(crate) fn run(options: &Options) -> Result<String> {
    let cores = Cores::find()?;
    let peers = options.peers.iter().map(|name| peers::build(name, &options.elbow)).collect::<Result<Vec<_>>>()?;
    let mut runs = Vec::new();
    for round in 1..=options.rounds {
        for weather in WEATHERS {
            for peer in &peers {
                let row = measure_undisturbed(peer.as_ref(), weather, cores, options);
                runs.push(row.with_context(|| format!("{} with {}, round {round}", peer.name(), weather.name))?);
            }
        }
    }
    let in_weather = |weather: Weather| peers.iter().map(move |peer| (weather.name, peer.name()));
    let summary = WEATHERS.into_iter().flat_map(in_weather).filter_map(|row| {
        let is_of = |run: &&Row| (run.storm, run.proxy) == row;
        Row::median(&runs.iter().filter(is_of).collect::<Vec<_>>())
    });
    let figures = Figures {
        machine: machine()?,
        rounds: options.rounds,
        run_seconds: options.seconds,
        peers: peers.iter().map(|peer| peer.version()).collect::<Result<_>>()?,
        summary: summary.collect(),
        runs,
    };
    write_json(&options.json, &figures)?;
    Ok(figures.tables())
}

fn measure_undisturbed(peer: &dyn Peer, weather: Weather, cores: Cores, options: &Options) -> Result<Row> {
    for _ in 1..options.turns_max {
        let row = measure(peer, weather, cores, options)?;
        if row.disturbed <= DISTURBED {
            return Ok(row);
        }
    }
    measure(peer, weather, cores, options)
}

/// Starts the proxy, opens the connections that are kept, lets the storm break loose, measures, stops it.
fn measure(peer: &dyn Peer, Weather { name, key, force }: Weather, cores: Cores, options: &Options) -> Result<Row> {
    let through = Through::Https(key);
    let kept = Workload { clients: KEPT_CONNECTIONS, through, ..*Workload::named("https_small")? };
    let handshakes = Workload { through, ..*Workload::named("tls_handshake")? };
    let storm = match force {
        Force::None => None,
        Force::PerSecond(rate) => Some(Storm::Paced(handshakes, Pace::of(rate))),
        Force::AtOnce(clients) => Some(Storm::AtOnce(Workload { clients, ..handshakes })),
    };
    let mut load = Load::beside(&kept, Pace::of(KEPT_REQUESTS_PER_S), storm)?;
    let directory = scratch()?;
    let running = cores.on_proxy_core(|| peer.start(through, &load.target_addresses(), directory.path()))?;
    load.connect(running.address)?;
    load.warm_up(WARM_UP)?;

    let pid = running.process.id();
    let (proxy_before, load_before) = (Sample::of_process_tree(pid)?, Sample::of_this_thread()?);
    let outcome = load.run(Duration::from_secs(options.seconds))?;
    let (proxy_after, load_after) = (Sample::of_process_tree(pid)?, Sample::of_this_thread()?);
    let (proxy_time, load_time) = (proxy_after.since(&proxy_before), load_after.since(&load_before));
    let elapsed_ns = outcome.elapsed.as_nanos() as f64;
    let kept_ms = |quantile| outcome.latency_ns.value_at_quantile(quantile) as f64 / 1e6;
    let handshake_ms = |quantile| outcome.storm_latency_ns.value_at_quantile(quantile) as f64 / 1e6;
    Ok(Row {
        storm: name,
        proxy: peer.name(),
        handshakes_per_s: outcome.storm_requests as f64 / outcome.elapsed.as_secs_f64(),
        handshake_p50_ms: handshake_ms(0.5),
        handshake_p99_ms: handshake_ms(0.99),
        kept_p50_ms: kept_ms(0.5),
        kept_p99_ms: kept_ms(0.99),
        proxy_busy: proxy_time.on_cpu_ns as f64 / elapsed_ns,
        disturbed: proxy_time.waiting_ns.max(load_time.waiting_ns) as f64 / elapsed_ns,
    })
}

impl Row {
    fn median(runs: &[&Self]) -> Option<Self> {
        let of = |figure: fn(&Self) -> f64| median(runs.iter().map(|run| figure(run)).collect());
        Some(Self {
            handshakes_per_s: of(|run| run.handshakes_per_s),
            handshake_p50_ms: of(|run| run.handshake_p50_ms),
            handshake_p99_ms: of(|run| run.handshake_p99_ms),
            kept_p50_ms: of(|run| run.kept_p50_ms),
            kept_p99_ms: of(|run| run.kept_p99_ms),
            proxy_busy: of(|run| run.proxy_busy),
            disturbed: of(|run| run.disturbed),
            ..(*runs.first()?).clone()
        })
    }

    fn cells(&self) -> Vec<String> {
        vec![
            self.storm.to_owned(),
            self.proxy.to_owned(),
            format!("{:.2}", self.kept_p50_ms),
            format!("{:.2}", self.kept_p99_ms),
            format!("{:.0}", self.handshakes_per_s),
            format!("{:.1}", self.handshake_p50_ms),
            format!("{:.1}", self.handshake_p99_ms),
            format!("{:.2}", self.proxy_busy),
        ]
    }
}

impl Figures {
    /// In Markdown.
    fn tables(&self) -> String {
        let (rounds, seconds) = (self.rounds, self.run_seconds);
        let mut text = format!("{}; medians of {rounds} interleaved runs of {seconds} s\n", self.machine);
        for peer in &self.peers {
            _ = writeln!(text, "{peer}");
        }
        let heading =
            ["storm", "proxy", "kept p50 ms", "kept p99 ms", "handshakes/s", "theirs p50 ms", "theirs p99 ms", "busy"];
        text += &table(&heading, self.summary.iter().map(Row::cells));
        let disturbed = self.runs.iter().filter(|run| run.disturbed > DISTURBED).count();
        if disturbed > 0 {
            let runs = self.runs.len();
            _ = writeln!(text, "disturbed: in {disturbed} of {runs} runs another process took over 5 % of a core");
        }
        text
    }
}
