//! Stickiness by a cookie of the application's, which one of elbow's accompanies: set together with it, and honoured
//! while it is sent. Nothing is remembered here, so that every node and every restart knows the same.

use std::sync::Arc;

use super::places::Places;
use super::seen::unix_s;
use super::set_cookie::SetCookie;
use super::{Affinity, Answer, Binding, Claim, Request, Seal, SealedKind, Seen, Sticky};
use crate::http1::FieldKind;
use crate::model::{CookieKeys, CookieName, GroupName, OWN_COOKIE_NAME};
use crate::state::Member;

#[derive(Debug)]
pub(super) struct AppCookie {
    /// The application's.
    name: CookieName,
    seal: Seal,
    places: Places,
}

impl AppCookie {
    pub(super) fn new(name: CookieName, group: &GroupName, keys: &CookieKeys, members: &Arc<[Member]>) -> Self {
        Self { name, seal: Seal::new(keys, group, SealedKind::AppCookie), places: Places::new(members) }
    }

    /// The application's cookie as an answer sets it: the last of them, if there are several; none that an answer
    /// deletes.
    fn set_by<'a>(&self, answer: &Answer<'a>) -> Option<SetCookie<'a>> {
        let fields = answer.head.fields.iter().filter(|field| field.kind == FieldKind::SetCookie);
        let set = fields.map(|field| SetCookie::parse(field.value.of(answer.bytes)));
        let now_unix_s = unix_s(answer.now);
        let mut own = set.filter(|set| set.name == self.name.as_str().as_bytes() && !set.deletes(now_unix_s));
        own.next_back()
    }
}

impl Affinity for AppCookie {
    fn recognise(&self, request: &Request<'_>, seen: &mut Seen) {
        seen.open(request, OWN_COOKIE_NAME, &self.seal);
        seen.has_application = request.head.cookies(request.bytes, self.name.as_str()).next().is_some();
        if !seen.has_application {
            seen.drop_claims();
        }
    }

    fn target(&self, claim: Claim, nth: usize) -> Option<&Member> {
        self.places.of(claim, nth)
    }

    fn cookie_name(&self) -> Option<&str> {
        Some(OWN_COOKIE_NAME)
    }

    fn bind(&self, answer: &Answer<'_>, out: &mut Vec<u8>) {
        let set = self.set_by(answer);
        // Who goes on with a session elsewhere is to stay there, although the application has not said a word.
        let has_moved = answer.seen.has_application && matches!(answer.decided, Sticky::Repicked(_));
        if set.is_none() && !has_moved {
            return;
        }
        let binding = Binding { target: answer.backend.fingerprint, session: answer.random, until_unix_s: None };
        let Some(value) = self.seal.seal(&binding) else { return };
        for part in [OWN_COOKIE_NAME.as_bytes(), b"=", &value, b"; HttpOnly"] {
            out.extend_from_slice(part);
        }
        match set {
            Some(set) => set.write_attributes(out),
            None => {
                out.extend_from_slice(b"; Path=/; SameSite=Lax");
                if answer.is_secure {
                    out.extend_from_slice(b"; Secure");
                }
            }
        }
    }
}
