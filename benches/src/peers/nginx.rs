//! nginx, from Debian's package.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::{Peer, Proxy, first_line_of, start_on_free_port};
use crate::load::TARGETS;
use crate::workload::Through;

pub(crate) struct Nginx;

impl Peer for Nginx {
    fn name(&self) -> &'static str {
        "nginx"
    }

    fn version(&self) -> Result<String> {
        first_line_of(Command::new("nginx").arg("-v"))
    }

    fn start(&self, through: Through, targets: &[SocketAddr; TARGETS], directory: &Path) -> Result<Proxy> {
        let (template, ssl, tls) = match through {
            Through::Http => (include_str!("../../peers/nginx.conf"), "", ""),
            Through::Https(_) => {
                (include_str!("../../peers/nginx.conf"), "ssl", include_str!("../../peers/nginx_tls.conf"))
            }
            Through::Tcp => (include_str!("../../peers/nginx_tcp.conf"), "", ""),
        };
        let template = template.replace("@SSL@", ssl).replace("@TLS@", tls);
        start_on_free_port(&template, through, targets, directory, |file| {
            let mut command = Command::new("nginx");
            command.args(["-e", "stderr", "-p"]).arg(directory).arg("-c").arg(file);
            command
        })
    }
}
