//! Tags of load balancers.

use std::collections::HashSet;

use super::error::{Code, Refusal};
use super::query::{Input, Parameters};
use super::scene::{Scene, Wish};
use super::xml::Xml;
use crate::elb::Tag;

/// How many tags a load balancer may have.
const TAGS_MAX: usize = 10;
/// How many load balancers may be asked about at once.
const DESCRIBED_MAX: usize = 20;
const KEY_CHARACTERS_MAX: usize = 128;
const VALUE_CHARACTERS_MAX: usize = 256;

/// `AddTags`: those with the same keys are replaced.
pub(super) fn add(scene: &Scene<'_>, parameters: &Parameters) -> Result<(Wish, Xml), Refusal> {
    let (names, tags) = parameters
        .read(|input| (names(input), input.required_structures("Tags").iter().map(read_one).collect::<Vec<_>>()))?;
    let name = only(&names)?;
    let mut facts = scene.load_balancer(name)?;
    check(&tags)?;
    for tag in tags {
        facts.tags.retain(|other| other.key != tag.key);
        facts.tags.push(tag);
    }
    check(&facts.tags)?;
    let name = name.to_owned();
    Ok((Wish::put(&name, facts), Xml::default()))
}

/// `RemoveTags`: those that are there.
pub(super) fn remove(scene: &Scene<'_>, parameters: &Parameters) -> Result<(Wish, Xml), Refusal> {
    let (names, keys) = parameters.read(|input| {
        let tags = input.required_structures("Tags");
        let keys: Vec<_> = tags.iter().map(|tag| tag.required("Key").to_owned()).collect();
        (names(input), keys)
    })?;
    let name = only(&names)?;
    let mut facts = scene.load_balancer(name)?;
    facts.tags.retain(|tag| !keys.contains(&tag.key));
    let name = name.to_owned();
    Ok((Wish::put(&name, facts), Xml::default()))
}

/// `DescribeTags`: an entry for each load balancer, be it without tags.
pub(super) fn describe(scene: &Scene<'_>, parameters: &Parameters) -> Result<(Wish, Xml), Refusal> {
    let names = parameters.read(names)?;
    if names.is_empty() || names.len() > DESCRIBED_MAX {
        return Err(Refusal::validation(format!("LoadBalancerNames must name 1 to {DESCRIBED_MAX} load balancers")));
    }
    let described = names.iter().map(|name| Ok((name, scene.load_balancer(name)?.tags)));
    let described = described.collect::<Result<Vec<_>, Refusal>>()?;
    let mut xml = Xml::default();
    xml.list("TagDescriptions", described, |xml, (name, tags)| {
        xml.text("LoadBalancerName", name);
        xml.list("Tags", tags, |xml, tag| {
            xml.text("Key", tag.key);
            // Clients take a value for granted.
            xml.text("Value", tag.value.unwrap_or_default());
        });
    });
    Ok((Wish::Nothing, xml))
}

fn names(input: &Input<'_>) -> Vec<String> {
    input.required_texts("LoadBalancerNames").into_iter().map(str::to_owned).collect()
}

/// Tags are changed on one load balancer at a time.
fn only(names: &[String]) -> Result<&str, Refusal> {
    match names {
        [only] => Ok(only),
        _ => Err(Refusal::validation("LoadBalancerNames must name one load balancer")),
    }
}

/// Reads tags as they are asked for.
pub(super) fn read(input: &Input<'_>) -> Vec<Tag> {
    input.structures("Tags").unwrap_or_default().iter().map(read_one).collect()
}

fn read_one(input: &Input<'_>) -> Tag {
    Tag { key: input.required("Key").to_owned(), value: input.text("Value").map(str::to_owned) }
}

/// Checks all tags of a load balancer.
///
/// # Errors
/// The first refusal.
pub(super) fn check(tags: &[Tag]) -> Result<(), Refusal> {
    let is_legal =
        |character: char| character.is_alphanumeric() || character.is_whitespace() || "_.:/=+-@".contains(character);
    for Tag { key, value } in tags {
        let value = value.as_deref().unwrap_or_default();
        if !(1..=KEY_CHARACTERS_MAX).contains(&key.chars().count()) || !key.chars().all(is_legal) {
            return Err(Refusal::validation(format!(
                "Tag key '{key}' must be 1 to 128 letters, digits, spaces or any of _.:/=+-@"
            )));
        }
        if key.starts_with("aws:") {
            return Err(Refusal::validation(format!("Tag key '{key}' begins with aws:, which is reserved")));
        }
        if value.chars().count() > VALUE_CHARACTERS_MAX || !value.chars().all(is_legal) {
            return Err(Refusal::validation(format!(
                "The value of tag '{key}' must be at most 256 letters, digits, spaces or any of _.:/=+-@"
            )));
        }
    }
    let mut keys = HashSet::new();
    if let Some(twice) = tags.iter().find(|tag| !keys.insert(&tag.key)) {
        return Err(Refusal::new(Code::DuplicateTagKeys, format!("Tag key '{}' is there twice", twice.key)));
    }
    if tags.len() > TAGS_MAX {
        return Err(Refusal::new(Code::TooManyTags, format!("A load balancer may have at most {TAGS_MAX} tags")));
    }
    Ok(())
}
