//! elbow itself, found by the file in which it says where it listens.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::{Peer, Process, Proxy, first_line_of, write_configuration};
use crate::admin::Admin;
use crate::load::TARGETS;
use crate::workload::Through;

/// The count of healthy targets, among the metrics.
const HEALTHY: &str = "elbow_targets{target_group=\"app\",state=\"healthy\"}";

pub(crate) struct Elbow {
    binary: PathBuf,
    algorithm: &'static str,
}

/// `STATE_DIR/run.json`.
#[derive(Debug, Deserialize)]
pub(crate) struct RunFile {
    pub(crate) admin: SocketAddr,
    pub(crate) listeners: BTreeMap<String, SocketAddr>,
}

impl Elbow {
    pub(crate) fn new(binary: PathBuf, algorithm: &'static str) -> Self {
        Self { binary, algorithm }
    }

    /// The command that runs it with this configuration.
    pub(crate) fn run(&self, configuration: &Path) -> Command {
        let mut command = Command::new(&self.binary);
        command.arg("run").arg("-c").arg(configuration);
        command
    }
}

impl RunFile {
    /// Not there before all sockets are bound.
    pub(crate) fn read(state: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(state.join("run.json")).ok()?).ok()
    }
}

impl Peer for Elbow {
    fn name(&self) -> &'static str {
        "elbow"
    }

    fn version(&self) -> Result<String> {
        first_line_of(Command::new(&self.binary).arg("version"))
    }

    fn start(&self, through: Through, targets: &[SocketAddr; TARGETS], directory: &Path) -> Result<Proxy> {
        let (protocol, target_protocol, certificates, certificate) = match through {
            Through::Http => ("http", "http", "", ""),
            Through::Https(_) => ("https", "http", "\"shop\"", include_str!("../../peers/elbow_tls.toml")),
            Through::Tcp => ("tcp", "tcp", "", ""),
        };
        let template = include_str!("../../peers/elbow.toml").replace("@ALGORITHM@", self.algorithm) + certificate;
        let template = template.replace("@PROTOCOL@", protocol).replace("@TARGET_PROTOCOL@", target_protocol);
        let template = template.replace("@CERTIFICATES@", certificates);
        let file = write_configuration(&template, through, targets, directory)?;
        let mut process = Process::spawn(&mut self.run(&file), directory)?;
        let run = process.wait_for("run.json", || RunFile::read(&directory.join("state")))?;
        let address = *run.listeners.get("web").context("run.json names no listener `web`")?;
        // What arrives before is for whoever passes the first check: all streams would go to one target.
        let admin = Admin { address: run.admin, token: String::new() };
        process.wait_for("all targets are healthy", || {
            let (_, metrics) = admin.ask("GET", "/metrics", "").ok()?;
            metrics.contains(&format!("{HEALTHY} {TARGETS}\n")).then_some(())
        })?;
        Ok(Proxy { process, address })
    }
}
