//! Reloads: all of a new file or nothing of it, and who it does not concern never notices.

use rustix::process::Signal;

use crate::harness::*;

const SWITCHING: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

fn listener(name: &str, bind: &str) -> String {
    format!("[[listener]]\nname = \"{name}\"\nbind = \"{bind}\"\ntarget_group = \"app\"\n")
}

#[tokio::test]
async fn a_reload_takes_up_what_changed() {
    let (old, new) = (Upstream::answering("old").await, Upstream::answering("new").await);
    let mut lb = Setup::targets(&[&old]).start().await;
    assert_eq!(lb.get("/").await.text(), "old");
    let answer = lb.reload(&Setup::default().target("n", &new, "").toml()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    lb.until("app", "n", "healthy").await;
    assert_eq!(lb.get("/").await.text(), "new");
    assert_eq!(lb.metric("elbow_config_last_apply_success", &[]).await, 1.0);
}

#[tokio::test]
async fn a_file_that_is_wrong_changes_nothing() {
    let upstream = Upstream::answering("ok").await;
    let mut lb = Setup::targets(&[&upstream]).start().await;
    let toml = lb.setup().toml();
    let before = lb.admin().get("/v1/config").await.json();
    for (wrong, told) in [
        (toml.replace("target_group = \"app\"", "target_group = \"nobody\""), "nobody"),
        (format!("{toml}\n[[listener]]\nnme = \"x\"\n"), "name"),
        (toml.replace("[[listener]]", "[[listner]]"), "listener"),
        (format!("{toml}\nthis is no TOML"), "line"),
        (toml.replace("name = \"app\"", "name = \"app\"\ndergistration_delay = \"1s\""), "deregistration_delay"),
        (toml.replace("name = \"app\"", "name = \"app\"\ntls_verify = \"full\""), "available: none, ca, pinned"),
    ] {
        let refused = lb.reload(&wrong).await;
        assert!((400..500).contains(&refused.status), "{} for {told}", refused.status);
        assert_eq!(refused.header("content-type"), Some("application/problem+json"));
        assert!(refused.text().contains(told), "{told}: {}", refused.text());
        assert_eq!(lb.get("/").await.text(), "ok");
    }
    assert_eq!(lb.metric("elbow_config_last_apply_success", &[]).await, 0.0);
    assert_eq!(lb.admin().get("/v1/config").await.json(), before);
    assert_eq!(lb.reload(&toml).await.status, 200);
    assert_eq!(lb.metric("elbow_config_last_apply_success", &[]).await, 1.0);
}

#[tokio::test]
async fn a_port_that_is_taken_refuses_the_whole_file() {
    let (upstream, other) = (Upstream::answering("ok").await, Upstream::answering("other").await);
    let mut lb = Setup::targets(&[&upstream]).start().await;
    let taken = upstream.address().to_string();
    let both = listener("free", "127.0.0.1:0") + &listener("taken", &taken);
    let refused = lb.reload(&Setup::targets(&[&other]).more(&both).toml()).await;
    assert!((400..500).contains(&refused.status) && refused.text().contains(&taken), "{}", refused.text());
    assert_eq!(lb.listener_names(), ["web"]);
    assert_eq!(lb.get("/").await.text(), "ok");
}

#[tokio::test]
async fn listeners_open_and_close_by_difference() {
    let upstream = Upstream::answering("ok").await;
    let mut lb = Setup::targets(&[&upstream]).one_worker().start().await;
    let toml = lb.setup().toml();
    let web = lb.web();
    let mut kept = lb.connect().await;
    assert_eq!(kept.get("/").await.status, 200);
    let answer = lb.reload(&(toml.clone() + &listener("second", "127.0.0.1:0"))).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let second = lb.listener("second");
    assert_eq!((lb.web(), get(second, "/").await.status), (web, 200), "the first kept its port");
    assert_eq!(kept.get("/").await.status, 200);
    let mut leaving = Client::connect(second).await;
    assert_eq!(leaving.get("/").await.status, 200);
    assert_eq!(lb.reload(&toml).await.status, 200);
    assert_eq!(lb.listener_names(), ["web"]);
    assert!(tokio::net::TcpStream::connect(second).await.is_err(), "the second still listens");
    assert_eq!(kept.get("/").await.status, 200);
    assert_eq!(upstream.connections(), 1, "connections to targets never noticed");
}

#[tokio::test]
async fn what_is_in_flight_on_a_listener_that_goes_finishes() {
    let gate = Gate::closed();
    let held = gate.clone();
    let upstream = Upstream::start(move |_| [vec![Act::Until(held.clone())], answer(200, "finished")].concat()).await;
    let setup = Setup::targets(&[&upstream]);
    let mut lb = setup.clone().more(&listener("second", "127.0.0.1:0")).start().await;
    let mut client = Client::connect(lb.listener("second")).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    upstream.wait_for_requests(1).await;
    assert_eq!(lb.reload(&setup.toml()).await.status, 200);
    gate.open();
    assert_eq!(client.response().await.text(), "finished");
}

#[tokio::test]
async fn a_target_that_the_file_drops_finishes_what_it_has() {
    let gate = Gate::closed();
    let held = gate.clone();
    let leaver = Upstream::start(move |_| [vec![Act::Until(held.clone())], answer(200, "finished")].concat()).await;
    let stays = Upstream::answering("stays").await;
    let mut lb = Setup::default().target("leaver", &leaver, "").start().await;
    let mut client = lb.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    leaver.wait_for_requests(1).await;
    assert_eq!(lb.reload(&Setup::default().target("stays", &stays, "").toml()).await.status, 200);
    assert_eq!(lb.target_states("app").await["leaver"], "draining");
    for _ in 0..5 {
        assert_eq!(lb.get("/").await.text(), "stays", "it waits for the first verdict about the new one");
    }
    gate.open();
    assert_eq!(client.response().await.text(), "finished");
    eventually("the old one to have left", PATIENCE, async || lb.target_states("app").await.len() == 1).await;
}

#[tokio::test]
async fn a_listener_may_lead_elsewhere_from_one_request_to_the_next() {
    let (old, new) = (Upstream::answering("old").await, Upstream::answering("new").await);
    let other = format!(
        "[[target_group]]\nname = \"other\"\n[[target_group.target]]\nid = \"n\"\naddress = \"{}\"\n",
        new.address()
    );
    let setup = Setup::targets(&[&old]).more(&other);
    let mut lb = setup.clone().start().await;
    let mut client = lb.connect().await;
    assert_eq!(client.get("/").await.text(), "old");
    let answer = lb.reload(&setup.toml().replace("target_group = \"app\"", "target_group = \"other\"")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(client.get("/").await.text(), "new", "on the same connection");
    assert_eq!(lb.get("/").await.text(), "new");
}

#[tokio::test]
async fn connections_queued_on_a_listener_that_goes_are_answered() {
    let upstream = Upstream::answering("ok").await;
    let setup = Setup::targets(&[&upstream]);
    let both = setup.clone().more(&listener("second", "127.0.0.1:0"));
    let mut lb = both.clone().start().await;
    for _ in 0..5 {
        let second = lb.listener("second");
        let mut clients = Vec::new();
        for _ in 0..20 {
            let mut client = Client::connect(second).await;
            client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
            clients.push(client);
        }
        assert_eq!(lb.reload(&setup.toml()).await.status, 200);
        for mut client in clients {
            assert_eq!(client.response().await.text(), "ok", "a connection that was accepted is answered");
        }
        assert_eq!(lb.reload(&both.toml()).await.status, 200);
    }
}

#[tokio::test]
async fn a_websocket_survives_twenty_reloads() {
    let websocket = Upstream::start(|_| vec![Act::Write(SWITCHING.into()), Act::Echo]).await;
    let setup = Setup::targets(&[&websocket]);
    let mut lb = setup.clone().start().await;
    let mut client = lb.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n").await;
    assert_eq!(client.response().await.status, 101);
    let others = [Upstream::answering("1").await, Upstream::answering("2").await];
    for round in 0..20 {
        let more = format!(
            "[[target_group]]\nname = \"extra\"\n[[target_group.target]]\nid = \"x\"\naddress = \"{}\"\n{}",
            others[round % 2].address(),
            if round % 3 == 0 { listener("extra", "127.0.0.1:0") } else { String::new() }
        );
        let weight = format!("weight = {}", round % 5 + 1);
        let toml = Setup::default().target("t0", &websocket, &weight).more(&more).toml();
        let answer = lb.reload(&toml).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        client.send(format!("round {round}")).await;
        client.assert_reads(format!("round {round}").as_bytes()).await;
    }
}

#[tokio::test]
async fn a_hangup_signal_reloads() {
    let (old, new) = (Upstream::answering("old").await, Upstream::answering("new").await);
    let lb = Setup::targets(&[&old]).start().await;
    lb.write_config(&Setup::default().target("n", &new, "").toml());
    lb.signal(Signal::HUP);
    eventually("the new file to hold", PATIENCE, async || lb.target_states("app").await.contains_key("n")).await;
    lb.write_config("nonsense");
    lb.signal(Signal::HUP);
    eventually("the refusal to be counted", PATIENCE, async || {
        lb.metric("elbow_config_last_apply_success", &[]).await == 0.0
    })
    .await;
    assert!(lb.target_states("app").await.contains_key("n"));
}

#[tokio::test]
async fn the_command_line_waits_for_the_outcome() {
    let upstream = Upstream::answering("ok").await;
    let lb = Setup::targets(&[&upstream]).start().await;
    let good = lb.cli(&["reload"]).await;
    assert_eq!(good.status.code(), Some(0), "{}", String::from_utf8_lossy(&good.stderr));
    lb.write_config(&lb.setup().toml().replace("target_group = \"app\"", "target_group = \"nobody\""));
    let bad = lb.cli(&["reload"]).await;
    assert_eq!(bad.status.code(), Some(1));
    let told = String::from_utf8_lossy(&bad.stderr).into_owned() + &String::from_utf8_lossy(&bad.stdout);
    assert!(told.contains("nobody"), "{told}");
}

#[tokio::test]
async fn what_takes_a_restart_is_refused_and_says_so() {
    let upstream = Upstream::answering("ok").await;
    let mut lb = Setup::targets(&[&upstream]).start().await;
    let toml = lb.setup().toml();
    for section in
        ["[workers]\ncount = 7\n", "[state]\ndir = \"/nowhere/else\"\n", "[admin]\nlisten = \"127.0.0.1:9\"\n"]
    {
        let answer = lb.reload(&format!("{section}{toml}")).await;
        // A flag of the running process beats the file, so that a section may also not have changed anything.
        let refused = (400..500).contains(&answer.status) && answer.text().contains("restart");
        assert!(refused || (answer.status == 200 && !section.contains("workers")), "{section}: {}", answer.text());
    }
}

#[tokio::test]
async fn variables_are_expanded_in_texts() {
    let upstream = Upstream::answering("ok").await;
    let address = upstream.address().to_string();
    let toml = Setup::targets(&[&upstream]).toml().replace(&address, "${ADDRESS}");
    let toml = toml.replace("name = \"app\"", "name = \"app\"\nalgorithm = \"${ALGORITHM:-round_robin}\"");
    let mut lb = Setup::targets(&[&upstream]).environment("ADDRESS", &address).start().await;
    let answer = lb.reload(&toml).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(lb.get("/").await.text(), "ok");
    assert_eq!(lb.admin().get("/v1/target-groups/app").await.json()["algorithm"], "round_robin");
    let unset = lb.reload(&toml.replace("ADDRESS", "NOT_SET_ANYWHERE")).await;
    assert!((400..500).contains(&unset.status) && unset.text().contains("NOT_SET_ANYWHERE"), "{}", unset.text());
}
