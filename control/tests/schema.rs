//! The native document: what is written is read again as the same, in JSON and TOML, and what is no document is
//! refused without a panic.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use control::schema::{
    self, AdminAuth, Document, ProcessSettings, read_document, read_listener, read_target, read_target_group,
};
use lb::model::{
    AccessLog, AccessLogDestination, AccessLogFormat, Algorithm, CertificateName, ClientAuth, CookieName, Declared,
    DesyncMitigation, Discovery, Ec2Address, Ec2Discovery, Ejection, Forward, Global, GroupName, HashKey, HealthCheck,
    HealthCheckProtocol, HostPort, HttpQuestion, Instance, Listener, ListenerName, ListenerProtocol, ListenerTls,
    Matcher, Network, OWN_COOKIE_NAME, OnDown, OnUnavailable, ProbePort, ProxyProtocol, PublicKeyPin, SendProxy,
    Shutdown, SourceFile, Stickiness, StickyBy, Target, TargetGroup, TargetId, TargetProtocol, TargetTls, Threshold,
    TlsPolicy, TlsVerify, TrustFile, Weight, WhenAllUnhealthy,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use serde_json::{Value, json};

fn name() -> impl Strategy<Value = String> {
    "[A-Za-z0-9._-]{1,64}"
}

fn duration(range_ms: std::ops::RangeInclusive<u64>) -> impl Strategy<Value = Duration> {
    let whole_seconds = (*range_ms.start()).div_ceil(1000)..=range_ms.end() / 1000;
    prop_oneof![range_ms.prop_map(Duration::from_millis), whole_seconds.prop_map(Duration::from_secs),]
}

fn bytes(range: std::ops::RangeInclusive<u64>) -> impl Strategy<Value = u64> {
    prop_oneof![
        range.clone(),
        range.prop_map(|bytes| bytes / 1024 * 1024).prop_filter("too small", |bytes| *bytes >= 1024)
    ]
}

fn socket_address() -> impl Strategy<Value = SocketAddr> {
    (any::<IpAddr>(), any::<u16>()).prop_map(SocketAddr::from)
}

fn network() -> impl Strategy<Value = Network> {
    (any::<IpAddr>(), 0..=32u8).prop_map(|(address, prefix)| Network::parse(&format!("{address}/{prefix}")).unwrap())
}

/// What a listener says of TLS. Files are not read, so what stands in them is empty.
fn protocol() -> impl Strategy<Value = (ListenerProtocol, Option<ListenerTls>, Option<u16>)> {
    let ca = "/[a-z0-9/._-]{1,20}".prop_map(|path| TrustFile { file: SourceFile::at(path), pem: "".into() });
    let client_auth =
        prop_oneof![Just(ClientAuth::Off), ca.clone().prop_map(ClientAuth::Request), ca.prop_map(ClientAuth::Require)];
    let policy = prop::sample::select(TlsPolicy::all().collect::<Vec<_>>());
    let names = proptest::collection::hash_set(name(), 1..4);
    let alpn = option::of(proptest::collection::hash_set("[!-~]{1,20}", 0..4));
    let over_tls = (names, policy, client_auth, alpn).prop_map(|(names, policy, client_auth, alpn)| {
        let certificates = names.iter().map(|name| CertificateName::parse(name).unwrap()).collect();
        let protocol = if alpn.is_some() { ListenerProtocol::Tls } else { ListenerProtocol::Https };
        let alpn = alpn.into_iter().flatten().map(Box::from).collect();
        (protocol, Some(ListenerTls { certificates, policy, client_auth, alpn }), None)
    });
    let http = option::of(1..=u16::MAX).prop_map(|redirect| (ListenerProtocol::Http, None, redirect));
    prop_oneof![http, over_tls]
}

fn listener() -> impl Strategy<Value = Listener> {
    let times = (duration(100..=3_600_000), duration(100..=86_400_000), duration(1_000..=2_592_000_000));
    let sizes = (bytes(0..=1 << 30), bytes(256..=1 << 20), bytes(256..=1 << 20), bytes(0..=1 << 50));
    let counts = (1..=1000usize, 0..=10_000_000usize, 0..=1_000_000_000u64);
    let who = (name(), name(), socket_address(), vec(network(), 0..4), protocol());
    let proxy = prop::sample::select(vec![ProxyProtocol::Off, ProxyProtocol::Accept, ProxyProtocol::Require]);
    let modes = vec![DesyncMitigation::Monitor, DesyncMitigation::Defensive, DesyncMitigation::Strictest];
    let all = (who, (proxy, prop::sample::select(modes)), times, sizes, counts);
    all.prop_map(
        |((name, group, bind, trusted_proxies, protocol), (proxy, desync_mitigation), times, sizes, counts)| {
            Listener {
                name: ListenerName::parse(&name).unwrap(),
                bind,
                protocol: protocol.0,
                tls: protocol.1,
                redirect_to_https: protocol.2,
                forward: Forward::to(GroupName::parse(&group).unwrap()),
                head_timeout: times.0,
                idle_timeout: times.1,
                tunnel_idle_timeout: times.2,
                body_rate_min_bytes: sizes.0,
                request_line_bytes_max: usize::try_from(sizes.1).unwrap(),
                headers_bytes_max: usize::try_from(sizes.2).unwrap(),
                body_bytes_max: sizes.3,
                header_count_max: counts.0,
                connections_max: counts.1,
                requests_per_connection_max: counts.2,
                // Nobody's header would be believed.
                proxy_protocol: if trusted_proxies.is_empty() { ProxyProtocol::Off } else { proxy },
                desync_mitigation,
                trusted_proxies,
            }
        },
    )
}

fn health_check_protocol() -> impl Strategy<Value = HealthCheckProtocol> {
    let headers = proptest::collection::btree_map("X-[A-Za-z0-9-]{1,12}", "[!-~]{0,12}", 0..3);
    let matcher = vec((100..=599u16, 0..=20u16), 1..4).prop_map(|ranges| {
        let range = |(low, more): (u16, u16)| format!("{low}-{}", (low + more).min(599));
        Matcher::parse(&ranges.into_iter().map(range).collect::<Vec<_>>().join(",")).unwrap()
    });
    let http = ("/[a-z0-9/?=&%-]{0,20}", option::of("[a-z0-9.]{1,20}"), headers, matcher);
    let http = http.prop_map(|(path, host, headers, matcher)| HttpQuestion {
        path: path.into(),
        host: host.map(Into::into),
        headers: headers.into_iter().map(|(name, value)| (name.into(), value.into())).collect(),
        matcher,
    });
    prop_oneof![
        Just(HealthCheckProtocol::Tcp),
        Just(HealthCheckProtocol::Tls),
        http.clone().prop_map(HealthCheckProtocol::Http),
        http.prop_map(HealthCheckProtocol::Https),
    ]
}

fn health_check() -> impl Strategy<Value = HealthCheck> {
    let port = prop_oneof![Just(ProbePort::Traffic), (1..=u16::MAX).prop_map(ProbePort::Fixed)];
    let times = duration(100..=300_000).prop_flat_map(|interval| {
        let longest = u64::try_from(interval.as_millis()).unwrap() - 1;
        (Just(interval), (10..=longest).prop_map(Duration::from_millis))
    });
    (health_check_protocol(), port, times, 1..=10u64, 1..=10u64).prop_map(|(protocol, port, times, up, down)| {
        HealthCheck {
            protocol,
            port,
            interval: times.0,
            timeout: times.1,
            healthy_threshold: Threshold::new(up).unwrap(),
            unhealthy_threshold: Threshold::new(down).unwrap(),
        }
    })
}

fn stickiness() -> impl Strategy<Value = Stickiness> {
    let name = || "[A-Za-z0-9!#$%&'*+.^_`|~-]{1,40}";
    let own = (name(), option::of((1..=31_536_000u64).prop_map(Duration::from_secs)));
    let own = own.prop_map(|(name, duration)| StickyBy::LbCookie { name: CookieName::parse(&name).unwrap(), duration });
    let application = name().prop_filter("elbow's own", |name| name != OWN_COOKIE_NAME);
    let application = application.prop_map(|name| StickyBy::AppCookie { name: CookieName::parse(&name).unwrap() });
    let by = prop_oneof![own, application, Just(StickyBy::SourceIp)];
    let on_unavailable = prop_oneof![Just(OnUnavailable::Repick), Just(OnUnavailable::Fail)];
    (by, on_unavailable).prop_map(|(by, on_unavailable)| Stickiness::new(by, on_unavailable))
}

fn ejection() -> impl Strategy<Value = Ejection> {
    let times = duration(100..=86_400_000).prop_flat_map(|first| (Just(first), 0..=86_400_000u64));
    (0..=1000u32, times).prop_map(|(failures, (duration, longest))| Ejection {
        failures,
        duration,
        duration_max: duration.max(Duration::from_millis(longest)),
    })
}

fn target_tls() -> impl Strategy<Value = TargetTls> {
    let verify = prop_oneof![
        Just(TlsVerify::None),
        Just(TlsVerify::Ca(TrustFile { file: SourceFile::at("/etc/elbow/ca.pem"), pem: "".into() })),
        vec(any::<[u8; 32]>().prop_map(PublicKeyPin), 1..4).prop_map(TlsVerify::Pinned),
    ];
    let server_name = option::of("[a-z]([a-z0-9-]{0,10}[a-z0-9])?(\\.[a-z]{2,5}){0,2}");
    (verify, server_name, option::of(name())).prop_map(|(verify, server_name, certificate)| TargetTls {
        verify,
        server_name: server_name.map(Into::into),
        certificate: certificate.map(|name| CertificateName::parse(&name).unwrap()),
    })
}

fn discovery() -> impl Strategy<Value = Discovery> {
    let text = || "[A-Za-z0-9:/._ -]{0,20}[a-z]".prop_map(|text| Arc::from(text.as_str()));
    let filters = (prop::collection::btree_map(text(), vec(text(), 1..3), 1..4), option::of(text()));
    let tags = (option::of(text()), option::of(text()), option::of(text()));
    let region = option::of("[a-z]{2}-[a-z]{4,9}-[1-9]".prop_map(|region| Arc::from(region.as_str())));
    (filters, region, any::<(bool, bool)>(), 1..=u16::MAX, tags, duration(1_000..=3_600_000)).prop_map(
        |((tags, asg), region, (is_public, set_instance_health), port, (port_tag, weight_tag, hook), interval)| {
            Discovery::Ec2(Ec2Discovery {
                tags,
                asg,
                region,
                address: if is_public { Ec2Address::Public } else { Ec2Address::Private },
                port: (!is_public || port_tag.is_none()).then_some(port),
                port_tag,
                weight_tag,
                interval,
                complete_lifecycle_action: hook,
                set_instance_health,
            })
        },
    )
}

fn target_group() -> impl Strategy<Value = TargetGroup> {
    let algorithm = prop::sample::select(vec![
        Algorithm::RoundRobin,
        Algorithm::LeastOutstandingRequests,
        Algorithm::RandomOfTwo,
        Algorithm::PeakEwma,
        Algorithm::WeightedRandom,
        Algorithm::ConsistentHash,
    ]);
    let hash_key = prop_oneof![
        Just(HashKey::SourceIp),
        Just(HashKey::Path),
        "[a-z0-9-]{1,20}".prop_map(|name| HashKey::Header(name.into())),
        "[A-Za-z0-9._-]{1,20}".prop_map(|name| HashKey::Cookie(name.into())),
    ];
    let all_unhealthy = prop_oneof![Just(WhenAllUnhealthy::FailOpen), Just(WhenAllUnhealthy::FailClosed)];
    let times = (
        duration(0..=3_600_000),
        duration(0..=300_000),
        duration(10..=300_000),
        duration(100..=86_400_000),
        duration(0..=3_600_000),
        duration(0..=3_600_000),
    );
    let counts = (0..=100_000usize, 0..=10_000_000usize, 0..=65_536usize);
    let send_proxy = prop::sample::select(vec![SendProxy::Off, SendProxy::V1, SendProxy::V2]);
    let speaks = (any::<bool>(), any::<bool>(), target_tls(), send_proxy);
    let live = (option::of(stickiness()), ejection(), health_check(), option::of(discovery()));
    (name(), speaks, (algorithm, hash_key), all_unhealthy, times, counts, live).prop_map(
        |(
            name,
            (is_stream, is_secure, tls, send_proxy),
            (algorithm, hash_key),
            when_all_unhealthy,
            times,
            counts,
            live,
        )| {
            let (stickiness, ejection, health_check, discovery) = live;
            let sticky_stream = |sticky: &Stickiness| sticky.by == StickyBy::SourceIp;
            let speaks_tls = is_secure || HealthCheckProtocol::is_over_tls(&health_check.protocol);
            TargetGroup {
                name: GroupName::parse(&name).unwrap(),
                protocol: match (is_stream, is_secure) {
                    (true, true) => TargetProtocol::Tls,
                    (true, false) => TargetProtocol::Tcp,
                    (false, true) => TargetProtocol::Https,
                    (false, false) => TargetProtocol::Http,
                },
                // In a group that speaks no TLS it has no place.
                tls: if speaks_tls { tls } else { TargetTls::default() },
                send_proxy,
                // Each of the two has a place in one of the two kinds of groups only.
                on_down: if is_stream { OnDown::Reset } else { OnDown::Keep },
                algorithm,
                hash_key: if is_stream { HashKey::SourceIp } else { hash_key },
                deregistration_delay: times.0,
                slow_start: times.5,
                when_all_unhealthy,
                initial_wait: times.1,
                connect_timeout: times.2,
                response_timeout: times.3,
                keepalive_timeout: times.4,
                idle_connections_max: counts.0,
                connections_max: counts.1,
                surge_queue_max: counts.2,
                stickiness: stickiness.filter(|sticky| !is_stream || sticky_stream(sticky)),
                ejection,
                health_check,
                discovery,
                zones: Default::default(),
            }
        },
    )
}

fn target() -> impl Strategy<Value = Target> {
    let host = prop_oneof![
        any::<std::net::Ipv4Addr>().prop_map(|address| address.to_string()),
        any::<std::net::Ipv6Addr>().prop_map(|address| format!("[{address}]")),
        "[a-z]([a-z0-9-]{0,10}[a-z0-9])?(\\.[a-z]{2,5}){0,2}",
    ];
    let address = (host, 1..=u16::MAX).prop_map(|(host, port)| HostPort::parse(&format!("{host}:{port}")).unwrap());
    ("[A-Za-z0-9._:\\[\\]-]{1,64}", address, 0..=1000u64, option::of("[a-z0-9-]{1,20}")).prop_map(
        |(id, address, weight, zone)| Target {
            id: TargetId::parse(&id).unwrap(),
            address,
            weight: Weight::new(weight).unwrap(),
            zone: zone.map(Arc::from),
        },
    )
}

fn global() -> impl Strategy<Value = Global> {
    let destination = prop_oneof![
        Just(AccessLogDestination::Off),
        Just(AccessLogDestination::Stdout),
        "/[a-z/]{1,20}".prop_map(|path| AccessLogDestination::File(path.into())),
    ];
    let format = prop_oneof![Just(AccessLogFormat::Json), Just(AccessLogFormat::Combined)];
    let known =
        |target: Target| (Arc::from(target.id.as_str()), Instance { host: target.address.host, zone: target.zone });
    let instances = vec(target().prop_map(known), 0..3).prop_map(|known| known.into_iter().collect());
    (0..=10_000_000usize, duration(0..=3_600_000), duration(0..=86_400_000), destination, format, instances).prop_map(
        |(connections_max, delay, timeout, destination, format, instances)| Global {
            instances,
            acme: None,
            connections_max,
            shutdown: Shutdown { delay, timeout },
            access_log: AccessLog { destination, format },
            ..Global::default()
        },
    )
}

fn process() -> impl Strategy<Value = ProcessSettings> {
    (option::of(socket_address()), any::<bool>(), option::of("/[a-z/]{1,20}"), 0..=1024usize, option::of(name()))
        .prop_map(|(admin_listen, open, state_dir, workers, certificate)| {
            let loopback = admin_listen.is_none_or(|listen| listen.ip().is_loopback());
            let admin_auth = if open && loopback { AdminAuth::None } else { AdminAuth::Required };
            let admin_certificate = certificate.map(|name| CertificateName::parse(&name).unwrap());
            ProcessSettings {
                admin_listen,
                admin_auth,
                admin_certificate,
                state_dir: state_dir.map(Into::into),
                workers,
            }
        })
}

fn declared() -> impl Strategy<Value = Declared> {
    let groups = vec((target_group(), vec(target(), 0..4)), 0..4);
    (global(), vec(listener(), 0..4), groups).prop_map(|(global, listeners, groups)| {
        let mut declared = Declared { global: Some(global), listeners, ..Declared::default() };
        for (group, targets) in groups {
            // In a document, a target stands in the group of its name.
            if declared.target_groups.iter().any(|other| other.name == group.name) {
                continue;
            }
            declared.targets.extend(targets.into_iter().map(|target| (group.name.clone(), target)));
            declared.target_groups.push(group);
        }
        declared
    })
}

/// Any JSON, with keys that mean something now and then.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,20}".prop_map(Value::from),
        "[0-9]{1,25}[a-zA-Z]{0,3}".prop_map(Value::from),
    ];
    let key = prop_oneof![
        "[a-z_/~]{0,8}",
        prop::sample::select(vec![
            "listener",
            "target_group",
            "target",
            "name",
            "bind",
            "health_check",
            "headers",
            "interval",
            "timeout",
            "admin",
            "id",
            "address",
            "weight",
            "trusted_proxies",
            "stickiness",
        ])
        .prop_map(str::to_owned),
    ];
    leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((key.clone(), inner), 0..6).prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn a_document_is_read_as_it_was_written(process in process(), declared in declared()) {
        let document = Document::of(&process, &declared);
        let json = serde_json::to_value(&document).unwrap();
        prop_assert_eq!(read_document(&json).unwrap(), (process, declared));
        let text = toml::to_string(&document).unwrap();
        let tree: toml::Table = toml::from_str(&text).unwrap();
        prop_assert_eq!(serde_json::to_value(tree).unwrap(), json);
    }

    #[test]
    fn an_object_is_read_as_it_was_written(listener in listener(), group in target_group(), target in target()) {
        let body = serde_json::to_value(schema::Listener::from(&listener)).unwrap();
        prop_assert_eq!(read_listener(&listener.name, &body).unwrap(), listener);
        let body = serde_json::to_value(schema::TargetGroup::from(&group)).unwrap();
        prop_assert_eq!(read_target_group(&group.name, &body).unwrap(), group);
        let body = serde_json::to_value(schema::Target::from(&target)).unwrap();
        prop_assert_eq!(read_target(&target.id, &body).unwrap(), target);
    }

    #[test]
    fn any_json_is_read_or_refused(document in any_json()) {
        if let Err(problems) = read_document(&document) {
            for problem in problems.iter() {
                // A place that is there, or the place of a key that is missing.
                let parent = problem.pointer.rsplit_once('/').map_or("", |(parent, _)| parent);
                prop_assert!(document.pointer(parent).is_some() || problem.detail.contains("missing"), "{problem}");
            }
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,60}(\\n\\PC{0,30}){0,4}", broken in "[\\[\\]{}=\",.a-z0-9$ \\n-]{0,60}") {
        for text in [text, broken] {
            if let Err(error) = control::file::parse("elbow.toml", &text, &|_| None) {
                let lines = text.split('\n').count();
                prop_assert!(error.problems().iter().all(|problem| (1..=lines).contains(&problem.line)));
                error.render(control::file::Style::Drawn { colour: true });
            }
        }
    }
}

