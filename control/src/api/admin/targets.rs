//! `/v1/target-groups/{name}/targets`: who takes part, and how each is doing.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use lb::model::{Change, HeldTarget, ObjectRef, Origin, Rejected, Target};
use lb::state::{Snapshot, TargetState};

use super::Api;
use super::documented::{Body, IfMatch, IfNoneMatch, Write};
use super::extract::{Asked, GroupPath, JsonBody, OBJECT_BYTES_MAX, TargetPath, missing};
use super::problem::{Kind, Problem};
use super::tags::{precondition, tagged};
use super::views::{LeftView, TargetView, writable};
use super::wait::{self, Ended, WaitFor};
use crate::schema;
use crate::store::{Applied, Precondition, Refused};

/// Every target of a group, those that are leaving among them.
#[utoipa::path(get, path = "/v1/target-groups/{name}/targets", operation_id = "list_targets", tag = "targets",
    params(("name" = String, Path, description = "The group's name")),
    responses(
        (status = 200, description = "Each of them, by id", body = Vec<TargetView>, headers(("ETag" = String))),
        (status = 400, description = "That is no name"),
        (status = 404, description = "There is no such group"),
    )
)]
pub(super) async fn list(State(api): State<Arc<Api>>, path: GroupPath) -> Result<Response, Problem> {
    let snapshot = api.snapshot();
    let pool = snapshot.pool_of(&path.0).ok_or_else(|| missing(&path.object()))?;
    let views: Vec<_> = pool.members.iter().map(TargetView::of).collect();
    Ok(tagged(StatusCode::OK, snapshot.config.revision, &views))
}

/// One target.
#[utoipa::path(get, path = "/v1/target-groups/{name}/targets/{id}", operation_id = "get_target", tag = "targets",
    params(("name" = String, Path, description = "The group's name"), ("id" = String, Path, description = "Its id")),
    responses(
        (status = 200, description = "The target", body = TargetView, headers(("ETag" = String))),
        (status = 400, description = "That is no name or id"),
        (status = 404, description = "There is no such target"),
    )
)]
pub(super) async fn get(State(api): State<Arc<Api>>, path: TargetPath) -> Result<Response, Problem> {
    present(&api.snapshot(), &path, StatusCode::OK)
}

/// Registers a target or updates it. It takes traffic after its first passed check.
///
/// Of a target the file declares, only the weight can be changed here; that stands until the file's entry changes.
#[utoipa::path(put, path = "/v1/target-groups/{name}/targets/{id}", operation_id = "put_target", tag = "targets",
    params(
        ("name" = String, Path, description = "The group's name"),
        ("id" = String, Path, description = "Its id"),
        IfMatch,
        IfNoneMatch,
        WaitFor,
    ),
    request_body = schema::Target,
    responses(
        Body,
        Write,
        (status = 200, description = "It was registered, and is now so", body = TargetView, headers(("ETag" = String))),
        (status = 201, description = "It was registered", body = TargetView, headers(("ETag" = String))),
        (status = 400, description = "The body is not JSON, or a name, an id or the query is not legal"),
        (status = 404, description = "There is no such group"),
        (status = 409, description = "It belongs to another owner, or was deregistered during the wait"),
        (status = 504, description = "The wait ran out; it is registered, `target` is its present state"),
    )
)]
pub(super) async fn put(
    State(api): State<Arc<Api>>,
    path: TargetPath,
    Asked(wait): Asked<WaitFor>,
    headers: HeaderMap,
    JsonBody(body): JsonBody<OBJECT_BYTES_MAX>,
) -> Result<Response, Problem> {
    let patience = wait.patience("healthy")?;
    let target = schema::read_target(&path.id, &writable(body, TargetView::READ_ONLY))?;
    let asked = precondition(&headers, || path.object())?;
    let applied = register(&api, &path, target, asked).await?;
    if let Some(patience) = patience {
        wait_until_healthy(&api, &path, patience).await?;
    }
    let existed = applied.before.target(&path.group, &path.id).is_some();
    present(&api.snapshot(), &path, if existed { StatusCode::OK } else { StatusCode::CREATED })
}

