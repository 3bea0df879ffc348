//! `/v1/target-groups`: how targets are reached, checked, chosen and let go. Their targets are [`super::targets`].

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use lb::model::{Change, Origin, Rejected};
use lb::state::Snapshot;

use super::Api;
use super::documented::{Body, IfMatch, IfNoneMatch, Name, Named, Write};
use super::extract::{GroupPath, JsonBody, OBJECT_BYTES_MAX, missing};
use super::problem::{Kind, Problem};
use super::tags::{precondition, tagged};
use super::views::{TargetGroupView, writable};
use crate::certificates::fill_group;
use crate::schema;
use crate::store::Refused;

/// Every target group.
#[utoipa::path(get, path = "/v1/target-groups", operation_id = "list_target_groups", tag = "target groups", responses(
    (status = 200, description = "Each of them, by name", body = Vec<TargetGroupView>, headers(("ETag" = String))),
))]
pub(super) async fn list(State(api): State<Arc<Api>>) -> Response {
    let snapshot = api.snapshot();
    let groups = snapshot.config.groups.values();
    let views: Vec<_> = groups.map(|group| TargetGroupView::of(&group.settings)).collect();
    tagged(StatusCode::OK, snapshot.config.revision, &views)
}

/// One target group.
#[utoipa::path(get, path = "/v1/target-groups/{name}", operation_id = "get_target_group", tag = "target groups",
    params(Name),
    responses(
        Named,
        (status = 200, description = "The group", body = TargetGroupView, headers(("ETag" = String))),
    )
)]
pub(super) async fn get(State(api): State<Arc<Api>>, path: GroupPath) -> Result<Response, Problem> {
    present(&api.snapshot(), &path, StatusCode::OK)
}

/// Creates a target group or replaces it. Its targets are never touched.
#[utoipa::path(put, path = "/v1/target-groups/{name}", operation_id = "put_target_group", tag = "target groups",
    params(Name, IfMatch, IfNoneMatch),
    request_body = schema::TargetGroup,
    responses(
        Body,
        Write,
        (status = 200, description = "It was there, and is now so", body = TargetGroupView, headers(("ETag" = String))),
        (status = 201, description = "It was created", body = TargetGroupView, headers(("ETag" = String))),
        (status = 409, description = "It belongs to another owner, or its certificate is missing"),
    )
)]
pub(super) async fn put(
    State(api): State<Arc<Api>>,
    path: GroupPath,
    headers: HeaderMap,
    JsonBody(body): JsonBody<OBJECT_BYTES_MAX>,
) -> Result<Response, Problem> {
    let mut group = schema::read_target_group(&path.0, &writable(body, TargetGroupView::READ_ONLY))?;
    let filled = tokio::task::spawn_blocking(move || fill_group(&mut group).map(|()| group)).await;
    let group = filled.map_err(|_| Problem::stopping())?;
    let group = group.map_err(|wrong| Problem::new(Kind::Invalid, wrong.to_string()).at("/tls_ca"))?;
    let precondition = precondition(&headers, || path.object())?;
    let applied = api.context.store.apply(vec![Change::PutTargetGroup(Origin::Api, group)], precondition).await;
    let applied = applied.map_err(refused)?;
    let existed = applied.before.groups.contains_key(&path.0);
    present(&api.snapshot(), &path, if existed { StatusCode::OK } else { StatusCode::CREATED })
}

/// Removes a target group that no listener forwards to, with the targets the API registered in it.
#[utoipa::path(delete, path = "/v1/target-groups/{name}", operation_id = "delete_target_group", tag = "target groups",
    params(Name, IfMatch),
    responses(
        Named,
        Write,
        (status = 204, description = "It is gone"),
        (status = 409, description = "It belongs to another owner, or something still needs it"),
    )
)]
pub(super) async fn delete(
    State(api): State<Arc<Api>>,
    path: GroupPath,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let precondition = precondition(&headers, || path.object())?;
    api.context.store.apply(vec![Change::DeleteTargetGroup(Origin::Api, path.0)], precondition).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A refusal, with its place where it has one.
fn refused(refused: Refused) -> Problem {
    let at = match &refused {
        Refused::Rejected(Rejected::DanglingCertificate { .. }) => Some("/tls_certificate"),
        _ => None,
    };
    let problem = Problem::from(refused);
    at.into_iter().fold(problem, Problem::at)
}

fn present(snapshot: &Snapshot, path: &GroupPath, status: StatusCode) -> Result<Response, Problem> {
    let group = snapshot.config.groups.get(&path.0).ok_or_else(|| missing(&path.object()))?;
    Ok(tagged(status, group.settings.revision, &TargetGroupView::of(&group.settings)))
}