#[test]
fn what_an_address_says_may_be_repeated_but_not_contradicted() {
    let web = ListenerName::parse("web").unwrap();
    let body = |name: &str| json!({ "name": name, "bind": "127.0.0.1:80", "target_group": "app" });
    assert!(read_listener(&web, &body("web")).is_ok());
    let problems = read_listener(&web, &body("wab")).unwrap_err();
    assert_eq!(problems.to_string(), "/name: wab is not web, as which it was addressed");
    let id = TargetId::parse("a").unwrap();
    assert!(read_target(&id, &json!({ "address": "10.0.0.1:80" })).is_ok());
    assert!(read_target(&id, &json!({ "id": "b", "address": "10.0.0.1:80" })).is_err());
}

#[test]
fn a_group_of_the_api_takes_no_targets() {
    let app = GroupName::parse("app").unwrap();
    let problems = read_target_group(&app, &json!({ "target": [] })).unwrap_err();
    let [problem] = &problems.iter().collect::<Vec<_>>()[..] else { panic!("{problems}") };
    assert_eq!(problem.pointer, "/target");
}

#[test]
fn a_group_without_stickiness_may_say_so() {
    let app = GroupName::parse("app").unwrap();
    for body in [json!({}), json!({ "stickiness": null })] {
        assert_eq!(read_target_group(&app, &body).unwrap().stickiness, None);
    }
    let by_default = read_target_group(&app, &json!({ "stickiness": {} })).unwrap().stickiness.unwrap();
    let by = StickyBy::LbCookie { name: CookieName::parse("ELBOW").unwrap(), duration: None };
    assert_eq!(by_default, Stickiness::new(by, OnUnavailable::Repick));
}

#[test]
fn a_missing_key_is_told_by_its_own_pointer() {
    let web = ListenerName::parse("web").unwrap();
    let problems = read_listener(&web, &json!({})).unwrap_err();
    let pointers: Vec<_> = problems.iter().map(|problem| problem.pointer.as_str()).collect();
    assert_eq!(pointers, ["/bind", "/target_group"]);
    assert!(read_listener(&web, &json!([])).unwrap_err().to_string().contains("expected a table"));
}
