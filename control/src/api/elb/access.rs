//! Who may use the ELB API: access keys, each of an account.

use std::time::SystemTime;

use lb::model::{AccessKey, DEFAULT_ACCOUNT};

use super::error::{Code, Refusal};
use super::signature::{Claim, Signed};

/// How long the name of a region may be: it is kept with each load balancer.
const REGION_CHARACTERS_MAX: usize = 64;

/// Whose a request is, and where: each account has its own load balancers in each region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Caller {
    pub(super) account: String,
    pub(super) region: String,
}

/// Finds out whose a request is, among holders of these keys; where it `is_open` to everyone, only that it is signed.
///
/// # Errors
/// The refusal.
pub(super) fn authenticate<'k>(
    request: &Signed<'_>,
    mut keys: impl Iterator<Item = &'k AccessKey>,
    is_open: bool,
    now: SystemTime,
) -> Result<Caller, Refusal> {
    let claim = Claim::of(request)?;
    let region = claim.region.clone().into_owned();
    let is_character = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if region.is_empty() || region.len() > REGION_CHARACTERS_MAX || !region.bytes().all(is_character) {
        return Err(Refusal::new(Code::SignatureDoesNotMatch, "Credential should be scoped to a valid region."));
    }
    match keys.find(|key| *key.id == *claim.key_id) {
        Some(key) if is_open => Ok(Caller { account: key.account.to_string(), region }),
        Some(key) => {
            claim.check(request, key, now)?;
            Ok(Caller { account: key.account.to_string(), region })
        }
        None if is_open => Ok(Caller { account: DEFAULT_ACCOUNT.to_owned(), region }),
        None => {
            let message = "The security token included in the request is invalid.";
            Err(Refusal::new(Code::InvalidClientTokenId, message))
        }
    }
}
