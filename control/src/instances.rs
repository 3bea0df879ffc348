//! Where instances are that the ELB API names by their ids: in the `[instances]` table of the configuration, or, as an
//! extension, in the id itself. Not here: whether they are healthy.

use lb::model::{Global, Host, HostPort};

/// What is known of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Where it is.
    pub host: Host,
    /// The port that takes its traffic, where its id names one.
    pub port: Option<u16>,
    /// The zone it is in.
    pub zone: Option<String>,
}

/// What is known of an instance by its id.
pub fn find(global: &Global, id: &str) -> Option<Known> {
    let listed = global.instances.get(id).map(|listed| Known {
        host: listed.host.clone(),
        port: None,
        zone: listed.zone.as_deref().map(str::to_owned),
    });
    listed.or_else(|| in_itself(id))
}

/// An id that is an address or a host name, with or without a port. Names without a dot are ids of machines.
fn in_itself(id: &str) -> Option<Known> {
    if let Ok(HostPort { host, port }) = HostPort::parse(id) {
        return Some(Known { host, port, zone: None });
    }
    let host = Host::parse(id).ok()?;
    let is_host = match &host {
        Host::Ip(_) => true,
        Host::Name(name) => name.contains('.') || &**name == "localhost",
    };
    is_host.then_some(Known { host, port: None, zone: None })
}
