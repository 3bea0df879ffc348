//! `STATE_DIR/run.json`: how others find a running elbow. Written once everything is bound, rewritten when
//! listeners change, removed on a clean exit. Not here: who may run on a state directory (the store's lock).

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use serde::{Deserialize, Serialize};

const NAME: &str = "run.json";

/// Where an elbow runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunFile {
    /// Its process.
    pub pid: u32,
    /// Its admin address; absent when the admin API is off.
    pub admin: Option<SocketAddr>,
    /// The URL that a client on this machine reaches it by.
    pub admin_url: Option<String>,
    /// SHA-256 of the public key that it shows over TLS, in hexadecimal; absent where it speaks HTTP in the clear.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin_pin: Option<String>,
    /// The address each listener was really bound to, by name.
    pub listeners: BTreeMap<String, SocketAddr>,
}

impl RunFile {
    /// Writes it whole, over what an elbow that crashed may have left.
    ///
    /// # Errors
    /// What the file system says.
    pub fn write(&self, state_dir: &Path) -> io::Result<()> {
        let unfinished = state_dir.join(format!("{NAME}.new"));
        let mut text = serde_json::to_string(self)?;
        text.push('\n');
        std::fs::write(&unfinished, text)?;
        std::fs::rename(unfinished, state_dir.join(NAME))
    }

    /// Reads what the elbow that runs there, or the one that crashed last, wrote. None: there was no such elbow.
    ///
    /// # Errors
    /// What the file system says, or that the file is not one of ours.
    pub fn read(state_dir: &Path) -> io::Result<Option<Self>> {
        match std::fs::read(state_dir.join(NAME)) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes it; that it is not there is no error.
    ///
    /// # Errors
    /// What the file system says.
    pub fn remove(state_dir: &Path) -> io::Result<()> {
        match std::fs::remove_file(state_dir.join(NAME)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// The URL of an admin address for a client on this machine.
pub(crate) fn admin_url(address: SocketAddr, is_over_tls: bool) -> String {
    format!("{}://{}", if is_over_tls { "https" } else { "http" }, reachable(address))
}

/// An elbow that listens on every address is reached on loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_what_is_removed_is_gone() {
        let directory = tempfile::tempdir().expect("a directory");
        let address = SocketAddr::from(([127, 0, 0, 1], 8080));
        let run = RunFile {
            pid: 7,
            admin: Some(address),
            admin_url: Some(admin_url(address, true)),
            admin_pin: Some("00ff".to_owned()),
            listeners: [("web".to_owned(), address)].into(),
        };
        std::fs::write(directory.path().join(NAME), "{\"pid\": 1, \"admin\": nonsense of a crash").expect("a write");
        run.write(directory.path()).expect("a write");
        assert_eq!(RunFile::read(directory.path()).expect("a read"), Some(run));
        let text = std::fs::read_to_string(directory.path().join(NAME)).expect("a read");
        let admin = r#""admin":"127.0.0.1:8080","admin_url":"https://127.0.0.1:8080","admin_pin":"00ff""#;
        assert_eq!(text, format!("{{\"pid\":7,{admin},\"listeners\":{{\"web\":\"127.0.0.1:8080\"}}}}\n"));
        RunFile::remove(directory.path()).expect("a removal");
        RunFile::remove(directory.path()).expect("a second removal");
        assert_eq!(RunFile::read(directory.path()).expect("a read"), None);
    }
}
