//! Idle connections to targets that belong to one client, because what was said at their beginning is about that client
//! alone. They go with the client's connection.

use std::net::SocketAddr;
use std::time::Instant;

use super::Link;
use super::idle::takes_work;
use crate::model::TargetGroup;
use crate::state::{Backend, Pool};

/// A client has one request in flight, so it needs more than one connection only where its requests go to several
/// targets; of very many, old ones are closed.
const LINKS_MAX: usize = 8;

/// Idle connections of one client, the last used at the end.
#[derive(Debug, Default)]
pub(crate) struct OwnConnections {
    idle: Vec<(Link, Instant)>,
}

impl OwnConnections {
    /// A connection to a backend at an address that nothing speaks against. What is too old is closed.
    pub(crate) fn take(
        &mut self,
        pool: &Pool,
        backend: &Backend,
        address: SocketAddr,
        now: Instant,
        thoroughly: bool,
    ) -> Option<Link> {
        self.idle.retain(|(link, expires_at)| *expires_at > now && takes_work(link));
        let fits = |(link, _): &(Link, Instant)| {
            link.backend.id == backend.id && link.address == address && link.is_as_in(pool)
        };
        let (mut link, _) = self.idle.remove(self.idle.iter().rposition(fits)?);
        link.stream.is_silent(thoroughly).then_some(link)
    }

    /// Keeps a connection for the client's next request, as long as the group allows.
    pub(crate) fn keep(&mut self, mut link: Link, group: &TargetGroup, now: Instant) {
        if group.idle_connections_max == 0 || !takes_work(&link) {
            return;
        }
        link.is_used = true;
        if self.idle.len() == LINKS_MAX {
            self.idle.remove(0);
        }
        self.idle.push((link, now + group.keepalive_timeout));
    }
}
