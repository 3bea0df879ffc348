//! A `Set-Cookie` of an application, read as browsers read it (RFC 6265, 5.2).

use time::{Date, Month, PrimitiveDateTime, Time};

/// A cookie that an answer sets.
#[derive(Debug, Clone, Copy)]
pub(super) struct SetCookie<'a> {
    pub(super) name: &'a [u8],
    /// What follows name and value.
    attributes: &'a [u8],
}

/// What decides which requests carry a cookie, and for how long.
const SCOPE: [&[u8]; 7] = [b"path", b"domain", b"max-age", b"expires", b"secure", b"samesite", b"partitioned"];

impl<'a> SetCookie<'a> {
    pub(super) fn parse(field: &'a [u8]) -> Self {
        let end = field.iter().position(|byte| *byte == b';').unwrap_or(field.len());
        let (pair, attributes) = field.split_at(end);
        let name_end = pair.iter().position(|byte| *byte == b'=').unwrap_or(0);
        Self { name: pair[..name_end].trim_ascii(), attributes }
    }

    /// Each attribute: its name, its value, and both as written.
    fn attributes(&self) -> impl DoubleEndedIterator<Item = (&'a [u8], &'a [u8], &'a [u8])> + use<'a> {
        self.attributes.split(|byte| *byte == b';').map(|attribute| {
            let name_end = attribute.iter().position(|byte| *byte == b'=').unwrap_or(attribute.len());
            let (name, value) = attribute.split_at(name_end);
            let value = value.strip_prefix(b"=").unwrap_or_default();
            (name.trim_ascii(), value.trim_ascii(), attribute.trim_ascii())
        })
    }

    /// Whether the browser is told to forget the cookie. Of an attribute that is given twice the last holds.
    pub(super) fn deletes(&self, now_unix_s: u64) -> bool {
        let last = |wanted: &[u8]| {
            let mut attributes = self.attributes().rev().filter(|(name, ..)| name.eq_ignore_ascii_case(wanted));
            attributes.find_map(|(_, value, _)| text(value))
        };
        if let Some(age) = last(b"max-age").filter(|age| is_number(age)) {
            return age.starts_with('-') || age.bytes().all(|byte| byte == b'0');
        }
        let expires = last(b"expires").and_then(unix_s);
        expires.is_some_and(|at| u64::try_from(at).is_ok_and(|at| at <= now_unix_s) || at < 0)
    }

    /// Writes what decides about scope and life, as it is, each behind `; `.
    pub(super) fn write_attributes(&self, out: &mut Vec<u8>) {
        for attribute in self.attributes_of(&SCOPE) {
            out.extend_from_slice(b"; ");
            out.extend_from_slice(attribute);
        }
    }

    /// Its attributes of these names, as written.
    pub(super) fn attributes_of(&self, names: &[&[u8]]) -> impl Iterator<Item = &'a [u8]> {
        let is_wanted = |name: &[u8]| names.iter().any(|wanted| name.eq_ignore_ascii_case(wanted));
        self.attributes().filter(move |(name, ..)| is_wanted(name)).map(|(.., attribute)| attribute)
    }
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// Reads a date as forgivingly as browsers do (RFC 6265, 5.1.1): a time, a day, a month's name and a year, in any
/// order and between any punctuation.
fn unix_s(date: &str) -> Option<i64> {
    let (mut time, mut day, mut month, mut year) = (None, None, None, None);
    let is_delimiter = |c: char| !(c.is_ascii_alphanumeric() || c == ':' || !c.is_ascii());
    for token in date.split(is_delimiter).filter(|token| !token.is_empty()) {
        if time.is_none() && token.contains(':') {
            time = Some(clock(token)?);
        } else if month.is_none() && month_of(token).is_some() {
            month = month_of(token);
        } else if let Ok(number) = token.parse::<i32>() {
            match token.len() {
                1 | 2 if day.is_none() => day = u8::try_from(number).ok(),
                2 if year.is_none() => year = Some(if number < 70 { 2000 + number } else { 1900 + number }),
                4 if year.is_none() => year = Some(number),
                _ => {}
            }
        }
    }
    let date = Date::from_calendar_date(year?, month?, day?).ok()?;
    Some(PrimitiveDateTime::new(date, time?).assume_utc().unix_timestamp())
}

fn clock(token: &str) -> Option<Time> {
    let mut parts = token.split(':').map(|part| part.parse::<u8>().ok());
    Time::from_hms(parts.next()??, parts.next()??, parts.next()??).ok()
}

fn month_of(token: &str) -> Option<Month> {
    const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    let name = token.get(..3)?;
    let index = MONTHS.iter().position(|month| name.eq_ignore_ascii_case(month))?;
    Month::try_from(index as u8 + 1).ok()
}
