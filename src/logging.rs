//! Where elbow's own log goes: one line an event on the error stream, for people or as JSON. `RUST_LOG` chooses what
//! is logged, `NO_COLOR` and a stream that is no terminal switch colours off.
//!
//! Not here: the access log, which has a queue and a file of its own.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Installs the log of this process. A second call changes nothing: the first wins.
pub fn start(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    // Where in the code a line was logged is left out: `target` is what users call something else.
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    let installed = match format {
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
        LogFormat::Text => builder.with_ansi(colours()).try_init(),
    };
    // Two elbows in one process share one log.
    drop(installed);
}

/// Whether the error stream takes colours.
pub fn colours() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
