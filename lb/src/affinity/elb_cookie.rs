//! Stickiness as Classic ELB has it: `AWSELB` and its twin `AWSELBCORS`, for a time, or beside a cookie of the
//! application's. What they bind to is sealed as any binding is, and holds for one port of the targets; how long they
//! live is for clients to see to. The application sees them.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use super::places::Places;
use super::set_cookie::SetCookie;
use super::{Affinity, Answer, Binding, Claim, Request, Seal, SealedKind, Seen, Sticky};
use crate::http1::FieldKind;
use crate::model::{CookieKeys, CookieName, ELB_COOKIE_NAME, ELB_TWIN_NAME, GroupName, StickyBy};
use crate::state::Member;

/// What is taken over from a cookie of the application's; the last two a twin has of its own.
const COPIED: [&[u8]; 12] = [
    b"path",
    b"domain",
    b"port",
    b"httponly",
    b"discard",
    b"max-age",
    b"expires",
    b"version",
    b"comment",
    b"commenturl",
    b"secure",
    b"samesite",
];
const COPIED_TO_TWIN: &[&[u8]] = COPIED.split_at(COPIED.len() - 2).0;

#[derive(Debug)]
pub(super) struct ElbCookie {
    life: Life,
    seal: Seal,
    places: Places,
}

/// When the cookie is set, and how long it lives.
#[derive(Debug)]
enum Life {
    /// With each choice, for so long; else as long as the browser runs.
    Own(Option<Duration>),
    /// With, and as long as, the application's cookie of this name.
    Of(CookieName),
}

impl ElbCookie {
    /// `None` for what no cookie is needed for.
    pub(super) fn new(
        by: &StickyBy,
        group: &GroupName,
        port: Option<u16>,
        keys: &CookieKeys,
        members: &Arc<[Member]>,
    ) -> Option<Self> {
        let (life, kind) = match by {
            StickyBy::LbCookie { duration, .. } => (Life::Own(*duration), SealedKind::LbCookie),
            StickyBy::AppCookie { name } => (Life::Of(name.clone()), SealedKind::AppCookie),
            StickyBy::SourceIp => return None,
        };
        Some(Self { life, seal: Seal::on_port(keys, group, kind, port), places: Places::new(members) })
    }

    /// Writes what follows the value, if the answer is one that a cookie goes with.
    fn attributes(&self, answer: &Answer<'_>) -> Option<Vec<u8>> {
        let mut attributes = Vec::new();
        match &self.life {
            Life::Own(duration) => {
                if !matches!(answer.decided, Sticky::Fresh | Sticky::Repicked(_)) {
                    return None;
                }
                attributes.extend_from_slice(b";PATH=/");
                if let Some(duration) = duration {
                    // Writing to a vector does not fail.
                    let _ = write!(attributes, ";MAX-AGE={}", duration.as_secs());
                }
            }
            // One that deletes the application's cookie deletes this one with it.
            Life::Of(name) => write_copied(&mut attributes, &set_by(answer, name)?, &COPIED),
        }
        Some(attributes)
    }
}

impl Affinity for ElbCookie {
    fn recognise(&self, request: &Request<'_>, seen: &mut Seen) {
        seen.open(request, ELB_COOKIE_NAME, &self.seal);
        if seen.claims().next().is_none() {
            // From another site only the twin comes.
            seen.open(request, ELB_TWIN_NAME, &self.seal);
        }
        if let Life::Of(name) = &self.life {
            seen.has_application = request.head.cookies(request.bytes, name.as_str()).next().is_some();
            if !seen.has_application {
                seen.drop_claims();
            }
        }
    }

    fn target(&self, claim: Claim, nth: usize) -> Option<&Member> {
        self.places.of(claim, nth)
    }

    fn bind(&self, answer: &Answer<'_>, out: &mut Vec<u8>) {
        let Some(attributes) = self.attributes(answer) else { return };
        let binding = Binding { target: answer.backend.fingerprint, session: answer.random, until_unix_s: None };
        let Some(value) = self.seal.seal(&binding) else { return };
        for part in [ELB_COOKIE_NAME.as_bytes(), b"=", &value, &attributes] {
            out.extend_from_slice(part);
        }
    }

    fn twin(&self, bound: &[u8], out: &mut Vec<u8>) {
        let pair = bound.split(|byte| *byte == b';').next().unwrap_or_default();
        let Some(value) = pair.strip_prefix(ELB_COOKIE_NAME.as_bytes()) else { return };
        out.extend_from_slice(ELB_TWIN_NAME.as_bytes());
        out.extend_from_slice(value);
        write_copied(out, &SetCookie::parse(bound), COPIED_TO_TWIN);
        out.extend_from_slice(b";SECURE;SAMESITE=None");
    }
}

/// The cookie of this name as an answer sets it: the last of them, if there are several.
fn set_by<'a>(answer: &Answer<'a>, name: &CookieName) -> Option<SetCookie<'a>> {
    let fields = answer.head.fields.iter().filter(|field| field.kind == FieldKind::SetCookie);
    let set = fields.map(|field| SetCookie::parse(field.value.of(answer.bytes)));
    let mut own = set.filter(|set| set.name == name.as_str().as_bytes());
    own.next_back()
}

/// Writes the attributes of these names, each behind `;`. An underscore in a path is written `%5F`.
fn write_copied(out: &mut Vec<u8>, set: &SetCookie<'_>, names: &[&[u8]]) {
    for attribute in set.attributes_of(names) {
        out.push(b';');
        let is_path = attribute.get(..4).is_some_and(|name| name.eq_ignore_ascii_case(b"path"));
        for byte in attribute {
            match byte {
                b'_' if is_path => out.extend_from_slice(b"%5F"),
                byte => out.push(*byte),
            }
        }
    }
}
