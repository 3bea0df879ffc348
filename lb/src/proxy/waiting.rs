//! Waiting for the next snapshot, because by the present one no target can take work, but one may soon.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Instant;

use super::deadline::Deadline;
use super::door::Front;
use super::local::Local;
use super::tether::Tether;
use crate::stream::Stream;

/// How waiting ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waited {
    /// With another snapshot.
    Changed,
    /// It took too long.
    TooLong,
    /// The client has left meanwhile.
    ClientLeft,
    /// The connection was cut meanwhile.
    Cut,
}

/// Returns at the next snapshot, at the latest when it is `until`.
pub(crate) async fn wait_for_snapshot<S: Stream>(
    local: &Local,
    tether: &Tether,
    deadline: &mut Deadline,
    client: &S,
    seen: &Rc<Front>,
    until: Instant,
) -> Waited {
    deadline.set(Some(until));
    let mut is_asked = false;
    poll_fn(|cx| {
        if !Rc::ptr_eq(&tether.door.front(), seen) {
            return Poll::Ready(Waited::Changed);
        }
        if !is_asked {
            is_asked = true;
            local.wait(cx.waker());
        }
        // Whether there is something to read does not matter, but a reset shall wake us.
        let _ = client.poll_readable(cx);
        if client.is_reset() {
            return Poll::Ready(Waited::ClientLeft);
        }
        if tether.is_cut() {
            return Poll::Ready(Waited::Cut);
        }
        deadline.poll(cx).map(|()| Waited::TooLong)
    })
    .await
}
