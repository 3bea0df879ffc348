//! The directory of instances in EC2: answers for those that a request names and nobody here knows. Many requests are
//! asked for at once, and what was learned is known for an interval. Not here: those that are registered (`look`).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use lb::model::Global;
use lb::state::{Live, Observer};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::ask::Asker;
use super::look::Looker;
use super::{Machines, is_machine};
use crate::aws::AwsError;
use crate::store::Store;

/// How long a request waits for EC2. An answer that comes later is for the next one.
const LEARN_MAX: Duration = Duration::from_secs(3);
/// How long EC2 may take.
const ASK_MAX: Duration = Duration::from_secs(30);
/// How many requests may wait to be asked for.
const ASKS_MAX: usize = 64;

/// Finds instances in EC2. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Directory(mpsc::Sender<Ask>);

/// The tasks behind a [`Directory`]. They end with this.
#[derive(Debug)]
pub struct DirectoryKeeper(JoinSet<()>);

/// Somebody who wants to know.
#[derive(Debug)]
struct Ask {
    ids: BTreeSet<String>,
    answer: oneshot::Sender<Result<Arc<Machines>, CouldNotAsk>>,
}

/// EC2 has not said which instances there are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("EC2 could not be asked about instances: {why}")]
pub(crate) struct CouldNotAsk {
    /// Whether that is because it is asked too often.
    pub(crate) is_throttled: bool,
    why: String,
}

impl Directory {
    /// An empty one, and its tasks, on the runtime of the control side.
    pub fn start(store: Store, live: Arc<Live>, observer: Observer) -> (Self, DirectoryKeeper) {
        let (asks, asked) = mpsc::channel(ASKS_MAX);
        let mut tasks = JoinSet::new();
        let learner =
            Learner { live: Arc::clone(&live), asked, asker: None, known: Arc::default(), forget_at: Instant::now() };
        tasks.spawn(learner.run());
        tasks.spawn(Looker::new(store, live, observer).run());
        (Self(asks), DirectoryKeeper(tasks))
    }

    /// What EC2 says of those of these that it alone may know; nothing where it is not to be asked.
    ///
    /// # Errors
    /// [`CouldNotAsk`]: whoever asks again later may be told.
    pub(crate) async fn learn(&self, global: &Global, ids: &[String]) -> Result<Arc<Machines>, CouldNotAsk> {
        let ids: BTreeSet<_> = ids.iter().filter(|id| is_machine(global, id)).cloned().collect();
        if ids.is_empty() || global.elb_api.ec2.is_none() {
            return Ok(Arc::default());
        }
        let (answer, answered) = oneshot::channel();
        let asked = async {
            self.0.send(Ask { ids, answer }).await.ok()?;
            answered.await.ok()
        };
        match timeout(LEARN_MAX, asked).await {
            Ok(Some(learned)) => learned,
            Ok(None) => Err(CouldNotAsk::because("elbow is stopping".to_owned())),
            Err(_) => Err(CouldNotAsk::because(format!("it has not answered within {LEARN_MAX:?}"))),
        }
    }
}

impl DirectoryKeeper {
    /// Returns when a part of it has died.
    pub async fn ended(&mut self) {
        // A panic is in the log already.
        let _ = self.0.join_next().await;
    }
}

impl CouldNotAsk {
    fn because(why: String) -> Self {
        Self { is_throttled: false, why }
    }
}

impl From<AwsError> for CouldNotAsk {
    fn from(error: AwsError) -> Self {
        Self { is_throttled: error.is_throttling(), why: error.to_string() }
    }
}

struct Learner {
    live: Arc<Live>,
    asked: mpsc::Receiver<Ask>,
    /// None: nobody is to be asked.
    asker: Option<Asker>,
    /// What was learned lately.
    known: Arc<Machines>,
    /// When the first of that is too old.
    forget_at: Instant,
}

impl Learner {
    async fn run(mut self) {
        while let Some(ask) = self.asked.recv().await {
            self.answer(ask).await;
        }
        // Nobody is left who could ask.
        std::future::pending::<()>().await;
    }

    /// Asks for all who wait by now at once.
    async fn answer(&mut self, first: Ask) {
        let mut asks = vec![first];
        while asks.len() < ASKS_MAX
            && let Ok(ask) = self.asked.try_recv()
        {
            asks.push(ask);
        }
        // Whoever has waited for too long is gone.
        asks.retain(|ask| !ask.answer.is_closed());
        let is_other = Asker::follow(&mut self.asker, &self.live.load().config);
        if is_other || self.forget_at <= Instant::now() {
            self.known = Arc::default();
        }
        let ids = asks.iter().flat_map(|ask| &ask.ids).filter(|id| !self.known.contains_key(*id));
        let ids: BTreeSet<_> = ids.cloned().collect();
        let told = self.learn(&ids).await;
        if let Err(error) = &told {
            tracing::warn!(count = ids.len(), "{error}");
        }
        for ask in asks {
            // Whoever does not wait any more is not told.
            drop(ask.answer.send(told.clone()));
        }
    }

    async fn learn(&mut self, ids: &BTreeSet<String>) -> Result<Arc<Machines>, CouldNotAsk> {
        let Some(asker) = &self.asker else { return Ok(Arc::default()) };
        let late = |_| CouldNotAsk::because(format!("it has not answered within {ASK_MAX:?}"));
        let found = timeout(ASK_MAX, asker.ask(ids)).await.map_err(late)??;
        if self.known.is_empty() {
            self.forget_at = Instant::now() + asker.wanted.interval;
        }
        Arc::make_mut(&mut self.known).extend(found);
        Ok(Arc::clone(&self.known))
    }
}
