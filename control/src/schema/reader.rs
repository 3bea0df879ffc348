//! Reading one table of a document key by key, noting all that is wrong instead of stopping at the first.

use serde_json::{Map, Value};

use super::problem::{Problem, Problems, Wrong, segment};

/// Unknown keys name at most this many known ones as a hint.
const KNOWN_KEYS_NAMED_MAX: usize = 12;
/// The least likeness of two words for one to be offered for the other.
const LIKENESS_MIN: f64 = 0.7;

/// One table of a document while it is read. Each key that is asked for is known; what is left at the end is not.
pub(super) struct Reader<'a> {
    table: &'a Map<String, Value>,
    pointer: String,
    known: Vec<&'static str>,
    problems: &'a mut Vec<Problem>,
}

/// Reads a document with `read`, which answers `None` where a required key is missing or wrong.
pub(super) fn read<T>(
    document: &Value,
    read: impl for<'r> FnOnce(&mut Reader<'r>) -> Option<T>,
) -> Result<T, Problems> {
    let mut problems = Vec::new();
    match (within(document, String::new(), &mut problems, read), Problems::of(problems)) {
        (Some(value), None) => Ok(value),
        (_, Some(problems)) => Err(problems),
        (None, None) => Err(Problems::from(Problem::at_value("", Wrong::new("the document is incomplete")))),
    }
}

fn within<T>(
    value: &Value,
    pointer: String,
    problems: &mut Vec<Problem>,
    read: impl for<'r> FnOnce(&mut Reader<'r>) -> Option<T>,
) -> Option<T> {
    let Value::Object(table) = value else {
        problems.push(Problem::at_value(&pointer, Wrong::kind("a table", value)));
        return None;
    };
    let mut reader = Reader { table, pointer, known: Vec::new(), problems };
    let read = read(&mut reader);
    reader.refuse_unknown();
    read
}

impl<'a> Reader<'a> {
    /// A key that must be there.
    pub(super) fn required<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&'a Value) -> Result<T, Wrong>,
    ) -> Option<T> {
        let Some(value) = self.take(key) else {
            self.problem(key, Wrong::new(format!("`{key}` is missing")));
            return None;
        };
        self.parse(key, value, parse)
    }

    /// A key that stands for `default` when it is absent.
    pub(super) fn or<T>(
        &mut self,
        key: &'static str,
        default: T,
        parse: impl FnOnce(&'a Value) -> Result<T, Wrong>,
    ) -> T {
        match self.take(key) {
            Some(value) => self.parse(key, value, parse).unwrap_or(default),
            None => default,
        }
    }

    /// A table within; absent, it is read as an empty one.
    pub(super) fn table<T>(
        &mut self,
        key: &'static str,
        read: impl for<'r> FnOnce(&mut Reader<'r>) -> Option<T>,
    ) -> Option<T> {
        let empty = Value::Object(Map::new());
        let value = self.take(key).unwrap_or(&empty);
        within(value, self.pointer_to(key), self.problems, read)
    }

    /// A table within that may be absent (or null): outer `None` where it is there and wrong.
    pub(super) fn table_if_any<T>(
        &mut self,
        key: &'static str,
        read: impl for<'r> FnOnce(&mut Reader<'r>) -> Option<T>,
    ) -> Option<Option<T>> {
        match self.take(key) {
            None | Some(Value::Null) => Some(None),
            Some(value) => within(value, self.pointer_to(key), self.problems, read).map(Some),
        }
    }

    /// A list of tables; absent, it is empty. Those that could not be read are left out (and noted).
    pub(super) fn tables<T>(
        &mut self,
        key: &'static str,
        mut read: impl for<'r> FnMut(&mut Reader<'r>) -> Option<T>,
    ) -> Vec<T> {
        let items = match self.take(key) {
            None => return Vec::new(),
            Some(Value::Array(items)) => items,
            Some(other) => {
                let hint = format!("write [[{key}]], with double brackets");
                self.problem(key, Wrong::kind("a list of tables", other).hint(hint));
                return Vec::new();
            }
        };
        let list = self.pointer_to(key);
        let items = items.iter().enumerate();
        items.filter_map(|(index, item)| within(item, format!("{list}/{index}"), self.problems, &mut read)).collect()
    }

    /// A key that has no place here, and why.
    pub(super) fn refuse(&mut self, key: &'static str, why: impl FnOnce() -> Wrong) {
        if self.take(key).is_some() {
            self.problem_at_key(key, why());
        }
    }

    /// Whether a key is there.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Notes what is wrong with a key's value.
    pub(super) fn problem(&mut self, key: &str, wrong: Wrong) {
        let pointer = self.pointer_to(key);
        self.problems.push(Problem::at_value(&pointer, wrong));
    }

    fn problem_at_key(&mut self, key: &str, wrong: Wrong) {
        let pointer = self.pointer_to(key);
        self.problems.push(Problem::at_key(&pointer, wrong));
    }

    fn take(&mut self, key: &'static str) -> Option<&'a Value> {
        self.known.push(key);
        self.table.get(key)
    }

    fn parse<T>(
        &mut self,
        key: &str,
        value: &'a Value,
        parse: impl FnOnce(&'a Value) -> Result<T, Wrong>,
    ) -> Option<T> {
        parse(value).map_err(|wrong| self.problem(key, wrong)).ok()
    }

    fn pointer_to(&self, key: &str) -> String {
        format!("{}{}", self.pointer, segment(key))
    }

    fn refuse_unknown(mut self) {
        for key in self.table.keys().filter(|key| !self.known.contains(&key.as_str())).cloned().collect::<Vec<_>>() {
            let wrong = Wrong::new(format!("unknown key `{key}`"));
            let wrong = match alike(&key, &self.known) {
                Some(known) => wrong.hint(format!("did you mean `{known}`?")),
                None if self.known.len() <= KNOWN_KEYS_NAMED_MAX => {
                    wrong.hint(format!("known here are {}", self.known.join(", ")))
                }
                None => wrong,
            };
            self.problem_at_key(&key, wrong);
        }
    }
}

/// The known word that was probably meant.
pub(crate) fn alike<'w>(word: &str, known: &[&'w str]) -> Option<&'w str> {
    let word = word.to_lowercase().replace('-', "_");
    let likeness = |known: &&str| strsim::jaro_winkler(&word, &known.to_lowercase());
    let best = known.iter().copied().max_by(|left, right| likeness(left).total_cmp(&likeness(right)))?;
    (likeness(&best) >= LIKENESS_MIN).then_some(best)
}
