//! `[target_group.discovery]`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lb::model;
use lb::model::{Ec2Address, Ec2Discovery};
use serde_json::Value;

use super::notation::{Words, count, duration, duration_text, text};
use super::problem::Wrong;
use super::reader::Reader;
use super::{HOUR, SECOND};

const ADDRESS: Words<Ec2Address> =
    Words { what: "address", now: &[("private", Ec2Address::Private), ("public", Ec2Address::Public)], later: &[] };
pub(super) const INTERVAL: Duration = Duration::from_secs(15);
/// As many filters as one request takes, less the one for the state of instances and the one for an Auto Scaling group.
const TAGS_MAX: usize = 48;
/// As many values as the filters of one request take, less those of the others.
const VALUES_MAX: usize = 190;
/// The longest text that AWS takes as a tag's value. Keys and names are shorter.
const TEXT_CHARACTERS_MAX: usize = 256;

/// Where targets are found.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct Discovery {
    /// Instances of Amazon EC2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ec2: Option<Ec2>,
}

/// Which instances of Amazon EC2 are targets, and how they become so.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct Ec2 {
    /// Tags that all must fit; a list of values means any of them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(required = false)]
    pub tags: BTreeMap<String, Values>,
    /// The Auto Scaling group that they must belong to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asg: Option<String>,
    /// Their region. Absent: as the environment, the profile or the machine says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Which of their addresses is meant: `private` or `public`.
    #[schema(required = false, default = "private")]
    pub address: String,
    /// Where they listen. May be absent with `port_tag`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 65535)]
    pub port: Option<u16>,
    /// The tag that says where an instance listens; without it `port` holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port_tag: Option<String>,
    /// The tag that says an instance's weight, 0 to 1000; without it the weight is 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight_tag: Option<String>,
    /// How often is looked: 1 s to 1 h.
    #[schema(required = false, default = "15s")]
    pub interval: String,
    /// The lifecycle hook of the Auto Scaling group that is completed when an instance that terminates has drained.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub complete_lifecycle_action: Option<String>,
    /// Whether Auto Scaling is told of instances that fail their checks, which replaces them.
    #[schema(required = false, default = false)]
    pub set_instance_health: bool,
}

/// One value of a tag, or any of several.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
#[serde(untagged)]
pub enum Values {
    /// This one.
    One(String),
    /// Any of these.
    Any(Vec<String>),
}

pub(super) fn read(reader: &mut Reader<'_>) -> Option<model::Discovery> {
    if !reader.has("ec2") {
        reader.required("ec2", |_| Ok(()))?;
    }
    reader.table("ec2", read_ec2).map(model::Discovery::Ec2)
}

fn read_ec2(reader: &mut Reader<'_>) -> Option<Ec2Discovery> {
    let name = |value: &Value| short_text(value).map(Some);
    let found = Ec2Discovery {
        tags: reader.or("tags", BTreeMap::new(), tags),
        asg: reader.or("asg", None, name),
        region: reader.or("region", None, |value| region(value).map(Some)),
        address: reader.or("address", Ec2Address::Private, |value| ADDRESS.parse(value)),
        port: reader.or("port", None, |value| Ok(u16::try_from(count(1..=65535)(value)?).ok())),
        port_tag: reader.or("port_tag", None, name),
        weight_tag: reader.or("weight_tag", None, name),
        interval: reader.or("interval", INTERVAL, duration(SECOND..=HOUR)),
        complete_lifecycle_action: reader.or("complete_lifecycle_action", None, name),
        set_instance_health: reader.or("set_instance_health", false, |value| {
            value.as_bool().ok_or_else(|| Wrong::kind("true or false", value))
        }),
    };
    if found.tags.is_empty() && found.asg.is_none() && !reader.has("tags") && !reader.has("asg") {
        let wrong = Wrong::new("`tags` is missing: without it every instance of the account would be a target");
        reader.problem("tags", wrong.hint("write tags = { role = \"web\" }, or asg = \"NAME\""));
    }
    if found.port.is_none() && found.port_tag.is_none() && !reader.has("port") && !reader.has("port_tag") {
        let wrong = Wrong::new("`port` is missing");
        reader.problem(
            "port",
            wrong.hint("write port = 80, or port_tag = \"TAG\" if each instance has a tag that says it"),
        );
    }
    Some(found)
}

