//! HAProxy, from Debian's package.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::{Peer, Proxy, first_line_of, start_on_free_port};
use crate::load::TARGETS;

pub(crate) struct Haproxy;

impl Peer for Haproxy {
    fn name(&self) -> &'static str {
        "haproxy"
    }

    fn version(&self) -> Result<String> {
        first_line_of(Command::new("haproxy").arg("-v"))
    }

    fn start(&self, targets: &[SocketAddr; TARGETS], directory: &Path) -> Result<Proxy> {
        start_on_free_port(include_str!("../../peers/haproxy.cfg"), targets, directory, |file| {
            let mut command = Command::new("haproxy");
            command.arg("-db").arg("-f").arg(file);
            command
        })
    }
}
