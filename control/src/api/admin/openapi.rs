//! The API's description of itself: what handlers say beside their code, and what holds for all of them.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use lb::telemetry::Build;
use utoipa::OpenApi;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{Content, Ref, RefOr, ResponseBuilder};

use super::Api;
use super::events::EventView;
use super::problem::{MEDIA_TYPE, ProblemDocument};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "elbow admin API",
        description = "What elbow serves, and how it is doing. Errors are RFC 9457 problem documents; a write is \
                       answered when it is durable and every worker has taken it up.",
        license(name = "Apache-2.0")
    ),
    security(("token" = [])),
    components(schemas(ProblemDocument, EventView))
)]
struct Description;

/// What holds for the whole API.
pub(super) fn base() -> utoipa::openapi::OpenApi {
    let mut openapi = Description::openapi();
    let token = Http::builder().scheme(HttpAuthScheme::Bearer).description(Some("The content of admin.token")).build();
    openapi.components.get_or_insert_default().add_security_scheme("token", SecurityScheme::Http(token));
    openapi
}

/// Adds what every operation may answer, gives refusals their body, and writes it down.
pub(super) fn complete(mut openapi: utoipa::openapi::OpenApi, build: Build) -> String {
    openapi.info.version = build.version.to_owned();
    for item in openapi.paths.paths.values_mut() {
        let operations = [&mut item.get, &mut item.put, &mut item.post, &mut item.delete];
        for operation in operations.into_iter().flatten() {
            complete_operation(operation);
        }
    }
    // A document made of plain values always serialises.
    openapi.to_json().unwrap_or_default()
}

fn complete_operation(operation: &mut Operation) {
    let mut common = vec![("403", "The request comes from another site"), ("500", "elbow failed; its log says more")];
    let open = operation.security.is_some();
    if !open {
        common.push(("401", "The token is missing or wrong"));
    }
    let responses = &mut operation.responses.responses;
    for (status, description) in common {
        let response = ResponseBuilder::new().description(description).build();
        responses.entry(status.to_owned()).or_insert(RefOr::T(response));
    }
    for (status, response) in responses.iter_mut() {
        if let RefOr::T(response) = response
            && (status.starts_with('4') || status.starts_with('5'))
        {
            let problem = Content::new(Some(Ref::from_schema_name("Problem")));
            response.content.insert(MEDIA_TYPE.to_owned(), RefOr::T(problem));
        }
    }
}

/// This description.
#[utoipa::path(get, path = "/v1/openapi.json", operation_id = "get_openapi", tag = "config", responses(
    (status = 200, description = "OpenAPI 3.1", body = Object),
))]
pub(super) async fn document(State(api): State<Arc<Api>>) -> Response {
    ([(CONTENT_TYPE, "application/json")], api.openapi.clone()).into_response()
}
