//! What is counted: cells that workers write, the handles that group them, and every metric's name in one file.
//!
//! Handles are resolved when a snapshot is compiled, never by label on the request path. Each worker writes its own
//! cells, without locked instructions; readers add them up. Not here: what is logged as text (`tracing`).

mod access_log;
mod cells;
mod handles;
mod names;
mod process;
mod render;

pub use access_log::{AccessLog, AccessLogThread, AccessRecord, EndReason, STREAM_PROTOCOL};
pub use cells::{Counter, Gauge, Histogram, Sharded};
pub use handles::{
    BackendMetrics, ByClass, CodeClass, GroupCells, GroupMetrics, HandshakeResult, LB_CODES, ListenerCells,
    ListenerMetrics, NoncompliantClass, ProxyHeaderFault, RouteCells, RouteMetrics, SESSION_KINDS, StickyResult,
    StreamCells, TargetHandshake, WorkerMetrics,
};
pub use names::{Kind, METRICS, Metric};
pub use render::render;

/// What the process as a whole counts and logs: one for all workers, the admin API and the log's switches.
#[derive(Debug)]
pub struct Telemetry {
    /// What each worker counts of itself.
    pub workers: Sharded<WorkerMetrics>,
    /// Where requests are logged.
    pub access_log: AccessLog,
    /// What is running.
    pub build: Build,
}

/// What is running, for `elbow_build_info` and `elbow version`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Build {
    /// The version.
    pub version: &'static str,
    /// The commit it was built from.
    pub commit: &'static str,
}

impl Telemetry {
    /// Starts counting for `workers` workers.
    pub fn new(workers: usize, access_log: AccessLog, build: Build) -> Self {
        Self { workers: Sharded::new(workers), access_log, build }
    }
}
