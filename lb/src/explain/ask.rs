//! Asking the workers what they remember, by message: each has a mailbox and answers between requests.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::{Record, Recorder};

/// How many questions may wait for a worker.
const QUESTIONS_MAX: usize = 16;
/// How long a worker may take to answer; it does so between two requests.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many requests of one id are told of.
const TOLD_MAX: usize = 16;

/// Asks the workers. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Explainer {
    workers: Vec<mpsc::Sender<Question>>,
}

/// What the workers remember.
#[derive(Debug)]
pub struct Explained {
    /// Of every request of the id, the newest first.
    pub records: Vec<Record>,
    /// How many workers did not answer in time.
    pub silent: usize,
}

#[derive(Debug)]
struct Question {
    id: Box<[u8]>,
    answer: oneshot::Sender<Vec<Record>>,
}

/// Where a worker finds the questions it is asked.
#[derive(Debug)]
pub(crate) struct Mailbox(mpsc::Receiver<Question>);

/// A mailbox for each of so many workers, and who may write to all of them.
pub(crate) fn mailboxes(workers: usize) -> (Explainer, Vec<Mailbox>) {
    let channels = (0..workers).map(|_| mpsc::channel(QUESTIONS_MAX));
    let (workers, mailboxes) = channels.map(|(sender, receiver)| (sender, Mailbox(receiver))).unzip();
    (Explainer { workers }, mailboxes)
}

impl Explainer {
    /// How many workers there are.
    pub fn workers(&self) -> usize {
        self.workers.len()
    }

    /// What is remembered of requests with this id.
    pub async fn explain(&self, id: &str) -> Explained {
        let mut answers = Vec::with_capacity(self.workers.len());
        let deadline = tokio::time::Instant::now() + PATIENCE;
        for worker in &self.workers {
            let (answer, answered) = oneshot::channel();
            let question = Question { id: id.as_bytes().into(), answer };
            // Of a worker that is not asked in time no answer is waited for: its sender is dropped with the question.
            let _ = tokio::time::timeout_at(deadline, worker.send(question)).await;
            answers.push(answered);
        }
        let mut explained = Explained { records: Vec::new(), silent: 0 };
        for answered in answers {
            match tokio::time::timeout_at(deadline, answered).await {
                Ok(Ok(mut records)) => explained.records.append(&mut records),
                _ => explained.silent += 1,
            }
        }
        explained.records.sort_by_key(|record| std::cmp::Reverse(record.time));
        explained.records.truncate(TOLD_MAX);
        explained
    }
}

impl Mailbox {
    /// Answers one question after the other.
    pub(crate) async fn answer(&mut self, recorder: &Recorder) {
        while let Some(Question { id, answer }) = self.0.recv().await {
            // Who asked may have given up.
            let _ = answer.send(recorder.find(&id));
        }
        // Nobody can ask any more.
        std::future::pending::<()>().await;
    }
}
