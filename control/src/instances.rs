//! Where instances are that the ELB API names by their ids: in the `[instances]` table of the configuration, or, as an
//! extension, in the id itself ([`find`]), or in Amazon EC2, where `[elb_api.ec2]` says so ([`Directory`]).
//! Not here: whether they are healthy; finding targets by their tags ([`crate::discover`]).

mod ask;
mod directory;
mod look;
mod refresh;

use std::collections::BTreeMap;

use lb::model::{Global, Host, HostPort};

use crate::aws::ec2;
use crate::elb::{Instance, Machine};
pub(crate) use directory::CouldNotAsk;
pub use directory::{Directory, DirectoryKeeper};

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

/// What EC2 last said of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) machine: Machine,
    /// Absent where it has no private address, as one that has ended.
    pub(crate) host: Option<Host>,
    pub(crate) zone: Option<String>,
}

/// What EC2 last said of instances, by their ids.
pub(crate) type Machines = BTreeMap<String, Shown>;

/// What is known of an instance by its id, without asking anybody.
pub fn find(global: &Global, id: &str) -> Option<Known> {
    let listed = global.instances.get(id).map(|listed| Known {
        host: listed.host.clone(),
        port: None,
        zone: listed.zone.as_deref().map(str::to_owned),
    });
    listed.or_else(|| in_itself(id))
}

/// Whether EC2 may know an instance by this id, and nobody else does.
fn is_machine(global: &Global, id: &str) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let digits = id.strip_prefix("i-");
    let is_id = digits.is_some_and(|digits| matches!(digits.len(), 8 | 17) && digits.bytes().all(is_digit));
    is_id && find(global, id).is_none()
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

impl Known {
    /// As it is registered.
    pub fn instance(self, id: String) -> Instance {
        Instance { id, host: Some(self.host.to_string()), port: self.port, zone: self.zone, machine: None }
    }
}

impl Shown {
    /// None: it is in a state that nobody knows.
    fn of(instance: &ec2::Instance) -> Option<Self> {
        let machine = match &*instance.state {
            "pending" => Machine::Pending,
            "running" => Machine::Running,
            "stopping" | "stopped" => Machine::Stopped,
            "shutting-down" => Machine::ShuttingDown,
            "terminated" => Machine::Terminated,
            _ => return None,
        };
        Some(Self { machine, host: instance.private_address.map(Host::Ip), zone: instance.zone.clone() })
    }

    /// As it is registered.
    pub(crate) fn instance(&self, id: String) -> Instance {
        let host = self.host.as_ref().map(ToString::to_string);
        Instance { id, host, port: None, zone: self.zone.clone(), machine: Some(self.machine) }
    }
}
