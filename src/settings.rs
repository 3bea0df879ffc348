//! What is asked of a whole elbow: what the command line and the environment say, over what the file says, over the
//! defaults. Not here: what the file means (`control::schema`).

use std::net::SocketAddr;
use std::num::NonZero;
use std::path::PathBuf;

use anyhow::{Context, anyhow, bail};
use control::certificates::Ended;
use control::file::{self, Loaded};
use control::schema::{AdminAuth, ProcessSettings};
use control::store::Refused;
use lb::model::{HostPort, Rejected};

use crate::app::StartError;

/// What the command line and the environment ask of an elbow. What they leave open the file says, and what the file
/// leaves open has a default.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The configuration file.
    pub file: Option<PathBuf>,
    /// Without a file: where listeners bind (`web`, `web-2`, …).
    pub listen: Vec<SocketAddr>,
    /// Without a file: the targets of the group `app`.
    pub targets: Vec<HostPort>,
    /// Where the admin API listens.
    pub admin: Option<AdminListen>,
    /// Where state is kept.
    pub state_dir: Option<PathBuf>,
    /// How many workers; 0: one for each core.
    pub workers: Option<usize>,
    /// Whether the admin API asks for no token. Only a loopback address may do so.
    pub insecure_admin: bool,
}

/// Where the admin API listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdminListen {
    /// Nowhere.
    Off,
    /// At an address; port 0 asks the kernel for a free one.
    At(SocketAddr),
}

/// What holds, once everyone was heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// Where the admin API listens; absent: nowhere.
    pub admin: Option<SocketAddr>,
    /// Whether it asks for a token.
    pub asks_for_token: bool,
    /// Where state is kept.
    pub state_dir: PathBuf,
    /// How many workers.
    pub workers: usize,
}

/// More workers than any machine has cores for.
const WORKERS_MAX: usize = 1024;

impl Settings {
    /// Reads the file, or makes what the arguments stand for where there is none.
    ///
    /// # Errors
    /// What is wrong with the file, or the arguments.
    pub fn load(&self) -> Result<Loaded, StartError> {
        match &self.file {
            Some(path) => {
                // A certificate that has ended is told of, and is no reason not to serve everything else.
                let loaded = file::load_with(path, &|name| std::env::var(name).ok(), Ended::Taken);
                loaded.map_err(StartError::File)
            }
            None => {
                let declared = file::from_arguments(&self.listen, &self.targets);
                let declared = declared.map_err(|why| StartError::Settings(anyhow!(why)))?;
                Ok(Loaded { process: ProcessSettings::default(), declared })
            }
        }
    }

    /// That what is declared does not go together with what is kept; with its place, where that is in the file.
    pub fn misfit(&self, rejected: Rejected) -> StartError {
        let refused = Refused::from(rejected);
        let path = self.file.as_deref();
        match path.and_then(|path| file::place(path, &|name| std::env::var(name).ok(), &refused)) {
            Some(error) => StartError::File(error),
            None => StartError::Failed(refused.into()),
        }
    }

    /// What holds over what the file says.
    ///
    /// # Errors
    /// That it is not allowed, in a sentence.
    pub fn over(&self, file: &ProcessSettings) -> anyhow::Result<Resolved> {
        let admin = match self.admin {
            None => file.admin_listen,
            Some(AdminListen::Off) => None,
            Some(AdminListen::At(address)) => Some(address),
        };
        let asks_for_token = !self.insecure_admin && file.admin_auth == AdminAuth::Required;
        if let Some(address) = admin.filter(|address| !asks_for_token && !address.ip().to_canonical().is_loopback()) {
            bail!(
                "the admin API would listen on {address} and ask for no token: \
                 use a loopback address such as 127.0.0.1:9900, or auth = \"required\" without --insecure-admin"
            );
        }
        let cores = || std::thread::available_parallelism().map_or(1, NonZero::get);
        let workers = match self.workers.unwrap_or(file.workers) {
            0 => cores(),
            count if count <= WORKERS_MAX => count,
            count => bail!("{count} workers are too many: at most {WORKERS_MAX}, and 0 makes one for each core"),
        };
        let state_dir = match self.state_dir.clone().or_else(|| file.state_dir.clone()) {
            Some(dir) => dir,
            None => default_state_dir()?,
        };
        Ok(Resolved { admin, asks_for_token, state_dir, workers })
    }
}

