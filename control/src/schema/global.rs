//! `[admin]`, `[state]`, `[workers]`, `[limits]`, `[shutdown]` and `[access_log]`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lb::model;
use lb::model::{AccessLogDestination, AccessLogFormat, CertificateName, Global};
use serde_json::Value;

use super::notation::{Words, count_usize, duration, duration_text, parsed, socket_address, text};
use super::problem::Wrong;
use super::reader::Reader;
use super::{HOUR, acme, elb_api, instances};

const OFF: &str = "off";
const STDOUT: &str = "-";
const AUTH: Words<AdminAuth> =
    Words { what: "auth", now: &[("required", AdminAuth::Required), ("none", AdminAuth::None)], later: &[] };
const FORMAT: Words<AccessLogFormat> = Words {
    what: "format",
    now: &[
        ("json", AccessLogFormat::Json),
        ("combined", AccessLogFormat::Combined),
        ("elb-classic", AccessLogFormat::ElbClassic),
    ],
    later: &[],
};

/// What a file says of the process itself. It holds from start to end: a reload that changes it is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessSettings {
    /// Where the admin API listens; absent: nowhere.
    pub admin_listen: Option<SocketAddr>,
    /// Whether the admin API asks for a token.
    pub admin_auth: AdminAuth,
    /// The certificate that the admin address shows; absent: it speaks HTTP in the clear.
    pub admin_certificate: Option<CertificateName>,
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
            admin_certificate: None,
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
    /// The certificate that it shows; absent: it speaks HTTP in the clear.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
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
    /// `json`, `combined` or `elb-classic`.
    pub format: String,
}

/// Reads `[admin]`, `[state]` and `[workers]`.
pub(super) fn read_process(reader: &mut Reader<'_>) -> Option<ProcessSettings> {
    let default = ProcessSettings::default();
    let (admin_listen, admin_auth, admin_certificate) =
        reader.table("admin", |reader| Some(read_admin(reader, &default)))?;
    let state_dir = reader.table("state", |reader| Some(reader.or("dir", None, |value| path(value).map(Some))))?;
    let workers = reader.table("workers", |reader| Some(reader.or("count", default.workers, count_usize(0..=1024))))?;
    Some(ProcessSettings { admin_listen, admin_auth, admin_certificate, state_dir, workers })
}

fn read_admin(
    reader: &mut Reader<'_>,
    default: &ProcessSettings,
) -> (Option<SocketAddr>, AdminAuth, Option<CertificateName>) {
    let certificate = reader.or("certificate", None, |value| parsed(CertificateName::parse)(value).map(Some));
    let listen = reader.or("listen", default.admin_listen, |value| match value.as_str() {
        Some(OFF) => Ok(None),
        _ => socket_address(value).map(Some),
    });
    let auth = reader.or("auth", default.admin_auth, |value| AUTH.parse(value));
    if let (Some(listen), AdminAuth::None) = (listen, auth)
        && !listen.ip().is_loopback()
    {
        let wrong = Wrong::new(format!("without a token the admin API listens on loopback only, not on {listen}"));
        reader.problem("auth", wrong.hint("write auth = \"required\", or listen = \"127.0.0.1:9900\""));
    }
    (listen, auth, certificate)
}

/// Reads `[limits]`, `[shutdown]`, `[access_log]` and `[acme]`.
pub(super) fn read_global(reader: &mut Reader<'_>) -> Option<Global> {
    let default = Global::default();
    let connections_max = reader.table("limits", |reader| {
        Some(reader.or("connections_max", default.connections_max, count_usize(0..=10_000_000)))
    })?;
    let shutdown = reader.table("shutdown", |reader| {
        Some(model::Shutdown {
            delay: reader.or("delay", default.shutdown.delay, duration(Duration::ZERO..=HOUR)),
            timeout: reader.or("timeout", default.shutdown.timeout, duration(Duration::ZERO..=24 * HOUR)),
        })
    })?;
    let access_log = reader.table("access_log", |reader| {
        Some(model::AccessLog {
            destination: reader.or("path", default.access_log.destination.clone(), |value| match value.as_str() {
                Some(OFF) => Ok(AccessLogDestination::Off),
                Some(STDOUT) => Ok(AccessLogDestination::Stdout),
                _ => path(value).map(AccessLogDestination::File),
            }),
            format: reader.or("format", default.access_log.format, |value| FORMAT.parse(value)),
        })
    })?;
    let acme = reader.table_if_any("acme", acme::read)?;
    let elb_api = reader.table("elb_api", elb_api::read)?;
    let instances = reader.or("instances", default.instances, instances::read);
    Some(Global { connections_max, shutdown, access_log, acme, elb_api, instances })
}

fn path(value: &Value) -> Result<PathBuf, Wrong> {
    text(value).map(PathBuf::from)
}

fn path_text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

impl From<&ProcessSettings> for Admin {
    fn from(process: &ProcessSettings) -> Self {
        let listen = process.admin_listen.map_or_else(|| OFF.to_owned(), |listen| listen.to_string());
        let certificate = process.admin_certificate.as_ref().map(ToString::to_string);
        Self { listen, auth: AUTH.word(process.admin_auth), certificate }
    }
}

impl From<&ProcessSettings> for State {
    fn from(process: &ProcessSettings) -> Self {
        Self { dir: process.state_dir.as_deref().map(path_text) }
    }
}

impl From<&ProcessSettings> for Workers {
    fn from(process: &ProcessSettings) -> Self {
        Self { count: process.workers as u64 }
    }
}

impl From<&Global> for Limits {
    fn from(global: &Global) -> Self {
        Self { connections_max: global.connections_max as u64 }
    }
}

impl From<&Global> for Shutdown {
    fn from(global: &Global) -> Self {
        Self { delay: duration_text(global.shutdown.delay), timeout: duration_text(global.shutdown.timeout) }
    }
}

impl From<&Global> for AccessLog {
    fn from(global: &Global) -> Self {
        let path = match &global.access_log.destination {
            AccessLogDestination::Off => OFF.to_owned(),
            AccessLogDestination::Stdout => STDOUT.to_owned(),
            AccessLogDestination::File(path) => path_text(path),
        };
        Self { path, format: FORMAT.word(global.access_log.format) }
    }
}