/// Deregisters a target: no new work from now on; it leaves when nothing is in flight, or after the group's
/// `deregistration_delay`. Registering it again before that cancels it.
#[utoipa::path(delete, path = "/v1/target-groups/{name}/targets/{id}", operation_id = "delete_target", tag = "targets",
    params(
        ("name" = String, Path, description = "The group's name"),
        ("id" = String, Path, description = "Its id"),
        IfMatch,
        WaitFor,
    ),
    responses(
        Write,
        (status = 200, description = "It was waited for, and has left", body = LeftView),
        (status = 202, description = "It takes no new work any more, and leaves", body = TargetView),
        (status = 400, description = "A name, an id or the query is not legal"),
        (status = 404, description = "There is no such target"),
        (status = 409, description = "It belongs to another owner, or was registered again during the wait"),
        (status = 504, description = "The wait ran out; it is leaving, `target` is its present state"),
    )
)]
pub(super) async fn delete(
    State(api): State<Arc<Api>>,
    path: TargetPath,
    Asked(wait): Asked<WaitFor>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let patience = wait.patience("drained")?;
    let precondition = precondition(&headers, || path.object())?;
    let last = deregister(&api, &path, precondition).await?;
    if let Some(patience) = patience {
        wait_until_left(&api, &path, patience).await?;
        let left = LeftView { target_group: path.group.to_string(), id: path.id.to_string(), left: true };
        return Ok(axum::Json(left).into_response());
    }
    let snapshot = api.snapshot();
    let view = snapshot.member(&path.group, &path.id).map(TargetView::of);
    let view = view.unwrap_or_else(|| TargetView::gone(&last, SystemTime::now()));
    Ok((StatusCode::ACCEPTED, axum::Json(view)).into_response())
}

/// Gives a target of any owner no new work but what is sticky to it. Nothing is removed.
#[utoipa::path(post, path = "/v1/target-groups/{name}/targets/{id}/drain", operation_id = "drain_target",
    tag = "targets",
    params(
        ("name" = String, Path, description = "The group's name"),
        ("id" = String, Path, description = "Its id"),
        ("If-Match" = Option<String>, Header, description = "Only if this is the present ETag"),
    ),
    responses(
        (status = 200, description = "It drains", body = TargetView, headers(("ETag" = String))),
        (status = 400, description = "That is no name or id"),
        (status = 404, description = "There is no such target"),
        (status = 412, description = "The precondition does not hold"),
        (status = 503, description = "elbow is stopping"),
        (status = 504, description = "It stands, but not every worker has taken it up in time"),
    )
)]
pub(super) async fn drain(
    State(api): State<Arc<Api>>,
    path: TargetPath,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    set_draining(&api, &path, &headers, true).await
}

/// Lets a drained target take part again.
#[utoipa::path(post, path = "/v1/target-groups/{name}/targets/{id}/undrain", operation_id = "undrain_target",
    tag = "targets",
    params(
        ("name" = String, Path, description = "The group's name"),
        ("id" = String, Path, description = "Its id"),
        ("If-Match" = Option<String>, Header, description = "Only if this is the present ETag"),
    ),
    responses(
        (status = 200, description = "It takes part", body = TargetView, headers(("ETag" = String))),
        (status = 400, description = "That is no name or id"),
        (status = 404, description = "There is no such target"),
        (status = 412, description = "The precondition does not hold"),
        (status = 503, description = "elbow is stopping"),
        (status = 504, description = "It stands, but not every worker has taken it up in time"),
    )
)]
pub(super) async fn undrain(
    State(api): State<Arc<Api>>,
    path: TargetPath,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    set_draining(&api, &path, &headers, false).await
}

async fn set_draining(api: &Api, path: &TargetPath, headers: &HeaderMap, draining: bool) -> Result<Response, Problem> {
    let precondition = precondition(headers, || path.object())?;
    let change = Change::Drain(path.group.clone(), path.id.clone(), draining);
    api.context.store.apply(vec![change], precondition).await?;
    present(&api.snapshot(), path, StatusCode::OK)
}

