//! What leaves over the ELB API while it has work: instances, listeners and load balancers, with connection draining and
//! without; and ports, which are free again at once or refused where somebody else has them.

use std::net::{IpAddr, SocketAddr, TcpListener};

use crate::harness::*;

const BACK: u16 = 8080;
const FRONT: u16 = 8000;
const HELD: &str = "i-00000001";
const OTHER: &str = "i-00000002";
const DRAINING: &str = "LoadBalancerName=web&LoadBalancerAttributes.ConnectionDraining.Enabled=true\
                        &LoadBalancerAttributes.ConnectionDraining.Timeout=60";

/// A load balancer `web` with one request in flight, at an instance that answers once the gate opens.
struct Scene {
    elb: Elb,
    front: SocketAddr,
    client: Client,
    gate: Gate,
    instance: Upstream,
    _lb: Lb,
}

impl Scene {
    async fn start(is_draining: bool) -> Self {
        let gate = Gate::closed();
        let held = gate.clone();
        let instance = Upstream::on_port(BACK, move |_| {
            [vec![Act::ReadBody, Act::Until(held.clone())], answer(200, "late")].concat()
        })
        .await;
        let front = SocketAddr::new(own_address(), FRONT);
        let (lb, elb) = started(front.ip(), &[(HELD, &instance)]).await;
        elb.create("web", &["HTTP:8000->HTTP:8080"]).await;
        if is_draining {
            elb.done("ModifyLoadBalancerAttributes", DRAINING).await;
        }
        elb.register("web", &[HELD]).await;
        let mut client = Client::connect(front).await;
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        instance.wait_for_requests(1).await;
        Self { elb, front, client, gate, instance, _lb: lb }
    }

    /// Asserts that the request in flight is answered when its instance answers, and by nobody before.
    async fn assert_finishes(&mut self) {
        self.gate.open();
        let answer = self.client.response().await;
        assert_eq!((answer.status, answer.text()), (200, "late".to_owned()));
    }

    /// Asserts that the request in flight has no more than an answer of elbow's own.
    async fn assert_cut(&mut self) {
        if let Ok(answer) = self.client.try_response().await {
            assert!(answer.status >= 500, "{}", answer.status);
        }
        assert!(!self.gate.is_open());
    }
}

async fn started(bind: IpAddr, instances: &[(&str, &Upstream)]) -> (Lb, Elb) {
    let known: Vec<_> = instances.iter().map(|(id, one)| (*id, one.address().ip())).collect();
    let lb = Elb::setup(bind, &known).start_cold().await;
    let elb = Elb::of(&lb);
    (lb, elb)
}

#[tokio::test]
async fn what_is_in_flight_at_a_deregistered_instance_may_finish_while_draining() {
    let mut scene = Scene::start(true).await;
    scene.elb.deregister("web", &[HELD]).await;
    assert_eq!(get(scene.front, "/").await.status, 503, "there is no other instance");
    assert_eq!(scene.instance.requests(), 1);
    scene.assert_finishes().await;
}

#[tokio::test]
async fn what_is_in_flight_at_a_deregistered_instance_is_cut_without_draining() {
    let mut scene = Scene::start(false).await;
    scene.elb.deregister("web", &[HELD]).await;
    scene.assert_cut().await;
    assert_eq!(scene.instance.requests(), 1);
}

#[tokio::test]
async fn what_is_in_flight_when_a_listener_is_deleted_finishes_and_its_port_is_free_at_once() {
    let mut scene = Scene::start(true).await;
    scene.elb.done("DeleteLoadBalancerListeners", "LoadBalancerName=web&LoadBalancerPorts.member.1=8000").await;
    assert!(Client::try_connect(scene.front).await.is_none(), "nobody is let in any more");
    let listener = "LoadBalancerName=web&Listeners.member.1.Protocol=HTTP&Listeners.member.1.LoadBalancerPort=8000\
                    &Listeners.member.1.InstancePort=8080";
    scene.elb.done("CreateLoadBalancerListeners", listener).await;
    let mut second = Client::connect(scene.front).await;
    second.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    scene.instance.wait_for_requests(2).await;
    scene.assert_finishes().await;
    assert_eq!(second.response().await.text(), "late");
}

