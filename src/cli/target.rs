//! `elbow target …`: who takes part in a target group, changed while it runs.

use http::Method;
use serde_json::{Value, json};

use super::output::{Failure, Output, ago, cell, table};
use crate::client::{Client, Connect, segment};

/// Registers, deregisters, drains and lists targets of a running elbow.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  elbow target register app web-4 --address 10.0.0.14:80 --wait
  elbow target register app web-4 --address 10.0.0.14:80 --weight 5
  elbow target drain app web-4
  elbow target deregister app web-4 --wait
  elbow target list app --output json")]
pub(super) struct Arguments {
    #[command(flatten)]
    connect: Connect,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Registers a target, or updates it
    ///
    /// It takes traffic after its first passed check, which is made at once. To update is to say everything again: a
    /// weight or a zone that is left out is back at its default.
    #[command(after_help = "\
Examples:
  elbow target register app web-4 --address 10.0.0.14:80 --wait
  elbow target register app web-4 --address 10.0.0.14:80 --weight 5
  elbow target register app api-1 --address api-1.internal:8080 --zone us-east-1a")]
    Register {
        #[command(flatten)]
        target: TargetRef,
        /// Where it listens; a host name is resolved again every 30 s
        #[arg(long, value_name = "HOST:PORT")]
        address: String,
        /// Its share among the others, 0 to 1000 [default: 1]
        #[arg(long, value_name = "N")]
        weight: Option<u16>,
        /// Its availability zone
        #[arg(long, value_name = "Z")]
        zone: Option<String>,
        #[command(flatten)]
        patience: Patience,
    },
    /// Takes a target out for good
    ///
    /// It gets no new work from the moment this returns; what is in flight may finish within the group's
    /// deregistration_delay. Registering it again meanwhile takes that back.
    #[command(after_help = "\
Examples:
  elbow target deregister app web-4
  elbow target deregister app web-4 --wait && ssh web-4 systemctl stop web")]
    Deregister {
        #[command(flatten)]
        target: TargetRef,
        #[command(flatten)]
        patience: Patience,
    },
    /// Gives a target no new work but what is sticky to it, until undrain
    ///
    /// In a group with stickiness, list then tells about how many sessions it has seen in the last few minutes: at 0, it
    /// can be deregistered without moving anybody.
    #[command(after_help = "\
Example:
  elbow target drain app web-4 && elbow target list app")]
    Drain {
        #[command(flatten)]
        target: TargetRef,
    },
    /// Lets a drained target take part again
    Undrain {
        #[command(flatten)]
        target: TargetRef,
    },
    /// Lists targets with their state and the reason for it
    #[command(after_help = "\
Examples:
  elbow target list
  elbow target list app --output json | jq -r '.[] | select(.state == \"unhealthy\") | .reason'")]
    List {
        /// The target group [default: all]
        group: Option<String>,
    },
}

/// Which target.
#[derive(Debug, clap::Args)]
struct TargetRef {
    /// The target group
    group: String,
    /// The id of the target in that group
    id: String,
}

/// Whether to wait for the effect, and how long.
#[derive(Debug, clap::Args)]
struct Patience {
    /// Returns only once a registered target is healthy, or a deregistered one has left
    #[arg(long)]
    wait: bool,
    /// How long to wait at most, such as 30s or 5m [default: 1h]. When it runs out the exit code is 1; the change stands
    #[arg(long, value_name = "TIME", requires = "wait", default_value = "1h", hide_default_value = true)]
    timeout: String,
}

impl TargetRef {
    fn path(&self) -> String {
        format!("{}/{}", targets_path(&self.group), segment(&self.id))
    }
}

impl Patience {
    fn ask(&self, client: Client) -> Client {
        if self.wait { client.waiting() } else { client }
    }

    fn query(&self, until: &str) -> String {
        if self.wait { format!("?wait={until}&timeout={}", segment(&self.timeout)) } else { String::new() }
    }
}

pub(super) async fn run(arguments: Arguments, output: Output) -> Result<(), Failure> {
    let client = Client::find(&arguments.connect)?;
    match arguments.verb {
        Verb::Register { target, address, weight, zone, patience } => {
            let body = registration(&address, weight, zone.as_deref());
            let path = format!("{}{}", target.path(), patience.query("healthy"));
            let answer = patience.ask(client).send(Method::PUT, &path, Some(&body)).await?;
            say_target(output, &target, "registered", &answer)
        }
        Verb::Deregister { target, patience } => {
            let path = format!("{}{}", target.path(), patience.query("drained"));
            let answer = patience.ask(client).send(Method::DELETE, &path, None).await?;
            say_target(output, &target, if patience.wait { "has left" } else { "deregistered" }, &answer)
        }
        Verb::Drain { target } => {
            let answer = client.send(Method::POST, &format!("{}/drain", target.path()), None).await?;
            say_target(output, &target, "takes no new work", &answer)
        }
        Verb::Undrain { target } => {
            let answer = client.send(Method::POST, &format!("{}/undrain", target.path()), None).await?;
            say_target(output, &target, "takes part again", &answer)
        }
        Verb::List { group } => list(&client, group, output).await,
    }
}

async fn list(client: &Client, group: Option<String>, output: Output) -> Result<(), Failure> {
    let groups = match group {
        Some(group) => vec![group],
        None => {
            let groups = client.get("/v1/target-groups").await?;
            groups.as_array().into_iter().flatten().map(|group| cell(group, "name")).collect()
        }
    };
    let mut found = Vec::new();
    for group in groups {
        let targets = client.get(&targets_path(&group)).await?;
        found.push((group, targets));
    }
    let mut flat = Vec::new();
    for (group, targets) in &found {
        for target in targets.as_array().into_iter().flatten() {
            let mut target = target.clone();
            target["target_group"] = json!(group);
            flat.push(target);
        }
    }
    output.say(&targets_table(&found), &flat)
}

/// The targets of groups as one table.
pub(super) fn targets_table(groups: &[(String, Value)]) -> String {
    let rows = groups.iter().flat_map(|(group, targets)| {
        let row = move |target: &Value| {
            [
                group.clone(),
                cell(target, "id"),
                cell(target, "address"),
                cell(target, "weight"),
                cell(target, "owner"),
                cell(target, "state"),
                ago(&cell(target, "since")),
                cell(target, "in_flight"),
                cell(target, "sessions"),
                cell(target, "reason"),
            ]
        };
        targets.as_array().into_iter().flatten().map(row)
    });
    let header =
        ["TARGET GROUP", "TARGET", "ADDRESS", "WEIGHT", "OWNER", "STATE", "SINCE", "IN FLIGHT", "SESSIONS", "REASON"];
    table(header, rows.collect())
}

pub(super) fn targets_path(group: &str) -> String {
    format!("/v1/target-groups/{}/targets", segment(group))
}

fn registration(address: &str, weight: Option<u16>, zone: Option<&str>) -> Value {
    let mut body = json!({ "address": address });
    if let Some(weight) = weight {
        body["weight"] = json!(weight);
    }
    if let Some(zone) = zone {
        body["zone"] = json!(zone);
    }
    body
}

fn say_target(output: Output, target: &TargetRef, what: &str, answer: &Value) -> Result<(), Failure> {
    let state = cell(answer, "state");
    let state = if state.is_empty() { state } else { format!(" ({state})") };
    output.say(&format!("{} in {}: {what}{state}", target.id, target.group), answer)
}
