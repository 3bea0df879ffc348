//! Certificates on the control side: reading the files that a configuration names, and keeping what listeners show in
//! line with them while elbow runs ([`Keeper`]). Not here: what stands in a certificate ([`lb::tls`]).

mod keeper;

use std::fs::File;
use std::io::{self, Read};
use std::time::SystemTime;

use lb::model::{
    Certificate, CertificateSource, Config, Declared, FileStamp, Listener, PrivateKey, SourceFile, TargetGroup,
    TrustFile,
};
use lb::tls::{CertificateFacts, read_certificate, read_trust};
use time::OffsetDateTime;
use time::macros::format_description;

pub use keeper::Keeper;

use crate::schema::{Problem, Wrong};

/// The largest file with certificates or a key.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// What is made of certificates that do not hold now.
#[derive(Debug, Clone, Copy)]
pub enum Ended<'c> {
    /// They are refused.
    Refused,
    /// They are refused, except those that this configuration has already.
    RefusedUnlessIn(&'c Config),
    /// They are taken; the log says so.
    Taken,
}

impl Ended<'_> {
    fn refuses(self, certificate: &Certificate) -> bool {
        match self {
            Self::Refused => true,
            Self::RefusedUnlessIn(config) => {
                let held = config.certificates.get(&certificate.name);
                held.is_none_or(|held| held.wanted.chain != certificate.chain)
            }
            Self::Taken => false,
        }
    }
}

/// Reads every file that a set names, and answers with all that is wrong with them, with pointers into the document
/// that the set was read from.
pub(crate) fn fill(declared: &mut Declared, ended: Ended<'_>, now: SystemTime) -> Vec<Problem> {
    let mut problems = Vec::new();
    if let Some(ca) = declared.global.as_mut().and_then(|global| global.acme.as_mut()?.ca.as_mut()) {
        let found = fill_trust(ca);
        problems.extend(found.err().map(|wrong| Problem::at_value("/acme/ca", wrong)));
    }
    for (index, certificate) in declared.certificates.iter_mut().enumerate() {
        let found = fill_certificate(certificate, ended, now);
        problems
            .extend(found.err().map(|(key, wrong)| Problem::at_value(&format!("/certificate/{index}/{key}"), wrong)));
    }
    for (index, listener) in declared.listeners.iter_mut().enumerate() {
        let found = fill_listener(listener);
        problems.extend(found.err().map(|wrong| Problem::at_value(&pointer_to_client_ca(index), wrong)));
    }
    for (index, group) in declared.target_groups.iter_mut().enumerate() {
        let found = fill_group(group);
        problems.extend(found.err().map(|wrong| Problem::at_value(&pointer_to_tls_ca(index), wrong)));
    }
    problems
}

/// Reads the files that imported listeners and target groups name.
pub(crate) fn fill_owned(listeners: &mut [Listener], groups: &mut [TargetGroup]) -> Result<(), Problem> {
    for (index, listener) in listeners.iter_mut().enumerate() {
        fill_listener(listener).map_err(|wrong| Problem::at_value(&pointer_to_client_ca(index), wrong))?;
    }
    for (index, group) in groups.iter_mut().enumerate() {
        fill_group(group).map_err(|wrong| Problem::at_value(&pointer_to_tls_ca(index), wrong))?;
    }
    Ok(())
}

fn pointer_to_client_ca(listener: usize) -> String {
    format!("/listener/{listener}/client_ca")
}

fn pointer_to_tls_ca(group: usize) -> String {
    format!("/target_group/{group}/tls_ca")
}

/// Reads the files of a certificate. Answers with the key of the document that is wrong, and why.
fn fill_certificate(
    certificate: &mut Certificate,
    ended: Ended<'_>,
    now: SystemTime,
) -> Result<(), (&'static str, Wrong)> {
    let CertificateSource::Files(files) = &mut certificate.source else { return Ok(()) };
    let chain = text_of(&mut files.cert).map_err(|wrong| ("cert", wrong))?;
    let key = text_of(&mut files.key).map_err(|wrong| ("key", wrong))?;
    let facts = read_certificate(&chain, &key);
    let facts = facts.map_err(|fault| {
        let (place, file) = if fault.is_of_key() { ("key", &files.key) } else { ("cert", &files.cert) };
        (place, Wrong::new(format!("{}: {fault}", file.path.display())))
    })?;
    (certificate.chain, certificate.key) = (chain.into(), PrivateKey::new(&key));
    match validity(&facts, now) {
        Err(why) if ended.refuses(certificate) => Err(("cert", Wrong::new(why).hint("name one that holds now"))),
        _ => Ok(()),
    }
}

/// Reads the file of those who vouch for a listener's clients.
pub(crate) fn fill_listener(listener: &mut Listener) -> Result<(), Wrong> {
    listener.tls.as_mut().and_then(|tls| tls.client_auth.ca_mut()).map_or(Ok(()), fill_trust)
}

/// Reads the file of those who vouch for a group's targets.
pub(crate) fn fill_group(group: &mut TargetGroup) -> Result<(), Wrong> {
    group.tls.verify.ca_mut().map_or(Ok(()), fill_trust)
}

fn fill_trust(ca: &mut TrustFile) -> Result<(), Wrong> {
    let pem = text_of(&mut ca.file)?;
    read_trust(&pem).map_err(|fault| Wrong::new(format!("{}: {fault}", ca.file.path.display())))?;
    ca.pem = pem.into();
    Ok(())
}

/// Whether a certificate holds now.
///
/// # Errors
/// A sentence.
pub(crate) fn validity(facts: &CertificateFacts, now: SystemTime) -> Result<(), String> {
    if facts.holds_for(now).is_some() {
        return Ok(());
    }
    Err(match now < facts.not_before {
        true => format!("the certificate does not hold yet: it begins on {}", day(facts.not_before)),
        false => format!("the certificate has expired: it ended on {}", day(facts.not_after)),
    })
}

/// A day as people read it.
pub(crate) fn day(time: SystemTime) -> String {
    // It fails for a format with parts that a time lacks only.
    OffsetDateTime::from(time).format(format_description!("[year]-[month]-[day]")).unwrap_or_default()
}

/// What stands in a file. How it stood is noted, so that the keeper misses nothing that comes after.
fn text_of(file: &mut SourceFile) -> Result<String, Wrong> {
    let SourceFile { path, read: stamp } = file;
    let mut read = || {
        let mut text = String::new();
        let open = File::open(&*path)?;
        *stamp = Some(FileStamp::of(&open.metadata()?));
        open.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
        if text.len() as u64 > FILE_BYTES_MAX {
            return Err(io::Error::other("it is larger than 4 MiB"));
        }
        Ok(text)
    };
    read().map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData => Wrong::new(format!("{}: it is not PEM", path.display())),
        _ => Wrong::new(format!("cannot read {}: {error}", path.display())),
    })
}
