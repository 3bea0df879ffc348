//! Real programs at both ends of TCP streams and PROXY protocol headers: PostgreSQL, HAProxy and nginx.

use std::net::SocketAddr;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::harness::*;

/// A user that may do nothing, for programs that refuse to run as root.
const NOBODY: u32 = 65534;

/// A program that serves until the test is over.
struct Program {
    _child: Child,
    _directory: tempfile::TempDir,
}

impl Program {
    /// Runs a command on files in a directory, until it listens.
    async fn run(mut command: Command, directory: tempfile::TempDir, listens: SocketAddr) -> Self {
        let log = std::fs::File::create(directory.path().join("log")).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).kill_on_drop(true);
        let mut child = command.spawn().expect("the program is installed (tests/run does that)");
        eventually("the program to listen", PATIENCE, async || {
            let log = || std::fs::read_to_string(directory.path().join("log")).unwrap_or_default();
            assert!(child.try_wait().unwrap().is_none(), "it ended: {}", log());
            TcpStream::connect(listens).await.is_ok()
        })
        .await;
        Self { _child: child, _directory: directory }
    }

    async fn haproxy(config: &str, listens: SocketAddr) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let timeouts = "timeout connect 5s\n  timeout client 30s\n  timeout server 30s";
        let path = write(&directory, &format!("global\n  maxconn 100\ndefaults\n  {timeouts}\n{config}\n"));
        let mut command = Command::new(program("haproxy"));
        command.arg("-db").arg("-f").arg(path);
        Self::run(command, directory, listens).await
    }

    /// `{root}` in the configuration is the directory for files.
    async fn nginx(config: &str, listens: SocketAddr) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().display().to_string();
        // Debian builds it as a module of its own.
        let module = "/usr/lib/nginx/modules/ngx_stream_module.so";
        let needs_module = config.starts_with("stream") && Path::new(module).exists();
        let load = if needs_module { format!("load_module {module};\n") } else { String::new() };
        let top = format!("{load}daemon off; master_process off; pid {root}/pid; error_log stderr;\nevents {{ }}\n");
        let path = write(&directory, &(top + &config.replace("{root}", &root)));
        let mut command = Command::new(program("nginx"));
        command.arg("-p").arg(directory.path()).arg("-c").arg(path).args(["-e", "stderr"]);
        Self::run(command, directory, listens).await
    }

    /// A PostgreSQL whose superuser is `elbow`, on loopback and without a password.
    async fn postgres(listens: SocketAddr) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("data");
        std::fs::create_dir(&data).unwrap();
        if is_root() {
            chown(directory.path(), Some(NOBODY), Some(NOBODY)).unwrap();
            chown(&data, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let mut init = unprivileged(postgres_program("initdb"));
        init.args(["--auth=trust", "--username=elbow", "--no-sync", "--pgdata"]).arg(&data);
        let output = within("initdb", PATIENCE * 3, init.current_dir("/").output()).await.expect("it is installed");
        assert!(output.status.success(), "{}", said(&output));
        let mut command = unprivileged(postgres_program("postgres"));
        command.arg("-D").arg(&data).arg("-h").arg(listens.ip().to_string()).arg("-p").arg(listens.port().to_string());
        command.arg("-k").arg("").args(["-c", "fsync=off"]).current_dir("/");
        Self::run(command, directory, listens).await
    }
}

fn write(directory: &tempfile::TempDir, config: &str) -> PathBuf {
    let path = directory.path().join("config");
    std::fs::write(&path, config).unwrap();
    path
}

/// Debian keeps servers where not every user's path looks.
fn program(name: &str) -> PathBuf {
    let path = Path::new("/usr/sbin").join(name);
    if path.exists() { path } else { name.into() }
}

