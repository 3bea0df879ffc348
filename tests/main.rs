//! The behaviour of elbow as its users meet it, through public doors only: sockets, the command line, the admin API.
//!
//! One file per area; [`harness`] is the vocabulary they are written in, and [`tidy`] holds the house rules. One test
//! binary, so that linking is paid once.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test that cannot go on panics, and says what it saw")]
#![expect(unreachable_pub, reason = "the harness reads as a vocabulary; nothing outside this binary sees it")]

mod access_log;
mod acme;
mod acme_unhappy;
mod admin;
mod admin_tls;
mod auto_scaling;
mod balancing;
mod cli;
mod connections;
mod cookie_keys;
mod crash;
mod discovery;
mod ejection;
mod elb_backends;
mod elb_clients;
mod elb_commands;
mod elb_crash;
mod elb_deletion;
mod elb_ec2;
mod elb_figures;
mod elb_instances;
mod elb_stickiness;
mod elb_tls;
mod elb_traffic;
mod explain;
mod forwarding;
mod harness;
mod health;
mod http_desync;
mod http_limits;
mod http_semantics;
mod http_strictness;
mod in_process;
mod large_bodies;
mod metrics;
mod proxy_protocol;
mod real_servers;
mod registration;
mod reload;
mod request_ids;
mod retries;
mod shutdown;
mod stickiness;
mod sticky_addresses;
mod sticky_cookies;
mod surge;
mod tcp;
mod tcp_peers;
mod tidy;
mod tls;
mod tls_certificates;
mod tls_hostile;
mod tls_streams;
mod tls_targets;
mod tls_targets_hostile;
mod websocket;
