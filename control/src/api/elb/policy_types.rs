//! The types of policies, their attributes, and the policies that are there from the beginning.

use super::error::{Code, Refusal};
use super::query::Parameters;
use super::scene::{Scene, Wish};
use super::xml::Xml;
use crate::elb::Policy;
use crate::elb::policy_type::{
    APP_COOKIE, BACKEND_AUTHENTICATION, CIPHER_ORDER, LB_COOKIE, PROXY_PROTOCOL, PUBLIC_KEY, REFERENCE, SSL_NEGOTIATION,
};

/// A type of policies.
pub(super) struct PolicyType {
    pub(super) name: &'static str,
    description: &'static str,
    pub(super) place: Place,
}

/// What policies of a type are set on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Listeners of HTTP and HTTPS.
    HttpListener,
    /// Listeners of HTTPS and SSL.
    SecureListener,
    /// Ports of instances.
    InstancePort,
    /// Nothing: other policies name them.
    Nowhere,
}

/// An attribute of a type.
pub(super) struct AttributeType {
    pub(super) name: &'static str,
    kind: &'static str,
    description: &'static str,
    default: Option<&'static str>,
    cardinality: Cardinality,
}

/// How often an attribute may be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cardinality {
    One,
    ZeroOrOne,
    OneOrMore,
}

const TYPES: &[PolicyType] = &[
    PolicyType {
        name: APP_COOKIE,
        description: "Stickiness policy with session lifetimes controlled by the lifetime of the application-generated \
                      cookie. This policy can be associated only with HTTP/HTTPS listeners.",
        place: Place::HttpListener,
    },
    PolicyType {
        name: LB_COOKIE,
        description: "Stickiness policy with session lifetimes controlled by the browser (user-agent) or a specified \
                      expiration period. This policy can be associated only with HTTP/HTTPS listeners.",
        place: Place::HttpListener,
    },
    PolicyType {
        name: SSL_NEGOTIATION,
        description: "Listener policy that defines the ciphers and protocols that will be accepted by the load \
                      balancer. This policy can be associated only with HTTPS/SSL listeners.",
        place: Place::SecureListener,
    },
    PolicyType {
        name: PROXY_PROTOCOL,
        description: "Policy that controls whether to include the IP address and port of the originating request for \
                      TCP messages. This policy operates on TCP/SSL listeners only",
        place: Place::InstancePort,
    },
    PolicyType {
        name: PUBLIC_KEY,
        description: "Policy containing a list of public keys to accept when authenticating the back-end server(s). \
                      This policy cannot be applied directly to back-end servers or listeners but must be part of a \
                      BackendServerAuthenticationPolicyType.",
        place: Place::Nowhere,
    },
    PolicyType {
        name: BACKEND_AUTHENTICATION,
        description: "Policy that controls authentication to back-end server(s) and contains one or more policies, \
                      such as an instance of a PublicKeyPolicyType. This policy can be associated only with back-end \
                      servers that are using HTTPS/SSL.",
        place: Place::InstancePort,
    },
];

/// The versions of TLS that a policy may switch on or off, by the names of their attributes.
const VERSIONS: &[&str] =
    &["Protocol-SSLv2", "Protocol-SSLv3", "Protocol-TLSv1", "Protocol-TLSv1.1", "Protocol-TLSv1.2"];
/// The ciphers of TLS 1.2 that predefined policies have in common, by OpenSSL's names; those from the seventh on are
/// offered by the older policies only.
const CIPHERS: &[&str] = &[
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES128-SHA256",
    "ECDHE-RSA-AES128-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-AES256-SHA384",
    "ECDHE-RSA-AES256-SHA384",
    "AES128-GCM-SHA256",
    "AES128-SHA256",
    "AES256-GCM-SHA384",
    "AES256-SHA256",
    "ECDHE-ECDSA-AES128-SHA",
    "ECDHE-RSA-AES128-SHA",
    "ECDHE-RSA-AES256-SHA",
    "ECDHE-ECDSA-AES256-SHA",
    "AES128-SHA",
    "AES256-SHA",
    "DES-CBC3-SHA",
];
/// How many of [`CIPHERS`] are not made with SHA-1.
const MODERN_CIPHERS: usize = 12;

/// The predefined policies: which versions from [`VERSIONS`] each has, and how many of [`CIPHERS`].
const PREDEFINED: &[(&str, std::ops::RangeInclusive<usize>, usize)] = &[
    ("ELBSecurityPolicy-2016-08", 2..=4, 18),
    ("ELBSecurityPolicy-TLS-1-2-2017-01", 4..=4, MODERN_CIPHERS),
    ("ELBSecurityPolicy-TLS-1-1-2017-01", 3..=4, 18),
    ("ELBSecurityPolicy-2015-05", 2..=4, 19),
    ("ELBSecurityPolicy-2015-03", 2..=4, 19),
    ("ELBSecurityPolicy-2015-02", 2..=4, 19),
    ("ELBSecurityPolicy-2014-10", 2..=4, 19),
    ("ELBSecurityPolicy-2014-01", 1..=4, 19),
    ("ELBSecurityPolicy-2011-08", 1..=2, 19),
    ("ELBSample-ELBDefaultCipherPolicy", 1..=2, 19),
    ("ELBSample-OpenSSLDefaultCipherPolicy", 1..=2, 19),
];

