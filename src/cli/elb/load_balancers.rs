//! Load balancers themselves: making, describing and deleting them, their zones and their health check.

use super::call::{Call, Parameters, confirm};
use super::instances::trimmed;
use super::listeners::{Listener, with_listeners};
use super::table::delimited;
use super::{Ask, General};
use crate::cli::output::{Failure, write_out};
use control::xml::Element;

const LOAD_BALANCER: &str = "LOAD_BALANCER";
const ZONES: &str = "AVAILABILITY_ZONES";
/// What `--show-long` tells of each load balancer, in its order.
const LONG: [&str; 15] = [
    LOAD_BALANCER,
    "NAME",
    "DNS_NAME",
    "HEALTH_CHECK",
    ZONES,
    "SUBNETS",
    "INSTANCE_ID",
    "LISTENER_DESCRIPTIONS",
    "BACKEND_SERVER_DESCRIPTIONS",
    "APP_COOKIE_STICKINESS_POLICIES",
    "LB_COOKIE_STICKINESS_POLICIES",
    "OTHER_POLICIES",
    "SECURITY_GROUPS",
    "CREATED_TIME",
    "SCHEME",
];

/// Makes a load balancer, and tells the name that it is reached by.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  elb-create-lb web --listener \"lb-port=80,instance-port=80,protocol=HTTP\" --availability-zones us-east-1a")]
pub(super) struct Create {
    /// The name of the load balancer
    name: String,
    /// A listener: protocol=, lb-port=, instance-port=, and instance-protocol= and cert-id= if wanted. Repeat it for more
    #[arg(short, long, value_name = "KEY=VALUE,…", required = true)]
    listener: Vec<Listener>,
    /// Its zones
    #[arg(short = 'z', long, value_delimiter = ',', value_name = "ZONE,…")]
    availability_zones: Vec<String>,
    /// Its subnets, instead of zones
    #[arg(short, long, value_delimiter = ',', value_name = "ID,…")]
    subnets: Vec<String>,
    /// Its security groups
    #[arg(short = 'g', long, value_delimiter = ',', value_name = "ID,…")]
    security_groups: Vec<String>,
    /// internal, or internet-facing
    #[arg(short = 'i', long, value_name = "SCHEME")]
    scheme: Option<String>,
    #[command(flatten)]
    general: General,
}

/// Lists load balancers.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  elb-describe-lbs
  elb-describe-lbs web --show-long --delimiter \"|\"")]
pub(super) struct Describe {
    /// Only those of these names
    names: Vec<String>,
    /// Tells all there is, apart by --delimiter
    #[arg(long)]
    show_long: bool,
    /// What stands between the values of --show-long
    #[arg(long, default_value = ",", value_name = "TEXT")]
    delimiter: String,
    #[command(flatten)]
    general: General,
}

/// Deletes a load balancer.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  elb-delete-lb web --force")]
pub(super) struct Delete {
    /// The name of the load balancer
    name: String,
    /// Asks nobody whether they are sure
    #[arg(short, long)]
    force: bool,
    #[command(flatten)]
    general: General,
}

/// Says how the instances of a load balancer are checked.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  elb-configure-healthcheck web --target \"HTTP:80/\" --interval 30 --timeout 3 --unhealthy-threshold 2 --healthy-threshold 2")]
pub(super) struct ConfigureHealthcheck {
    /// The name of the load balancer
    name: String,
    /// What is asked, such as HTTP:80/ping or TCP:22
    #[arg(short, long)]
    target: String,
    /// From one check to the next, in seconds
    #[arg(short, long, value_name = "SECONDS")]
    interval: String,
    /// How long a check may take, in seconds
    #[arg(long, value_name = "SECONDS")]
    timeout: String,
    /// Failures in a row that put an instance out of service
    #[arg(long, value_name = "N")]
    unhealthy_threshold: String,
    /// Passes in a row that put it back
    #[arg(long, value_name = "N")]
    healthy_threshold: String,
    #[command(flatten)]
    general: General,
}

/// Adds zones to a load balancer, and lists those that it has then.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  elb-enable-zones-for-lb web --availability-zones us-east-1b")]
pub(super) struct EnableZones {
    #[command(flatten)]
    zones: Zones,
    #[command(flatten)]
    general: General,
}

