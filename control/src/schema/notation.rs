//! How single values are written: durations, sizes, counts, words, names and addresses; both ways.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use lb::model::{HostPort, Network};
use serde_json::Value;

use super::problem::Wrong;
use super::reader::alike;

const DURATION_UNITS: [(&str, u64); 4] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];
const SIZE_UNITS: [(&str, u64); 5] = [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)];
/// How `10GB` and `10G` are meant, most likely.
const SIZE_UNITS_MEANT: [(&str, &str); 8] = [
    ("KB", "KiB"),
    ("kB", "KiB"),
    ("K", "KiB"),
    ("k", "KiB"),
    ("MB", "MiB"),
    ("M", "MiB"),
    ("GB", "GiB"),
    ("G", "GiB"),
];

/// A string that is not empty and holds no control characters.
pub(super) fn text(value: &Value) -> Result<&str, Wrong> {
    let text = value.as_str().ok_or_else(|| Wrong::kind("a string", value))?;
    if text.is_empty() {
        return Err(Wrong::new("it is empty"));
    }
    if text.chars().any(char::is_control) {
        return Err(Wrong::new("it holds a control character"));
    }
    Ok(text)
}

/// A string that `parse` accepts.
pub(super) fn parsed<T, E: ToString>(
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> impl FnOnce(&Value) -> Result<T, Wrong> {
    |value| parse(text(value)?).map_err(|error| Wrong::new(error.to_string()))
}

/// A whole number in a range.
pub(super) fn count(range: RangeInclusive<u64>) -> impl FnOnce(&Value) -> Result<u64, Wrong> {
    move |value| {
        let expected = || format!("a whole number from {} to {}", range.start(), range.end());
        match value.as_u64() {
            Some(number) if range.contains(&number) => Ok(number),
            Some(number) => Err(Wrong::new(format!("{number} is out of range: expected {}", expected()))),
            None if value.is_number() => Err(Wrong::new(format!("{value} is not {}", expected()))),
            None => {
                let number = value.as_str().and_then(|text| text.parse::<u64>().ok());
                let wrong = Wrong::kind(&expected(), value);
                Err(number.map_or(wrong.clone(), |number| wrong.hint(format!("write {number}, without quotes"))))
            }
        }
    }
}

/// As [`count`], for what is counted in memory.
pub(super) fn count_usize(range: RangeInclusive<u64>) -> impl FnOnce(&Value) -> Result<usize, Wrong> {
    |value| usize::try_from(count(range)(value)?).map_err(|_| Wrong::new("it is too large"))
}

/// A duration such as `"250ms"`, in a range.
pub(super) fn duration(range: RangeInclusive<Duration>) -> impl FnOnce(&Value) -> Result<Duration, Wrong> {
    move |value| {
        if let Some(number) = value.as_u64() {
            let hint = format!("write \"{number}s\" for seconds, or \"{number}ms\"");
            return Err(Wrong::new("a duration is a string with a unit").hint(hint));
        }
        let text = text(value)?;
        let wrong = || {
            Wrong::new(format!("{text:?} is not a duration"))
                .hint("write it as in \"250ms\", \"30s\", \"5m\" or \"1h\"")
        };
        let (number, unit) = number_and_unit(text).ok_or_else(wrong)?;
        let (_, unit_ms) = DURATION_UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
        let duration = number.checked_mul(*unit_ms).map(Duration::from_millis);
        match duration {
            Some(duration) if range.contains(&duration) => Ok(duration),
            _ => Err(Wrong::new(format!(
                "{text} is out of range: expected {} to {}",
                duration_text(*range.start()),
                duration_text(*range.end())
            ))),
        }
    }
}

/// A size such as `"64KiB"`, in a range of bytes. `"0"` needs no unit.
pub(super) fn size(range: RangeInclusive<u64>) -> impl FnOnce(&Value) -> Result<u64, Wrong> {
    move |value| {
        if let Some(number) = value.as_u64() {
            let hint = format!("write {:?}", size_text(number));
            return Err(Wrong::new("a size is a string with a unit").hint(hint));
        }
        let text = text(value)?;
        let (number, unit) = match number_and_unit(text) {
            Some((0, "")) => (0, "B"),
            Some(parts) => parts,
            None => return Err(not_a_size(text, None)),
        };
        let Some((_, unit_bytes)) = SIZE_UNITS.iter().find(|(name, _)| *name == unit) else {
            return Err(not_a_size(text, Some((number, unit))));
        };
        match number.checked_mul(*unit_bytes) {
            Some(bytes) if range.contains(&bytes) => Ok(bytes),
            _ => Err(Wrong::new(format!(
                "{text} is out of range: expected {} to {}",
                size_text(*range.start()),
                size_text(*range.end())
            ))),
        }
    }
}

/// As [`size`], for what is held in memory.
pub(super) fn size_usize(range: RangeInclusive<u64>) -> impl FnOnce(&Value) -> Result<usize, Wrong> {
    |value| usize::try_from(size(range)(value)?).map_err(|_| Wrong::new("it is too large"))
}

fn not_a_size(text: &str, parts: Option<(u64, &str)>) -> Wrong {
    let meant = parts.and_then(|(number, unit)| {
        let (_, meant) = SIZE_UNITS_MEANT.iter().find(|(name, _)| *name == unit)?;
        Some(format!("write \"{number}{meant}\""))
    });
    let hint = meant.unwrap_or_else(|| "write it as in \"512B\", \"64KiB\", \"1MiB\" or \"10GiB\"".to_owned());
    Wrong::new(format!("{text:?} is not a size")).hint(hint)
}

fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit))
}

