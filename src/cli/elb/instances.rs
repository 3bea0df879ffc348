//! The instances of a load balancer: registering and deregistering them, and how they are.

use super::call::{Call, Parameters};
use super::{Ask, General};
use crate::cli::output::Failure;
use control::xml::Element;

const INSTANCE_ID: &str = "INSTANCE_ID";

/// Registers instances with a load balancer, and lists all that are registered then.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  elb-register-instances-with-lb web --instances i-87f232ed,i-85f232ef")]
pub(super) struct Register {
    #[command(flatten)]
    instances: Instances,
    #[command(flatten)]
    general: General,
}

/// Takes instances out of a load balancer, and lists those that are left.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  elb-deregister-instances-from-lb web --instances i-87f232ed")]
pub(super) struct Deregister {
    #[command(flatten)]
    instances: Instances,
    #[command(flatten)]
    general: General,
}

/// Tells how the instances of a load balancer are.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  elb-describe-instance-health web --headers")]
pub(super) struct DescribeHealth {
    /// The name of the load balancer
    name: String,
    /// Only these instances
    #[arg(long, value_delimiter = ',', value_name = "ID,…")]
    instances: Vec<String>,
    #[command(flatten)]
    general: General,
}

#[derive(Debug, clap::Args)]
struct Instances {
    /// The name of the load balancer
    name: String,
    /// Their ids; host or host:port will do as well
    #[arg(long, value_delimiter = ',', value_name = "ID,…", required = true)]
    instances: Vec<String>,
}

impl Instances {
    async fn ask(&self, call: &Call, action: &str) -> Result<(), Failure> {
        let parameters = Parameters::of(&self.name).with_list("Instances", ".InstanceId", &trimmed(&self.instances));
        let Some(result) = call.ask(action, &parameters).await? else { return Ok(()) };
        let mut ids: Vec<_> = result.members("Instances").map(|one| [one.text("InstanceId").to_owned()]).collect();
        ids.sort();
        call.show(INSTANCE_ID, [INSTANCE_ID], ids)
    }
}

impl Ask for Register {
    fn general(&self) -> &General {
        &self.general
    }

    async fn ask(&self, call: &Call) -> Result<(), Failure> {
        self.instances.ask(call, "RegisterInstancesWithLoadBalancer").await
    }
}

impl Ask for Deregister {
    fn general(&self) -> &General {
        &self.general
    }

    async fn ask(&self, call: &Call) -> Result<(), Failure> {
        self.instances.ask(call, "DeregisterInstancesFromLoadBalancer").await
    }
}

impl Ask for DescribeHealth {
    fn general(&self) -> &General {
        &self.general
    }

    async fn ask(&self, call: &Call) -> Result<(), Failure> {
        let parameters = Parameters::of(&self.name).with_list("Instances", ".InstanceId", &trimmed(&self.instances));
        let Some(result) = call.ask("DescribeInstanceHealth", &parameters).await? else { return Ok(()) };
        let row = |one: &Element| {
            ["InstanceId", "State", "Description", "ReasonCode"].map(|field| one.text(field).to_owned())
        };
        let mut rows: Vec<_> = result.members("InstanceStates").map(row).collect();
        rows.sort();
        call.show(INSTANCE_ID, [INSTANCE_ID, "STATE", "DESCRIPTION", "REASON-CODE"], rows)
    }
}

/// The values of a list as they were written, spaces after commas left out.
pub(super) fn trimmed(values: &[String]) -> Vec<&str> {
    values.iter().map(|value| value.trim()).filter(|value| !value.is_empty()).collect()
}
