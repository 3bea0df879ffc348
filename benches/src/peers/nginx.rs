//! nginx, from Debian's package.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::{Peer, Proxy, first_line_of, start_on_free_port};
use crate::load::TARGETS;

pub(crate) struct Nginx;

impl Peer for Nginx {
    fn name(&self) -> &'static str {
        "nginx"
    }

    fn version(&self) -> Result<String> {
        first_line_of(Command::new("nginx").arg("-v"))
    }

    fn start(&self, targets: &[SocketAddr; TARGETS], directory: &Path) -> Result<Proxy> {
        start_on_free_port(include_str!("../../peers/nginx.conf"), targets, directory, |file| {
            let mut command = Command::new("nginx");
            command.args(["-e", "stderr", "-p"]).arg(directory).arg("-c").arg(file);
            command
        })
    }
}
