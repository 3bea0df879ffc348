//! The text of a file as a tree that knows where everything stands.

use std::ops::Range;

use serde_json::{Map, Number, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Environment;
use super::expand::{Values, expand};
use crate::schema::{Problem, Wrong, segment};

/// A parsed file.
pub(super) struct Tree<'t> {
    root: Spanned<DeValue<'t>>,
}

/// What is wrong with a text that is no TOML, and where.
pub(super) struct Malformed {
    pub(super) span: Range<usize>,
    pub(super) detail: String,
}

impl<'t> Tree<'t> {
    pub(super) fn parse(text: &'t str) -> Result<Self, Vec<Malformed>> {
        let (table, errors) = DeTable::parse_recoverable(text);
        if errors.is_empty() {
            let span = table.span();
            return Ok(Self { root: Spanned::new(span, DeValue::Table(table.into_inner())) });
        }
        let malformed = |error: &toml::de::Error| Malformed {
            span: error.span().unwrap_or(0..0),
            detail: error.message().lines().collect::<Vec<_>>().join(", "),
        };
        Err(errors.iter().map(malformed).collect())
    }

    /// The tree in the form that the schema reads, with variables replaced; and the values that could not be put in
    /// that form, which are null in it.
    pub(super) fn document(&self, environment: Environment<'_>) -> (Value, Vec<Problem>) {
        let mut problems = Vec::new();
        let document = plain(self.root.get_ref(), "", &Values::of(environment), &mut problems);
        (document, problems)
    }

    /// Where a pointer leads: to the value or (`key`) to its key; where it leads nowhere, to the nearest table around.
    pub(super) fn span(&self, pointer: &str, key: bool) -> Range<usize> {
        let mut place = &self.root;
        let mut span = 0..0;
        for segment in pointer.split('/').skip(1) {
            let name = segment.replace("~1", "/").replace("~0", "~");
            let (found, key_span) = match place.get_ref() {
                DeValue::Table(table) => match table.get_key_value(name.as_str()) {
                    Some((found, value)) => (Some(value), Some(found.span())),
                    None => (None, None),
                },
                DeValue::Array(items) => (name.parse().ok().and_then(|index: usize| items.get(index)), None),
                _ => (None, None),
            };
            let Some(found) = found else { return span };
            span = match key_span {
                // A table made by a dotted key or a header below it has no place of its own.
                Some(key_span) if key || found.span().is_empty() => key_span,
                _ => found.span(),
            };
            place = found;
        }
        span
    }
}

fn plain(value: &DeValue<'_>, pointer: &str, values: &Values<'_>, problems: &mut Vec<Problem>) -> Value {
    let mut refuse = |wrong| {
        problems.push(Problem::at_value(pointer, wrong));
        Value::Null
    };
    match value {
        DeValue::String(text) => expand(text, values).map_or_else(refuse, Value::String),
        DeValue::Boolean(truth) => Value::Bool(*truth),
        DeValue::Integer(integer) => {
            let number = i64::from_str_radix(integer.as_str(), integer.radix());
            number.map_or_else(|_| refuse(Wrong::new("the number is too large")), Value::from)
        }
        DeValue::Float(float) => {
            let number = float.as_str().parse().ok().and_then(Number::from_f64);
            number.map_or_else(|| refuse(Wrong::new("it is no finite number")), Value::Number)
        }
        DeValue::Datetime(_) => refuse(Wrong::new("no key takes a date or time").hint("put it in quotes")),
        DeValue::Array(items) => {
            let items = items.iter().enumerate();
            let items =
                items.map(|(index, item)| plain(item.get_ref(), &format!("{pointer}/{index}"), values, problems));
            Value::Array(items.collect())
        }
        DeValue::Table(table) => {
            let mut object = Map::new();
            for (key, value) in table {
                let key = key.get_ref();
                let place = format!("{pointer}{}", segment(key));
                object.insert(key.to_string(), plain(value.get_ref(), &place, values, problems));
            }
            Value::Object(object)
        }
    }
}
