//! Real web servers behind elbow under steady traffic: killing one, deregistering one, reloading and registering cost
//! no request, and a WebSocket stays open over all of it.

use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::process::{Child, Command};
use tokio::task::JoinSet;

use crate::harness::*;

const REQUESTS_PER_SECOND: u32 = 200;
const CONNECTIONS: usize = 8;

/// Python's own web server. Its answers leave in one piece: by default head and body are two writes, and no load
/// balancer can take back the head of an answer whose server was killed between the two.
const PYTHON_SERVER: &str = "
import http.server, sys
class Handler(http.server.SimpleHTTPRequestHandler):
    wbufsize = 65536
http.server.ThreadingHTTPServer((sys.argv[1], 8080), Handler).serve_forever()
";

/// A real web server that serves one file with its own name in it.
struct Server {
    address: SocketAddr,
    child: Child,
    _directory: tempfile::TempDir,
}

impl Server {
    async fn nginx(name: &str) -> Self {
        let (directory, address) = (tempfile::tempdir().unwrap(), SocketAddr::new(own_address(), 8080));
        let path = directory.path();
        std::fs::write(path.join("index.html"), name).unwrap();
        let root = path.display();
        let config = format!(
            "daemon off; master_process off; pid {root}/pid; error_log stderr;\nevents {{ }}\n\
             http {{ access_log off; client_body_temp_path {root}/b; proxy_temp_path {root}/p; fastcgi_temp_path {root}/f;\n\
             uwsgi_temp_path {root}/u; scgi_temp_path {root}/s;\n\
             server {{ listen {address}; root {root}; }} }}\n"
        );
        std::fs::write(path.join("nginx.conf"), config).unwrap();
        let program = if std::path::Path::new("/usr/sbin/nginx").exists() { "/usr/sbin/nginx" } else { "nginx" };
        let mut command = Command::new(program);
        command.arg("-p").arg(path).arg("-c").arg(path.join("nginx.conf")).args(["-e", "stderr"]);
        Self::run(command, address, directory).await
    }

    async fn python(name: &str) -> Self {
        let (directory, address) = (tempfile::tempdir().unwrap(), SocketAddr::new(own_address(), 8080));
        std::fs::write(directory.path().join("index.html"), name).unwrap();
        let mut command = Command::new("python3");
        command.args(["-c", PYTHON_SERVER, &address.ip().to_string()]).current_dir(directory.path());
        Self::run(command, address, directory).await
    }

    async fn run(mut command: Command, address: SocketAddr, directory: tempfile::TempDir) -> Self {
        let log = std::fs::File::create(directory.path().join("log")).unwrap();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).kill_on_drop(true);
        let mut child = command.spawn().expect("the web server is installed (tests/run does that)");
        eventually("the web server to listen", PATIENCE, async || {
            let log = || std::fs::read_to_string(directory.path().join("log")).unwrap_or_default();
            assert!(child.try_wait().unwrap().is_none(), "the web server ended: {}", log());
            tokio::net::TcpStream::connect(address).await.is_ok()
        })
        .await;
        Self { address, child, _directory: directory }
    }

    async fn kill9(&mut self) {
        self.child.kill().await.unwrap();
    }
}

/// Steady traffic on kept connections; every failed request is remembered.
struct Traffic {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicUsize>,
    connections: JoinSet<Vec<String>>,
}

impl Traffic {
    fn towards(to: SocketAddr) -> Self {
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut connections = JoinSet::new();
        for _ in 0..CONNECTIONS {
            connections.spawn(requests(to, Arc::clone(&stop), Arc::clone(&sent)));
        }
        Self { stop, sent, connections }
    }

    fn sent(&self) -> usize {
        self.sent.load(Ordering::Relaxed)
    }

    /// Waits until so many more requests were made.
    async fn pass(&self, requests: usize) {
        let until = self.sent() + requests;
        eventually(&format!("{requests} more requests"), PATIENCE * 3, async || self.sent() >= until).await;
    }

    /// Ends it; fails when a request did.
    async fn assert_spotless(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let mut failed = Vec::new();
        while let Some(one) = within("the end of the traffic", PATIENCE, self.connections.join_next()).await {
            failed.extend(one.expect("a client failed"));
        }
        assert!(failed.is_empty(), "{} of {} requests failed: {failed:#?}", failed.len(), self.sent());
    }
}

