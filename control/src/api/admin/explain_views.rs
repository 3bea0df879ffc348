//! What is shown of a remembered request and of a dry run: each choice with everyone it was among.
//!
//! Not here: how it is asked for ([`super::explain`]).

use std::time::Duration;

use lb::affinity::Sticky;
use lb::explain::{Choice, Outcome, Record, passed_over};
use lb::model::ListenerName;
use lb::proxy::DryRun;
use utoipa::ToSchema;

use super::views::rfc3339;
use crate::schema;

/// How many targets that were not compared are shown for each choice.
const OTHERS_MAX: usize = 100;
/// How many targets' shares are shown.
const SHARES_MAX: usize = 20;

/// A request that is remembered.
#[derive(Debug, serde::Serialize, ToSchema)]
#[schema(as = ExplainedRequest)]
pub(super) struct RequestView {
    /// Its `X-Request-Id`.
    request_id: String,
    /// When its first byte came.
    #[schema(format = DateTime)]
    time: String,
    /// The worker that served it.
    worker: usize,
    /// The listener that took it.
    listener: String,
    /// The address of its client.
    client: String,
    /// Its method; empty when its head was not understood.
    method: String,
    /// Its path and query, up to 256 bytes of it.
    path: String,
    /// How many targets were tried.
    attempts: usize,
    /// The status of the answer, once it has ended; absent also when its client left before there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    /// How it ended, as in the access log; `in_flight`: it has not.
    end: &'static str,
    /// What went wrong in the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<String>,
    /// From its first byte to the last of the answer, in milliseconds; 0 while it is in flight.
    duration_ms: f64,
    /// Every choice that was made for it, in order; the last is without a target where none could be had.
    choices: Vec<ChoiceView>,
}

/// A choice among targets, and what came of it.
#[derive(Debug, serde::Serialize, ToSchema)]
#[schema(as = Choice)]
pub(super) struct ChoiceView {
    /// How long after the first byte of the request it was made, in milliseconds.
    at_ms: f64,
    /// The target group.
    target_group: String,
    /// How a target is chosen.
    algorithm: String,
    /// Whether unhealthy targets were used because none was healthy.
    failed_open: bool,
    /// What stickiness decided; absent: the group has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    sticky: Option<StickyView>,
    /// Who was chosen; absent: nobody could be.
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    /// The address of that target.
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    /// What came of it: `answered`, `failed`, or `pending`.
    outcome: &'static str,
    /// The status of the target's answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<String>,
    /// How long it waited in line for room because every target was full, in milliseconds; absent: not at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    waited_ms: Option<f64>,
    /// How long connecting took, in milliseconds; absent: a kept connection was used, or none could be made.
    #[serde(skip_serializing_if = "Option::is_none")]
    connect_ms: Option<f64>,
    /// How long after the choice its outcome was known, in milliseconds.
    took_ms: f64,
    /// Whom the algorithm looked at, and how each came out: who was chosen first.
    considered: Vec<ConsideredView>,
    /// How many more it looked at.
    considered_beyond: usize,
    /// The other targets and what spoke against each; absent: how they were then is not remembered any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    others: Option<Vec<OtherView>>,
    /// How many other targets there are beside those shown.
    others_beyond: usize,
}

