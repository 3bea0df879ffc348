//! The task that has automatic certificates issued and renewed. It reads what is wanted from snapshots, gives what was
//! issued to the store, and says how it goes as an [`Observation`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use lb::challenges::Challenges;
use lb::model::{Acme, AcmeChallenge, CertificateName, Change, Config, DnsNames, Issued, ListenerProtocol};
use lb::state::{Issuance, Live, Observation, Observer, Snapshot};
use lb::tls::{CertificateFacts, read_certificate};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::Mutex;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, timeout};

use super::account;
use super::failure::{Failure, Kind};
use super::http::Client;
use super::order::{self, Wish};
use super::schedule::{self, Window};
use crate::store::{Precondition, Refused, Store};

/// How many orders are under way at once.
const ORDERS_MAX: usize = 3;
/// How long one may take. Each of its waits is bounded as well.
const ORDER_MAX: Duration = Duration::from_secs(600);
/// The wall clock may jump: it is looked at this often.
const LOOK_INTERVAL: Duration = Duration::from_secs(30);
/// How often an authority is asked when it suggests to renew, at most and at least.
const ASK_INTERVAL_MIN: Duration = Duration::from_secs(60);
const ASK_INTERVAL_MAX: Duration = Duration::from_secs(24 * 3600);
/// How soon it is asked again after it could not tell.
const ASK_AGAIN: Duration = Duration::from_secs(6 * 3600);

/// The task that has automatic certificates issued and renewed. It ends with this.
#[derive(Debug)]
pub struct AcmeKeeper(JoinHandle<()>);

impl AcmeKeeper {
    /// Starts it, on the runtime of the control side.
    pub fn start(store: Store, live: Arc<Live>, observer: Observer, challenges: Arc<Challenges>) -> Self {
        let tools = Tools { store, challenges, account: Arc::default() };
        let task = Task { tools, live, observer, courses: BTreeMap::new(), under_way: JoinSet::new() };
        Self(tokio::spawn(task.run()))
    }

    /// Returns when it has died.
    pub async fn ended(&mut self) {
        // A panic is in the log already.
        let _ = (&mut self.0).await;
    }
}

impl Drop for AcmeKeeper {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct Task {
    tools: Tools,
    live: Arc<Live>,
    observer: Observer,
    /// How it goes with each automatic certificate.
    courses: BTreeMap<CertificateName, Course>,
    /// Orders and questions, which end with this.
    under_way: JoinSet<(CertificateName, Outcome)>,
}

/// What an order is made with.
#[derive(Clone)]
struct Tools {
    store: Store,
    challenges: Arc<Challenges>,
    /// Held while an account is opened, so that two orders do not make two accounts.
    account: Arc<Mutex<()>>,
}

/// How it goes with one certificate.
struct Course {
    names: DnsNames,
    acme: Acme,
    /// Whether an order or a question is under way.
    is_busy: bool,
    /// How many attempts have failed in a row.
    failures: u32,
    /// After a failure: nothing is tried before.
    wait_until: Option<Instant>,
    /// When the authority suggests to renew what it has issued.
    window: Option<Window>,
    /// When it is asked for that.
    ask_at: Instant,
    told: Issuance,
}

/// What came of what was under way.
enum Outcome {
    Issued(Result<Arc<Issued>, Failure>),
    Asked(Option<Window>, Duration),
}

impl Task {
    async fn run(mut self) {
        let mut generations = self.live.subscribe();
        loop {
            generations.mark_unchanged();
            let snapshot = self.live.load();
            self.follow(&snapshot);
            self.forget_ended(&snapshot.config).await;
            let wake_at = self.begin_due(&snapshot);
            tokio::select! {
                changed = generations.changed() => if changed.is_err() { return },
                Some(ended) = self.under_way.join_next() => self.take_in(ended),
                () = tokio::time::sleep_until(wake_at) => {}
            }
        }
    }

    /// Begins a course for each automatic certificate, anew where something else is wanted of it, and ends those that
    /// nobody wants any more.
    fn follow(&mut self, snapshot: &Snapshot) {
        let config = &snapshot.config;
        let acme = config.global.acme.as_ref();
        let wanted = config.certificates.iter().filter_map(|(name, held)| Some((name, held.wanted.acme()?, acme?)));
        let wanted: BTreeMap<_, _> = wanted.map(|(name, names, acme)| (name, (names, acme))).collect();
        self.courses.retain(|name, course| {
            let same = |(names, acme): &(&DnsNames, &Acme)| course.names == **names && course.acme == **acme;
            // What is under way is waited for: two orders for one certificate would be one too many.
            course.is_busy || wanted.get(name).is_some_and(same)
        });
        for (name, (names, acme)) in wanted {
            if !self.courses.contains_key(name) {
                let told = snapshot.issuances.get(name).cloned().unwrap_or_default();
                self.courses.insert(name.clone(), Course::new(names.clone(), acme.clone(), told));
                if !config.acme.issued.contains_key(name) {
                    tracing::warn!(certificate = %name, %names, "no certificate was issued yet: until then, handshakes \
                        for these names are refused");
                }
            }
        }
    }

