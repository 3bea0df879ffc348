//! The vocabulary: a [`Scene`] is a control side with a few instances and certificates, a [`Call`] a request to it, signed
//! by an implementation of Signature Version 4 that is not elbow's.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign,
};
use aws_sigv4::sign::v4::SigningParams;
use http::Method;

use crate::house::{Answer, Ask, House};

pub(crate) const KEY: (&str, &str) = ("AKIAEXAMPLE", "a-secret-of-nobody");
pub(crate) const SESSION: (&str, &str, &str) = ("ASIAEXAMPLE", "a-secret-for-a-while", "a/session+token==");
pub(crate) const ARN: &str = "arn:aws:iam::123456789012:server-certificate/shop";
const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";

/// A control side whose load balancers bind an address of their own.
pub(crate) struct Scene {
    pub(crate) house: House,
    pub(crate) bind: Ipv4Addr,
}

/// A request to be signed, which a test may spoil.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) parameters: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) key: (String, String),
    pub(crate) token: Option<String>,
    pub(crate) region: String,
    pub(crate) service: String,
    pub(crate) at: SystemTime,
    pub(crate) expires_in: Option<Duration>,
    pub(crate) payload_header: bool,
}

impl Scene {
    pub(crate) async fn start() -> Self {
        // Tests of one process, and processes of one run, must not meet on a port.
        static NEXT: AtomicU8 = AtomicU8::new(1);
        let process = std::process::id().to_be_bytes();
        let bind = Ipv4Addr::new(127, process[2] % 200 + 20, process[3], NEXT.fetch_add(1, Ordering::Relaxed));
        let (id, secret) = KEY;
        let (session_id, session_secret, token) = SESSION;
        let toml = format!(
            "[elb_api]\nbind = \"{bind}\"\n[[elb_api.access_key]]\nid = \"{id}\"\nsecret = \"{secret}\"\n\
             [[elb_api.access_key]]\nid = \"{session_id}\"\nsecret = \"{session_secret}\"\nsession_token = \"{token}\"\n\
             [[elb_api.access_key]]\nid = \"AKIAOTHER\"\nsecret = \"other\"\naccount = \"000000000002\"\n\
             [instances]\n\"i-87f232ed\" = \"127.0.0.1\"\n\"i-85f232ef\" = \"127.0.0.2\"\n\"i-00000003\" = \"127.0.0.3\"\n\
             \"i-00000004\" = {{ address = \"127.0.0.4\", zone = \"us-east-1d\" }}\n"
        );
        Self { house: House::start_with(Some(&toml), true).await, bind }
    }

    /// With a certificate whose ARN is [`ARN`].
    pub(crate) async fn with_certificate() -> Self {
        let scene = Self::start().await;
        let issued = rcgen::generate_simple_self_signed(vec!["shop.example".to_owned()]).unwrap();
        let body = serde_json::json!({
            "certificate": issued.cert.pem(), "key": issued.signing_key.serialize_pem(), "arn": ARN,
        });
        scene.house.put("/v1/certificates/shop", &body).await.json(201);
        scene
    }

    /// Changes the file, and reloads it.
    pub(crate) async fn reload(&self, change: impl FnOnce(String) -> String) {
        let text = std::fs::read_to_string(&self.house.file).unwrap();
        std::fs::write(&self.house.file, change(text)).unwrap();
        self.house.post("/v1/reload").await.json(200);
    }

    /// Sends what a client of today would.
    pub(crate) async fn call(&self, action: &str, parameters: &str) -> Answer {
        self.send(Call::of(action, parameters)).await
    }

    /// As [`Self::call`], of an action that must succeed; its answer.
    pub(crate) async fn done(&self, action: &str, parameters: &str) -> String {
        let answer = self.call(action, parameters).await;
        assert_eq!(answer.status, 200, "{action} {parameters}: {}", answer.text());
        masked(&answer)
    }

    /// As [`Self::call`], of an action that must be refused, and change nothing.
    pub(crate) async fn refused(&self, action: &str, parameters: &str) -> String {
        self.unchanged(Call::of(action, parameters)).await
    }

    /// Sends what must be refused, and change nothing.
    pub(crate) async fn unchanged(&self, call: Call) -> String {
        let before = self.house.live.load().config.revision;
        let answer = self.send(call).await;
        assert!(answer.status.is_client_error(), "{}", answer.text());
        assert_eq!(self.house.live.load().config.revision, before, "it changed something: {}", answer.text());
        format!("{} {}", answer.status.as_u16(), masked(&answer))
    }

    pub(crate) async fn send(&self, call: Call) -> Answer {
        self.signed(&call).send().await
    }

