//! Why there is no TLS with a target: in few kinds for what is done about it, and in words for people.

use rustls::{CertificateError, Error};
use time::OffsetDateTime;
use time::macros::format_description;

use crate::telemetry::TargetHandshake;

/// How many names of a certificate are told.
const NAMES_TOLD_MAX: usize = 5;

/// Why there is no TLS with a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TlsFault {
    /// Its certificate is not accepted.
    #[error("{0}")]
    Distrusted(Distrust),
    /// It does not like what it is shown or offered.
    #[error("it refused the handshake")]
    Refused,
    /// No version, cipher suite or the like is known to both.
    #[error("no version or cipher suite of TLS is known to both sides")]
    NothingInCommon,
    /// What it says is no handshake, or not as one must be.
    #[error("what it says is not valid TLS")]
    Malformed,
    /// It sends more than any handshake needs.
    #[error("its handshake is too long")]
    TooMuch,
    /// It closed the connection.
    #[error("it closed the connection")]
    Left,
    /// What its group wants cannot be had; the log says why.
    #[error("the group's certificate or tls_ca cannot be used")]
    Unable,
}

/// Why a target's certificate is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Distrust {
    #[error("its certificate has expired")]
    Expired,
    #[error("its certificate does not hold yet")]
    NotYetValid,
    #[error("its certificate is for another name")]
    OtherName,
    #[error("its certificate is signed by nobody in tls_ca")]
    Unvouched,
    #[error("its public key is not among the pinned ones")]
    NotPinned,
    #[error("its public key is too short to be checked")]
    ShortKey,
    #[error("it has not shown that its certificate is its own")]
    Unproven,
    #[error("its certificate is not for servers")]
    OtherPurpose,
    #[error("its certificate cannot be read or checked")]
    Uncheckable,
}

impl TlsFault {
    /// What an error of rustls comes to.
    pub(super) fn of(error: &Error) -> Self {
        match error {
            Error::InvalidCertificate(fault) => Self::Distrusted(Distrust::of(fault)),
            Error::AlertReceived(_) => Self::Refused,
            Error::PeerIncompatible(_) | Error::NoApplicationProtocol => Self::NothingInCommon,
            _ => Self::Malformed,
        }
    }

    /// As which it is counted.
    pub(crate) fn counts_as(self) -> TargetHandshake {
        match self {
            Self::Distrusted(_) => TargetHandshake::Certificate,
            Self::Refused => TargetHandshake::RefusedByTarget,
            Self::NothingInCommon => TargetHandshake::NothingInCommon,
            Self::Malformed | Self::TooMuch => TargetHandshake::Malformed,
            Self::Left => TargetHandshake::Left,
            Self::Unable => TargetHandshake::Unable,
        }
    }
}

impl Distrust {
    fn of(fault: &CertificateError) -> Self {
        use CertificateError as E;
        match fault {
            E::Expired | E::ExpiredContext { .. } => Self::Expired,
            E::NotValidYet | E::NotValidYetContext { .. } => Self::NotYetValid,
            E::NotValidForName | E::NotValidForNameContext { .. } => Self::OtherName,
            E::UnknownIssuer => Self::Unvouched,
            E::BadSignature => Self::Unproven,
            E::InvalidPurpose | E::InvalidPurposeContext { .. } => Self::OtherPurpose,
            E::Other(other) => other.0.downcast_ref().copied().unwrap_or(Self::Uncheckable),
            _ => Self::Uncheckable,
        }
    }
}

/// Why a handshake with a target failed, in words and with what its certificate says, as in `certificate expired on
/// 2026-01-31`.
pub fn target_fault_in_words(error: &Error) -> String {
    use CertificateError as E;
    match error {
        Error::InvalidCertificate(E::ExpiredContext { not_after, .. }) => {
            format!("its certificate expired on {}", day(not_after.as_secs()))
        }
        Error::InvalidCertificate(E::NotValidYetContext { not_before, .. }) => {
            format!("its certificate does not hold before {}", day(not_before.as_secs()))
        }
        Error::InvalidCertificate(E::NotValidForNameContext { expected, presented }) => {
            let names = match presented.len() {
                0 => "no name".to_owned(),
                _ => presented[..presented.len().min(NAMES_TOLD_MAX)].join(", "),
            };
            format!("its certificate is for {names}, and not for {}", expected.to_str())
        }
        Error::AlertReceived(alert) => format!("it refused the handshake: {alert:?}"),
        error => match TlsFault::of(error) {
            TlsFault::Malformed => format!("what it says is not valid TLS: {error}"),
            fault => fault.to_string(),
        },
    }
}

fn day(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok().and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    let day = time.and_then(|time| time.format(format_description!("[year]-[month]-[day]")).ok());
    day.unwrap_or_else(|| "a day beyond all calendars".to_owned())
}
