//! Real servers that speak TLS, as targets: nginx, and what else a test runs.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::ca::Issued;
use super::{PATIENCE, eventually, own_address};

/// A server that speaks TLS on loopback. It is gone when this value is.
pub struct TlsTarget {
    address: SocketAddr,
    directory: TempDir,
    _child: Child,
}

/// What nginx answers with in these tests: what it knows of the connection.
pub const TOLD: &str = "return 200 \"sni=$ssl_server_name client=$ssl_client_s_dn reused=$ssl_session_reused \
                        protocol=$ssl_protocol connection=$connection peer=$proxy_protocol_addr\";";

impl TlsTarget {
    /// nginx with a certificate, and with these directives for all that it is asked.
    pub async fn nginx(issued: &Issued, location: &str) -> Self {
        Self::nginx_with(issued, "ssl", "", location).await
    }

    /// The same at an address that is not its alone.
    pub async fn nginx_at(ip: IpAddr, issued: &Issued, location: &str) -> Self {
        let free = std::net::TcpListener::bind((ip, 0)).and_then(|free| free.local_addr()).expect("a free port");
        Self::nginx_on(free, issued, "ssl", "", location).await
    }

    /// nginx that listens with these words and has more directives.
    pub async fn nginx_with(issued: &Issued, listen: &str, directives: &str, location: &str) -> Self {
        Self::nginx_on(own_socket(), issued, listen, directives, location).await
    }

    async fn nginx_on(address: SocketAddr, issued: &Issued, listen: &str, directives: &str, location: &str) -> Self {
        let directory = prepared(issued);
        let root = directory.path().display();
        let config = format!(
            "daemon off; master_process off; pid {root}/pid; error_log stderr;\nevents {{ }}\n\
             http {{ log_format told \"$ssl_session_reused $connection $ssl_server_name.\"; access_log {root}/access told;\n\
             client_body_temp_path {root}/b; proxy_temp_path {root}/p; fastcgi_temp_path {root}/f;\n\
             uwsgi_temp_path {root}/u; scgi_temp_path {root}/s; keepalive_timeout 60s; keepalive_requests 100000;\n\
             client_max_body_size 0;\n\
             server {{ listen {address} {listen}; ssl_certificate {root}/cert.pem; ssl_certificate_key {root}/key.pem;\n\
             ssl_session_cache shared:s:1m; {directives}\nlocation / {{ {location} }} }} }}\n"
        );
        std::fs::write(directory.path().join("nginx.conf"), config).expect("a file can be written");
        let program = if Path::new("/usr/sbin/nginx").exists() { "/usr/sbin/nginx" } else { "nginx" };
        let mut command = Command::new(program);
        command.arg("-p").arg(directory.path()).arg("-c").arg(directory.path().join("nginx.conf"));
        command.args(["-e", "stderr"]);
        Self::run(command, address, directory).await
    }

    /// `openssl s_server` with a certificate, and with these arguments.
    pub async fn openssl(issued: &Issued, arguments: &[&str]) -> Self {
        let (directory, address) = (prepared(issued), own_socket());
        let mut command = Command::new("openssl");
        command.args(["s_server", "-cert", "cert.pem", "-key", "key.pem", "-accept", &address.to_string()]);
        command.args(arguments).current_dir(directory.path());
        Self::run(command, address, directory).await
    }

    /// A Python program, which finds `context`, a TLS context, and `listening`, a socket.
    pub async fn python(issued: &Issued, program: &str) -> Self {
        const BEGIN: &str = "
import socket, ssl, sys, threading
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain('cert.pem', 'key.pem')
listening = socket.create_server((sys.argv[1], int(sys.argv[2])))
";
        let (directory, address) = (prepared(issued), own_socket());
        let mut command = Command::new("python3");
        command.args(["-c", &format!("{BEGIN}{program}"), &address.ip().to_string(), &address.port().to_string()]);
        command.current_dir(directory.path());
        Self::run(command, address, directory).await
    }

    async fn run(mut command: Command, address: SocketAddr, directory: TempDir) -> Self {
        let log = std::fs::File::create(directory.path().join("log")).expect("a file can be made");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).kill_on_drop(true);
        let mut child = command.spawn().expect("the server is installed (tests/run does that)");
        eventually("the server to listen", PATIENCE, async || {
            let log = || std::fs::read_to_string(directory.path().join("log")).unwrap_or_default();
            assert!(child.try_wait().expect("a child can be waited for").is_none(), "the server ended: {}", log());
            tokio::net::TcpStream::connect(address).await.is_ok()
        })
        .await;
        Self { address, directory, _child: child }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// nginx: each request as `REUSED CONNECTION SNI.`, `r` for a connection whose session was resumed.
    pub fn requests(&self) -> Vec<String> {
        let log = std::fs::read_to_string(self.directory.path().join("access")).unwrap_or_default();
        log.lines().map(str::to_owned).collect()
    }
}

fn own_socket() -> SocketAddr {
    SocketAddr::new(own_address(), 8443)
}

fn prepared(issued: &Issued) -> TempDir {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).expect("it can be written");
    write("cert.pem", &issued.certificate);
    write("key.pem", &issued.key);
    directory
}

/// The pin of a certificate's key, as `tls_pinned_keys` has it, from openssl.
pub async fn pin_of(certificate: &Path) -> String {
    let pipe = "openssl x509 -in \"$0\" -pubkey -noout | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | base64";
    let output = Command::new("sh").args(["-c", pipe]).arg(PathBuf::from(certificate)).output().await;
    let output = output.expect("openssl is installed (tests/run does that)");
    format!("sha256/{}", String::from_utf8_lossy(&output.stdout).trim())
}
