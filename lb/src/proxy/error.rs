//! What can go wrong with a request: whose doing it is, what it is, and whether another attempt may be made.

use crate::http1::{ChunkRefusal, RequestRefusal, ResponseRefusal};
use crate::state::Failed;
use crate::telemetry::EndReason;
use crate::tls::TlsFault;

/// Why a request does not go its ordinary way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failure {
    /// The client's head is malformed, ambiguous or too large.
    #[error("{0}")]
    Head(RequestRefusal),
    /// The client's body is malformed.
    #[error("{0}")]
    Body(ChunkRefusal),
    /// The client's body is larger than allowed.
    #[error("the body is larger than allowed")]
    BodyTooLarge,
    /// The client did not complete its head, or sent its body too slowly.
    #[error("the request was not completed in time")]
    ClientTooSlow,
    /// The client does not read its answer.
    #[error("the answer was not read in time")]
    AnswerUnread,
    /// The client left.
    #[error("the client left")]
    ClientLeft,

    /// The target, or the way to it, refused the connection.
    #[error("the target refused the connection")]
    ConnectRefused,
    /// Nothing answered the attempt to connect.
    #[error("connecting to the target took too long")]
    ConnectTimedOut,
    /// It is connected, and there is no TLS with it.
    #[error("no TLS with the target: {0}")]
    Unsecured(TlsFault),
    /// The connection broke before the kernel took a byte of the request.
    #[error("the target closed the connection")]
    Unsent,
    /// The target closed before a byte of an answer, and may have acted on the request.
    #[error("the target closed the connection without an answer")]
    Unanswered,
    /// The target closed in the middle of its answer.
    #[error("the target broke off its answer")]
    AnswerTruncated,
    /// The target's head is no head, or means two things.
    #[error("the target's answer is not valid: {0}")]
    AnswerRefused(ResponseRefusal),
    /// The target's body is malformed.
    #[error("the target's answer is not valid: {0}")]
    AnswerBody(ChunkRefusal),
    /// The target sends one interim answer after the other.
    #[error("the target sent too many interim answers")]
    InterimFlood,
    /// The target did not answer, or stopped in the middle.
    #[error("the target did not answer in time")]
    TargetTimedOut,

    /// No target is there that may take the request.
    #[error("no target is available")]
    NoTarget,
    /// The client is bound to a target that cannot take its request, and another one is not allowed.
    #[error("the target of this client is not available")]
    BoundElsewhere,
    /// The target that the client is bound to has not had its first verdict yet.
    #[error("the target of this client is not checked yet")]
    Awaited,
    /// The client is bound to a target that has as much in flight as it may have, and another one is not allowed.
    #[error("the target of this client is at its limit of connections")]
    BoundToFull,
    /// Every target has as much in flight as it may have.
    #[error("all targets are at their limit of connections")]
    AllFull,
    /// As many wait for one of them to have room as may.
    #[error("all targets are at their limit of connections, and as many requests wait as may")]
    QueueFull,
    /// None of them had room for as long as a request may wait.
    #[error("all targets were at their limit of connections for as long as a request may wait")]
    WaitedInVain,
    /// No file descriptor, port or memory is left here.
    #[error("out of file descriptors or ports")]
    Exhausted,
    /// elbow holds as many client connections as it may.
    #[error("too many connections")]
    TooManyConnections,
    /// elbow stops, or the target left for good.
    #[error("cut off")]
    Cut,
}

/// When a request may be sent again after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeatable {
    /// No byte of it can have been acted on.
    Always,
    /// It may have been acted on: only if twice is as good as once.
    IfIdempotent,
    /// Never: it would fail again, or part of an answer is out.
    Never,
}

impl Failure {
    /// Whether another attempt may be made.
    pub(super) fn repeatable(self) -> Repeatable {
        match self {
            // What a group wants and cannot have, it cannot have elsewhere.
            Self::Unsecured(TlsFault::Unable) => Repeatable::Never,
            Self::ConnectRefused | Self::ConnectTimedOut | Self::Unsecured(_) | Self::Unsent => Repeatable::Always,
            Self::Unanswered => Repeatable::IfIdempotent,
            _ => Repeatable::Never,
        }
    }

    /// How the connection to a target could not be made, or broke before an answer, if it did.
    pub(super) fn of_connection(self) -> Option<Failed> {
        match self {
            Self::ConnectRefused => Some(Failed::Refused),
            Self::ConnectTimedOut => Some(Failed::TimedOut),
            Self::Unsecured(TlsFault::Unable) => None,
            Self::Unsecured(_) => Some(Failed::Unsecured),
            Self::Unsent | Self::Unanswered => Some(Failed::Closed),
            _ => None,
        }
    }

    /// Whether the request itself is at fault, so that nobody knows where it ends.
    pub(super) fn is_of_request(self) -> bool {
        matches!(self, Self::Head(_) | Self::Body(_) | Self::BodyTooLarge | Self::ClientTooSlow)
    }

    /// Whether the target failed, and not the client, the way of its request, or elbow.
    pub(super) fn is_of_target(self) -> bool {
        matches!(self.end_reason(), EndReason::TargetFailed | EndReason::TargetTimeout)
    }

    /// How the access log puts it.
    pub(super) fn end_reason(self) -> EndReason {
        match self {
            Self::Head(_) | Self::Body(_) | Self::BodyTooLarge => EndReason::Refused,
            Self::ClientTooSlow | Self::AnswerUnread => EndReason::ClientTimeout,
            Self::ClientLeft => EndReason::ClientLeft,
            Self::ConnectRefused | Self::ConnectTimedOut | Self::Unsent | Self::Unanswered => EndReason::TargetFailed,
            Self::AnswerTruncated | Self::AnswerRefused(_) | Self::AnswerBody(_) => EndReason::TargetFailed,
            Self::InterimFlood => EndReason::TargetFailed,
            Self::TargetTimedOut => EndReason::TargetTimeout,
            Self::NoTarget | Self::BoundElsewhere | Self::Awaited | Self::BoundToFull => EndReason::NoTarget,
            Self::AllFull | Self::QueueFull | Self::WaitedInVain => EndReason::NoTarget,
            Self::Exhausted | Self::TooManyConnections | Self::Unsecured(TlsFault::Unable) => EndReason::NoTarget,
            Self::Unsecured(_) => EndReason::TargetFailed,
            Self::Cut => EndReason::Cut,
        }
    }
}
