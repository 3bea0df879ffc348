//! Names of objects, as newtypes, so that a listener's name never stands where a group's is meant.

use std::fmt;
use std::sync::Arc;

/// The longest name, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// Why a name was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{value:?} is not a {kind}: {why}")]
pub struct InvalidName {
    /// What the name was for.
    pub kind: &'static str,
    /// What was given.
    pub value: String,
    /// Which rule it breaks.
    pub why: &'static str,
}

fn check(kind: &'static str, value: &str, more: &[u8]) -> Result<(), InvalidName> {
    let refuse = |why| Err(InvalidName { kind, value: value.chars().take(80).collect(), why });
    if value.is_empty() {
        return refuse("it is empty");
    }
    if value.len() > NAME_BYTES_MAX {
        return refuse("it is longer than 64 characters");
    }
    if !value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte) || more.contains(&byte)) {
        return refuse("only letters, digits, '.', '_' and '-' are allowed (target ids also ':', '[' and ']')");
    }
    Ok(())
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $kind:literal, $more:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(Arc<str>);

        impl $type {
            /// Accepts a legal name.
            ///
            /// # Errors
            /// [`InvalidName`] when it is empty, longer than 64 characters, or holds another character than
            /// the interface allows.
            pub fn parse(value: &str) -> Result<Self, InvalidName> {
                check($kind, value, $more)?;
                Ok(Self(Arc::from(value)))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl std::borrow::Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

name!(
    /// The name of a listener.
    ListenerName,
    "listener name",
    b":"
);
name!(
    /// The name of a target group.
    GroupName,
    "target group name",
    b""
);
name!(
    /// The id of a target within its group: an instance id, a name, or its address.
    TargetId,
    "target id",
    b":[]"
);
name!(
    /// The name of a certificate.
    CertificateName,
    "certificate name",
    b""
);
