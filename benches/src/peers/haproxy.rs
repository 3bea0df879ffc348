//! HAProxy, from Debian's package.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::{Peer, Proxy, first_line_of, start_on_free_port};
use crate::load::TARGETS;
use crate::workload::Through;

pub(crate) struct Haproxy {
    balance: &'static str,
}

impl Haproxy {
    /// With this algorithm.
    pub(crate) fn balancing(balance: &'static str) -> Self {
        Self { balance }
    }
}

impl Peer for Haproxy {
    fn name(&self) -> &'static str {
        "haproxy"
    }

    fn version(&self) -> Result<String> {
        first_line_of(Command::new("haproxy").arg("-v"))
    }

    fn start(&self, through: Through, targets: &[SocketAddr; TARGETS], directory: &Path) -> Result<Proxy> {
        let (template, ssl) = match through {
            Through::Http => (include_str!("../../peers/haproxy.cfg"), ""),
            Through::Https(_) => {
                (include_str!("../../peers/haproxy.cfg"), "ssl crt @CERTIFICATE@ alpn http/1.1 no-tls-tickets")
            }
            Through::Tcp => (include_str!("../../peers/haproxy_tcp.cfg"), ""),
        };
        let template = template.replace("@BALANCE@", self.balance).replace("@SSL@", ssl);
        start_on_free_port(&template, through, targets, directory, |file| {
            let mut command = Command::new("haproxy");
            command.arg("-db").arg("-f").arg(file);
            command
        })
    }
}
