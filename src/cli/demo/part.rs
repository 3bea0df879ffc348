//! One process of the demo: it is this same binary, it ends with its starter, and is started again when it is killed.

use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context;
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, watch};

use super::super::output::{Failure, Output};
use super::web;

/// A process of the demo. Ends when its standard input does, which is when the demo is gone, however it went.
#[derive(Debug, clap::Args)]
pub(in super::super) struct PartArguments {
    #[command(subcommand)]
    part: PartVerb,
}

#[derive(Debug, clap::Subcommand)]
enum PartVerb {
    /// A small web server
    Web {
        /// What it answers
        name: String,
        /// Where it listens
        address: SocketAddr,
    },
    /// elbow itself
    Elbow {
        /// Its file
        config: PathBuf,
        /// Where it keeps state
        state_dir: PathBuf,
    },
}

/// Is a part until standard input ends.
pub(in super::super) fn run(arguments: PartArguments, output: Output) -> Result<(), Failure> {
    match arguments.part {
        PartVerb::Web { name, address } => super::super::wait_for(async {
            tokio::select! {
                served = web::serve(name, address) => Ok(served?),
                () = standard_input_ends() => Ok(()),
            }
        }),
        PartVerb::Elbow { config, state_dir } => {
            let settings = crate::settings::Settings {
                file: Some(config),
                state_dir: Some(state_dir),
                ..crate::settings::Settings::default()
            };
            super::super::run::serve(settings, output, standard_input_ends())
        }
    }
}

/// Returns when standard input has ended. A thread waits for it, and ends with the process at the latest.
async fn standard_input_ends() {
    let (ended, end) = tokio::sync::oneshot::channel::<()>();
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        drop(ended);
    });
    let _ = end.await;
}

/// A part as its starter sees it.
#[derive(Debug)]
pub(super) struct Part {
    pid: u32,
    stop: watch::Sender<bool>,
    keeper: tokio::task::JoinHandle<()>,
}

/// How long a part may take to end by itself.
const STOP_MAX: Duration = Duration::from_secs(5);

impl Part {
    /// Starts it and keeps it running: one that ended is started again after a pause.
    pub(super) fn start(
        name: &str,
        arguments: &[String],
        pause: Duration,
        news: mpsc::Sender<String>,
    ) -> anyhow::Result<Self> {
        let child = spawn(arguments).with_context(|| format!("starting {name}"))?;
        let pid = child.id().unwrap_or_default();
        let (stop, stopped) = watch::channel(false);
        let keeper = Keeper { name: name.to_owned(), arguments: arguments.to_vec(), pause, news, stopped };
        Ok(Self { pid, stop, keeper: tokio::spawn(keeper.keep(child)) })
    }

    /// Its process, as it was first started.
    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// Ends it, and returns when it has ended.
    pub(super) async fn stop(self) {
        self.stop.send_replace(true);
        let _ = self.keeper.await;
    }
}

struct Keeper {
    name: String,
    arguments: Vec<String>,
    pause: Duration,
    news: mpsc::Sender<String>,
    stopped: watch::Receiver<bool>,
}

impl Keeper {
    async fn keep(self, mut child: Child) {
        loop {
            // Waiting closes the child's input, which would end it.
            let input = child.stdin.take();
            tokio::select! {
                status = child.wait() => self.tell(format!("{} {}", self.name, end_in_words(status.ok()))).await,
                () = until(self.stopped.clone()) => {
                    drop(input);
                    // One that does not end is killed when it is dropped.
                    let _ = tokio::time::timeout(STOP_MAX, child.wait()).await;
                    return;
                }
            }
            tokio::select! {
                () = tokio::time::sleep(self.pause) => {}
                () = until(self.stopped.clone()) => return,
            }
            child = match spawn(&self.arguments) {
                Ok(child) => child,
                Err(error) => return self.tell(format!("{} does not start: {error}", self.name)).await,
            };
            self.tell(format!("{} runs again, pid {}", self.name, child.id().unwrap_or_default())).await;
        }
    }

    async fn tell(&self, what: String) {
        // A demo that ends listens no more.
        let _ = self.news.send(what).await;
    }
}

async fn until(mut stopped: watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

fn spawn(arguments: &[String]) -> std::io::Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("demo-part").args(arguments);
    command.stdin(Stdio::piped()).kill_on_drop(true);
    // A Ctrl-C is for the demo, which then ends its parts in order.
    command.process_group(0);
    // The demo says where everything is; what the surroundings say is meant for other elbows.
    command.env_remove("ELBOW_ADMIN").env_remove("ELBOW_STATE_DIR");
    if std::env::var_os("RUST_LOG").is_none() {
        // What happens is told by the demo, from the event stream.
        command.env("RUST_LOG", "error");
    }
    command.spawn()
}

fn end_in_words(status: Option<ExitStatus>) -> String {
    match (status.and_then(|status| status.signal()), status.and_then(|status| status.code())) {
        (Some(signal), _) => format!("was ended by signal {signal}"),
        (None, Some(code)) => format!("ended with exit code {code}"),
        (None, None) => "ended".to_owned(),
    }
}
