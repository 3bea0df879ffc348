//! Whose requests are taken: Signature Version 4 in the header and in the query, and every way to get it wrong.

use std::time::{Duration, SystemTime};

use http::Method;

use crate::caller::{Call, KEY, SESSION, Scene};

const CREATE: &str = "LoadBalancerName=web&AvailabilityZones.member.1=us-east-1a&Listeners.member.1.Protocol=HTTP&\
                      Listeners.member.1.LoadBalancerPort=8080&Listeners.member.1.InstancePort=80";

fn create() -> Call {
    Call::of("CreateLoadBalancer", CREATE)
}

fn describe() -> Call {
    Call::of("DescribeLoadBalancers", "")
}

/// The status and the code of a refusal that changed nothing.
async fn code(scene: &Scene, call: Call) -> String {
    code_of(&scene.unchanged(call).await)
}

fn code_of(refusal: &str) -> String {
    let (_, rest) = refusal.split_once("<Code>").unwrap();
    format!("{} {}", &refusal[..3], rest.split_once('<').unwrap().0)
}

async fn is_taken(scene: &Scene, call: Call) {
    let answer = scene.send(call).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[tokio::test]
async fn what_is_signed_is_taken() {
    let scene = Scene::start().await;
    is_taken(&scene, create()).await;
    is_taken(&scene, describe().get()).await;
    is_taken(&scene, describe().presigned()).await;
    is_taken(&scene, describe().get().presigned()).await;
    is_taken(&scene, Call { payload_header: true, ..describe() }).await;
    let spaced = ("x-custom".to_owned(), "  a   b  ".to_owned());
    is_taken(&scene, Call { headers: vec![spaced], ..describe() }).await;
    let own = std::fs::read_to_string(scene.house.file.with_file_name("state").join("aws-credentials")).unwrap();
    let value = |name: &str| own.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = ")).unwrap();
    is_taken(&scene, describe().key(value("aws_access_key_id"), value("aws_secret_access_key"))).await;
}

#[tokio::test]
async fn queries_are_signed_in_any_order_and_with_any_characters() {
    let scene = Scene::start().await;
    is_taken(&scene, create()).await;
    for parameters in [
        "Version=2012-06-01&LoadBalancerNames.member.1=web&Action=DescribeLoadBalancers",
        "Action=DescribeLoadBalancers&Version=2012-06-01&Unknown=a%2Bb%2Fc%20d%7E%C3%BC%26%3D&A=1&a=2&B=",
        "Version=2012-06-01&Z=2&Z=1&Action=DescribeLoadBalancers",
    ] {
        let call = Call { parameters: parameters.to_owned(), ..describe().get() };
        is_taken(&scene, call.clone()).await;
        is_taken(&scene, call.presigned()).await;
    }
}

#[tokio::test]
async fn repeated_headers_are_signed_as_one() {
    let scene = Scene::start().await;
    let header = |value: &str| ("x-many".to_owned(), value.to_owned());
    // Signed as they are joined, sent one by one.
    let joined = scene.signed(&Call { headers: vec![header("one,two")], ..describe() });
    let answer = joined.without("x-many").header("x-many", "one").header("x-many", "two").send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[tokio::test]
async fn a_session_is_known_by_its_token() {
    let scene = Scene::start().await;
    let (id, secret, token) = SESSION;
    let of_session = |token: &str| Call { token: Some(token.to_owned()), ..create().key(id, secret) };
    assert_eq!(code(&scene, create().key(id, secret)).await, "403 InvalidClientTokenId");
    assert_eq!(code(&scene, of_session("another")).await, "403 InvalidClientTokenId");
    assert_eq!(code(&scene, of_session("another").get().presigned()).await, "403 InvalidClientTokenId");
    let no_session = Call { token: Some(token.to_owned()), ..create() };
    assert_eq!(code(&scene, no_session).await, "403 InvalidClientTokenId");
    is_taken(&scene, of_session(token)).await;
    is_taken(&scene, of_session(token).get().presigned()).await;
}

#[tokio::test]
async fn a_wrong_signature_is_refused_and_changes_nothing() {
    let scene = Scene::start().await;
    for spoil in
        [|call| call, |call: Call| call.get(), |call: Call| call.presigned(), |call: Call| call.get().presigned()]
            as [fn(Call) -> Call; 4]
    {
        let wrong_secret = spoil(create().key(KEY.0, "another"));
        assert_eq!(code(&scene, wrong_secret).await, "403 SignatureDoesNotMatch");
        let unknown_key = spoil(create().key("AKIANOBODY", KEY.1));
        assert_eq!(code(&scene, unknown_key).await, "403 InvalidClientTokenId");
        let wrong_service = spoil(Call { service: "ec2".to_owned(), ..create() });
        assert_eq!(code(&scene, wrong_service).await, "403 SignatureDoesNotMatch");
        for region in ["US East", "us/east", &"a".repeat(65)] {
            let wrong_region = spoil(Call { region: region.to_owned(), ..create() });
            assert_eq!(code(&scene, wrong_region).await, "403 SignatureDoesNotMatch", "{region}");
        }
    }
}

#[tokio::test]
async fn what_is_changed_after_it_was_signed_is_refused() {
    let scene = Scene::start().await;
    let other = create().parameters.replace("web", "wob");
    let call = Call { payload_header: false, ..create() };
    let posted = scene.signed(&call).raw_body(other.clone().into_bytes()).send().await;
    assert_eq!((posted.status.as_u16(), posted.text().contains("SignatureDoesNotMatch")), (403, true));
    let hashed = Call { payload_header: true, ..create() };
    let posted = scene.signed(&hashed).raw_body(other.into_bytes()).send().await;
    assert_eq!((posted.status.as_u16(), posted.text().contains("SignatureDoesNotMatch")), (403, true));
    // A hash that nobody computed is no way round.
    let unsigned = ("x-amz-content-sha256".to_owned(), "UNSIGNED-PAYLOAD".to_owned());
    assert_eq!(code(&scene, Call { headers: vec![unsigned], ..create() }).await, "403 SignatureDoesNotMatch");
    let host = scene.signed(&create()).without("host").header("host", "127.0.0.1:1").send().await;
    assert_eq!((host.status.as_u16(), host.text().contains("SignatureDoesNotMatch")), (403, true));
    assert!(scene.done("DescribeLoadBalancers", "").await.contains("<LoadBalancerDescriptions/>"));
}

#[tokio::test]
async fn a_signature_holds_for_a_few_minutes() {
    let scene = Scene::start().await;
    let (now, minutes) = (SystemTime::now(), |count: u64| Duration::from_secs(60 * count));
    for at in [now - minutes(6), now + minutes(6), now - minutes(60 * 24)] {
        assert_eq!(code(&scene, Call { at, ..create() }).await, "403 SignatureDoesNotMatch");
        assert_eq!(code(&scene, Call { at, ..create().get() }).await, "403 SignatureDoesNotMatch");
    }
    // In a query it holds for as long as it says.
    let expired = Call { at: now - Duration::from_secs(61), ..create().get().presigned() };
    assert_eq!(code(&scene, expired).await, "403 SignatureDoesNotMatch");
    let early = Call { at: now + minutes(6), ..create().get().presigned() };
    assert_eq!(code(&scene, early).await, "403 SignatureDoesNotMatch");
    let long = Call { at: now, expires_in: Some(minutes(60 * 24 * 8)), ..create().get() };
    assert_eq!(code(&scene, long).await, "400 IncompleteSignature");
    is_taken(&scene, Call { at: now - minutes(4), ..describe() }).await;
    is_taken(&scene, Call { at: now + minutes(4), ..describe() }).await;
    is_taken(&scene, Call { at: now - minutes(50), expires_in: Some(minutes(60)), ..describe().get() }).await;
}

#[tokio::test]
async fn what_is_not_signed_or_not_whole_is_refused() {
    let scene = Scene::start().await;
    let before = scene.house.live.load().config.revision;
    let signed = || scene.signed(&create());
    let authorization = |value: &str| signed().without("authorization").header("authorization", value);
    let scope = "Credential=AKIAEXAMPLE/20261123/us-east-1/elasticloadbalancing/aws4_request";
    for (ask, expected) in [
        (signed().without("authorization"), "403 MissingAuthenticationToken"),
        (signed().without("x-amz-date"), "400 IncompleteSignature"),
        (authorization("Basic YTpi"), "400 IncompleteSignature"),
        (authorization(""), "400 IncompleteSignature"),
        (authorization("AWS4-HMAC-SHA256 "), "400 IncompleteSignature"),
        (authorization(&format!("AWS4-HMAC-SHA256 {scope}, SignedHeaders=host;x-amz-date")), "400 IncompleteSignature"),
        (authorization(&format!("AWS4-HMAC-SHA256 {scope}, Signature=00")), "400 IncompleteSignature"),
        (
            authorization("AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE, SignedHeaders=host, Signature=00"),
            "400 IncompleteSignature",
        ),
        (
            authorization(&format!("AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature=00")),
            "403 SignatureDoesNotMatch",
        ),
        (
            authorization(&format!("AWS4-HMAC-SHA256 {scope}5, SignedHeaders=host;x-amz-date, Signature=00")),
            "403 SignatureDoesNotMatch",
        ),
    ] {
        let answer = ask.send().await;
        let refusal = format!("{} {}", answer.status.as_u16(), answer.text());
        assert_eq!(code_of(&refusal), expected, "{refusal}");
    }
    assert_eq!(scene.house.live.load().config.revision, before);
}

#[tokio::test]
async fn signatures_of_version_2_are_not_supported() {
    let scene = Scene::start().await;
    let query = format!(
        "/?{}&SignatureVersion=2&SignatureMethod=HmacSHA256&AWSAccessKeyId=AKIA&Signature=x",
        create().parameters
    );
    let answer = scene.house.ask(Method::GET, &query).without("authorization").send().await;
    assert_eq!(code_of(&format!("{} {}", answer.status.as_u16(), answer.text())), "400 UnsupportedProtocol");
}

#[tokio::test]
async fn each_account_and_region_has_its_own() {
    let scene = Scene::start().await;
    is_taken(&scene, create()).await;
    let count = async |call: Call| scene.send(call).await.text().matches("<LoadBalancerName>").count();
    assert_eq!(count(describe()).await, 1);
    assert_eq!(count(Call { region: "eu-west-1".to_owned(), ..describe() }).await, 0);
    assert_eq!(count(describe().key("AKIAOTHER", "other")).await, 0);
    let other = CREATE.replace("8080", "8081");
    is_taken(&scene, Call { region: "eu-west-1".to_owned(), ..Call::of("CreateLoadBalancer", &other) }).await;
    assert_eq!((count(describe()).await, count(Call { region: "eu-west-1".to_owned(), ..describe() }).await), (1, 1));
}
