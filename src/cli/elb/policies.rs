//! The stickiness policies of a load balancer, and which of them hold on a listener.

use super::call::{Call, Parameters};
use super::instances::trimmed;
use super::{Ask, General};
use crate::cli::output::{Failure, write_out};

/// Makes a policy that binds clients as long as a cookie of the application lasts.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  elb-create-app-cookie-stickiness-policy web --policy-name app --cookie-name PHPSESSID")]
pub(super) struct CreateAppCookie {
    /// The name of the load balancer
    name: String,
    /// The name of the policy
    #[arg(short, long, value_name = "NAME")]
    policy_name: String,
    /// The name of the application's cookie
    #[arg(short, long, value_name = "NAME")]
    cookie_name: String,
    #[command(flatten)]
    general: General,
}

/// Makes a policy that binds clients by a cookie of elbow's own.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  elb-create-lb-cookie-stickiness-policy web --policy-name quarter --expiration-period 900")]
pub(super) struct CreateLbCookie {
    /// The name of the load balancer
    name: String,
    /// The name of the policy
    #[arg(short, long, value_name = "NAME")]
    policy_name: String,
    /// How long a client is bound, in seconds [default: until its browser ends]
    #[arg(short, long, value_name = "SECONDS")]
    expiration_period: Option<String>,
    #[command(flatten)]
    general: General,
}

/// Says which policies hold on a listener; those that held before do not any more.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  elb-set-lb-policies-of-listener web --lb-port 80 --policy-names quarter
  elb-set-lb-policies-of-listener web --lb-port 80 --policy-names \"\"      none any more")]
pub(super) struct SetOfListener {
    /// The name of the load balancer
    name: String,
    /// The port of the listener
    #[arg(short, long, value_name = "PORT")]
    lb_port: String,
    /// The names of the policies; \"\" for none
    #[arg(short, long, value_delimiter = ',', value_name = "NAME,…", required = true)]
    policy_names: Vec<String>,
    #[command(flatten)]
    general: General,
}

/// Deletes a policy that holds nowhere.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  elb-delete-lb-policy web --policy-name quarter")]
pub(super) struct Delete {
    /// The name of the load balancer
    name: String,
    /// The name of the policy
    #[arg(short, long, value_name = "NAME")]
    policy_name: String,
    /// Taken as the other commands take it; nobody is asked
    #[arg(short, long)]
    force: bool,
    #[command(flatten)]
    general: General,
}

impl Ask for CreateAppCookie {
    fn general(&self) -> &General {
        &self.general
    }

    async fn ask(&self, call: &Call) -> Result<(), Failure> {
        let parameters = Parameters::of(&self.name).with("PolicyName", &self.policy_name);
        let parameters = parameters.with("CookieName", &self.cookie_name);
        let answer = call.ask("CreateAppCookieStickinessPolicy", &parameters).await?;
        answer.map_or(Ok(()), |_| write_out("OK-Creating App Stickiness Policy"))
    }
}

impl Ask for CreateLbCookie {
    fn general(&self) -> &General {
        &self.general
    }

    async fn ask(&self, call: &Call) -> Result<(), Failure> {
        let parameters = Parameters::of(&self.name).with("PolicyName", &self.policy_name);
        let parameters = parameters.with_optional("CookieExpirationPeriod", self.expiration_period.as_ref());
        let answer = call.ask("CreateLBCookieStickinessPolicy", &parameters).await?;
        answer.map_or(Ok(()), |_| write_out("OK-Creating LB Stickiness Policy"))
    }
}

impl Ask for SetOfListener {
    fn general(&self) -> &General {
        &self.general
    }

    async fn ask(&self, call: &Call) -> Result<(), Failure> {
        let parameters = Parameters::of(&self.name).with("LoadBalancerPort", &self.lb_port);
        let names = trimmed(&self.policy_names);
        let parameters = match names.is_empty() {
            // The empty list, which takes all policies away.
            true => parameters.with("PolicyNames", ""),
            false => parameters.with_list("PolicyNames", "", &names),
        };
        let answer = call.ask("SetLoadBalancerPoliciesOfListener", &parameters).await?;
        answer.map_or(Ok(()), |_| write_out("OK-Setting Policies"))
    }
}

impl Ask for Delete {
    fn general(&self) -> &General {
        &self.general
    }

    async fn ask(&self, call: &Call) -> Result<(), Failure> {
        let parameters = Parameters::of(&self.name).with("PolicyName", &self.policy_name);
        let answer = call.ask("DeleteLoadBalancerPolicy", &parameters).await?;
        answer.map_or(Ok(()), |_| write_out("OK-Deleting LoadBalancer Policy"))
    }
}