/// Debian keeps the programs of PostgreSQL by version, out of every path.
fn postgres_program(name: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<_> = versions.map(|version| version.path().join("bin").join(name)).collect();
    found.sort();
    found.pop().filter(|path| path.exists()).unwrap_or_else(|| name.into())
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn unprivileged(program: PathBuf) -> Command {
    let mut command = Command::new(program);
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command.env("LC_ALL", "C.UTF-8");
    command
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

async fn psql(to: SocketAddr, statements: &str) -> String {
    let mut command = Command::new("psql");
    command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "elbow", "-d", "postgres", "-h"]);
    command.arg(to.ip().to_string()).arg("-p").arg(to.port().to_string()).arg("-c").arg(statements);
    let output = within("psql", PATIENCE * 2, command.stdin(Stdio::null()).output()).await.expect("it is installed");
    assert!(output.status.success(), "{statements}: {}", said(&output));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[tokio::test]
async fn psql_works_through_a_listener() {
    let database = SocketAddr::new(own_address(), 5432);
    let _postgres = Program::postgres(database).await;
    let check = "protocol = \"tcp\"\ninterval = \"100ms\"\ntimeout = \"90ms\"";
    let setup = Setup::streams(&[]).health_check(check).target_at("db", database, "");
    let lb = setup.start().await;
    let (made, read) = (
        "CREATE TABLE t AS SELECT n, repeat(md5(n::text), 100) AS text FROM generate_series(1, 2000) n",
        "SELECT md5(string_agg(text, ',' ORDER BY n)) FROM t",
    );
    psql(lb.web(), made).await;
    assert_eq!(psql(lb.web(), "SELECT count(*) FROM t").await, "2000");
    assert_eq!(psql(lb.web(), read).await, psql(database, read).await);
    // Six megabytes in one answer, the same as without us.
    let all = "SELECT text FROM t ORDER BY n";
    assert!(psql(lb.web(), all).await == psql(database, all).await);
    let clients = (0..10).map(|n| psql(lb.web(), if n % 2 == 0 { read } else { "SELECT pg_sleep(0.1)" }));
    within("ten clients at once", PATIENCE * 2, futures_util::future::join_all(clients)).await;
}

#[tokio::test]
async fn haproxy_and_nginx_in_front_say_whose_a_request_is() {
    let upstream = Upstream::answering("hello").await;
    let keys = "proxy_protocol = \"require\"\ntrusted_proxies = [\"127.0.0.1/32\"]";
    let lb = Setup::targets(&[&upstream]).listener(keys).start().await;
    let web = lb.web();
    let mut front = Vec::new();
    for send in ["send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c,unique-id"] {
        let listens = SocketAddr::new(own_address(), 8080);
        let id = if send.contains("unique-id") { "unique-id-format \"%[uuid()]\"" } else { "" };
        let config =
            format!("listen front\n  mode tcp\n  bind {listens}\n  {id}\n  server elbow {web} {send} source 127.0.0.1");
        front.push((listens, Program::haproxy(&config, listens).await));
    }
    let listens = SocketAddr::new(own_address(), 8080);
    let config = format!(
        "stream {{ server {{ listen {listens}; proxy_pass {web}; proxy_bind 127.0.0.1; proxy_protocol on; }} }}\n"
    );
    front.push((listens, Program::nginx(&config, listens).await));
    for (listens, _program) in &front {
        let client_ip = own_address();
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(client_ip, 0)).unwrap();
        let mut client = Stream(within("connecting", PATIENCE, socket.connect(*listens)).await.unwrap());
        client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
        let answer = String::from_utf8_lossy(&client.rest().await.unwrap()).into_owned();
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("hello"), "{answer}");
        let seen = upstream.seen().pop().unwrap();
        assert_eq!(seen.header("x-forwarded-for"), Some(&*client_ip.to_string()));
    }
    assert_eq!(lb.metric("elbow_proxy_headers_refused_total", &[("reason", "malformed")]).await, 0.0);
}

#[tokio::test]
async fn haproxy_as_a_target_is_told_of_tls_that_elbow_ends() {
    let haproxy = SocketAddr::new(own_address(), 8080);
    let config = format!(
        "frontend target\n  mode http\n  bind {haproxy} accept-proxy\n  http-request return status 200 content-type \
         text/plain lf-string \"%[fc_pp_authority] %[fc_pp_unique_id,length] %[src]\""
    );
    let _haproxy = Program::haproxy(&config, haproxy).await;
    for (protocol, group) in [("https", "http"), ("tls", "tcp")] {
        let secure = Secure::shop();
        let check = "protocol = \"http\"\ninterval = \"100ms\"\ntimeout = \"90ms\"";
        let keys = format!("protocol = \"{group}\"\nsend_proxy = \"v2\"");
        let setup = Setup::default().group(&keys).health_check(check).target_at("t0", haproxy, "");
        let lb = secure.before(setup, protocol, "").start().await;
        lb.until("app", "t0", "healthy").await;
        let output = secure.curl(lb.web(), "/", &[]).await;
        assert_eq!(String::from_utf8_lossy(&output.stdout), "shop.example 32 127.0.0.1", "{protocol}: {output:?}");
    }
}

#[tokio::test]
async fn haproxy_and_nginx_as_targets_are_told_whose_a_connection_is() {
    let (haproxy, nginx) = (SocketAddr::new(own_address(), 8080), SocketAddr::new(own_address(), 8080));
    let config = format!(
        "frontend target\n  mode http\n  bind {haproxy} accept-proxy\n  http-request return status 200 content-type \
         text/plain lf-string \"%[src]:%[src_port]\""
    );
    let _haproxy = Program::haproxy(&config, haproxy).await;
    let config = format!(
        "http {{ access_log off; client_body_temp_path {{root}}/b; proxy_temp_path {{root}}/p; fastcgi_temp_path {{root}}/f;\n\
         uwsgi_temp_path {{root}}/u; scgi_temp_path {{root}}/s;\n\
         server {{ listen {nginx} proxy_protocol; return 200 \"$proxy_protocol_addr:$proxy_protocol_port\"; }} }}\n"
    );
    let _nginx = Program::nginx(&config, nginx).await;
    for protocol in ["http", "tcp"] {
        for version in ["v1", "v2"] {
            for target in [haproxy, nginx] {
                let check = "protocol = \"http\"\ninterval = \"100ms\"\ntimeout = \"90ms\"";
                let keys = format!("protocol = \"{protocol}\"\nsend_proxy = \"{version}\"");
                let setup = Setup::default().listener(&format!("protocol = \"{protocol}\"")).group(&keys);
                let lb = setup.health_check(check).target_at("t0", target, "").start().await;
                lb.until("app", "t0", "healthy").await;
                let mut client = Stream::connect(lb.web()).await;
                client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
                let answer = String::from_utf8_lossy(&client.rest().await.unwrap()).into_owned();
                assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
                assert!(answer.contains(&client.address().to_string()), "{protocol} {version} {target}: {answer}");
            }
        }
    }
}
