//! The commands of 2010 through links: what they print, word for word, and how they fail.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Output, Stdio};

use tokio::process::{Child, Command};

use crate::harness::*;

/// nginx on port 80 of a loopback address of its own, answering with its name.
struct Nginx {
    address: SocketAddr,
    _child: Child,
    _directory: tempfile::TempDir,
}

impl Nginx {
    async fn start(name: &str) -> Self {
        let (directory, address) = (tempfile::tempdir().unwrap(), SocketAddr::new(own_address(), 80));
        let root = directory.path().display();
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let temporary: String = temporary.iter().map(|kind| format!("{kind}_temp_path {root}/{kind};")).collect();
        let config = format!(
            "daemon off; master_process off; pid {root}/pid; error_log stderr;\nevents {{ }}\n\
             http {{ access_log off; {temporary} server {{ listen {address}; location / {{ return 200 {name}; }} }} }}\n"
        );
        std::fs::write(directory.path().join("nginx.conf"), config).unwrap();
        let program = if Path::new("/usr/sbin/nginx").exists() { "/usr/sbin/nginx" } else { "nginx" };
        let mut command = Command::new(program);
        command.arg("-p").arg(directory.path()).arg("-c").arg(directory.path().join("nginx.conf"));
        command.args(["-e", "stderr"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit());
        let mut child = command.kill_on_drop(true).spawn().expect("nginx is installed (tests/run does that)");
        eventually("nginx to listen", PATIENCE, async || {
            assert!(child.try_wait().unwrap().is_none(), "nginx ended: may it bind port 80 of {address}?");
            tokio::net::TcpStream::connect(address).await.is_ok()
        })
        .await;
        Self { address, _child: child, _directory: directory }
    }
}

/// Links in a directory of their own, as `elbow install-links` makes them.
struct Links(tempfile::TempDir);

impl Links {
    async fn install() -> Self {
        let links = Self(tempfile::tempdir().unwrap());
        let output = links.install_again().await;
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        links
    }

    async fn install_again(&self) -> Output {
        let mut command = elbow();
        command.arg("install-links").arg(self.0.path());
        cli_output(command).await
    }

