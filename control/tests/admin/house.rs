//! The vocabulary: [`House`] is a control side that serves, [`Ask`] a request to it, [`Answer`] what came back.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use control::api::admin::{AdminContext, Auth, serve};
use control::api::elb::Elb;
use control::file::{self, Reloader};
use control::instances::{Directory, DirectoryKeeper};
use control::readiness::Readiness;
use control::schema::ProcessSettings;
use control::secrets::{AdminToken, own_access_key};
use control::store::StoreThread;
use http::{HeaderMap, Method, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use lb::explain::Explainer;
use lb::listen::BoundSockets;
use lb::model::{self, Declared, GroupName, TargetId};
use lb::state::{
    HealthState, Live, Now, Observation, Observed, Observer, Publisher, TargetState, Verdict, Wanted, compile,
};
use lb::telemetry::{AccessLog, Build, Telemetry};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// How long anything may take that should take no time.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A file with one listener, one group and one target.
pub(crate) const FILE: &str = r#"
[[listener]]
name = "web"
bind = "127.0.0.1:0"
target_group = "app"

[[target_group]]
name = "app"

[[target_group.target]]
id = "from-file"
address = "127.0.0.1:1"
"#;

/// A control side that serves its admin API on loopback.
pub(crate) struct House {
    pub(crate) address: SocketAddr,
    pub(crate) token: Option<String>,
    pub(crate) live: Arc<Live>,
    pub(crate) readiness: Readiness,
    pub(crate) file: PathBuf,
    pub(crate) observer: Observer,
    stop: Option<oneshot::Sender<()>>,
    serving: Option<JoinHandle<std::io::Result<()>>>,
    worker: JoinHandle<()>,
    _directory: DirectoryKeeper,
    _store: StoreThread,
    _dir: tempfile::TempDir,
}

impl House {
    /// With [`FILE`], asking for a token.
    pub(crate) async fn start() -> Self {
        Self::start_with(Some(FILE), true).await
    }

    pub(crate) async fn start_with(file: Option<&str>, token: bool) -> Self {
        Self::start_at("127.0.0.1:0", file, token).await
    }

    pub(crate) async fn start_at(address: &str, file: Option<&str>, token: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("elbow.toml");
        let loaded = file.map(|text| {
            std::fs::write(&path, text).unwrap();
            file::load(&path, &|_| None).unwrap()
        });
        let process = loaded.as_ref().map_or_else(ProcessSettings::default, |loaded| loaded.process.clone());
        let declared = loaded.map_or_else(Declared::default, |loaded| loaded.declared);
        let state_dir = dir.path().join("state");
        let opened = control::store::open(&state_dir).unwrap();
        let config = Arc::new(opened.wanted_with(&declared).unwrap());
        let sockets = lb::listen::bind(&BoundSockets::new(), &config, 1).unwrap();
        let wanted = Wanted { config: Arc::clone(&config), sockets: sockets.clone(), workers: 1 };
        let now = Now { instant: Instant::now(), wall: SystemTime::now() };
        let live = Arc::new(Live::new(compile(&wanted, &Observed::default(), None, now), 1));
        let worker = tokio::spawn(take_up(Arc::clone(&live)));
        let (observer, observations) = Observer::new();
        let publisher = Publisher::start(&live, wanted, observations);
        let auth = if token { Auth::Token(AdminToken::of(&state_dir).unwrap()) } else { Auth::Off };
        let token = token.then(|| std::fs::read_to_string(state_dir.join("admin.token")).unwrap().trim().to_owned());
        let (store, store_thread) = opened.start(config, sockets, publisher, Arc::clone(&live), 1).unwrap();
        let readiness = Readiness::default();
        let reloader = Arc::new(Reloader::new(file.map(|_| path.clone()), process, store.clone()));
        let telemetry = Arc::new(telemetry());
        let key = own_access_key(&state_dir).unwrap();
        let (directory, keeper) = Directory::start(store.clone(), Arc::clone(&live), observer.clone());
        let context = AdminContext {
            certificate: None,
            elb: Elb::new(store.clone(), Arc::clone(&live), directory, key),
            store,
            live: Arc::clone(&live),
            reloader,
            readiness: readiness.clone(),
            telemetry,
            explainer: Explainer::default(),
            auth,
        };
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(serve(listener, context, async { drop(stopped.await) }));
        Self {
            address,
            token,
            live,
            readiness,
            file: path,
            observer,
            stop: Some(stop),
            serving: Some(serving),
            worker,
            _directory: keeper,
            _store: store_thread,
            _dir: dir,
        }
    }

    /// A request with the token, where one is asked for.
    pub(crate) fn ask(&self, method: Method, path: &str) -> Ask {
        let mut headers = vec![("host".to_owned(), self.address.to_string())];
        headers.extend(self.token.iter().map(|token| ("authorization".to_owned(), format!("Bearer {token}"))));
        Ask { address: self.address, method, path: path.to_owned(), headers, body: Vec::new() }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path).send().await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Answer {
        self.ask(Method::PUT, path).json(body).send().await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.ask(Method::DELETE, path).send().await
    }

    pub(crate) async fn post(&self, path: &str) -> Answer {
        self.ask(Method::POST, path).send().await
    }

    /// Says that a target's check has this verdict.
    pub(crate) fn observe(&self, group: &str, id: &str, verdict: Verdict) {
        let (group, id) = (GroupName::parse(group).unwrap(), TargetId::parse(id).unwrap());
        let backend = self.live.load().member(&group, &id).unwrap().backend.id;
        let health =
            HealthState { verdict, recovering: false, reason: "a test says so".into(), since: SystemTime::now() };
        self.observer.observe(Observation::Health(backend, health));
    }

    /// The state of a target in the snapshot.
    pub(crate) fn state(&self, group: &str, id: &str) -> Option<TargetState> {
        let (group, id) = (GroupName::parse(group).unwrap(), TargetId::parse(id).unwrap());
        self.live.load().member(&group, &id).map(|member| member.state)
    }

    /// Asks the API to stop, and answers with what serving it came to.
    pub(crate) async fn stop(&mut self) -> std::io::Result<()> {
        drop(self.stop.take());
        within("the admin API to stop", self.serving.take().unwrap()).await.unwrap()
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.worker.abort();
        self.serving.iter().for_each(JoinHandle::abort);
    }
}

pub(crate) fn telemetry() -> Telemetry {
    let off = model::Global::default().access_log;
    let (access_log, thread) = AccessLog::start(&off).unwrap();
    assert!(thread.stop(PATIENCE));
    Telemetry::new(1, access_log, Build { version: "0.1.0", commit: "test" })
}

/// Takes up every snapshot, as a worker does.
async fn take_up(live: Arc<Live>) {
    let mut generations = live.subscribe();
    loop {
        let generation = *generations.borrow_and_update();
        live.take_up(0, generation);
        if generations.changed().await.is_err() {
            return;
        }
    }
}

/// A request.
#[derive(Clone)]
pub(crate) struct Ask {
    address: SocketAddr,
    method: Method,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Ask {
    /// Adds a header.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Drops what was there of a header.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(other, _)| other != name);
        self
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.body("application/json", body.to_string().into_bytes())
    }

    pub(crate) fn body(self, content_type: &str, body: Vec<u8>) -> Self {
        self.raw_body(body).header("content-type", content_type)
    }

    /// A body, and nothing said of it.
    pub(crate) fn raw_body(mut self, body: Vec<u8>) -> Self {
        self.body = body;
        self
    }

    /// Sends it on a connection of its own, and reads the whole answer.
    pub(crate) async fn send(self) -> Answer {
        let what = format!("{} {}", self.method, self.path);
        within(&what, async {
            let (parts, mut body) = self.open().await.into_parts();
            let mut bytes = Vec::new();
            while let Some(frame) = body.frame().await {
                bytes.extend_from_slice(&frame.unwrap().into_data().unwrap_or_default());
            }
            Answer { status: parts.status, headers: parts.headers, body: bytes }
        })
        .await
    }

    /// Sends it, and answers once the head of the answer is there.
    pub(crate) async fn open(self) -> http::Response<hyper::body::Incoming> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let mut request = http::Request::builder().method(self.method).uri(&self.path);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let response = sender.send_request(request.body(Full::new(bytes::Bytes::from(self.body))).unwrap()).await;
        response.unwrap_or_else(|error| panic!("{}: {error}", self.path))
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// Its body, after checking the status.
    pub(crate) fn json(&self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// Its body as a problem document, after checking that it is a whole one.
    pub(crate) fn problem(&self, status: u16) -> Value {
        let problem = self.json(status);
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(problem["status"], status);
        for field in ["type", "title", "detail"] {
            assert!(problem[field].as_str().is_some_and(|text| !text.is_empty()), "{field} is missing from {problem}");
        }
        problem
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// The outcome of `future`, which must come in time.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let outcome = tokio::time::timeout(PATIENCE, future).await;
    outcome.unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

/// Waits until `check` holds.
pub(crate) async fn eventually(what: &str, mut check: impl AsyncFnMut() -> bool) {
    within(what, async {
        while !check().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}