/// What stickiness decided.
#[derive(Debug, serde::Serialize, ToSchema)]
#[schema(as = StickyDecision)]
pub(super) struct StickyView {
    /// `bound` (it goes where it is bound to), `fresh` (it was not bound), `repicked` (what it was bound to does not
    /// hold) or `refused` (its target cannot take it, and another one is not allowed).
    decision: &'static str,
    /// Why it did not go where it says that it is bound to.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

/// A target that was looked at.
#[derive(Debug, serde::Serialize, ToSchema)]
#[schema(as = Considered)]
pub(super) struct ConsideredView {
    /// The target.
    target: String,
    /// How it came out, in words.
    score: String,
}

/// A target that was not looked at.
#[derive(Debug, serde::Serialize, ToSchema)]
#[schema(as = PassedOver)]
pub(super) struct OtherView {
    /// The target.
    target: String,
    /// The state it was in.
    state: &'static str,
    /// Why it was in that state.
    reason: String,
    /// Why it was passed over.
    why: String,
}

/// What would be chosen now.
#[derive(Debug, serde::Serialize, ToSchema)]
#[schema(as = DryRun)]
pub(super) struct DryRunView {
    /// The listener it was asked for, if one was.
    #[serde(skip_serializing_if = "Option::is_none")]
    listener: Option<String>,
    /// The choice, as the first worker would make it now.
    choice: ChoiceView,
    /// The targets with the largest shares of 1,000 such choices, made by all workers in turn. Empty where the client is
    /// bound or nobody could be chosen.
    shares: Vec<ShareView>,
}

/// The share of a target.
#[derive(Debug, serde::Serialize, ToSchema)]
#[schema(as = Share)]
pub(super) struct ShareView {
    /// The target.
    target: String,
    /// Its part of the choices, up to 1.
    share: f64,
}

impl RequestView {
    pub(super) fn of(record: &Record) -> Self {
        let choice = |(index, choice)| ChoiceView::of(choice, &record.choices[..index]);
        Self {
            request_id: String::from_utf8_lossy(&record.id).into_owned(),
            time: rfc3339(record.time),
            worker: record.worker,
            listener: record.listener.name.to_string(),
            client: record.client.to_string(),
            method: String::from_utf8_lossy(&record.method).into_owned(),
            path: String::from_utf8_lossy(&record.path).into_owned(),
            attempts: record.choices.iter().filter(|choice| choice.target.is_some()).count(),
            status: record.status,
            end: record.end.map_or("in_flight", |end| end.as_str()),
            failure: record.failure.as_deref().map(str::to_owned),
            duration_ms: milliseconds(record.duration),
            choices: record.choices.iter().enumerate().map(choice).collect(),
        }
    }
}

impl ChoiceView {
    /// A choice, after those that were made for the same request before.
    fn of(choice: &Choice, earlier: &[Choice]) -> Self {
        let (outcome, status, failure) = match &choice.outcome {
            Outcome::Pending => ("pending", None, None),
            Outcome::Answered(status) => ("answered", Some(*status), None),
            Outcome::Failed(failure) => ("failed", None, Some(failure.to_string())),
        };
        let (others, others_beyond) = others(choice, earlier).map_or((None, 0), |(shown, more)| (Some(shown), more));
        let considered = choice.considered.iter().map(|considered| ConsideredView {
            target: considered.backend.target.to_string(),
            score: considered.came_out.to_string(),
        });
        Self {
            at_ms: milliseconds(choice.at),
            target_group: choice.target_group.to_string(),
            algorithm: schema::algorithm_word(choice.algorithm),
            failed_open: choice.failed_open,
            sticky: StickyView::of(choice.sticky),
            target: choice.target.as_ref().map(|(backend, _)| backend.target.to_string()),
            address: choice.target.as_ref().map(|(_, address)| address.to_string()),
            outcome,
            status,
            failure,
            waited_ms: choice.waited.map(milliseconds),
            connect_ms: choice.connect.map(milliseconds),
            took_ms: milliseconds(choice.took),
            considered: considered.collect(),
            considered_beyond: choice.considered_beyond,
            others,
            others_beyond,
        }
    }
}

/// The first of those that were passed over, and how many more there are; nothing, where that is forgotten.
fn others(choice: &Choice, earlier: &[Choice]) -> Option<(Vec<OtherView>, usize)> {
    let pool = choice.pool.upgrade()?;
    let mut passed = passed_over(&pool, choice, earlier);
    let shown = passed.by_ref().take(OTHERS_MAX).map(|(member, why)| OtherView {
        target: member.backend.target.to_string(),
        state: member.state.as_str(),
        reason: member.reason.to_string(),
        why: why.to_string(),
    });
    let shown = shown.collect();
    Some((shown, passed.count()))
}

impl StickyView {
    fn of(sticky: Sticky) -> Option<Self> {
        let (decision, why) = match sticky {
            Sticky::None => return None,
            Sticky::Bound => ("bound", None),
            Sticky::Fresh => ("fresh", None),
            Sticky::Repicked(why) => ("repicked", Some(why)),
            Sticky::Refused(why) => ("refused", Some(why)),
        };
        Some(Self { decision, why: why.map(|why| why.to_string()) })
    }
}

impl DryRunView {
    pub(super) fn of(run: &DryRun, listener: Option<&ListenerName>) -> Self {
        let share = |(backend, share): &(std::sync::Arc<lb::state::Backend>, f64)| ShareView {
            target: backend.target.to_string(),
            share: *share,
        };
        Self {
            listener: listener.map(ToString::to_string),
            choice: ChoiceView::of(&run.choice, &[]),
            shares: run.shares.iter().take(SHARES_MAX).map(share).collect(),
        }
    }
}

/// In milliseconds, to the microsecond.
fn milliseconds(time: Duration) -> f64 {
    time.as_micros() as f64 / 1e3
}