/// Takes zones away from a load balancer, and lists those that are left.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  elb-disable-zones-for-lb web --availability-zones us-east-1b")]
pub(super) struct DisableZones {
    #[command(flatten)]
    zones: Zones,
    #[command(flatten)]
    general: General,
}

#[derive(Debug, clap::Args)]
struct Zones {
    /// The name of the load balancer
    name: String,
    /// The zones
    #[arg(short = 'z', long, value_delimiter = ',', value_name = "ZONE,…", required = true)]
    availability_zones: Vec<String>,
}

impl Zones {
    async fn ask(&self, call: &Call, action: &str) -> Result<(), Failure> {
        let zones = trimmed(&self.availability_zones);
        let parameters = Parameters::of(&self.name).with_list("AvailabilityZones", "", &zones);
        let Some(result) = call.ask(action, &parameters).await? else { return Ok(()) };
        call.show(ZONES, [ZONES], vec![[texts(&result, "AvailabilityZones", ", ")]])
    }
}

impl Ask for Create {
    fn general(&self) -> &General {
        &self.general
    }

    async fn ask(&self, call: &Call) -> Result<(), Failure> {
        let parameters = with_listeners(Parameters::of(&self.name), &self.listener)
            .with_list("AvailabilityZones", "", &trimmed(&self.availability_zones))
            .with_list("Subnets", "", &trimmed(&self.subnets))
            .with_list("SecurityGroups", "", &trimmed(&self.security_groups))
            .with_optional("Scheme", self.scheme.as_ref());
        let Some(result) = call.ask("CreateLoadBalancer", &parameters).await? else { return Ok(()) };
        call.show("DNS_NAME", ["DNS_NAME"], vec![[result.text("DNSName").to_owned()]])
    }
}

impl Ask for Describe {
    fn general(&self) -> &General {
        &self.general
    }

    async fn ask(&self, call: &Call) -> Result<(), Failure> {
        let (mut marker, mut found) = (None::<String>, Vec::new());
        loop {
            let parameters = Parameters::none().with_list("LoadBalancerNames", "", &self.names);
            let parameters = parameters.with_optional("Marker", marker.as_ref());
            // As it came: a page a document.
            let answer = call.ask("DescribeLoadBalancers", &parameters).await?;
            let Some(result) = answer else { return Ok(()) };
            let next = Some(result.text("NextMarker").to_owned()).filter(|next| !next.is_empty());
            found.push(result);
            if next.is_none() || next == marker {
                break;
            }
            marker = next;
        }
        let mut found: Vec<_> = found.iter().flat_map(|page| page.members("LoadBalancerDescriptions")).collect();
        found.sort_by_key(|one| one.text("LoadBalancerName").to_owned());
        if found.is_empty() {
            return write_out("No LoadBalancers found");
        }
        if self.show_long {
            let header = call.has_headers().then(|| LONG.map(str::to_owned).to_vec());
            let rows = header.into_iter().chain(found.into_iter().map(long));
            let lines: Vec<_> = rows.map(|row| delimited(&self.delimiter, &row)).collect();
            return write_out(&lines.join("\n"));
        }
        let row =
            |one: &Element| ["LoadBalancerName", "DNSName", "CreatedTime"].map(|field| one.text(field).to_owned());
        call.show(LOAD_BALANCER, ["NAME", "DNS_NAME", "CREATED_TIME"], found.into_iter().map(row).collect())
    }
}

impl Ask for Delete {
    fn general(&self) -> &General {
        &self.general
    }

    async fn ask(&self, call: &Call) -> Result<(), Failure> {
        confirm(self.force, "LoadBalancer")?;
        let answer = call.ask("DeleteLoadBalancer", &Parameters::of(&self.name)).await?;
        answer.map_or(Ok(()), |_| write_out("OK-Deleting LoadBalancer"))
    }
}

impl Ask for ConfigureHealthcheck {
    fn general(&self) -> &General {
        &self.general
    }

