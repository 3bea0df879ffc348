//! The one native document: what stands in the TOML file, what the admin API takes and gives as JSON, and what the
//! store keeps. Here it becomes [`lb::model`] and comes back from it.
//!
//! Reading is strict and tells all that is wrong, not only the first: each [`Problem`] has the place as a JSON pointer
//! (`/target_group/0/health_check/interval`), what is wrong and a hint. Keys that belong to a later version are
//! refused as such. Writing gives complete documents, every value in its own notation (`"10s"`, `"64KiB"`).
//! The structs here describe what is written, and the OpenAPI document; reading goes through the `read_` functions
//! only. Not here: TOML, lines and columns ([`crate::file`]).

mod acme;
mod certificate;
mod cookie_keys;
mod discovery;
mod document;
mod ejection;
mod elb_api;
mod global;
mod health_check;
mod instances;
mod listener;
mod listener_tls;
mod notation;
mod owned;
mod problem;
mod reader;
mod stickiness;
mod target;
mod target_group;
mod target_tls;

use std::time::Duration;

use lb::model;
use lb::model::{CertificateName, GroupName, InvalidName, ListenerName, TargetId};
use serde_json::Value;

pub use acme::Acme;
pub use certificate::{Certificate, CertificateBody};
pub use discovery::{Discovery, Ec2, Values};
pub use document::{Document, read_document};
pub use ejection::Ejection;
pub use elb_api::{ElbAccessKey, ElbApi, ElbEc2};
pub use global::{AccessLog, Admin, AdminAuth, Limits, ProcessSettings, Shutdown, State, Workers};
pub use health_check::HealthCheck;
pub use instances::Instance;
pub use listener::Listener;
pub use owned::{Adjusted, Owned, read_owned, write_owned};
pub use problem::{Problem, Problems};
pub use stickiness::Stickiness;
pub use target::Target;
pub use target_group::TargetGroup;

pub(crate) use certificate::write_kept;
pub(crate) use cookie_keys::{cookie_key_id, read_cookie_keys, write_cookie_keys};
pub(crate) use document::{pointer_to, pointer_to_listener};
pub(crate) use owned::{read_adjusted, write_adjusted};
pub(crate) use problem::{Wrong, segment};
pub(crate) use reader::alike;

use reader::Reader;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Reads the body of `PUT /v1/listeners/{name}`: the keys of `[[listener]]`, where `name` may be left out and must not
/// differ.
///
/// # Errors
/// All that is wrong with it, pointers relative to the body.
pub fn read_listener(name: &ListenerName, body: &Value) -> Result<model::Listener, Problems> {
    reader::read(body, |reader| listener::read(reader, Some(name)))
}

/// Reads the body of `PUT /v1/certificates/{name}`: `certificate` and `key` in PEM, and `arn`.
///
/// # Errors
/// All that is wrong with it, pointers relative to the body. That the certificate has expired is none.
pub fn read_certificate(name: &CertificateName, body: &Value) -> Result<model::Certificate, Problems> {
    reader::read(body, |reader| certificate::read_pem(reader, Some(name)))
}

/// Reads the body of `PUT /v1/target-groups/{name}`: the keys of `[[target_group]]` less `target`, where `name` may be
/// left out and must not differ.
///
/// # Errors
/// All that is wrong with it, pointers relative to the body.
pub fn read_target_group(name: &GroupName, body: &Value) -> Result<model::TargetGroup, Problems> {
    reader::read(body, |reader| {
        reader.refuse("target", || {
            let wrong = Wrong::new("targets are not set with their group");
            wrong.hint("PUT each at /v1/target-groups/{name}/targets/{id}")
        });
        target_group::read(reader, Some(name))
    })
}

/// Reads the body of `PUT /v1/target-groups/{name}/targets/{id}`: `address`, `weight`, `zone`, where `id` may be given
/// and must not differ.
///
/// # Errors
/// All that is wrong with it, pointers relative to the body.
pub fn read_target(id: &TargetId, body: &Value) -> Result<model::Target, Problems> {
    reader::read(body, |reader| target::read(reader, Some(id)))
}

/// Reads a duration such as `30s`, of at most `max`, that stands in no document.
///
/// # Errors
/// What is wrong with it; its pointer is empty.
pub fn read_duration(text: &str, max: Duration) -> Result<Duration, Problem> {
    notation::duration(Duration::ZERO..=max)(&Value::from(text)).map_err(|wrong| Problem::at_value("", wrong))
}

/// How an algorithm is written.
pub fn algorithm_word(algorithm: model::Algorithm) -> String {
    target_group::ALGORITHM.word(algorithm)
}

fn name_of<T: Clone + PartialEq + std::fmt::Display>(
    reader: &mut Reader<'_>,
    named: Option<&T>,
    parse: impl FnOnce(&str) -> Result<T, InvalidName>,
) -> Option<T> {
    name_of_key(reader, "name", named, parse)
}

/// The name an object has by its place, which its own key may repeat; else the name in its own key, which must be there.
fn name_of_key<T: Clone + PartialEq + std::fmt::Display>(
    reader: &mut Reader<'_>,
    key: &'static str,
    named: Option<&T>,
    parse: impl FnOnce(&str) -> Result<T, InvalidName>,
) -> Option<T> {
    let Some(named) = named else { return reader.required(key, notation::parsed(parse)) };
    let given = reader.or(key, named.clone(), notation::parsed(parse));
    if given != *named {
        reader.problem(key, Wrong::new(format!("{given} is not {named}, as which it was addressed")));
    }
    Some(named.clone())
}
