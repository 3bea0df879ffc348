//! What requests of the same kind have in common, said once for the OpenAPI document: parameters, and the answers that
//! any of them may get. What is said beside it in a handler's own description stands in its place.

/// The name that a path ends with.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "it describes what is read elsewhere")]
pub(super) struct Name {
    /// Its name
    name: String,
}

/// What makes a write conditional.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "it describes what is read elsewhere")]
pub(super) struct IfMatch {
    /// Only if this is the present ETag
    #[param(rename = "If-Match", required = false)]
    if_match: Option<String>,
}

/// What makes a creation conditional.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "it describes what is read elsewhere")]
pub(super) struct IfNoneMatch {
    /// `*`: only if there is none yet
    #[param(rename = "If-None-Match", required = false)]
    if_none_match: Option<String>,
}

/// The answers to whatever changes something.
#[derive(utoipa::IntoResponses)]
#[expect(dead_code, reason = "it describes what is answered elsewhere")]
pub(super) enum Write {
    #[response(status = 409, description = "It belongs to another owner")]
    OwnedElsewhere,
    #[response(status = 412, description = "The precondition does not hold")]
    PreconditionFailed,
    #[response(status = 503, description = "elbow is stopping")]
    Stopping,
    #[response(status = 504, description = "It stands, but not every worker has taken it up in time")]
    NotTakenUp,
}

/// The answers to a request with a body.
#[derive(utoipa::IntoResponses)]
#[expect(dead_code, reason = "it describes what is answered elsewhere")]
pub(super) enum Body {
    #[response(status = 400, description = "The body is not JSON, or that is no name")]
    Malformed,
    #[response(status = 408, description = "The body took too long")]
    TooSlow,
    #[response(status = 413, description = "The body is too large")]
    TooLarge,
    #[response(status = 415, description = "The body is not JSON")]
    OtherType,
    #[response(status = 422, description = "A key or value is not legal")]
    Illegal,
}

/// The answers to a request about one object by its name.
#[derive(utoipa::IntoResponses)]
#[expect(dead_code, reason = "it describes what is answered elsewhere")]
pub(super) enum Named {
    #[response(status = 400, description = "That is no name")]
    NoName,
    #[response(status = 404, description = "There is none of that name")]
    NotFound,
}
