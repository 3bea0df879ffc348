//! Real clients of the Classic ELB API against a running elbow: the command line and the SDK of AWS and Ansible's module,
//! as they come. What each does is a program or a playbook in `clients/`; here is what they are done to.
//!
//! What the API answers word for word is tested beside it.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::task::JoinSet;

use crate::harness::*;

const ARN: &str = "arn:aws:iam::123456789012:server-certificate/shop";
const INSTANCES: [&str; 2] = ["i-87f232ed", "i-85f232ef"];
/// Every step of the command line and of Ansible is a Python that starts.
const CLIENTS_PATIENCE: Duration = Duration::from_secs(280);

/// An elbow that knows two instances and a certificate, and whose load balancers bind an address of its own.
struct Scene {
    lb: Lb,
    facts: Value,
    _secure: Secure,
    _instances: JoinSet<()>,
}

impl Scene {
    async fn start() -> Self {
        Self::with_instances_on(0).await
    }

    async fn with_instances_on(port: u16) -> Self {
        let (secure, bind) = (Secure::shop(), own_address());
        let mut instances = JoinSet::new();
        let [first, second] = serve_instances(port, &mut instances).await;
        let [one, two] = INSTANCES;
        let top = format!(
            "[elb_api]\nbind = \"{bind}\"\nload_balancers_max = 5\n\
             [[elb_api.access_key]]\nid = \"ASIASESSION\"\nsecret = \"of a session\"\nsession_token = \"a/token+==\"\n\
             [[elb_api.access_key]]\nid = \"AKIAOTHER\"\nsecret = \"of another\"\naccount = \"000000000002\"\n\
             [instances]\n\"{one}\" = \"{}\"\n\"{two}\" = \"{}\"\n",
            first.ip(),
            second.ip()
        );
        // The arn belongs to the last certificate there is.
        let tables = format!("{}\narn = \"{ARN}\"\n", secure.tables());
        let lb = Setup::default().top(&top).more(&tables).start_cold().await;
        let facts = facts(&lb, bind, first.port());
        Self { lb, facts, _secure: secure, _instances: instances }
    }

    /// The first lines of the documentation that are fenced as `kind`, as this elbow is reached.
    fn documented(&self, kind: &str) -> String {
        let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/elb.md")).unwrap();
        let (_, rest) = text.split_once(&format!("```{kind}\n")).unwrap();
        let (lines, _) = rest.split_once("\n```").unwrap();
        assert!(lines.contains("http://127.0.0.1:9900"), "{lines}");
        let endpoint = format!("http://{}", self.lb.admin().address);
        lines.replace("http://127.0.0.1:9900", &endpoint).replace("state/aws-credentials", &self.key_file())
    }

    fn key_file(&self) -> String {
        self.lb.state_dir().join("aws-credentials").display().to_string()
    }

    /// Runs a program or a playbook.
    async fn act(&self, mut command: Command) {
        forget_aws(&mut command);
        command.env("PYTHONDONTWRITEBYTECODE", "1").env("HOME", self.lb.state_dir()).kill_on_drop(true);
        let output = within("the client", CLIENTS_PATIENCE, command.output()).await;
        let output = output.expect("the clients are installed (tests/run does that)");
        let said = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
        assert!(output.status.success(), "{}", said.concat());
    }
}

/// What clients are told, as `clients/scene.py` says.
fn facts(lb: &Lb, bind: IpAddr, back: u16) -> Value {
    let own = Elb::of(lb).key();
    let key = |id: &str, secret: &str| json!({ "aws_access_key_id": id, "aws_secret_access_key": secret });
    let mut session = key("ASIASESSION", "of a session");
    session["aws_session_token"] = "a/token+==".into();
    let mut facts = json!({
        "endpoint": format!("http://{}", lb.admin().address),
        "bind": bind,
        "back": back,
        "arn": ARN,
        "instances": INSTANCES,
        "keys": {
            "own": key(&own.0, &own.1),
            "wrong": key(&own.0, "wrong"),
            "unknown": key("AKIANOBODY", &own.1),
            "other": key("AKIAOTHER", "of another"),
            "session": session,
        },
    });
    let free: [_; 6] = std::array::from_fn(|_| std::net::TcpListener::bind((bind, 0)).unwrap());
    for (name, free) in ["front", "second", "third", "fourth", "fifth", "sixth"].iter().zip(&free) {
        facts[*name] = free.local_addr().unwrap().port().into();
    }
    facts
}

/// Two web servers at one port of two addresses, each answering with its id, and with the PROXY protocol header that
/// came before a request, the ports left out.
async fn serve_instances(mut port: u16, into: &mut JoinSet<()>) -> [SocketAddr; 2] {
    let mut addresses = Vec::new();
    for id in INSTANCES {
        let listener = TcpListener::bind((own_address(), port)).await.unwrap();
        port = listener.local_addr().unwrap().port();
        addresses.push(listener.local_addr().unwrap());
        into.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(answer_with(id, stream));
                while connections.try_join_next().is_some() {}
            }
        });
    }
    addresses.try_into().unwrap()
}

/// Answers one request. An end before that is a client's to make.
async fn answer_with(id: &'static str, mut stream: TcpStream) -> std::io::Result<()> {
    let (read, mut write) = stream.split();
    let mut lines = BufReader::new(read).lines();
    let mut body = id.to_owned();
    loop {
        match lines.next_line().await? {
            None => return Ok(()),
            Some(line) if line.is_empty() => break,
            Some(line) if line.starts_with("PROXY ") => {
                let words: Vec<_> = line.split(' ').take(4).collect();
                body = format!("{id} via {}", words.join(" "));
            }
            Some(_) => {}
        }
    }
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    write.write_all(format!("{head}{body}").as_bytes()).await
}

