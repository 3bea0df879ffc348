//! Every refusal is a problem document that says what is wrong, and where.

use http::Method;
use serde_json::json;

use crate::house::House;

const TARGET: &str = "/v1/target-groups/app/targets/a";

#[tokio::test]
async fn what_is_not_there_is_404() {
    let house = House::start().await;
    for path in [
        "/nothing",
        "/v1/nothing",
        "/v1/listeners/none",
        "/v1/target-groups/none",
        "/v1/target-groups/none/targets",
        "/v1/target-groups/app/targets/none",
        "/",
    ] {
        house.get(path).await.problem(404);
    }
    for path in ["/v1/listeners/none", "/v1/target-groups/none", "/v1/target-groups/app/targets/none"] {
        house.delete(path).await.problem(404);
    }
    house.post("/v1/target-groups/app/targets/none/drain").await.problem(404);
    house.put("/v1/target-groups/none/targets/a", &json!({"address": "127.0.0.1:80"})).await.problem(404);
}

#[tokio::test]
async fn a_method_that_is_not_there_is_405_and_says_which_are() {
    let house = House::start().await;
    for (method, path, allowed) in [
        (Method::POST, "/v1/config", vec!["GET", "HEAD"]),
        (Method::PATCH, TARGET, vec!["GET", "HEAD", "PUT", "DELETE"]),
        (Method::GET, "/v1/reload", vec!["POST"]),
        (Method::OPTIONS, "/v1/events", vec!["GET", "HEAD"]),
        (Method::DELETE, "/metrics", vec!["GET", "HEAD"]),
    ] {
        let answer = house.ask(method, path).send().await;
        answer.problem(405);
        let mut said: Vec<_> = answer.header("allow").split(',').map(str::trim).collect();
        let mut allowed = allowed;
        said.sort_unstable();
        allowed.sort_unstable();
        assert_eq!(said, allowed, "{path}");
    }
}

#[tokio::test]
async fn a_body_must_be_json_of_a_bounded_size() {
    let house = House::start().await;
    let ask = || house.ask(Method::PUT, TARGET);
    ask().send().await.problem(415);
    ask().body("text/plain", b"{}".to_vec()).send().await.problem(415);
    ask().body("application/x-www-form-urlencoded", b"address=x".to_vec()).send().await.problem(415);
    for broken in ["", "{", "{\"address\": }", "nonsense", "{} {}"] {
        let problem = ask().body("application/json; charset=utf-8", broken.into()).send().await.problem(400);
        assert!(problem["detail"].as_str().unwrap().contains("JSON"), "{problem}");
    }
    let deep = "[".repeat(100_000);
    ask().body("application/json", deep.into()).send().await.problem(400);
    let long = format!("{{\"address\": \"{}\"}}", "x".repeat(1 << 20));
    ask().body("application/json", long.into()).send().await.problem(413);
}

#[tokio::test]
async fn what_is_not_legal_is_422_and_points_at_the_field() {
    let house = House::start().await;
    for (body, pointer) in [
        (json!({"address": "127.0.0.1:80", "wieght": 3}), "/wieght"),
        (json!({"address": "127.0.0.1:80", "weight": 1001}), "/weight"),
        (json!({"address": "127.0.0.1"}), "/address"),
        (json!({"address": 80}), "/address"),
        (json!({"address": "127.0.0.1:80", "id": "b"}), "/id"),
    ] {
        let problem = house.put(TARGET, &body).await.problem(422);
        assert_eq!(problem["pointer"], pointer, "{problem}");
    }
    house.put(TARGET, &json!([])).await.problem(422);
    let unknown = house.put(TARGET, &json!({"address": "127.0.0.1:80", "wieght": 3})).await.problem(422);
    assert!(unknown.to_string().contains("did you mean `weight`"), "no suggestion in {unknown}");

    let group = json!({"target": [{"address": "127.0.0.1:80"}]});
    assert_eq!(house.put("/v1/target-groups/new", &group).await.problem(422)["pointer"], "/target");
    let later = json!({"health_check": {"interval": "1h"}, "discovery": {}});
    let problem = house.put("/v1/target-groups/new", &later).await.problem(422);
    assert_eq!(problem["errors"].as_array().unwrap().len(), 2, "{problem}");
    assert!(problem.to_string().contains("`ec2` is missing"), "{problem}");
    assert!(house.get("/v1/target-groups/new").await.status == 404, "a refused group was made");
}

#[tokio::test]
async fn names_and_queries_are_checked() {
    let house = House::start().await;
    house.get("/v1/listeners/with%20space").await.problem(400);
    house.get("/v1/target-groups/%FF").await.problem(400);
    house.get("/v1/target-groups/app/targets/a%2Fb").await.problem(400);
    let body = json!({"address": "127.0.0.1:80"});
    for query in [
        "wait=drained",
        "wait=",
        "wait=healthy&timeout=30",
        "wait=healthy&timeout=2h",
        "wait=healthy&timeout=-1s",
        "timeout=1s",
        "weit=healthy",
        "wait=healthy&wait=healthy",
    ] {
        house.put(&format!("{TARGET}?{query}"), &body).await.problem(400);
    }
    assert_eq!(house.state("app", "a"), None, "a refused target was registered");
}

#[tokio::test]
async fn what_belongs_to_the_file_is_refused_with_its_owner() {
    let house = House::start().await;
    let file_target = "/v1/target-groups/app/targets/from-file";
    let refused = [
        house.delete("/v1/listeners/web").await,
        house.delete("/v1/target-groups/app").await,
        house.put("/v1/target-groups/app", &json!({"algorithm": "round_robin"})).await,
        house.put("/v1/listeners/web", &json!({"bind": "127.0.0.1:0", "target_group": "app"})).await,
        house.delete(file_target).await,
        house.put(file_target, &json!({"address": "127.0.0.1:2"})).await,
        house.put(file_target, &json!({"address": "127.0.0.1:1", "zone": "z"})).await,
    ];
    for answer in refused {
        let problem = answer.problem(409);
        assert!(problem["detail"].as_str().unwrap().contains("belongs to file"), "{problem}");
        assert_eq!(problem["type"], "urn:elbow:problem:owned-elsewhere");
    }
}

#[tokio::test]
async fn the_elb_api_is_at_the_root_and_wants_signatures() {
    let house = House::start().await;
    let form = house.ask(Method::POST, "/").without("authorization");
    let form = form.body("application/x-www-form-urlencoded", b"Action=DescribeLoadBalancers".to_vec());
    let query = house.ask(Method::GET, "/?Version=2012-06-01&Action=DescribeLoadBalancers").without("authorization");
    for request in [form, query] {
        let answer = request.send().await;
        assert_eq!(answer.status, 403);
        assert!(answer.text().contains("<Code>MissingAuthenticationToken</Code>"), "{}", answer.text());
    }
    house.ask(Method::GET, "/").send().await.problem(404);
}
