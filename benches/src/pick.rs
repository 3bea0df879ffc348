//! What one choice costs, by algorithm and number of targets: instructions, as valgrind counts them, and time.
//!
//! The bench runs itself under valgrind twice, with so many picks and with twice as many: the difference is the picks'.

use std::hint::black_box;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use lb::balance::{Candidate, Pick, build};
use lb::model::{Algorithm, GroupName, TargetId};
use lb::state::{Backend, BackendId, InFlight, Outcome};

use crate::balancing::{ALGORITHMS, Random, algorithm};
use crate::report::table;

const TARGETS: [usize; 3] = [3, 100, 10_000];
/// Picks that are timed at once, and how often: the fastest time counts.
const TIMED: usize = 200_000;
const TIMES: usize = 15;
/// How often a balancer is built: the fastest time counts.
const BUILT: usize = 5;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Picks whose instructions are counted
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    picks: u32,
}

/// The picks alone, as the bench runs them under valgrind.
#[derive(Debug, Args)]
pub(crate) struct Picks {
    algorithm: String,
    targets: usize,
    picks: usize,
}

/// Runs the bench and returns the table.
pub(crate) fn run(options: &Options) -> Result<String> {
    let mut rows = Vec::new();
    for (name, algorithm) in ALGORITHMS {
        let mut row = vec![name.to_owned()];
        for targets in TARGETS {
            let once = instructions(name, targets, options.picks)?;
            let twice = instructions(name, targets, 2 * options.picks)?;
            row.push(format!("{:.0}", (twice - once) as f64 / f64::from(options.picks)));
        }
        let (times, builds): (Vec<_>, Vec<_>) = TARGETS.map(|targets| time(algorithm, targets)).into_iter().unzip();
        row.extend(times.iter().map(|nanos| format!("{nanos:.0}")));
        row.extend(builds.last().map(|build| format!("{:.1}", build.as_secs_f64() * 1e3)));
        rows.push(row);
    }
    let heading =
        ["algorithm", "instructions at 3", "at 100", "at 10,000", "ns at 3", "at 100", "at 10,000", "build ms"];
    Ok(table(&heading, rows.into_iter()))
}

/// All instructions of a process that picks so many times.
fn instructions(name: &str, targets: usize, picks: u32) -> Result<u64> {
    let out = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe()?)
        .args(["picks", name, &targets.to_string(), &picks.to_string()])
        .output()
        .context("valgrind does not run")?;
    let text = String::from_utf8_lossy(&out.stderr);
    ensure!(out.status.success(), "valgrind failed:\n{text}");
    let counted = text.lines().find_map(|line| line.split_once("Collected : ")).context("valgrind counted nothing")?;
    Ok(counted.1.trim().parse()?)
}

/// Picks, and nothing else that depends on how often.
pub(crate) fn picks(options: &Picks) -> Result<String> {
    let (candidates, _work) = candidates(options.targets);
    let balancer = build(algorithm(&options.algorithm)?, candidates, 1, 7);
    let (now, mut random) = (Instant::now(), Random(1));
    for _ in 0..options.picks {
        black_box(balancer.pick(&pick(&mut random, now)));
    }
    Ok(String::new())
}

/// The fastest of some times for one pick, in nanoseconds, and for building.
fn time(algorithm: Algorithm, targets: usize) -> (f64, Duration) {
    let (candidates, _work) = candidates(targets);
    let building = |_| {
        let began = Instant::now();
        black_box(build(algorithm, candidates.clone(), 1, 7));
        began.elapsed()
    };
    let building = (0..BUILT).map(building).min().unwrap_or_default();
    let balancer = build(algorithm, candidates, 1, 7);
    let (now, mut random) = (Instant::now(), Random(1));
    let time = |_| {
        let began = Instant::now();
        for _ in 0..TIMED {
            black_box(balancer.pick(&pick(&mut random, now)));
        }
        began.elapsed().as_nanos() as f64 / TIMED as f64
    };
    ((0..TIMES).map(time).fold(f64::INFINITY, f64::min), building)
}

fn pick(random: &mut Random, now: Instant) -> Pick<'static> {
    let bits = random.bits();
    Pick { worker: 0, random: bits, tried: &[], connections_max: 0, now, hash: Some(bits.rotate_left(32)) }
}

/// Targets in the middle of their work: none to three requests in flight at each, answers known.
fn candidates(targets: usize) -> (Vec<Candidate>, Vec<InFlight>) {
    let (now, mut random) = (Instant::now(), Random(2));
    let address = SocketAddr::from(([127, 0, 0, 1], 80));
    let (Ok(group), mut work) = (GroupName::parse("app"), Vec::new()) else { return Default::default() };
    let ids =
        (0..targets as u64).filter_map(|index| Some((BackendId(index), TargetId::parse(&format!("t-{index}")).ok()?)));
    let candidates: Vec<_> = ids
        .map(|(id, target)| {
            let backend = Arc::new(Backend::new(id, group.clone(), target, Some(address), Arc::default(), 1, now));
            work.extend((0..random.below(4)).filter_map(|_| backend.begin(0)));
            backend.learn(Outcome::Answered, Duration::from_micros(1_000 + random.below(4_000) as u64), now);
            Candidate { backend, address, weight: 100 }
        })
        .collect();
    (candidates, work)
}
