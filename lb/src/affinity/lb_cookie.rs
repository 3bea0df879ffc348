//! Stickiness by a cookie of elbow's own, set when a client gets a target.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use super::places::Places;
use super::seen::unix_s;
use super::{Affinity, Answer, Binding, Claim, Request, Seal, SealedKind, Seen, Sticky};
use crate::model::{CookieKeys, CookieName, GroupName};
use crate::state::Member;

#[derive(Debug)]
pub(super) struct LbCookie {
    name: CookieName,
    duration: Option<Duration>,
    seal: Seal,
    places: Places,
}

impl LbCookie {
    pub(super) fn new(
        name: CookieName,
        duration: Option<Duration>,
        group: &GroupName,
        keys: &CookieKeys,
        members: &Arc<[Member]>,
    ) -> Self {
        Self { name, duration, seal: Seal::new(keys, group, SealedKind::LbCookie), places: Places::new(members) }
    }
}

impl Affinity for LbCookie {
    fn recognise(&self, request: &Request<'_>, seen: &mut Seen) {
        seen.open(request, self.name.as_str(), &self.seal);
    }

    fn target(&self, claim: Claim, nth: usize) -> Option<&Member> {
        self.places.of(claim, nth)
    }

    fn cookie_name(&self) -> Option<&str> {
        Some(self.name.as_str())
    }

    fn bind(&self, answer: &Answer<'_>, out: &mut Vec<u8>) {
        if !matches!(answer.decided, Sticky::Fresh | Sticky::Repicked(_)) {
            return;
        }
        let duration_s = self.duration.map(|duration| duration.as_secs());
        let until_unix_s = duration_s.map(|duration_s| unix_s(answer.now) + duration_s);
        let binding = Binding { target: answer.backend.fingerprint, session: answer.random, until_unix_s };
        let Some(value) = self.seal.seal(&binding) else { return };
        for part in [self.name.as_str().as_bytes(), b"=", &value, b"; Path=/; HttpOnly; SameSite=Lax"] {
            out.extend_from_slice(part);
        }
        if answer.is_secure {
            out.extend_from_slice(b"; Secure");
        }
        if let Some(duration_s) = duration_s {
            // Writing to a vector does not fail.
            let _ = write!(out, "; Max-Age={duration_s}");
        }
    }
}
