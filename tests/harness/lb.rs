//! A real elbow: the binary as a child process, with a state directory of its own.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::client::{Client, Response};
use super::{Admin, PATIENCE, Setup, eventually, within};

/// A running elbow. It is killed when this value goes, and what it said is shown when the test fails.
pub struct Lb {
    setup: Setup,
    directory: TempDir,
    child: Option<Child>,
    admin: Option<Admin>,
    listeners: BTreeMap<String, SocketAddr>,
}

impl Lb {
    pub(super) fn prepared(setup: Setup) -> Self {
        let directory = tempfile::Builder::new().prefix("elbow-test-").tempdir().expect("a temporary directory");
        let lb = Self { setup, directory, child: None, admin: None, listeners: BTreeMap::new() };
        lb.write_config(&lb.setup.toml());
        lb
    }

    fn command(&self) -> Command {
        let mut command = self.setup.program();
        command.args(["run", "--admin", self.setup.admin_address(), "--config"]).arg(self.config_path());
        command.arg("--state-dir").arg(self.state_dir());
        self.setup.add_to(&mut command);
        command
    }

    pub(super) async fn run(&mut self) {
        let log = |name| File::options().create(true).append(true).open(self.path(name)).expect("a log file");
        let mut command = self.command();
        command.stdout(log("stdout")).stderr(log("stderr")).kill_on_drop(true);
        let mut child = command.spawn().expect("elbow can be run");
        let pid = child.id().expect("a child that runs has a pid");
        let run_json = self.state_dir().join("run.json");
        let mut written = None;
        eventually("run.json of the new process", PATIENCE, async || {
            if let Some(status) = child.try_wait().expect("a child can be waited for") {
                panic!("elbow ended with {status} while starting:\n{}", self.logs());
            }
            written = read_json(&run_json).filter(|run| run["pid"] == pid);
            written.is_some()
        })
        .await;
        self.child = Some(child);
        self.take_up(&written.expect("it was just read"));
    }

    fn take_up(&mut self, run: &serde_json::Value) {
        let address = |value: &serde_json::Value| value.as_str().and_then(|text| text.parse().ok());
        let token = std::fs::read_to_string(self.state_dir().join("admin.token"));
        self.admin =
            address(&run["admin"]).map(|address| Admin { address, token: token.unwrap_or_default().trim().to_owned() });
        let listeners = run["listeners"].as_object().expect("run.json has listeners");
        let bound = |(name, value): (&String, &serde_json::Value)| Some((name.clone(), address(value)?));
        self.listeners = listeners.iter().filter_map(bound).collect();
    }

    /// Reads run.json again, after listeners changed.
    pub fn refresh(&mut self) {
        let run = read_json(&self.state_dir().join("run.json")).expect("run.json is there while elbow runs");
        self.take_up(&run);
    }

    /// Runs another one on the same state directory, which is expected to refuse, and hands back how it ended.
    pub async fn start_refused(&self) -> Output {
        let mut command = self.command();
        let output = command.stdout(Stdio::piped()).stderr(Stdio::piped()).output();
        within("the refusal to start", PATIENCE, output).await.expect("elbow can be run")
    }

    /// Stops it gracefully and waits until it is gone.
    pub async fn stop(&mut self) {
        self.signal(Signal::TERM);
        let status = self.wait_for_exit().await;
        assert!(status.success(), "elbow ended with {status}:\n{}", self.logs());
    }

    /// Kills it as a crash would, and waits until it is gone.
    pub async fn kill9(&mut self) {
        self.signal(Signal::KILL);
        self.wait_for_exit().await;
    }

    /// Starts it again on the same state directory.
    pub async fn start_again(&mut self) {
        assert!(self.child.is_none(), "it is still running");
        self.run().await;
    }

    /// Waits until the process has ended.
    pub async fn wait_for_exit(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("it is running");
        within("the end of elbow", PATIENCE, child.wait()).await.expect("a child can be waited for")
    }