/// A duration as it is written: in hours, seconds or milliseconds, whichever are whole.
pub(super) fn duration_text(duration: Duration) -> String {
    let milliseconds = duration.as_millis();
    match milliseconds {
        0 => "0s".to_owned(),
        _ if milliseconds.is_multiple_of(3_600_000) => format!("{}h", milliseconds / 3_600_000),
        _ if milliseconds.is_multiple_of(1_000) => format!("{}s", milliseconds / 1_000),
        _ => format!("{milliseconds}ms"),
    }
}

/// A size as it is written: in the largest unit that is whole.
pub(super) fn size_text(bytes: u64) -> String {
    if bytes == 0 {
        return "0".to_owned();
    }
    let whole = SIZE_UNITS.iter().rev().find(|(_, unit_bytes)| bytes.is_multiple_of(*unit_bytes));
    whole.map_or_else(|| format!("{bytes}B"), |(unit, unit_bytes)| format!("{}{unit}", bytes / unit_bytes))
}

/// A value that is one of a few words, some of which a later version understands.
pub(super) struct Words<T: 'static> {
    /// What is chosen, for what is said when it is wrong.
    pub(super) what: &'static str,
    /// The words, each with its meaning.
    pub(super) now: &'static [(&'static str, T)],
    /// Words of a later version.
    pub(super) later: &'static [&'static str],
}

impl<T: Copy + PartialEq> Words<T> {
    pub(super) fn parse(&self, value: &Value) -> Result<T, Wrong> {
        let word = text(value)?;
        if let Some((_, meaning)) = self.now.iter().find(|(name, _)| *name == word) {
            return Ok(*meaning);
        }
        let known: Vec<_> = self.now.iter().map(|(name, _)| *name).collect();
        let hint = format!("available: {}", known.join(", "));
        if self.later.contains(&word) {
            return Err(Wrong::new(format!("{} `{word}` is not available in this version", self.what)).hint(hint));
        }
        let wrong = Wrong::new(format!("`{word}` is no {}", self.what));
        Err(wrong.hint(alike(word, &known).map_or(hint, |known| format!("did you mean `{known}`?"))))
    }

    pub(super) fn word(&self, meaning: T) -> String {
        let word = self.now.iter().find(|(_, known)| *known == meaning);
        word.map_or_else(String::new, |(word, _)| (*word).to_owned())
    }
}

/// An address to bind, such as `0.0.0.0:8080`.
pub(super) fn socket_address(value: &Value) -> Result<SocketAddr, Wrong> {
    let text = text(value)?;
    text.parse().map_err(|_| {
        let port = text.strip_prefix(':').or(text.strip_prefix("*:")).unwrap_or(text);
        let hint = match (port.parse::<u16>(), text.strip_prefix("localhost:")) {
            (Ok(port), _) => format!("write \"0.0.0.0:{port}\" for every address of this machine"),
            (_, Some(port)) => format!("write \"127.0.0.1:{port}\""),
            _ => "write it as in \"0.0.0.0:8080\" or \"[::]:8080\"".to_owned(),
        };
        Wrong::new(format!("{text:?} is not an address to listen on")).hint(hint)
    })
}

/// The address of a target, such as `10.0.0.11:80`.
pub(super) fn target_address(value: &Value) -> Result<HostPort, Wrong> {
    parsed(HostPort::parse)(value)
}

/// A list of at most `max` networks.
pub(super) fn networks(max: usize) -> impl FnOnce(&Value) -> Result<Vec<Network>, Wrong> {
    move |value| {
        let items = value.as_array().ok_or_else(|| Wrong::kind("a list of networks", value))?;
        if items.len() > max {
            return Err(Wrong::new(format!("{} networks are too many: at most {max}", items.len())));
        }
        let network = |(index, item): (usize, &Value)| {
            parsed(Network::parse)(item).map_err(|wrong| wrong.within(&index.to_string()))
        };
        items.iter().enumerate().map(network).collect()
    }
}
