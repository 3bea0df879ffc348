//! `elbow run`: a whole elbow in the foreground, until a signal or a failure ends it.

use std::path::PathBuf;

use anyhow::{Context, anyhow};
use lb::model::HostPort;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::output::{Failure, Output};
use super::{screen, validate};
use crate::app::{self, Running, StartError};
use crate::logging::{self, LogFormat};
use crate::settings::{AdminListen, Settings, parse_bind};
use crate::signals::{Asked, Signals};

/// Threads of the control side: a long compile must not hold up probes and the admin API.
const CONTROL_THREADS: usize = 2;

/// Runs elbow in the foreground.
///
/// What a flag says beats the environment, which beats the file. Without a file, `--listen` and `--target` make one
/// HTTP listener `web` in front of one target group `app`; targets are then checked by connecting to them.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  elbow run -c /etc/elbow/elbow.toml
  elbow run --listen 127.0.0.1:8080 --target 127.0.0.1:9001 --target 127.0.0.1:9002
  elbow run --state-dir ./state --admin 127.0.0.1:0

Signals: TERM, INT and QUIT stop gracefully (a second INT at once), HUP reloads the file, USR1 reopens the access log.")]
pub(super) struct Arguments {
    /// The configuration file (TOML)
    #[arg(short, long, value_name = "FILE", conflicts_with_all = ["listen", "target"])]
    config: Option<PathBuf>,
    /// Without a file: where to take HTTP requests, such as 127.0.0.1:8080 or :8080. Repeat it for more
    #[arg(long, value_name = "ADDR", value_parser = parse_bind)]
    listen: Vec<std::net::SocketAddr>,
    /// Without a file: where a web server listens, such as 10.0.0.11:80. Repeat it for more
    #[arg(long, value_name = "ADDR", value_parser = |text: &str| HostPort::parse(text), requires = "listen")]
    target: Vec<HostPort>,
    /// Where the admin API listens, or off [default: as the file says, else 127.0.0.1:9900]
    #[arg(long, value_name = "ADDR", env = "ELBOW_ADMIN", hide_env_values = true)]
    admin: Option<AdminListen>,
    /// Where state is kept [default: as the file says, else /var/lib/elbow for root, ~/.local/state/elbow for others]
    #[arg(long, value_name = "DIR", env = "ELBOW_STATE_DIR", hide_env_values = true)]
    state_dir: Option<PathBuf>,
    /// Threads that serve traffic; 0: one for each core [default: as the file says, else 0]
    #[arg(long, value_name = "N")]
    workers: Option<usize>,
    /// The admin API asks for no token; only on a loopback address
    #[arg(long)]
    insecure_admin: bool,
}

pub(super) fn run(arguments: Arguments, output: Output) -> Result<(), Failure> {
    let settings = Settings {
        file: arguments.config,
        listen: arguments.listen,
        targets: arguments.target,
        admin: arguments.admin,
        state_dir: arguments.state_dir,
        workers: arguments.workers,
        insecure_admin: arguments.insecure_admin,
    };
    serve(settings, output, std::future::pending())
}

/// Runs a whole elbow until a signal or `end` stops it, or a part of it fails.
pub(super) fn serve(settings: Settings, output: Output, end: impl Future<Output = ()>) -> Result<(), Failure> {
    logging::start(match output {
        Output::Text => LogFormat::Text,
        Output::Json => LogFormat::Json,
    });
    raise_file_limit();
    let mut control = tokio::runtime::Builder::new_multi_thread();
    let control = control.worker_threads(CONTROL_THREADS).thread_name("elbow-control").enable_all().build()?;
    let outcome = control.block_on(async {
        let mut signals = Signals::take_over().context("taking over signals")?;
        let mut running = start(settings, &mut signals).await?;
        screen::started(&running, output);
        let why = attend(&mut running, &mut signals, end).await?;
        stop(running, signals, &why).await
    });
    // What still runs there has nothing left to do that anyone waits for.
    control.shutdown_background();
    outcome
}

async fn start(settings: Settings, signals: &mut Signals) -> Result<Running, Failure> {
    tokio::select! {
        started = app::start(settings) => started.map_err(|error| match error {
            StartError::File(error) => validate::invalid(&error),
            StartError::Settings(why) => Failure::Usage(format!("{why:#}")),
            StartError::Failed(error) => Failure::Failed(error),
        }),
        // Nothing is served yet, so nothing is owed to anyone.
        Asked::Stop(signal) = signals.next() => Err(anyhow!("{signal} was received while starting").into()),
    }
}

/// Does what signals ask for until something asks to stop; answers with what it was.
async fn attend(
    running: &mut Running,
    signals: &mut Signals,
    end: impl Future<Output = ()>,
) -> Result<String, Failure> {
    tokio::pin!(end);
    loop {
        let asked = tokio::select! {
            asked = signals.next() => asked,
            failed = running.failed() => {
                // In the log as well, where whoever looks into it later finds it among what led to it.
                tracing::error!("{failed:#}");
                return Err(failed.into());
            }
            () = &mut end => return Ok("the demo has ended".to_owned()),
        };
        match asked {
            Asked::Stop(signal) => return Ok(format!("{signal} was received")),
            Asked::Reload => running.reload().await,
            Asked::ReopenLogs => running.reopen_logs(),
            Asked::Upgrade => {
                tracing::warn!("USR2: upgrading the binary is not available in this version; nothing is done");
            }
        }
    }
}

async fn stop(running: Running, mut signals: Signals, why: &str) -> Result<(), Failure> {
    let state_dir = running.state_dir().to_owned();
    tokio::select! {
        stopped = running.shutdown(why) => Ok(stopped?),
        () = signals.interrupted() => {
            crate::run_file::RunFile::remove(&state_dir)?;
            Err(anyhow!("INT was received again: what was in flight is cut").into())
        }
    }
}

/// Each client connection takes a file, and each connection to a target another.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return;
    }
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}
