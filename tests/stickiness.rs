//! Stickiness at the size it is made for: ten thousand clients that keep their targets through everything that may change
//! around them, and the keys of their cookies.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::harness::*;

const CLIENTS: usize = 10_000;
/// So many connections carry all of them: what a client is known by is its cookie alone.
const CONNECTIONS: usize = 16;
const STICKY: &str = "stickiness = { duration = \"1h\" }";

/// A client: the cookie it holds, and the target that answered it last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Sticky {
    cookie: String,
    target: String,
}

/// What came of one request of each client.
#[derive(Debug, Default)]
struct Round {
    /// The targets from which clients moved, one entry for each client.
    moved: Vec<String>,
    /// How many were given a cookie.
    bound: usize,
}

impl Sticky {
    /// One request: it takes whatever cookie it is given, as a browser does.
    async fn ask(&mut self, connection: &mut Client, round: &mut Round) {
        let cookie = if self.cookie.is_empty() { String::new() } else { format!("Cookie: ELBOW={}\r\n", self.cookie) };
        connection.send(format!("GET / HTTP/1.1\r\nHost: example.test\r\n{cookie}\r\n")).await;
        let response = connection.response().await;
        assert_eq!(response.status, 200, "{} {}", response.head.first_line, response.text());
        if let Some(set) = response.header("set-cookie") {
            let (value, attributes) = set.strip_prefix("ELBOW=").and_then(|set| set.split_once(';')).expect(set);
            let attributes: Vec<_> = attributes.split(';').map(str::trim).collect();
            assert!(
                ["HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=3600"].iter().all(|wanted| attributes.contains(wanted))
            );
            self.cookie = value.to_owned();
            round.bound += 1;
        }
        let target = response.text();
        if target != self.target {
            round.moved.push(std::mem::replace(&mut self.target, target));
        }
    }
}

/// One request of each client, over a few connections that are kept.
async fn ask_all(web: SocketAddr, clients: &mut Vec<Sticky>) -> Round {
    let share = clients.len().div_ceil(CONNECTIONS);
    let mut shares: Vec<Vec<Sticky>> = Vec::new();
    while !clients.is_empty() {
        shares.push(clients.split_off(clients.len().saturating_sub(share)));
    }
    let asking = shares.into_iter().map(|mut share| {
        tokio::spawn(async move {
            let (mut connection, mut round) = (Client::connect(web).await, Round::default());
            for client in &mut share {
                client.ask(&mut connection, &mut round).await;
            }
            (share, round)
        })
    });
    let mut all = Round::default();
    for asking in asking.collect::<Vec<_>>() {
        let (share, round) = asking.await.expect("the clients of one connection");
        clients.extend(share);
        all.moved.extend(round.moved);
        all.bound += round.bound;
    }
    all
}

/// How many clients each target has.
fn shares(clients: &[Sticky]) -> BTreeMap<&str, usize> {
    clients.iter().fold(BTreeMap::new(), |mut shares, client| {
        *shares.entry(client.target.as_str()).or_default() += 1;
        shares
    })
}

/// Nobody was answered by another target, and nobody was given another cookie.
async fn assert_all_stay(web: SocketAddr, clients: &mut Vec<Sticky>, after: &str) {
    let round = ask_all(web, clients).await;
    assert!(round.moved.is_empty(), "after {after}, {} moved: {:?}", round.moved.len(), round.moved.first());
    assert_eq!(round.bound, 0, "after {after}, as many were given another cookie");
}

async fn register(lb: &Lb, id: &str, upstream: &Upstream) {
    lb.admin().register("app", id, upstream.address()).await;
    lb.until("app", id, "healthy").await;
}

