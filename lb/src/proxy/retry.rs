//! Finding a target that answers: choosing one, and another after a failure, as far as the request may be repeated.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use super::account::Account;
use super::attempt::{Reached, attempt};
use super::client::Client;
use super::desk::Desk;
use super::door::Front;
use super::error::{Failure, Repeatable};
use super::metered::Metered;
use super::waiting::{InLine, Waited, Waiter};
use super::{hash_key, sticky};
use crate::affinity::Sticky;
use crate::balance::{self, Pick, Trail};
use crate::state::{BackendId, InFlight, Outcome, Pool};
use crate::stream::Stream;
use crate::telemetry::GroupCells;

/// Attempts a request may have in all.
const ATTEMPTS_MAX: usize = 3;

/// Sends the request until a target answers; returns when the head of its answer is on the desk.
pub(super) async fn reach<S: Stream>(
    client: &mut Client<S>,
    desk: &mut Desk,
    account: &mut Account,
) -> Result<Reached, Failure> {
    let (mut tried, mut in_line) = (Tried::default(), InLine::default());
    loop {
        let chosen = choose(client, desk, account, &tried, &mut in_line).await;
        let chosen = chosen.inspect_err(|failure| account.came_to(Err(*failure)))?;
        let is_at_once = tried.count == 0 && !in_line.has_stood();
        let began = if is_at_once { client.began_at } else { Instant::now() };
        account.tries(chosen.in_flight.backend(), chosen.address);
        tried.add(chosen.in_flight.backend().id);
        let front = Rc::clone(&chosen.front);
        let cells = group_cells(&front, client);
        match attempt(client, desk, account, chosen, tried.count > 1).await {
            Ok(reached) => {
                account.came_to(Ok(desk.response.status));
                if reached.link.backend.answered(began) {
                    client.local.observer.look();
                }
                if tried.count > 1 {
                    cells.retries_succeeded.add(1);
                }
                return Ok(reached);
            }
            Err(failure) => {
                account.came_to(Err(failure));
                let is_over_kept = is_over_kept(account, failure);
                if !is_over_kept {
                    learn(client, &front, failure, began);
                }
                client.tether.release();
                if failure.of_connection().is_some() {
                    cells.connection_errors.add(1);
                }
                let may_repeat =
                    may_repeat(failure, desk) && (is_over_kept || sticky::may_leave(&front.frontend.pool, desk));
                if !may_repeat || tried.count == ATTEMPTS_MAX || client.tether.is_cut() {
                    if tried.count > 1 {
                        cells.retries_failed.add(1);
                    }
                    return Err(failure);
                }
                if is_over_kept && desk.bond.decided == Sticky::Bound {
                    tried.forget_last();
                }
                desk.start_over(&client.local.shelf);
            }
        }
    }
}

fn group_cells<'a, S>(front: &'a Front, client: &Client<S>) -> &'a GroupCells {
    front.frontend.pool.metrics.workers.of(client.local.worker)
}

/// Whether a kept connection was closed. That is no failure of the target: the connection had been idle.
fn is_over_kept(account: &Account, failure: Failure) -> bool {
    account.connect.is_none() && matches!(failure, Failure::Unsent | Failure::Unanswered)
}

/// Tells the balancer of a failure of the target, and the target itself where it did not answer at all.
fn learn<S>(client: &Client<S>, front: &Front, failure: Failure, began: Instant) {
    if !failure.is_of_target() {
        return;
    }
    if let Some(backend) = client.tether.backend() {
        let (pool, now) = (&front.frontend.pool, Instant::now());
        pool.balancer.learn(&backend, Outcome::Failed, now.saturating_duration_since(began), now);
        let failures_max = pool.group.ejection.failures;
        if failure.of_connection().is_some_and(|how| backend.failed(how, began, failures_max)) {
            client.local.observer.look();
        }
    }
}

/// Whether the request may be sent once more after this.
fn may_repeat(failure: Failure, desk: &Desk) -> bool {
    let is_allowed = match failure.repeatable() {
        Repeatable::Always => true,
        Repeatable::IfIdempotent => desk.request.method.is_idempotent(),
        Repeatable::Never => false,
    };
    is_allowed && desk.up.can_repeat() && desk.down.written_bytes == 0
}

/// The target a request goes to.
pub(super) struct Chosen {
    pub(super) front: Rc<Front>,
    pub(super) in_flight: InFlight,
    pub(super) address: SocketAddr,
}

/// Targets that were tried.
#[derive(Default)]
struct Tried {
    ids: [Option<BackendId>; ATTEMPTS_MAX],
    count: usize,
}

impl Tried {
    fn add(&mut self, id: BackendId) {
        if let Some(slot) = self.ids.get_mut(self.count) {
            *slot = Some(id);
        }
        self.count += 1;
    }

    /// Lets the last one be tried again, although the attempt counts.
    fn forget_last(&mut self) {
        if let Some(slot) = self.ids.get_mut(self.count.wrapping_sub(1)) {
            *slot = None;
        }
    }
}

