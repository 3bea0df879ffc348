//! The methods the data plane treats differently from each other.

/// A request's method.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    /// GET.
    #[default]
    Get,
    /// HEAD: its answer has no body.
    Head,
    /// POST.
    Post,
    /// PUT.
    Put,
    /// PATCH.
    Patch,
    /// DELETE.
    Delete,
    /// OPTIONS: may be asked of `*`.
    Options,
    /// TRACE.
    Trace,
    /// Any other token; methods are case-sensitive, so `get` is one of these.
    Other,
}

impl Method {
    /// The method a token names. CONNECT is refused before anyone asks.
    #[inline]
    pub(super) fn from_token(token: &[u8]) -> Method {
        match token {
            b"GET" => Method::Get,
            b"HEAD" => Method::Head,
            b"POST" => Method::Post,
            b"PUT" => Method::Put,
            b"PATCH" => Method::Patch,
            b"DELETE" => Method::Delete,
            b"OPTIONS" => Method::Options,
            b"TRACE" => Method::Trace,
            _ => Method::Other,
        }
    }

    /// Whether asking twice has the effect of asking once (RFC 9110, 9.2.2), so that a request that may have been
    /// acted on may be sent again. Of methods we do not know we believe the worst.
    pub fn is_idempotent(self) -> bool {
        match self {
            Method::Get | Method::Head | Method::Put | Method::Delete | Method::Options | Method::Trace => true,
            Method::Post | Method::Patch | Method::Other => false,
        }
    }
}
