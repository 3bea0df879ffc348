//! The `Cookie` field: its pairs, and how some are left out of it (RFC 6265, 4.2).

use super::Span;
use super::field::Field;

/// One cookie that a request carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CookiePair<'a> {
    /// Its name, less white space around it.
    pub name: &'a [u8],
    /// Its value, less white space around it.
    pub value: &'a [u8],
    /// All between the semicolons around it.
    pub whole: &'a [u8],
}

/// The cookies in the value of a `Cookie` field, in order. What has no `=` is a name without a value.
pub fn cookie_pairs(field: &[u8]) -> impl Iterator<Item = CookiePair<'_>> {
    field.split(|byte| *byte == b';').map(|whole| {
        let end = whole.iter().position(|byte| *byte == b'=').unwrap_or(whole.len());
        let value = &whole[whole.len().min(end + 1)..];
        CookiePair { name: whole[..end].trim_ascii(), value: value.trim_ascii(), whole }
    })
}

/// Which cookies a request is to lose on its way.
#[derive(Clone, Copy, Debug)]
pub struct CookiesCut<'a> {
    /// Those of this name,
    pub name: &'a [u8],
    /// but for these values.
    pub except: &'a [Span],
}

impl CookiesCut<'_> {
    /// Whether anything of a field is to go.
    pub(super) fn concerns(&self, field: &Field, buf: &[u8]) -> bool {
        cookie_pairs(field.value.of(buf)).any(|pair| self.cuts(&pair, buf))
    }

    /// Writes what stays of a field: the other cookies as they were, or no field where none stays.
    pub(super) fn write(&self, out: &mut Vec<u8>, field: &Field, buf: &[u8]) {
        let stays = |pair: &CookiePair<'_>| !pair.whole.trim_ascii().is_empty() && !self.cuts(pair, buf);
        let mut rest = cookie_pairs(field.value.of(buf)).filter(stays);
        let Some(first) = rest.next() else { return };
        out.extend_from_slice(field.name.of(buf));
        out.extend_from_slice(b": ");
        out.extend_from_slice(first.whole.trim_ascii_start());
        for pair in rest {
            out.push(b';');
            out.extend_from_slice(pair.whole);
        }
        out.extend_from_slice(b"\r\n");
    }

    fn cuts(&self, pair: &CookiePair<'_>, buf: &[u8]) -> bool {
        pair.name == self.name && !self.except.contains(&Span::within(buf, pair.value))
    }
}
