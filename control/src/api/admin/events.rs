//! `/v1/events`: every change of state as it happens, with what, when and why, as server-sent events.
//!
//! A reader that cannot keep up loses events and is told how many; it never holds anybody up.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event as Sent, KeepAlive, Sse};
use futures_util::Stream;
use futures_util::stream::unfold;
use lb::state::{Event, EventKind, TargetState};
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::broadcast::{self, error::RecvError};
use utoipa::ToSchema;

use super::problem::{Kind, Problem};
use super::views::rfc3339;
use super::{Api, EVENT_STREAMS_MAX, Stopping};

/// A comment is sent after this much silence, so that whoever sits between does not take the stream for dead.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// One event's `data`. The event's name is `target`, `fail_open`, `certificate`, `discovery`, `config` or `lagged`.
#[derive(Debug, serde::Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum EventView {
    /// `target`: a target entered a state or left.
    Target {
        /// When.
        #[schema(format = DateTime)]
        at: String,
        /// Its group.
        target_group: String,
        /// Its id.
        target: String,
        /// The state before; absent for a new one.
        #[serde(skip_serializing_if = "Option::is_none")]
        from: Option<&'static str>,
        /// The state now; absent when it has left.
        #[serde(skip_serializing_if = "Option::is_none")]
        to: Option<&'static str>,
        /// Why, in one sentence.
        reason: String,
    },
    /// `fail_open`: a group began or ceased to use unhealthy targets because none is healthy.
    FailOpen {
        /// When.
        #[schema(format = DateTime)]
        at: String,
        /// The group.
        target_group: String,
        /// Whether it does so now.
        active: bool,
    },
    /// `certificate`: an authority has issued one, or an attempt at that has led to nothing.
    Certificate {
        /// When.
        #[schema(format = DateTime)]
        at: String,
        /// Which.
        certificate: String,
        /// `issued` or `failed`.
        result: &'static str,
        /// Why it has failed.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        /// When it is renewed, or tried again.
        #[schema(format = DateTime)]
        #[serde(skip_serializing_if = "Option::is_none")]
        next_at: Option<String>,
    },
    /// `discovery`: looking for a group's targets begins to fail or succeeds again, or so many are missing at once that
    /// they stay for a while.
    Discovery {
        /// When.
        #[schema(format = DateTime)]
        at: String,
        /// The group.
        target_group: String,
        /// How many targets the last answer showed.
        seen: usize,
        /// How many stay although it did not show them.
        held: usize,
        /// Why the last look failed, if it did. It changed nothing.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// `config`: another configuration holds.
    Config {
        /// When.
        #[schema(format = DateTime)]
        at: String,
        /// Its revision.
        revision: u64,
    },
    /// `lagged`: events were lost, because too many came at once or the reader was too slow. Read the state anew.
    Lagged {
        /// How many.
        missed: u64,
    },
}

/// Every change of state from now on, as server-sent events. The first line is a comment, sent once the stream is on.
#[utoipa::path(get, path = "/v1/events", operation_id = "follow_events", tag = "events", responses(
    (status = 200, description = "The stream; the data of each event is an `EventView`", body = String,
        content_type = "text/event-stream"),
    (status = 503, description = "Too many streams are open"),
))]
pub(super) async fn follow(
    State(api): State<Arc<Api>>,
) -> Result<Sse<impl Stream<Item = Result<Sent, Infallible>>>, Problem> {
    let place = Arc::clone(&api.event_streams).try_acquire_owned();
    let place = place
        .map_err(|_| Problem::new(Kind::Unavailable, format!("{EVENT_STREAMS_MAX} event streams are open already")))?;
    let reader =
        Reader { begun: false, events: api.context.live.events(), stopping: api.stopping.clone(), _place: place };
    let stream = unfold(reader, |mut reader| async move {
        let sent = reader.next().await?;
        Some((Ok(sent), reader))
    });
    Ok(Sse::new(stream).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

/// One open stream.
struct Reader {
    begun: bool,
    events: broadcast::Receiver<Event>,
    stopping: Stopping,
    _place: OwnedSemaphorePermit,
}

impl Reader {
    async fn next(&mut self) -> Option<Sent> {
        if !self.begun {
            self.begun = true;
            return Some(Sent::default().comment("every change from now on"));
        }
        let received = tokio::select! {
            received = self.events.recv() => received,
            () = self.stopping.begun() => return None,
        };
        match received {
            Ok(event) => Some(sent(&event)),
            Err(RecvError::Lagged(missed)) => Some(named("lagged", &EventView::Lagged { missed })),
            Err(RecvError::Closed) => None,
        }
    }
}

fn sent(event: &Event) -> Sent {
    let at = rfc3339(event.at);
    match &event.kind {
        EventKind::Target { group, target, from, to, reason } => {
            let view = EventView::Target {
                at,
                target_group: group.to_string(),
                target: target.to_string(),
                from: from.map(TargetState::as_str),
                to: to.map(TargetState::as_str),
                reason: reason.to_string(),
            };
            named("target", &view)
        }
        EventKind::FailOpen(group, active) => {
            named("fail_open", &EventView::FailOpen { at, target_group: group.to_string(), active: *active })
        }
        EventKind::Certificate { name, error, next_at } => {
            let view = EventView::Certificate {
                at,
                certificate: name.to_string(),
                result: if error.is_none() { "issued" } else { "failed" },
                reason: error.as_deref().map(str::to_owned),
                next_at: next_at.map(rfc3339),
            };
            named("certificate", &view)
        }
        EventKind::Discovery { group, seen, held, error } => {
            let view = EventView::Discovery {
                at,
                target_group: group.to_string(),
                seen: *seen,
                held: *held,
                reason: error.as_deref().map(str::to_owned),
            };
            named("discovery", &view)
        }
        EventKind::Config { revision } => named("config", &EventView::Config { at, revision: *revision }),
    }
}

fn named(name: &str, view: &EventView) -> Sent {
    // Plain data with string keys always serialises, to one line.
    Sent::default().event(name).data(serde_json::to_string(view).unwrap_or_default())
}
