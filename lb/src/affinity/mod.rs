//! Stickiness: what keeps a client at its target. The trait, and the one list of kinds. One file a kind.
//!
//! In reading order: an [`Affinity`] recognises what a request shows of an earlier choice ([`Seen`]) and knows which
//! target that means; [`follow()`] takes that target, if it may be taken, and says what it decided ([`Sticky`]); where an
//! answer makes a new binding, the affinity writes the cookie for it. Like a balancer it is built by `compile` and never
//! changes, and finding a target costs the same however many there are.
//! Not here: choosing a target for a client that has none (`balance`), whether a target is well (`state`).

mod app_cookie;
mod base64url;
mod elb_cookie;
mod fingerprint;
mod follow;
mod lb_cookie;
mod places;
mod sealing;
mod seen;
mod set_cookie;
mod source_ip;

use std::any::Any;
use std::fmt::Debug;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

pub use fingerprint::Fingerprint;
pub use follow::{Followed, Sticky, Why, follow, follow_with};
pub use sealing::{Binding, SEALED_BYTES, Seal, SealedKind};
pub use seen::{Claim, Seen, VALUES_TRIED_MAX};

use crate::http1::{RequestHead, ResponseHead};
use crate::model::{CookieKeys, CookieStyle, GroupName, Stickiness, StickyBy};
use crate::state::{Backend, Member};

/// A request, as far as stickiness looks at it.
#[derive(Debug)]
pub struct Request<'a> {
    /// Its head.
    pub head: &'a RequestHead,
    /// What the head's spans are of.
    pub bytes: &'a [u8],
    /// Where it comes from, as far as proxies in front are trusted to say.
    pub source: IpAddr,
    /// The time.
    pub now: SystemTime,
}

/// An answer of the target that was chosen, as far as stickiness looks at it.
#[derive(Debug)]
pub struct Answer<'a> {
    /// Its head.
    pub head: &'a ResponseHead,
    /// What the head's spans are of.
    pub bytes: &'a [u8],
    /// Who answers.
    pub backend: &'a Backend,
    /// What stickiness decided about the request.
    pub decided: Sticky,
    /// What the request showed.
    pub seen: &'a Seen,
    /// Whether the client reaches us over TLS.
    pub is_secure: bool,
    /// Fresh random bits, by which sessions are told apart.
    pub random: u64,
    /// The time.
    pub now: SystemTime,
}

/// A kind of stickiness, over the targets of one pool.
pub trait Affinity: Any + Debug + Send + Sync {
    /// Notes what a request shows of an earlier choice.
    fn recognise(&self, request: &Request<'_>, seen: &mut Seen);

    /// The registered target that a claim means; the `nth` after it, where a kind knows who comes next.
    fn target(&self, claim: Claim, nth: usize) -> Option<&Member>;

    /// The name of the cookie that carries claims, if one does: values of it that are none are not for applications.
    fn cookie_name(&self) -> Option<&str> {
        None
    }

    /// Writes the value of the `Set-Cookie` that is to go with an answer, if one is.
    fn bind(&self, _answer: &Answer<'_>, _out: &mut Vec<u8>) {}

    /// Writes the value of the other `Set-Cookie` that is to go with the `bound` one, if one is.
    fn twin(&self, _bound: &[u8], _out: &mut Vec<u8>) {}
}

/// Builds the affinity of a pool whose targets are used on this `port`, if not on their own: one arm a kind. What is dear
/// to make is taken over from the one `before`, if it is the same.
pub fn build(
    stickiness: &Stickiness,
    group: &GroupName,
    port: Option<u16>,
    keys: &CookieKeys,
    members: &Arc<[Member]>,
    before: Option<&dyn Affinity>,
) -> Box<dyn Affinity> {
    if stickiness.style == CookieStyle::Elb
        && let Some(affinity) = elb_cookie::ElbCookie::new(&stickiness.by, group, port, keys, members)
    {
        return Box::new(affinity);
    }
    match &stickiness.by {
        StickyBy::LbCookie { name, duration } => {
            Box::new(lb_cookie::LbCookie::new(name.clone(), *duration, group, keys, members))
        }
        StickyBy::AppCookie { name } => Box::new(app_cookie::AppCookie::new(name.clone(), group, keys, members)),
        StickyBy::SourceIp => Box::new(source_ip::SourceIp::new(members, before)),
    }
}
