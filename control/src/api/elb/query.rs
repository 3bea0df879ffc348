//! The parameters of a request, and reading typed values from them.
//!
//! Names are case-sensitive; a list is `Name.member.1`, a structure `Name.Member`; `Name=` alone is the empty list. What
//! is wrong is collected, so that a client hears of all of it at once, in the words of the service model.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use super::error::{Code, Refusal};

/// How many members a list may have: none of the API's own limits is above it.
const MEMBERS_MAX: usize = 1000;
/// How long a value may be: no text of the API needs more, and each may have to be kept.
const VALUE_BYTES_MAX: usize = 8192;

/// The parameters of a request.
#[derive(Debug, Default)]
pub(super) struct Parameters(BTreeMap<String, String>);

/// What is wrong with the parameters of one request.
#[derive(Debug, Default)]
struct Faults {
    /// Values that do not have the declared type.
    malformed: Vec<String>,
    /// Constraints of the service model that do not hold.
    constraints: Vec<String>,
}

/// The parameters of a request, or of one structure in them.
#[derive(Debug)]
pub(super) struct Input<'p> {
    parameters: &'p Parameters,
    /// What names of parameters begin with here.
    prefix: String,
    /// The same as errors name it.
    path: String,
    faults: &'p RefCell<Faults>,
}

impl Parameters {
    /// Reads one or several parts, `application/x-www-form-urlencoded` each.
    pub(super) fn parse(parts: &[&[u8]]) -> Self {
        let pairs = parts.iter().flat_map(|part| form_urlencoded::parse(part));
        Self(pairs.map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
    }

    /// The value of a parameter, if it is there.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Reads what an action takes.
    ///
    /// # Errors
    /// [`Code::MalformedInput`] or [`Code::ValidationError`], with all that is wrong, whatever `read` made of it.
    pub(super) fn read<T>(&self, read: impl FnOnce(&Input<'_>) -> T) -> Result<T, Refusal> {
        let faults = RefCell::default();
        let read = read(&Input { parameters: self, prefix: String::new(), path: String::new(), faults: &faults });
        let Faults { malformed, constraints } = faults.into_inner();
        if !malformed.is_empty() {
            return Err(Refusal::new(Code::MalformedInput, malformed.join("; ")));
        }
        match constraints.len() {
            0 => Ok(read),
            1 => Err(Refusal::validation(format!("1 validation error detected: {}", constraints[0]))),
            count => {
                Err(Refusal::validation(format!("{count} validation errors detected: {}", constraints.join("; "))))
            }
        }
    }

    /// The names that begin so.
    fn below<'p>(&'p self, prefix: &'p str) -> impl Iterator<Item = &'p str> {
        let names = self.0.range(prefix.to_owned()..).map(|(name, _)| name.as_str());
        names.take_while(move |name| name.starts_with(prefix))
    }
}

impl<'p> Input<'p> {
    /// A text that may be absent.
    pub(super) fn text(&self, name: &str) -> Option<&'p str> {
        let text = self.parameters.get(&format!("{}{name}", self.prefix))?;
        self.is_short(name, text).then_some(text)
    }

    /// A text that must be there.
    pub(super) fn required(&self, name: &str) -> &'p str {
        if !self.is_there(name) {
            self.is_null(name);
        }
        self.text(name).unwrap_or_default()
    }

    /// A number that may be absent, within a range.
    pub(super) fn number<N>(&self, name: &str, range: RangeInclusive<N>) -> Option<N>
    where
        N: FromStr + PartialOrd + Display + Copy,
    {
        let text = self.text(name)?;
        match text.trim().parse::<N>() {
            Ok(number) if range.contains(&number) => Some(number),
            // What does not fit the type may be a number all the same.
            _ if text.trim().parse::<i128>().is_ok() => {
                let (what, limit) = match text.trim().parse::<N>() {
                    Ok(number) if number > *range.end() => ("less", range.end()),
                    Err(_) if !text.trim().starts_with('-') => ("less", range.end()),
                    _ => ("greater", range.start()),
                };
                self.fails(name, text, &format!("Member must have value {what} than or equal to {limit}"));
                None
            }
            _ => {
                self.malformed(name, text, "a number");
                None
            }
        }
    }

    /// A number that must be there. What stands in for one that is not is the least there may be.
    pub(super) fn required_number<N>(&self, name: &str, range: RangeInclusive<N>) -> N
    where
        N: FromStr + PartialOrd + Display + Copy,
    {
        if !self.is_there(name) {
            self.is_null(name);
        }
        let least = *range.start();
        self.number(name, range).unwrap_or(least)
    }

    /// `true` or `false`, which may be absent.
    pub(super) fn flag(&self, name: &str) -> Option<bool> {
        let text = self.text(name)?;
        let flag = text.trim().to_ascii_lowercase().parse().ok();
        if flag.is_none() {
            self.malformed(name, text, "true or false");
        }
        flag
    }

    /// A structure that may be absent.
    pub(super) fn structure(&self, name: &str) -> Option<Self> {
        let input = self.inside(&format!("{}{name}.", self.prefix), &format!("{}{}.", self.path, camel(name)));
        let is_there = self.parameters.below(&input.prefix).next().is_some();
        is_there.then_some(input)
    }

