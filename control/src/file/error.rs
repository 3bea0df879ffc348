//! What is wrong with a file, with line and column, for people and for programs.

use std::fmt;

/// All that is wrong with a file. `Display` is the plain rendering, each problem beginning with `FILE:LINE:COLUMN`.
#[derive(Debug)]
pub struct FileError {
    file: String,
    problems: Vec<FileProblem>,
}

/// One thing that is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct FileProblem {
    /// The line, from 1. 0 when the file could not be read at all.
    pub line: usize,
    /// The column, in characters from 1.
    pub column: usize,
    /// The same place as a JSON pointer; empty where the text is no TOML.
    pub pointer: String,
    /// What is wrong.
    pub detail: String,
    /// What would be right.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// How an error is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// One line a problem and one a hint, for pipes and logs.
    Plain,
    /// With the lines of the file and a mark under the place, for terminals.
    Drawn {
        /// In colour.
        colour: bool,
    },
}

impl FileError {
    /// The file, as it was named.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Each problem, in the file's order.
    pub fn problems(&self) -> &[FileProblem] {
        &self.problems
    }

    /// The error as text for people.
    pub fn render(&self, style: Style) -> String {
        let _ = style;
        unreachable!("being written")
    }
}

impl std::error::Error for FileError {}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(Style::Plain))
    }
}
