//! What is wrong with a file, with line and column, for people and for programs.

use std::fmt;
use std::ops::Range;

use miette::{
    Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteSpanContents, SourceCode, SourceSpan,
    SpanContents,
};

use super::tree::{Malformed, Tree};
use crate::schema::Problem;

/// How many characters wide what is drawn may be.
const WIDTH: usize = 110;

/// All that is wrong with a file. `Display` is the plain rendering, each problem beginning with `FILE:LINE:COLUMN`.
#[derive(Debug, Clone)]
pub struct FileError {
    file: String,
    text: String,
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
    #[serde(skip)]
    span: Range<usize>,
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
    pub(super) fn unreadable(file: String, why: &str) -> Self {
        let detail = format!("cannot read it: {why}");
        let problem = FileProblem { line: 0, column: 0, pointer: String::new(), detail, hint: None, span: 0..0 };
        Self { file, text: String::new(), problems: vec![problem] }
    }

    pub(super) fn malformed(file: &str, text: &str, malformed: Vec<Malformed>) -> Self {
        let malformed = malformed.into_iter();
        let problems = malformed.map(|Malformed { span, detail }| (span, String::new(), detail, None));
        Self::at(file, text, problems.collect())
    }

    pub(super) fn found(file: &str, text: &str, tree: &Tree<'_>, problems: Vec<Problem>) -> Self {
        let problems = problems.into_iter();
        let problems = problems.map(|problem| {
            let span = tree.span(&problem.pointer, problem.about_key);
            (span, problem.pointer, problem.detail, problem.hint)
        });
        Self::at(file, text, problems.collect())
    }

    fn at(file: &str, text: &str, mut problems: Vec<(Range<usize>, String, String, Option<String>)>) -> Self {
        problems.sort_by_key(|(span, ..)| span.start);
        problems.dedup();
        let problems = problems.into_iter().map(|(span, pointer, detail, hint)| {
            let (line, column) = line_and_column(text, span.start);
            FileProblem { line, column, pointer, detail, hint, span }
        });
        Self { file: file.to_owned(), text: text.to_owned(), problems: problems.collect() }
    }

    /// The file, as it was named.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Each problem, in the file's order.
    pub fn problems(&self) -> &[FileProblem] {
        &self.problems
    }

    /// The error as text for people, ending with a newline when it is drawn.
    pub fn render(&self, style: Style) -> String {
        let rendered = self.problems.iter().map(|problem| match style {
            Style::Drawn { colour } if problem.line > 0 => self.draw(problem, colour),
            _ => self.plain(problem),
        });
        rendered.collect::<Vec<_>>().join("\n")
    }

    fn plain(&self, problem: &FileProblem) -> String {
        let FileProblem { line, column, detail, hint, .. } = problem;
        let place = if *line == 0 { self.file.clone() } else { format!("{}:{line}:{column}", self.file) };
        let hint = hint.as_ref().map(|hint| format!("\n  hint: {hint}")).unwrap_or_default();
        format!("{place}: {detail}{hint}")
    }

    fn draw(&self, problem: &FileProblem, colour: bool) -> String {
        let theme = if colour { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
        let handler = GraphicalReportHandler::new_themed(theme).with_width(WIDTH).with_links(false);
        let mut drawn = String::new();
        match handler.render_report(&mut drawn, &Drawn { error: self, problem }) {
            Ok(()) => drawn,
            Err(fmt::Error) => self.plain(problem),
        }
    }
}

fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

impl std::error::Error for FileError {}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(Style::Plain))
    }
}

/// One problem as miette draws it.
#[derive(Debug)]
struct Drawn<'e> {
    error: &'e FileError,
    problem: &'e FileProblem,
}

impl std::error::Error for Drawn<'_> {}

impl fmt::Display for Drawn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem.detail)
    }
}

impl Diagnostic for Drawn<'_> {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.problem.hint.as_ref().map(|hint| Box::new(hint) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(self)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let label = LabeledSpan::new_primary_with_span(None, self.problem.span.clone());
        Some(Box::new(std::iter::once(label)))
    }
}

impl SourceCode for Drawn<'_> {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        lines_before: usize,
        lines_after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, miette::MietteError> {
        let read = self.error.text.read_span(span, lines_before, lines_after)?;
        let (line, column) = (read.line(), read.column());
        let named = MietteSpanContents::new_named(
            self.error.file.clone(),
            read.data(),
            *read.span(),
            line,
            column,
            read.line_count(),
        );
        Ok(Box::new(named))
    }
}
