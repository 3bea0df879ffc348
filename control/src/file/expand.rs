//! `${VAR}` and `${VAR:-default}` in string values.

use crate::schema::Wrong;

use super::Environment;

/// Replaces what stands in `text` from the environment. The default holds where the variable is not set or empty;
/// `$${` is a plain `${`; any other `$` is itself.
pub(super) fn expand(text: &str, environment: Environment<'_>) -> Result<String, Wrong> {
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
        expanded.push_str(&variable(&from[2..end], environment)?);
        rest = &from[end + 1..];
    }
    expanded.push_str(rest);
    Ok(expanded)
}

fn variable(expression: &str, environment: Environment<'_>) -> Result<String, Wrong> {
    let (name, default) = match expression.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (expression, None),
    };
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if name.is_empty() || name.starts_with(|first: char| first.is_ascii_digit()) || !name.bytes().all(legal) {
        let wrong = Wrong::new(format!("`{name}` is no name of an environment variable"));
        return Err(wrong.hint("write ${NAME} or ${NAME:-default}, or `$${` for a plain `${`"));
    }
    match (environment(name), default) {
        (Some(value), Some(default)) if value.is_empty() => Ok(default.to_owned()),
        (Some(value), _) => Ok(value),
        (None, Some(default)) => Ok(default.to_owned()),
        (None, None) => {
            let wrong = Wrong::new(format!("the environment variable {name} is not set"));
            Err(wrong.hint(format!("set it, or write ${{{name}:-default}}")))
        }
    }
}
