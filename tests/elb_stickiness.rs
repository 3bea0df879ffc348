//! Stickiness as Classic ELB has it, made over its API: which answers set `AWSELB` and its twin, whom they bind, for how
//! long, and what takes it away.

use std::net::SocketAddr;

use crate::harness::*;

const BACK: u16 = 8080;
const OTHER_BACK: u16 = 8081;
const FRONT: u16 = 8000;
const INSTANCES: [&str; 3] = ["i-00000001", "i-00000002", "i-00000003"];

/// An elbow with a load balancer `web` before three instances, which answer with their ids.
struct Scene {
    lb: Lb,
    elb: Elb,
    front: SocketAddr,
    instances: Vec<Upstream>,
}

impl Scene {
    /// `/in` and `/out` of the application set and delete its cookie.
    async fn start(listeners: &[&str]) -> Self {
        let mut instances = Vec::new();
        for id in INSTANCES {
            instances.push(Upstream::on_port(BACK, application(id)).await);
        }
        let addresses: Vec<_> =
            INSTANCES.into_iter().zip(&instances).map(|(id, one)| (id, one.address().ip())).collect();
        let bind = own_address();
        let lb = Elb::setup(bind, &addresses).start_cold().await;
        let elb = Elb::of(&lb);
        elb.create("web", listeners).await;
        elb.register("web", &INSTANCES).await;
        Self { lb, elb, front: SocketAddr::new(bind, FRONT), instances }
    }

    async fn ask(&self, path: &str, cookies: &[&str]) -> Response {
        ask(self.front, path, cookies).await
    }

    /// Waits until every worker knows of all verdicts so far.
    async fn settled(&self) {
        self.elb.done("AddTags", "LoadBalancerNames.member.1=web&Tags.member.1.Key=settled").await;
    }

    /// Somebody new, who gets this instance; the cookie and its twin, with their attributes.
    async fn entered(&self, instance: &str) -> (String, String) {
        for _ in 0..40 {
            let answer = self.ask("/", &[]).await;
            if answer.text() == instance {
                return both(&answer);
            }
        }
        panic!("{instance} never got anybody new");
    }

    /// Asserts that whoever shows these stays at an instance, and is given nothing.
    async fn assert_stays(&self, cookies: &[&str], instance: &str) {
        for _ in 0..6 {
            let answer = self.ask("/", cookies).await;
            assert_eq!((answer.status, answer.text().as_str()), (200, instance));
            assert_eq!(answer.header("set-cookie"), None, "what is there is never made anew");
        }
    }

    /// Asserts that whoever shows these goes to one and another.
    async fn assert_roams(&self, front: SocketAddr, cookies: &[&str]) {
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..30 {
            seen.insert(ask(front, "/", cookies).await.text());
        }
        assert!(seen.len() > 1, "always {seen:?}");
    }
}

