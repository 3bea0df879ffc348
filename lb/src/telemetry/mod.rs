//! What is counted: cells that workers write, the handles that group them, and every metric's name in one file.
//!
//! Handles are resolved when a snapshot is compiled, never by label on the request path. Each worker writes its own
//! cells, without locked instructions; readers add them up. Not here: what is logged as text (`tracing`).

mod access_log;
mod cells;
mod handles;

pub use access_log::{AccessLog, AccessLogThread, AccessRecord, EndReason};
pub use cells::{Counter, Gauge, Histogram, Sharded};
pub use handles::{
    BackendMetrics, ByClass, CodeClass, GroupCells, GroupMetrics, LB_CODES, ListenerCells, ListenerMetrics,
    NoncompliantClass, RouteCells, RouteMetrics, WorkerMetrics,
};
