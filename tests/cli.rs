//! The command line: exit codes, words for people, JSON for scripts.

use std::net::SocketAddr;
use std::process::Output;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

use crate::harness::*;

async fn run(arguments: &[&str]) -> Output {
    let mut command = elbow();
    command.args(arguments);
    cli_output(command).await
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

async fn validate(toml: &str) -> Output {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("elbow.toml");
    std::fs::write(&path, toml).unwrap();
    run(&["validate", "-c", path.to_str().unwrap()]).await
}

const GOOD: &str = "[[listener]]\nname = \"web\"\nbind = \"127.0.0.1:0\"\ntarget_group = \"app\"\n\n\
                    [[target_group]]\nname = \"app\"\n\n[[target_group.target]]\naddress = \"127.0.0.1:80\"\n";

#[tokio::test]
async fn a_good_file_is_valid() {
    let output = validate(GOOD).await;
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("elbow.toml");
    std::fs::write(&path, GOOD).unwrap();
    assert_eq!(run(&["check", "-c", path.to_str().unwrap()]).await.status.code(), Some(0), "`check` is an alias");
}

#[tokio::test]
async fn a_wrong_file_is_told_with_line_column_and_hint() {
    for (wrong, line, words) in [
        (GOOD.replace("name = \"web\"", "nmae = \"web\""), 2, &["nmae", "name"][..]),
        (
            GOOD.replace("[[target_group]]\n", "[[target_group]]\ninitial_wiat = \"1s\"\n"),
            7,
            &["initial_wiat", "initial_wait"],
        ),
        (GOOD.replace("target_group = \"app\"", "target_group = \"ap\""), 4, &["ap", "app"]),
        (GOOD.replace("127.0.0.1:0", "not an address"), 3, &["not an address"]),
        (GOOD.replace("name = \"app\"", "name = \"app\"\nresponse_timeout = 3"), 8, &["duration", "3s"]),
        (GOOD.replace("name = \"app\"", "name = \"app\"\nresponse_timeout = \"3 parsecs\""), 8, &["parsecs"]),
        (
            GOOD.replace("name = \"app\"", "name = \"app\"\nalgorithm = \"round_robbin\""),
            8,
            &["round_robbin", "round_robin"],
        ),
        (GOOD.replace("name = \"app\"", "name = \"a b\""), 7, &["a b"]),
        (GOOD.replace("127.0.0.1:80\"", "127.0.0.1:80\"\nweight = 1001"), 11, &["1001", "1000"]),
        (GOOD.replace("name = \"app\"\n\n", "name = \"app\"\nname = \"again\"\n\n"), 8, &["duplicate"]),
        (GOOD.replace("[[target_group]]", "[[target_group]"), 6, &[]),
    ] {
        let output = validate(&wrong).await;
        let said = said(&output);
        assert_eq!(output.status.code(), Some(2), "{wrong}\n{said}");
        assert!(said.contains(&format!("elbow.toml:{line}:")), "line {line}, and a column, of\n{wrong}\n{said}");
        assert!(words.iter().all(|word| said.contains(word)), "{words:?} in {said}");
    }
}

#[tokio::test]
async fn all_that_is_wrong_is_told_at_once() {
    let toml =
        GOOD.replace("name = \"web\"", "name = \"w e b\"").replace("127.0.0.1:80\"", "127.0.0.1:80\"\nweight = 1001");
    let said = said(&validate(&toml).await);
    assert!(said.contains("w e b") && said.contains("1001"), "{said}");
}

#[tokio::test]
async fn the_whole_documented_configuration_is_taken() {
    let directory = tempfile::tempdir().unwrap();
    let toml = format!(
        "[admin]\nlisten = \"127.0.0.1:9900\"\nauth = \"required\"\n[state]\ndir = \"{}\"\n[workers]\ncount = 0\n\
         [limits]\nconnections_max = 0\n[shutdown]\ndelay = \"0s\"\ntimeout = \"30s\"\n\
         [access_log]\npath = \"off\"\nformat = \"json\"\n\
         [[listener]]\nname = \"web\"\nbind = \"0.0.0.0:8080\"\nprotocol = \"http\"\ntarget_group = \"app\"\n\
         head_timeout = \"10s\"\nidle_timeout = \"60s\"\nbody_rate_min = \"1KiB\"\ntunnel_idle_timeout = \"1h\"\n\
         request_line_max = \"16KiB\"\nheaders_max = \"64KiB\"\nheader_count_max = 128\nbody_max = \"0\"\n\
         connections_max = 0\nrequests_per_connection_max = 0\ntrusted_proxies = []\n\
         [[target_group]]\nname = \"app\"\nprotocol = \"http\"\nalgorithm = \"least_outstanding_requests\"\n\
         deregistration_delay = \"300s\"\nslow_start = \"0s\"\nwhen_all_unhealthy = \"fail_open\"\ninitial_wait = \"3s\"\n\
         connect_timeout = \"2s\"\nresponse_timeout = \"60s\"\nkeepalive_timeout = \"4s\"\nidle_connections_max = 64\n\
         connections_max = 0\nsurge_queue_max = 1024\n[target_group.health_check]\nprotocol = \"http\"\npath = \"/\"\nport = \"traffic-port\"\n\
         host = \"\"\nheaders = {{}}\ninterval = \"10s\"\ntimeout = \"5s\"\nhealthy_threshold = 2\n\
         unhealthy_threshold = 2\nmatcher = \"200-299\"\n\
         [[target_group.target]]\nid = \"web-1\"\naddress = \"10.0.0.11:80\"\nweight = 1\nzone = \"us-east-1a\"\n",
        directory.path().display()
    );
    let output = validate(&toml).await;
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
}

#[tokio::test]
async fn wrong_usage_is_exit_code_2() {
    for arguments in [
        &["validat"][..],
        &["validate"],
        &["validate", "-c", "/nowhere/to/be/found.toml"],
        &["run", "--nonsense"],
        &["run", "-c", "/nowhere/to/be/found.toml"],
        &["run", "--workers", "many"],
        &["target", "register", "app"],
        &["completions", "abacus"],
    ] {
        let output = run(arguments).await;
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", said(&output));
        assert!(!said(&output).is_empty());
    }
}

#[tokio::test]
async fn help_and_version_teach() {
    let version = run(&["version"]).await;
    assert_eq!(version.status.code(), Some(0));
    assert!(said(&version).contains(env!("CARGO_PKG_VERSION")), "{}", said(&version));
    let help = run(&["--help"]).await;
    for verb in
        ["run", "demo", "validate", "reload", "status", "target", "state", "cookie-key", "version", "completions"]
    {
        assert!(said(&help).contains(verb), "{verb} is missing in {}", said(&help));
    }
    for verb in ["run", "demo", "validate", "reload", "status", "state", "cookie-key", "completions"] {
        let help = run(&[verb, "--help"]).await;
        assert!(said(&help).contains(&format!("elbow {verb}")), "{verb}: {}", said(&help));
    }
    let register = said(&run(&["target", "register", "--help"]).await);
    assert!(register.contains("--address") && register.contains("elbow target register "), "an example: {register}");
    for shell in ["bash", "zsh", "fish"] {
        let completions = run(&["completions", shell]).await;
        assert!(completions.status.success() && said(&completions).contains("elbow"), "{shell}");
    }
}

#[tokio::test]
async fn status_shows_what_runs_as_tables_and_as_json() {
    let upstream = Upstream::answering("ok").await;
    let lb = Setup::targets(&[&upstream]).start().await;
    let output = lb.cli(&["status"]).await;
    let text = said(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    for told in ["web", &lb.web().to_string(), "app", "t0", "healthy", &upstream.address().to_string()] {
        assert!(text.contains(told), "{told} is missing in\n{text}");
    }
    assert!(!text.contains('\x1b'), "no colours where nobody looks");
    let output = lb.cli(&["status", "--output", "json"]).await;
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(json.to_string().contains("\"healthy\""), "{json}");
}

#[tokio::test]
async fn targets_are_managed_by_verbs() {
    let (upstream, new) = (Upstream::answering("ok").await, Upstream::answering("new").await);
    let lb = Setup::targets(&[&upstream]).quick_health_check().start().await;
    let address = new.address().to_string();
    let ok = async |arguments: &[&str]| {
        let output = lb.cli(arguments).await;
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", said(&output));
        said(&output)
    };
    ok(&["target", "register", "app", "new", "--address", &address, "--weight", "3", "--zone", "z1", "--wait"]).await;
    assert_eq!(lb.target_states("app").await["new"], "healthy", "--wait returns once it is");
    let list = ok(&["target", "list", "app"]).await;
    assert!(list.contains("new") && list.contains(&address) && list.contains("t0"), "{list}");
    assert!(ok(&["target", "list"]).await.contains("new"));
    ok(&["target", "drain", "app", "new"]).await;
    assert_eq!(lb.target_states("app").await["new"], "draining");
    ok(&["target", "undrain", "app", "new"]).await;
    assert_eq!(lb.target_states("app").await["new"], "healthy");
    let json = lb.cli(&["target", "list", "app", "--output", "json"]).await;
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json.as_array().map(Vec::len), Some(2), "{json}");
    ok(&["target", "deregister", "app", "new", "--wait"]).await;
    assert!(!lb.target_states("app").await.contains_key("new"));
    for arguments in
        [&["target", "deregister", "app", "new"][..], &["target", "list", "nobody"], &["target", "drain", "app", "x"]]
    {
        let output = lb.cli(arguments).await;
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", said(&output));
    }
}

#[tokio::test]
async fn state_moves_as_one_document() {
    let upstream = Upstream::answering("ok").await;
    let lb = Setup::targets(&[&upstream]).start().await;
    lb.admin().put("/v1/target-groups/extra", "{\"algorithm\": \"round_robin\"}").await;
    lb.admin().register("extra", "x", upstream.address()).await;
    lb.admin().register("app", "y", upstream.address()).await;
    let file = lb.path("state.json");
    let file = file.to_str().unwrap();
    let exported = lb.cli(&["state", "export", file]).await;
    assert_eq!(exported.status.code(), Some(0), "{}", said(&exported));
    let json: serde_json::Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    assert!(json.to_string().contains("extra"), "{json}");

    let other = Setup::targets(&[&upstream]).start().await;
    let imported = other.cli(&["state", "import", file]).await;
    assert_eq!(imported.status.code(), Some(0), "{}", said(&imported));
    assert!(other.target_states("app").await.contains_key("y"));
    assert!(other.target_states("extra").await.contains_key("x"));
    assert_eq!(other.admin().get("/v1/target-groups/extra").await.json()["algorithm"], "round_robin");

    let before = other.admin().get("/v1/config").await.json();
    let torn = std::fs::read_to_string(file).unwrap().replace("round_robin", "round_robbin");
    std::fs::write(file, torn).unwrap();
    assert_eq!(other.cli(&["state", "import", file]).await.status.code(), Some(1), "all or nothing");
    assert_eq!(other.admin().get("/v1/config").await.json(), before);
}

#[tokio::test]
async fn without_a_running_elbow_clients_say_so() {
    let directory = tempfile::tempdir().unwrap();
    let output = run(&["status", "--state-dir", directory.path().to_str().unwrap()]).await;
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let text = said(&output);
    assert!(text.contains(directory.path().to_str().unwrap()), "it says where it looked: {text}");
}

#[tokio::test]
async fn clients_find_elbow_by_flag_and_environment() {
    let upstream = Upstream::answering("ok").await;
    let lb = Setup::targets(&[&upstream]).start().await;
    let url = format!("http://{}", lb.admin().address);
    let token_file = lb.state_dir().join("admin.token");
    let output = run(&["status", "--admin", &url, "--token-file", token_file.to_str().unwrap()]).await;
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let mut command = elbow();
    command.arg("status").env("ELBOW_ADMIN", &url).env("ELBOW_TOKEN", &lb.admin().token);
    let output = cli_output(command).await;
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let mut command = elbow();
    command.arg("status").env("ELBOW_ADMIN", &url).env("ELBOW_TOKEN", "wrong");
    assert_eq!(cli_output(command).await.status.code(), Some(1));
}

#[tokio::test]
async fn run_needs_no_file() {
    let upstream = Upstream::answering("no file").await;
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    let mut command = elbow();
    command.args(["run", "--listen", "127.0.0.1:0", "--target", &upstream.address().to_string()]);
    command.args(["--admin", "127.0.0.1:0", "--state-dir", state.to_str().unwrap()]);
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut run = serde_json::Value::Null;
    eventually("run.json", PATIENCE, async || {
        assert!(child.try_wait().unwrap().is_none(), "it ended");
        let read = std::fs::read(state.join("run.json")).ok();
        run = read.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        run.is_object()
    })
    .await;
    let web: SocketAddr = run["listeners"]["web"].as_str().unwrap().parse().unwrap();
    assert_eq!(get(web, "/").await.text(), "no file");
    child.kill().await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_had_is_exit_code_1_and_named() {
    let held = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let taken = held.local_addr().unwrap().to_string();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("elbow.toml");
    std::fs::write(&path, GOOD.replace("127.0.0.1:0", &taken)).unwrap();
    let (path, state) = (path.to_str().unwrap(), directory.path().join("state"));
    let output = run(&["run", "-c", path, "--admin", "127.0.0.1:0", "--state-dir", state.to_str().unwrap()]).await;
    assert!(output.status.code() == Some(1) && said(&output).contains(&taken), "{}", said(&output));
    drop(held);
    let output = run(&["run", "-c", path, "--admin", "127.0.0.1:0", "--state-dir", "/dev/null/state"]).await;
    assert!(output.status.code() == Some(1) && said(&output).contains("/dev/null/state"), "{}", said(&output));
}

#[tokio::test]
async fn the_demo_shows_traffic_over_three_servers() {
    let mut command = elbow();
    command.args(["demo", "--seconds", "6"]);
    let directory = tempfile::tempdir().unwrap();
    command.current_dir(directory.path()).env("HOME", directory.path());
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut text = String::new();
    let url = loop {
        let line = within("the demo's words", PATIENCE, lines.next_line()).await.unwrap();
        let line = line.unwrap_or_else(|| panic!("the demo ended without a curl line:\n{text}"));
        text += &line;
        text.push('\n');
        let url = line.split_whitespace().find(|word| word.starts_with("http://127.0.0.1:"));
        if let (true, Some(url)) = (line.contains("curl"), url) {
            break url.trim_end_matches(['\'', '"', '`']).to_owned();
        }
    };
    let address = url.trim_start_matches("http://").split('/').next().unwrap().parse().unwrap();
    let mut answers = std::collections::BTreeSet::new();
    eventually("answers of three servers", PATIENCE, async || {
        answers.insert(get(address, "/").await.text());
        answers.len() == 3
    })
    .await;
    let reading = async { while let Ok(Some(_)) = lines.next_line().await {} };
    let (_, status) = tokio::join!(reading, child.wait());
    assert_eq!(status.unwrap().code(), Some(0), "it ends after --seconds");
}

#[tokio::test]
async fn an_elbow_that_says_nothing_is_not_waited_for_unless_asked_to() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let state = tempfile::tempdir().unwrap();
    let asking = |arguments: &[&str]| {
        let mut command = elbow();
        command.args(arguments).args(["--admin", &url, "--state-dir"]).arg(state.path());
        tokio::spawn(cli_output(command))
    };
    let short = ["--answer-timeout", "200ms"];
    let patient = asking(&[&["target", "deregister", "app", "a", "--wait"], &short[..]].concat());
    let (mut waited_for, _) = within("the one that waits", PATIENCE, silent.accept()).await.unwrap();
    waited_for.readable().await.unwrap();

    let impatient = asking(&[&["target", "deregister", "app", "a"], &short[..]].concat()).await.unwrap();
    assert_eq!(impatient.status.code(), Some(1), "{}", said(&impatient));
    assert!(said(&impatient).contains("nothing came within 200ms"), "{}", said(&impatient));
    let of_2010 = ["elb", "describe-lbs", "-I", "AKIA", "-S", "secret", "--connection-timeout", "1"];
    let of_2010 = asking(&of_2010).await.unwrap();
    assert_eq!(of_2010.status.code(), Some(1), "{}", said(&of_2010));
    assert!(said(&of_2010).contains("nothing came within 1s"), "{}", said(&of_2010));

    // All that time the first one has waited, as it was asked to.
    waited_for.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").await.unwrap();
    let patient = patient.await.unwrap();
    assert_eq!(patient.status.code(), Some(0), "{}", said(&patient));
}