/// Chooses a target by the present snapshot. While none can take work but one may soon, waits for it; while all are
/// full, waits in line.
async fn choose<S: Stream>(
    client: &mut Client<S>,
    desk: &mut Desk,
    account: &mut Account,
    tried: &Tried,
    in_line: &mut InLine,
) -> Result<Chosen, Failure> {
    let mut waits_until: Option<Instant> = None;
    let mut is_patient = true;
    loop {
        let front = client.tether.door.front();
        let pool = &front.frontend.pool;
        let patience = Patience { is_patient, has_turn: in_line.has_turn(pool) };
        let failure = match pick_noted(&front, client, desk, account, tried, patience) {
            Ok(chosen) => {
                if let (Some(waited), Some(trace)) = (in_line.waited(), &account.trace) {
                    trace.waited(waited);
                }
                in_line.found_room(chosen.in_flight.backend());
                return Ok(chosen);
            }
            Err(failure) => failure,
        };
        let may_come = match failure {
            Failure::AllFull => {
                let waited = in_line.wait(waiter(client), &front, tried.count > 0).await;
                go_on_after(waited, Failure::WaitedInVain)?;
                continue;
            }
            Failure::NoTarget => pool.waiting,
            Failure::Awaited => true,
            _ => false,
        };
        in_line.leave();
        if !may_come {
            return Err(failure);
        }
        let until = *waits_until.get_or_insert_with(|| Instant::now() + pool.group.initial_wait);
        match waiter(client).wait_for_snapshot(&front, until).await {
            // It was in vain: who is bound to a target without a verdict may have another one now.
            Waited::TooLong if is_patient => is_patient = false,
            waited => go_on_after(waited, Failure::NoTarget)?,
        }
    }
}

/// What a request takes if it has to.
#[derive(Debug, Clone, Copy)]
struct Patience {
    /// Whether it waits for the first verdict on the target it is bound to.
    is_patient: bool,
    /// Whether it may look for room: those who wait in line have been there before, else.
    has_turn: bool,
}

fn waiter<S: Stream>(client: &mut Client<S>) -> Waiter<'_, Metered<S>> {
    let Client { tether, deadline, io, local, .. } = client;
    Waiter { client: io, tether, deadline, worker: local.worker }
}

fn go_on_after(waited: Waited, too_long: Failure) -> Result<(), Failure> {
    match waited {
        Waited::Changed | Waited::Called => Ok(()),
        Waited::TooLong => Err(too_long),
        Waited::QueueFull => Err(Failure::QueueFull),
        Waited::NoQueue => Err(Failure::AllFull),
        Waited::ClientLeft => Err(Failure::ClientLeft),
        Waited::Cut => Err(Failure::Cut),
    }
}

/// Picks a target, and notes how that came about where the request is remembered.
fn pick_noted<S>(
    front: &Rc<Front>,
    client: &Client<S>,
    desk: &mut Desk,
    account: &mut Account,
    tried: &Tried,
    patience: Patience,
) -> Result<Chosen, Failure> {
    let Some(trace) = &mut account.trace else { return pick(front, client, desk, tried, patience, None) };
    let mut trail = client.local.recorder.take_trail();
    let picked = pick(front, client, desk, tried, patience, Some(&mut trail));
    let target = picked.as_ref().ok().map(|chosen| (Arc::clone(chosen.in_flight.backend()), chosen.address));
    trace.chose(&front.frontend.pool, desk, &trail, target);
    client.local.recorder.put_trail(trail);
    picked
}

/// Picks a target and counts the request in there: the one it is bound to, or else one that was not tried, or else any,
/// unless another one may have room later.
fn pick<S>(
    front: &Rc<Front>,
    client: &Client<S>,
    desk: &mut Desk,
    tried: &Tried,
    patience: Patience,
    mut trail: Option<&mut Trail>,
) -> Result<Chosen, Failure> {
    let pool = &front.frontend.pool;
    let mut ids = [BackendId(0); ATTEMPTS_MAX];
    let known = tried.ids.iter().flatten().zip(&mut ids).map(|(id, slot)| *slot = *id).count();
    if let Some(chosen) = sticky::bound(front, client, desk, &ids[..known], patience.is_patient)? {
        return Ok(chosen);
    }
    if !patience.has_turn {
        return Err(Failure::AllFull);
    }
    let (peer, trusted) = (client.arrival.source.ip(), &front.frontend.listener.trusted_proxies);
    let hash = pool.hash_key();
    let hash = hash.and_then(|key| hash_key::hash(key, peer, trusted, &desk.request, desk.up.buffer.whole()));
    for tried in [&ids[..known], &[]] {
        if let Some((in_flight, address)) = pick_from(pool, client, hash, tried, trail.as_deref_mut()) {
            if pool.failed_open {
                pool.metrics.workers.of(client.local.worker).failed_open.add(1);
            }
            sticky::chose(desk, pool, in_flight.backend());
            return Ok(Chosen { front: Rc::clone(front), in_flight, address });
        }
        if known == 0 || pool.others_are_full(known) {
            break;
        }
    }
    Err(if pool.can_be_full() { Failure::AllFull } else { Failure::NoTarget })
}

fn pick_from<S>(
    pool: &Pool,
    client: &Client<S>,
    hash: Option<u64>,
    tried: &[BackendId],
    trail: Option<&mut Trail>,
) -> Option<(InFlight, SocketAddr)> {
    let pick = || Pick {
        worker: client.local.worker,
        random: client.local.random(),
        tried,
        connections_max: pool.group.connections_max,
        now: client.began_at,
        hash,
    };
    balance::take(&*pool.balancer, pick, trail)
}