#[tokio::test]
async fn what_is_in_flight_when_a_load_balancer_is_deleted_may_finish_while_draining() {
    let mut scene = Scene::start(true).await;
    scene.elb.done("DeleteLoadBalancer", "LoadBalancerName=web").await;
    assert!(Client::try_connect(scene.front).await.is_none());
    assert!(!scene.elb.done("DescribeLoadBalancers", "").await.contains("web"));
    // One of the same name is another one.
    scene.elb.create("web", &["HTTP:8001->HTTP:8080"]).await;
    scene.elb.done("DeleteLoadBalancer", "LoadBalancerName=web").await;
    scene.assert_finishes().await;
}

#[tokio::test]
async fn what_is_in_flight_when_a_load_balancer_is_deleted_is_cut_without_draining() {
    let mut scene = Scene::start(false).await;
    scene.elb.done("DeleteLoadBalancer", "LoadBalancerName=web").await;
    scene.assert_cut().await;
}

#[tokio::test]
async fn others_take_over_without_a_failure_while_one_leaves() {
    let instances =
        [Upstream::on_port(BACK, |_| answer(200, "one")).await, Upstream::on_port(BACK, |_| answer(200, "two")).await];
    let front = SocketAddr::new(own_address(), FRONT);
    let (_lb, elb) = started(front.ip(), &[(HELD, &instances[0]), (OTHER, &instances[1])]).await;
    elb.create("web", &["HTTP:8000->HTTP:8080"]).await;
    elb.done("ModifyLoadBalancerAttributes", DRAINING).await;
    elb.register("web", &[HELD, OTHER]).await;
    let stop = Gate::closed();
    let ask = |stop: Gate| async move {
        let mut client = Client::connect(front).await;
        while !stop.is_open() {
            assert_eq!(client.get("/").await.status, 200);
        }
    };
    let clients: Vec<_> = (0..4).map(|_| tokio::spawn(ask(stop.clone()))).collect();
    for _ in 0..5 {
        elb.deregister("web", &[HELD]).await;
        instances[1].wait_for_requests(instances[1].requests() + 20).await;
        elb.register("web", &[HELD]).await;
        instances[0].wait_for_requests(instances[0].requests() + 20).await;
    }
    stop.open();
    for client in clients {
        client.await.expect("no request failed");
    }
}

#[tokio::test]
async fn a_port_that_somebody_else_has_is_refused_before_anything_changes() {
    let front = SocketAddr::new(own_address(), FRONT);
    let (_lb, elb) = started(front.ip(), &[]).await;
    elb.create("web", &["HTTP:8000->HTTP:8080"]).await;
    let taken = TcpListener::bind(SocketAddr::new(front.ip(), 8001)).unwrap();
    let before = elb.done("DescribeLoadBalancers", "").await;
    let listeners = "Listeners.member.1.Protocol=HTTP&Listeners.member.1.LoadBalancerPort=8002\
                     &Listeners.member.1.InstancePort=8080&Listeners.member.2.Protocol=TCP\
                     &Listeners.member.2.LoadBalancerPort=8001&Listeners.member.2.InstancePort=8080";
    for (action, of) in [
        ("CreateLoadBalancerListeners", "LoadBalancerName=web"),
        ("CreateLoadBalancer", "LoadBalancerName=other&AvailabilityZones.member.1=us-east-1a"),
    ] {
        let (code, message) = elb.refused(action, &format!("{of}&{listeners}")).await;
        assert_eq!(code, "InvalidConfigurationRequest", "{message}");
        assert!(message.contains(&front.ip().to_string()) && message.contains("8001"), "{message}");
    }
    let bare = |xml: &str| xml.split("<RequestId>").next().unwrap_or_default().to_owned();
    assert_eq!(bare(&elb.done("DescribeLoadBalancers", "").await), bare(&before));
    assert!(Client::try_connect(SocketAddr::new(front.ip(), 8002)).await.is_none(), "nothing of it was opened");
    drop(taken);
    elb.done("CreateLoadBalancerListeners", &format!("LoadBalancerName=web&{listeners}")).await;
    assert!(Client::try_connect(SocketAddr::new(front.ip(), 8002)).await.is_some());
}
