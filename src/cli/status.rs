//! `elbow status`: what a running elbow serves, and the state of each target.

use serde_json::{Value, json};

use super::output::{Failure, Output, cell, table};
use super::target;
use crate::client::{Client, Connect, segment};

/// Shows listeners, target groups, and targets with their states.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  elbow status
  elbow status --output json | jq '.target_groups[].targets[] | select(.state != \"healthy\")'")]
pub(super) struct Arguments {
    #[command(flatten)]
    connect: Connect,
}

pub(super) async fn run(arguments: Arguments, output: Output) -> Result<(), Failure> {
    let client = Client::find(&arguments.connect)?;
    let listeners = client.get("/v1/listeners").await?;
    let mut groups = client.get("/v1/target-groups").await?;
    for group in groups.as_array_mut().into_iter().flatten() {
        let path = format!("/v1/target-groups/{}/targets", segment(&cell(group, "name")));
        group["targets"] = client.get(&path).await?;
    }
    let text = [listener_table(&listeners), group_table(&groups), target_tables(&groups)].join("\n\n");
    output.say(&text, &json!({ "listeners": listeners, "target_groups": groups }))
}

fn rows_of(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn listener_table(listeners: &Value) -> String {
    let row = |listener: &Value| {
        let address = if listener.get("address").is_some() { "address" } else { "bind" };
        [cell(listener, "name"), cell(listener, "protocol"), cell(listener, address), cell(listener, "target_group")]
    };
    table(["LISTENER", "PROTOCOL", "ADDRESS", "TARGET GROUP"], rows_of(listeners).map(row).collect())
}

fn group_table(groups: &Value) -> String {
    let row = |group: &Value| {
        let targets = group.get("targets").map(rows_of).into_iter().flatten();
        let (mut all, mut healthy) = (0, 0);
        for target in targets {
            all += 1;
            healthy += usize::from(cell(target, "state") == "healthy");
        }
        [cell(group, "name"), cell(group, "protocol"), cell(group, "algorithm"), format!("{healthy}/{all}")]
    };
    table(["TARGET GROUP", "PROTOCOL", "ALGORITHM", "HEALTHY"], rows_of(groups).map(row).collect())
}

fn target_tables(groups: &Value) -> String {
    let targets = rows_of(groups).map(|group| (cell(group, "name"), group.get("targets").cloned().unwrap_or_default()));
    target::targets_table(&targets.collect::<Vec<_>>())
}
