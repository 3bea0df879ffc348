//! Pebble, Let's Encrypt's authority for tests, strict and with nonces that it refuses now and then; and the DNS that
//! leads all names to elbow.

use std::net::IpAddr;
use std::process::Stdio;

use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::{Ca, PATIENCE, eventually, own_address, run};

/// A running authority. It is killed when this value goes.
pub struct Pebble {
    directory: TempDir,
    address: IpAddr,
    server: Option<Child>,
    _dns: Child,
}

impl Pebble {
    /// One that issues certificates for so many seconds.
    pub async fn start(validity_s: u64) -> Self {
        let directory = tempfile::Builder::new().prefix("elbow-pebble-").tempdir().expect("a temporary directory");
        let address = own_address();
        let ca = Ca::new("Pebble's own CA");
        let own = ca.issue(&[&address.to_string()]);
        let config = serde_json::json!({ "pebble": {
            "listenAddress": format!("{address}:14000"),
            "managementListenAddress": format!("{address}:15000"),
            "certificate": directory.path().join("own.pem"),
            "privateKey": directory.path().join("own.key"),
            "httpPort": 5002,
            "tlsPort": 5001,
            "certificateValidityPeriod": validity_s,
        }});
        let files = [
            ("ca.pem", ca.pem()),
            ("own.pem", &own.certificate),
            ("own.key", &own.key),
            ("config.json", &config.to_string()),
        ];
        for (name, text) in files {
            std::fs::write(directory.path().join(name), text).expect("a file can be written");
        }
        let mut dns = Command::new("pebble-challtestsrv");
        let (names, management) = (format!("{address}:8053"), format!("{address}:8055"));
        dns.args(["-dns01", &names, "-management", &management, "-defaultIPv4", &address.to_string()]);
        dns.args(["-defaultIPv6", "", "-http01", "", "-https01", "", "-tlsalpn01", ""]);
        dns.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        let dns = dns.spawn().unwrap_or_else(|error| panic!("pebble-challtestsrv: {error} (tests/run installs it)"));
        let mut pebble = Self { directory, address, server: None, _dns: dns };
        pebble.start_again().await;
        pebble
    }

    /// Starts it again, having forgotten all it knew, its own root among it.
    pub async fn start_again(&mut self) {
        let log = std::fs::File::options().create(true).append(true).open(self.path("log")).expect("a log file");
        let mut pebble = Command::new("pebble");
        pebble.args(["-strict", "-dnsserver", &format!("{}:8053", self.address), "-config"]);
        pebble.arg(self.path("config.json")).env("PEBBLE_VA_NOSLEEP", "1");
        let error = log.try_clone().expect("a log file");
        pebble.stdin(Stdio::null()).stdout(log).stderr(error).kill_on_drop(true);
        self.server = Some(pebble.spawn().unwrap_or_else(|error| panic!("pebble: {error} (tests/run installs it)")));
        let address = (self.address, 14000);
        eventually("pebble to listen", PATIENCE, async || tokio::net::TcpStream::connect(address).await.is_ok()).await;
    }

    /// Kills it.
    pub async fn stop(&mut self) {
        self.server.take().expect("it is running").kill().await.expect("a child can be killed");
    }

    /// The table that leads elbow to it, with more keys.
    pub fn table(&self, keys: &str) -> String {
        let ca = self.path("ca.pem");
        let (address, ca) = (self.address, ca.display());
        format!("[acme]\ndirectory = \"https://{address}:14000/dir\"\nterms_agreed = true\nca = \"{ca}\"\n{keys}\n")
    }

    /// Where it looks for answers in the clear (http-01).
    pub fn http(&self) -> String {
        format!("{}:5002", self.address)
    }

    /// Where it looks for handshakes (tls-alpn-01).
    pub fn tls(&self) -> String {
        format!("{}:5001", self.address)
    }

    /// Writes the certificate that vouches for all it issues, and names the file.
    pub async fn root(&self) -> std::path::PathBuf {
        let mut curl = Command::new("curl");
        curl.args(["-sSf", "--max-time", "20", "--cacert"]).arg(self.path("ca.pem"));
        curl.arg(format!("https://{}:15000/roots/0", self.address));
        let root = run(curl, "").await;
        assert!(root.status.success(), "{}", String::from_utf8_lossy(&root.stderr));
        std::fs::write(self.path("root.pem"), &root.stdout).expect("a file can be written");
        self.path("root.pem")
    }

    /// How many orders were placed since the beginning.
    pub fn orders(&self) -> usize {
        self.log().matches("Added order").count()
    }

    /// What it said.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(name)
    }
}
