//! What people type: the verbs, one file each, how they end, and how what they found is written.
//!
//! Not here: what a running elbow does ([`crate::app`]) and how one is reached ([`crate::client`]).

mod completions;
mod cookie_key;
mod demo;
mod elb;
mod explain;
mod output;
mod reload;
mod run;
mod screen;
mod state;
mod status;
mod target;
mod validate;
mod version;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use output::{Failure, Output};

const EXAMPLES: &str = "\
Examples:
  elbow demo                                          a complete show on this machine
  elbow run --listen 127.0.0.1:8080 --target 127.0.0.1:9001 --target 127.0.0.1:9002
  elbow validate -c elbow.toml && elbow run -c elbow.toml
  elbow status                                        what a running elbow sees
  elbow target register app web-4 --address 10.0.0.14:80 --wait

Exit codes: 0 done, 1 failed, 2 wrong usage or invalid configuration.";

/// A self-hosted load balancer: balances HTTP over targets it checks, and is changed while it runs.
#[derive(Debug, Parser)]
#[command(name = "elbow", version = crate::version::VERSION, after_help = EXAMPLES, arg_required_else_help = true)]
pub struct Cli {
    /// How results and logs are written: text for people, json for scripts
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORMAT", display_order = 100)]
    output: Output,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Run(run::Arguments),
    Demo(demo::Arguments),
    #[command(visible_alias = "check")]
    Validate(validate::Arguments),
    Reload(reload::Arguments),
    Status(status::Arguments),
    Target(target::Arguments),
    Explain(explain::Arguments),
    State(state::Arguments),
    Elb(elb::Arguments),
    InstallLinks(elb::links::Arguments),
    CookieKey(cookie_key::Arguments),
    Version(version::Arguments),
    Completions(completions::Arguments),
    #[command(hide = true)]
    DemoPart(demo::PartArguments),
}

/// The whole program: reads the command line, does the verb, says what went wrong.
pub fn main() -> ExitCode {
    if let Some(ended) = elb::linked() {
        return ended;
    }
    let cli = Cli::parse();
    let output = cli.output;
    if let Verb::Elb(arguments) = &cli.verb {
        return elb::main(arguments, output);
    }
    match dispatch(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => output.fail(&failure),
    }
}

fn dispatch(cli: Cli) -> Result<(), Failure> {
    let output = cli.output;
    match cli.verb {
        Verb::Run(arguments) => run::run(arguments, output),
        Verb::Demo(arguments) => wait_for(demo::run(arguments)),
        Verb::Validate(arguments) => validate::run(&arguments, output),
        Verb::Reload(arguments) => wait_for(reload::run(arguments, output)),
        Verb::Status(arguments) => wait_for(status::run(arguments, output)),
        Verb::Target(arguments) => wait_for(target::run(arguments, output)),
        Verb::Explain(arguments) => wait_for(explain::run(arguments, output)),
        Verb::State(arguments) => wait_for(state::run(arguments, output)),
        Verb::Elb(_) => Ok(()),
        Verb::InstallLinks(arguments) => elb::links::run(&arguments, output),
        Verb::CookieKey(arguments) => wait_for(cookie_key::run(arguments, output)),
        Verb::Version(arguments) => version::run(&arguments, output),
        Verb::DemoPart(arguments) => demo::run_part(arguments, output),
        Verb::Completions(arguments) => completions::run(&arguments, &mut Cli::command()),
    }
}

/// Runs what a client of a running elbow does; one thread is plenty.
fn wait_for<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(work)
}

/// How the reader calls this program: as it was called.
fn own_name() -> String {
    std::env::args().next().unwrap_or_else(|| "elbow".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definitions_hold_together() {
        Cli::command().debug_assert();
    }
}