    /// Whether the process still runs.
    pub fn runs(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw).expect("a pid");
        kill_process(pid, signal).expect("a child can be signalled");
    }

    /// Replaces the configuration file and reloads it; the answer of the API.
    pub async fn reload(&mut self, toml: &str) -> Response {
        self.write_config(toml);
        let response = self.admin().post("/v1/reload", "").await;
        self.refresh();
        response
    }

    /// Replaces the configuration file.
    pub fn write_config(&self, toml: &str) {
        std::fs::write(self.config_path(), toml).expect("the configuration can be written");
    }

    /// Runs a verb of the command line against this elbow.
    pub async fn cli(&self, arguments: &[&str]) -> Output {
        let mut command = elbow();
        command.args(arguments).env("ELBOW_STATE_DIR", self.state_dir());
        cli_output(command).await
    }

    /// What it was started with.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// The address of the listener `web`.
    pub fn web(&self) -> SocketAddr {
        self.listener("web")
    }

    /// The address of a listener.
    pub fn listener(&self, name: &str) -> SocketAddr {
        *self.listeners.get(name).unwrap_or_else(|| panic!("no listener {name:?} in {:?}", self.listeners))
    }

    /// The names of all listeners that are bound.
    pub fn listener_names(&self) -> Vec<String> {
        self.listeners.keys().cloned().collect()
    }

    /// A client of its admin API.
    pub fn admin(&self) -> &Admin {
        self.admin.as_ref().expect("the admin API is on")
    }

    /// Connects to the listener `web`.
    pub async fn connect(&self) -> Client {
        Client::connect(self.web()).await
    }

    /// One GET to the listener `web` on a connection of its own.
    pub async fn get(&self, path: &str) -> Response {
        super::get(self.web(), path).await
    }

    /// The state of each target of a group by its id.
    pub async fn target_states(&self, group: &str) -> BTreeMap<String, String> {
        let targets = self.admin().targets(group).await;
        let text = |value: &serde_json::Value| value.as_str().expect("a text").to_owned();
        targets.iter().map(|target| (text(&target["id"]), text(&target["state"]))).collect()
    }

    /// Waits until a target is in a state.
    pub async fn until(&self, group: &str, id: &str, state: &str) {
        eventually(&format!("{group}/{id} to be {state}"), PATIENCE, async || {
            self.target_states(group).await.get(id).is_some_and(|now| now == state)
        })
        .await;
    }

    /// The sum of a metric's series that carry these labels; 0 without any.
    pub async fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let text = self.admin().get("/metrics").await.text();
        sum_of_series(&text, name, labels)
    }

    /// Its resident memory, in KiB.
    pub fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("/proc tells");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().and_then(Child::id).expect("it is running")
    }

    /// A file in its own directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Its state directory.
    pub fn state_dir(&self) -> PathBuf {
        self.path("state")
    }

    /// Its configuration file.
    pub fn config_path(&self) -> PathBuf {
        self.path("elbow.toml")
    }

    /// What it wrote to its standard output.
    pub fn stdout(&self) -> String {
        std::fs::read_to_string(self.path("stdout")).unwrap_or_default()
    }

    /// What it logged.
    pub fn logs(&self) -> String {
        std::fs::read_to_string(self.path("stderr")).unwrap_or_default()
    }
}

impl Drop for Lb {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let logs = self.logs();
            let from = logs.len().saturating_sub(8 << 10);
            eprintln!("--- what elbow said (its end):\n{}\n---", String::from_utf8_lossy(&logs.as_bytes()[from..]));
        }
    }
}

/// The binary under test, without what the environment of the tests would tell it.
pub fn elbow() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_elbow"));
    for name in ["ELBOW_ADMIN", "ELBOW_TOKEN", "ELBOW_STATE_DIR", "RUST_LOG", "NO_COLOR"] {
        command.env_remove(name);
    }
    // Off loopback nothing is asked, not even where this machine is.
    command.env("AWS_EC2_METADATA_DISABLED", "true");
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// Runs a verb of the command line to its end.
pub async fn cli_output(mut command: Command) -> Output {
    let output = command.stdout(Stdio::piped()).stderr(Stdio::piped()).output();
    within("a verb of the command line", Duration::from_secs(60), output).await.expect("elbow can be run")
}

/// The sum of a metric's series that carry these labels, in Prometheus text; 0 without any.
pub fn sum_of_series(text: &str, name: &str, labels: &[(&str, &str)]) -> f64 {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let series = lines.filter_map(|line| {
        let (series, value) = line.rsplit_once(' ')?;
        let (found, given) = series.split_once('{').unwrap_or((series, ""));
        let carries = |(label, wanted): &(&str, &str)| given.contains(&format!("{label}=\"{wanted}\""));
        (found == name && labels.iter().all(carries)).then(|| value.parse::<f64>().expect("a number"))
    });
    series.sum()
}

fn read_json(path: &Path) -> Option<serde_json::Value> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}
