//! `elbow demo`: a complete show on loopback. Small web servers and an elbow in front of them run as processes of
//! their own, so that the one who watches can kill any of them; this process starts them again and tells the story.

mod events;
mod part;
mod screen;
mod traffic;
mod web;

use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::sync::mpsc;

use super::output::Failure;
use super::own_name;
use crate::client::{Client, Connect};
use crate::signals::{Asked, Signals};
use part::Part;
use screen::Screen;
use traffic::{Counts, Traffic};

pub(super) use part::PartArguments;
pub(super) use part::run as run_part;

/// A complete show on this machine: web servers, elbow in front of them, and what to try.
///
/// Everything runs on loopback, in a temporary directory, and is gone when the demo ends.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  elbow demo                 until Ctrl-C
  elbow demo --seconds 30")]
pub(super) struct Arguments {
    /// Ends the demo after that many seconds
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
}

/// How often the counts of the traffic are shown.
const REPORT_EVERY: Duration = Duration::from_secs(5);
/// How long a killed web server stays away: long enough to see its target become unhealthy.
const WEB_PAUSE: Duration = Duration::from_secs(15);
/// How long a killed elbow stays away.
const ELBOW_PAUSE: Duration = Duration::from_secs(2);
/// How long elbow may take to be ready.
const START_MAX: Duration = Duration::from_secs(15);
/// What happened and is not shown yet.
const NEWS_MAX: usize = 256;
/// Those that take part from the start; the others are there to be registered.
const REGISTERED: usize = 3;
/// The web servers.
const WEB_SERVERS: usize = 5;

pub(super) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let signals = Signals::take_over()?;
    let stage = Stage::build()?;
    let (news, happened) = mpsc::channel(NEWS_MAX);
    let show = Show::start(&stage, &news)?;
    let mut screen = Screen::new();
    let ended = show.play(&stage, &mut screen, happened, signals, arguments.seconds).await;
    screen.status(String::new());
    screen.say("The demo ends.");
    show.stop().await;
    Ok(ended?)
}

/// Where everything is: addresses, and a directory that goes with it.
#[derive(Debug)]
struct Stage {
    directory: PathBuf,
    listener: SocketAddr,
    admin: SocketAddr,
    web: Vec<(String, SocketAddr)>,
}

impl Stage {
    fn build() -> anyhow::Result<Self> {
        let directory = std::env::temp_dir().join(format!("elbow-demo-{}", std::process::id()));
        let made = std::fs::DirBuilder::new().mode(0o700).create(&directory);
        made.with_context(|| format!("making {}", directory.display()))?;
        // Ports that are easy to type where they are free. They are kept to, so that a killed part comes back there.
        let mut taken = Vec::new();
        let mut free = |preferred| free_address(preferred, &mut taken);
        let listener = free(8080)?;
        let admin = free(9900)?;
        let web = (1..=WEB_SERVERS).zip(9001..).map(|(number, port)| Ok((format!("web-{number}"), free(port)?)));
        let stage = Self { listener, admin, web: web.collect::<anyhow::Result<_>>()?, directory };
        std::fs::write(stage.config_file(), stage.config())?;
        Ok(stage)
    }

    fn config_file(&self) -> PathBuf {
        self.directory.join("elbow.toml")
    }

    fn state_dir(&self) -> PathBuf {
        self.directory.join("state")
    }

    fn config(&self) -> String {
        let mut text = format!(
            "[admin]\nlisten = \"{}\"\n\n[[listener]]\nname = \"web\"\nbind = \"{}\"\ntarget_group = \"app\"\n\n\
             [[target_group]]\nname = \"app\"\n\
             health_check = {{ protocol = \"http\", path = \"/health\", interval = \"1s\", timeout = \"500ms\" }}\n",
            self.admin, self.listener
        );
        for (name, address) in &self.web[..REGISTERED] {
            text += &format!("\n[[target_group.target]]\nid = \"{name}\"\naddress = \"{address}\"\n");
        }
        text
    }

    /// Where everything is, and what to try.
    fn playbill(&self, show: &Show) -> String {
        let Self { listener, admin, .. } = self;
        let mut text = format!(
            "\nelbow demo: three web servers, elbow in front of them, and clients that ask all the time\n\n  \
             elbow  http://{listener}  pid {}, admin API http://{admin}\n",
            show.elbow.pid()
        );
        for (index, (web, (name, address))) in show.web.iter().zip(&self.web).enumerate() {
            let note = if index < REGISTERED { "" } else { ", not registered yet" };
            text += &format!("  {name}  http://{address}  pid {}{note}\n", web.pid());
        }
        text += "\nTry in another terminal, here:\n\n";
        for (command, what) in self.to_try(show) {
            text += &if what.is_empty() { format!("  {command}\n") } else { format!("  {command:<60}  # {what}\n") };
        }
        text + "\nCtrl-C ends the demo and leaves nothing behind. What happens:\n"
    }

