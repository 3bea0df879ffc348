//! `elbow explain …`: why a request went where it went, or where one would go now.

use std::fmt::Write;

use http::Method;
use serde_json::{Value, json};

use super::output::{Failure, Output, ago, cell, table};
use crate::client::{Client, Connect, segment};

/// Tells why a request went to its target, or which target one would go to.
///
/// Requests are known by their X-Request-Id: the client's, or the one that elbow made; answers and access log carry it.
/// Recent ones are remembered, under load a sample of them.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  elbow explain 5f0c6a4be3d94c0f8a1d2b3c4d5e6f70
  elbow explain \"$(curl -sD- -o /dev/null http://shop.example/ | tr -d '\\r' | sed -n 's/^x-request-id: //Ip')\"
  elbow explain --dry-run app --path /cart --header 'Cookie: ELBOW=…' --source 192.0.2.7
  elbow explain --dry-run app --output json | jq .shares")]
pub(super) struct Arguments {
    #[command(flatten)]
    connect: Connect,
    /// The id of the request: its X-Request-Id
    #[arg(value_name = "ID", required_unless_present = "dry_run", conflicts_with = "dry_run")]
    id: Option<String>,
    /// Says what would be chosen in this target group now; nothing is sent or changed
    #[arg(long, value_name = "GROUP")]
    dry_run: Option<String>,
    #[command(flatten)]
    request: DryRequest,
}

/// The request of a dry run.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "With --dry-run")]
struct DryRequest {
    /// A header of the request; may be given several times
    #[arg(long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// Its path and query [default: /]
    #[arg(long, value_name = "PATH")]
    path: Option<String>,
    /// Its method [default: GET]
    #[arg(long, value_name = "METHOD")]
    method: Option<String>,
    /// The address of its client [default: 127.0.0.1]
    #[arg(long, value_name = "IP")]
    source: Option<String>,
    /// The listener it comes in at [default: none: as the group says by itself]
    #[arg(long, value_name = "NAME")]
    listener: Option<String>,
}

pub(super) async fn run(arguments: Arguments, output: Output) -> Result<(), Failure> {
    let client = Client::find(&arguments.connect)?;
    if let Some(group) = arguments.dry_run {
        let run = client.send(Method::POST, "/v1/explain", Some(&arguments.request.body(&group))).await?;
        return output.say(&dry_run_text(&run), &run);
    }
    if !arguments.request.is_empty() {
        return Err(Failure::Usage("what a request is like is asked with --dry-run only".to_owned()));
    }
    let id = arguments.id.unwrap_or_default();
    let requests = client.get(&format!("/v1/explain?request={}", segment(&id))).await?;
    let texts: Vec<_> = list(&requests, "").map(request_text).collect();
    output.say(&texts.join("\n\n\n"), &requests)
}

impl DryRequest {
    fn is_empty(&self) -> bool {
        let given = [&self.path, &self.method, &self.source, &self.listener];
        self.headers.is_empty() && given.iter().all(|given| given.is_none())
    }

    fn body(&self, group: &str) -> Value {
        let mut body = json!({ "target_group": group, "headers": self.headers });
        let given =
            [("path", &self.path), ("method", &self.method), ("source", &self.source), ("listener", &self.listener)];
        for (key, value) in given {
            if let Some(value) = value {
                body[key] = json!(value);
            }
        }
        body
    }
}

