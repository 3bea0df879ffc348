//! What a request shows of an earlier choice.

use super::{Fingerprint, Request, Seal};
use crate::http1::Span;

/// How many cookies of the name are looked into. A browser sends one, or two where it keeps them for different paths;
/// of more than that nobody needs to be decrypted.
pub const VALUES_TRIED_MAX: usize = 4;

/// What a request shows of an earlier choice, made once for a connection and filled again for each request.
#[derive(Debug, Default)]
pub struct Seen {
    claims: [Option<Claim>; VALUES_TRIED_MAX],
    /// Where the values of cookies stand that are genuine, whether or not they are claims.
    genuine: [Span; VALUES_TRIED_MAX],
    genuine_count: usize,
    /// Cookies of the name that do not bind: forged, foreign, or of yesterday.
    pub has_void: bool,
    /// Whether the request carries the application's cookie.
    pub has_application: bool,
}

/// What a client is bound by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// A cookie.
    Cookie {
        /// The target it means.
        target: Fingerprint,
        /// The client's.
        session: u64,
    },
    /// The hash of its address.
    Address(u64),
}

impl Claim {
    /// What tells the clients of a target apart.
    pub fn session(self) -> u64 {
        match self {
            Self::Cookie { session, .. } => session,
            Self::Address(hash) => hash,
        }
    }
}

impl Seen {
    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// The claims, in the order in which the request makes them.
    pub fn claims(&self) -> impl Iterator<Item = Claim> {
        self.claims.iter().flatten().copied()
    }

    /// Where the values of cookies of the name stand that an application may see.
    pub fn genuine(&self) -> &[Span] {
        &self.genuine[..self.genuine_count]
    }

    pub(super) fn claim(&mut self, claim: Claim) {
        if let Some(free) = self.claims.iter_mut().find(|claim| claim.is_none()) {
            *free = Some(claim);
        }
    }

    /// Notes what each cookie of this name binds to.
    pub(super) fn open(&mut self, request: &Request<'_>, name: &str, seal: &Seal) {
        let now_unix_s = unix_s(request.now);
        for (tried, value) in request.head.cookies(request.bytes, name).enumerate() {
            let binding = if tried < VALUES_TRIED_MAX { seal.open(value) } else { None };
            let binding = binding.filter(|binding| binding.until_unix_s.is_none_or(|until| now_unix_s < until));
            let Some(binding) = binding else {
                self.has_void = true;
                continue;
            };
            if let Some(free) = self.genuine.get_mut(self.genuine_count) {
                *free = Span::within(request.bytes, value);
                self.genuine_count += 1;
            }
            self.claim(Claim::Cookie { target: binding.target, session: binding.session });
        }
    }

    /// What is genuine binds nobody here.
    pub(super) fn drop_claims(&mut self) {
        self.claims = Default::default();
    }
}

/// Whole seconds since the Unix epoch.
pub(super) fn unix_s(time: std::time::SystemTime) -> u64 {
    time.duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
