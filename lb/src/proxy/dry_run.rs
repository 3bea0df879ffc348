//! What would be chosen for a request now: the same code as for a real one, but nothing begins, no turn goes on, and
//! nothing is counted.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::error::Failure;
use super::hash_key;
use super::sticky::is_new;
use crate::affinity::{self, Followed, Seen, Sticky, Why};
use crate::balance::{Candidate, Pick, Trail};
use crate::explain::{Choice, Outcome};
use crate::http1::{HeadLimits, Parsed, RequestHead, parse_request};
use crate::model::Network;
use crate::state::{Backend, Pool};

/// How many choices shares are counted over.
pub const DRAWS: usize = 1_000;

/// A request that nobody sends.
#[derive(Debug)]
pub struct DryRequest<'a> {
    /// Its method.
    pub method: &'a str,
    /// Its path and query.
    pub path: &'a str,
    /// Its fields, each as `Name: value`.
    pub fields: &'a [String],
    /// The address of its peer.
    pub peer: IpAddr,
    /// The networks of proxies that are trusted to say where a request comes from.
    pub trusted_proxies: &'a [Network],
}

/// What would be chosen.
#[derive(Debug)]
pub struct DryRun {
    /// The choice, as the first worker would make it.
    pub choice: Choice,
    /// Which part of [`DRAWS`] such choices, made by all workers in turn, each target would have: the largest first.
    /// Empty where chance has no say.
    pub shares: Vec<(Arc<Backend>, f64)>,
}

/// The request cannot be one.
#[derive(Debug, thiserror::Error)]
#[error("no request can look like that: {0}")]
pub struct NoRequest(String);

impl DryRequest<'_> {
    /// What `pool` would choose for it, where `workers` serve.
    ///
    /// # Errors
    /// [`NoRequest`].
    pub fn run(&self, pool: &Arc<Pool>, workers: usize) -> Result<DryRun, NoRequest> {
        let bytes = self.head()?;
        let mut head = RequestHead::default();
        match parse_request(&bytes, &HeadLimits::default(), &mut head) {
            Ok(Parsed::Complete) if head.head_len == bytes.len() => {}
            Ok(_) => return Err(NoRequest("it does not end where it should".to_owned())),
            Err(refusal) => return Err(NoRequest(refusal.to_string())),
        }
        let mut trail = Trail::dry();
        let decided = match self.follow(pool, &head, &bytes) {
            Followed::Taken { in_flight: backend, address, decided, .. } => {
                let choice = Choice::of(pool, Duration::ZERO, decided, &trail, Some((backend, address)));
                return Ok(DryRun { choice, shares: Vec::new() });
            }
            Followed::Refused(why) => {
                let failure = if why == Why::Full { Failure::BoundToFull } else { Failure::BoundElsewhere };
                return Ok(nobody(pool, Sticky::Refused(why), &trail, failure));
            }
            Followed::Awaited => return Ok(nobody(pool, Sticky::None, &trail, Failure::Awaited)),
            Followed::Free(decided) => decided,
        };
        let hash = pool.hash_key();
        let hash = hash.and_then(|key| hash_key::hash(key, self.peer, self.trusted_proxies, &head, &bytes));
        let Some(chosen) = draw(pool, 0, hash, &mut trail) else {
            let failure = if pool.can_be_full() { full(pool) } else { Failure::NoTarget };
            return Ok(nobody(pool, decided, &trail, failure));
        };
        let target = (Arc::clone(&chosen.backend), chosen.address);
        let choice = Choice::of(pool, Duration::ZERO, decided, &trail, Some(target));
        Ok(DryRun { choice, shares: shares(pool, hash, workers) })
    }

    fn head(&self) -> Result<Vec<u8>, NoRequest> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.path);
        let names_host = |field: &String| field.get(..5).is_some_and(|name| name.eq_ignore_ascii_case("host:"));
        if !self.fields.iter().any(names_host) {
            head.push_str("Host: localhost\r\n");
        }
        for field in self.fields {
            head.push_str(field);
            head.push_str("\r\n");
        }
        head.push_str("\r\n");
        // Each part is a part of one line, so that none smuggles in another.
        let is_line = |text: &str| !text.contains(['\r', '\n']);
        let are_lines = is_line(self.method) && is_line(self.path) && self.fields.iter().all(|field| is_line(field));
        if are_lines { Ok(head.into_bytes()) } else { Err(NoRequest("a part of it ends its line".to_owned())) }
    }

    /// Where it goes as far as stickiness has a say.
    fn follow(&self, pool: &Pool, head: &RequestHead, bytes: &[u8]) -> Followed<Arc<Backend>> {
        let Some(affinity) = &pool.affinity else { return Followed::Free(Sticky::None) };
        let source = hash_key::source(self.peer, self.trusted_proxies, head, bytes);
        let mut seen = Seen::default();
        let now = SystemTime::now();
        affinity.recognise(&affinity::Request { head, bytes, source, now }, &mut seen);
        affinity::follow_with(pool, &**affinity, &seen, &[], is_new(pool, now), |backend, connections_max| {
            backend.would_begin_sticky(connections_max).then(|| Arc::clone(backend))
        })
    }
}

fn draw<'a>(pool: &'a Pool, worker: usize, hash: Option<u64>, trail: &mut Trail) -> Option<&'a Candidate> {
    let connections_max = pool.group.connections_max;
    let pick = Pick { worker, random: rand::random(), tried: &[], connections_max, now: Instant::now(), hash };
    pool.balancer.pick_watched(&pick, trail)
}

/// Which part of many choices each target would have.
fn shares(pool: &Pool, hash: Option<u64>, workers: usize) -> Vec<(Arc<Backend>, f64)> {
    let mut counts: HashMap<_, (&Arc<Backend>, usize)> = HashMap::new();
    let mut trail = Trail::dry();
    for number in 0..DRAWS {
        trail.clear();
        if let Some(candidate) = draw(pool, number % workers.max(1), hash, &mut trail) {
            counts.entry(candidate.backend.id).or_insert((&candidate.backend, 0)).1 += 1;
        }
    }
    let mut shares: Vec<_> = counts.into_values().collect();
    shares.sort_by(|(one, more), (other, less)| less.cmp(more).then_with(|| one.target.cmp(&other.target)));
    shares.into_iter().map(|(backend, count)| (Arc::clone(backend), count as f64 / DRAWS as f64)).collect()
}

/// What a request comes to while every target is full.
fn full(pool: &Pool) -> Failure {
    let length_max = pool.group.surge_queue_max;
    if length_max > 0 && pool.surge.length() >= length_max { Failure::QueueFull } else { Failure::AllFull }
}

/// Nobody could be chosen.
fn nobody(pool: &Arc<Pool>, decided: Sticky, trail: &Trail, failure: Failure) -> DryRun {
    let group = &pool.group;
    let waits = failure == Failure::Awaited || (failure == Failure::NoTarget && pool.waiting);
    let failure = match failure {
        _ if waits => format!("{failure}: it would wait for up to {:?}", group.initial_wait),
        Failure::AllFull if group.surge_queue_max > 0 => {
            format!("{failure}: it would wait for up to {:?}, behind {}", group.response_timeout, pool.surge.length())
        }
        _ => failure.to_string(),
    };
    let mut choice = Choice::of(pool, Duration::ZERO, decided, trail, None);
    choice.outcome = Outcome::Failed(failure.into());
    DryRun { choice, shares: Vec::new() }
}
