//! HTTPS and SSL listeners as the ELB API makes them: certificates by their ARNs, and policies for SSL negotiation.

use std::net::SocketAddr;

use crate::harness::*;

const BACK: u16 = 8080;
const HTTPS: u16 = 8443;
const SSL: u16 = 8444;
const INSTANCE: &str = "i-00000001";
const GET: &str = "GET / HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n";

/// An elbow with two certificates for one name, and a load balancer `web` that shows the one called `old`.
struct Scene {
    lb: Lb,
    elb: Elb,
    secure: Secure,
    /// The certificates of `old` and `new`, in PEM.
    shown: [String; 2],
    https: SocketAddr,
    ssl: SocketAddr,
    _instance: Upstream,
}

fn arn(name: &str) -> String {
    format!("arn:aws:iam::123456789012:server-certificate/{name}")
}

/// Tables of certificates, each with its ARN.
fn with_arns(tables: &str, names: &[&str]) -> String {
    let named = |name: &str| format!("name = \"{name}\"\n");
    names.iter().fold(tables.to_owned(), |tables, name| {
        tables.replace(&named(name), &format!("{}arn = \"{}\"\n", named(name), arn(name)))
    })
}

impl Scene {
    async fn start() -> Self {
        let instance = Upstream::on_port(BACK, |_| answer(200, "hello")).await;
        let secure = Secure::new();
        let [old, new] = [&["shop.example"], &["shop.example"]].map(|names| secure.ca.issue(names));
        let secure = secure.with("old", &old).with("new", &new);
        let bind = own_address();
        let setup = Elb::setup(bind, &[(INSTANCE, instance.address().ip())]);
        let lb = setup.more(&with_arns(secure.tables(), &["old", "new"])).start_cold().await;
        let elb = Elb::of(&lb);
        let old_arn = arn("old");
        let listeners = [format!("HTTPS:{HTTPS}->HTTP:{BACK}@{old_arn}"), format!("SSL:{SSL}->TCP:{BACK}@{old_arn}")];
        elb.create("web", &listeners.each_ref().map(String::as_str)).await;
        elb.register("web", &[INSTANCE]).await;
        let [https, ssl] = [HTTPS, SSL].map(|port| SocketAddr::new(bind, port));
        let shown = [old, new].map(|issued| issued.certificate);
        Self { lb, elb, secure, shown, https, ssl, _instance: instance }
    }

    /// Which certificate a client is shown.
    async fn certificate_of(&self, listener: SocketAddr) -> &'static str {
        let said = self.secure.s_client(listener, &["-servername", "shop.example"], "Q\n").await;
        let said = bare(&said);
        let known = ["old", "new"].into_iter().zip(&self.shown);
        let shown: Vec<_> = known.filter(|(_, pem)| said.contains(&bare(pem))).map(|(name, _)| name).collect();
        assert_eq!(shown.len(), 1, "{said}");
        shown[0]
    }

    /// What a client of the HTTPS listener agrees on with it, which takes these; `None` if nothing.
    async fn agreed(&self, client: &[&str]) -> Option<String> {
        let arguments = [&["-servername", "shop.example", "-ign_eof"], client].concat();
        let said = self.secure.s_client(self.https, &arguments, GET).await;
        let cipher = said.lines().find_map(|line| line.split_once("Cipher is ")).map(|(_, cipher)| cipher.to_owned());
        let cipher = cipher.filter(|cipher| cipher != "(NONE)");
        assert_eq!(cipher.is_some(), said.contains("hello"), "{said}");
        cipher
    }

    /// Makes a policy with these attributes on, and sets it on the HTTPS listener.
    async fn negotiate(&self, name: &str, on: &[&str]) {
        self.made(name, on).await;
        self.elb.set_of_listener("web", HTTPS, &[name]).await;
    }

    async fn made(&self, name: &str, on: &[&str]) {
        let on: Vec<_> = on.iter().map(|attribute| (*attribute, "true")).collect();
        self.elb.policy("web", name, "SSLNegotiationPolicyType", &on).await;
    }
}

/// Text without line breaks and blanks.
fn bare(text: &str) -> String {
    text.split_whitespace().collect()
}

