//! Entity tags: every representation carries the revision it is of, and a write may name the one it is meant for.

use axum::response::{IntoResponse, Response};
use http::header::{ETAG, IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use lb::model::ObjectRef;

use super::problem::{Kind, Problem};
use crate::store::Precondition;

/// What a write's headers ask to hold at the moment it is made.
pub(super) fn precondition(headers: &HeaderMap, object: impl FnOnce() -> ObjectRef) -> Result<Precondition, Problem> {
    match (listed(headers, &IF_MATCH)?, listed(headers, &IF_NONE_MATCH)?) {
        (None, None) => Ok(Precondition::None),
        (Some(Tags::Any), None) => Ok(Precondition::Exists(object())),
        (Some(Tags::Revisions(revisions)), None) => Ok(Precondition::Matches(object(), revisions)),
        (None, Some(Tags::Any)) => Ok(Precondition::Absent(object())),
        (_, Some(_)) => Err(Problem::new(Kind::Malformed, "of If-None-Match only * has a meaning here, and alone")),
    }
}

/// As [`precondition`], for a write to all that the API owns.
pub(super) fn of_all(headers: &HeaderMap) -> Result<Precondition, Problem> {
    match (listed(headers, &IF_MATCH)?, listed(headers, &IF_NONE_MATCH)?) {
        (None | Some(Tags::Any), None) => Ok(Precondition::None),
        (Some(Tags::Revisions(revisions)), None) => Ok(Precondition::At(revisions)),
        (_, Some(_)) => Err(Problem::new(Kind::Malformed, "If-None-Match has no meaning here")),
    }
}

/// Entity tags of a precondition.
enum Tags {
    /// `*`.
    Any,
    /// Those of our own form; a tag of any other form never matches.
    Revisions(Vec<u64>),
}

fn listed(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Tags>, Problem> {
    let malformed = || Problem::new(Kind::Malformed, format!("{name} must be * or a list of quoted entity tags"));
    let mut found = None;
    for value in headers.get_all(name) {
        let text = value.to_str().map_err(|_| malformed())?;
        if text.trim() == "*" {
            return Ok(Some(Tags::Any));
        }
        let revisions = found.get_or_insert_with(Vec::new);
        for tag in text.split(',').map(str::trim).filter(|tag| !tag.is_empty()) {
            let weak = tag.starts_with("W/");
            let opaque = tag.trim_start_matches("W/").strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
            let opaque = opaque.ok_or_else(malformed)?;
            // If-Match compares strongly: a weak tag matches nothing (RFC 9110, 13.1.1).
            revisions.extend(opaque.parse::<u64>().ok().filter(|_| !weak));
        }
    }
    Ok(found.map(Tags::Revisions))
}

/// A representation with its entity tag.
pub(super) fn tagged(status: StatusCode, revision: u64, body: &impl serde::Serialize) -> Response {
    let mut response = (status, axum::Json(body)).into_response();
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{revision}\"")) {
        response.headers_mut().insert(ETAG, tag);
    }
    response
}