    /// Commands, each with what it shows.
    fn to_try(&self, show: &Show) -> Vec<(String, &'static str)> {
        let Self { listener, admin, .. } = self;
        let (web_4, web_5) = (self.web[REGISTERED].1, self.web[REGISTERED + 1].1);
        let elbow = own_name();
        vec![
            (format!("export ELBOW_STATE_DIR={}", self.state_dir().display()), "where this elbow keeps its state"),
            (format!("curl http://{listener}/hello"), "again and again: another server answers"),
            (format!("{elbow} status"), "what elbow sees"),
            (format!("kill -9 {}", show.web[0].pid()), "web-1 dies, and no request fails"),
            ("curl -X PUT -H \"Authorization: Bearer $(cat $ELBOW_STATE_DIR/admin.token)\" \\".to_owned(), ""),
            (format!("  -H 'Content-Type: application/json' -d '{{\"address\": \"{web_4}\"}}' \\"), ""),
            (format!("  http://{admin}/v1/target-groups/app/targets/web-4"), "web-4 takes its share"),
            (format!("{elbow} target register app web-5 --address {web_5} --wait"), "and web-5"),
            (format!("{elbow} target deregister app web-5 --wait"), "which leaves again"),
            (format!("kill -9 {}", show.elbow.pid()), "elbow dies, comes back, and knows everything"),
        ]
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // Nothing is left to do where it cannot be removed.
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// All that runs.
#[derive(Debug)]
struct Show {
    web: Vec<Part>,
    elbow: Part,
    events: tokio::task::JoinHandle<()>,
}

impl Show {
    fn start(stage: &Stage, news: &mpsc::Sender<String>) -> anyhow::Result<Self> {
        let web = stage.web.iter().map(|(name, address)| {
            let arguments = ["web".to_owned(), name.clone(), address.to_string()];
            Part::start(name, &arguments, WEB_PAUSE, news.clone())
        });
        let web = web.collect::<anyhow::Result<_>>()?;
        let path = |path: &Path| path.to_str().map(str::to_owned).context("the temporary directory has an odd name");
        let arguments = ["elbow".to_owned(), path(&stage.config_file())?, path(&stage.state_dir())?];
        let elbow = Part::start("elbow", &arguments, ELBOW_PAUSE, news.clone())?;
        let events = tokio::spawn(events::follow(connect(stage), news.clone()));
        Ok(Self { web, elbow, events })
    }

    /// Tells what happens until the time is over or a signal comes. Drops the news then, so that nobody waits to be
    /// heard.
    async fn play(
        &self,
        stage: &Stage,
        screen: &mut Screen,
        mut news: mpsc::Receiver<String>,
        mut signals: Signals,
        seconds: Option<u64>,
    ) -> anyhow::Result<()> {
        tokio::select! {
            ready = ready(stage) => ready?,
            Asked::Stop(_) | Asked::Reload = signals.next() => return Ok(()),
        }
        screen.say(&stage.playbill(self));
        let traffic = Traffic::start(stage.listener);
        let mut sum = Counts::default();
        let mut report = tokio::time::interval_at(tokio::time::Instant::now() + REPORT_EVERY, REPORT_EVERY);
        let end = tokio::time::sleep(seconds.map_or(Duration::MAX, Duration::from_secs));
        tokio::pin!(end);
        loop {
            tokio::select! {
                Some(what) = news.recv() => screen.happened(&what),
                _ = report.tick() => {
                    let counts = traffic.take();
                    sum.add(&counts);
                    screen.status(format!("the last {} s: {}", REPORT_EVERY.as_secs(), counts.in_words()));
                }
                Asked::Stop(_) | Asked::Reload = signals.next() => break,
                () = &mut end => break,
            }
        }
        sum.add(&traffic.take());
        screen.say(&format!("\nIn all: {}", sum.in_words()));
        Ok(())
    }

    async fn stop(self) {
        self.events.abort();
        // elbow first: what it forwards to must not go before it.
        self.elbow.stop().await;
        for web in self.web {
            web.stop().await;
        }
    }
}

fn connect(stage: &Stage) -> Connect {
    Connect { admin: Some(stage.admin.to_string()), state_dir: Some(stage.state_dir()), ..Connect::default() }
}

/// Waits until elbow takes traffic.
async fn ready(stage: &Stage) -> anyhow::Result<()> {
    let is_ready = async {
        loop {
            if let Ok(client) = Client::find(&connect(stage))
                && let Ok(response) = client.request(http::Method::GET, "/readyz", None).await
                && response.status().is_success()
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    if tokio::time::timeout(START_MAX, is_ready).await.is_err() {
        bail!("elbow did not become ready within {} s", START_MAX.as_secs());
    }
    Ok(())
}

fn free_address(preferred: u16, taken: &mut Vec<TcpListener>) -> anyhow::Result<SocketAddr> {
    // Held until all are chosen, so that no two get the same.
    let bound = TcpListener::bind(("127.0.0.1", preferred)).or_else(|_| TcpListener::bind(("127.0.0.1", 0)))?;
    let address = bound.local_addr()?;
    taken.push(bound);
    Ok(address)
}
