//! What a request may have that RFC 9110 and 9112 forbid or give no meaning, and that is taken all the same, since its
//! framing and its way are beyond doubt as we write them. A listener may refuse it.

use thiserror::Error;

/// What is unusual about a request, the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Error)]
pub enum Unusual {
    /// Bytes beyond ASCII in the value of a field. Passed on as they are.
    #[error("a header value holds bytes beyond ASCII")]
    BeyondAscii,
    /// A Content-Length of 0 where no body is expected. Passed on.
    #[error("GET and HEAD have no Content-Length")]
    LengthOfNothing,
    /// A body where none is expected, of which servers differ in whether they read it. Passed on.
    #[error("GET and HEAD have no body")]
    BodyOfGet,
    /// A name that differs from Content-Length or Transfer-Encoding in its punctuation only. The field is dropped.
    #[error("a header name looks like Content-Length or Transfer-Encoding")]
    FramingAlias,
}

impl Unusual {
    /// Whether a server may see another end of the request than we do.
    pub fn is_ambiguous(self) -> bool {
        match self {
            Unusual::BeyondAscii | Unusual::LengthOfNothing => false,
            Unusual::BodyOfGet | Unusual::FramingAlias => true,
        }
    }
}
