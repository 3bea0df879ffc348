//! Attributes of a load balancer as a whole.

use std::collections::BTreeMap;

use super::error::{Code, Refusal};
use super::query::{Input, Parameters};
use super::scene::{Scene, Wish};
use super::xml::Xml;
use crate::elb::{AccessLog, Attributes, ConnectionDraining, DesyncMitigation};

/// The attribute of unusual requests, which is one of the additional ones.
const DESYNC: &str = "elb.http.desyncmitigationmode";
const DRAINING_S_DEFAULT: u32 = 300;
const EMIT_INTERVAL_MIN_DEFAULT: u32 = 60;
/// How many additional attributes are kept, and how long each may be.
const ADDITIONAL_MAX: usize = 10;
const ADDITIONAL_CHARACTERS_MAX: usize = 256;

/// The blocks that are asked to be changed; the others stay.
#[derive(Debug, Default)]
struct Asked {
    cross_zone: Option<bool>,
    access_log: Option<AccessLog>,
    draining: Option<ConnectionDraining>,
    idle_timeout_s: Option<u32>,
    additional: Option<Vec<(String, String)>>,
}

/// `DescribeLoadBalancerAttributes`: every block, always.
pub(super) fn describe(scene: &Scene<'_>, parameters: &Parameters) -> Result<(Wish, Xml), Refusal> {
    let name = parameters.read(|input| input.required("LoadBalancerName").to_owned())?;
    let attributes = scene.load_balancer(&name)?.attributes;
    let mut xml = Xml::default();
    xml.element("LoadBalancerAttributes", |xml| {
        write_cross_zone(xml, &attributes);
        write_access_log(xml, &attributes);
        write_draining(xml, &attributes);
        write_settings(xml, &attributes);
        write_additional(xml, &attributes, |_| true);
    });
    Ok((Wish::Nothing, xml))
}

/// `ModifyLoadBalancerAttributes`: answers with the blocks that were asked for, as they are then.
pub(super) fn modify(scene: &Scene<'_>, parameters: &Parameters) -> Result<(Wish, Xml), Refusal> {
    let (name, asked) = parameters.read(|input| {
        let asked = input.required_structure("LoadBalancerAttributes", Asked::read);
        (input.required("LoadBalancerName").to_owned(), asked)
    })?;
    let mut facts = scene.load_balancer(&name)?;
    asked.check()?;
    asked.merge_into(&mut facts.attributes)?;
    let attributes = &facts.attributes;
    let mut xml = Xml::default();
    xml.text("LoadBalancerName", &name);
    xml.element("LoadBalancerAttributes", |xml| {
        if asked.cross_zone.is_some() {
            write_cross_zone(xml, attributes);
        }
        if asked.access_log.is_some() {
            write_access_log(xml, attributes);
        }
        if asked.draining.is_some() {
            write_draining(xml, attributes);
        }
        if asked.idle_timeout_s.is_some() {
            write_settings(xml, attributes);
        }
        if let Some(additional) = &asked.additional {
            write_additional(xml, attributes, |key| additional.iter().any(|(asked, _)| asked == key));
        }
    });
    Ok((Wish::put(&name, facts), xml))
}

impl Asked {
    fn read(input: &Input<'_>) -> Self {
        let enabled = |input: &Input<'_>| {
            input.required("Enabled");
            input.flag("Enabled").unwrap_or_default()
        };
        let text = |input: &Input<'_>, name| input.text(name).map(str::to_owned);
        Self {
            cross_zone: input.structure("CrossZoneLoadBalancing").map(|input| enabled(&input)),
            access_log: input.structure("AccessLog").map(|input| AccessLog {
                enabled: enabled(&input),
                bucket: text(&input, "S3BucketName"),
                prefix: text(&input, "S3BucketPrefix"),
                interval_min: input.number("EmitInterval", 0..=u32::MAX),
            }),
            draining: input.structure("ConnectionDraining").map(|input| ConnectionDraining {
                enabled: enabled(&input),
                // 0 stands for none, which keeps the one there is.
                timeout_s: input.number("Timeout", 1..=3600).unwrap_or_default(),
            }),
            idle_timeout_s: input
                .structure("ConnectionSettings")
                .map(|input| input.required_number("IdleTimeout", 1..=4000)),
            additional: input.structures("AdditionalAttributes").map(|attributes| {
                let pair = |input: &Input<'_>| (input.required("Key").to_owned(), input.required("Value").to_owned());
                attributes.iter().map(pair).collect()
            }),
        }
    }

    fn check(&self) -> Result<(), Refusal> {
        if let Some(log) = self.access_log.as_ref().filter(|log| log.enabled) {
            if log.bucket.as_deref().unwrap_or_default().is_empty() {
                return Err(Refusal::validation("S3BucketName is required where AccessLog is enabled"));
            }
            if log.interval_min.is_some_and(|minutes| minutes != 5 && minutes != 60) {
                return Err(Refusal::validation("EmitInterval must be 5 or 60 minutes"));
            }
            if log.prefix.as_deref().is_some_and(|prefix| prefix.contains("AWSLogs")) {
                return Err(Refusal::validation("S3BucketPrefix must not contain AWSLogs"));
            }
        }
        Ok(())
    }

    fn merge_into(&self, attributes: &mut Attributes) -> Result<(), Refusal> {
        attributes.cross_zone = self.cross_zone.unwrap_or(attributes.cross_zone);
        attributes.idle_timeout_s = self.idle_timeout_s.unwrap_or(attributes.idle_timeout_s);
        match &self.access_log {
            Some(log) if log.enabled => {
                let interval_min = log.interval_min.or(Some(EMIT_INTERVAL_MIN_DEFAULT));
                let prefix = log.prefix.clone().or_else(|| Some(String::new()));
                attributes.access_log = AccessLog { interval_min, prefix, ..log.clone() };
            }
            Some(_) => attributes.access_log = AccessLog::default(),
            None => {}
        }
        if let Some(ConnectionDraining { enabled, timeout_s }) = self.draining {
            let held = attributes.connection_draining.timeout_s;
            let held = if held == 0 { DRAINING_S_DEFAULT } else { held };
            let timeout_s = if timeout_s == 0 { held } else { timeout_s };
            attributes.connection_draining = ConnectionDraining { enabled, timeout_s };
        }
        for (key, value) in self.additional.iter().flatten() {
            set_additional(attributes, key, value)?;
        }
        Ok(())
    }
}

