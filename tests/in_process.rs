//! Elbow as a library: several of them side by side in one process, with nothing between them.

use crate::harness::*;

#[tokio::test]
async fn two_elbows_run_side_by_side_in_one_process() {
    let (left, right) = (Upstream::answering("left").await, Upstream::answering("right").await);
    let first = Inside::start(&Setup::targets(&[&left])).await;
    let second = Inside::start(&Setup::targets(&[&right])).await;
    let (to_first, to_second) = (first.web(), second.web());
    for _ in 0..5 {
        assert_eq!(get(to_first, "/").await.text(), "left");
        assert_eq!(get(to_second, "/").await.text(), "right");
    }
    first.stop().await;
    assert!(Client::try_connect(to_first).await.is_none(), "its listener is closed");
    assert_eq!(get(to_second, "/").await.text(), "right", "the other one did not notice");
    second.stop().await;
}

#[tokio::test]
async fn one_that_is_dropped_leaves_nothing_behind() {
    let upstream = Upstream::answering("ok").await;
    let elbow = Inside::start(&Setup::targets(&[&upstream])).await;
    let web = elbow.web();
    assert_eq!(get(web, "/").await.text(), "ok");
    drop(elbow);
    eventually("its listener to be closed", PATIENCE, async || Client::try_connect(web).await.is_none()).await;
    eventually("its connections to be closed", PATIENCE, async || upstream.open() == 0).await;
}
