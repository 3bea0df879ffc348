//! `/v1/explain`: why recent requests went where they went, and where one would go now.
//!
//! Not here: what is remembered and for how long (`lb::explain`), what it is shown as ([`super::explain_views`]).

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use lb::explain::{BURST, REFILL_PER_S};
use lb::model::{GroupName, ListenerName, ObjectRef};
use lb::proxy::DryRequest;
use lb::state::{Pool, Snapshot};
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::explain_views::{DryRunView, RequestView};
use super::extract::{Asked, JsonBody, OBJECT_BYTES_MAX, missing};
use super::problem::{Kind, Problem};

/// Which request.
#[derive(Debug, serde::Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct WhichRequest {
    /// Its `X-Request-Id`.
    request: String,
}

/// A request that nobody sends.
#[derive(Debug, serde::Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = DryRequest)]
pub(super) struct DryRequestBody {
    /// The target group that is to answer.
    target_group: String,
    /// The listener it comes in at, whose way of forwarding then holds; absent: the group's own.
    listener: Option<String>,
    /// Its method.
    #[serde(default = "get_method")]
    #[schema(default = "GET")]
    method: String,
    /// Its path and query.
    #[serde(default = "root_path")]
    #[schema(default = "/")]
    path: String,
    /// Its headers, each as `Name: value`.
    #[serde(default)]
    headers: Vec<String>,
    /// The address of its client.
    #[serde(default = "loopback")]
    #[schema(value_type = String, default = "127.0.0.1")]
    source: IpAddr,
}

fn get_method() -> String {
    "GET".to_owned()
}

fn root_path() -> String {
    "/".to_owned()
}

fn loopback() -> IpAddr {
    Ipv4Addr::LOCALHOST.into()
}

/// Why recent requests with this id went where they went: several, if a client gave the same id again.
///
/// Each worker remembers its newest 16,384 requests. Under more than 1,000 requests a second it remembers a sample.
#[utoipa::path(get, path = "/v1/explain", operation_id = "explain_request", tag = "explain",
    params(WhichRequest),
    responses(
        (status = 200, description = "Each of them, the newest first", body = Vec<RequestView>),
        (status = 400, description = "The query does not name a request"),
        (status = 404, description = "No such request is remembered"),
        (status = 504, description = "A worker did not answer in time, and no other remembers such a request"),
    )
)]
pub(super) async fn request(
    State(api): State<Arc<Api>>,
    Asked(which): Asked<WhichRequest>,
) -> Result<Json<Vec<RequestView>>, Problem> {
    let explained = api.context.explainer.explain(&which.request).await;
    match (explained.records.is_empty(), explained.silent) {
        (false, _) => Ok(Json(explained.records.iter().map(RequestView::of).collect())),
        (true, 0) => Err(not_remembered(&which.request)),
        (true, silent) => Err(Problem::new(Kind::RanOut, format!("{silent} workers did not answer in time"))),
    }
}

fn not_remembered(id: &str) -> Problem {
    let detail = format!(
        "no request {id:?} is remembered: it did not come by here, or under another id (an X-Request-Id that is not 1 \
         to 128 visible ASCII characters is replaced), or more than {BURST} requests of its worker ago, or it was left \
         out while there were more than {REFILL_PER_S} requests a second"
    );
    Problem::new(Kind::NotFound, detail)
}

/// Where a request would go now. Nothing is sent, counted or changed.
#[utoipa::path(post, path = "/v1/explain", operation_id = "explain_dry_run", tag = "explain",
    request_body = DryRequestBody,
    responses(
        (status = 200, description = "What would be chosen, or why nothing could be", body = DryRunView),
        (status = 400, description = "The body is not JSON"),
        (status = 404, description = "There is no such target group or listener"),
        (status = 408, description = "The body took too long"),
        (status = 413, description = "The body is too large"),
        (status = 415, description = "The body is not JSON"),
        (status = 422, description = "A key or value is not legal"),
    )
)]
pub(super) async fn dry_run(
    State(api): State<Arc<Api>>,
    JsonBody(body): JsonBody<OBJECT_BYTES_MAX>,
) -> Result<Json<DryRunView>, Problem> {
    let invalid = |detail: String| Problem::new(Kind::Invalid, detail);
    let asked: DryRequestBody = serde_json::from_value(body).map_err(|error| invalid(error.to_string()))?;
    let snapshot = api.snapshot();
    let group = GroupName::parse(&asked.target_group).map_err(|error| invalid(error.to_string()))?;
    let listener = asked.listener.as_deref().map(ListenerName::parse).transpose();
    let listener = listener.map_err(|error| invalid(error.to_string()))?;
    let pool = pool(&snapshot, &group, listener.as_ref())?;
    let trusted_proxies = listener.as_ref().and_then(|name| snapshot.frontends.get(name));
    let request = DryRequest {
        method: &asked.method,
        path: &asked.path,
        fields: &asked.headers,
        peer: asked.source,
        trusted_proxies: trusted_proxies.map_or(&[], |frontend| &frontend.listener.trusted_proxies),
    };
    let run = request.run(pool, api.context.explainer.workers()).map_err(|error| invalid(error.to_string()))?;
    Ok(Json(DryRunView::of(&run, listener.as_ref())))
}

/// The pool that would choose.
fn pool<'a>(
    snapshot: &'a Snapshot,
    group: &GroupName,
    listener: Option<&ListenerName>,
) -> Result<&'a Arc<Pool>, Problem> {
    let Some(name) = listener else {
        let pool = snapshot.pool_of(group);
        return pool.ok_or_else(|| missing(&ObjectRef::TargetGroup(group.clone())));
    };
    let frontend = snapshot.frontends.get(name).ok_or_else(|| missing(&ObjectRef::Listener(name.clone())))?;
    if frontend.pool.forward.target_group != *group {
        let to = &frontend.pool.forward.target_group;
        return Err(Problem::new(Kind::Invalid, format!("listener {name} forwards to {to}")).at("/listener"));
    }
    Ok(&frontend.pool)
}
