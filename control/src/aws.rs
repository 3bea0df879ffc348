//! All that knows Amazon Web Services: who we are there, how requests are signed and answers read, and the few actions
//! that discovery needs.
//!
//! In reading order: [`Account`] (region, credentials, one signed request), [`mod@ec2`] and [`auto_scaling`] (actions),
//! [`imds`] (what an instance knows of itself), [`crate::xml`] (answers) and [`http`] (requests, ours and those of the chain of
//! credentials). Answers may be hostile: bytes, pages, depth and time are bounded, and what is torn is an error.
//! Not here: what becomes of instances ([`crate::discover`]).

mod account;
pub(crate) mod auto_scaling;
pub(crate) mod ec2;
mod http;
pub mod imds;

pub(crate) use account::{Account, AwsError};