    /// Forgets what was issued, is not wanted any more, and has ended. Until then it is kept: who puts a certificate
    /// back into the file has it at once, and the authority is not asked again.
    async fn forget_ended(&self, config: &Config) {
        let now = SystemTime::now();
        let is_over = |issued: &Issued| {
            let facts = read_certificate(&issued.chain, issued.key.pem());
            facts.map_or(true, |facts| facts.not_after < now)
        };
        let unwanted = config.acme.issued.iter().filter(|(name, _)| !config.certificates.contains_key(*name));
        let over = unwanted.filter(|(_, issued)| is_over(issued));
        let changes: Vec<_> = over.map(|(name, _)| Change::PutIssued(name.clone(), None)).collect();
        if !changes.is_empty()
            && let Err(error) = self.tools.store.apply(changes, Precondition::None).await
        {
            tracing::error!(error = &error as &dyn std::error::Error, "what has ended could not be forgotten");
        }
    }

    /// Begins what is due, as far as there is room. Answers with when to look again.
    fn begin_due(&mut self, snapshot: &Snapshot) -> Instant {
        let (now, wall) = (Instant::now(), SystemTime::now());
        let mut wake_at = now + LOOK_INTERVAL;
        let names: Vec<_> = self.courses.keys().cloned().collect();
        for name in names {
            let orders = self.courses.values().filter(|course| course.is_busy);
            let Some(course) = self.courses.get(&name).filter(|course| !course.is_busy) else { continue };
            let shares = |other: &Course| course.names.iter().any(|name| other.names.iter().any(|own| own == name));
            let is_room = orders.clone().count() < ORDERS_MAX && !orders.clone().any(shares);
            let issued = snapshot.config.acme.issued.get(&name);
            let facts =
                snapshot.credentials.get(&name).map(|credential| &credential.facts).filter(|_| issued.is_some());
            let due = course.due(issued, facts, (now, wall));
            let asks = course.ask_at <= now && issued.is_some() && due > now;
            let next_at = wall + due.saturating_duration_since(now);
            match is_room {
                true if due <= now => self.begin(&name, snapshot, issued),
                true if asks => self.begin_asking(&name, issued),
                _ => {
                    // Who has no room now is looked at when something has ended.
                    wake_at = wake_at.min(if due > now { due } else { wake_at });
                    self.tell(&name, |told| told.next_at = Some(next_at));
                }
            }
        }
        wake_at
    }

    fn begin(&mut self, name: &CertificateName, snapshot: &Snapshot, issued: Option<&Arc<Issued>>) {
        let Some(course) = self.courses.get_mut(name) else { return };
        course.is_busy = true;
        let replaces =
            issued.filter(|issued| course.window.is_some() && issued.is_for(&course.names, &course.acme.directory));
        let wish = Wish {
            names: course.names.clone(),
            directory: Arc::clone(&course.acme.directory),
            replaces: replaces.cloned(),
        };
        let ways = ways(&course.acme, &snapshot.config, course.failures);
        let (tools, acme, name) = (self.tools.clone(), course.acme.clone(), name.clone());
        tracing::info!(certificate = %name, names = %wish.names, directory = %wish.directory, "ordering a certificate");
        self.under_way.spawn(async move {
            let ordered = timeout(ORDER_MAX, tools.order(&name, &acme, &wish, &ways)).await;
            let issued = ordered.unwrap_or_else(|_| Err(Failure::new("the authority took too long")));
            (name, Outcome::Issued(issued))
        });
    }

    fn begin_asking(&mut self, name: &CertificateName, issued: Option<&Arc<Issued>>) {
        let (Some(course), Some(issued)) = (self.courses.get_mut(name), issued) else { return };
        course.is_busy = true;
        let (tools, acme, name, issued) = (self.tools.clone(), course.acme.clone(), name.clone(), Arc::clone(issued));
        self.under_way.spawn(async move {
            let asked = timeout(ORDER_MAX, tools.ask(&acme, &issued)).await;
            let (window, again) = asked.ok().flatten().unwrap_or((None, ASK_AGAIN));
            (name, Outcome::Asked(window, again))
        });
    }