/// What one of the connections asks, at its share of the rate, until told to stop; what failed.
async fn requests(to: SocketAddr, stop: Arc<AtomicBool>, sent: Arc<AtomicUsize>) -> Vec<String> {
    let pause = Duration::from_secs(1) * CONNECTIONS as u32 / REQUESTS_PER_SECOND;
    let mut ticks = tokio::time::interval(pause);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (mut failed, mut kept) = (Vec::new(), None);
    while !stop.load(Ordering::Relaxed) {
        ticks.tick().await;
        let number = sent.fetch_add(1, Ordering::Relaxed);
        let mut client = match kept.take() {
            Some(client) => client,
            None => Client::connect(to).await,
        };
        client.send("GET / HTTP/1.1\r\nHost: example.test\r\n\r\n").await;
        match client.try_response().await {
            Ok(response) if response.status == 200 => {
                // One in ten comes on a new connection.
                let closing = response.header("connection").is_some_and(|value| value == "close");
                kept = (!closing && !number.is_multiple_of(10)).then_some(client);
            }
            other => failed.push(format!("{:?}: {:?}", Instant::now(), other.map(|response| response.head.first_line))),
        }
    }
    failed
}

const CHECK: &str = "protocol = \"http\"\npath = \"/\"\ninterval = \"500ms\"\ntimeout = \"400ms\"";

#[tokio::test]
async fn a_target_killed_with_9_costs_no_request() {
    let mut servers = [Server::nginx("one").await, Server::nginx("two").await, Server::python("three").await];
    let named = ["one", "two", "three"];
    let pairs = named.iter().zip(&servers);
    let setup = pairs.fold(Setup::default(), |setup, (name, server)| setup.target_at(name, server.address, ""));
    let lb = setup.health_check(CHECK).start().await;
    let traffic = Traffic::towards(lb.web());
    traffic.pass(200).await;
    servers[0].kill9().await;
    traffic.pass(400).await;
    lb.until("app", "one", "unhealthy").await;
    servers[2].kill9().await;
    traffic.pass(400).await;
    lb.until("app", "three", "unhealthy").await;
    traffic.pass(100).await;
    traffic.assert_spotless().await;
    let asked = async |target: &str| lb.metric("elbow_target_requests_total", &[("target", target)]).await;
    for target in named {
        assert!(asked(target).await > 10.0, "{target} took no traffic: the test tested nothing");
    }
}

#[tokio::test]
async fn changes_of_every_kind_cost_no_request_and_no_websocket() {
    let servers = [Server::nginx("one").await, Server::nginx("two").await, Server::python("three").await];
    let switching = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let chat = Upstream::start(move |_| vec![Act::Write(switching.into()), Act::Echo]).await;
    let chat_tables = format!(
        "[[listener]]\nname = \"chat\"\nbind = \"127.0.0.1:0\"\ntarget_group = \"chat\"\n\
         [[target_group]]\nname = \"chat\"\n[[target_group.target]]\nid = \"chat\"\naddress = \"{}\"\n",
        chat.address()
    );
    let setup = |weight: usize| {
        let first = Setup::default().target_at("one", servers[0].address, &format!("weight = {weight}"));
        first.target_at("two", servers[1].address, "").health_check(CHECK).more(&chat_tables)
    };
    let mut lb = setup(1).start().await;
    let mut websocket = Client::connect(lb.listener("chat")).await;
    websocket.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n").await;
    assert_eq!(websocket.response().await.status, 101);
    lb.admin().register("app", "leaver", servers[2].address).await;
    lb.until("app", "leaver", "healthy").await;

    let traffic = Traffic::towards(lb.web());
    traffic.pass(200).await;
    let registering = tokio::spawn(register_and_deregister(lb.admin().clone(), servers[1].address));
    for round in 0..20 {
        let answer = lb.reload(&setup(round % 3 + 1).toml()).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        websocket.send(format!("round {round}")).await;
        websocket.assert_reads(format!("round {round}").as_bytes()).await;
        if round == 10 {
            assert_eq!(lb.admin().delete("/v1/target-groups/app/targets/leaver").await.status, 202);
        }
        traffic.pass(30).await;
    }
    let registered = within("the registrations", PATIENCE * 2, registering).await.expect("registering failed");
    assert!(registered >= 30, "{registered}");
    traffic.pass(100).await;
    traffic.assert_spotless().await;
    websocket.send("still open").await;
    websocket.assert_reads(b"still open").await;
}

/// Registers a target every 100 ms and takes each away again a while later; says how many.
async fn register_and_deregister(admin: Admin, address: SocketAddr) -> usize {
    let mut ticks = tokio::time::interval(ms(100));
    for number in 0..40_usize {
        ticks.tick().await;
        admin.register("app", &format!("extra-{number}"), address).await;
        if let Some(old) = number.checked_sub(5) {
            let gone = admin.delete(&format!("/v1/target-groups/app/targets/extra-{old}")).await;
            assert_eq!(gone.status, 202, "{}", gone.text());
        }
    }
    40
}
