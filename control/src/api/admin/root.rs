//! The place of the ELB Query API, `POST /` with a form and `GET /?Action=…`. Not here: the API itself
//! ([`crate::api::elb`]), whose requests are signed and answered in XML.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, HeaderName};
use http::{HeaderMap, Method, Uri};

use super::Api;
use super::extract::{OBJECT_BYTES_MAX, bytes_of};
use super::problem::{Kind, Problem};
use crate::api::elb::Elb;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");

/// Passes a request on to the ELB API; anything else at the root is nothing.
pub(super) async fn pass_on(
    State(api): State<Arc<Api>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let query = uri.query().unwrap_or_default();
    if method != Method::POST && query.is_empty() {
        return Problem::new(Kind::NotFound, "there is nothing here; /v1/openapi.json says what there is")
            .into_response();
    }
    let answer = match bytes_of(body, OBJECT_BYTES_MAX).await {
        Ok(body) => api.context.elb.answer(&method, query, &headers, &body).await,
        Err(problem) => Elb::unreadable(&problem.detail),
    };
    let headers = [(CONTENT_TYPE, "text/xml".to_owned()), (REQUEST_ID, answer.request_id)];
    (answer.status, headers, answer.body).into_response()
}
