//! `elbow elb …` and links of the same names: the commands that ELB was used with in 2010, over its Query API.
//!
//! In reading order: [`main`] does one command, [`Verb`] is all of them, a file a group: `load_balancers`, `listeners`,
//! `instances`, `policies`; [`general`] is what each takes, [`call`] how one asks, [`table`] how it answers, [`links`]
//! makes the links. Not here: the API itself (`control`) and how it is reached ([`crate::client::query`]).

mod call;
mod general;
mod instances;
pub(super) mod links;
mod listeners;
mod load_balancers;
mod policies;
mod table;

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use super::output::{Failure, Output};
use crate::client::query::Refused;
use call::Call;
use general::General;

/// What the names of all these commands begin with.
const PREFIX: &str = "elb-";

/// The commands that ELB was used with in 2010; also under these names through links (elbow install-links).
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  elbow elb create-lb web --listener \"lb-port=80,instance-port=80,protocol=HTTP\" --availability-zones us-east-1a
  elbow elb describe-instance-health web
  elbow install-links /usr/local/bin && elb-describe-lbs")]
pub(super) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

/// A command line that begins with the name of a link.
#[derive(Debug, Parser)]
#[command(multicall = true, version = crate::version::VERSION)]
struct Linked {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    #[command(name = "elb-create-lb", alias = "create-lb")]
    CreateLb(load_balancers::Create),
    #[command(name = "elb-describe-lbs", alias = "describe-lbs")]
    DescribeLbs(load_balancers::Describe),
    #[command(name = "elb-delete-lb", alias = "delete-lb")]
    DeleteLb(load_balancers::Delete),
    #[command(name = "elb-configure-healthcheck", alias = "configure-healthcheck")]
    ConfigureHealthcheck(load_balancers::ConfigureHealthcheck),
    #[command(name = "elb-enable-zones-for-lb", alias = "enable-zones-for-lb")]
    EnableZones(load_balancers::EnableZones),
    #[command(name = "elb-disable-zones-for-lb", alias = "disable-zones-for-lb")]
    DisableZones(load_balancers::DisableZones),
    #[command(name = "elb-create-lb-listeners", alias = "create-lb-listeners")]
    CreateListeners(listeners::Create),
    #[command(name = "elb-delete-lb-listeners", alias = "delete-lb-listeners")]
    DeleteListeners(listeners::Delete),
    #[command(name = "elb-register-instances-with-lb", alias = "register-instances-with-lb")]
    Register(instances::Register),
    #[command(name = "elb-deregister-instances-from-lb", alias = "deregister-instances-from-lb")]
    Deregister(instances::Deregister),
    #[command(name = "elb-describe-instance-health", alias = "describe-instance-health")]
    DescribeHealth(instances::DescribeHealth),
    #[command(name = "elb-create-app-cookie-stickiness-policy", alias = "create-app-cookie-stickiness-policy")]
    CreateAppCookie(policies::CreateAppCookie),
    #[command(name = "elb-create-lb-cookie-stickiness-policy", alias = "create-lb-cookie-stickiness-policy")]
    CreateLbCookie(policies::CreateLbCookie),
    #[command(name = "elb-set-lb-policies-of-listener", alias = "set-lb-policies-of-listener")]
    SetOfListener(policies::SetOfListener),
    #[command(name = "elb-delete-lb-policy", alias = "delete-lb-policy")]
    DeletePolicy(policies::Delete),
}

/// What a command asks for: its options that all have, and the asking.
trait Ask {
    fn general(&self) -> &General;

    async fn ask(&self, call: &Call) -> Result<(), Failure>;
}

/// Does what is asked for where elbow was called by the name of one of the commands; none: it was not.
pub(super) fn linked() -> Option<ExitCode> {
    let mut arguments: Vec<OsString> = std::env::args_os().collect();
    let name = Path::new(arguments.first()?).file_name()?.to_str().filter(|name| name.starts_with(PREFIX))?.to_owned();
    arguments[0] = name.clone().into();
    Some(match Linked::try_parse_from(arguments) {
        Ok(linked) => finish(&name, run(&linked.verb)),
        Err(error) if error.use_stderr() => finish(&name, Err(Failure::Usage(first_line(&error)))),
        Err(help) => help.exit(),
    })
}

