//! Every refusal, as an RFC 9457 problem document: what kinds there are, and what of the store's, the schema's and
//! the file's refusals becomes which.

use std::error::Error;
use std::fmt::Write;

use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use lb::model::{InvalidName, Rejected};
use utoipa::ToSchema;

use super::views::TargetView;
use crate::schema::Problems;
use crate::store::{ImportError, Refused};

/// The media type of problem documents.
pub(super) const MEDIA_TYPE: &str = "application/problem+json";

/// A refusal on its way to whoever asked.
#[derive(Debug)]
pub(super) struct Problem {
    kind: Kind,
    pub(super) detail: String,
    pointer: Option<String>,
    errors: Vec<Wrong>,
    target: Option<Box<TargetView>>,
}

/// What went wrong (RFC 9457).
#[derive(Debug, serde::Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct ProblemDocument {
    /// Names the kind of problem.
    #[serde(rename = "type")]
    kind: String,
    /// The kind in words.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What went wrong this time.
    detail: String,
    /// The field that is wrong, as a JSON pointer into the body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pointer: Option<String>,
    /// Each thing that is wrong, with hints.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    errors: Vec<Wrong>,
    /// The present state of the target that was waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<Box<TargetView>>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, Default, serde::Serialize, ToSchema)]
pub(super) struct Wrong {
    /// What is wrong.
    pub(super) detail: String,
    /// Where, as a JSON pointer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pointer: Option<String>,
    /// What would be right.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) hint: Option<String>,
    /// The line of the configuration file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) line: Option<usize>,
    /// The column of the configuration file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) column: Option<usize>,
}

/// The kinds of problems.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Malformed,
    TokenNeeded,
    CrossSite,
    ForeignHost,
    NotFound,
    MethodNotAllowed,
    BodyTooSlow,
    Conflict,
    OwnedElsewhere,
    InUse,
    AddressTaken,
    PreconditionFailed,
    BodyTooLarge,
    UnsupportedMediaType,
    Invalid,
    Internal,
    Unavailable,
    RanOut,
}

impl Kind {
    /// Its status, its name and its title.
    fn described(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::Malformed => (StatusCode::BAD_REQUEST, "malformed", "The request cannot be understood"),
            Self::TokenNeeded => (StatusCode::UNAUTHORIZED, "token-needed", "The admin token is needed"),
            Self::CrossSite => (StatusCode::FORBIDDEN, "cross-site", "Requests from other sites are refused"),
            Self::ForeignHost => (StatusCode::FORBIDDEN, "foreign-host", "The host is not a loopback name"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not-found", "There is no such thing"),
            Self::MethodNotAllowed => {
                (StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "The resource has no such method")
            }
            Self::BodyTooSlow => (StatusCode::REQUEST_TIMEOUT, "body-too-slow", "The body took too long"),
            Self::Conflict => (StatusCode::CONFLICT, "conflict", "The present state does not allow it"),
            Self::OwnedElsewhere => (StatusCode::CONFLICT, "owned-elsewhere", "It belongs to another owner"),
            Self::InUse => (StatusCode::CONFLICT, "in-use", "Something still needs it"),
            Self::AddressTaken => (StatusCode::CONFLICT, "address-taken", "The address cannot be had"),
            Self::PreconditionFailed => {
                (StatusCode::PRECONDITION_FAILED, "precondition-failed", "The precondition does not hold")
            }
            Self::BodyTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", "The body is too large"),
            Self::UnsupportedMediaType => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", "The body must be JSON")
            }
            Self::Invalid => (StatusCode::UNPROCESSABLE_ENTITY, "invalid", "A value is not legal"),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal", "elbow failed"),
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Not now"),
            Self::RanOut => (StatusCode::GATEWAY_TIMEOUT, "wait-ran-out", "The wait ran out"),
        }
    }
}

