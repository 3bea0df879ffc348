//! What attempts at a backend came to lately, as one number: how many in a row failed before an answer, and whether
//! the backend is trusted, out, or on probation.
//!
//! A backend that is trusted and answers is all zeros, so that an answer costs a look at one number. What the count
//! leads to is decided elsewhere (`ejection`); here is only when that is worth a look. Pure: time comes in as an
//! argument.

/// Answers in a row that end a probation.
pub(super) const PROBATION_ANSWERS: u32 = 5;

const COUNT_BITS: u32 = 16;
const COUNT_MAX: u32 = (1 << COUNT_BITS) - 1;

/// How an attempt failed before an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Failed {
    /// The connection was refused.
    Refused = 0,
    /// Nothing answered the attempt to connect.
    TimedOut = 1,
    /// The connection was closed or reset before a byte of an answer.
    Closed = 2,
    /// The connection was made, and no TLS on it.
    Unsecured = 3,
}

impl Failed {
    /// As people say it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "connection refused",
            Self::TimedOut => "connecting took too long",
            Self::Closed => "connection closed",
            Self::Unsecured => "TLS failed",
        }
    }
}

/// What attempts came to, as often in a row as it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Streak {
    /// They failed before an answer; the last of them in this way.
    Failures(u32, Failed),
    /// They were answered. Counted on probation only.
    Answers(u32),
}

/// What is counted of a backend, which depends on how far it is trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
pub(super) enum Trust {
    /// As far as any: failures in a row are counted.
    #[default]
    Full = 0,
    /// It is out: nothing is counted.
    None = 1,
    /// It has just come back: both are counted.
    Probation = 2,
}

/// A backend's streak under the trust it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) trust: Trust,
    streak: Streak,
    /// Since when it has this trust, on the backend's own clock. Attempts that began earlier say nothing any more.
    since_ms: u32,
}

impl Record {
    /// Trusted, with no failure since its last answer.
    pub(super) const CLEAN: u64 = 0;

    pub(super) fn new(trust: Trust, now_ms: u32) -> Self {
        let since_ms = if trust == Trust::Full { 0 } else { now_ms };
        Self { trust, streak: Streak::Answers(0), since_ms }
    }

    /// As it fits into one atomic.
    pub(super) fn to_bits(self) -> u64 {
        let (kind, count) = match self.streak {
            Streak::Answers(count) => (0, count),
            Streak::Failures(count, how) => (1 + how as u64, count),
        };
        let low = self.trust as u64 | kind << 2 | u64::from(count.min(COUNT_MAX)) << 5;
        low | u64::from(self.since_ms) << 32
    }

    pub(super) fn from_bits(bits: u64) -> Self {
        let count = (bits >> 5) as u32 & COUNT_MAX;
        let streak = match bits >> 2 & 7 {
            0 => Streak::Answers(count),
            1 => Streak::Failures(count, Failed::Refused),
            2 => Streak::Failures(count, Failed::TimedOut),
            3 => Streak::Failures(count, Failed::Closed),
            _ => Streak::Failures(count, Failed::Unsecured),
        };
        let trust = match bits & 3 {
            0 => Trust::Full,
            1 => Trust::None,
            _ => Trust::Probation,
        };
        Self { trust, streak, since_ms: (bits >> 32) as u32 }
    }

    /// The streak, if there is one.
    pub(super) fn streak(self) -> Option<Streak> {
        (!matches!(self.streak, Streak::Answers(0))).then_some(self.streak)
    }

    /// With one more attempt, which began at `began_ms` and was answered, or `failed`.
    #[must_use]
    pub(super) fn after(self, failed: Option<Failed>, began_ms: u32) -> Self {
        let is_stale = self.trust == Trust::Probation && (began_ms.wrapping_sub(self.since_ms) as i32) < 0;
        if self.trust == Trust::None || is_stale {
            return self;
        }
        let streak = match (failed, self.streak) {
            (Some(how), Streak::Failures(count, _)) => Streak::Failures((count + 1).min(COUNT_MAX), how),
            (Some(how), Streak::Answers(_)) => Streak::Failures(1, how),
            (None, Streak::Answers(count)) if self.trust == Trust::Probation => {
                Streak::Answers((count + 1).min(COUNT_MAX))
            }
            (None, Streak::Failures(..)) if self.trust == Trust::Probation => Streak::Answers(1),
            (None, _) => Streak::Answers(0),
        };
        Self { streak, ..self }
    }

