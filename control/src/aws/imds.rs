//! What an instance of EC2 knows of itself, from its metadata service (IMDSv2, with its tokens). Off EC2 nobody answers
//! there: it is asked only by those who need it, and not for long.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use aws_config::imds::Client;
use aws_config::imds::client::error::ImdsError;
use aws_config::provider_config::ProviderConfig;

use super::account::with_sources;
use super::http::Http;

/// How long asking may take in all. On an instance it takes milliseconds.
const ASK_MAX: Duration = Duration::from_secs(3);
const ATTEMPTS_MAX: u32 = 2;
const STEP_MAX: Duration = Duration::from_secs(1);
const DISABLED: &str = "AWS_EC2_METADATA_DISABLED";
/// Names the only kind of user-data that is understood.
const FORM: &str = "role=web,db=10.201.207.180";

/// Where an instance is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Its id.
    pub instance: String,
    /// Its region.
    pub region: String,
    /// Its availability zone.
    pub zone: String,
}

/// What an instance was started with: keys and values, as in `role=web,db=10.201.207.180`.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct UserData(BTreeMap<String, String>);

impl UserData {
    /// Reads user-data. Pairs are parted by commas or lines.
    ///
    /// # Errors
    /// That it has another form.
    pub fn parse(text: &str) -> Result<Self, String> {
        let pairs = text.split([',', '\n']).map(str::trim).filter(|pair| !pair.is_empty());
        let pair = |pair: &str| match pair.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.trim().to_owned())),
            _ => Err(format!("the user-data of this instance is not of the form {FORM}")),
        };
        pairs.map(pair).collect::<Result<_, _>>().map(Self)
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }
}

impl fmt::Debug for UserData {
    /// It may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Where this machine is, if it is an instance.
///
/// # Errors
/// A sentence: most often, that it is none.
pub async fn place() -> Result<Place, String> {
    ask(async |client| {
        Ok(Place {
            instance: get(client, "/latest/meta-data/instance-id").await?,
            region: get(client, "/latest/meta-data/placement/region").await?,
            zone: get(client, "/latest/meta-data/placement/availability-zone").await?,
        })
    })
    .await
}

/// What this instance was started with. Blocks for as long as that takes, which is bounded.
///
/// # Errors
/// A sentence: that this machine is no instance, has no user-data, or some of another form.
pub fn user_data() -> Result<UserData, String> {
    // A runtime of its own, on a thread of its own: whoever reads a file may be on a runtime, or have none.
    let ask = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        runtime.block_on(ask(async |client| match client.get("/latest/user-data").await {
            Ok(text) => UserData::parse(text.as_ref()),
            Err(ImdsError::ErrorResponse(answer)) if answer.response().status().as_u16() == 404 => {
                Err("this instance was started without user-data".to_owned())
            }
            Err(error) => Err(unanswered(&error)),
        }))
    };
    let asked = std::thread::scope(|scope| scope.spawn(ask).join());
    asked.unwrap_or_else(|_| Err("the instance metadata service could not be asked".to_owned()))
}

async fn ask<T>(question: impl AsyncFnOnce(&Client) -> Result<T, String>) -> Result<T, String> {
    if std::env::var(DISABLED).is_ok_and(|value| value.eq_ignore_ascii_case("true")) {
        return Err(format!("the instance metadata service is not to be asked: {DISABLED} is set"));
    }
    let asked = async {
        let http = Http::new().await.map_err(|error| error.to_string())?;
        let config = ProviderConfig::without_region().with_http_client(http);
        let client = Client::builder().configure(&config).max_attempts(ATTEMPTS_MAX);
        let client = client.connect_timeout(STEP_MAX).read_timeout(STEP_MAX).build();
        question(&client).await
    };
    let silence =
        || format!("the instance metadata service does not answer within {ASK_MAX:?}: is this an EC2 instance?");
    tokio::time::timeout(ASK_MAX, asked).await.unwrap_or_else(|_| Err(silence()))
}

async fn get(client: &Client, path: &str) -> Result<String, String> {
    client.get(path).await.map(String::from).map_err(|error| unanswered(&error))
}

fn unanswered(error: &ImdsError) -> String {
    format!("the instance metadata service does not answer: is this an EC2 instance? ({})", with_sources(error))
}
