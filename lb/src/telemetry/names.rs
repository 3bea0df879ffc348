//! Every metric: its name, its type and its help text, in the order of the exposition.

/// What is known of a metric beside its samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// One sentence for people.
    pub help: &'static str,
    /// Its labels, in order.
    pub labels: &'static [&'static str],
}

/// The type of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only goes up; its name ends in `_total`.
    Counter,
    /// A level.
    Gauge,
    /// Durations by bucket.
    Histogram,
}

macro_rules! metrics {
    ($($constant:ident: $kind:ident $name:literal { $($label:literal),* } $help:literal;)*) => {
        $(pub(super) const $constant: Metric =
            Metric { name: $name, kind: Kind::$kind, help: $help, labels: &[$($label),*] };)*

        /// Every metric there is.
        pub const METRICS: &[Metric] = &[$($constant),*];
    };
}

metrics! {
    REQUESTS: Counter "elbow_requests_total" { "listener", "target_group", "code_class" }
        "Requests answered, by class of status, elbow's own answers among them.";
    REQUEST_DURATION: Histogram "elbow_request_duration_seconds" { "listener", "target_group" }
        "From the first byte of a request to the last of its answer.";
    TARGET_RESPONSE: Histogram "elbow_target_response_seconds" { "target_group" }
        "From the last byte of a request sent to a target to the first byte of its answer.";
    LB_RESPONSES: Counter "elbow_lb_responses_total" { "listener", "code" }
        "Answers made by elbow itself, by status.";
    TARGET_REQUESTS: Counter "elbow_target_requests_total" { "target_group", "target", "code_class" }
        "Requests answered by a target, by class of status.";
    TARGET_CONNECTIONS: Counter "elbow_target_connections_total" { "target_group", "target" }
        "Connections made to a target for TCP streams.";
    TARGET_CONNECT: Histogram "elbow_target_connect_seconds" { "target_group" }
        "How long connecting to a target took, for TCP streams.";
    TARGETS: Gauge "elbow_targets" { "target_group", "state" }
        "Targets in each state.";
    CONNECTIONS_OPEN: Gauge "elbow_connections_open" { "listener" }
        "Client connections open now.";
    CONNECTIONS: Counter "elbow_connections_total" { "listener" }
        "Client connections accepted.";
    CONNECTIONS_ENDED: Counter "elbow_connections_ended_total" { "listener", "target_group", "end" }
        "TCP streams that have ended, by how.";
    CONNECTION_DURATION: Histogram "elbow_connection_duration_seconds" { "listener", "target_group" }
        "From accept of a TCP stream to its end.";
    BACKEND_CONNECTION_ERRORS: Counter "elbow_backend_connection_errors_total" { "target_group" }
        "Connections to targets that could not be made or broke before an answer.";
    RETRIES: Counter "elbow_retries_total" { "target_group", "result" }
        "Requests that were tried again, by how that ended.";
    STICKY_REQUESTS: Counter "elbow_sticky_requests_total" { "target_group", "result" }
        "Requests to groups with stickiness that a target answered, or none might, by what stickiness decided.";
    SURGE_QUEUE_LENGTH: Gauge "elbow_surge_queue_length" { "target_group" }
        "Requests and TCP connections that wait in line for a target to have room.";
    SPILLOVER: Counter "elbow_spillover_total" { "target_group" }
        "Requests and TCP connections refused because every target was full, and the line as well.";
    FAILED_OPEN: Gauge "elbow_failed_open" { "target_group" }
        "1 while unhealthy targets are used because none is healthy.";
    FAILED_OPEN_REQUESTS: Counter "elbow_failed_open_requests_total" { "target_group" }
        "Requests sent to unhealthy targets because none was healthy.";
    HEALTH_PROBES: Counter "elbow_health_probes_total" { "target_group", "result" }
        "Health probes, by how they ended.";
    EJECTIONS: Counter "elbow_ejections_total" { "target_group" }
        "How often a target was taken out because requests to it failed in a row.";
    RECEIVED_BYTES: Counter "elbow_received_bytes_total" { "listener" }
        "Bytes received from clients.";
    SENT_BYTES: Counter "elbow_sent_bytes_total" { "listener" }
        "Bytes sent to clients.";
    NONCOMPLIANT_REQUESTS: Counter "elbow_noncompliant_requests_total" { "listener", "class" }
        "Requests that were not as the RFCs write them; ambiguous and severe ones were refused.";
    TLS_HANDSHAKES: Counter "elbow_tls_handshakes_total" { "listener", "result" }
        "TLS handshakes with clients, by how they ended.";
    TLS_SESSIONS: Counter "elbow_tls_sessions_total" { "listener", "version", "resumed" }
        "TLS sessions with clients, by version and whether an earlier one was resumed.";
    TARGET_TLS_HANDSHAKES: Counter "elbow_target_tls_handshakes_total" { "target_group", "result" }
        "TLS handshakes with targets, by how they ended.";
    TLS_CERT_NOT_AFTER: Gauge "elbow_tls_cert_not_after_seconds" { "certificate" }
        "When a certificate ends, in seconds since the Unix epoch.";
    ACME_RENEWALS: Counter "elbow_acme_renewals_total" { "certificate", "result" }
        "Attempts to have a certificate issued or renewed, by how that ended.";
    DISCOVERY_LAST_SUCCESS: Gauge "elbow_discovery_last_success_seconds" { "target_group", "source" }
        "When looking for the targets of a group last succeeded, in seconds since the Unix epoch.";
    DISCOVERY_INSTANCES: Gauge "elbow_discovery_instances" { "target_group", "source" }
        "Targets that the last answer of a source showed.";
    DISCOVERY_HELD: Gauge "elbow_discovery_held" { "target_group", "source" }
        "Targets that stay for a while although the source no longer shows them, because so many are missing at once.";
    DISCOVERY_ERRORS: Counter "elbow_discovery_errors_total" { "target_group", "source" }
        "Looks for targets that failed, and changed nothing.";
    ELB_REQUESTS: Counter "elbow_elb_request_count_total" { "account", "region", "load_balancer" }
        "Requests sent to instances and connections made to them for streams (RequestCount).";
    ELB_LATENCY: Histogram "elbow_elb_latency_seconds" { "account", "region", "load_balancer" }
        "From a request sent to an instance to the first of its answer; of streams, connecting (Latency).";
    ELB_CODE_BACKEND: Counter "elbow_elb_http_code_backend_total" { "account", "region", "load_balancer", "code_class" }
        "Answers made by instances, by class (HTTPCode_Backend_2XX and so on).";
    ELB_CODE_ELB: Counter "elbow_elb_http_code_elb_total" { "account", "region", "load_balancer", "code_class" }
        "Errors answered by elbow itself, by class (HTTPCode_ELB_4XX, HTTPCode_ELB_5XX).";
    ELB_BACKEND_CONNECTION_ERRORS: Counter "elbow_elb_backend_connection_errors_total" { "account", "region", "load_balancer" }
        "Connections to instances that could not be made, those of health checks among them (BackendConnectionErrors).";
    ELB_SURGE_QUEUE_LENGTH: Gauge "elbow_elb_surge_queue_length" { "account", "region", "load_balancer" }
        "Requests and connections that wait for an instance to have room (SurgeQueueLength).";
    ELB_SPILLOVER: Counter "elbow_elb_spillover_count_total" { "account", "region", "load_balancer" }
        "Requests and connections refused because no more may wait (SpilloverCount).";
    ELB_HEALTHY_HOSTS: Gauge "elbow_elb_healthy_hosts" { "account", "region", "load_balancer" }
        "Registered instances that are in service (HealthyHostCount).";
    ELB_UNHEALTHY_HOSTS: Gauge "elbow_elb_unhealthy_hosts" { "account", "region", "load_balancer" }
        "Registered instances that are out of service (UnHealthyHostCount).";
    ELB_NONCOMPLIANT: Counter "elbow_elb_noncompliant_request_count_total" { "account", "region", "load_balancer" }
        "Requests that were not as RFC 7230 has them (DesyncMitigationMode_NonCompliant_Request_Count).";
    PROXY_HEADERS_REFUSED: Counter "elbow_proxy_headers_refused_total" { "listener", "reason" }
        "Connections closed because their PROXY protocol header was missing, malformed, late or from a stranger.";
    CONNECTIONS_REFUSED: Counter "elbow_connections_refused_total" {}
        "Client connections refused because a limit on connections was reached.";
    WORKER_PANICS: Counter "elbow_worker_panics_total" {}
        "Panics on workers; each cost one connection.";
    ACCESS_LOG_DROPPED: Counter "elbow_access_log_dropped_total" {}
        "Access-log lines lost because the queue was full or a write failed.";
    CONFIG_REVISION: Gauge "elbow_config_revision" {}
        "The revision of the configuration that holds.";
    CONFIG_LAST_APPLY_SUCCESS: Gauge "elbow_config_last_apply_success" {}
        "1 if the last attempt to take over the configuration file succeeded.";
    BUILD_INFO: Gauge "elbow_build_info" { "version", "commit" }
        "Always 1; its labels say what is running.";
    PROCESS_CPU: Counter "process_cpu_seconds_total" {}
        "User and system CPU time spent, in seconds.";
    PROCESS_RESIDENT_MEMORY: Gauge "process_resident_memory_bytes" {}
        "Resident memory size in bytes.";
    PROCESS_VIRTUAL_MEMORY: Gauge "process_virtual_memory_bytes" {}
        "Virtual memory size in bytes.";
    PROCESS_OPEN_FDS: Gauge "process_open_fds" {}
        "Number of open file descriptors.";
    PROCESS_MAX_FDS: Gauge "process_max_fds" {}
        "Maximum number of open file descriptors.";
    PROCESS_START_TIME: Gauge "process_start_time_seconds" {}
        "Start time of the process since the Unix epoch, in seconds.";
    PROCESS_THREADS: Gauge "process_threads" {}
        "Number of OS threads in the process.";
}
