//! What is wanted of the process as a whole and may change while it runs.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{Acme, ElbApi, Instance};

/// Process-wide settings that a reload may change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Global {
    /// The most client connections. 0: what the file-descriptor limit allows, less a reserve.
    pub connections_max: usize,
    /// How a graceful stop goes.
    pub shutdown: Shutdown,
    /// Where requests are logged.
    pub access_log: AccessLog,
    /// Who issues certificates, where somebody does.
    pub acme: Option<Acme>,
    /// How load balancers of the ELB API are carried out.
    pub elb_api: ElbApi,
    /// Where instances are that the ELB API names, by their ids.
    pub instances: BTreeMap<Arc<str>, Instance>,
}

/// How a graceful stop goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shutdown {
    /// `/readyz` fails this long before listeners close.
    pub delay: Duration,
    /// What is still in flight this long after listeners closed is cut.
    pub timeout: Duration,
}

/// The access log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessLog {
    /// Where lines go.
    pub destination: AccessLogDestination,
    /// What a line looks like.
    pub format: AccessLogFormat,
}

/// Where access-log lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessLogDestination {
    /// Nowhere; nothing is spent on them.
    Off,
    /// Standard output.
    Stdout,
    /// A file, appended to and opened again on `USR1`.
    File(PathBuf),
}

/// What an access-log line looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessLogFormat {
    /// One JSON object a line.
    Json,
    /// The combined format of Apache and nginx.
    Combined,
    /// The fifteen fields of Classic ELB.
    ElbClassic,
}

impl Default for Global {
    fn default() -> Self {
        Self {
            connections_max: 0,
            shutdown: Shutdown { delay: Duration::ZERO, timeout: Duration::from_secs(30) },
            access_log: AccessLog { destination: AccessLogDestination::Off, format: AccessLogFormat::Json },
            acme: None,
            elb_api: ElbApi::default(),
            instances: BTreeMap::new(),
        }
    }
}
