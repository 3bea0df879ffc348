//! Policies of instance ports, as the ELB API sets and takes them away: the PROXY protocol header that instances read
//! first, byte for byte, and which keys they must prove to have.

use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::harness::*;

const TCP: u16 = 8081;
const HTTP: u16 = 8080;
const INSTANCE: &str = "i-00000001";
const GET: &str = "GET / HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n";

/// An instance that keeps what each connection with a request on it said, from its first byte to the end of the head.
async fn recording(address: SocketAddr) -> Arc<Mutex<Vec<String>>> {
    let heads = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&heads);
    let listener = TcpListener::bind(address).await.expect("an address of its own");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let kept = Arc::clone(&kept);
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    if !matches!(stream.read_buf(&mut head).await, Ok(1..)) {
                        return;
                    }
                }
                kept.lock().unwrap().push(String::from_utf8(head).unwrap());
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok").await;
            });
        }
    });
    heads
}

/// Sets the policies of an instance port, and no others.
async fn set_of_instances(elb: &Elb, port: u16, policy: Option<&str>) {
    let names = policy.map_or("PolicyNames=".to_owned(), |name| format!("PolicyNames.member.1={name}"));
    let form = format!("LoadBalancerName=web&InstancePort={port}&{names}");
    elb.done("SetLoadBalancerPoliciesForBackendServer", &form).await;
}

/// Asks through a listener; the address the client had, and what it read.
async fn asked(listener: SocketAddr) -> (SocketAddr, String) {
    let mut client = Stream::connect(listener).await;
    client.send(GET).await;
    (client.address(), String::from_utf8(client.rest().await.unwrap()).unwrap())
}

#[tokio::test]
async fn a_proxy_protocol_policy_tells_instances_who_asks_until_it_is_taken_away() {
    let (bind, instance) = (own_address(), own_address());
    let (tcp_back, http_back) = (SocketAddr::new(instance, 9001), SocketAddr::new(instance, 9000));
    let (tcp_heads, http_heads) = (recording(tcp_back).await, recording(http_back).await);
    let lb = Elb::setup(bind, &[(INSTANCE, instance)]).start_cold().await;
    let elb = Elb::of(&lb);
    let listeners = [format!("TCP:{TCP}->TCP:{}", tcp_back.port()), format!("HTTP:{HTTP}->HTTP:{}", http_back.port())];
    elb.create("web", &listeners.each_ref().map(String::as_str)).await;
    elb.register("web", &[INSTANCE]).await;
    elb.policy("web", "proxied", "ProxyProtocolPolicyType", &[("ProxyProtocol", "true")]).await;

    let last = |heads: &Mutex<Vec<String>>| heads.lock().unwrap().pop().expect("a request arrived");
    let ports = [(TCP, tcp_back, &tcp_heads), (HTTP, http_back, &http_heads)];
    for (port, back, heads) in ports {
        let listener = SocketAddr::new(bind, port);
        assert!(asked(listener).await.1.ends_with("ok"));
        assert!(last(heads).starts_with("GET / HTTP/1.1\r\n"), "a policy that is set nowhere does nothing");

        set_of_instances(&elb, back.port(), Some("proxied")).await;
        let (from, answer) = asked(listener).await;
        assert!(answer.ends_with("ok"), "{answer}");
        let said = last(heads);
        let header = format!("PROXY TCP4 {} {bind} {} {port}\r\n", from.ip(), from.port());
        let request = said.strip_prefix(&header).unwrap_or_else(|| panic!("{header:?}, not {said:?}"));
        if port == TCP {
            assert_eq!(request, GET);
        } else {
            assert!(request.starts_with("GET / HTTP/1.1\r\n"), "{request}");
            assert!(request.to_lowercase().contains(&format!("x-forwarded-for: {}\r\n", from.ip())), "{request}");
        }
    }
    for (port, back, heads) in ports {
        set_of_instances(&elb, back.port(), None).await;
        assert!(asked(SocketAddr::new(bind, port)).await.1.ends_with("ok"));
        assert!(last(heads).starts_with("GET / HTTP/1.1\r\n"), "port {port}");
    }
}

/// The public key of a certificate as policies hold it: base64 of its SubjectPublicKeyInfo.
async fn public_key_of(issued: &Issued) -> String {
    let mut openssl = tokio::process::Command::new("openssl");
    openssl.args(["x509", "-pubkey", "-noout"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = openssl.spawn().expect("openssl is installed (tests/run does that)");
    child.stdin.take().unwrap().write_all(issued.certificate.as_bytes()).await.unwrap();
    let pem = String::from_utf8(child.wait_with_output().await.unwrap().stdout).unwrap();
    pem.lines().filter(|line| !line.starts_with("-----")).collect()
}

#[tokio::test]
async fn instances_must_have_one_of_the_keys_that_a_policy_names() {
    let secure = Secure::new();
    let [shown, another] = [&["backend"], &["backend"]].map(|names| secure.ca.issue(names));
    let instance = TlsTarget::nginx(&shown, "return 200 right;").await;
    let bind = own_address();
    let lb = Elb::setup(bind, &[(INSTANCE, instance.address().ip())]).start_cold().await;
    let elb = Elb::of(&lb);
    let back = instance.address().port();
    elb.create("web", &[&format!("HTTP:{HTTP}->HTTPS:{back}")]).await;
    elb.register("web", &[INSTANCE]).await;
    for (name, issued) in [("shown", &shown), ("another", &another)] {
        elb.policy("web", name, "PublicKeyPolicyType", &[("PublicKey", &public_key_of(issued).await)]).await;
    }
    let keys = |name| ("PublicKeyPolicyName", name);
    for (name, named) in [
        ("with-it", vec![keys("shown")]),
        ("without-it", vec![keys("another")]),
        ("among-others", vec![keys("another"), keys("shown")]),
    ] {
        elb.policy("web", name, "BackendServerAuthenticationPolicyType", &named).await;
    }
    let listener = SocketAddr::new(bind, HTTP);
    for (policy, trusted) in [
        (None, true),
        (Some("with-it"), true),
        (Some("without-it"), false),
        (Some("among-others"), true),
        (Some("without-it"), false),
        (None, true),
    ] {
        set_of_instances(&elb, back, policy).await;
        let (_, answer) = asked(listener).await;
        assert_eq!(answer.ends_with("right"), trusted, "{policy:?}: {answer}");
        assert_eq!(answer.starts_with("HTTP/1.1 50"), !trusted, "{policy:?}: {answer}");
    }
    // What is no key is refused, and so is a key that no policy holds.
    for (type_name, attribute, value, expected) in [
        ("PublicKeyPolicyType", "PublicKey", "bm8ga2V5", "InvalidConfigurationRequest"),
        ("BackendServerAuthenticationPolicyType", "PublicKeyPolicyName", "nobody", "PolicyNotFound"),
    ] {
        let member = "PolicyAttributes.member.1";
        let attribute = format!("{member}.AttributeName={attribute}&{member}.AttributeValue={value}");
        let form = format!("LoadBalancerName=web&PolicyName=bad&PolicyTypeName={type_name}&{attribute}");
        let (code, message) = elb.refused("CreateLoadBalancerPolicy", &form).await;
        assert_eq!(code, expected, "{message}");
    }
}
