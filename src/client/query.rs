//! How the commands of 2010 talk to a running elbow: the Query API of ELB, each request signed with Signature Version 4.
//!
//! Not here: what is asked ([`crate::cli`]) and where keys come from ([`super::access_key`]).

use std::fmt;
use std::time::SystemTime;

use anyhow::{Context, anyhow};
use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use http::{Request, header};
use http_body_util::Full;
use hyper::body::Bytes;

use super::{Client, Connect, refusal};
use control::xml::Element;

const SERVICE: &str = "elasticloadbalancing";
const VERSION: &str = "2012-06-01";
const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";

/// A running elbow's ELB API, asked by the holder of a key.
#[derive(Debug)]
pub struct QueryApi {
    client: Client,
    credentials: Credentials,
    region: String,
}

/// What the API answered.
#[derive(Debug)]
pub struct Answer {
    /// As it came.
    pub text: String,
    /// What is in it: the element `ActionResult`.
    pub result: Element,
}

/// The API said no.
#[derive(Debug)]
pub struct Refused {
    /// The code of the error, such as `LoadBalancerNotFound`.
    pub code: String,
    /// What it said, in a sentence.
    pub message: String,
    /// As it came.
    pub text: String,
    /// Whether whoever asked wants to see that.
    pub is_to_be_shown: bool,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.code, self.message)
    }
}

impl std::error::Error for Refused {}

impl QueryApi {
    /// Finds the elbow that is meant. Nothing is sent yet. `named_by` says who named its address, where one is named.
    ///
    /// # Errors
    /// That none is to be found, and where it was looked for.
    pub fn find(connect: &Connect, named_by: &str, credentials: Credentials, region: String) -> anyhow::Result<Self> {
        Ok(Self { client: Client::without_token(connect, named_by)?, credentials, region })
    }

    /// Asks for an action.
    ///
    /// # Errors
    /// [`Refused`], or why no answer came.
    pub async fn ask(&self, action: &str, parameters: &[(String, String)]) -> anyhow::Result<Answer> {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("Action", action).append_pair("Version", VERSION).extend_pairs(parameters);
        let request = self.signed(form.finish())?;
        let (status, body) = self.client.exchange(request).await?;
        let base = self.client.base();
        let strange = || format!("{base} answered {status}, but not as the ELB API does: is it elbow?");
        let before_the_api = refusal(status, &body);
        if !status.is_success() && before_the_api.problem.is_some() {
            // Such as that the admin address speaks TLS.
            return Err(anyhow::Error::from(before_the_api).context(base.to_owned()));
        }
        let text = String::from_utf8(body.to_vec()).with_context(strange)?;
        let mut root = Element::parse(&text).map_err(anyhow::Error::msg).with_context(strange)?;
        if !status.is_success() {
            let error = root.get("Error").filter(|error| !error.text("Code").is_empty()).with_context(strange)?;
            let (code, message) = (error.text("Code").to_owned(), error.text("Message").to_owned());
            return Err(Refused { code, message, text, is_to_be_shown: false }.into());
        }
        let result = root.take(&format!("{action}Result")).with_context(strange)?;
        Ok(Answer { text, result })
    }

    fn signed(&self, body: String) -> anyhow::Result<Request<Full<Bytes>>> {
        let url = format!("{}/", self.client.base());
        let identity = self.credentials.clone().into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(SERVICE)
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()?
            .into();
        let host = url.split("://").nth(1).unwrap_or_default().trim_end_matches('/').to_owned();
        let headers = [("host", host.as_str()), ("content-type", FORM)];
        let body = Bytes::from(body);
        let signable = SignableRequest::new("POST", &*url, headers.into_iter(), SignableBody::Bytes(&body))?;
        let (instructions, _) = sign(signable, &parameters).map_err(|error| anyhow!("signing: {error}"))?.into_parts();
        let request = Request::post(&url).header(header::HOST, &host).header(header::CONTENT_TYPE, FORM);
        let mut request = request.body(Full::from(body)).with_context(|| format!("{url} cannot be asked"))?;
        instructions.apply_to_request_http1x(&mut request);
        Ok(request)
    }
}