fn request_text(request: &Value) -> String {
    let say = |field| cell(request, field);
    let asked = match (&*say("method"), say("path")) {
        ("", _) => "a request that was not understood".to_owned(),
        (method, path) => format!("{method} {path}"),
    };
    let status = match &*say("status") {
        "" => "no answer".to_owned(),
        status => status.to_owned(),
    };
    let end = match &*say("end") {
        "in_flight" => "still in flight".to_owned(),
        end => format!("{status} after {} ms ({end})", say("duration_ms")),
    };
    let time = say("time");
    let mut text = format!("{asked}, {time} ({} ago), request {}\n", ago(&time), say("request_id"));
    let (listener, client, worker) = (say("listener"), say("client"), say("worker"));
    let _ = write!(text, "from {client} at listener {listener}, by worker {worker}\n{end}");
    let _ = match &*say("attempts") {
        "1" => write!(text, ", 1 attempt"),
        attempts => write!(text, ", {attempts} attempts"),
    };
    if !say("failure").is_empty() {
        let _ = write!(text, ": {}", say("failure"));
    }
    for (index, choice) in list(request, "choices").enumerate() {
        let _ = write!(text, "\n\n{}. {}", index + 1, choice_text(choice));
    }
    text
}

fn dry_run_text(run: &Value) -> String {
    let mut text = choice_text(&run["choice"]);
    let shares = list(run, "shares").map(|share| {
        let percent = share["share"].as_f64().unwrap_or_default() * 100.0;
        format!("{} {percent:.1} %", cell(share, "target"))
    });
    let shares: Vec<_> = shares.collect();
    if !shares.is_empty() {
        let _ = write!(text, "\n\nof 1,000 such choices: {}", shares.join(", "));
    }
    text
}

fn choice_text(choice: &Value) -> String {
    let say = |field| cell(choice, field);
    let (group, algorithm) = (say("target_group"), say("algorithm"));
    let mut text = match &*say("target") {
        "" => format!("nobody in {group} ({algorithm})"),
        target => format!("{target} in {group} ({algorithm}) at {}", say("address")),
    };
    let _ = match &*say("outcome") {
        "answered" => {
            let _ = write!(text, ", chosen after {} ms", say("at_ms"));
            if !say("waited_ms").is_empty() {
                let _ = write!(text, " ({} ms of that in line for room)", say("waited_ms"));
            }
            write!(text, ": answered {} after {} ms", say("status"), say("took_ms"))
        }
        "failed" => write!(text, ": {}", say("failure")),
        _ => Ok(()),
    };
    if !say("connect_ms").is_empty() {
        let _ = write!(text, ", {} ms of it to connect", say("connect_ms"));
    }
    if choice["failed_open"] == true {
        text.push_str("\n   no target is healthy: unhealthy ones are used");
    }
    if let Some(sticky) = choice.get("sticky") {
        let why = cell(sticky, "why");
        let why = if why.is_empty() { why } else { format!(": {why}") };
        let _ = write!(text, "\n   sticky: {}{why}", cell(sticky, "decision"));
    }
    for line in candidates(choice).lines() {
        let _ = write!(text, "\n   {line}");
    }
    text
}

/// Everyone the choice was among.
fn candidates(choice: &Value) -> String {
    let chosen = cell(choice, "target");
    let considered = list(choice, "considered").map(|considered| {
        let target = cell(considered, "target");
        let mark = if target == chosen { "chosen: " } else { "" };
        [target, String::new(), format!("{mark}{}", cell(considered, "score"))]
    });
    let others = list(choice, "others").map(|other| {
        let (state, reason) = (cell(other, "state"), cell(other, "reason"));
        let why = cell(other, "why");
        let why = if why == format!("it is {state}") { reason } else { why };
        [cell(other, "target"), state, why]
    });
    let rows: Vec<_> = considered.chain(others).collect();
    let mut text = if rows.is_empty() { String::new() } else { table(["TARGET", "STATE", "WHY"], rows) };
    for (field, what) in [("considered_beyond", "compared"), ("others_beyond", "passed over")] {
        if choice[field].as_u64().is_some_and(|count| count > 0) {
            let _ = write!(text, "\nand {} more {what}", choice[field]);
        }
    }
    if choice.get("others").is_none() {
        text.push_str("\nhow the others were then is not remembered any more");
    }
    text
}

/// The items of a list of a document, or of the document itself.
fn list<'a>(document: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> {
    let list = if field.is_empty() { Some(document) } else { document.get(field) };
    list.and_then(Value::as_array).into_iter().flatten()
}
