//! The options that each of the commands of 2010 takes: which elbow, whose key, which region, and how it is shown.
//!
//! What is found here is found as the other verbs find it, with the names of the old tools beside.

use std::path::PathBuf;
use std::time::Duration;

use crate::client::Connect;
use crate::client::access_key::{self, Sources};
use crate::client::query::QueryApi;

const REGION: &str = "us-east-1";

/// What each command takes beside its own.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "General options")]
pub(super) struct General {
    /// Writes the line of names first; it is there anyway
    #[arg(short = 'H', long, conflicts_with = "no_headers")]
    headers: bool,
    /// Leaves the line of names out
    #[arg(long)]
    pub(super) no_headers: bool,
    /// Writes the answer as it came, in XML
    #[arg(long)]
    pub(super) show_xml: bool,
    /// The address of the ELB API [default: as --admin, else AWS_ELB_URL, else ELBOW_ADMIN, else from STATE_DIR/run.json]
    #[arg(short = 'U', long, value_name = "URL")]
    url: Option<String>,
    /// The admin address of the running elbow, where its ELB API is
    #[arg(long, value_name = "URL", conflicts_with = "url")]
    admin: Option<String>,
    /// A file with the CA of an address that is named with https:// [default: whom this machine trusts]
    #[arg(long, env = "ELBOW_ADMIN_CA", value_name = "FILE", hide_env_values = true)]
    admin_ca: Option<PathBuf>,
    /// The state directory of the running elbow [default: /var/lib/elbow for root, else ~/.local/state/elbow]
    #[arg(long, env = "ELBOW_STATE_DIR", value_name = "DIR", hide_env_values = true)]
    state_dir: Option<PathBuf>,
    /// How long an answer may take to begin, in seconds [default: 30]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u16).range(1..))]
    connection_timeout: Option<u16>,
    /// The region [default: the variable EC2_REGION, AWS_REGION or AWS_DEFAULT_REGION, else us-east-1]
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
    /// The id of the access key [default: AWS_ACCESS_KEY_ID, else AWS_CREDENTIAL_FILE, else STATE_DIR/aws-credentials]
    #[arg(short = 'I', long, value_name = "ID")]
    access_key_id: Option<String>,
    /// Its secret; AWS_SECRET_ACCESS_KEY or a file does not show it to others
    #[arg(short = 'S', long, value_name = "SECRET", visible_alias = "secret-access-key")]
    secret_key: Option<String>,
    /// A file with AWSAccessKeyId= and AWSSecretKey=
    #[arg(long, env = "AWS_CREDENTIAL_FILE", value_name = "FILE", hide_env_values = true)]
    aws_credential_file: Option<PathBuf>,
}

impl General {
    /// The API that is meant, and by whom it is asked.
    pub(super) fn api(&self) -> anyhow::Result<QueryApi> {
        let named = self.url.clone().map(|url| (url, "as --url says"));
        let named = named.or_else(|| Some((self.admin.clone()?, "as --admin says")));
        let named = named.or_else(|| Some((variable("AWS_ELB_URL")?, "as AWS_ELB_URL says")));
        let named = named.or_else(|| Some((variable("ELBOW_ADMIN")?, "as ELBOW_ADMIN says")));
        let (admin, named_by) = named.map_or((None, ""), |(url, named_by)| (Some(url), named_by));
        let (admin_ca, state_dir) = (self.admin_ca.clone(), self.state_dir.clone());
        let answer_timeout = self.connection_timeout.map(|seconds| Duration::from_secs(seconds.into()));
        let connect = Connect { admin, admin_ca, state_dir, token_file: None, answer_timeout };
        let sources = Sources {
            given: (self.access_key_id.clone(), self.secret_key.clone()),
            environment: (
                variable("AWS_ACCESS_KEY_ID"),
                variable("AWS_SECRET_ACCESS_KEY"),
                variable("AWS_SESSION_TOKEN"),
            ),
            file: self.aws_credential_file.as_deref(),
        };
        let credentials = access_key::find(sources, &connect.state_dir()?)?;
        let region = self.region.clone();
        let region =
            region.or_else(|| ["EC2_REGION", "AWS_REGION", "AWS_DEFAULT_REGION"].into_iter().find_map(variable));
        QueryApi::find(&connect, named_by, credentials, region.unwrap_or_else(|| REGION.to_owned()))
    }
}

/// A variable of the environment, unless it is empty.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
