//! The proxies under test: one file each, which knows how it is configured, started and found. Not how it is
//! measured. Their configurations stand in `benches/peers/`.

mod certificate;
mod elbow;
mod haproxy;
mod nginx;

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::load::TARGETS;
use crate::workload::Through;

pub(crate) use elbow::{Elbow, RunFile};
pub(crate) use haproxy::Haproxy;

const START_WITHIN: Duration = Duration::from_secs(30);
const STOP_WITHIN: Duration = Duration::from_secs(5);
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// A proxy that can be put under test.
pub(crate) trait Peer {
    fn name(&self) -> &'static str;

    /// What its binary says of itself.
    fn version(&self) -> Result<String>;

    /// Starts it in front of `targets`, to pass things on in this way, with `directory` for its files, and returns once it takes connections.
    fn start(&self, through: Through, targets: &[SocketAddr; TARGETS], directory: &Path) -> Result<Proxy>;
}

/// The peer of that name, which takes turns; `elbow` is where elbow's binary is.
pub(crate) fn build(name: &str, elbow: &Path) -> Result<Box<dyn Peer>> {
    Ok(match name {
        "haproxy" => Box::new(Haproxy::balancing("roundrobin")),
        "nginx" => Box::new(nginx::Nginx),
        "elbow" => Box::new(Elbow::new(elbow.to_owned(), "round_robin")),
        _ => bail!("no peer is called {name}: haproxy, nginx, elbow"),
    })
}

/// A proxy at work, as long as this value lives.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
}

/// A child process that is stopped when the value goes.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    pub(crate) fn spawn(command: &mut Command, directory: &Path) -> Result<Self> {
        let log = directory.join("log");
        let output = File::create(&log)?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let child = command.spawn().with_context(|| format!("starting {}", command.get_program().display()))?;
        Ok(Self { child, log })
    }

    /// Looks again and again until `ready` has something, the process ends, or its time is over.
    pub(crate) fn wait_for<T>(&mut self, what: &str, mut ready: impl FnMut() -> Option<T>) -> Result<T> {
        let started = Instant::now();
        loop {
            if let Some(found) = ready() {
                return Ok(found);
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("ended ({status}) before {what}:\n{}", self.log());
            }
            if started.elapsed() > START_WITHIN {
                bail!("no {what} within {START_WITHIN:?}:\n{}", self.log());
            }
            thread::sleep(LOOK_AGAIN);
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn stop(&mut self) -> Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw);
        // Politely first: a killed nginx master leaves its worker behind.
        rustix::process::kill_process(pid.context("a pid")?, rustix::process::Signal::TERM)?;
        let asked = Instant::now();
        while self.child.try_wait()?.is_none() {
            if asked.elapsed() > STOP_WITHIN {
                self.child.kill()?;
            }
            thread::sleep(LOOK_AGAIN);
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has ended already, or there is nothing more that could be done about it.
        let _ = self.stop();
    }
}

/// Starts a proxy that has to be told its port, and returns once it takes connections there.
fn start_on_free_port(
    template: &str,
    through: Through,
    targets: &[SocketAddr; TARGETS],
    directory: &Path,
    command: impl FnOnce(&Path) -> Command,
) -> Result<Proxy> {
    let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
    let template = template.replace("@PORT@", &address.port().to_string());
    let file = write_configuration(&template, through, targets, directory)?;
    let mut process = Process::spawn(&mut command(&file), directory)?;
    process.wait_for("it takes connections", || TcpStream::connect(address).ok())?;
    Ok(Proxy { process, address })
}

fn write_configuration(
    template: &str,
    through: Through,
    targets: &[SocketAddr; TARGETS],
    directory: &Path,
) -> Result<PathBuf> {
    let certificate = directory.join("shop.pem");
    if let Through::Https(key) = through {
        fs::write(&certificate, certificate::with_key(key)?)?;
    }
    let template = template.replace("@CERTIFICATE@", certificate.to_str().context("a path in UTF-8")?);
    let mut text = template.replace("@DIR@", directory.to_str().context("a path in UTF-8")?);
    for (index, target) in targets.iter().enumerate() {
        text = text.replace(&format!("@TARGET_{index}@"), &target.to_string());
    }
    let file = directory.join("configuration");
    fs::write(&file, text)?;
    Ok(file)
}

/// The first line of what a command prints, on either stream.
fn first_line_of(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("running {}", command.get_program().display()))?;
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    Ok(text.lines().next().unwrap_or_default().trim().to_owned())
}
