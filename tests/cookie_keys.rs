//! The keys of elbow's own cookies as their owner meets them: the command line, crashes, and a second elbow.

use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::harness::*;

async fn keys(lb: &Lb) -> Value {
    let response = lb.admin().get("/v1/cookie-keys").await;
    assert_eq!(response.status, 200, "{}", response.text());
    response.json()
}

/// What a verb said, after checking that it succeeded.
async fn says(lb: &Lb, arguments: &[&str]) -> String {
    let output = lb.cli(arguments).await;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

#[tokio::test]
async fn keys_are_listed_and_rotated_on_the_command_line() {
    let lb = Setup::default().start_cold().await;
    let first = keys(&lb).await[0]["id"].as_str().unwrap().to_owned();
    let said = says(&lb, &["cookie-key", "rotate"]).await;
    let newest = keys(&lb).await[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(said, format!("new cookies are sealed with key {newest}\n"));
    let list = says(&lb, &["cookie-key", "list"]).await;
    assert_eq!(list, format!("COOKIE KEY  DOES\n{newest}    seals and opens\n{first}    opens\n"));
    let json: Value = serde_json::from_str(&says(&lb, &["cookie-key", "list", "--output", "json"]).await).unwrap();
    assert_eq!(json, keys(&lb).await);
    let json: Value = serde_json::from_str(&says(&lb, &["--output", "json", "cookie-key", "rotate"]).await).unwrap();
    assert_eq!(json, keys(&lb).await);
    assert_eq!(json.as_array().unwrap().len(), 3);

    assert_eq!(lb.cli(&["cookie-key"]).await.status.code(), Some(2));
    assert_eq!(lb.cli(&["cookie-key", "rotate", "now"]).await.status.code(), Some(2));
    let nobody = lb.cli(&["cookie-key", "rotate", "--admin", "127.0.0.1:1"]).await;
    assert_eq!(nobody.status.code(), Some(1), "{}", String::from_utf8_lossy(&nobody.stderr));
}

#[tokio::test]
async fn a_kill_right_after_a_rotation_loses_no_key() {
    let mut lb = Setup::default().start_cold().await;
    let mut told = keys(&lb).await;
    for _ in 0..3 {
        let rotated = lb.admin().post("/v1/cookie-keys/rotate", "").await;
        lb.kill9().await;
        assert_eq!(rotated.status, 200, "{}", rotated.text());
        assert_eq!(
            rotated.json().as_array().unwrap()[1..],
            told.as_array().unwrap()[..].iter().map(opens).collect::<Vec<_>>()
        );
        lb.start_again().await;
        told = keys(&lb).await;
        assert_eq!(told, rotated.json());
    }
}

/// A key as it is shown once it seals no more.
fn opens(key: &Value) -> Value {
    serde_json::json!({ "id": key["id"], "seals": false })
}

#[tokio::test]
async fn an_export_carries_keys_to_a_second_elbow_and_is_private() {
    let (lb, other) = (Setup::default().start_cold().await, Setup::default().start_cold().await);
    says(&lb, &["cookie-key", "rotate"]).await;
    assert_ne!(keys(&lb).await, keys(&other).await);
    let path = lb.path("state.json");
    std::fs::write(&path, "readable by anyone").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let file = path.to_str().unwrap();
    says(&lb, &["state", "export", file]).await;
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    says(&other, &["state", "import", file]).await;
    assert_eq!(keys(&lb).await, keys(&other).await);

    let own = says(&other, &["cookie-key", "rotate", "--output", "json"]).await;
    let mut state: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    state.as_object_mut().unwrap().remove("cookie_keys").unwrap();
    std::fs::write(&path, state.to_string()).unwrap();
    says(&other, &["state", "import", file]).await;
    assert_eq!(keys(&other).await, serde_json::from_str::<Value>(&own).unwrap(), "without keys: its own stay");
}

#[tokio::test]
async fn a_rotation_is_on_the_event_stream_and_no_key_is_in_the_log() {
    let lb = Setup::default().environment("RUST_LOG", "trace").start_cold().await;
    let mut events = Client::connect(lb.admin().address).await;
    events.send(lb.admin().bytes("GET", "/v1/events", "")).await;
    assert_eq!(events.response_head().await.0, 200);
    let rotated = lb.admin().post("/v1/cookie-keys/rotate", "").await;
    let revision = rotated.header("etag").unwrap().trim_matches('"').to_owned();
    let expected = format!("\"revision\":{revision}}}");
    let mut told = String::new();
    within("the event of a rotation", PATIENCE, async {
        while !(told.contains("event: config") && told.contains(&expected)) {
            told += &String::from_utf8_lossy(&events.read_some().await.expect("the stream goes on"));
        }
    })
    .await;
    let state = lb.admin().get("/v1/state").await.json();
    lb.admin().put("/v1/state", &state.to_string()).await;
    let mut wrong = state.clone();
    wrong["cookie_keys"][0]["id"] = "no id".into();
    assert_eq!(lb.admin().put("/v1/state", &wrong.to_string()).await.status, 422);
    let said = told + &lb.logs() + &lb.stdout();
    assert!(said.len() > 200, "{said}");
    for key in state["cookie_keys"].as_array().unwrap() {
        assert!(!said.contains(key["secret"].as_str().unwrap()));
    }
}