/// A client of AWS on this machine may have its own key, place and authorities.
fn forget_aws(command: &mut Command) {
    for name in ["ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN", "PROFILE", "ENDPOINT_URL", "CA_BUNDLE"] {
        command.env_remove(format!("AWS_{name}"));
    }
    command.env("AWS_EC2_METADATA_DISABLED", "true");
}

fn program(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/clients").join(name)
}

fn play(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(name)
}

#[tokio::test]
async fn the_command_line_of_aws_does_all_it_can() {
    let scene = Scene::start().await;
    let mut command = Command::new(program("aws/bin/python"));
    command.arg(play("aws_elb.py")).arg(scene.facts.to_string()).arg(program("aws/bin/aws"));
    scene.act(command).await;
}

#[tokio::test]
async fn boto3_knows_every_answer() {
    let scene = Scene::start().await;
    let mut command = Command::new(program("aws/bin/python"));
    command.arg(play("boto3_elb.py")).arg(scene.facts.to_string());
    scene.act(command).await;
}

#[tokio::test]
async fn curl_asks_by_get_and_in_the_words_of_older_versions() {
    let scene = Scene::start().await;
    let key = &scene.facts["keys"]["own"];
    let user = ["aws_access_key_id", "aws_secret_access_key"].map(|name| key[name].as_str().unwrap()).join(":");
    let endpoint = scene.facts["endpoint"].as_str().unwrap();
    for version in ["2009-05-15", "2009-11-25", "2010-07-01", "2011-04-05", "2011-08-15", "2011-11-15", "2012-06-01"] {
        let parameters = format!("Action=DescribeLoadBalancers&Version={version}");
        for asked in [vec![format!("{endpoint}/?{parameters}")], vec![format!("{endpoint}/"), "-d".into(), parameters]]
        {
            let mut curl = Command::new("curl");
            curl.args(["-sf", "--aws-sigv4", "aws:amz:us-east-1:elasticloadbalancing", "-u", &user]).args(&asked);
            let told = cli_output(curl).await;
            let text = String::from_utf8_lossy(&told.stdout);
            assert!(text.contains("<LoadBalancerDescriptions/>"), "{asked:?}: {} {text}", told.status);
        }
    }
}

#[tokio::test]
async fn aws_trusts_an_address_over_tls_by_its_authority() {
    let secure = Secure::shop();
    let lb = Setup::default().top("[admin]\ncertificate = \"shop\"").more(secure.tables()).start_cold().await;
    let asked = async |authority: Option<&str>| {
        let mut aws = Command::new(program("aws/bin/aws"));
        aws.args(["elb", "describe-account-limits", "--region", "us-east-1", "--endpoint-url"]);
        aws.arg(format!("https://{}", lb.admin().address)).env("AWS_MAX_ATTEMPTS", "1");
        forget_aws(&mut aws);
        aws.env("AWS_SHARED_CREDENTIALS_FILE", lb.state_dir().join("aws-credentials"));
        if let Some(file) = authority {
            aws.env("AWS_CA_BUNDLE", secure.path(file));
        }
        aws.kill_on_drop(true);
        let told = within("aws", CLIENTS_PATIENCE, aws.output()).await.unwrap();
        String::from_utf8_lossy(&told.stdout).into_owned() + &String::from_utf8_lossy(&told.stderr)
    };
    let told = asked(Some("ca.pem")).await;
    assert!(told.contains("classic-load-balancers"), "{told}");
    let told = asked(None).await;
    assert!(told.contains("SSL validation failed"), "{told}");
}

#[tokio::test]
async fn the_lines_of_the_documentation_are_true() {
    let scene = Scene::with_instances_on(80).await;
    let mut shell = Command::new("bash");
    let path = std::env::var("PATH").unwrap_or_default();
    shell.args(["-ec", &scene.documented("sh")]).env("PATH", format!("{}:{path}", program("aws/bin").display()));
    scene.act(shell).await;
    let mut python = Command::new(program("aws/bin/python"));
    python.args(["-c", &scene.documented("python")]).env("AWS_SHARED_CREDENTIALS_FILE", scene.key_file());
    scene.act(python).await;
    if with_ansible() {
        let playbook = scene.lb.path("documented.yml");
        std::fs::write(&playbook, scene.documented("yaml")).unwrap();
        let mut command = ansible(&playbook);
        command.env("AWS_SHARED_CREDENTIALS_FILE", scene.key_file());
        scene.act(command).await;
    }
    let bind: IpAddr = scene.facts["bind"].as_str().unwrap().parse().unwrap();
    let answer = get(SocketAddr::new(bind, 80), "/").await;
    assert!(INSTANCES.contains(&&*answer.text()), "{}", answer.text());
}

#[tokio::test]
async fn ansible_finds_nothing_to_change_the_second_time() {
    if !with_ansible() {
        eprintln!("left out: TESTS_ANSIBLE=1 tests/run has Ansible among the clients");
        return;
    }
    let scene = Scene::start().await;
    let mut command = ansible(&play("elb_classic_lb.yml"));
    command.arg("-e").arg(scene.facts.to_string());
    scene.act(command).await;
}

fn with_ansible() -> bool {
    std::env::var("TESTS_ANSIBLE").is_ok_and(|asked| !asked.is_empty() && asked != "0")
}

fn ansible(playbook: &Path) -> Command {
    let mut command = Command::new(program("ansible/bin/ansible-playbook"));
    command.args(["-i", "localhost,", "-c", "local", "-e"]);
    command.arg(format!("ansible_python_interpreter={}", program("ansible/bin/python").display())).arg(playbook);
    command
}
