//! `/v1/config`: everything wanted, by whomever.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;

use super::Api;
use super::tags::tagged;
use super::views::ConfigView;

/// Everything wanted, with owner and revision of each object.
#[utoipa::path(get, path = "/v1/config", operation_id = "get_config", tag = "config", responses(
    (status = 200, description = "All that is wanted", body = ConfigView, headers(("ETag" = String))),
))]
pub(super) async fn get(State(api): State<Arc<Api>>) -> Response {
    let snapshot = api.snapshot();
    tagged(StatusCode::OK, snapshot.config.revision, &ConfigView::of(&snapshot.config))
}
