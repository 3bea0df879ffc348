//! The Query API of Classic ELB, version 2012-06-01, as the clients of the service know it.
//!
//! In reading order: [`Elb::answer`] is the way of a request; [`query`] reads its parameters, `access` and `signature`
//! find out whose it is, [`ACTIONS`] says what there is to be done, [`scene`] is what an action sees and asks for, `xml`
//! and `error` are what is answered. Then one file a resource. An action is a pure function: it sees a [`Scene`], and
//! answers with what is to be made of one load balancer ([`Wish`]), which the door carries out in one transaction.
//!
//! Not here: what a load balancer is ([`crate::elb`]), HTTP (`admin`, at whose address it is served).

mod access;
mod attributes;
mod error;
mod instances;
mod listeners;
mod load_balancers;
mod policies;
mod policy_types;
mod query;
mod scene;
mod signature;
mod tags;
mod xml;
mod zones;

use std::sync::Arc;
use std::time::SystemTime;

use http::{HeaderMap, Method, StatusCode};
use lb::model::{AccessKey, Change, ObjectRef};
use lb::state::Live;
use rand::RngCore;

use self::error::{Code, Refusal};
use self::query::Parameters;
use self::scene::{Scene, Wish};
use self::signature::Signed;
use self::xml::Xml;
use crate::elb::{Means, put};
use crate::instances::{CouldNotAsk, Directory, Machines};
use crate::store::{Precondition, Refused, Store};

/// What an action does with a scene and its parameters.
type Run = fn(&Scene<'_>, &Parameters) -> Result<(Wish, Xml), Refusal>;

/// Every action of the API.
const ACTIONS: &[(&str, Run)] = &[
    ("AddTags", tags::add),
    ("ApplySecurityGroupsToLoadBalancer", zones::apply_security_groups),
    ("AttachLoadBalancerToSubnets", zones::attach),
    ("ConfigureHealthCheck", instances::configure_health_check),
    ("CreateAppCookieStickinessPolicy", policies::create_app_cookie),
    ("CreateLBCookieStickinessPolicy", policies::create_lb_cookie),
    ("CreateLoadBalancer", load_balancers::create),
    ("CreateLoadBalancerListeners", listeners::create),
    ("CreateLoadBalancerPolicy", policies::create),
    ("DeleteLoadBalancer", load_balancers::delete),
    ("DeleteLoadBalancerListeners", listeners::delete),
    ("DeleteLoadBalancerPolicy", policies::delete),
    ("DeregisterInstancesFromLoadBalancer", instances::deregister),
    ("DescribeAccountLimits", load_balancers::limits),
    ("DescribeInstanceHealth", instances::health),
    ("DescribeLoadBalancerAttributes", attributes::describe),
    ("DescribeLoadBalancerPolicies", policies::describe),
    ("DescribeLoadBalancerPolicyTypes", policy_types::describe),
    ("DescribeLoadBalancers", load_balancers::describe),
    ("DescribeTags", tags::describe),
    ("DetachLoadBalancerFromSubnets", zones::detach),
    ("DisableAvailabilityZonesForLoadBalancer", zones::disable),
    ("EnableAvailabilityZonesForLoadBalancer", zones::enable),
    ("ModifyLoadBalancerAttributes", attributes::modify),
    ("RegisterInstancesWithLoadBalancer", instances::register),
    ("RemoveTags", tags::remove),
    ("SetLoadBalancerListenerSSLCertificate", listeners::set_certificate),
    ("SetLoadBalancerPoliciesForBackendServer", policies::set_for_backend_server),
    ("SetLoadBalancerPoliciesOfListener", policies::set_of_listener),
];

/// The versions of the API that are answered: the last one, and those it holds all of.
const VERSIONS: [&str; 7] =
    ["2012-06-01", "2011-11-15", "2011-08-15", "2011-04-05", "2010-07-01", "2009-11-25", "2009-05-15"];

/// How often a change is made again because somebody else has made one to the same load balancer meanwhile.
const ATTEMPTS_MAX: usize = 20;

/// The door of the API.
#[derive(Debug)]
pub struct Elb {
    store: Store,
    live: Arc<Live>,
    directory: Directory,
    /// The key of the state directory.
    own_key: AccessKey,
}

/// An answer, be it a refusal.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Names the request.
    pub request_id: String,
    /// The document, in XML.
    pub body: String,
}

impl Elb {
    /// An API over what is kept and what is live. Holders of `own_key` may use it, beside those that the configuration names.
    pub fn new(store: Store, live: Arc<Live>, directory: Directory, own_key: AccessKey) -> Self {
        Self { store, live, directory, own_key }
    }

    /// Answers a request to the root.
    pub async fn answer(&self, method: &Method, query: &str, headers: &HeaderMap, body: &[u8]) -> Answer {
        let request_id = request_id();
        let (status, body) = match self.carry_out(&Signed { method, query, headers, body }).await {
            Ok((action, result)) => (StatusCode::OK, xml::answer(action, &request_id, &result)),
            Err(refusal) => {
                tracing::debug!(%refusal, request_id, "a request to the ELB API was refused");
                (refusal.code.status(), xml::refusal(&refusal, &request_id))
            }
        };
        Answer { status, request_id, body }
    }