    fn take_in(&mut self, ended: Result<(CertificateName, Outcome), tokio::task::JoinError>) {
        let Ok((name, outcome)) = ended else {
            // A panic is in the log. Whose it was is not told: all are looked at again, after a while.
            let again = Instant::now() + LOOK_INTERVAL;
            self.courses.values_mut().for_each(|course| (course.is_busy, course.wait_until) = (false, Some(again)));
            self.under_way.abort_all();
            return;
        };
        let Some(course) = self.courses.get_mut(&name) else { return };
        course.is_busy = false;
        match outcome {
            Outcome::Asked(window, again) => {
                course.window = window.or(course.window);
                course.ask_at = Instant::now() + again;
            }
            Outcome::Issued(Ok(issued)) => {
                (course.failures, course.wait_until) = (0, None);
                (course.window, course.ask_at) = (None, Instant::now());
                let facts = read_certificate(&issued.chain, issued.key.pem()).ok();
                let next_at = facts.as_ref().map(|facts| schedule::renew_at(facts, None));
                let ends = facts.map(|facts| rfc3339(facts.not_after)).unwrap_or_default();
                tracing::info!(certificate = %name, names = %issued.names, "a certificate was issued; it ends at {ends}");
                self.tell(&name, |told| {
                    told.succeeded += 1;
                    (told.error, told.next_at) = (None, next_at);
                });
            }
            Outcome::Issued(Err(failure)) => self.fail(&name, &failure),
        }
    }

    /// Says loudly that an attempt has led to nothing, and when the next one is made.
    fn fail(&mut self, name: &CertificateName, failure: &Failure) {
        let snapshot = self.live.load();
        let shown = snapshot.credentials.get(name).map(|credential| &credential.facts);
        let Some(course) = self.courses.get_mut(name) else { return };
        course.failures = course.failures.saturating_add(1);
        let wait = schedule::wait(course.failures, shown.map(schedule::lifetime), failure.retry_after, rand::random());
        course.wait_until = Some(Instant::now() + wait);
        let next_at = SystemTime::now() + wait;
        let stays = match shown {
            Some(facts) => format!("the old one stays in use, and ends at {}", rfc3339(facts.not_after)),
            None => "handshakes for these names are refused until there is one".to_owned(),
        };
        tracing::error!(certificate = %name, names = %course.names, failures = course.failures,
            "no certificate from {}: {}; {stays}; tried again at {}", course.acme.directory, failure.why, rfc3339(next_at));
        self.tell(name, |told| {
            told.failed += 1;
            (told.error, told.next_at) = (Some(failure.why.as_str().into()), Some(next_at));
        });
    }

    /// Says how it goes, where that is something new.
    fn tell(&mut self, name: &CertificateName, with: impl FnOnce(&mut Issuance)) {
        let Some(course) = self.courses.get_mut(name) else { return };
        let before = course.told.clone();
        with(&mut course.told);
        // The two clocks never run quite alike.
        let apart =
            |one: SystemTime, other: SystemTime| one.max(other).duration_since(one.min(other)).unwrap_or_default();
        let is_same_time = match (before.next_at, course.told.next_at) {
            (Some(before), Some(now)) => apart(before, now) < Duration::from_secs(1),
            (before, now) => before == now,
        };
        if is_same_time {
            course.told.next_at = before.next_at;
        }
        if course.told == before {
            return;
        }
        self.observer.observe(Observation::Issuance(name.clone(), course.told.clone()));
    }
}

impl Course {
    fn new(names: DnsNames, acme: Acme, told: Issuance) -> Self {
        let ask_at = Instant::now();
        Self { names, acme, is_busy: false, failures: 0, wait_until: None, window: None, ask_at, told }
    }

