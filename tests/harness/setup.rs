//! What elbow is started with, put together by a test.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::process::Output;

use super::{Lb, PATIENCE, StreamTarget, Upstream, eventually};

/// What elbow is started with: one HTTP listener `web` before one target group `app`, and what a test adds.
#[derive(Debug, Clone)]
pub struct Setup {
    admin: String,
    top: String,
    listener: String,
    group: String,
    health_check: Option<String>,
    targets: Vec<(String, String)>,
    more: String,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    files_max: Option<u32>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            admin: "127.0.0.1:0".to_owned(),
            top: String::new(),
            listener: String::new(),
            group: String::new(),
            health_check: None,
            targets: Vec::new(),
            more: String::new(),
            arguments: Vec::new(),
            environment: Vec::new(),
            files_max: None,
        }
    }
}

impl Setup {
    /// Targets `t0`, `t1` and so on.
    pub fn targets(upstreams: &[&Upstream]) -> Self {
        let named = upstreams.iter().enumerate();
        named.fold(Self::default(), |setup, (index, upstream)| setup.target(&format!("t{index}"), upstream, ""))
    }

    /// TCP streams to targets `t0`, `t1` and so on, whose checks come to their verdict within fractions of a second.
    pub fn streams(targets: &[&StreamTarget]) -> Self {
        Self::stream_targets(targets).listener("protocol = \"tcp\"")
    }

    /// The targets of streams alone.
    pub fn stream_targets(targets: &[&StreamTarget]) -> Self {
        let setup = Self::default().group("protocol = \"tcp\"");
        let setup = setup.health_check(&StreamTarget::health_check());
        let named = targets.iter().enumerate();
        named.fold(setup, |setup, (index, target)| setup.target_at(&format!("t{index}"), target.address(), ""))
    }

    /// One more target, with more keys such as `weight = 3`.
    pub fn target(self, id: &str, upstream: &Upstream, keys: &str) -> Self {
        self.target_at(id, upstream.address(), keys)
    }

    /// One more target by its address.
    pub fn target_at(mut self, id: &str, address: SocketAddr, keys: &str) -> Self {
        self.targets.push((id.to_owned(), format!("address = \"{address}\"\n{keys}")));
        self
    }

    /// More keys of the listener.
    pub fn listener(mut self, keys: &str) -> Self {
        let _ = writeln!(self.listener, "{keys}");
        self
    }

    /// More keys of the target group.
    pub fn group(mut self, keys: &str) -> Self {
        let _ = writeln!(self.group, "{keys}");
        self
    }

    /// The health check of the target group; without it elbow's own default holds.
    pub fn health_check(mut self, keys: &str) -> Self {
        self.health_check = Some(keys.to_owned());
        self
    }

    /// A health check that comes to its verdict within fractions of a second.
    pub fn quick_health_check(self) -> Self {
        self.health_check("protocol = \"http\"\npath = \"/health\"\ninterval = \"100ms\"\ntimeout = \"90ms\"")
    }

    /// Whole tables, such as `[shutdown]`.
    pub fn top(mut self, tables: &str) -> Self {
        let _ = writeln!(self.top, "{tables}");
        self
    }

    /// Whole tables at the end, such as another `[[listener]]`.
    pub fn more(mut self, tables: &str) -> Self {
        let _ = writeln!(self.more, "{tables}");
        self
    }

    /// Another admin address, or `off`.
    pub fn admin(mut self, address: &str) -> Self {
        address.clone_into(&mut self.admin);
        self
    }

    /// Serves with one worker, so that every client shares the same connections to targets.
    pub fn one_worker(self) -> Self {
        self.argument("--workers=1")
    }

    /// One more argument of `elbow run`.
    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// One more environment variable.
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Lets the process have so many files and sockets open.
    pub fn files_max(mut self, count: u32) -> Self {
        self.files_max = Some(count);
        self
    }

    /// The command that becomes elbow.
    pub(super) fn program(&self) -> tokio::process::Command {
        let elbow = super::elbow();
        let Some(count) = self.files_max else { return elbow };
        let mut shell = tokio::process::Command::new("sh");
        shell.args(["-c", &format!("ulimit -n {count} && exec \"$0\" \"$@\"")]).arg(elbow.as_std().get_program());
        shell.stdin(std::process::Stdio::null()).kill_on_drop(true);
        shell
    }

    /// Where the admin API is to listen.
    pub(super) fn admin_address(&self) -> &str {
        &self.admin
    }

    /// Adds what a test gave of arguments and environment.
    pub(super) fn add_to(&self, command: &mut tokio::process::Command) {
        command.args(&self.arguments).envs(self.environment.iter().cloned());
    }

    /// The configuration file.
    pub fn toml(&self) -> String {
        let Self { top, listener, group, more, .. } = self;
        let mut toml = format!(
            "{top}\n[[listener]]\nname = \"web\"\nbind = \"127.0.0.1:0\"\ntarget_group = \"app\"\n{listener}\n\
             [[target_group]]\nname = \"app\"\n{group}\n"
        );
        if let Some(keys) = &self.health_check {
            let _ = writeln!(toml, "[target_group.health_check]\n{keys}");
        }
        for (id, keys) in &self.targets {
            let _ = writeln!(toml, "[[target_group.target]]\nid = \"{id}\"\n{keys}");
        }
        toml + more
    }

    /// Starts elbow and waits until every target has had its first verdict.
    pub async fn start(self) -> Lb {
        let lb = self.start_cold().await;
        eventually("a first verdict about every target", PATIENCE, async || {
            lb.target_states("app").await.values().all(|state| state != "initial")
        })
        .await;
        lb
    }

    /// Starts elbow and waits until its sockets are bound.
    pub async fn start_cold(self) -> Lb {
        let mut lb = Lb::prepared(self);
        lb.run().await;
        lb
    }

    /// Runs elbow where it is expected to refuse, and hands back how it ended.
    pub async fn start_refused(self) -> Output {
        Lb::prepared(self).start_refused().await
    }
}