fn set_additional(attributes: &mut Attributes, key: &str, value: &str) -> Result<(), Refusal> {
    if key == DESYNC {
        let mode = [DesyncMitigation::Monitor, DesyncMitigation::Defensive, DesyncMitigation::Strictest];
        let mode = mode.into_iter().find(|mode| mode_name(*mode) == value);
        let refuse = || Refusal::validation(format!("{DESYNC} must be monitor, defensive or strictest, not '{value}'"));
        attributes.desync_mitigation = mode.ok_or_else(refuse)?;
        return Ok(());
    }
    if key == Attributes::CONNECTIONS_MAX {
        let message = format!("{key} must be a number from 0 (no limit) to 1000000, not '{value}'");
        Attributes::read_connections_max(value).ok_or_else(|| Refusal::validation(message))?;
    } else if !key.starts_with("elb.") {
        let message = format!("Load balancer attribute key '{key}' is not recognized");
        return Err(Refusal::new(Code::LoadBalancerAttributeNotFound, message));
    }
    if key.len() > ADDITIONAL_CHARACTERS_MAX || value.len() > ADDITIONAL_CHARACTERS_MAX {
        return Err(Refusal::validation("Additional attributes may be at most 256 characters long"));
    }
    let additional: &mut BTreeMap<_, _> = &mut attributes.additional;
    additional.insert(key.to_owned(), value.to_owned());
    if additional.len() > ADDITIONAL_MAX {
        return Err(Refusal::validation(format!("There may be at most {ADDITIONAL_MAX} additional attributes")));
    }
    Ok(())
}

fn mode_name(mode: DesyncMitigation) -> &'static str {
    match mode {
        DesyncMitigation::Monitor => "monitor",
        DesyncMitigation::Defensive => "defensive",
        DesyncMitigation::Strictest => "strictest",
    }
}

fn write_cross_zone(xml: &mut Xml, attributes: &Attributes) {
    xml.element("CrossZoneLoadBalancing", |xml| xml.text("Enabled", attributes.cross_zone));
}

fn write_access_log(xml: &mut Xml, attributes: &Attributes) {
    let AccessLog { enabled, bucket, prefix, interval_min } = &attributes.access_log;
    xml.element("AccessLog", |xml| {
        xml.text("Enabled", enabled);
        xml.optional("S3BucketName", bucket.as_deref());
        xml.optional("EmitInterval", *interval_min);
        xml.optional("S3BucketPrefix", prefix.as_deref());
    });
}

fn write_draining(xml: &mut Xml, attributes: &Attributes) {
    xml.element("ConnectionDraining", |xml| {
        xml.text("Enabled", attributes.connection_draining.enabled);
        xml.text("Timeout", attributes.connection_draining.timeout_s);
    });
}

fn write_settings(xml: &mut Xml, attributes: &Attributes) {
    xml.element("ConnectionSettings", |xml| xml.text("IdleTimeout", attributes.idle_timeout_s));
}

/// The mode of unusual requests is among these, and always has a value.
fn write_additional(xml: &mut Xml, attributes: &Attributes, is_asked: impl Fn(&str) -> bool) {
    let own = std::iter::once((DESYNC, mode_name(attributes.desync_mitigation)));
    let others = attributes.additional.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    xml.list("AdditionalAttributes", own.chain(others).filter(|(key, _)| is_asked(key)), |xml, (key, value)| {
        xml.text("Key", key);
        xml.text("Value", value);
    });
}
