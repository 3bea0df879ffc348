//! The store over a backing that fails when told to: nothing that was not kept is answered, published or bound.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use common::*;
use control::store::{self, Backing, BackingError, Commit, Kept, Precondition, Refused};
use lb::model::Declared;

/// A backing in memory with a switch and a gate.
#[derive(Debug, Clone, Default)]
struct Double {
    fails: Arc<AtomicBool>,
    panics: Arc<AtomicBool>,
    commits: Arc<AtomicUsize>,
    entered: Arc<AtomicUsize>,
    gate: Arc<(Mutex<bool>, Condvar)>,
}

impl Double {
    fn shut(&self) {
        *self.gate.0.lock().unwrap() = true;
    }

    fn open(&self) {
        *self.gate.0.lock().unwrap() = false;
        self.gate.1.notify_all();
    }

    fn house(&self, workers: usize) -> House {
        let opened = store::open_with(Box::new(self.clone())).unwrap();
        House::start(opened, &Declared::default(), workers)
    }
}

impl Backing for Double {
    fn load(&mut self) -> Result<Kept, BackingError> {
        Ok(Kept::default())
    }

    fn commit(&mut self, _commit: &Commit) -> Result<(), BackingError> {
        self.entered.fetch_add(1, Ordering::SeqCst);
        let mut shut = self.gate.0.lock().unwrap();
        while *shut {
            shut = self.gate.1.wait(shut).unwrap();
        }
        assert!(!self.panics.load(Ordering::SeqCst), "told to");
        if self.fails.load(Ordering::SeqCst) {
            let source = std::io::Error::from(std::io::ErrorKind::StorageFull).into();
            return Err(BackingError::Failed { action: "write", path: self.place(), source });
        }
        self.commits.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn place(&self) -> PathBuf {
        PathBuf::from("memory")
    }
}

#[tokio::test]
async fn what_cannot_be_kept_is_refused_and_never_seen() {
    let double = Double::default();
    let house = double.house(1);
    house.apply(put_group("app")).await.unwrap();
    let before = house.config();
    double.fails.store(true, Ordering::SeqCst);
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let refused = house.apply(put_listener("front", &port.to_string(), "app")).await.unwrap_err();
    assert!(matches!(&refused, Refused::NotKept(_)), "{refused}");
    assert_eq!(*house.config(), *before, "not published");
    TcpListener::bind(port).expect("its socket is closed again");
    double.fails.store(false, Ordering::SeqCst);
    let applied = house.apply(put_listener("front", &port.to_string(), "app")).await.unwrap();
    assert_eq!(applied.revision, before.revision + 1, "what was refused has no revision");
    house.close().await;
}

#[tokio::test]
async fn writers_that_wait_together_share_a_commit_and_its_fate() {
    let double = Double::default();
    let house = double.house(0);
    house.apply(put_group("app")).await.unwrap();
    for fails in [false, true] {
        double.fails.store(fails, Ordering::SeqCst);
        let (commits, entered) = (double.commits.load(Ordering::SeqCst), double.entered.load(Ordering::SeqCst));
        double.shut();
        let write = |number: usize| {
            let store = house.store.clone();
            let put = put_target("app", &format!("t-{fails}-{number}"), "10.0.0.1:80");
            tokio::spawn(async move { store.apply(vec![put], Precondition::None).await })
        };
        let mut writers = vec![write(0)];
        eventually(|| double.entered.load(Ordering::SeqCst) > entered).await;
        writers.extend((1..50).map(write));
        // On this one thread every writer has asked once it has had its turn.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        double.open();
        for writer in writers {
            assert_eq!(writer.await.unwrap().is_err(), fails);
        }
        let commits = double.commits.load(Ordering::SeqCst) - commits;
        let entered = double.entered.load(Ordering::SeqCst) - entered;
        assert_eq!((commits, entered), (if fails { 0 } else { 2 }, 2), "one for the first, one for the other 49");
    }
    assert_eq!(house.config().groups["app"].targets.len(), 50);
}

#[tokio::test(start_paused = true)]
async fn what_no_worker_takes_up_is_kept_but_not_answered_as_done() {
    let house = Double::default().house(1);
    let first = house.apply(put_group("app")).await.unwrap();
    house.live.take_up(0, house.live.load().generation);
    let refused = house.apply(put_group("more")).await.unwrap_err();
    assert!(matches!(refused, Refused::NotTakenUp { revision } if revision == first.revision + 1), "{refused}");
    house.live.take_up(0, u64::MAX);
    house.apply(put_group("third")).await.unwrap();
    assert_eq!(house.config().groups.len(), 3, "it came to hold all the same");
}

#[tokio::test]
async fn a_dead_writer_is_told_to_its_owner_and_to_who_asks() {
    let double = Double::default();
    let mut house = double.house(0);
    double.panics.store(true, Ordering::SeqCst);
    let refused = house.apply(put_group("app")).await.unwrap_err();
    assert!(matches!(refused, Refused::Stopped));
    assert!(matches!(house.apply(put_group("app")).await.unwrap_err(), Refused::Stopped));
    house.thread.ended().await.unwrap_err();
    house.thread.ended().await.unwrap_err();
}