fn application(id: &'static str) -> impl Fn(&Request) -> Vec<Act> + Send + Sync + 'static {
    move |request| {
        let set = match request.path() {
            "/in" => "Set-Cookie: SID=1; Path=/a_b; Domain=shop.example; Max-Age=60; HttpOnly; SameSite=Lax;\r\n",
            "/out" => "Set-Cookie: SID=; Path=/; Max-Age=0\r\n",
            _ => "",
        };
        raw(format!("HTTP/1.1 200 OK\r\n{set}Content-Length: {}\r\n\r\n{id}", id.len()))
    }
}

async fn ask(to: SocketAddr, path: &str, cookies: &[&str]) -> Response {
    let mut client = Client::connect(to).await;
    let field = if cookies.is_empty() { String::new() } else { format!("Cookie: {}\r\n", cookies.join("; ")) };
    client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n{field}\r\n")).await;
    client.response().await
}

/// The cookie and its twin as an answer sets them, which are of one value.
fn both(answer: &Response) -> (String, String) {
    let set = answer.head.all("set-cookie");
    let [own, twin] = set.as_slice() else { panic!("not two cookies: {set:?}") };
    let value = pair(own).strip_prefix("AWSELB=").expect("AWSELB first");
    assert_eq!(pair(twin), format!("AWSELBCORS={value}"));
    assert!(value.len() >= 40, "{value} hides nothing");
    ((*own).to_owned(), (*twin).to_owned())
}

/// The cookie without its attributes.
fn pair(cookie: &str) -> &str {
    cookie.split(';').next().unwrap()
}

fn attributes(cookie: &str) -> &str {
    &cookie[pair(cookie).len()..]
}

#[tokio::test]
async fn a_client_stays_by_the_cookie_of_the_load_balancer() {
    let scene = Scene::start(&["HTTP:8000->HTTP:8080"]).await;
    assert_eq!(scene.ask("/", &[]).await.header("set-cookie"), None, "nobody is sticky yet");
    let form = "LoadBalancerName=web&PolicyName=minute&CookieExpirationPeriod=60";
    scene.elb.done("CreateLBCookieStickinessPolicy", form).await;
    assert_eq!(scene.ask("/", &[]).await.header("set-cookie"), None, "a policy that is set nowhere does nothing");
    scene.elb.set_of_listener("web", FRONT, &["minute"]).await;

    for instance in INSTANCES {
        let (own, twin) = scene.entered(instance).await;
        assert_eq!(attributes(&own), ";PATH=/;MAX-AGE=60");
        assert_eq!(attributes(&twin), ";PATH=/;MAX-AGE=60;SECURE;SAMESITE=None");
        for cookies in [&[pair(&own)][..], &[pair(&twin)], &["a=1", pair(&own), pair(&twin)]] {
            scene.assert_stays(cookies, instance).await;
        }
    }
    // The application sees it.
    let (own, _) = scene.entered(INSTANCES[1]).await;
    let all = format!("a=1; {}; b=2", pair(&own));
    scene.ask("/seen", &[&all]).await;
    let seen = scene.instances[1].seen();
    let seen = seen.iter().find(|request| request.path() == "/seen").expect("it went to its instance");
    assert_eq!(seen.header("cookie"), Some(all.as_str()));
    // What nobody made binds nobody, and is replaced.
    let mut forged = pair(&own).to_owned();
    let last = forged.pop();
    forged.push(if last == Some('A') { 'E' } else { 'A' });
    both(&scene.ask("/", &[&forged]).await);
    both(&scene.ask("/", &["AWSELB=4B8F"]).await);
}

#[tokio::test]
async fn without_a_period_the_cookie_is_as_old_as_its_session() {
    let scene = Scene::start(&["HTTP:8000->HTTP:8080"]).await;
    for (name, attributes_of) in [("none", &[][..]), ("zero", &[("CookieExpirationPeriod", "0")])] {
        scene.elb.policy("web", name, "LBCookieStickinessPolicyType", attributes_of).await;
        scene.elb.set_of_listener("web", FRONT, &[name]).await;
        let (own, twin) = scene.entered(INSTANCES[0]).await;
        assert_eq!((attributes(&own), attributes(&twin)), (";PATH=/", ";PATH=/;SECURE;SAMESITE=None"));
        scene.assert_stays(&[pair(&own)], INSTANCES[0]).await;
    }
}

#[tokio::test]
async fn a_client_whose_instance_is_away_gets_another_for_good() {
    let mut scene = Scene::start(&["HTTP:8000->HTTP:8080"]).await;
    scene.elb.policy("web", "own", "LBCookieStickinessPolicyType", &[]).await;
    scene.elb.set_of_listener("web", FRONT, &["own"]).await;
    let check = "LoadBalancerName=web&HealthCheck.Target=HTTP:8080/health&HealthCheck.Interval=5&\
                 HealthCheck.Timeout=2&HealthCheck.UnhealthyThreshold=2&HealthCheck.HealthyThreshold=2";
    scene.elb.done("ConfigureHealthCheck", check).await;
    let ((first, _), (second, _)) = (scene.entered(INSTANCES[0]).await, scene.entered(INSTANCES[1]).await);

    scene.elb.deregister("web", &INSTANCES[..1]).await;
    let moved = scene.ask("/", &[pair(&first)]).await;
    assert_ne!(moved.text(), INSTANCES[0]);
    scene.assert_stays(&[pair(&both(&moved).0)], &moved.text()).await;

    scene.instances[1].set_health(500);
    eventually("a failed instance to be out of service", PATIENCE * 3, async || {
        let health = scene.elb.done("DescribeInstanceHealth", "LoadBalancerName=web").await;
        health.contains("<State>OutOfService</State>")
    })
    .await;
    scene.settled().await;
    let moved = scene.ask("/", &[pair(&second)]).await;
    assert_eq!(moved.text(), INSTANCES[2], "it is the last one that is well");
    let (own, _) = both(&moved);

    // Both are known to elbow anew.
    scene.lb.kill9().await;
    scene.lb.start_again().await;
    scene.elb = Elb::of(&scene.lb);
    scene.elb.until_in_service("web", &INSTANCES[2..]).await;
    scene.assert_stays(&[pair(&own)], INSTANCES[2]).await;
}

#[tokio::test]
async fn a_policy_that_is_taken_away_binds_nobody_any_more() {
    let scene = Scene::start(&["HTTP:8000->HTTP:8080"]).await;
    scene.elb.policy("web", "own", "LBCookieStickinessPolicyType", &[]).await;
    scene.elb.set_of_listener("web", FRONT, &["own"]).await;
    let (own, _) = scene.entered(INSTANCES[0]).await;
    let refused = scene.elb.refused("DeleteLoadBalancerPolicy", "LoadBalancerName=web&PolicyName=own").await;
    assert_eq!(refused.0, "InvalidConfigurationRequest");

    scene.elb.set_of_listener("web", FRONT, &[]).await;
    assert_eq!(scene.ask("/", &[]).await.header("set-cookie"), None);
    scene.assert_roams(scene.front, &[pair(&own)]).await;
    scene.elb.done("DeleteLoadBalancerPolicy", "LoadBalancerName=web&PolicyName=own").await;
}

#[tokio::test]
async fn a_listener_with_another_instance_port_knows_nobody_of_the_first() {
    let scene = Scene::start(&["HTTP:8000->HTTP:8080", "HTTP:8001->HTTP:8081", "HTTP:8002->HTTP:8080"]).await;
    let mut others = Vec::new();
    for (id, instance) in INSTANCES.into_iter().zip(&scene.instances) {
        others.push(Upstream::at(SocketAddr::new(instance.address().ip(), OTHER_BACK), application(id)).await);
    }
    scene.elb.policy("web", "own", "LBCookieStickinessPolicyType", &[]).await;
    for port in [FRONT, 8001, 8002] {
        scene.elb.set_of_listener("web", port, &["own"]).await;
    }
    let on = |port| SocketAddr::new(scene.front.ip(), port);
    let (own, _) = scene.entered(INSTANCES[0]).await;
    both(&ask(on(8001), "/", &[pair(&own)]).await);
    scene.assert_roams(on(8001), &[pair(&own)]).await;
    for _ in 0..6 {
        let same = ask(on(8002), "/", &[pair(&own)]).await;
        assert_eq!((same.text().as_str(), same.header("set-cookie")), (INSTANCES[0], None));
    }
}

#[tokio::test]
async fn a_client_stays_as_long_as_a_cookie_of_the_application() {
    let scene = Scene::start(&["HTTP:8000->HTTP:8080"]).await;
    let form = "LoadBalancerName=web&PolicyName=app&CookieName=SID";
    scene.elb.done("CreateAppCookieStickinessPolicy", form).await;
    scene.elb.set_of_listener("web", FRONT, &["app"]).await;
    assert_eq!(scene.ask("/", &[]).await.header("set-cookie"), None, "the application has set none");

    let entered = scene.ask("/in", &[]).await;
    let instance = entered.text();
    let set = entered.head.all("set-cookie");
    let [sid, own, twin] = set.as_slice() else { panic!("not three cookies: {set:?}") };
    assert_eq!(pair(sid), "SID=1");
    let told = |cookie: &str| {
        let mut told: Vec<_> = attributes(cookie).to_ascii_lowercase().split(';').map(str::to_owned).collect();
        told.sort();
        told.join(";")
    };
    assert_eq!(told(own), ";domain=shop.example;httponly;max-age=60;path=/a%5fb;samesite=lax");
    assert_eq!(told(twin), ";domain=shop.example;httponly;max-age=60;path=/a%5fb;samesite=none;secure");
    let own = pair(own).to_owned();
    scene.assert_stays(&["SID=1", &own], &instance).await;
    scene.assert_stays(&["SID=1", pair(twin)], &instance).await;
    // Without the application's cookie it binds nobody.
    scene.assert_roams(scene.front, &[&own]).await;
    scene.assert_roams(scene.front, &["SID=1"]).await;

    // A new cookie of the application's makes a new one of ours, wherever the client is.
    let again = scene.ask("/in", &["SID=1", &own]).await;
    assert_eq!((again.text(), again.head.all("set-cookie").len()), (instance.clone(), 3));
    let gone = INSTANCES.iter().position(|id| **id == *instance).unwrap();
    scene.elb.deregister("web", &INSTANCES[gone..=gone]).await;
    let moved = scene.ask("/", &["SID=1", &own]).await;
    assert!(moved.text() != instance && moved.head.all("set-cookie").is_empty(), "it sticks with the next cookie only");
    scene.assert_roams(scene.front, &["SID=1", &own]).await;
    let entered = scene.ask("/in", &["SID=1", &own]).await;
    let anew = pair(entered.head.all("set-cookie")[1]).to_owned();
    scene.assert_stays(&["SID=1", &anew], &entered.text()).await;
}

#[tokio::test]
async fn streams_and_second_policies_are_refused() {
    let scene = Scene::start(&["HTTP:8000->HTTP:8080", "TCP:8001->TCP:8080"]).await;
    scene.elb.policy("web", "own", "LBCookieStickinessPolicyType", &[]).await;
    scene.elb.policy("web", "app", "AppCookieStickinessPolicyType", &[("CookieName", "SID")]).await;
    for form in [
        "LoadBalancerName=web&LoadBalancerPort=8001&PolicyNames.member.1=own",
        "LoadBalancerName=web&LoadBalancerPort=8000&PolicyNames.member.1=own&PolicyNames.member.2=app",
    ] {
        let (code, _) = scene.elb.refused("SetLoadBalancerPoliciesOfListener", form).await;
        assert_eq!(code, "InvalidConfigurationRequest", "{form}");
    }
    assert_eq!(scene.ask("/", &[]).await.header("set-cookie"), None, "a refusal changes nothing");
}
