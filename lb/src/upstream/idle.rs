//! Idle connections of one worker to backends, the last used first: those at the bottom age and are closed.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::net::SocketAddr;
use std::time::Instant;

use super::Link;
use crate::model::TargetGroup;
use crate::state::{Admission, Backend, BackendId, Pool};

/// Idle connections, by backend.
#[derive(Debug)]
pub(crate) struct IdleConnections {
    by_backend: RefCell<HashMap<BackendId, VecDeque<Idle>, BuildHasherDefault<NumberHasher>>>,
    workers: usize,
}

#[derive(Debug)]
struct Idle {
    link: Link,
    expires_at: Instant,
}

impl IdleConnections {
    /// None yet, at one of `workers` workers.
    pub(crate) fn new(workers: usize) -> Self {
        Self { by_backend: RefCell::default(), workers: workers.max(1) }
    }

    /// A connection to a backend at an address that nothing speaks against: not too old, not closed by the target,
    /// and without bytes nobody asked for. `thoroughly` asks the kernel instead of trusting the events so far.
    pub(crate) fn take(
        &self,
        pool: &Pool,
        backend: &Backend,
        address: SocketAddr,
        now: Instant,
        thoroughly: bool,
    ) -> Option<Link> {
        let mut by_backend = self.by_backend.borrow_mut();
        let idle = by_backend.get_mut(&backend.id)?;
        loop {
            let Idle { mut link, expires_at } = idle.pop_back()?;
            let is_fit = link.address == address && expires_at > now && link.is_as_in(pool);
            if is_fit && link.stream.is_silent(thoroughly) {
                return Some(link);
            }
        }
    }

    /// Keeps a connection for the next request, as long as the group allows.
    pub(crate) fn keep(&self, mut link: Link, group: &TargetGroup, now: Instant) {
        if group.idle_connections_max == 0 || !takes_work(&link) {
            return;
        }
        link.is_used = true;
        let mut by_backend = self.by_backend.borrow_mut();
        let idle = by_backend.entry(link.backend.id).or_default();
        if idle.len() >= (group.idle_connections_max / self.workers).max(1) {
            idle.pop_front();
        }
        idle.push_back(Idle { link, expires_at: now + group.keepalive_timeout });
    }

    /// Closes what has been idle for too long.
    pub(crate) fn close_expired(&self, now: Instant) {
        self.by_backend.borrow_mut().retain(|_, idle| {
            while idle.front().is_some_and(|oldest| oldest.expires_at <= now) {
                idle.pop_front();
            }
            !idle.is_empty()
        });
    }

    /// Closes connections to backends that take no more work.
    pub(crate) fn close_departed(&self) {
        self.by_backend.borrow_mut().retain(|_, idle| idle.back().is_some_and(|idle| takes_work(&idle.link)));
    }

    /// Closes all.
    pub(crate) fn close_all(&self) {
        self.by_backend.borrow_mut().clear();
    }
}

/// Whether a connection may still be of use: its backend takes new work, be it only what is sticky to it.
pub(super) fn takes_work(link: &Link) -> bool {
    matches!(link.backend.admission(), Admission::All | Admission::Sticky)
}

/// Hashes numbers that we count up ourselves, so nobody can choose them to collide.
#[derive(Debug, Default)]
struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0 ^ number).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29);
    }
}
