//! The scale bench: an elbow with very many targets in one group. How long it takes to start and to answer a
//! registration, and what memory it needs. Traffic is not looked at here.

use std::fmt::Write;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde::Serialize;
use socket2::{Domain, Socket, Type};

use crate::admin::Admin;
use crate::measure::memory_kib;
use crate::peers::{Elbow, Process, RunFile};
use crate::report::{median, table};
use crate::{scratch, write_json};

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// elbow's binary
    #[arg(long, default_value = "target/release/elbow")]
    elbow: PathBuf,
    /// Targets in the configuration file
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=60_000))]
    targets: u32,
    /// Targets registered one by one, first while the checks of a new start run, then again in quiet
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    registrations: u32,
    /// Where the figures go as JSON
    #[arg(long, default_value = "benches/results/local/scale.json")]
    json: PathBuf,
}

/// How long the first checks of all targets may take.
const QUIET_WITHIN: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(100);
const BACKLOG: i32 = 4096;

#[derive(Debug, Serialize)]
struct Figures {
    targets: u32,
    /// From exec until `run.json` is there: all sockets are bound.
    bound_after_ms: f64,
    /// From exec until `/readyz` answers 200.
    ready_after_ms: f64,
    /// From exec until the last target's first verdict.
    checked_after_ms: f64,
    /// Registrations answered while the first checks of all targets ran.
    busy: Registrations,
    /// Registrations answered after that.
    quiet: Registrations,
    resident_kib: u64,
    resident_max_kib: u64,
}

#[derive(Debug, Serialize)]
struct Registrations {
    count: u32,
    median_ms: f64,
    p99_ms: f64,
    max_ms: f64,
}

/// Runs the bench, writes the JSON and returns the table.
pub(crate) fn run(options: &Options) -> Result<String> {
    let acceptor = Acceptor::start()?;
    let directory = scratch()?;
    let state = directory.path().join("state");
    let file = directory.path().join("configuration");
    let configuration = configuration(options.targets, acceptor.port, state.to_str().context("a path in UTF-8")?);
    fs::write(&file, configuration)?;

    let started = Instant::now();
    let since_start_ms = || started.elapsed().as_secs_f64() * 1000.0;
    let mut elbow = Process::spawn(&mut Elbow::new(options.elbow.clone(), "round_robin").run(&file), directory.path())?;
    let admin = elbow.wait_for("run.json", || RunFile::read(&state))?.admin;
    let bound_after_ms = since_start_ms();
    let token = fs::read_to_string(state.join("admin.token")).context("admin.token")?.trim().to_owned();
    let admin = Admin { address: admin, token };
    elbow.wait_for("/readyz", || admin.ask("GET", "/readyz", "").ok().filter(|(status, _)| *status == 200))?;
    let ready_after_ms = since_start_ms();

    let busy = register(&admin, "busy", options.registrations, options.targets, acceptor.port)?;
    wait_until_all_are_checked(&admin)?;
    let checked_after_ms = since_start_ms();
    let quiet =
        register(&admin, "quiet", options.registrations, options.targets + options.registrations, acceptor.port)?;

    let resident_kib = memory_kib(elbow.id(), "VmRSS")?;
    let resident_max_kib = memory_kib(elbow.id(), "VmHWM")?;
    let targets = options.targets;
    let figures = Figures {
        targets,
        bound_after_ms,
        ready_after_ms,
        checked_after_ms,
        busy,
        quiet,
        resident_kib,
        resident_max_kib,
    };
    write_json(&options.json, &figures)?;
    Ok(figures.table())
}