/// Registers, or gives another owner's target another weight.
async fn register(api: &Api, path: &TargetPath, target: Target, asked: Precondition) -> Result<Applied, Problem> {
    let config = Arc::clone(&api.snapshot().config);
    let foreign = config.target(&path.group, &path.id).filter(|held| held.origin != Origin::Api);
    let declared = foreign.map(|held| &held.declared);
    let Some(declared) = declared.filter(|declared| differ_in_weight_only(declared, &target)) else {
        let change = Change::PutTarget(Origin::Api, path.group.clone(), target);
        return Ok(api.context.store.apply(vec![change], asked).await?);
    };
    let change = Change::Reweigh(path.group.clone(), path.id.clone(), target.weight);
    if asked != Precondition::None {
        return Ok(api.context.store.apply(vec![change], asked).await?);
    }
    // The new weight is meant for this entry; if its owner changes it at this moment, it is meant for nothing.
    let asked = Precondition::Declares(path.group.clone(), declared.clone());
    match api.context.store.apply(vec![change], asked).await {
        Err(Refused::Precondition { object, .. }) => {
            Err(Problem::new(Kind::Conflict, format!("{object} is being changed by its owner; nothing was changed")))
        }
        applied => Ok(applied?),
    }
}

fn differ_in_weight_only(declared: &Target, target: &Target) -> bool {
    Target { weight: target.weight, ..declared.clone() } == *target
}

/// Deregisters, and answers with the target as it last was. One that is leaving already goes on to do so.
async fn deregister(api: &Api, path: &TargetPath, precondition: Precondition) -> Result<Arc<HeldTarget>, Problem> {
    let change = Change::DeleteTarget(Origin::Api, path.group.clone(), path.id.clone());
    match api.context.store.apply(vec![change], precondition).await {
        Ok(applied) => {
            let held = applied.before.target(&path.group, &path.id);
            held.cloned().ok_or_else(|| missing(&path.object()))
        }
        Err(Refused::Rejected(Rejected::NotFound(object @ ObjectRef::Target(..)))) => {
            let snapshot = api.snapshot();
            let leaving = snapshot.member(&path.group, &path.id).filter(|member| member.leaves_at.is_some());
            leaving.map(|member| Arc::clone(&member.held)).ok_or_else(|| missing(&object))
        }
        Err(refused) => Err(refused.into()),
    }
}

async fn wait_until_healthy(api: &Api, path: &TargetPath, patience: Duration) -> Result<(), Problem> {
    let reached = |snapshot: &Snapshot| match snapshot.member(&path.group, &path.id) {
        Some(member) if member.leaves_at.is_none() => (member.state == TargetState::Healthy).then_some(Ok(())),
        _ => Some(Err(Problem::new(Kind::Conflict, format!("{} was deregistered meanwhile", path.object())))),
    };
    match wait::until(api, patience, reached).await {
        Ok(outcome) => outcome,
        Err(ended) => Err(not_reached(api, path, &ended, "is not healthy yet")),
    }
}

async fn wait_until_left(api: &Api, path: &TargetPath, patience: Duration) -> Result<(), Problem> {
    let reached = |snapshot: &Snapshot| {
        let pool = snapshot.pool_of(&path.group);
        let left = pool.is_none_or(|pool| pool.members_of(&path.id).iter().all(|member| member.leaves_at.is_none()));
        left.then(|| match snapshot.config.target(&path.group, &path.id) {
            None => Ok(()),
            Some(_) => Err(Problem::new(Kind::Conflict, format!("{} was registered again meanwhile", path.object()))),
        })
    };
    match wait::until(api, patience, reached).await {
        Ok(outcome) => outcome,
        Err(ended) => Err(not_reached(api, path, &ended, "has not left yet")),
    }
}

fn not_reached(api: &Api, path: &TargetPath, ended: &Ended, what: &str) -> Problem {
    match ended {
        Ended::Stopping => Problem::stopping(),
        Ended::RanOut => {
            let problem = Problem::new(Kind::RanOut, format!("{} {what}; the change stands", path.object()));
            match api.snapshot().member(&path.group, &path.id) {
                Some(member) => problem.with_target(TargetView::of(member)),
                None => problem,
            }
        }
    }
}

fn present(snapshot: &Snapshot, path: &TargetPath, status: StatusCode) -> Result<Response, Problem> {
    let member = snapshot.member(&path.group, &path.id).ok_or_else(|| missing(&path.object()))?;
    let view = TargetView::of(member);
    Ok(tagged(status, view.revision(), &view))
}