impl Problem {
    pub(super) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), pointer: None, errors: Vec::new(), target: None }
    }

    /// The field that is wrong.
    pub(super) fn at(mut self, pointer: impl Into<String>) -> Self {
        self.pointer = Some(pointer.into());
        self
    }

    /// All that is wrong; the first one is the problem's own detail.
    pub(super) fn with_errors(mut self, errors: Vec<Wrong>) -> Self {
        self.errors = errors;
        self
    }

    /// The present state of the target that was waited for.
    pub(super) fn with_target(mut self, target: TargetView) -> Self {
        self.target = Some(Box::new(target));
        self
    }

    /// elbow is stopping, and what was asked takes longer than that.
    pub(super) fn stopping() -> Self {
        Self::new(Kind::Unavailable, "elbow is stopping")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, name, title) = self.kind.described();
        let document = ProblemDocument {
            kind: format!("urn:elbow:problem:{name}"),
            title,
            status: status.as_u16(),
            detail: self.detail,
            pointer: self.pointer,
            errors: self.errors,
            target: self.target,
        };
        // Plain data with string keys always serialises.
        let body = serde_json::to_vec(&document).unwrap_or_default();
        let mut response = (status, body).into_response();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"elbow\""));
        }
        response
    }
}

impl From<InvalidName> for Problem {
    fn from(invalid: InvalidName) -> Self {
        Self::new(Kind::Malformed, invalid.to_string())
    }
}

impl From<Problems> for Problem {
    fn from(problems: Problems) -> Self {
        let errors: Vec<_> = problems
            .iter()
            .map(|problem| Wrong {
                detail: problem.detail.clone(),
                pointer: Some(problem.pointer.clone()),
                hint: problem.hint.clone(),
                ..Wrong::default()
            })
            .collect();
        let (detail, pointer) = match errors.as_slice() {
            [only] => (told(only), only.pointer.clone()),
            [first, ..] => (problems.to_string(), first.pointer.clone()),
            [] => (problems.to_string(), None),
        };
        let problem = Self { pointer, ..Self::new(Kind::Invalid, detail) };
        problem.with_errors(errors)
    }
}

/// What is wrong, with what would be right.
fn told(wrong: &Wrong) -> String {
    match &wrong.hint {
        Some(hint) => format!("{} ({hint})", wrong.detail),
        None => wrong.detail.clone(),
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        let detail = with_sources(&refused);
        let kind = match refused {
            Refused::Rejected(rejected) => kind_of(&rejected),
            Refused::Precondition { .. } | Refused::Outdated { .. } => Kind::PreconditionFailed,
            Refused::Bind(_) => Kind::AddressTaken,
            Refused::NotKept(_) => {
                tracing::error!("{detail}");
                Kind::Internal
            }
            Refused::NotTakenUp { .. } => Kind::RanOut,
            Refused::Stopped => Kind::Unavailable,
        };
        Self::new(kind, detail)
    }
}

fn kind_of(rejected: &Rejected) -> Kind {
    match rejected {
        Rejected::NotFound(_) => Kind::NotFound,
        Rejected::OwnedBy { .. } => Kind::OwnedElsewhere,
        Rejected::Twice(_) | Rejected::KeyMissing(_) => Kind::Invalid,
        Rejected::DanglingForward { .. } | Rejected::DanglingCertificate { .. } | Rejected::InUse { .. } => Kind::InUse,
        Rejected::Mismatch { .. } | Rejected::NoSource { .. } | Rejected::Taken { .. } | Rejected::Amiss { .. } => {
            Kind::Conflict
        }
        Rejected::SameBind(..) => Kind::AddressTaken,
    }
}

impl From<ImportError> for Problem {
    fn from(error: ImportError) -> Self {
        match error {
            ImportError::Document(problems) => problems.into(),
            ImportError::Refused(refused) => refused.into(),
        }
    }
}

/// An error with its causes, in one line.
fn with_sources(error: &dyn Error) -> String {
    let mut told = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        // Writing to a String cannot fail.
        let _ = write!(told, ": {error}");
        source = error.source();
    }
    told
}
