//! What authorities that issue certificates look for on our listeners: an answer under a token (http-01, RFC 8555), or
//! a handshake with a certificate made for it (tls-alpn-01, RFC 8737).
//!
//! The control side posts them, workers look them up. While none is posted that costs a worker one relaxed load.
//! Not here: ordering certificates (`control`), writing the answer (`proxy`), the handshake (`tls`).

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use arc_swap::ArcSwap;
use rustls::ServerConfig;

use crate::tls::{CertificateFault, challenge_config};

/// Where http-01 looks.
const PATH: &[u8] = b"/.well-known/acme-challenge/";

/// What authorities look for at present.
#[derive(Debug, Default)]
pub struct Challenges {
    /// At least how many there are: counted up before one is posted, and down after it is gone.
    posted: AtomicUsize,
    table: ArcSwap<Table>,
}

#[derive(Debug, Clone, Default)]
struct Table {
    /// The answer to each token.
    answers: HashMap<Arc<str>, Arc<str>>,
    /// What is shown to who asks for a name.
    shown: HashMap<Arc<str>, Arc<ServerConfig>>,
}

/// Something is posted for as long as this lives.
#[derive(Debug)]
pub struct Posted {
    challenges: Arc<Challenges>,
    what: What,
}

#[derive(Debug)]
enum What {
    Answer(Arc<str>),
    Shown(Arc<str>),
}

impl Challenges {
    /// Answers requests for a token (http-01) on every listener that speaks HTTP.
    pub fn post_answer(self: &Arc<Self>, token: &str, answer: &str) -> Posted {
        let token: Arc<str> = token.into();
        self.post(What::Answer(Arc::clone(&token)), |table| {
            table.answers.insert(Arc::clone(&token), answer.into());
        })
    }

    /// Shows a certificate (tls-alpn-01) for a name, in lower case, on every listener over TLS. Both are in PEM.
    ///
    /// # Errors
    /// [`CertificateFault`]: it cannot be shown.
    pub fn post_certificate(self: &Arc<Self>, name: &str, chain: &str, key: &str) -> Result<Posted, CertificateFault> {
        let (name, config) = (Arc::from(name), Arc::new(challenge_config(chain, key)?));
        Ok(self.post(What::Shown(Arc::clone(&name)), |table| {
            table.shown.insert(Arc::clone(&name), Arc::clone(&config));
        }))
    }

    /// The answer to a request for this path, if an authority looks for it.
    pub(crate) fn answer_to(&self, path: &[u8]) -> Option<Arc<str>> {
        if self.posted.load(Relaxed) == 0 {
            return None;
        }
        let token = std::str::from_utf8(path.strip_prefix(PATH)?).ok()?;
        self.table.load().answers.get(token).cloned()
    }

    /// Whether there is anything to be looked for.
    pub(crate) fn is_any(&self) -> bool {
        self.posted.load(Relaxed) > 0
    }

    /// What is shown to an authority that asks for a name.
    pub(crate) fn shown_for(&self, name: &str) -> Option<Arc<ServerConfig>> {
        self.table.load().shown.get(&*name.to_ascii_lowercase()).cloned()
    }

    fn post(self: &Arc<Self>, what: What, put: impl Fn(&mut Table)) -> Posted {
        self.posted.fetch_add(1, Relaxed);
        self.change(put);
        Posted { challenges: Arc::clone(self), what }
    }

    fn change(&self, with: impl Fn(&mut Table)) {
        self.table.rcu(|table| {
            let mut table = Table::clone(table);
            with(&mut table);
            table
        });
    }
}

impl Drop for Posted {
    fn drop(&mut self) {
        self.challenges.change(|table| match &self.what {
            What::Answer(token) => drop(table.answers.remove(token)),
            What::Shown(name) => drop(table.shown.remove(name)),
        });
        self.challenges.posted.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::Challenges;
    use std::sync::Arc;

    #[test]
    fn an_answer_is_there_while_it_is_posted() {
        let challenges = Arc::new(Challenges::default());
        let path = b"/.well-known/acme-challenge/token";
        assert_eq!(challenges.answer_to(path), None);
        let posted = challenges.post_answer("token", "answer");
        assert_eq!(challenges.answer_to(path).as_deref(), Some("answer"));
        for other in [&path[..path.len() - 1], b"/.well-known/acme-challenge/", b"/token", b"token"] {
            assert_eq!(challenges.answer_to(other), None);
        }
        drop(posted);
        assert_eq!(challenges.answer_to(path), None);
        assert!(!challenges.is_any());
    }
}