async fn rotate(lb: &Lb) {
    let rotated = lb.admin().post("/v1/cookie-keys/rotate", "").await;
    assert_eq!(rotated.status, 200, "{}", rotated.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_clients_keep_their_targets() {
    let upstreams = [
        Upstream::answering("t0").await,
        Upstream::answering("t1").await,
        Upstream::answering("t2").await,
        Upstream::answering("t3").await,
    ];
    let mut lb = Setup::targets(&[&upstreams[0], &upstreams[1]]).group(STICKY).argument("--workers=2").start().await;
    register(&lb, "t2", &upstreams[2]).await;
    let mut clients = vec![Sticky::default(); CLIENTS];
    let round = ask_all(lb.web(), &mut clients).await;
    assert_eq!(round.bound, CLIENTS, "each is bound with its first answer");
    assert!(shares(&clients).values().all(|share| *share > CLIENTS / 6), "{:?}", shares(&clients));

    // One reload changes the group itself, the other what stands beside it.
    let other_algorithm = lb.setup().clone().group("algorithm = \"round_robin\"\nresponse_timeout = \"50s\"").toml();
    assert_eq!(lb.reload(&other_algorithm).await.status, 200);
    assert_all_stay(lb.web(), &mut clients, "a reload").await;
    rotate(&lb).await;
    assert_all_stay(lb.web(), &mut clients, "a key rotation").await;

    register(&lb, "t3", &upstreams[3]).await;
    let mut newcomers = vec![Sticky::default(); 400];
    ask_all(lb.web(), &mut newcomers).await;
    let taken = shares(&newcomers).get("t3").copied().unwrap_or_default();
    assert!((80..=120).contains(&taken), "the new target takes its share of new clients: {taken} of 400");
    let another_group = format!("{other_algorithm}\n[[target_group]]\nname = \"more\"\n");
    assert_eq!(lb.reload(&another_group).await.status, 200);
    clients.append(&mut newcomers);
    assert_all_stay(lb.web(), &mut clients, "a registration and a second reload").await;

    // t2 leaves: its own clients go elsewhere, and stay there.
    let own = shares(&clients)["t2"];
    let deregistered = lb.admin().delete("/v1/target-groups/app/targets/t2").await;
    assert_eq!(deregistered.status, 202, "{}", deregistered.text());
    let before = upstreams[2].requests();
    let round = ask_all(lb.web(), &mut clients).await;
    assert!(round.moved.iter().all(|from| from == "t2"), "others moved too");
    assert_eq!((round.moved.len(), round.bound), (own, own), "each of its own moved, and was bound anew");
    assert_all_stay(lb.web(), &mut clients, "a deregistration").await;
    assert_eq!(upstreams[2].requests(), before, "it was given nothing more");
}

#[tokio::test]
async fn a_drained_target_keeps_its_clients_and_tells_how_many() {
    let upstreams = [Upstream::answering("t0").await, Upstream::answering("t1").await];
    let lb = Setup::targets(&[&upstreams[0], &upstreams[1]]).group(STICKY).start().await;
    let mut clients = vec![Sticky::default(); 100];
    ask_all(lb.web(), &mut clients).await;
    let own = shares(&clients)["t0"];
    let sessions = async || lb.admin().targets("app").await[0]["sessions"].as_u64();
    assert_eq!(sessions().await, None, "it is not drained");
    assert_eq!(lb.cli(&["target", "drain", "app", "t0"]).await.status.code(), Some(0));
    assert_eq!(sessions().await, Some(0), "none has come since");
    assert_all_stay(lb.web(), &mut clients, "a drain").await;
    assert_all_stay(lb.web(), &mut clients, "a drain, for the second time").await;
    let seen = sessions().await.expect("how many it sees");
    // They are counted with a small error, which three of a hundred is far beyond.
    assert!(seen.abs_diff(own as u64) < 3, "{seen} sessions are seen, and {own} come");
    let list = lb.cli(&["target", "list", "app"]).await;
    let list = String::from_utf8_lossy(&list.stdout).into_owned();
    let (header, t0) = (list.lines().next().unwrap(), list.lines().nth(1).unwrap());
    let column = header.find("SESSIONS").expect(&list);
    assert_eq!(t0[column..].split_whitespace().next(), Some(seen.to_string().as_str()), "{list}");
    let mut newcomers = vec![Sticky::default(); 20];
    ask_all(lb.web(), &mut newcomers).await;
    assert_eq!(shares(&newcomers).get("t0"), None, "it takes nobody new");
    assert_eq!(lb.cli(&["target", "undrain", "app", "t0"]).await.status.code(), Some(0));
    assert_eq!(sessions().await, None);
}

#[tokio::test]
async fn a_cookie_holds_through_seven_rotations_and_a_crash_and_is_renewed_after_eight() {
    let upstreams = [Upstream::answering("t0").await, Upstream::answering("t1").await];
    let mut lb = Setup::targets(&[&upstreams[0], &upstreams[1]]).group(STICKY).start().await;
    let mut clients = vec![Sticky::default(); 40];
    assert_eq!(ask_all(lb.web(), &mut clients).await.bound, clients.len());
    for _ in 0..7 {
        rotate(&lb).await;
    }
    assert_all_stay(lb.web(), &mut clients, "seven rotations").await;
    lb.kill9().await;
    lb.start_again().await;
    lb.until("app", "t0", "healthy").await;
    lb.until("app", "t1", "healthy").await;
    assert_all_stay(lb.web(), &mut clients, "a crash").await;
    rotate(&lb).await;
    let before = clients.clone();
    let round = ask_all(lb.web(), &mut clients).await;
    assert_eq!(round.bound, clients.len(), "the key that sealed their cookies is gone");
    assert!(clients.iter().zip(&before).all(|(now, before)| now.cookie != before.cookie));
    assert_all_stay(lb.web(), &mut clients, "new cookies").await;
}

#[tokio::test]
async fn the_same_keys_on_another_node_give_the_same_targets() {
    let upstreams = [Upstream::answering("t0").await, Upstream::answering("t1").await, Upstream::answering("t2").await];
    let setup = Setup::targets(&[&upstreams[0], &upstreams[1], &upstreams[2]]).group(STICKY);
    let (here, there) = (setup.clone().start().await, setup.start().await);
    let mut clients = vec![Sticky::default(); 90];
    ask_all(here.web(), &mut clients).await;
    let foreign = ask_all(there.web(), &mut clients.clone()).await;
    assert_eq!(foreign.bound, clients.len(), "a cookie of a foreign key is as good as none");
    let state = here.admin().get("/v1/state").await.text();
    assert_eq!(there.admin().put("/v1/state", &state).await.status, 200);
    assert_all_stay(there.web(), &mut clients, "going to the other node").await;
    assert_all_stay(here.web(), &mut clients, "coming back").await;
}
