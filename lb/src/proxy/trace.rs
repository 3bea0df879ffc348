//! What is noted of a request for those who ask why it went where it went: nothing, where it is not remembered.
//!
//! Not here: what is remembered, and for how long (`explain`).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::account::Account;
use super::client::Client;
use super::desk::Desk;
use super::door::Front;
use super::error::Failure;
use crate::balance::Trail;
use crate::explain::{Choice, Draft, Outcome, Start};
use crate::state::{Backend, Pool};

/// What is noted of a request that is remembered.
pub(super) struct Trace {
    draft: Draft,
    /// When its first byte came.
    began_at: Instant,
    /// When the latest choice was made.
    chose_at: Instant,
}

impl Trace {
    /// Begins to remember a request, unless there are too many.
    pub(super) fn begin<S>(client: &Client<S>, desk: &Desk, front: &Front, is_understood: bool) -> Option<Self> {
        let (request, bytes) = (&desk.request, desk.up.buffer.whole());
        let understood = |text| if is_understood { text } else { &[][..] };
        let draft = client.local.recorder.begin(&Start {
            id: desk.request_id.bytes(bytes),
            began_at: client.began_at,
            client: client.arrival.source,
            listener: &front.frontend.listener,
            method: understood(request.method_name.of(bytes)),
            path: understood(request.target.of(bytes)),
        })?;
        Some(Self { draft, began_at: client.began_at, chose_at: client.began_at })
    }

    /// Notes a choice.
    pub(super) fn chose(
        &mut self,
        pool: &Arc<Pool>,
        desk: &Desk,
        trail: &Trail,
        target: Option<(Arc<Backend>, SocketAddr)>,
    ) {
        self.chose_at = Instant::now();
        let at = self.chose_at.saturating_duration_since(self.began_at);
        let choice = Choice::of(pool, at, desk.bond.decided, trail, target);
        self.draft.note(|record| record.choose(choice));
    }

    /// Notes how long the latest choice had to be waited for in line.
    pub(super) fn waited(&self, waited: Duration) {
        self.draft.note(|record| {
            if let Some(choice) = record.choices.last_mut() {
                choice.waited = Some(waited);
            }
        });
    }

    /// Notes what came of the latest choice.
    pub(super) fn came_to(&self, outcome: Result<u16, Failure>, connect: Option<Duration>) {
        let took = self.chose_at.elapsed();
        self.draft.note(|record| {
            if let Some(choice) = record.choices.last_mut() {
                choice.outcome = match outcome {
                    Ok(status) => Outcome::Answered(status),
                    Err(failure) => Outcome::Failed(failure.to_string().into()),
                };
                (choice.took, choice.connect) = (took, connect.filter(|_| choice.target.is_some()));
            }
        });
    }

    /// Notes what went wrong in the end.
    pub(super) fn failed(&self, failure: Failure) {
        self.draft.note(|record| record.failure = Some(failure.to_string().into()));
    }

    /// Notes how it ended.
    pub(super) fn end(self, account: &Account, duration: Duration) {
        self.draft.note(|record| {
            (record.status, record.end, record.duration) = (account.status, Some(account.end), duration);
        });
    }
}
