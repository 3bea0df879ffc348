//! What handlers take in: JSON bodies within bounds, names from the path, queries. Every refusal is a [`Problem`].

use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use lb::model::{CertificateName, GroupName, ListenerName, ObjectRef, TargetId};
use serde_json::Value;

use super::problem::{Kind, Problem};

/// How long a body may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// The longest body of a request about one object.
pub(super) const OBJECT_BYTES_MAX: usize = 1 << 20;
/// The longest body that imports a whole state.
pub(super) const STATE_BYTES_MAX: usize = 64 << 20;

/// A JSON body of at most so many bytes.
pub(super) struct JsonBody<const BYTES_MAX: usize>(pub(super) Value);

impl<S: Sync, const BYTES_MAX: usize> FromRequest<S> for JsonBody<BYTES_MAX> {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        if !is_json(&request) {
            return Err(Problem::new(Kind::UnsupportedMediaType, "Content-Type must be application/json"));
        }
        let bytes = bytes_of(request.into_body(), BYTES_MAX).await?;
        let value = serde_json::from_slice(&bytes)
            .map_err(|error| Problem::new(Kind::Malformed, format!("the body is not JSON: {error}")))?;
        Ok(Self(value))
    }
}

fn is_json(request: &Request) -> bool {
    let value = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = value.map(|value| value.split(';').next().unwrap_or_default().trim());
    essence.is_some_and(|essence| essence.eq_ignore_ascii_case("application/json"))
}

/// A whole body, within bounds of size and time.
pub(super) async fn bytes_of(body: Body, bytes_max: usize) -> Result<bytes::Bytes, Problem> {
    let read = tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, bytes_max).collect()).await;
    let read = read.map_err(|_| {
        Problem::new(Kind::BodyTooSlow, format!("the body was not complete after {} s", BODY_TIMEOUT.as_secs()))
    })?;
    match read {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(Problem::new(Kind::BodyTooLarge, format!("the body may have {bytes_max} bytes")))
        }
        Err(error) => Err(Problem::new(Kind::Malformed, format!("the body broke off: {error}"))),
    }
}

/// A listener, named in the path.
pub(super) struct ListenerPath(pub(super) ListenerName);

/// A certificate, named in the path.
pub(super) struct CertificatePath(pub(super) CertificateName);

/// A target group, named in the path.
pub(super) struct GroupPath(pub(super) GroupName);

/// A target, named in the path.
pub(super) struct TargetPath {
    pub(super) group: GroupName,
    pub(super) id: TargetId,
}

impl ListenerPath {
    pub(super) fn object(&self) -> ObjectRef {
        ObjectRef::Listener(self.0.clone())
    }
}

impl CertificatePath {
    pub(super) fn object(&self) -> ObjectRef {
        ObjectRef::Certificate(self.0.clone())
    }
}

impl GroupPath {
    pub(super) fn object(&self) -> ObjectRef {
        ObjectRef::TargetGroup(self.0.clone())
    }
}

impl TargetPath {
    pub(super) fn object(&self) -> ObjectRef {
        ObjectRef::Target(self.group.clone(), self.id.clone())
    }
}

/// There is no such object.
pub(super) fn missing(object: &ObjectRef) -> Problem {
    Problem::new(Kind::NotFound, format!("there is no {object}"))
}

impl<S: Send + Sync> FromRequestParts<S> for ListenerPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let name: String = path(parts, state).await?;
        Ok(Self(ListenerName::parse(&name)?))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for CertificatePath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let name: String = path(parts, state).await?;
        Ok(Self(CertificateName::parse(&name)?))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for GroupPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let name: String = path(parts, state).await?;
        Ok(Self(GroupName::parse(&name)?))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for TargetPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let (group, id): (String, String) = path(parts, state).await?;
        Ok(Self { group: GroupName::parse(&group)?, id: TargetId::parse(&id)? })
    }
}

async fn path<T, S>(parts: &mut Parts, state: &S) -> Result<T, Problem>
where
    T: serde::de::DeserializeOwned + Send,
    S: Send + Sync,
{
    let found = Path::<T>::from_request_parts(parts, state).await;
    found.map(|Path(path)| path).map_err(|error| Problem::new(Kind::Malformed, error.body_text()))
}

/// A query whose every key is known.
pub(super) struct Asked<T>(pub(super) T);

impl<T: serde::de::DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let found = Query::<T>::from_request_parts(parts, state).await;
        found.map(|Query(query)| Self(query)).map_err(|error| Problem::new(Kind::Malformed, error.body_text()))
    }
}
