//! `/healthz`, `/readyz` and `/metrics`: for whoever watches elbow. They are open, and tell nothing of what is in
//! the traffic.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use lb::telemetry::render;
use utoipa::ToSchema;

use super::Api;
use super::problem::{Kind, Problem};
use crate::readiness::Phase;

/// That all is well.
#[derive(Debug, serde::Serialize, ToSchema)]
pub(super) struct Status {
    /// `alive`, or `ready`.
    status: &'static str,
}

/// Whether elbow is alive.
#[utoipa::path(get, path = "/healthz", operation_id = "get_healthz", tag = "probes", security(()), responses(
    (status = 200, description = "It is", body = Status),
))]
pub(super) async fn healthz() -> Json<Status> {
    Json(Status { status: "alive" })
}

/// Whether elbow is ready to take traffic.
#[utoipa::path(get, path = "/readyz", operation_id = "get_readyz", tag = "probes", security(()), responses(
    (status = 200, description = "It is", body = Status),
    (status = 503, description = "It is starting, or about to stop"),
))]
pub(super) async fn readyz(State(api): State<Arc<Api>>) -> Result<Json<Status>, Problem> {
    match api.context.readiness.now() {
        Phase::Ready => Ok(Json(Status { status: "ready" })),
        Phase::Starting => Err(Problem::new(Kind::Unavailable, "starting")),
        Phase::Draining(reason) => Err(Problem::new(Kind::Unavailable, format!("draining: {reason}"))),
    }
}

/// All metrics, as Prometheus text.
#[utoipa::path(get, path = "/metrics", operation_id = "get_metrics", tag = "probes", security(()), responses(
    (status = 200, description = "The exposition", body = String, content_type = "text/plain; version=0.0.4"),
))]
pub(super) async fn metrics(State(api): State<Arc<Api>>) -> Result<Response, Problem> {
    // The semaphore is never closed.
    let _one_at_a_time = api.rendering.acquire().await;
    let rendered = Arc::clone(&api);
    let text = tokio::task::spawn_blocking(move || {
        let context = &rendered.context;
        render(&context.live.load(), &context.telemetry, context.reloader.last_succeeded())
    });
    let text = text.await.map_err(|_| Problem::new(Kind::Internal, "the metrics could not be rendered"))?;
    Ok(([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}
