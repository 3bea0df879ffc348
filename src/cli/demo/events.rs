//! What a running elbow tells of itself, read from its event stream and put into sentences.

use std::time::Duration;

use http::Method;
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::sync::mpsc;

use super::super::output::cell;
use crate::client::{Client, Connect};

/// From a broken stream to the next one.
const AGAIN_AFTER: Duration = Duration::from_millis(200);
/// The longest line of the stream.
const LINE_BYTES_MAX: usize = 64 << 10;

/// Tells all that happens, and asks again whenever the stream ends. Ends when nobody listens.
pub(super) async fn follow(connect: Connect, news: mpsc::Sender<String>) {
    while !news.is_closed() {
        // The reason is told by whoever watches the process; here it is enough to ask again.
        let _ = follow_once(&connect, &news).await;
        tokio::time::sleep(AGAIN_AFTER).await;
    }
}

async fn follow_once(connect: &Connect, news: &mpsc::Sender<String>) -> anyhow::Result<()> {
    let response = Client::find(connect)?.request(Method::GET, "/v1/events", None).await?;
    anyhow::ensure!(response.status().is_success(), "the event stream was refused");
    let mut body = response.into_body();
    let mut unread = String::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        unread.push_str(&String::from_utf8_lossy(&data));
        while let Some(end) = unread.find('\n') {
            let line: String = unread.drain(..=end).collect();
            if let Some(sentence) = line.strip_prefix("data:").and_then(sentence) {
                news.send(sentence).await?;
            }
        }
        anyhow::ensure!(unread.len() <= LINE_BYTES_MAX, "a line of the event stream has no end");
    }
    Ok(())
}

/// One event in words; none for what is no change of a target.
fn sentence(data: &str) -> Option<String> {
    let event: Value = serde_json::from_str(data.trim()).ok()?;
    let field = |name: &str| Some(cell(&event, name)).filter(|text| !text.is_empty());
    let target = field("target")?;
    let change = match (field("from"), field("to")) {
        (Some(from), Some(to)) => format!("{from} -> {to}"),
        (None, Some(to)) => format!("registered, {to}"),
        (_, None) => "has left".to_owned(),
    };
    let reason = field("reason").map(|reason| format!(" ({reason})")).unwrap_or_default();
    Some(format!("{target} {change}{reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_becomes_a_sentence() {
        let event = r#" {"target_group":"app","target":"web-1","from":"healthy","to":"unhealthy","reason":"refused"}"#;
        assert_eq!(sentence(event).as_deref(), Some("web-1 healthy -> unhealthy (refused)"));
        assert_eq!(sentence(r#"{"revision": 7}"#), None);
    }
}
