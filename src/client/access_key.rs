//! The key that requests to the ELB API are signed with, from where the tools of 2010 and those after them keep it.

use std::io::Read;
use std::path::Path;

use anyhow::{Context, bail};
use aws_credential_types::Credentials;
use control::secrets::AWS_CREDENTIALS_FILE;

/// The most that is read of a file, in bytes.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// What says which key is meant, the strongest first.
#[derive(Debug, Default)]
pub struct Sources<'s> {
    /// An id and a secret that were given.
    pub given: (Option<String>, Option<String>),
    /// Those of the environment, and the token of a session.
    pub environment: (Option<String>, Option<String>, Option<String>),
    /// A file that was named.
    pub file: Option<&'s Path>,
}

/// The key that is meant; where nothing names one, that of a state directory.
///
/// # Errors
/// That there is none, or half of one.
pub fn find(sources: Sources<'_>, state_dir: &Path) -> anyhow::Result<Credentials> {
    match sources.given {
        (Some(id), Some(secret)) => return Ok(credentials(id, secret, None)),
        (None, None) => {}
        _ => bail!("--access-key-id and --secret-key belong together"),
    }
    match sources.environment {
        (Some(id), Some(secret), token) => return Ok(credentials(id, secret, token)),
        (None, None, _) => {}
        _ => bail!("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY belong together"),
    }
    match sources.file {
        Some(file) => read(file),
        None => read(&state_dir.join(AWS_CREDENTIALS_FILE)).context(
            "no access key is named (-I and -S, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_CREDENTIAL_FILE), \
             and elbow's own cannot be had",
        ),
    }
}

fn read(file: &Path) -> anyhow::Result<Credentials> {
    let named = || format!("the access key in {}", file.display());
    let mut text = String::new();
    let opened = std::fs::File::open(file).with_context(named)?;
    opened.take(FILE_BYTES_MAX).read_to_string(&mut text).with_context(named)?;
    parse(&text).with_context(|| format!("{} does not hold AWSAccessKeyId= and AWSSecretKey=", file.display()))
}

/// Reads either form: `AWSAccessKeyId=` and `AWSSecretKey=` of 2010, or the profile that later tools share.
fn parse(text: &str) -> Option<Credentials> {
    let value = |names: [&str; 2]| {
        let mut pairs = text.lines().filter_map(|line| line.split_once('='));
        let of_name = |(name, _): &(&str, &str)| names.iter().any(|known| known.eq_ignore_ascii_case(name.trim()));
        pairs.find(of_name).map(|(_, value)| value.trim().to_owned()).filter(|value| !value.is_empty())
    };
    let (id, secret) = (["AWSAccessKeyId", "aws_access_key_id"], ["AWSSecretKey", "aws_secret_access_key"]);
    Some(credentials(value(id)?, value(secret)?, value(["AWSSessionToken", "aws_session_token"])))
}

fn credentials(id: String, secret: String, session_token: Option<String>) -> Credentials {
    Credentials::new(id, secret, session_token, None, "elbow")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_a_file_are_read() {
        let old = parse("AWSAccessKeyId=AKIA1\nAWSSecretKey=s/e+c=\n").expect("a key");
        assert_eq!((old.access_key_id(), old.secret_access_key()), ("AKIA1", "s/e+c="));
        let new = parse("[default]\naws_access_key_id = AKIA2\naws_secret_access_key = secret\n").expect("a key");
        assert_eq!((new.access_key_id(), new.secret_access_key()), ("AKIA2", "secret"));
        assert!(parse("AWSAccessKeyId=AKIA1\nAWSSecretKey=\n").is_none());
    }

    #[test]
    fn half_a_key_is_none() {
        let half = Sources { given: (Some("AKIA1".to_owned()), None), ..Sources::default() };
        assert!(find(half, Path::new("/nonexistent")).is_err());
    }
}