    /// The answer to a request whose body could not be read.
    pub fn unreadable(why: &str) -> Answer {
        let (request_id, refusal) = (request_id(), Refusal::new(Code::MalformedInput, why));
        Answer { status: refusal.code.status(), body: xml::refusal(&refusal, &request_id), request_id }
    }

    async fn carry_out(&self, request: &Signed<'_>) -> Result<(&'static str, Xml), Refusal> {
        let form = if *request.method == Method::POST { request.body } else { &[] };
        let parameters = Parameters::parse(&[request.query.as_bytes(), form]);
        let caller = {
            let elb_api = &self.store.config().global.elb_api;
            if parameters.get("SignatureVersion").is_some() || parameters.get("AWSAccessKeyId").is_some() {
                let message = "Signature Version 4 is the only one that is supported.";
                return Err(Refusal::new(Code::UnsupportedProtocol, message));
            }
            let keys = std::iter::once(&self.own_key).chain(&elb_api.access_keys);
            access::authenticate(request, keys, elb_api.is_open, SystemTime::now())?
        };
        let (name, run) = action(&parameters)?;
        let mut machines: Option<Arc<Machines>> = None;
        for _ in 0..ATTEMPTS_MAX {
            let snapshot = self.live.load();
            let scene = Scene {
                config: &snapshot.config,
                snapshot: &snapshot,
                machines: machines.as_deref(),
                caller: &caller,
                now: SystemTime::now(),
                random: rand::rng().next_u64(),
            };
            let (wish, answer) = match run(&scene, &parameters) {
                // EC2 may know what nobody here does. It is asked once.
                Err(refusal) if refusal.code == Code::InvalidInstance && machines.is_none() => {
                    let ids = instances::named(&parameters)?;
                    machines =
                        Some(self.directory.learn(&snapshot.config.global, &ids).await.map_err(|why| not_told(&why))?);
                    continue;
                }
                outcome => outcome?,
            };
            let Some((change, precondition)) = change(&scene, wish)? else { return Ok((name, answer)) };
            match self.store.apply(vec![change], precondition).await {
                Ok(_) => return Ok((name, answer)),
                // Somebody else was quicker: what is to be made is to be made of that.
                Err(Refused::Precondition { .. }) => {}
                Err(refused) => return Err(refusal_of(refused)),
            }
        }
        Err(Refusal::new(Code::Throttling, "Rate exceeded: others keep changing this load balancer"))
    }
}

/// The action that is asked for.
fn action(parameters: &Parameters) -> Result<(&'static str, Run), Refusal> {
    let Some(name) = parameters.get("Action") else {
        return Err(Refusal::new(Code::MissingAction, "The request must contain the parameter Action"));
    };
    let version = parameters.get("Version").unwrap_or("(none)");
    let known = ACTIONS.iter().find(|(known, _)| *known == name).filter(|_| VERSIONS.contains(&version));
    let none = || Refusal::new(Code::InvalidAction, format!("Could not find operation {name} for version {version}"));
    known.map(|(name, run)| (*name, *run)).ok_or_else(none)
}

/// What fulfils a wish, and what must still hold then.
fn change(scene: &Scene<'_>, wish: Wish) -> Result<Option<(Change, Precondition)>, Refusal> {
    let (name, change) = match wish {
        Wish::Nothing => return Ok(None),
        Wish::Delete(name) => {
            let id = scene.id_of(&name);
            (name, Change::DeleteLoadBalancer(id))
        }
        Wish::Put(name, facts) => {
            let certificates = scene.config.certificates.values().map(|held| &held.wanted);
            let means = Means::new(&scene.config.global, certificates);
            let change = put(&scene.id_of(&name), &facts, &means);
            (name, change.map_err(|rejected| refusal_of(rejected.into()))?)
        }
    };
    let object = ObjectRef::LoadBalancer(scene.id_of(&name));
    let precondition = match scene.config.revision_of(&object) {
        Some(revision) => Precondition::Matches(object, vec![revision]),
        None => Precondition::Absent(object),
    };
    Ok(Some((change, precondition)))
}

/// Why the store refused, in the words of the API.
fn refusal_of(refused: Refused) -> Refusal {
    match refused {
        Refused::Rejected(rejected) => Refusal::not_now(rejected.to_string()),
        Refused::Bind(error) => Refusal::not_now(format!("{error}: {}", error.source)),
        Refused::Precondition { .. } | Refused::Outdated { .. } => {
            Refusal::new(Code::Throttling, "Rate exceeded: others have changed it meanwhile")
        }
        Refused::NotKept(_) | Refused::NotTakenUp { .. } => {
            tracing::error!(error = &refused as &dyn std::error::Error, "a request to the ELB API failed");
            Refusal::new(Code::InternalFailure, refused.to_string())
        }
        Refused::Stopped => Refusal::new(Code::ServiceUnavailable, refused.to_string()),
    }
}

/// Nothing was changed, and whoever asks again may be told.
fn not_told(why: &CouldNotAsk) -> Refusal {
    let code = if why.is_throttled { Code::Throttling } else { Code::ServiceUnavailable };
    Refusal::new(code, why.to_string())
}

/// A random name, of the form of a UUID (RFC 9562, version 4).
fn request_id() -> String {
    let mut random = [0; 16];
    rand::rng().fill_bytes(&mut random);
    let bits = (u128::from_be_bytes(random) & !(0xF << 76) & !(0b11 << 62)) | (4 << 76) | (0b10 << 62);
    let digits = format!("{bits:032x}");
    [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-")
}
