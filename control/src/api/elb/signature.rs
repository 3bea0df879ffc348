//! Signatures of requests, AWS Signature Version 4, in the header or in the query: whose a request is, and that it came
//! as it was signed. Not here: which keys there are (`access`).

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac::{self, HMAC_SHA256};
use http::{HeaderMap, Method};
use lb::model::AccessKey;
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime};

use super::error::{Code, Refusal};

/// What must be signed for.
pub(super) const SERVICE: &str = "elasticloadbalancing";
const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const TERMINATOR: &str = "aws4_request";
/// How far a client's clock may be off, as the service has it.
const SKEW_MAX: Duration = Duration::from_secs(5 * 60);
/// How long a signature in a query may hold.
const EXPIRES_S_MAX: u64 = 7 * 24 * 3600;
/// What a request may be at most to be looked at: names and values beyond that are nobody's.
const SIGNED_HEADERS_MAX: usize = 64;

/// A request, as far as it is signed. The path is always the root.
#[derive(Debug)]
pub(super) struct Signed<'r> {
    pub(super) method: &'r Method,
    pub(super) query: &'r str,
    pub(super) headers: &'r HeaderMap,
    pub(super) body: &'r [u8],
}

/// What a request says of its signature, well-formed and unchecked.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Claim<'r> {
    /// The id of the key.
    pub(super) key_id: Cow<'r, str>,
    /// The region that it was signed for.
    pub(super) region: Cow<'r, str>,
    service: Cow<'r, str>,
    /// `YYYYMMDD`, of the scope.
    date: Cow<'r, str>,
    /// `YYYYMMDDTHHMMSSZ`.
    at: Cow<'r, str>,
    signed_headers: Vec<String>,
    signature: Cow<'r, str>,
    session_token: Option<Cow<'r, str>>,
    /// How long it holds, where it stands in the query.
    expires_s: Option<u64>,
}

impl<'r> Claim<'r> {
    /// Finds what a request says of its signature.
    ///
    /// # Errors
    /// [`Code::MissingAuthenticationToken`] where there is none, [`Code::IncompleteSignature`] where it is torn.
    pub(super) fn of(request: &Signed<'r>) -> Result<Self, Refusal> {
        let claim = match request.headers.get(http::header::AUTHORIZATION) {
            Some(value) => Self::in_header(request, value.to_str().map_err(|_| incomplete("it is not text"))?)?,
            None => Self::in_query(request)?,
        };
        let is_date = claim.date.len() == 8 && claim.at.get(..8) == Some(&*claim.date);
        if !is_date {
            return Err(refused("Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date."));
        }
        Ok(claim)
    }

    fn in_header(request: &Signed<'r>, value: &'r str) -> Result<Self, Refusal> {
        let Some((ALGORITHM, rest)) = value.split_once(' ') else {
            return Err(incomplete(&format!("Authorization begins with another algorithm than {ALGORITHM}")));
        };
        let field = |name: &str| {
            let value = rest.split(',').find_map(|pair| pair.trim().strip_prefix(name)?.strip_prefix('='));
            value.ok_or_else(|| incomplete(&format!("Authorization header requires '{name}' parameter.")))
        };
        let header = |name: &str| request.headers.get(name).and_then(|value| value.to_str().ok()).map(Cow::Borrowed);
        let at = header("x-amz-date");
        let at = at.ok_or_else(|| incomplete("the header X-Amz-Date is missing"))?;
        Self::assemble(
            field("Credential")?,
            at,
            field("SignedHeaders")?,
            field("Signature")?.into(),
            header("x-amz-security-token"),
            None,
        )
    }

    fn in_query(request: &Signed<'r>) -> Result<Self, Refusal> {
        let field = |name: &str| {
            let mut pairs = request.query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.find(|(key, _)| *key == name).map(|(_, value)| decoded(value))
        };
        let Some(algorithm) = field("X-Amz-Algorithm") else {
            let message = "Request is missing Authentication Token";
            return Err(Refusal::new(Code::MissingAuthenticationToken, message));
        };
        if algorithm != ALGORITHM {
            return Err(incomplete(&format!("X-Amz-Algorithm must be {ALGORITHM}")));
        }
        let required = |name: &str| field(name).ok_or_else(|| incomplete(&format!("{name} is missing")));
        let expires = required("X-Amz-Expires")?;
        let expires = expires.parse().ok().filter(|expires| (1..=EXPIRES_S_MAX).contains(expires));
        let expires = expires.ok_or_else(|| incomplete("X-Amz-Expires must be a number of seconds up to 604800"))?;
        Self::assemble(
            &required("X-Amz-Credential")?,
            required("X-Amz-Date")?,
            &required("X-Amz-SignedHeaders")?,
            required("X-Amz-Signature")?,
            field("X-Amz-Security-Token"),
            Some(expires),
        )
    }

    fn assemble(
        credential: &str,
        at: Cow<'r, str>,
        signed_headers: &str,
        signature: Cow<'r, str>,
        session_token: Option<Cow<'r, str>>,
        expires_s: Option<u64>,
    ) -> Result<Self, Refusal> {
        let mut scope = credential.rsplitn(5, '/').map(|part| Cow::Owned(part.to_owned()));
        let (Some(end), Some(service), Some(region), Some(date), Some(key_id)) =
            (scope.next(), scope.next(), scope.next(), scope.next(), scope.next())
        else {
            return Err(incomplete("Credential must have at least 5 slash-delimited elements"));
        };
        if end != TERMINATOR {
            return Err(refused(&format!("Credential should be scoped with a valid terminator: '{TERMINATOR}'.")));
        }
        let signed_headers: Vec<_> = signed_headers.split(';').map(str::to_ascii_lowercase).collect();
        let is_signed = |name: &str| signed_headers.iter().any(|signed| signed == name);
        if !is_signed("host") || (expires_s.is_none() && !is_signed("x-amz-date")) {
            return Err(refused("'Host' and 'X-Amz-Date' must be signed headers."));
        }
        if signed_headers.len() > SIGNED_HEADERS_MAX {
            return Err(incomplete("there are too many signed headers"));
        }
        Ok(Self { key_id, region, service, date, at, signed_headers, signature, session_token, expires_s })
    }

