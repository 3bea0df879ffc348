//! `[admin]`, `[state]`, `[workers]`, `[limits]`, `[shutdown]` and `[access_log]`.

use std::net::SocketAddr;
use std::path::PathBuf;

use lb::model;

/// What a file says of the process itself. It holds from start to end: a reload that changes it is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessSettings {
    /// Where the admin API listens; absent: nowhere.
    pub admin_listen: Option<SocketAddr>,
    /// Whether the admin API asks for a token.
    pub admin_auth: AdminAuth,
    /// The state directory; absent: the platform's default.
    pub state_dir: Option<PathBuf>,
    /// How many workers; 0: one for each core.
    pub workers: usize,
}

/// Whether the admin API asks for a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdminAuth {
    /// It does.
    Required,
    /// It does not; only together with a loopback address.
    None,
}

impl Default for ProcessSettings {
    fn default() -> Self {
        Self {
            admin_listen: Some(SocketAddr::from(([127, 0, 0, 1], 9900))),
            admin_auth: AdminAuth::Required,
            state_dir: None,
            workers: 0,
        }
    }
}

/// The admin address.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct Admin {
    /// Where it listens, or `off`.
    pub listen: String,
    /// `required`, or `none` (only together with a loopback address).
    pub auth: String,
}

/// Where state is kept.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct State {
    /// The state directory; absent: the platform's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dir: Option<String>,
}

/// The threads that serve traffic.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct Workers {
    /// How many; 0: one for each core.
    pub count: u64,
}

/// Limits of the whole process.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct Limits {
    /// The most client connections; 0: what the file-descriptor limit allows, less a reserve.
    pub connections_max: u64,
}

/// How a graceful stop goes.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct Shutdown {
    /// `/readyz` fails this long before listeners close.
    pub delay: String,
    /// What is in flight this long after listeners closed is cut.
    pub timeout: String,
}

/// Where requests are logged.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct AccessLog {
    /// `off`, `-` for standard output, or a file.
    pub path: String,
    /// `json` or `combined`.
    pub format: String,
}

impl From<&model::Global> for Limits {
    fn from(_global: &model::Global) -> Self {
        unreachable!("being written")
    }
}

impl From<&model::Global> for Shutdown {
    fn from(_global: &model::Global) -> Self {
        unreachable!("being written")
    }
}

impl From<&model::Global> for AccessLog {
    fn from(_global: &model::Global) -> Self {
        unreachable!("being written")
    }
}