/// Registers targets one after another, each on a connection of its own as a script would.
fn register(admin: &Admin, name: &str, count: u32, first: u32, port: u16) -> Result<Registrations> {
    let mut times_ms = Vec::with_capacity(count as usize);
    for index in 0..count {
        let path = format!("/v1/target-groups/app/targets/{name}-{index}");
        let body = format!(r#"{{"address": "{}"}}"#, address(first + index, port));
        let asked = Instant::now();
        let (status, answer) = admin.ask("PUT", &path, &body)?;
        times_ms.push(asked.elapsed().as_secs_f64() * 1000.0);
        ensure!(status == 201, "registering {path}: {status} {answer}");
    }
    times_ms.sort_by(f64::total_cmp);
    let rank = |quantile: f64| times_ms[((quantile * times_ms.len() as f64).ceil() as usize).saturating_sub(1)];
    Ok(Registrations { count, p99_ms: rank(0.99), max_ms: rank(1.0), median_ms: median(times_ms.clone()) })
}

fn wait_until_all_are_checked(admin: &Admin) -> Result<()> {
    let started = Instant::now();
    loop {
        let (status, metrics) = admin.ask("GET", "/metrics", "")?;
        ensure!(status == 200, "/metrics: {status} {metrics}");
        let targets = |state: &str| {
            let of_state = format!("state=\"{state}\"");
            let mut lines =
                metrics.lines().filter(|line| line.starts_with("elbow_targets{") && line.contains(&of_state));
            lines.find_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).unwrap_or(0.0)
        };
        ensure!(targets("unhealthy") == 0.0, "{} targets are unhealthy: they accept", targets("unhealthy"));
        if targets("healthy") > 0.0 && targets("initial") == 0.0 {
            return Ok(());
        }
        ensure!(started.elapsed() < QUIET_WITHIN, "targets without a verdict after {QUIET_WITHIN:?}");
        thread::sleep(LOOK_AGAIN);
    }
}

fn configuration(targets: u32, port: u16, state: &str) -> String {
    let mut text = format!(
        "[admin]\nlisten = \"127.0.0.1:0\"\n[state]\ndir = \"{state}\"\n\
         [[listener]]\nname = \"web\"\nbind = \"127.0.0.1:0\"\nprotocol = \"http\"\ntarget_group = \"app\"\n\
         [[target_group]]\nname = \"app\"\n"
    );
    for index in 0..targets {
        let address = address(index, port);
        _ = write!(text, "[[target_group.target]]\nid = \"target-{index}\"\naddress = \"{address}\"\n");
    }
    text
}

/// Every target has an address of its own, 127.1.0.1 and on, and all have the acceptor's port.
fn address(index: u32, port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 1, 0, 1)) + index), port))
}

impl Figures {
    fn table(&self) -> String {
        let milliseconds = |value: f64| format!("{value:.1} ms");
        let mebibytes = |kib: u64| format!("{:.1} MiB", kib as f64 / 1024.0);
        let mut rows = vec![
            ("exec to run.json", "", milliseconds(self.bound_after_ms)),
            ("exec to /readyz 200", "", milliseconds(self.ready_after_ms)),
            ("exec to the last first verdict", "", milliseconds(self.checked_after_ms)),
        ];
        for (when, figures) in [("during the first checks", &self.busy), ("in quiet", &self.quiet)] {
            rows.push(("registration, median", when, milliseconds(figures.median_ms)));
            rows.push(("registration, p99", when, milliseconds(figures.p99_ms)));
            rows.push(("registration, slowest", when, milliseconds(figures.max_ms)));
        }
        rows.push(("memory at the end", "VmRSS", mebibytes(self.resident_kib)));
        rows.push(("memory at most", "VmHWM", mebibytes(self.resident_max_kib)));
        let heading = [&format!("{} targets in one group", self.targets), "", "figure"];
        table(&heading, rows.into_iter().map(|(what, when, figure)| vec![what.to_owned(), when.to_owned(), figure]))
    }
}

/// Accepts and closes, on every loopback address, so that the default TCP check of any target passes.
struct Acceptor {
    port: u16,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Acceptor {
    fn start() -> Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        // All of 127.0.0.0/8 takes the unspecified address; bound to the loopback device nothing else reaches it.
        socket.bind_device(Some(b"lo")).context("binding to the loopback device")?;
        socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)).into())?;
        socket.listen(BACKLOG)?;
        let listener = TcpListener::from(socket);
        let port = listener.local_addr()?.port();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || accept_until(&listener, &stopped));
        Ok(Self { port, stop, thread: Some(thread) })
    }
}

fn accept_until(listener: &TcpListener, stopped: &AtomicBool) {
    while !stopped.load(Ordering::Relaxed) {
        match listener.accept() {
            Ok((connection, _)) => drop(connection),
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            // The targets turn unhealthy, and the bench says so.
            Err(_) => return,
        }
    }
}

impl Drop for Acceptor {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // The connection wakes it; refused, the thread has ended.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
