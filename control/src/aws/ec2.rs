//! Instances of Amazon EC2.

use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;

use super::account::Service;
use super::{Account, AwsError};
use crate::xml::Element;

const EC2: Service = Service { name: "ec2", version: "2016-11-15", endpoint_variable: "AWS_ENDPOINT_URL_EC2" };
const DESCRIBE: &str = "DescribeInstances";
/// How many instances one page shows.
const PAGE_INSTANCES: usize = 100;
/// How many pages an answer may have.
const PAGES_MAX: usize = 1000;

/// An instance, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Instance {
    pub(crate) id: String,
    /// `pending`, `running`, `shutting-down`, `terminated`, `stopping` or `stopped`.
    pub(crate) state: String,
    /// Of the primary interface.
    pub(crate) private_address: Option<IpAddr>,
    pub(crate) public_address: Option<IpAddr>,
    pub(crate) zone: Option<String>,
    pub(crate) tags: BTreeMap<String, String>,
}

/// What instances must be: a name of a filter, and its values, any of which fits.
pub(crate) type Filter = (String, Vec<String>);

/// All instances that fit all filters, from all pages.
pub(crate) async fn describe_instances(account: &Account, filters: &[Filter]) -> Result<Vec<Instance>, AwsError> {
    let mut parameters = vec![("MaxResults".to_owned(), PAGE_INSTANCES.to_string())];
    for (index, (name, values)) in filters.iter().enumerate() {
        let filter = format!("Filter.{}", index + 1);
        parameters.push((format!("{filter}.Name"), name.clone()));
        let values = values.iter().enumerate();
        parameters.extend(values.map(|(nth, value)| (format!("{filter}.Value.{}", nth + 1), value.clone())));
    }
    let malformed = |why: &str| AwsError::Malformed { action: DESCRIBE, why: why.to_owned() };
    let (mut instances, mut ids, mut tokens) = (Vec::new(), HashSet::new(), HashSet::new());
    let fixed = parameters.len();
    for _ in 0..PAGES_MAX {
        let page = account.call(&EC2, DESCRIBE, &parameters).await?;
        if page.at(&["reservationSet"]).is_none() {
            return Err(malformed("it lists nothing, not even none"));
        }
        for item in page.members("reservationSet").flat_map(|reservation| reservation.members("instancesSet")) {
            let instance = read(item).ok_or_else(|| malformed("an instance has no id or no state"))?;
            // One that moves between two pages is shown twice.
            if ids.insert(instance.id.clone()) {
                instances.push(instance);
            }
        }
        let Some(token) = page.text_at(&["nextToken"]) else { return Ok(instances) };
        if !tokens.insert(token.to_owned()) {
            return Err(malformed("its pages lead in a circle"));
        }
        parameters.truncate(fixed);
        parameters.push(("NextToken".to_owned(), token.to_owned()));
    }
    Err(malformed("it has too many pages"))
}

fn read(item: &Element) -> Option<Instance> {
    let address = |name| item.text_at(&[name]).and_then(|text| text.parse().ok());
    let tag = |tag: &Element| {
        let value = tag.text_at(&["value"]).unwrap_or_default();
        Some((tag.text_at(&["key"])?.to_owned(), value.to_owned()))
    };
    Some(Instance {
        id: item.text_at(&["instanceId"])?.to_owned(),
        state: item.text_at(&["instanceState", "name"])?.to_owned(),
        private_address: address("privateIpAddress").or_else(|| address("ipv6Address")),
        public_address: address("ipAddress"),
        zone: item.text_at(&["placement", "availabilityZone"]).map(str::to_owned),
        tags: item.members("tagSet").filter_map(tag).collect(),
    })
}
