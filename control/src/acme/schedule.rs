//! When a certificate is renewed, and how long an attempt that failed is left alone. Pure: time and chance come in.

use std::time::{Duration, SystemTime};

use lb::tls::CertificateFacts;

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// A new name asks an authority at most this often; a short-lived certificate has less time.
const FIRST_WAIT: Duration = MINUTE;
/// Nobody is asked more often than this, however short certificates live.
const WAIT_MIN: Duration = Duration::from_secs(1);
/// By how much at most a wait is longer than it need be, so that not all ask at once.
const JITTER: f64 = 0.25;

/// When an authority suggests to renew a certificate (RFC 9773).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) start: SystemTime,
    pub(super) end: SystemTime,
}

/// When a certificate is to be renewed: somewhere in the window that its authority suggests, or else after two thirds
/// of its life and some more. Where exactly is drawn from the certificate itself, so that it is the same after a
/// restart and another for every certificate.
pub(super) fn renew_at(facts: &CertificateFacts, window: Option<Window>) -> SystemTime {
    let share = share_of(&facts.fingerprint);
    if let Some(length) = window.and_then(|window| window.end.duration_since(window.start).ok()) {
        return window.map_or(facts.not_after, |window| window.start + length.mul_f64(share));
    }
    facts.not_before + lifetime(facts).mul_f64(2.0 / 3.0 + share / 30.0)
}

/// How long a certificate lives.
pub(super) fn lifetime(facts: &CertificateFacts) -> Duration {
    facts.not_after.duration_since(facts.not_before).unwrap_or_default()
}

/// How long to wait after so many failures in a row: a minute, twice as long each time, at most a day; sooner for a
/// certificate that would end meanwhile; as long as the authority asks for where that is longer. `chance` is in 0..1.
pub(super) fn wait(failures: u32, lifetime: Option<Duration>, asked: Option<Duration>, chance: f64) -> Duration {
    let of_life = |part| lifetime.map_or(DAY, |lifetime| lifetime / part);
    let first = of_life(60).clamp(WAIT_MIN, FIRST_WAIT);
    let most = of_life(8).clamp(first, DAY);
    let doubled = first.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1)));
    doubled.min(most).mul_f64(1.0 + JITTER * chance).min(most.max(first)).max(asked.unwrap_or_default())
}

/// A number in 0..1 that a fingerprint stands for.
fn share_of(fingerprint: &str) -> f64 {
    let bits = fingerprint.get(..8).and_then(|digits| u32::from_str_radix(digits, 16).ok());
    f64::from(bits.unwrap_or(0)) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use lb::tls::{CertificateFacts, read_certificate};
    use rcgen::{CertificateParams, KeyPair};

    use super::{DAY, MINUTE, Window, renew_at, wait};

    fn facts(life: Duration, fingerprint: &str) -> CertificateFacts {
        let key = KeyPair::generate().expect("a key");
        let any = CertificateParams::default().self_signed(&key).expect("a certificate").pem();
        let mut facts = read_certificate(&any, &key.serialize_pem()).expect("a certificate");
        (facts.not_before, facts.not_after) = (UNIX_EPOCH, UNIX_EPOCH + life);
        facts.fingerprint = fingerprint.to_owned();
        facts
    }

    #[test]
    fn two_thirds_of_a_life_or_the_window() {
        let days = |facts: &CertificateFacts| {
            renew_at(facts, None).duration_since(UNIX_EPOCH).expect("later").as_secs_f64() / 86400.0
        };
        assert_eq!(days(&facts(90 * DAY, "00000000ff")), 60.0);
        let last = days(&facts(90 * DAY, "ffffffffff"));
        assert!((62.9..63.0).contains(&last), "{last}");
        let window = Window { start: UNIX_EPOCH + DAY, end: UNIX_EPOCH + 3 * DAY };
        assert_eq!(renew_at(&facts(90 * DAY, "80000000"), Some(window)), UNIX_EPOCH + 2 * DAY);
        let inverted = Window { start: window.end, end: window.start };
        assert_eq!(renew_at(&facts(90 * DAY, "00000000"), Some(inverted)), UNIX_EPOCH + 60 * DAY);
    }

    #[test]
    fn waits_grow_from_a_minute_to_a_day_and_as_the_authority_asks() {
        let waits: Vec<_> = (1..=14).map(|failures| wait(failures, None, None, 0.0)).collect();
        assert_eq!(waits[..4], [MINUTE, 2 * MINUTE, 4 * MINUTE, 8 * MINUTE]);
        assert_eq!(waits[13], DAY);
        assert_eq!(wait(u32::MAX, None, None, 0.99), DAY);
        assert!(wait(1, None, None, 0.99) > MINUTE && wait(1, None, None, 0.99) < 2 * MINUTE);
        assert_eq!(wait(1, Some(90 * DAY), Some(7 * DAY), 0.5), 7 * DAY);
        assert!(wait(20, Some(6 * DAY), None, 0.5) < DAY, "it must not end before the next attempt");
        assert_eq!(wait(1, Some(Duration::from_secs(15)), None, 0.0), Duration::from_secs(1));
    }
}
