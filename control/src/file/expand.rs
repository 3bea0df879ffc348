//! `${VAR}`, `${VAR:-default}` and `${user_data:KEY}` in string values.

use std::cell::OnceCell;

use crate::aws::imds::{UserData, user_data};
use crate::schema::Wrong;

use super::Environment;

/// The prefix of what this instance of EC2 was started with.
const USER_DATA: &str = "user_data:";

/// Where values are looked up.
pub(super) struct Values<'e> {
    environment: Environment<'e>,
    /// Asked for once, and only if something needs it: off EC2 nobody answers.
    user_data: OnceCell<Result<UserData, String>>,
}

impl<'e> Values<'e> {
    pub(super) fn of(environment: Environment<'e>) -> Self {
        Self { environment, user_data: OnceCell::new() }
    }
}

/// Replaces what stands in `text` from the environment. The default holds where the variable is not set or empty;
/// `$${` is a plain `${`; any other `$` is itself.
pub(super) fn expand(text: &str, values: &Values<'_>) -> Result<String, Wrong> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let (before, from) = rest.split_at(start);
        if let Some(escaped) = before.strip_suffix('$') {
            expanded.push_str(escaped);
            expanded.push_str("${");
            rest = &from[2..];
            continue;
        }
        let Some(end) = from.find('}') else {
            return Err(Wrong::new("`${` has no closing `}`").hint("write `$${` for a plain `${`"));
        };
        expanded.push_str(before);
        expanded.push_str(&variable(&from[2..end], values)?);
        rest = &from[end + 1..];
    }
    expanded.push_str(rest);
    Ok(expanded)
}

fn variable(expression: &str, values: &Values<'_>) -> Result<String, Wrong> {
    let (name, default) = match expression.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (expression, None),
    };
    if let Some(key) = name.strip_prefix(USER_DATA) {
        return from_user_data(key, default, values);
    }
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if name.is_empty() || name.starts_with(|first: char| first.is_ascii_digit()) || !name.bytes().all(legal) {
        let wrong = Wrong::new(format!("`{name}` is no name of an environment variable"));
        return Err(wrong.hint("write ${NAME} or ${NAME:-default}, or `$${` for a plain `${`"));
    }
    match ((values.environment)(name), default) {
        (Some(value), Some(default)) if value.is_empty() => Ok(default.to_owned()),
        (Some(value), _) => Ok(value),
        (None, Some(default)) => Ok(default.to_owned()),
        (None, None) => {
            let wrong = Wrong::new(format!("the environment variable {name} is not set"));
            Err(wrong.hint(format!("set it, or write ${{{name}:-default}}")))
        }
    }
}

/// The default holds where the key is not there or empty, and not where nobody can be asked: a machine that cannot tell
/// is not one that has nothing to say.
fn from_user_data(key: &str, default: Option<&str>, values: &Values<'_>) -> Result<String, Wrong> {
    let known = values.user_data.get_or_init(user_data).as_ref();
    let known = known.map_err(|why| Wrong::new(format!("${{{USER_DATA}{key}}} is not known: {why}")))?;
    match (known.get(key).filter(|value| !value.is_empty()), default) {
        (Some(value), _) => Ok(value.to_owned()),
        (None, Some(default)) => Ok(default.to_owned()),
        (None, None) => {
            let wrong = Wrong::new(format!("the user-data of this instance has no `{key}`"));
            Err(wrong
                .hint(format!("start it with {key}=VALUE in its user-data, or write ${{{USER_DATA}{key}:-default}}")))
        }
    }
}