    /// When it is to be ordered or renewed, as both clocks stand at `now`.
    fn due(
        &self,
        issued: Option<&Arc<Issued>>,
        facts: Option<&CertificateFacts>,
        now: (Instant, SystemTime),
    ) -> Instant {
        let (instant, wall) = now;
        if let Some(until) = self.wait_until.filter(|until| *until > instant) {
            return until;
        }
        let is_it = issued.is_some_and(|issued| issued.is_for(&self.names, &self.acme.directory));
        let renew_at = facts.filter(|_| is_it).map(|facts| schedule::renew_at(facts, self.window));
        let left = renew_at.and_then(|at| at.duration_since(wall).ok()).unwrap_or_default();
        instant.checked_add(left).unwrap_or(instant + ASK_INTERVAL_MAX)
    }
}

impl Tools {
    /// Has a certificate issued, by one way after the other, and keeps it.
    async fn order(
        &self,
        name: &CertificateName,
        acme: &Acme,
        wish: &Wish,
        ways: &[AcmeChallenge],
    ) -> Result<Arc<Issued>, Failure> {
        let client = client(acme).await?;
        let mut failures = Vec::new();
        for way in ways {
            match self.order_by(acme, wish, *way, &client).await {
                Ok(issued) => return self.keep(name, issued).await,
                Err(failure) => {
                    let goes_on = failure.kind == Kind::Challenge;
                    failures.push(failure);
                    if !goes_on {
                        break;
                    }
                }
            }
        }
        if failures.is_empty() {
            let why = "no listener can show that the names are ours: http-01 takes one of protocol http, tls-alpn-01 \
                one over TLS";
            return Err(Failure::new(why));
        }
        let why: Vec<_> = failures.into_iter().map(|failure| failure.why).collect();
        Err(Failure { retry_after: client.retry_after(), ..Failure::new(why.join("; then: ")) })
    }

    async fn order_by(&self, acme: &Acme, wish: &Wish, way: AcmeChallenge, client: &Client) -> Result<Issued, Failure> {
        let account = self.open_account(acme, client).await?;
        match order::obtain(&account, wish, way, &self.challenges).await {
            Err(failure) if failure.kind == Kind::AccountGone => {
                tracing::warn!(directory = %acme.directory, "the authority does not know the account any more");
                account::forget(&self.store).await?;
                let account = self.open_account(acme, client).await?;
                order::obtain(&account, wish, way, &self.challenges).await
            }
            outcome => outcome,
        }
    }

    async fn open_account(&self, acme: &Acme, client: &Client) -> Result<instant_acme::Account, Failure> {
        let _one = self.account.lock().await;
        account::open(acme, client, &self.store).await
    }

    async fn keep(&self, name: &CertificateName, issued: Issued) -> Result<Arc<Issued>, Failure> {
        let change = Change::PutIssued(name.clone(), Some(issued.clone()));
        match self.store.apply(vec![change], Precondition::None).await {
            Ok(_) | Err(Refused::NotTakenUp { .. }) => Ok(Arc::new(issued)),
            Err(error) => Err(Failure::new(format!("it was issued, but could not be kept: {error}"))),
        }
    }

    /// Asks when the authority suggests to renew, and when to ask again.
    async fn ask(&self, acme: &Acme, issued: &Issued) -> Option<(Option<Window>, Duration)> {
        let identifier = order::identifier_of(issued)?;
        let client = client(acme).await.ok()?;
        let account = self.open_account(acme, &client).await.ok()?;
        match account.renewal_info(&identifier).await {
            Ok((info, again)) => {
                let (start, end) = (info.suggested_window.start.into(), info.suggested_window.end.into());
                let window = (start < end).then_some(Window { start, end });
                Some((window, again.clamp(ASK_INTERVAL_MIN, ASK_INTERVAL_MAX)))
            }
            Err(instant_acme::Error::Unsupported(_)) => Some((None, ASK_INTERVAL_MAX)),
            Err(_) => None,
        }
    }
}

/// A client for an authority. Making one reads whom this machine trusts.
async fn client(acme: &Acme) -> Result<Client, Failure> {
    let ca = acme.ca.clone();
    let made = tokio::task::spawn_blocking(move || Client::new(ca.as_ref())).await;
    made.unwrap_or_else(|_| Err(Failure::new("elbow is stopping")))
}

/// In which ways names can be shown to be ours, the first one first: all at first, then one attempt by each in turn,
/// since authorities count what fails.
fn ways(acme: &Acme, config: &Config, failures: u32) -> Vec<AcmeChallenge> {
    let mut listeners = config.listeners.values().map(|held| &held.wanted);
    let http = listeners.clone().any(|listener| listener.protocol == ListenerProtocol::Http);
    let tls = listeners.any(|listener| listener.tls.is_some());
    let possible = [(AcmeChallenge::Http01, http), (AcmeChallenge::TlsAlpn01, tls)].into_iter();
    let asked = |way: &AcmeChallenge| acme.challenge.is_none_or(|asked| asked == *way);
    let mut ways: Vec<_> = possible.filter_map(|(way, is)| is.then_some(way)).filter(asked).collect();
    if failures > 0 && !ways.is_empty() {
        ways = vec![ways[failures as usize % ways.len()]];
    }
    ways
}

fn rfc3339(time: SystemTime) -> String {
    // It fails for years of five digits only.
    OffsetDateTime::from(time)
        .replace_nanosecond(0)
        .ok()
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_default()
}
