//! `/v1/cookie-keys`: which keys seal and open elbow's own cookies, and sealing with a new one. Never the keys themselves,
//! which only an exported state holds ([`super::state`]).

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use lb::model::{Change, CookieKeys};
use utoipa::ToSchema;

use super::Api;
use super::problem::Problem;
use super::tags::{of_all, tagged};
use crate::{schema, secrets};

/// A key of elbow's own cookies, less its secret.
#[derive(Debug, serde::Serialize, ToSchema)]
pub(super) struct CookieKeyView {
    /// Its id: 8 hexadecimal digits, which cookies carry in the clear.
    id: String,
    /// Whether new cookies are sealed with it. All keys open cookies.
    seals: bool,
}

/// The keys of elbow's own cookies, the newest first.
#[utoipa::path(get, path = "/v1/cookie-keys", operation_id = "list_cookie_keys", tag = "cookie keys", responses(
    (status = 200, description = "Their ids, the newest first; the newest seals", body = Vec<CookieKeyView>,
        headers(("ETag" = String))),
))]
pub(super) async fn list(State(api): State<Arc<Api>>) -> Response {
    let config = &api.snapshot().config;
    tagged(StatusCode::OK, config.revision, &views(&config.cookie_keys))
}

/// Seals new cookies with a new key. Cookies that older keys sealed still hold; of more than 8 keys the oldest is
/// dropped, and clients whose cookies it sealed get new ones, perhaps at another target.
#[utoipa::path(post, path = "/v1/cookie-keys/rotate", operation_id = "rotate_cookie_key", tag = "cookie keys",
    params(("If-Match" = Option<String>, Header, description = "Only if this is the present ETag of the list")),
    responses(
        (status = 200, description = "Every worker seals with the first of these now", body = Vec<CookieKeyView>,
            headers(("ETag" = String))),
        (status = 400, description = "If-Match cannot be understood"),
        (status = 412, description = "The precondition does not hold"),
        (status = 503, description = "elbow is stopping"),
        (status = 504, description = "It stands, but not every worker has taken it up in time"),
    )
)]
pub(super) async fn rotate(State(api): State<Arc<Api>>, headers: HeaderMap) -> Result<Response, Problem> {
    let key = secrets::new_cookie_key(&api.snapshot().config.cookie_keys);
    let applied = api.context.store.apply(vec![Change::RotateCookieKey(key)], of_all(&headers)?).await?;
    Ok(tagged(StatusCode::OK, applied.revision, &views(&applied.config.cookie_keys)))
}

fn views(keys: &CookieKeys) -> Vec<CookieKeyView> {
    let newest = keys.newest().map(|key| key.id);
    let view = |key| CookieKeyView { id: schema::cookie_key_id(key), seals: Some(key.id) == newest };
    keys.iter().map(|key| view(key)).collect()
}
