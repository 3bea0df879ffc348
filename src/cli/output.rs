//! How a verb says what it found and how it failed: text for people, JSON for scripts, and the exit code.

use std::io::Write;
use std::process::ExitCode;

use clap::ValueEnum;
use comfy_table::{Table, presets};
use serde::Serialize;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::client::Refusal;

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum Output {
    // Plain comments: these would stand under every `--help`. Text and tables, or one JSON document (logs: one
    // object a line).
    #[default]
    Text,
    Json,
}

/// Why a verb failed, and with it the exit code.
#[derive(Debug)]
pub(super) enum Failure {
    /// It could not be done: exit code 1.
    Failed(anyhow::Error),
    /// It was asked for in a way that makes no sense: exit code 2.
    Usage(String),
    /// The configuration is wrong, and where: exit code 2.
    Invalid {
        /// For people, with the lines it is about.
        text: String,
        /// For scripts.
        json: Value,
    },
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl Output {
    /// Writes a result: `text` for people, `value` for scripts.
    pub(super) fn say(self, text: &str, value: &impl Serialize) -> Result<(), Failure> {
        match self {
            Self::Text => write_out(text),
            Self::Json => write_out(&serde_json::to_string_pretty(value)?),
        }
    }

    /// Says on the error stream what went wrong, and gives the exit code that says it to scripts.
    pub(super) fn fail(self, failure: &Failure) -> ExitCode {
        let code = match failure {
            Failure::Failed(_) => 1,
            Failure::Usage(_) | Failure::Invalid { .. } => 2,
        };
        let message = match failure {
            Failure::Failed(error) => format!("{error:#}"),
            Failure::Usage(message) => message.clone(),
            Failure::Invalid { text, .. } => text.clone(),
        };
        // Where nobody listens any more, the exit code still tells.
        let _ = match (self, failure) {
            // That a file is wrong is what a script asked to know.
            (Self::Json, Failure::Invalid { json, .. }) => writeln!(std::io::stdout(), "{json:#}"),
            (Self::Json, Failure::Failed(error)) => {
                let problem = error.downcast_ref::<Refusal>().and_then(|refusal| refusal.problem.as_ref());
                writeln!(std::io::stderr(), "{}", json!({ "error": message, "problem": problem }))
            }
            (Self::Json, Failure::Usage(_)) => writeln!(std::io::stderr(), "{}", json!({ "error": message })),
            (Self::Text, Failure::Invalid { .. }) => writeln!(std::io::stderr(), "{}", message.trim_end()),
            (Self::Text, _) => writeln!(std::io::stderr(), "elbow: {message}"),
        };
        ExitCode::from(code)
    }
}

/// Writes to standard output. A reader that went away (`elbow status | head`) is no failure.
pub(super) fn write_out(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// A field of a document as it stands in a table; what is not there is empty.
pub(super) fn cell(document: &Value, field: &str) -> String {
    match document.get(field) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// How long ago an RFC 3339 time was, in its largest unit; what is no time stays as it is.
pub(super) fn ago(time: &str) -> String {
    let Ok(then) = OffsetDateTime::parse(time, &Rfc3339) else { return time.to_owned() };
    let seconds = (OffsetDateTime::now_utc() - then).whole_seconds().max(0);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// A table as people read it: columns apart by spaces, no lines around them, one row a line.
pub(super) fn table<const COLUMNS: usize>(header: [&str; COLUMNS], rows: Vec<[String; COLUMNS]>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header).add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_one_row_a_line_and_nothing_around_it() {
        let rows = vec![["web-1".to_owned(), "healthy".to_owned()], ["a".to_owned(), String::new()]];
        assert_eq!(table(["TARGET", "STATE"], rows), "TARGET  STATE\nweb-1   healthy\na");
    }

    #[test]
    fn a_time_is_told_in_its_largest_unit() {
        let before = |seconds| {
            let then = OffsetDateTime::now_utc() - time::Duration::seconds(seconds);
            ago(&then.format(&Rfc3339).expect("a time"))
        };
        assert_eq!(before(125), "2m");
        assert_eq!(before(7_300), "2h");
        assert_eq!(before(200_000), "2d");
        assert_eq!(ago("never"), "never");
    }

    #[test]
    fn exit_codes_tell_failed_from_wrong() {
        let failed = Failure::from(std::io::Error::other("the disk is full"));
        assert_eq!(Output::Json.fail(&failed), ExitCode::from(1));
        assert_eq!(Output::Text.fail(&Failure::Usage("--listen and -c".to_owned())), ExitCode::from(2));
    }
}