    /// Whether the last attempt made it worth a look: as many as are allowed have failed, or were needed and answered.
    pub(super) fn is_remarkable(self, failures_max: u32) -> bool {
        match (self.trust, self.streak) {
            (Trust::Full, Streak::Failures(count, _)) => count == failures_max,
            (Trust::Probation, Streak::Failures(count, _)) => count == 1,
            (Trust::Probation, Streak::Answers(count)) => count == PROBATION_ANSWERS,
            (Trust::None, _) | (Trust::Full, Streak::Answers(_)) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(trust: Trust) -> Record {
        Record::new(trust, 1_000)
    }

    /// After attempts that began after it was trusted so far.
    fn after(record: Record, attempts: &[Option<Failed>]) -> Record {
        attempts.iter().fold(record, |record, failed| record.after(*failed, 2_000))
    }

    const FAILED: Option<Failed> = Some(Failed::Refused);

    #[test]
    fn failures_in_a_row_count_until_an_answer() {
        let failing = after(record(Trust::Full), &[FAILED, FAILED, Some(Failed::Closed)]);
        assert_eq!(failing.streak(), Some(Streak::Failures(3, Failed::Closed)));
        let answered = after(failing, &[None]);
        assert_eq!((answered.streak(), answered.to_bits()), (None, Record::CLEAN));
        assert_eq!(after(answered, &[None, None]).to_bits(), Record::CLEAN, "answers are not counted");
    }

    #[test]
    fn who_is_out_is_not_counted() {
        let out = record(Trust::None);
        assert_eq!(after(out, &[FAILED, None, FAILED]), out);
        assert!(!out.is_remarkable(5) && out.to_bits() != Record::CLEAN);
    }

    #[test]
    fn on_probation_both_are_counted_and_what_began_before_is_not() {
        let probation = record(Trust::Probation);
        assert_eq!(probation.after(FAILED, 999), probation);
        assert_eq!(probation.after(None, 999), probation);
        assert_eq!(after(probation, &[None, None]).streak(), Some(Streak::Answers(2)));
        assert_eq!(after(probation, &[None, FAILED]).streak(), Some(Streak::Failures(1, Failed::Refused)));
        assert_eq!(after(probation, &[None, FAILED, None]).streak(), Some(Streak::Answers(1)));
        // Its clock may turn over.
        let late = Record::new(Trust::Probation, u32::MAX - 10);
        assert_eq!(late.after(None, 5).streak(), Some(Streak::Answers(1)));
        assert_eq!(late.after(None, u32::MAX - 11), late);
    }

    #[test]
    fn a_streak_is_worth_one_look() {
        let looks = |trust, failed, failures_max| {
            let mut record = record(trust);
            let mut is_remarkable = |_: &u32| {
                record = record.after(failed, 2_000);
                record.is_remarkable(failures_max)
            };
            (1..=100_000).filter(|count| is_remarkable(count)).collect::<Vec<u32>>()
        };
        assert_eq!(looks(Trust::Full, FAILED, 5), [5]);
        assert_eq!(looks(Trust::Full, FAILED, 1), [1]);
        assert_eq!(looks(Trust::Probation, FAILED, 5), [1]);
        assert_eq!(looks(Trust::Probation, None, 5), [PROBATION_ANSWERS]);
        assert_eq!(looks(Trust::Full, FAILED, 0), [0; 0]);
        assert_eq!(looks(Trust::Full, None, 5), [0; 0]);
    }

    #[test]
    fn it_fits_into_one_number() {
        for trust in [Trust::Full, Trust::None, Trust::Probation] {
            for streak in [Streak::Answers(0), Streak::Answers(COUNT_MAX), Streak::Failures(7, Failed::TimedOut)] {
                let record = Record { trust, streak, since_ms: u32::MAX };
                assert_eq!(Record::from_bits(record.to_bits()), record);
            }
        }
    }
}