    /// Checks that the holder of a key signed this request, for this service, not long ago.
    ///
    /// # Errors
    /// [`Code::SignatureDoesNotMatch`], or [`Code::InvalidClientTokenId`] for a session that the key is not of.
    pub(super) fn check(&self, request: &Signed<'_>, key: &AccessKey, now: SystemTime) -> Result<(), Refusal> {
        if self.service != SERVICE {
            return Err(refused(&format!("Credential should be scoped to correct service: '{SERVICE}'.")));
        }
        self.check_time(now)?;
        let session = |token: Option<&str>| token.unwrap_or_default().to_owned();
        let (own, told) = (session(key.session_token()), session(self.session_token.as_deref()));
        if verify_slices_are_equal(own.as_bytes(), told.as_bytes()).is_err() {
            let message = "The security token included in the request is invalid.";
            return Err(Refusal::new(Code::InvalidClientTokenId, message));
        }
        let body_hash = hexadecimal(digest(&SHA256, request.body).as_ref());
        let told_hash = request.headers.get("x-amz-content-sha256").map(http::HeaderValue::as_bytes);
        if told_hash.is_some_and(|told| told != body_hash.as_bytes()) {
            return Err(refused("The value of X-Amz-Content-Sha256 is not the hash of the body."));
        }
        let canonical = self.canonical(request, &body_hash);
        let scope = format!("{}/{}/{}/{TERMINATOR}", self.date, self.region, self.service);
        let hash = hexadecimal(digest(&SHA256, canonical.as_bytes()).as_ref());
        let to_sign = format!("{ALGORITHM}\n{}\n{scope}\n{hash}", self.at);
        let mut derived = format!("AWS4{}", key.secret()).into_bytes();
        for part in [&*self.date, &*self.region, &*self.service, TERMINATOR, &to_sign] {
            derived = hmac::sign(&hmac::Key::new(HMAC_SHA256, &derived), part.as_bytes()).as_ref().to_vec();
        }
        let expected = hexadecimal(&derived);
        verify_slices_are_equal(expected.as_bytes(), self.signature.as_bytes()).map_err(|_| {
            refused(
                "The request signature we calculated does not match the signature you provided. Check your AWS Secret \
                 Access Key and signing method. Consult the service documentation for details.",
            )
        })
    }

    fn check_time(&self, now: SystemTime) -> Result<(), Refusal> {
        let format = format_description!("[year][month][day]T[hour][minute][second]Z");
        let at = PrimitiveDateTime::parse(&self.at, format);
        let at: SystemTime =
            at.map_err(|_| incomplete("X-Amz-Date must be like 20261123T034723Z"))?.assume_utc().into();
        let holds_for = self.expires_s.map_or(SKEW_MAX, Duration::from_secs);
        let written = |time: SystemTime| OffsetDateTime::from(time).format(format).unwrap_or_default();
        let (earliest, latest) = (now.checked_sub(holds_for).unwrap_or(now), now + SKEW_MAX);
        if at < earliest {
            let (at, now, since) = (&self.at, written(now), written(earliest));
            return Err(refused(&format!("Signature expired: {at} is now earlier than {since} ({now}).")));
        }
        if at > latest {
            let (at, now, until) = (&self.at, written(now), written(latest));
            return Err(refused(&format!("Signature not yet current: {at} is still later than {until} ({now}).")));
        }
        Ok(())
    }

    /// The request in the form that is signed.
    fn canonical(&self, request: &Signed<'_>, body_hash: &str) -> String {
        let mut query: Vec<(String, String)> = request
            .query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .filter(|(name, _)| self.expires_s.is_none() || *name != "X-Amz-Signature")
            .map(|(name, value)| (encoded(&decoded(name)), encoded(&decoded(value))))
            .collect();
        query.sort();
        let query: Vec<_> = query.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        let header = |name: &String| {
            let values = request.headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
            let values = values.map(|value| value.split_ascii_whitespace().collect::<Vec<_>>().join(" "));
            format!("{name}:{}\n", values.collect::<Vec<_>>().join(","))
        };
        let headers: String = self.signed_headers.iter().map(header).collect();
        let names = self.signed_headers.join(";");
        format!("{}\n/\n{}\n{headers}\n{names}\n{body_hash}", request.method, query.join("&"))
    }
}

/// A value of a query without its percent signs. A plus sign stays one: signers write spaces as `%20`.
fn decoded(text: &str) -> Cow<'_, str> {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy()
}

/// As RFC 3986 has it: everything but unreserved characters.
fn encoded(text: &str) -> String {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
    const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    utf8_percent_encode(text, RESERVED).to_string()
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn incomplete(why: &str) -> Refusal {
    Refusal::new(Code::IncompleteSignature, why)
}

fn refused(why: &str) -> Refusal {
    Refusal::new(Code::SignatureDoesNotMatch, why)
}