impl std::str::FromStr for AdminListen {
    type Err = String;

    fn from_str(value: &str) -> Result<Self, Self::Err> {
        if value == "off" {
            return Ok(Self::Off);
        }
        // `ELBOW_ADMIN` also tells clients where to go, and they take a URL.
        let address = value
            .strip_prefix("http://")
            .or_else(|| value.strip_prefix("https://"))
            .unwrap_or(value)
            .trim_end_matches('/');
        parse_bind(address).map(Self::At)
    }
}

/// Reads an address to bind: `HOST:PORT` with an IP address, or `:PORT` for every IPv4 address.
///
/// # Errors
/// What was expected instead.
pub fn parse_bind(value: &str) -> Result<SocketAddr, String> {
    let every = value.starts_with(':').then(|| format!("0.0.0.0{value}"));
    let text = every.as_deref().unwrap_or(value);
    text.parse().map_err(|_| "expected an address such as 127.0.0.1:8080, [::1]:8080 or :8080".to_owned())
}

/// Where state is kept when nobody says where: `/var/lib/elbow` for root, else what the XDG rules say.
///
/// # Errors
/// When there is no home directory either.
pub fn default_state_dir() -> anyhow::Result<PathBuf> {
    if rustix::process::geteuid().is_root() {
        return Ok(PathBuf::from("/var/lib/elbow"));
    }
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state_home = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")));
    Ok(state_home.context("HOME is not set: say where state is kept with --state-dir")?.join("elbow"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_beats_the_file_and_the_file_the_default() {
        let file = ProcessSettings {
            admin_listen: Some(SocketAddr::from(([127, 0, 0, 1], 1))),
            state_dir: Some(PathBuf::from("/file")),
            workers: 3,
            ..ProcessSettings::default()
        };
        let from_file = Settings::default().over(&file).expect("settings");
        let expected =
            Resolved { admin: file.admin_listen, asks_for_token: true, state_dir: PathBuf::from("/file"), workers: 3 };
        assert_eq!(from_file, expected);
        let flags = Settings {
            admin: Some(AdminListen::Off),
            state_dir: Some(PathBuf::from("/flag")),
            workers: Some(1),
            insecure_admin: true,
            ..Settings::default()
        };
        let expected = Resolved { admin: None, asks_for_token: false, state_dir: PathBuf::from("/flag"), workers: 1 };
        assert_eq!(flags.over(&file).expect("settings"), expected);
        let default = Settings { state_dir: flags.state_dir, ..Settings::default() };
        assert!(default.over(&ProcessSettings::default()).expect("settings").workers > 0);
    }

    #[test]
    fn only_loopback_may_go_without_a_token() {
        let over = |admin: &str, insecure_admin| {
            let admin = Some(admin.parse().expect("an address"));
            let settings = Settings { admin, insecure_admin, state_dir: Some("/s".into()), ..Settings::default() };
            settings.over(&ProcessSettings::default()).map(|resolved| resolved.asks_for_token)
        };
        assert_eq!(over("0.0.0.0:9900", false).ok(), Some(true));
        assert_eq!(over("[::1]:9900", true).ok(), Some(false));
        assert_eq!(over("[::ffff:127.0.0.1]:9900", true).ok(), Some(false));
        let refused = over("0.0.0.0:9900", true).expect_err("a refusal").to_string();
        assert!(refused.contains("0.0.0.0:9900"), "{refused}");
    }

    #[test]
    fn addresses_to_bind_are_read_as_people_write_them() {
        assert_eq!(parse_bind(":80"), Ok(SocketAddr::from(([0, 0, 0, 0], 80))));
        assert_eq!(parse_bind("[::1]:0"), Ok("[::1]:0".parse().expect("an address")));
        assert!(parse_bind("localhost:80").is_err());
        assert!(parse_bind("127.0.0.1").is_err());
        assert_eq!("off".parse(), Ok(AdminListen::Off));
        let address = AdminListen::At(SocketAddr::from(([127, 0, 0, 1], 9900)));
        assert_eq!("http://127.0.0.1:9900/".parse(), Ok(address));
        assert_eq!("127.0.0.1:9900".parse(), Ok(address));
    }
}
