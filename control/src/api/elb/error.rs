//! Every error of the Query API, by the code that clients branch on.

use std::fmt;

use http::StatusCode;

/// The codes of the API, each with its status, as the service model and its common errors have them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    CertificateNotFound,
    DuplicateListener,
    DuplicateLoadBalancerName,
    DuplicatePolicyName,
    DuplicateTagKeys,
    IncompleteSignature,
    InternalFailure,
    InvalidAction,
    InvalidClientTokenId,
    InvalidConfigurationRequest,
    InvalidInstance,
    InvalidScheme,
    ListenerNotFound,
    LoadBalancerAttributeNotFound,
    LoadBalancerNotFound,
    MalformedInput,
    MissingAction,
    MissingAuthenticationToken,
    PolicyNotFound,
    PolicyTypeNotFound,
    ServiceUnavailable,
    SignatureDoesNotMatch,
    Throttling,
    TooManyLoadBalancers,
    TooManyPolicies,
    TooManyTags,
    UnsupportedProtocol,
    ValidationError,
}

impl Code {
    /// As written in an answer.
    pub(super) fn name(self) -> String {
        format!("{self:?}")
    }

    /// The status of the answer.
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::InvalidClientTokenId | Self::MissingAuthenticationToken | Self::SignatureDoesNotMatch => {
                StatusCode::FORBIDDEN
            }
            Self::InvalidConfigurationRequest => StatusCode::CONFLICT,
            Self::InternalFailure => StatusCode::INTERNAL_SERVER_ERROR,
            Self::ServiceUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

/// Why a request was refused. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: Code,
    pub(super) message: String,
}

impl Refusal {
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// A parameter that is missing, ill-formed or out of range.
    pub(super) fn validation(message: impl Into<String>) -> Self {
        Self::new(Code::ValidationError, message)
    }

    /// Well-formed, but not allowed as things are.
    pub(super) fn not_now(message: impl Into<String>) -> Self {
        Self::new(Code::InvalidConfigurationRequest, message)
    }

    /// A load balancer that is not there.
    pub(super) fn no_load_balancer(name: &str) -> Self {
        Self::new(Code::LoadBalancerNotFound, format!("There is no ACTIVE Load Balancer named '{name}'"))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.code, self.message)
    }
}
