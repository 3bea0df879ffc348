//! Real clients of the Classic ELB API against a running elbow: the command line and the SDK of AWS, as they come.
//! What the API answers word for word is tested beside it.

use std::path::Path;
use std::time::Duration;

use tokio::process::Command;

use crate::harness::*;

const ARN: &str = "arn:aws:iam::123456789012:server-certificate/shop";
/// Every call of the command line is a Python that starts.
const CLIENTS_PATIENCE: Duration = Duration::from_secs(200);

#[tokio::test]
async fn aws_and_boto3_do_all_they_can() {
    let secure = Secure::shop();
    let (bind, first, second) = (own_address(), own_address(), own_address());
    let top = format!(
        "[elb_api]\nbind = \"{bind}\"\n[instances]\n\"i-87f232ed\" = \"{first}\"\n\"i-85f232ef\" = \"{second}\"\n"
    );
    // The arn belongs to the last certificate there is.
    let tables = format!("{}\narn = \"{ARN}\"\n", secure.tables());
    let lb = Setup::default().top(&top).more(&tables).start_cold().await;
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let programs = root.join("target/clients/aws/bin");
    let mut command = Command::new(programs.join("python"));
    command.arg(root.join("tests/clients/elb.py")).arg(programs.join("aws"));
    command.arg(format!("http://{}", lb.admin().address)).arg(bind.to_string()).args(["18000", "18555", "18080", ARN]);
    command.arg(format!("i-87f232ed={first}")).arg(format!("i-85f232ef={second}"));
    command.env("AWS_SHARED_CREDENTIALS_FILE", lb.state_dir().join("aws-credentials"));
    command.env("AWS_EC2_METADATA_DISABLED", "true").env_remove("AWS_PROFILE").kill_on_drop(true);
    let output = within("aws and boto3", CLIENTS_PATIENCE, command.output()).await;
    let output = output.expect("the clients are installed (tests/run does that)");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn ansible_finds_nothing_to_change_the_second_time() {
    let asked = std::env::var("TESTS_ANSIBLE").unwrap_or_default();
    if asked.is_empty() || asked == "0" {
        eprintln!("left out: TESTS_ANSIBLE=1 tests/run has Ansible among the clients");
        return;
    }
    let bind = own_address();
    let top = format!(
        "[elb_api]\nbind = \"{bind}\"\n[instances]\n\"i-87f232ed\" = \"127.0.0.2\"\n\"i-85f232ef\" = \"127.0.0.3\"\n"
    );
    let lb = Setup::default().top(&top).start_cold().await;
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let programs = root.join("target/clients/ansible/bin");
    let mut command = Command::new(programs.join("ansible-playbook"));
    command.args(["-i", "localhost,", "-c", "local"]).arg("-e");
    command.arg(format!("ansible_python_interpreter={}", programs.join("python").display())).arg("-e");
    command.arg(format!("endpoint=http://{}", lb.admin().address)).arg("-e");
    command.arg(format!("credentials={}", lb.state_dir().join("aws-credentials").display()));
    command.arg(root.join("tests/clients/elb.yml")).env("HOME", lb.state_dir()).kill_on_drop(true);
    let output = within("ansible", CLIENTS_PATIENCE, command.output()).await;
    let output = output.expect("Ansible is installed (TESTS_ANSIBLE=1 tests/run does that)");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