    /// What to do with a structure that must be there.
    pub(super) fn required_structure<T: Default>(&self, name: &str, read: impl FnOnce(&Self) -> T) -> T {
        self.structure(name).map_or_else(
            || {
                self.is_null(name);
                T::default()
            },
            |input| read(&input),
        )
    }

    /// A list of texts that may be absent.
    pub(super) fn texts(&self, name: &str) -> Option<Vec<&'p str>> {
        let prefix = format!("{}{name}.member.", self.prefix);
        let texts = self.indices(name)?.into_iter();
        let texts = texts.filter_map(|index| self.parameters.get(&format!("{prefix}{index}")));
        Some(texts.filter(|text| self.is_short(name, text)).collect())
    }

    /// A list of texts that must be there, and may be empty.
    pub(super) fn required_texts(&self, name: &str) -> Vec<&'p str> {
        self.texts(name).unwrap_or_else(|| {
            self.is_null(name);
            Vec::new()
        })
    }

    /// A list of numbers that must be there, each within a range.
    pub(super) fn required_numbers<N>(&self, name: &str, range: RangeInclusive<N>) -> Vec<N>
    where
        N: FromStr + PartialOrd + Display + Copy,
    {
        let Some(indices) = self.indices(name) else {
            self.is_null(name);
            return Vec::new();
        };
        let list = self.inside(&format!("{}{name}.member.", self.prefix), &format!("{}{}.", self.path, camel(name)));
        indices.into_iter().filter_map(|index| list.number(&index.to_string(), range.clone())).collect()
    }

    /// A list of structures that may be absent.
    pub(super) fn structures(&self, name: &str) -> Option<Vec<Self>> {
        let indices = self.indices(name)?;
        let member = |index| {
            let prefix = format!("{}{name}.member.{index}.", self.prefix);
            self.inside(&prefix, &format!("{}{}.{index}.member.", self.path, camel(name)))
        };
        Some(indices.into_iter().map(member).collect())
    }

    /// A list of structures that must be there, and may be empty.
    pub(super) fn required_structures(&self, name: &str) -> Vec<Self> {
        self.structures(name).unwrap_or_else(|| {
            self.is_null(name);
            Vec::new()
        })
    }

    /// Notes that a value breaks a rule, as in `Member must satisfy enum value set: [a, b]`.
    pub(super) fn fails(&self, name: &str, value: &str, rule: &str) {
        let path = format!("{}{}", self.path, camel(name));
        self.note(format!("Value '{value}' at '{path}' failed to satisfy constraint: {rule}"));
    }

    fn is_there(&self, name: &str) -> bool {
        self.parameters.get(&format!("{}{name}", self.prefix)).is_some()
    }

    fn is_short(&self, name: &str, text: &str) -> bool {
        let is_short = text.len() <= VALUE_BYTES_MAX;
        if !is_short {
            let beginning: String = text.chars().take(100).collect();
            let rule = format!("Member must have length less than or equal to {VALUE_BYTES_MAX}");
            self.fails(name, &format!("{beginning}..."), &rule);
        }
        is_short
    }

    fn is_null(&self, name: &str) {
        let path = format!("{}{}", self.path, camel(name));
        self.note(format!("Value null at '{path}' failed to satisfy constraint: Member must not be null"));
    }

    fn malformed(&self, name: &str, value: &str, expected: &str) {
        let fault = format!("{}{name} is not {expected}: '{value}'", self.prefix);
        self.faults.borrow_mut().malformed.push(fault);
    }

    fn note(&self, constraint: String) {
        self.faults.borrow_mut().constraints.push(constraint);
    }

    fn inside(&self, prefix: &str, path: &str) -> Self {
        Self { parameters: self.parameters, prefix: prefix.to_owned(), path: path.to_owned(), faults: self.faults }
    }

    /// The indices of a list that are there, in the order of numbers; none of these, and it is absent.
    fn indices(&self, name: &str) -> Option<BTreeSet<u32>> {
        let prefix = format!("{}{name}.member.", self.prefix);
        let index = |name: &str| {
            let digits = name[prefix.len()..].split('.').next()?;
            digits.parse::<u32>().ok().filter(|index| index.to_string() == digits)
        };
        let mut indices: BTreeSet<_> = self.parameters.below(&prefix).filter_map(index).collect();
        if indices.len() > MEMBERS_MAX {
            let (count, path) = (indices.len(), format!("{}{}", self.path, camel(name)));
            let rule = format!("Member must have length less than or equal to {MEMBERS_MAX}");
            self.note(format!("Value of {count} members at '{path}' failed to satisfy constraint: {rule}"));
            indices.clear();
            return Some(indices);
        }
        (!indices.is_empty() || self.text(name).is_some_and(str::is_empty)).then_some(indices)
    }
}

/// `LoadBalancerName` as errors write it.
fn camel(name: &str) -> String {
    let mut characters = name.chars();
    characters.next().map(|first| first.to_ascii_lowercase()).into_iter().chain(characters).collect()
}