fn tags(value: &Value) -> Result<BTreeMap<Arc<str>, Vec<Arc<str>>>, Wrong> {
    let table = value.as_object().ok_or_else(|| Wrong::kind("a table of tags", value))?;
    let example = "write tags = { role = \"web\" }, or asg = \"NAME\"";
    if table.is_empty() {
        return Err(Wrong::new("no tag is named: every instance of the account would be a target").hint(example));
    }
    if table.len() > TAGS_MAX {
        return Err(Wrong::new(format!("{} tags are too many: at most {TAGS_MAX}", table.len())));
    }
    let mut count = 0;
    let tag = |(key, value): (&String, &Value)| {
        let values = values(value).map_err(|wrong| wrong.within(key))?;
        short_text(&Value::from(key.as_str())).map_err(|wrong| wrong.within(key))?;
        count += values.len();
        Ok((Arc::from(key.as_str()), values))
    };
    let tags = table.iter().map(tag).collect::<Result<_, _>>()?;
    if count > VALUES_MAX {
        return Err(Wrong::new(format!("{count} values of tags are too many: at most {VALUES_MAX}")));
    }
    Ok(tags)
}

fn values(value: &Value) -> Result<Vec<Arc<str>>, Wrong> {
    match value {
        Value::Array(values) if values.is_empty() => Err(Wrong::new("the list of values is empty: no instance fits")),
        Value::Array(values) => {
            let values = values.iter().enumerate();
            values.map(|(index, value)| tag_value(value).map_err(|wrong| wrong.within(&index.to_string()))).collect()
        }
        _ => tag_value(value).map(|value| vec![value]),
    }
}

/// A value means only itself: `*` and `?` are no wildcards.
fn tag_value(value: &Value) -> Result<Arc<str>, Wrong> {
    if value.as_str() == Some("") {
        // A tag may be there and say nothing.
        return Ok("".into());
    }
    short_text(value)
}

fn short_text(value: &Value) -> Result<Arc<str>, Wrong> {
    let text = text(value)?;
    if text.chars().count() > TEXT_CHARACTERS_MAX {
        return Err(Wrong::new(format!("it is longer than {TEXT_CHARACTERS_MAX} characters")));
    }
    Ok(text.into())
}

/// It becomes a part of a host name.
pub(super) fn region(value: &Value) -> Result<Arc<str>, Wrong> {
    let text = text(value)?;
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if text.len() > 63 || !text.bytes().all(legal) || text.starts_with('-') || text.ends_with('-') {
        return Err(Wrong::new(format!("{text:?} is not a region")).hint("write it as in \"us-east-1\""));
    }
    Ok(text.into())
}

impl From<&model::Discovery> for Discovery {
    fn from(discovery: &model::Discovery) -> Self {
        match discovery {
            model::Discovery::Ec2(ec2) => Self { ec2: Some(ec2.into()) },
        }
    }
}

impl From<&Ec2Discovery> for Ec2 {
    fn from(ec2: &Ec2Discovery) -> Self {
        let text = |text: &Option<Arc<str>>| text.as_deref().map(str::to_owned);
        let values = |values: &[Arc<str>]| match values {
            [only] => Values::One(only.to_string()),
            _ => Values::Any(values.iter().map(ToString::to_string).collect()),
        };
        Self {
            tags: ec2.tags.iter().map(|(key, any)| (key.to_string(), values(any))).collect(),
            asg: text(&ec2.asg),
            region: text(&ec2.region),
            address: ADDRESS.word(ec2.address),
            port: ec2.port,
            port_tag: text(&ec2.port_tag),
            weight_tag: text(&ec2.weight_tag),
            interval: duration_text(ec2.interval),
            complete_lifecycle_action: text(&ec2.complete_lifecycle_action),
            set_instance_health: ec2.set_instance_health,
        }
    }
}