/// `DescribeLoadBalancerPolicyTypes`.
pub(super) fn describe(_: &Scene<'_>, parameters: &Parameters) -> Result<(Wish, Xml), Refusal> {
    let asked = parameters.read(|input| {
        input.texts("PolicyTypeNames").map(|names| names.into_iter().map(str::to_owned).collect::<Vec<_>>())
    })?;
    let asked = asked.filter(|names| !names.is_empty());
    let types = match &asked {
        None => TYPES.iter().collect(),
        Some(names) => names.iter().map(|name| find(name)).collect::<Result<Vec<_>, _>>()?,
    };
    let mut xml = Xml::default();
    xml.list("PolicyTypeDescriptions", types, |xml, policy_type| {
        xml.text("PolicyTypeName", policy_type.name);
        xml.text("Description", policy_type.description);
        xml.list("PolicyAttributeTypeDescriptions", attributes_of(policy_type.name), |xml, attribute| {
            xml.text("AttributeName", attribute.name);
            xml.text("AttributeType", attribute.kind);
            xml.optional("Description", Some(attribute.description).filter(|text| !text.is_empty()));
            xml.optional("DefaultValue", attribute.default);
            xml.text("Cardinality", attribute.cardinality.as_str());
        });
    });
    Ok((Wish::Nothing, xml))
}

/// The type of a name.
///
/// # Errors
/// [`Code::PolicyTypeNotFound`].
pub(super) fn find(name: &str) -> Result<&'static PolicyType, Refusal> {
    let found = TYPES.iter().find(|policy_type| policy_type.name == name);
    found.ok_or_else(|| Refusal::new(Code::PolicyTypeNotFound, format!("Policy type '{name}' does not exist")))
}

/// The attributes of a type.
pub(super) fn attributes_of(type_name: &str) -> Vec<AttributeType> {
    use Cardinality::{One, OneOrMore, ZeroOrOne};
    let attribute =
        |name, kind, description, cardinality| AttributeType { name, kind, description, default: None, cardinality };
    match type_name {
        APP_COOKIE => vec![attribute("CookieName", "String", "", One)],
        LB_COOKIE => vec![attribute("CookieExpirationPeriod", "Long", "", ZeroOrOne)],
        PROXY_PROTOCOL => vec![attribute("ProxyProtocol", "Boolean", "", One)],
        PUBLIC_KEY => vec![attribute("PublicKey", "String", "", One)],
        BACKEND_AUTHENTICATION => vec![attribute("PublicKeyPolicyName", "PolicyName", "", OneOrMore)],
        SSL_NEGOTIATION => {
            let switches = VERSIONS.iter().chain(std::iter::once(&CIPHER_ORDER)).chain(CIPHERS);
            let switch = |name: &&'static str| AttributeType {
                default: Some("false"),
                ..attribute(name, "Boolean", "", ZeroOrOne)
            };
            let reference = attribute(REFERENCE, "String", "The name of a predefined policy", ZeroOrOne);
            std::iter::once(reference).chain(switches.map(switch)).collect()
        }
        _ => Vec::new(),
    }
}

/// Checks the attributes of a policy that is to be made.
///
/// # Errors
/// The first refusal.
pub(super) fn check(type_name: &str, attributes: &[(String, String)]) -> Result<(), Refusal> {
    let types = attributes_of(type_name);
    for (name, value) in attributes {
        let Some(known) = types.iter().find(|known| known.name == *name) else {
            // Clients of other years name ciphers that are not offered any more.
            if type_name == SSL_NEGOTIATION
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte))
            {
                continue;
            }
            return Err(Refusal::not_now(format!("Policy type {type_name} has no attribute '{name}'")));
        };
        let is_legal = match known.kind {
            "Boolean" => value == "true" || value == "false",
            "Long" => value.parse::<u64>().is_ok(),
            _ => !value.is_empty(),
        };
        if !is_legal {
            let kind = known.kind;
            return Err(Refusal::not_now(format!("'{value}' is no {kind}, as attribute '{name}' takes it")));
        }
    }
    for known in &types {
        let count = attributes.iter().filter(|(name, _)| name == known.name).count();
        let is_legal = match known.cardinality {
            Cardinality::One => count == 1,
            Cardinality::ZeroOrOne => count <= 1,
            Cardinality::OneOrMore => count >= 1,
        };
        if !is_legal {
            let (name, times) = (known.name, known.cardinality.as_str());
            return Err(Refusal::not_now(format!("Attribute '{name}' must be given {times} times, not {count}")));
        }
    }
    Ok(())
}

/// The policies that are there from the beginning.
pub(super) fn predefined() -> Vec<Policy> {
    let policy = |(name, versions, ciphers): &(&str, std::ops::RangeInclusive<usize>, usize)| {
        let is_on = |on: bool| on.to_string();
        let versions = VERSIONS.iter().enumerate().map(|(nth, name)| (*name, is_on(versions.contains(&nth))));
        let ciphers = CIPHERS.iter().enumerate().map(|(nth, name)| (*name, is_on(nth < *ciphers)));
        let order = std::iter::once((CIPHER_ORDER, is_on(true)));
        let reference = std::iter::once((REFERENCE, (*name).to_owned()));
        let attributes = reference.chain(versions).chain(order).chain(ciphers);
        Policy {
            name: (*name).to_owned(),
            type_name: SSL_NEGOTIATION.to_owned(),
            attributes: attributes.map(|(name, value)| (name.to_owned(), value)).collect(),
        }
    };
    PREDEFINED.iter().map(policy).collect()
}

impl Cardinality {
    fn as_str(self) -> &'static str {
        match self {
            Self::One => "ONE",
            Self::ZeroOrOne => "ZERO_OR_ONE",
            Self::OneOrMore => "ONE_OR_MORE",
        }
    }
}