    async fn ask(&self, call: &Call) -> Result<(), Failure> {
        let parameters = Parameters::of(&self.name)
            .with("HealthCheck.Target", &self.target)
            .with("HealthCheck.Interval", &self.interval)
            .with("HealthCheck.Timeout", &self.timeout)
            .with("HealthCheck.UnhealthyThreshold", &self.unhealthy_threshold)
            .with("HealthCheck.HealthyThreshold", &self.healthy_threshold);
        let Some(result) = call.ask("ConfigureHealthCheck", &parameters).await? else { return Ok(()) };
        let field = |name: &str| result.get("HealthCheck").map(|check| check.text(name)).unwrap_or_default().to_owned();
        let header = ["TARGET", "INTERVAL", "TIMEOUT", "HEALTHY_THRESHOLD", "UNHEALTHY_THRESHOLD"];
        let row = ["Target", "Interval", "Timeout", "HealthyThreshold", "UnhealthyThreshold"].map(field);
        call.show("HEALTH_CHECK", header, vec![row])
    }
}

impl Ask for EnableZones {
    fn general(&self) -> &General {
        &self.general
    }

    async fn ask(&self, call: &Call) -> Result<(), Failure> {
        self.zones.ask(call, "EnableAvailabilityZonesForLoadBalancer").await
    }
}

impl Ask for DisableZones {
    fn general(&self) -> &General {
        &self.general
    }

    async fn ask(&self, call: &Call) -> Result<(), Failure> {
        self.zones.ask(call, "DisableAvailabilityZonesForLoadBalancer").await
    }
}

/// The values under [`LONG`].
fn long(one: &Element) -> Vec<String> {
    let field = |name: &str| one.text(name).to_owned();
    let check = one.get("HealthCheck").map(|check| {
        let names = [
            ("interval", "Interval"),
            ("target", "Target"),
            ("timeout", "Timeout"),
            ("healthy-threshold", "HealthyThreshold"),
            ("unhealthy-threshold", "UnhealthyThreshold"),
        ];
        braced(check, &names)
    });
    let mut instances: Vec<_> = one.members("Instances").map(|instance| instance.text("InstanceId")).collect();
    instances.sort_unstable();
    let policies = |list: &str, names: &[(&str, &str)]| {
        let list = one.get("Policies").into_iter().flat_map(|policies| policies.members(list));
        list.map(|policy| braced(policy, names)).collect::<Vec<_>>().join(",")
    };
    let others = one.get("Policies").map(|policies| texts(policies, "OtherPolicies", ","));
    vec![
        LOAD_BALANCER.to_owned(),
        field("LoadBalancerName"),
        field("DNSName"),
        check.unwrap_or_default(),
        texts(one, "AvailabilityZones", ","),
        texts(one, "Subnets", ","),
        instances.join(","),
        one.members("ListenerDescriptions").map(listener).collect::<Vec<_>>().join(","),
        one.members("BackendServerDescriptions").map(backend).collect::<Vec<_>>().join(","),
        policies("AppCookieStickinessPolicies", &[("policy-name", "PolicyName"), ("cookie-name", "CookieName")]),
        policies(
            "LBCookieStickinessPolicies",
            &[("policy-name", "PolicyName"), ("expiration-period", "CookieExpirationPeriod")],
        ),
        others.unwrap_or_default(),
        texts(one, "SecurityGroups", ","),
        field("CreatedTime"),
        field("Scheme"),
    ]
}

fn listener(description: &Element) -> String {
    let names = [
        ("protocol", "Protocol"),
        ("lb-port", "LoadBalancerPort"),
        ("instance-protocol", "InstanceProtocol"),
        ("instance-port", "InstancePort"),
        ("cert-id", "SSLCertificateId"),
    ];
    let listener = description.get("Listener").map(|listener| braced(listener, &names)).unwrap_or_default();
    let policies = texts(description, "PolicyNames", "+");
    format!("{},policies={policies}}}", listener.trim_end_matches('}'))
}

fn backend(description: &Element) -> String {
    let policies = texts(description, "PolicyNames", "+");
    format!("{{instance-port={},policies={policies}}}", description.text("InstancePort"))
}

/// `{name=value,…}` of what there is.
fn braced(element: &Element, names: &[(&str, &str)]) -> String {
    let pairs = names.iter().map(|(name, field)| (name, element.text(field))).filter(|(_, value)| !value.is_empty());
    format!("{{{}}}", pairs.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(","))
}

/// The texts of a list.
fn texts(element: &Element, list: &str, between: &str) -> String {
    element.members(list).map(Element::own_text).collect::<Vec<_>>().join(between)
}
