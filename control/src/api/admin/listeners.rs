//! `/v1/listeners`: where clients connect.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use lb::model::{Change, ListenerName, Origin, Rejected};
use lb::state::Snapshot;

use super::Api;
use super::documented::{Body, IfMatch, IfNoneMatch, Name, Named, Write};
use super::extract::{JsonBody, ListenerPath, OBJECT_BYTES_MAX, missing};
use super::problem::{Kind, Problem};
use super::tags::{precondition, tagged};
use super::views::{ListenerView, writable};
use crate::certificates::fill_listener;
use crate::schema;
use crate::store::Refused;

/// Every listener.
#[utoipa::path(get, path = "/v1/listeners", operation_id = "list_listeners", tag = "listeners", responses(
    (status = 200, description = "Each of them, by name", body = Vec<ListenerView>, headers(("ETag" = String))),
))]
pub(super) async fn list(State(api): State<Arc<Api>>) -> Response {
    let snapshot = api.snapshot();
    let views: Vec<_> = snapshot.config.listeners.keys().filter_map(|name| view(&snapshot, name)).collect();
    tagged(StatusCode::OK, snapshot.config.revision, &views)
}

/// One listener.
#[utoipa::path(get, path = "/v1/listeners/{name}", operation_id = "get_listener", tag = "listeners",
    params(Name),
    responses(
        Named,
        (status = 200, description = "The listener", body = ListenerView, headers(("ETag" = String))),
    )
)]
pub(super) async fn get(State(api): State<Arc<Api>>, path: ListenerPath) -> Result<Response, Problem> {
    present(&api.snapshot(), &path, StatusCode::OK)
}

/// Creates a listener or replaces it. Its socket is bound before anything changes.
#[utoipa::path(put, path = "/v1/listeners/{name}", operation_id = "put_listener", tag = "listeners",
    params(Name, IfMatch, IfNoneMatch),
    request_body = schema::Listener,
    responses(
        Body,
        Write,
        (status = 200, description = "It was there, and is now so", body = ListenerView, headers(("ETag" = String))),
        (status = 201, description = "It was created", body = ListenerView, headers(("ETag" = String))),
        (status = 409, description = "It belongs to another owner, its address cannot be had, or its group or a certificate is missing"),
    )
)]
pub(super) async fn put(
    State(api): State<Arc<Api>>,
    path: ListenerPath,
    headers: HeaderMap,
    JsonBody(body): JsonBody<OBJECT_BYTES_MAX>,
) -> Result<Response, Problem> {
    let mut listener = schema::read_listener(&path.0, &writable(body, ListenerView::READ_ONLY))?;
    let filled = tokio::task::spawn_blocking(move || fill_listener(&mut listener).map(|()| listener)).await;
    let listener = filled.map_err(|_| Problem::stopping())?;
    let listener = listener.map_err(|wrong| Problem::new(Kind::Invalid, wrong.to_string()).at("/client_ca"))?;
    let precondition = precondition(&headers, || path.object())?;
    let change = Change::PutListener(Origin::Api, listener);
    let applied = api.context.store.apply(vec![change], precondition).await.map_err(refused)?;
    let existed = applied.before.listeners.contains_key(&path.0);
    present(&api.snapshot(), &path, if existed { StatusCode::OK } else { StatusCode::CREATED })
}

/// Removes a listener. Its open connections finish what they are at.
#[utoipa::path(delete, path = "/v1/listeners/{name}", operation_id = "delete_listener", tag = "listeners",
    params(Name, IfMatch),
    responses(
        Named,
        Write,
        (status = 204, description = "It is gone"),
    )
)]
pub(super) async fn delete(
    State(api): State<Arc<Api>>,
    path: ListenerPath,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let precondition = precondition(&headers, || path.object())?;
    api.context.store.apply(vec![Change::DeleteListener(Origin::Api, path.0)], precondition).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn present(snapshot: &Snapshot, path: &ListenerPath, status: StatusCode) -> Result<Response, Problem> {
    let view = view(snapshot, &path.0).ok_or_else(|| missing(&path.object()))?;
    Ok(tagged(status, view.revision(), &view))
}

fn view(snapshot: &Snapshot, name: &ListenerName) -> Option<ListenerView> {
    let held = snapshot.config.listeners.get(name)?;
    Some(ListenerView::of(held, snapshot.frontends.get(name).map(|frontend| &frontend.socket)))
}

/// A refusal, with the key of the body that it is about.
fn refused(refused: Refused) -> Problem {
    let pointer = match &refused {
        Refused::Rejected(Rejected::DanglingForward { .. } | Rejected::Mismatch { .. }) => Some("/target_group"),
        Refused::Rejected(Rejected::DanglingCertificate { .. }) => Some("/certificates"),
        Refused::Rejected(Rejected::SameBind(..)) | Refused::Bind(_) => Some("/bind"),
        _ => None,
    };
    let problem = Problem::from(refused);
    match pointer {
        Some(pointer) => problem.at(pointer),
        None => problem,
    }
}