/// Does one command, and says in a line what went wrong.
pub(super) fn main(arguments: &Arguments, output: Output) -> ExitCode {
    if output == Output::Json {
        let why = "its output is text as it was in 2010: leave out --output, or take --show-xml";
        return finish("elbow elb", Err(Failure::Usage(why.to_owned())));
    }
    finish(name(&arguments.verb), run(&arguments.verb))
}

/// The names of all commands.
fn names() -> Vec<String> {
    Linked::command().get_subcommands().map(|command| command.get_name().to_owned()).collect()
}

fn run(verb: &Verb) -> Result<(), Failure> {
    match verb {
        Verb::CreateLb(command) => ask(command),
        Verb::DescribeLbs(command) => ask(command),
        Verb::DeleteLb(command) => ask(command),
        Verb::ConfigureHealthcheck(command) => ask(command),
        Verb::EnableZones(command) => ask(command),
        Verb::DisableZones(command) => ask(command),
        Verb::CreateListeners(command) => ask(command),
        Verb::DeleteListeners(command) => ask(command),
        Verb::Register(command) => ask(command),
        Verb::Deregister(command) => ask(command),
        Verb::DescribeHealth(command) => ask(command),
        Verb::CreateAppCookie(command) => ask(command),
        Verb::CreateLbCookie(command) => ask(command),
        Verb::SetOfListener(command) => ask(command),
        Verb::DeletePolicy(command) => ask(command),
    }
}

fn ask(command: &impl Ask) -> Result<(), Failure> {
    let call = Call::new(command.general())?;
    super::wait_for(command.ask(&call))
}

fn name(verb: &Verb) -> &'static str {
    match verb {
        Verb::CreateLb(_) => "elb-create-lb",
        Verb::DescribeLbs(_) => "elb-describe-lbs",
        Verb::DeleteLb(_) => "elb-delete-lb",
        Verb::ConfigureHealthcheck(_) => "elb-configure-healthcheck",
        Verb::EnableZones(_) => "elb-enable-zones-for-lb",
        Verb::DisableZones(_) => "elb-disable-zones-for-lb",
        Verb::CreateListeners(_) => "elb-create-lb-listeners",
        Verb::DeleteListeners(_) => "elb-delete-lb-listeners",
        Verb::Register(_) => "elb-register-instances-with-lb",
        Verb::Deregister(_) => "elb-deregister-instances-from-lb",
        Verb::DescribeHealth(_) => "elb-describe-instance-health",
        Verb::CreateAppCookie(_) => "elb-create-app-cookie-stickiness-policy",
        Verb::CreateLbCookie(_) => "elb-create-lb-cookie-stickiness-policy",
        Verb::SetOfListener(_) => "elb-set-lb-policies-of-listener",
        Verb::DeletePolicy(_) => "elb-delete-lb-policy",
    }
}

/// What went wrong as the tools of 2010 said it, in one line; the exit codes are elbow's own.
fn finish(name: &str, outcome: Result<(), Failure>) -> ExitCode {
    let (code, message) = match outcome {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::Usage(why) | Failure::Invalid { text: why, .. }) => (2, format!("Malformed input-{why}")),
        Err(Failure::Failed(error)) => {
            if let Some(refused) = error.downcast_ref::<Refused>().filter(|refused| refused.is_to_be_shown) {
                let _ = std::io::stdout().write_all(refused.text.as_bytes());
            }
            (1, format!("{error:#}"))
        }
    };
    // Where nobody listens any more, the exit code still tells.
    let _ = writeln!(std::io::stderr(), "{name}:  {}", table::printable(&message));
    ExitCode::from(code)
}

/// The first line of what is wrong with a command line, without `error: `.
fn first_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let told = text.split("\n\n").next().unwrap_or_default().trim_start_matches("error: ");
    let told = told.split_whitespace().collect::<Vec<_>>().join(" ");
    format!("{} (--help tells more)", told.trim_end_matches(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_have_the_definitions_of_the_verbs() {
        Linked::command().debug_assert();
        assert!(names().iter().all(|name| name.starts_with(PREFIX)));
        let linked = Linked::try_parse_from(["elb-describe-lbs", "web", "--no-headers"]).expect("a command");
        assert_eq!(name(&linked.verb), "elb-describe-lbs");
    }
}
