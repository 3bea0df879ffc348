//! Certificates in files for an elbow that speaks TLS, and the programs that speak TLS with it.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::ca::{Ca, Issued};
use super::{Setup, StreamTarget, Upstream, within};

/// How long a program may take.
const PROGRAM_PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

/// A certificate authority, and a directory for what it issued.
pub struct Secure {
    /// The authority.
    pub ca: Ca,
    directory: TempDir,
    tables: String,
    names: Vec<String>,
}

impl Secure {
    /// An authority that has issued nothing yet.
    pub fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let secure = Self { ca: Ca::new("Test CA"), directory, tables: String::new(), names: Vec::new() };
        secure.write("ca.pem", secure.ca.pem());
        secure
    }

    /// One with a certificate `shop` for `shop.example`, `*.shop.example` and 127.0.0.1.
    pub fn shop() -> Self {
        let secure = Self::new();
        let issued = secure.ca.issue(&["shop.example", "*.shop.example", "127.0.0.1"]);
        secure.with("shop", &issued)
    }

    /// One more certificate in files.
    pub fn with(mut self, name: &str, issued: &Issued) -> Self {
        self.replace(name, issued);
        let (cert, key) = (self.path(&format!("{name}.pem")), self.path(&format!("{name}.key")));
        let (cert, key) = (cert.display(), key.display());
        let _ = writeln!(self.tables, "[[certificate]]\nname = \"{name}\"\ncert = \"{cert}\"\nkey = \"{key}\"");
        self.names.push(name.to_owned());
        self
    }

    /// Writes other files in the place of a certificate's.
    pub fn replace(&self, name: &str, issued: &Issued) {
        self.write(&format!("{name}.key"), &issued.key);
        self.write(&format!("{name}.pem"), &issued.certificate);
    }

    /// Writes a file whole.
    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path("new"), text).expect("a file can be written");
        std::fs::rename(self.path("new"), self.path(name)).expect("a file can be moved");
    }

    /// A file of its directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Its certificates, as tables of the configuration.
    pub fn tables(&self) -> &str {
        &self.tables
    }

    /// What elbow is started with: the listener `web` shows all certificates, with more keys of it.
    pub fn setup(&self, upstreams: &[&Upstream], keys: &str) -> Setup {
        self.before(Setup::targets(upstreams), "https", keys)
    }

    /// The same for streams over TLS.
    pub fn streams(&self, targets: &[&StreamTarget], keys: &str) -> Setup {
        self.before(Setup::stream_targets(targets), "tls", keys)
    }

    /// A listener over TLS before any targets.
    pub fn before(&self, setup: Setup, protocol: &str, keys: &str) -> Setup {
        let names = format!("{:?}", self.names);
        let keys = format!("protocol = \"{protocol}\"\ncertificates = {names}\n{keys}");
        setup.listener(&keys).more(&self.tables)
    }

    /// `curl` that trusts the authority, asked for a path of `shop.example`.
    pub async fn curl(&self, to: SocketAddr, path: &str, arguments: &[&str]) -> Output {
        let resolve = format!("shop.example:{}:{}", to.port(), to.ip());
        let url = format!("https://shop.example:{}{path}", to.port());
        let mut command = Command::new("curl");
        command.args(["-sS", "--max-time", "30", "--resolve", &resolve, "--cacert"]).arg(self.path("ca.pem"));
        command.args(arguments).arg(url).current_dir(self.directory.path());
        run(command, "").await
    }

    /// `openssl s_client` that trusts the authority; what it said.
    pub async fn s_client(&self, to: SocketAddr, arguments: &[&str], say: &str) -> String {
        let mut command = Command::new("openssl");
        command.args(["s_client", "-connect", &to.to_string(), "-CAfile"]).arg(self.path("ca.pem"));
        command.args(arguments).current_dir(self.directory.path());
        let output = run(command, say).await;
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    }

    /// A Python program in the directory; what it said. It must succeed.
    pub async fn python(&self, program: &str, arguments: &[&str]) -> String {
        let mut command = Command::new("python3");
        command.arg("-c").arg(program).args(arguments).current_dir(self.directory.path());
        let output = run(command, "").await;
        let (said, wrong) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{said}{wrong}");
        said.into_owned()
    }
}

/// Runs a program to its end.
pub async fn run(mut command: Command, say: &str) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let program = command.as_std().get_program().to_owned();
    let program = Path::new(&program).display();
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{program}: {error} (tests/run installs it)"));
    let mut stdin = child.stdin.take().expect("it is piped");
    // A program that does not listen to the end has no wish to.
    let _ = stdin.write_all(say.as_bytes()).await;
    drop(stdin);
    within(&format!("{program}"), PROGRAM_PATIENCE, child.wait_with_output()).await.expect("it can be waited for")
}