    /// The request with its signature.
    pub(crate) fn signed(&self, call: &Call) -> Ask {
        let host = self.house.address.to_string();
        let is_post = call.method == Method::POST;
        let body = if is_post { call.parameters.as_str() } else { "" };
        let mut path = if is_post { "/".to_owned() } else { format!("/?{}", call.parameters) };
        let mut headers = vec![("host".to_owned(), host.clone())];
        headers.extend(is_post.then(|| ("content-type".to_owned(), FORM.to_owned())));
        headers.extend(call.headers.iter().cloned());
        let (id, secret) = &call.key;
        let identity = Credentials::new(id, secret, call.token.clone(), None, "a test").into();
        let mut settings = SigningSettings::default();
        settings.expires_in = call.expires_in;
        if call.expires_in.is_some() {
            settings.signature_location = SignatureLocation::QueryParams;
        }
        if call.payload_header {
            settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        }
        let parameters = SigningParams::builder().identity(&identity).region(&call.region).name(&call.service);
        let parameters = parameters.time(call.at).settings(settings).build().unwrap().into();
        let pairs = headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let uri = format!("http://{host}{path}");
        let request = SignableRequest::new(call.method.as_str(), uri, pairs, SignableBody::Bytes(body.as_bytes()));
        let (instructions, _) = sign(request.unwrap(), &parameters).unwrap().into_parts();
        headers.extend(instructions.headers().map(|(name, value)| (name.to_owned(), value.to_owned())));
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(instructions.params()).finish();
        if !query.is_empty() {
            path = if path.contains('?') { format!("{path}&{query}") } else { format!("{path}?{query}") };
        }
        let ask = self.house.ask(call.method.clone(), &path).without("authorization").without("host");
        let ask = if is_post { ask.raw_body(body.as_bytes().to_vec()) } else { ask };
        headers.iter().fold(ask, |ask, (name, value)| ask.header(name, value))
    }
}

impl Call {
    /// A form, posted.
    pub(crate) fn of(action: &str, parameters: &str) -> Self {
        Self {
            method: Method::POST,
            parameters: format!("Action={action}&Version=2012-06-01&{parameters}"),
            headers: Vec::new(),
            key: (KEY.0.to_owned(), KEY.1.to_owned()),
            token: None,
            region: "us-east-1".to_owned(),
            service: "elasticloadbalancing".to_owned(),
            at: SystemTime::now(),
            expires_in: None,
            payload_header: false,
        }
    }

    /// The same as a query.
    pub(crate) fn get(self) -> Self {
        Self { method: Method::GET, ..self }
    }

    /// The same with its signature in the query.
    pub(crate) fn presigned(self) -> Self {
        Self { expires_in: Some(Duration::from_secs(60)), ..self }
    }

    pub(crate) fn key(self, id: &str, secret: &str) -> Self {
        Self { key: (id.to_owned(), secret.to_owned()), ..self }
    }
}

/// A document with elements on lines of their own, and what differs from run to run masked; as it was sent otherwise.
pub(crate) fn masked(answer: &Answer) -> String {
    assert_eq!(answer.header("content-type"), "text/xml");
    let text = answer.text();
    let inside = |name: &str| {
        let (_, rest) = text.split_once(&format!("<{name}>"))?;
        rest.split_once("</").map(|(inside, _)| inside.to_owned())
    };
    let request_id = inside("RequestId").unwrap();
    assert_eq!(answer.header("x-amzn-requestid"), request_id);
    assert_eq!(request_id.len(), 36);
    let mut masked = text.replace(&request_id, "[uuid]");
    if let Some(time) = inside("CreatedTime") {
        masked = masked.replace(&time, "[time]");
    }
    if let Some(name) = inside("DNSName") {
        let digits = name.split('.').next().and_then(|first| first.rsplit('-').next()).unwrap().to_owned();
        assert!(digits.len() >= 9 && digits.bytes().all(|byte| byte.is_ascii_digit()), "{name}");
        masked = masked.replace(&digits, "[digits]");
    }
    indented(&masked)
}

/// One element a line; nothing else is changed.
fn indented(xml: &str) -> String {
    let mut depth = 0_usize;
    let mut lines = String::new();
    for part in xml.trim_end().split_inclusive('>') {
        let (text, tag) = part.split_once('<').unwrap_or((part, ""));
        if tag.starts_with('/') {
            depth = depth.saturating_sub(1);
            if lines.ends_with('\n') {
                lines.push_str(&"  ".repeat(depth));
            }
            lines.push_str(text);
        } else {
            if !lines.is_empty() && !lines.ends_with('\n') {
                lines.push('\n');
            }
            lines.push_str(&"  ".repeat(depth));
            depth += usize::from(!tag.ends_with("/>"));
        }
        lines.push('<');
        lines.push_str(tag);
        if tag.starts_with('/') || tag.ends_with("/>") {
            lines.push('\n');
        }
    }
    lines
}
