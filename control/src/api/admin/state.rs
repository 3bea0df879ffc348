//! `/v1/state`: all that the API owns and the keys of cookies as one document, out and in again. It holds secrets.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use utoipa::ToSchema;

use super::Api;
use super::extract::{JsonBody, STATE_BYTES_MAX};
use super::problem::Problem;
use super::tags::{of_all, tagged};

/// What an import did.
#[derive(Debug, serde::Serialize, ToSchema)]
pub(super) struct ImportView {
    /// The revision that holds it. As before when nothing changed.
    revision: u64,
}

/// All that the API owns, adjustments of file-owned targets and the keys of elbow's own cookies among it: keep it as
/// secret as the admin token.
#[utoipa::path(get, path = "/v1/state", operation_id = "export_state", tag = "config", responses(
    (status = 200, description = "To be given back to PUT", body = Object, headers(("ETag" = String))),
))]
pub(super) async fn export(State(api): State<Arc<Api>>) -> Response {
    let revision = api.snapshot().config.revision;
    tagged(StatusCode::OK, revision, &api.context.store.export())
}

/// Replaces all that the API owns by an exported document: all of it or nothing. Without `cookie_keys` in it the present
/// keys stay.
#[utoipa::path(put, path = "/v1/state", operation_id = "import_state", tag = "config",
    params(("If-Match" = Option<String>, Header, description = "Only if this is the present ETag of the state")),
    request_body = Object,
    responses(
        (status = 200, description = "It holds now", body = ImportView),
        (status = 400, description = "The body is not JSON"),
        (status = 408, description = "The body took too long"),
        (status = 409, description = "It does not fit what others own, or an address cannot be had"),
        (status = 412, description = "The precondition does not hold"),
        (status = 413, description = "The body is too large"),
        (status = 415, description = "The body is not JSON"),
        (status = 422, description = "A key or value is not legal; nothing was changed"),
        (status = 503, description = "elbow is stopping"),
        (status = 504, description = "It stands, but not every worker has taken it up in time"),
    )
)]
pub(super) async fn import(
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
    JsonBody(state): JsonBody<STATE_BYTES_MAX>,
) -> Result<Json<ImportView>, Problem> {
    let applied = api.context.store.import(&state, of_all(&headers)?).await?;
    Ok(Json(ImportView { revision: applied.revision }))
}
