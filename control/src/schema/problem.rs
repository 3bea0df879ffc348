//! What is wrong with a document, where, and what would be right.

use std::fmt;

use serde_json::Value;

/// One thing that is wrong with a document.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct Problem {
    /// Where, as a JSON pointer (RFC 6901).
    pub pointer: String,
    /// What is wrong.
    pub detail: String,
    /// What would be right.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Whether it is the key rather than its value that is wrong.
    #[serde(skip)]
    pub(crate) about_key: bool,
}

/// All that is wrong with a document. Never empty.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Problems(Vec<Problem>);

/// What is wrong with a value, before it is said where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wrong {
    detail: String,
    hint: Option<String>,
    /// Where in the value, as the end of a pointer.
    within: String,
}

impl Problem {
    /// A problem with the value at `pointer`.
    pub(crate) fn at_value(pointer: &str, wrong: Wrong) -> Self {
        let pointer = format!("{pointer}{}", wrong.within);
        Self { pointer, detail: wrong.detail, hint: wrong.hint, about_key: false }
    }

    /// A problem with the key at `pointer`.
    pub(crate) fn at_key(pointer: &str, wrong: Wrong) -> Self {
        Self { about_key: true, ..Self::at_value(pointer, wrong) }
    }
}

impl Problems {
    /// Each of them.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.0.iter()
    }

    pub(crate) fn of(problems: Vec<Problem>) -> Option<Self> {
        (!problems.is_empty()).then_some(Self(problems))
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

impl IntoIterator for Problems {
    type Item = Problem;
    type IntoIter = std::vec::IntoIter<Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl Wrong {
    pub(crate) fn new(detail: impl Into<String>) -> Self {
        Self { detail: detail.into(), hint: None, within: String::new() }
    }

    /// A value of another kind than `expected`.
    pub(crate) fn kind(expected: &str, value: &Value) -> Self {
        let found = match value {
            Value::Null => "null",
            Value::Bool(_) => "true or false",
            Value::Number(_) => "a number",
            Value::String(_) => "a string",
            Value::Array(_) => "a list",
            Value::Object(_) => "a table",
        };
        Self::new(format!("expected {expected}, found {found}"))
    }

    /// That it is a part of the value that is wrong.
    pub(crate) fn within(mut self, key: &str) -> Self {
        self.within = format!("{}{}", segment(key), self.within);
        self
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// A key as the next part of a pointer.
pub(crate) fn segment(key: &str) -> String {
    format!("/{}", key.replace('~', "~0").replace('/', "~1"))
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{problem}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.pointer.is_empty() {
            write!(f, "{}: ", self.pointer)?;
        }
        f.write_str(&self.detail)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}