    /// Runs a line as a shell would, with the links first in `PATH` and these variables.
    async fn shell(&self, line: &str, variables: &[(&str, &str)]) -> Output {
        let mut command = Command::new("bash");
        let path = format!("{}:{}", self.0.path().display(), std::env::var("PATH").unwrap_or_default());
        for name in ["ELBOW_ADMIN", "ELBOW_STATE_DIR", "AWS_ELB_URL", "AWS_CREDENTIAL_FILE", "AWS_SESSION_TOKEN"]
            .iter()
            .chain(&["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "EC2_REGION", "AWS_REGION", "AWS_DEFAULT_REGION"])
        {
            command.env_remove(name);
        }
        command.args(["-c", line]).env("PATH", path).envs(variables.iter().copied());
        command.stdin(Stdio::null()).kill_on_drop(true);
        cli_output(command).await
    }

    /// As [`Self::shell`], for a command that is expected to be done.
    async fn done(&self, lb: &Lb, line: &str) -> String {
        let state_dir = lb.state_dir();
        let output = self.shell(line, &[("ELBOW_STATE_DIR", state_dir.to_str().unwrap())]).await;
        assert_eq!(output.status.code(), Some(0), "{line}: {}", said(&output));
        assert!(output.stderr.is_empty(), "{line}: {}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// What a command said that failed so.
fn failed(output: &Output, code: i32) -> String {
    assert_eq!(output.status.code(), Some(code), "{}", said(output));
    assert!(output.stdout.is_empty(), "{}", said(output));
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(text.lines().count(), 1, "one line: {text}");
    text
}

fn elb_api(bind: &str) -> Setup {
    Setup::default().top(&format!("[elb_api]\nbind = \"{bind}\"\ndomain = \"amazonaws.com\""))
}

const CREATE: &str = "elb-create-lb smallpayroll-http --listener \"lb-port=80,instance-port=80,protocol=HTTP\" \
                      --availability-zones us-east-1a";
const HEALTH: &str = "\
INSTANCE_ID  INSTANCE_ID  STATE      DESCRIPTION  REASON-CODE
INSTANCE_ID  i-85f232ef   InService  N/A          N/A
INSTANCE_ID  i-87f232ed   InService  N/A          N/A
";

#[tokio::test]
async fn the_session_of_2010_runs_word_for_word_and_survives_a_crash() {
    let (one, two) = (Nginx::start("one").await, Nginx::start("two").await);
    let front = SocketAddr::new(own_address(), 80);
    let instances =
        format!("[instances]\n\"i-87f232ed\" = \"{}\"\n\"i-85f232ef\" = \"{}\"", one.address.ip(), two.address.ip());
    let mut lb = elb_api(&front.ip().to_string()).top(&instances).start_cold().await;
    let links = Links::install().await;

    let created = links.done(&lb, CREATE).await;
    let dns_name = created.strip_prefix("DNS_NAME  DNS_NAME\nDNS_NAME  smallpayroll-http-").expect(&created);
    let digits = dns_name.strip_suffix(".us-east-1.elb.amazonaws.com\n").expect(&created);
    assert!(digits.len() >= 9 && digits.bytes().all(|digit| digit.is_ascii_digit()), "{created}");
    let line = "elb-configure-healthcheck smallpayroll-http --target \"HTTP:80/\" --interval 30 --timeout 3 \
                --unhealthy-threshold 2 --healthy-threshold 2";
    let expected = "\
HEALTH_CHECK  TARGET    INTERVAL  TIMEOUT  HEALTHY_THRESHOLD  UNHEALTHY_THRESHOLD
HEALTH_CHECK  HTTP:80/  30        3        2                  2
";
    assert_eq!(links.done(&lb, line).await, expected);
    let line = "elb-register-instances-with-lb smallpayroll-http --instances i-87f232ed,i-85f232ef";
    assert_eq!(
        links.done(&lb, line).await,
        "INSTANCE_ID  INSTANCE_ID\nINSTANCE_ID  i-85f232ef\nINSTANCE_ID  i-87f232ed\n"
    );

    both_are_in_service(&links, &lb).await;
    both_answer(front).await;
    lb.kill9().await;
    lb.start_again().await;
    both_are_in_service(&links, &lb).await;
    both_answer(front).await;
}

async fn both_are_in_service(links: &Links, lb: &Lb) {
    eventually("both instances in service", PATIENCE, async || {
        links.done(lb, "elb-describe-instance-health smallpayroll-http --headers").await == HEALTH
    })
    .await;
}

async fn both_answer(front: SocketAddr) {
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..20 {
        let answer = get(front, "/").await;
        assert_eq!(answer.status, 200);
        seen.insert(answer.text());
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["one", "two"]);
}

#[tokio::test]
async fn every_command_says_what_it_did() {
    let lb = elb_api(&own_address().to_string()).start_cold().await;
    let links = Links::install().await;
    assert_eq!(links.done(&lb, "elb-describe-lbs").await, "No LoadBalancers found\n");
    links.done(&lb, "elb-create-lb web -l \"protocol=http, instance-port=8080, lb-port=8080\" -z us-east-1a").await;
    let shown = links.done(&lb, "elb-describe-lbs web --no-headers").await;
    assert!(shown.starts_with("LOAD_BALANCER  web  web-") && shown.lines().count() == 1, "{shown}");
    let long = links.done(&lb, "elb-describe-lbs web --show-long --delimiter '|' --no-headers").await;
    let listener = "|{protocol=HTTP,lb-port=8080,instance-protocol=HTTP,instance-port=8080,policies=}|";
    assert!(long.contains(listener) && long.contains("|us-east-1a|"), "{long}");
    let xml = links.done(&lb, "elb-describe-lbs --show-xml").await;
    assert!(xml.starts_with("<DescribeLoadBalancersResponse xmlns="), "{xml}");
    for (line, expected) in [
        (
            "elb-register-instances-with-lb web --instances 127.0.0.1,10.0.0.9 --no-headers",
            "INSTANCE_ID  10.0.0.9\nINSTANCE_ID  127.0.0.1\n",
        ),
        (
            "elb-deregister-instances-from-lb web --instances 10.0.0.9",
            "INSTANCE_ID  INSTANCE_ID\nINSTANCE_ID  127.0.0.1\n",
        ),
        (
            "elb-enable-zones-for-lb web -z us-east-1b",
            "AVAILABILITY_ZONES  AVAILABILITY_ZONES\nAVAILABILITY_ZONES  us-east-1a, us-east-1b\n",
        ),
        ("elb-disable-zones-for-lb web -z us-east-1a --no-headers", "AVAILABILITY_ZONES  us-east-1b\n"),
        (
            "elb-create-app-cookie-stickiness-policy web --policy-name app --cookie-name SID",
            "OK-Creating App Stickiness Policy\n",
        ),
        (
            "elb-create-lb-cookie-stickiness-policy web --policy-name own --expiration-period 900",
            "OK-Creating LB Stickiness Policy\n",
        ),
        ("elb-set-lb-policies-of-listener web --lb-port 8080 --policy-names app", "OK-Setting Policies\n"),
        ("elb-describe-lbs web --show-long | grep -c 'instance-port=8080,policies=app}'", "1\n"),
        ("elb-set-lb-policies-of-listener web --lb-port 8080 --policy-names ''", "OK-Setting Policies\n"),
        ("elb-delete-lb-policy web --policy-name app", "OK-Deleting LoadBalancer Policy\n"),
        (
            "elb-create-lb-listeners web --listener 'lb-port=8081,instance-port=81,protocol=TCP'",
            "OK-Creating LoadBalancer Listener\n",
        ),
        ("elb-delete-lb-listeners web --lb-ports 8081 --force", "OK-Deleting LoadBalancer Listener\n"),
    ] {
        assert_eq!(links.done(&lb, line).await, expected, "{line}");
    }
    let state_dir = lb.state_dir();
    let variables = [("ELBOW_STATE_DIR", state_dir.to_str().unwrap())];
    let kept = links.shell("echo n | elb-delete-lb web", &variables).await;
    assert!(kept.status.code() == Some(1) && said(&kept).contains("[Ny]"), "{}", said(&kept));
    let deleted = links.shell("echo y | elb-delete-lb web", &variables).await;
    assert_eq!(String::from_utf8_lossy(&deleted.stdout), "OK-Deleting LoadBalancer\n", "{}", said(&deleted));
    let as_a_verb = lb.cli(&["elb", "describe-lbs"]).await;
    assert_eq!(String::from_utf8_lossy(&as_a_verb.stdout), "No LoadBalancers found\n", "{}", said(&as_a_verb));
}

/// Each command, as far as it is asked for here, with the action that it stands for.
const ASKED: [(&str, &str); 15] = [
    ("elb-create-lb web -l lb-port=8080,instance-port=80,protocol=HTTP -z us-east-1a", "CreateLoadBalancer"),
    (
        "elb-configure-healthcheck web -t TCP:80 -i 30 --timeout 3 --unhealthy-threshold 2 --healthy-threshold 2",
        "ConfigureHealthCheck",
    ),
    ("elb-register-instances-with-lb web --instances 127.0.0.1", "RegisterInstancesWithLoadBalancer"),
    ("elb-describe-instance-health web", "DescribeInstanceHealth"),
    ("elb-deregister-instances-from-lb web --instances 127.0.0.1", "DeregisterInstancesFromLoadBalancer"),
    ("elb-enable-zones-for-lb web -z us-east-1b", "EnableAvailabilityZonesForLoadBalancer"),
    ("elb-disable-zones-for-lb web -z us-east-1b", "DisableAvailabilityZonesForLoadBalancer"),
    ("elb-create-app-cookie-stickiness-policy web -p app -c SID", "CreateAppCookieStickinessPolicy"),
    ("elb-create-lb-cookie-stickiness-policy web -p own -e 900", "CreateLBCookieStickinessPolicy"),
    ("elb-set-lb-policies-of-listener web -l 8080 -p own", "SetLoadBalancerPoliciesOfListener"),
    ("elb-delete-lb-policy web -p app", "DeleteLoadBalancerPolicy"),
    ("elb-create-lb-listeners web -l lb-port=8081,instance-port=81,protocol=TCP", "CreateLoadBalancerListeners"),
    ("elb-delete-lb-listeners web -l 8081 --force", "DeleteLoadBalancerListeners"),
    ("elb-describe-lbs web", "DescribeLoadBalancers"),
    ("elb-delete-lb web --force", "DeleteLoadBalancer"),
];

#[tokio::test]
async fn every_answer_can_be_had_as_it_came() {
    let lb = elb_api(&own_address().to_string()).start_cold().await;
    let links = Links::install().await;
    for (line, action) in ASKED {
        let xml = links.done(&lb, &format!("{line} --show-xml")).await;
        assert!(xml.starts_with(&format!("<{action}Response xmlns=")), "{line}: {xml}");
        assert!(xml.ends_with(&format!("</{action}Response>\n")), "{line}: {xml}");
    }
    let state_dir = lb.state_dir();
    let own = [("ELBOW_STATE_DIR", state_dir.to_str().unwrap())];
    let refused = links.shell("elb-describe-lbs web --show-xml", &own).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stdout).starts_with("<ErrorResponse xmlns="), "{}", said(&refused));
    assert!(String::from_utf8_lossy(&refused.stderr).starts_with("elb-describe-lbs:  LoadBalancerNotFound-"));
    for (line, _) in ASKED {
        let name = line.split(' ').next().unwrap();
        let help = links.shell(&format!("{name} --help"), &[]).await;
        let usage = format!("Usage: {name} ");
        assert!(help.status.success() && said(&help).contains(&usage), "{}", said(&help));
    }
}

#[tokio::test]
async fn each_region_has_its_own() {
    let lb = elb_api(&own_address().to_string()).start_cold().await;
    let links = Links::install().await;
    let create = "elb-create-lb web -l lb-port=8080,instance-port=80,protocol=HTTP -z eu-west-1a --region eu-west-1";
    let made = links.done(&lb, create).await;
    assert!(made.ends_with(".eu-west-1.elb.amazonaws.com\n"), "{made}");
    assert_eq!(links.done(&lb, "elb-describe-lbs").await, "No LoadBalancers found\n");
    for variables in [
        "EC2_REGION=eu-west-1",
        "AWS_REGION=eu-west-1",
        "AWS_DEFAULT_REGION=eu-west-1",
        "EC2_REGION=eu-west-1 AWS_REGION=us-east-1",
    ] {
        let shown = links.done(&lb, &format!("{variables} elb-describe-lbs --no-headers")).await;
        assert!(shown.starts_with("LOAD_BALANCER  web  web-"), "{variables}: {shown}");
    }
    let shown = links.done(&lb, "EC2_REGION=eu-west-1 elb-describe-lbs --region us-east-1").await;
    assert_eq!(shown, "No LoadBalancers found\n", "the option is the strongest");
}

#[tokio::test]
async fn an_admin_address_over_tls_is_trusted_as_the_other_verbs_do() {
    let secure = Secure::new();
    let issued = secure.ca.issue(&["127.0.0.1"]);
    let secure = secure.with("admin", &issued);
    let setup = elb_api(&own_address().to_string()).top("[admin]\ncertificate = \"admin\"");
    let lb = setup.more(secure.tables()).start_cold().await;
    let links = Links::install().await;
    let (url, ca, none) =
        (format!("https://{}", lb.admin().address), secure.path("ca.pem"), "No LoadBalancers found\n");
    let ca = ca.display();
    assert_eq!(links.done(&lb, "elb-describe-lbs").await, none, "by the key that run.json tells");
    for line in [
        format!("elb-describe-lbs --admin {url} --admin-ca {ca}"),
        format!("elb-describe-lbs --url {url}/ --admin-ca {ca}"),
        format!("AWS_ELB_URL={url} ELBOW_ADMIN_CA={ca} elb-describe-lbs"),
        format!("ELBOW_ADMIN={url} elb-describe-lbs --admin-ca {ca}"),
    ] {
        assert_eq!(links.done(&lb, &line).await, none, "{line}");
    }
    let state_dir = lb.state_dir();
    let own = [("ELBOW_STATE_DIR", state_dir.to_str().unwrap())];
    let stranger = failed(&links.shell(&format!("elb-describe-lbs --admin {url}"), &own).await, 1);
    assert!(stranger.contains("name its CA with --admin-ca"), "{stranger}");
    let in_the_clear = format!("elb-describe-lbs --admin http://{}", lb.admin().address);
    let told = failed(&links.shell(&in_the_clear, &own).await, 1);
    assert!(told.ends_with("this port speaks TLS: use https here\n"), "{told}");
}

#[tokio::test]
async fn what_goes_wrong_is_said_in_a_line() {
    let lb = elb_api(&own_address().to_string()).start_cold().await;
    let links = Links::install().await;
    let (state_dir, url) = (lb.state_dir(), format!("http://{}", lb.admin().address));
    let own = [("ELBOW_STATE_DIR", state_dir.to_str().unwrap())];
    let unknown = failed(&links.shell("elb-describe-instance-health nobody", &own).await, 1);
    let expected =
        "elb-describe-instance-health:  LoadBalancerNotFound-There is no ACTIVE Load Balancer named 'nobody'\n";
    assert_eq!(unknown, expected);
    let wrong = failed(&links.shell("elb-describe-lbs -I AKIAWRONG -S wrong", &own).await, 1);
    assert!(wrong.starts_with("elb-describe-lbs:  InvalidClientTokenId-"), "{wrong}");
    let usage = failed(&links.shell("elb-create-lb web --listener lb-prt=80", &own).await, 2);
    assert!(usage.starts_with("elb-create-lb:  Malformed input-") && usage.contains("lb-prt"), "{usage}");
    let nowhere = tempfile::tempdir().unwrap();
    let named = format!("AWS_ELB_URL=http://127.0.0.1:1 ELBOW_STATE_DIR={} elb-describe-lbs", state_dir.display());
    let none = failed(&links.shell(&named, &[]).await, 1);
    assert!(none.contains("no elbow answers at http://127.0.0.1:1, as AWS_ELB_URL says"), "{none}");
    let key = std::fs::read_to_string(state_dir.join("aws-credentials")).unwrap();
    let key =
        key.replace("aws_access_key_id = ", "AWSAccessKeyId=").replace("aws_secret_access_key = ", "AWSSecretKey=");
    let file = nowhere.path().join("key");
    std::fs::write(&file, key).unwrap();
    let line = format!("AWS_CREDENTIAL_FILE={} elb-describe-lbs --url {url}/", file.display());
    let found = links.shell(&line, &[("ELBOW_STATE_DIR", nowhere.path().to_str().unwrap())]).await;
    assert_eq!(String::from_utf8_lossy(&found.stdout), "No LoadBalancers found\n", "{}", said(&found));
}

#[tokio::test]
async fn hostile_answers_are_refused_and_do_nothing_to_a_terminal() {
    let links = Links::install().await;
    let bomb = "<!DOCTYPE a [<!ENTITY b \"bbbb\">]><DescribeLoadBalancersResponse>&b;</DescribeLoadBalancersResponse>";
    let escape = "<ErrorResponse><Error><Code>Bad&#x1b;[2J</Code><Message>a\nb</Message></Error></ErrorResponse>";
    for (status, body) in
        [(200, bomb.to_owned()), (200, "<a>".repeat(10_000)), (200, String::new()), (400, escape.to_owned())]
    {
        let length = body.len();
        let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
        let upstream =
            Upstream::start(move |_| vec![Act::ReadBody, Act::Write(answer.clone().into_bytes()), Act::Close]).await;
        let line = format!("elb-describe-lbs -I AKIA -S secret --url http://{}", upstream.address());
        let text = failed(&links.shell(&line, &[]).await, 1);
        assert!(!text.trim_end().contains(char::is_control), "{text:?}");
    }
}

#[tokio::test]
async fn links_replace_only_what_is_ours() {
    let links = Links::install().await;
    assert_eq!(links.install_again().await.status.code(), Some(0), "they are refreshed");
    let foreign = links.0.path().join("elb-describe-lbs");
    std::fs::remove_file(&foreign).unwrap();
    std::fs::write(&foreign, "mine").unwrap();
    let refused = links.install_again().await;
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
    assert!(said(&refused).contains("elb-describe-lbs"), "{}", said(&refused));
    assert_eq!(std::fs::read_to_string(&foreign).unwrap(), "mine");
}
