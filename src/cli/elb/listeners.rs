//! The listeners of a load balancer, and how one is written: `lb-port=80,instance-port=80,protocol=HTTP`.

use std::str::FromStr;

use super::call::{Call, Parameters, confirm};
use super::instances::trimmed;
use super::{Ask, General};
use crate::cli::output::{Failure, write_out};

/// A listener as it was written, its keys in any order; what it means is the API's to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listener(Vec<(&'static str, String)>);

/// What may be said of a listener, as it was in 2010 and as the API has it.
const KEYS: &[(&str, &str)] = &[
    ("protocol", "Protocol"),
    ("lb-port", "LoadBalancerPort"),
    ("instance-port", "InstancePort"),
    ("instance-protocol", "InstanceProtocol"),
    ("cert-id", "SSLCertificateId"),
];

impl FromStr for Listener {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut fields: Vec<(&'static str, String)> = Vec::new();
        for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').ok_or_else(|| format!("{pair:?} is not KEY=VALUE"))?;
            let known = KEYS.iter().find(|(known, _)| known.eq_ignore_ascii_case(key.trim()));
            let Some((_, name)) = known else {
                let keys = KEYS.iter().map(|(key, _)| *key).collect::<Vec<_>>().join(", ");
                return Err(format!("{:?} is none of its keys: {keys}", key.trim()));
            };
            if fields.iter().any(|(other, _)| other == name) {
                return Err(format!("{} is there twice", key.trim()));
            }
            fields.push((name, value.trim().to_owned()));
        }
        let missing = KEYS[..3].iter().find(|(_, name)| !fields.iter().any(|(there, _)| there == name));
        match missing {
            Some((key, _)) => Err(format!("{key}= is missing, as in lb-port=80,instance-port=80,protocol=HTTP")),
            None => Ok(Self(fields)),
        }
    }
}

/// Adds listeners to the parameters of a request.
pub(super) fn with_listeners(parameters: Parameters, listeners: &[Listener]) -> Parameters {
    let numbered = listeners.iter().enumerate();
    numbered.fold(parameters, |all, (index, Listener(fields))| {
        fields.iter().fold(all, |all, (name, value)| all.with(&format!("Listeners.member.{}.{name}", index + 1), value))
    })
}

/// Adds listeners to a load balancer.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  elb-create-lb-listeners web --listener \"protocol=HTTPS,lb-port=443,instance-port=80,instance-protocol=HTTP,cert-id=arn:…\"")]
pub(super) struct Create {
    /// The name of the load balancer
    name: String,
    /// A listener: protocol=, lb-port=, instance-port=, and instance-protocol= and cert-id= if wanted. Repeat it for more
    #[arg(short, long, value_name = "KEY=VALUE,…", required = true)]
    listener: Vec<Listener>,
    #[command(flatten)]
    general: General,
}

/// Takes listeners away from a load balancer.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  elb-delete-lb-listeners web --lb-ports 443 --force")]
pub(super) struct Delete {
    /// The name of the load balancer
    name: String,
    /// The ports of the listeners
    #[arg(short = 'l', long, value_delimiter = ',', value_name = "PORT,…", required = true)]
    lb_ports: Vec<String>,
    /// Asks nobody whether they are sure
    #[arg(short, long)]
    force: bool,
    #[command(flatten)]
    general: General,
}

impl Ask for Create {
    fn general(&self) -> &General {
        &self.general
    }

    async fn ask(&self, call: &Call) -> Result<(), Failure> {
        let parameters = with_listeners(Parameters::of(&self.name), &self.listener);
        let answer = call.ask("CreateLoadBalancerListeners", &parameters).await?;
        answer.map_or(Ok(()), |_| write_out("OK-Creating LoadBalancer Listener"))
    }
}

impl Ask for Delete {
    fn general(&self) -> &General {
        &self.general
    }

    async fn ask(&self, call: &Call) -> Result<(), Failure> {
        confirm(self.force, "LoadBalancer listener")?;
        let parameters = Parameters::of(&self.name).with_list("LoadBalancerPorts", "", &trimmed(&self.lb_ports));
        let answer = call.ask("DeleteLoadBalancerListeners", &parameters).await?;
        answer.map_or(Ok(()), |_| write_out("OK-Deleting LoadBalancer Listener"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_of_a_listener_stand_in_any_order() {
        let one: Listener = "lb-port=80,instance-port=8080,protocol=HTTP".parse().expect("a listener");
        let other: Listener = "protocol=HTTP, instance-port=8080, lb-port=80".parse().expect("a listener");
        let sorted = |Listener(mut fields): Listener| {
            fields.sort();
            fields
        };
        assert_eq!(sorted(one), sorted(other));
    }

    #[test]
    fn what_is_no_listener_is_told() {
        for (text, word) in [
            ("lb-port=80,protocol=HTTP", "instance-port"),
            ("lb-port=80,lb-port=81,instance-port=80,protocol=HTTP", "twice"),
            ("lb-prt=80", "lb-prt"),
            ("80", "KEY=VALUE"),
        ] {
            let why = text.parse::<Listener>().expect_err("it is none");
            assert!(why.contains(word), "{why}");
        }
    }
}
