//! Why an authority did not issue a certificate, in words for people, and what follows from it.

use std::error::Error as _;
use std::time::Duration;

use instant_acme::{Error, Problem};

/// The longest that is told of what an authority says.
const SAID_CHARS_MAX: usize = 1000;
const ACCOUNT_GONE: &str = "urn:ietf:params:acme:error:accountDoesNotExist";

/// Why an attempt led to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    /// In words.
    pub(super) why: String,
    /// How long the authority wants to be left alone.
    pub(super) retry_after: Option<Duration>,
    /// What else could be tried at once.
    pub(super) kind: Kind,
}

/// What follows from a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Names could not be shown to be ours. Another way may do.
    Challenge,
    /// The authority does not know the account any more.
    AccountGone,
    /// Anything else.
    Other,
}

impl Failure {
    pub(super) fn new(why: impl Into<String>) -> Self {
        Self { why: plain(&why.into()), retry_after: None, kind: Kind::Other }
    }

    /// That a name could not be shown to be ours.
    pub(super) fn of_challenge(why: impl Into<String>) -> Self {
        Self { kind: Kind::Challenge, ..Self::new(why) }
    }

    /// What went wrong while something was done.
    pub(super) fn of(doing: &str, error: &Error) -> Self {
        let kind = match error {
            Error::Api(problem) if problem.r#type.as_deref() == Some(ACCOUNT_GONE) => Kind::AccountGone,
            _ => Kind::Other,
        };
        Self { kind, ..Self::new(format!("{doing}: {}", told(error))) }
    }
}

/// What a problem document says.
pub(super) fn said(problem: &Problem) -> String {
    let text = problem.to_string();
    text.strip_prefix("API error: ").unwrap_or(&text).to_owned()
}

fn told(error: &Error) -> String {
    if let Error::Api(problem) = error {
        return said(problem);
    }
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let inner_text = inner.to_string();
        if !text.ends_with(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        source = inner.source();
    }
    text
}

/// Text from elsewhere, fit for a log: of bounded length, and in one line.
fn plain(text: &str) -> String {
    text.chars().take(SAID_CHARS_MAX).map(|char| if char.is_control() { ' ' } else { char }).collect()
}