#[tokio::test]
async fn certificates_are_shown_and_exchanged_by_their_arns() {
    let mut scene = Scene::start().await;
    for listener in [scene.https, scene.ssl] {
        let output = scene.secure.curl(listener, "/", &[]).await;
        assert_eq!(String::from_utf8_lossy(&output.stdout), "hello", "{output:?}");
        assert_eq!(scene.certificate_of(listener).await, "old");
    }
    let set = |arn: &str| format!("LoadBalancerName=web&LoadBalancerPort={HTTPS}&SSLCertificateId={arn}");
    scene.elb.done("SetLoadBalancerListenerSSLCertificate", &set(&arn("new"))).await;
    assert_eq!(scene.certificate_of(scene.https).await, "new");
    assert_eq!(scene.certificate_of(scene.ssl).await, "old", "that of another listener");

    let (code, _) = scene.elb.refused("SetLoadBalancerListenerSSLCertificate", &set(&arn("none"))).await;
    assert_eq!(code, "CertificateNotFound");
    let parameters = format!(
        "LoadBalancerName=web&Listeners.member.1.Protocol=SSL&Listeners.member.1.LoadBalancerPort=8445\
         &Listeners.member.1.InstancePort={BACK}&Listeners.member.1.SSLCertificateId={}",
        arn("none")
    );
    assert_eq!(scene.elb.refused("CreateLoadBalancerListeners", &parameters).await.0, "CertificateNotFound");
    assert_eq!(scene.certificate_of(scene.https).await, "new");

    // A certificate that is shown cannot be taken away; one that is not shown any more can.
    let without = |name: &str| {
        let toml = scene.lb.setup().toml();
        let (before, table) = toml.split_once(&format!("[[certificate]]\nname = \"{name}\"\n")).unwrap();
        let after =
            table.split_once("[[certificate]]").map_or(String::new(), |(_, rest)| format!("[[certificate]]{rest}"));
        format!("{before}{after}")
    };
    let (no_old, no_new) = (without("old"), without("new"));
    for toml in [&no_old, &no_new] {
        let answer = scene.lb.reload(toml).await;
        assert!([409, 422].contains(&answer.status) && answer.text().contains("certificate"), "{}", answer.text());
    }
    assert_eq!(scene.certificate_of(scene.https).await, "new");
    assert_eq!(scene.certificate_of(scene.ssl).await, "old");
    scene
        .elb
        .done("DeleteLoadBalancerListeners", &format!("LoadBalancerName=web&LoadBalancerPorts.member.1={SSL}"))
        .await;
    assert_eq!(scene.lb.reload(&no_old).await.status, 200);
    assert_eq!(scene.certificate_of(scene.https).await, "new");
}

#[tokio::test]
async fn what_a_policy_of_single_attributes_names_is_offered_and_nothing_else() {
    let scene = Scene::start().await;
    let [aes128, aes256] = ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384"];
    let both = format!("{aes256}:{aes128}");
    scene.negotiate("narrow", &["Protocol-TLSv1", "Protocol-TLSv1.2", aes256, "ECDHE-ECDSA-AES128-SHA"]).await;
    assert_eq!(scene.agreed(&["-tls1_3"]).await, None);
    assert_eq!(scene.agreed(&["-tls1_2", "-cipher", aes128]).await, None);
    assert_eq!(scene.agreed(&["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA"]).await, None, "it is not served");
    assert_eq!(scene.agreed(&["-tls1_2", "-cipher", &both]).await.as_deref(), Some(aes256));

    scene.negotiate("theirs", &["Protocol-TLSv1.2", aes128, aes256]).await;
    assert_eq!(scene.agreed(&["-tls1_2", "-cipher", &both]).await.as_deref(), Some(aes256));
    scene.negotiate("ours", &["Protocol-TLSv1.2", aes128, aes256, "Server-Defined-Cipher-Order"]).await;
    assert_eq!(scene.agreed(&["-tls1_2", "-cipher", &both]).await.as_deref(), Some(aes128));

    scene.made("aged", &["Protocol-TLSv1", "Protocol-TLSv1.1", aes128]).await;
    scene.made("weak", &["Protocol-TLSv1.2", "AES128-SHA", "DES-CBC3-SHA"]).await;
    for (name, missing) in [("aged", "Protocol-TLSv1.2"), ("weak", "ECDHE-RSA-AES128-GCM-SHA256")] {
        let form = format!("LoadBalancerName=web&LoadBalancerPort={HTTPS}&PolicyNames.member.1={name}");
        let (code, message) = scene.elb.refused("SetLoadBalancerPoliciesOfListener", &form).await;
        assert_eq!(code, "InvalidConfigurationRequest");
        assert!(message.contains(name) && message.contains(missing), "{message}");
    }
    assert_eq!(scene.agreed(&["-tls1_2", "-cipher", &both]).await.as_deref(), Some(aes128), "as before");
}

#[tokio::test]
async fn every_predefined_policy_can_be_set() {
    let scene = Scene::start().await;
    let described = scene.elb.done("DescribeLoadBalancerPolicies", "").await;
    let names: Vec<_> =
        described.split("<PolicyName>").skip(1).filter_map(|rest| Some(rest.split_once('<')?.0)).collect();
    assert_eq!(names.len(), 11, "{described}");
    for name in names {
        scene.elb.set_of_listener("web", HTTPS, &[name]).await;
        assert!(scene.agreed(&["-tls1_2"]).await.is_some(), "{name}");
        assert_eq!(scene.agreed(&["-tls1_3"]).await, None, "{name}");
    }
    scene
        .elb
        .policy(
            "web",
            "referring",
            "SSLNegotiationPolicyType",
            &[("Reference-Security-Policy", "ELBSecurityPolicy-TLS-1-2-2017-01")],
        )
        .await;
    scene.elb.set_of_listener("web", HTTPS, &["referring"]).await;
    assert!(scene.agreed(&["-tls1_2"]).await.is_some());
    scene.elb.set_of_listener("web", HTTPS, &[]).await;
    assert!(scene.agreed(&["-tls1_3"]).await.is_some(), "without a policy, what elbow offers");
}
