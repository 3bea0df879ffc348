//! The one native document: what stands in the TOML file, what the admin API takes and gives as JSON, and what the
//! store keeps. Here it becomes [`lb::model`] and comes back from it.
//!
//! Reading is strict and tells all that is wrong, not only the first: each [`Problem`] has the place as a JSON pointer
//! (`/target_group/0/health_check/interval`), what is wrong and a hint. Keys that belong to a later version are
//! refused as such. Writing gives complete documents, every value in its own notation (`"10s"`, `"64KiB"`).
//! The structs here describe what is written, and the OpenAPI document; reading goes through the `read_` functions
//! only. Not here: TOML, lines and columns ([`crate::file`]).

mod global;
mod health_check;
mod listener;
mod problem;
mod target;
mod target_group;

use lb::model;
use serde_json::Value;

pub use global::{AccessLog, Admin, AdminAuth, Limits, ProcessSettings, Shutdown, State, Workers};
pub use health_check::HealthCheck;
pub use listener::Listener;
pub use problem::{Problem, Problems};
pub use target::Target;
pub use target_group::TargetGroup;

/// A whole configuration, as a file holds it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct Document {
    /// The admin address.
    pub admin: Admin,
    /// Where state is kept.
    pub state: State,
    /// The threads that serve traffic.
    pub workers: Workers,
    /// Limits of the whole process.
    pub limits: Limits,
    /// How a graceful stop goes.
    pub shutdown: Shutdown,
    /// Where requests are logged.
    pub access_log: AccessLog,
    /// Listeners.
    pub listener: Vec<Listener>,
    /// Target groups, each with the targets it declares.
    pub target_group: Vec<TargetGroup>,
}

/// Reads a whole document.
///
/// # Errors
/// All that is wrong with it.
pub fn read_document(document: &Value) -> Result<(ProcessSettings, model::Declared), Problems> {
    let _ = document;
    unreachable!("being written")
}

/// Reads the body of `PUT /v1/listeners/{name}`: the keys of `[[listener]]`, where `name` may be left out and must not
/// differ.
///
/// # Errors
/// All that is wrong with it, pointers relative to the body.
pub fn read_listener(name: &model::ListenerName, body: &Value) -> Result<model::Listener, Problems> {
    let _ = (name, body);
    unreachable!("being written")
}

/// Reads the body of `PUT /v1/target-groups/{name}`: the keys of `[[target_group]]` less `target`, where `name` may be
/// left out and must not differ.
///
/// # Errors
/// All that is wrong with it, pointers relative to the body.
pub fn read_target_group(name: &model::GroupName, body: &Value) -> Result<model::TargetGroup, Problems> {
    let _ = (name, body);
    unreachable!("being written")
}

/// Reads the body of `PUT /v1/target-groups/{name}/targets/{id}`: `address`, `weight`, `zone`, where `id` may be given
/// and must not differ.
///
/// # Errors
/// All that is wrong with it, pointers relative to the body.
pub fn read_target(id: &model::TargetId, body: &Value) -> Result<model::Target, Problems> {
    let _ = (id, body);
    unreachable!("being written")
}
