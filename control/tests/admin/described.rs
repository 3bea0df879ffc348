//! The OpenAPI document against what the API does: every operation is walked, and every answer is checked against what
//! is said of it.

use std::collections::BTreeSet;

use http::Method;
use serde_json::{Value, json};

use lb::state::{TargetState, Verdict};

use crate::house::{Answer, House, eventually};

struct Described {
    document: Value,
}

impl Described {
    async fn of(house: &House) -> Self {
        let document = house.get("/v1/openapi.json").await.json(200);
        assert!(document["openapi"].as_str().unwrap().starts_with("3."), "{document}");
        Self { document }
    }

    /// Every path with its method.
    fn operations(&self) -> Vec<(String, Method)> {
        let paths = self.document["paths"].as_object().unwrap().iter();
        let operations = paths.flat_map(|(path, item)| {
            let methods = item.as_object().unwrap().keys();
            methods.map(move |method| (path.clone(), method.to_uppercase().parse().unwrap()))
        });
        operations.collect()
    }

    /// Checks an answer against what is said of the operation: its status, its media type, its body, its tag.
    fn check(&self, path: &str, method: &Method, answer: &Answer) {
        let what = format!("{method} {path} -> {}", answer.status);
        let operation = &self.document["paths"][path][method.as_str().to_lowercase()];
        let response = &operation["responses"][answer.status.as_str()];
        assert!(response.is_object(), "{what} is not described: {}", answer.text());
        if let Some(headers) = response["headers"].as_object() {
            for name in headers.keys() {
                assert!(answer.headers.contains_key(name), "{what} lacks {name}");
            }
        }
        let tagged = response["headers"].as_object().is_some_and(|headers| headers.contains_key("ETag"));
        assert_eq!(answer.headers.contains_key("etag"), tagged, "{what} has a tag that is not described");
        let Some(content) = response["content"].as_object() else {
            assert!(answer.body.is_empty(), "{what} has a body that is not described: {}", answer.text());
            return;
        };
        let essence = |media: &str| media.split(';').next().unwrap_or_default().to_owned();
        let media = essence(answer.header("content-type"));
        let described = content.iter().find(|(name, _)| essence(name) == media);
        let (_, described) = described.unwrap_or_else(|| panic!("{what} has media type {media}"));
        if media.ends_with("json") {
            let body: Value = serde_json::from_slice(&answer.body).unwrap();
            if let Err(wrong) = self.fits(&described["schema"], &body) {
                panic!("{what}: {wrong}\n{body:#}");
            }
        }
    }

    fn resolved<'a>(&'a self, schema: &'a Value) -> &'a Value {
        match schema["$ref"].as_str() {
            Some(reference) => {
                let found = self.document.pointer(reference.trim_start_matches('#'));
                found.unwrap_or_else(|| panic!("{reference} leads nowhere"))
            }
            None => schema,
        }
    }

    /// Checks a value against a schema: types, required keys, and that every key is described.
    fn fits(&self, schema: &Value, value: &Value) -> Result<(), String> {
        let schema = self.resolved(schema);
        if let Some(variants) = schema["oneOf"].as_array() {
            let fitting = variants.iter().any(|variant| self.fits(variant, value).is_ok());
            return if fitting { Ok(()) } else { Err(format!("{value} fits no variant")) };
        }
        if let Some(object) = value.as_object() {
            let (known, required, free) = self.keys(schema);
            if let Some(missing) = required.iter().find(|key| !object.contains_key(**key)) {
                return Err(format!("{missing} is missing"));
            }
            for (key, value) in object {
                match known.iter().find(|(name, _)| name == key) {
                    Some((_, schema)) => self.fits(schema, value).map_err(|wrong| format!("{key}: {wrong}"))?,
                    None if free => {}
                    None => return Err(format!("{key} is not described")),
                }
            }
        }
        if let (Some(items), Some(_)) = (value.as_array(), schema.get("items")) {
            return items.iter().try_for_each(|item| self.fits(&schema["items"], item));
        }
        let types: BTreeSet<_> = match &schema["type"] {
            Value::String(only) => [only.as_str()].into(),
            Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
            _ => return Ok(()),
        };
        let actual = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(number) if number.is_f64() => "number",
            Value::Number(_) => "integer",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        if types.contains(actual) { Ok(()) } else { Err(format!("{value} is no {types:?}")) }
    }

    /// The keys of an object, those that must be there, and whether others may be.
    fn keys<'a>(&'a self, schema: &'a Value) -> (Vec<(String, &'a Value)>, Vec<&'a str>, bool) {
        let schema = self.resolved(schema);
        let (mut known, mut required) = (Vec::new(), Vec::new());
        for part in schema["allOf"].as_array().into_iter().flatten() {
            let (more, also, _) = self.keys(part);
            known.extend(more);
            required.extend(also);
        }
        let own = schema["properties"].as_object();
        known.extend(own.into_iter().flatten().map(|(key, schema)| (key.clone(), schema)));
        required.extend(schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str));
        let free = known.is_empty();
        (known, required, free)
    }
}

/// A path of the document, about something that is there or not.
fn filled(path: &str, there: bool) -> String {
    let name = match (there, path.starts_with("/v1/listeners")) {
        (true, true) => "l",
        (true, false) => "g",
        (false, _) => "none",
    };
    path.replace("{name}", name).replace("{id}", if there { "t" } else { "none" })
}

fn body_for(path: &str) -> Value {
    match path {
        "/v1/listeners/{name}" => json!({"bind": "127.0.0.1:0", "target_group": "g"}),
        "/v1/target-groups/{name}" => json!({"deregistration_delay": "1s", "stickiness": {"duration": "1h"}}),
        "/v1/state" => Value::Null,
        _ => json!({"address": "127.0.0.1:80"}),
    }
}

async fn furnish(house: &House) {
    house.put("/v1/target-groups/g", &json!({})).await;
    house.put("/v1/target-groups/g/targets/t", &json!({"address": "127.0.0.1:80", "zone": "z"})).await;
    house.put("/v1/listeners/l", &json!({"bind": "127.0.0.1:0", "target_group": "g"})).await;
}

#[tokio::test]
async fn every_operation_answers_as_it_is_described() {
    let house = House::start().await;
    let described = Described::of(&house).await;
    let operations = described.operations();
    assert!(operations.len() > 20, "{operations:?}");
    for (path, method) in operations {
        furnish(&house).await;
        let open = !path.starts_with("/v1");
        let mut asks = Vec::new();
        for there in [true, false] {
            let ask = house.ask(method.clone(), &filled(&path, there));
            let foreign = ask.clone().header("origin", "https://evil.example");
            asks.extend([ask.clone().without("authorization"), foreign]);
            if method == Method::PUT {
                let body = if path == "/v1/state" { house.get("/v1/state").await.json(200) } else { body_for(&path) };
                asks.push(ask.clone().header("if-match", "\"0\"").json(&body));
                asks.push(ask.clone().body("application/json", b"{".to_vec()));
                asks.push(ask.clone().body("text/plain", b"{}".to_vec()));
                asks.push(ask.clone().json(&json!({"unknown": 1})));
                asks.push(ask.clone().body("application/json", vec![b' '; (64 << 20) + 1]));
                asks.push(ask.clone().json(&body));
                asks.push(ask.json(&body));
            } else if path == "/v1/events" {
                // Its answer has no end; the stream has tests of its own.
            } else if method == Method::DELETE {
                asks.push(ask.clone().header("if-match", "\"0\""));
                asks.push(ask.clone());
                asks.push(ask);
            } else {
                if path == "/v1/cookie-keys/rotate" {
                    asks.push(ask.clone().header("if-match", "\"0\""));
                    asks.push(ask.clone().header("if-match", "0"));
                }
                asks.push(ask);
            }
        }
        for ask in asks {
            let answer = ask.send().await;
            assert!(open || answer.status != 401 || answer.headers.contains_key("www-authenticate"));
            described.check(&path, &method, &answer);
        }
    }
}

#[tokio::test]
async fn waits_answer_as_they_are_described() {
    let house = House::start().await;
    let described = Described::of(&house).await;
    furnish(&house).await;
    let path = "/v1/target-groups/{name}/targets/{id}";
    for (method, query) in [
        (Method::PUT, "wait=healthy&timeout=10ms"),
        (Method::PUT, "wait=nonsense"),
        (Method::DELETE, "wait=drained&timeout=10s"),
    ] {
        let ask = house.ask(method.clone(), &format!("{}?{query}", filled(path, true)));
        let ask = if method == Method::PUT { ask.json(&body_for(path)) } else { ask };
        described.check(path, &method, &ask.send().await);
    }
}

#[tokio::test]
async fn every_path_and_name_of_the_interface_is_described() {
    let house = House::start().await;
    let described = Described::of(&house).await;
    let operations = described.operations();
    for (path, methods) in [
        ("/healthz", "GET"),
        ("/readyz", "GET"),
        ("/metrics", "GET"),
        ("/v1/openapi.json", "GET"),
        ("/v1/config", "GET"),
        ("/v1/listeners", "GET"),
        ("/v1/listeners/{name}", "GET PUT DELETE"),
        ("/v1/target-groups", "GET"),
        ("/v1/target-groups/{name}", "GET PUT DELETE"),
        ("/v1/target-groups/{name}/targets", "GET"),
        ("/v1/target-groups/{name}/targets/{id}", "GET PUT DELETE"),
        ("/v1/target-groups/{name}/targets/{id}/drain", "POST"),
        ("/v1/target-groups/{name}/targets/{id}/undrain", "POST"),
        ("/v1/cookie-keys", "GET"),
        ("/v1/cookie-keys/rotate", "POST"),
        ("/v1/reload", "POST"),
        ("/v1/events", "GET"),
        ("/v1/explain", "GET POST"),
        ("/v1/state", "GET PUT"),
    ] {
        for method in methods.split(' ') {
            let operation = (path.to_owned(), method.parse().unwrap());
            assert!(operations.contains(&operation), "{method} {path} is not described");
        }
    }
    let mut ids = BTreeSet::new();
    for item in described.document["paths"].as_object().unwrap().values() {
        for operation in item.as_object().unwrap().values() {
            assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{operation}");
            let id = operation["operationId"].as_str().unwrap();
            assert!(ids.insert(id), "{id} names two operations");
        }
    }
}

#[tokio::test]
async fn explanations_answer_as_they_are_described() {
    let house = House::start().await;
    let described = Described::of(&house).await;
    furnish(&house).await;
    house.observe("g", "t", Verdict::Healthy);
    eventually("the target to be healthy", async || house.state("g", "t") == Some(TargetState::Healthy)).await;
    for (query, status) in [("?request=unknown", 404), ("", 400), ("?request=a&other=b", 400)] {
        let answer = house.get(&format!("/v1/explain{query}")).await;
        assert_eq!(answer.status, status, "{}", answer.text());
        described.check("/v1/explain", &Method::GET, &answer);
    }
    for (body, status) in [
        (json!({"target_group": "g"}), 200),
        (json!({"target_group": "g", "listener": "l", "source": "::1", "method": "POST"}), 200),
        (json!({"target_group": "g", "path": "/a?b", "headers": ["Host: h", "Cookie: ELBOW=forged"]}), 200),
        (json!({"target_group": "app"}), 200),
        (json!({"target_group": "none"}), 404),
        (json!({"target_group": "g", "listener": "none"}), 404),
        (json!({"target_group": "g", "listener": "web"}), 422),
        (json!({"target_group": "g", "path": "no path"}), 422),
        (json!({"target_group": "g", "headers": ["A: b\r\nTransfer-Encoding: chunked"]}), 422),
        (json!({"target_group": "g", "headers": ["no field"]}), 422),
        (json!({"target_group": "g", "source": "nowhere"}), 422),
        (json!({"target_group": "g", "weight": 1}), 422),
        (json!({"target_group": "/"}), 422),
        (json!({}), 422),
    ] {
        let answer = house.ask(Method::POST, "/v1/explain").json(&body).send().await;
        assert_eq!(answer.status, status, "{body}: {}", answer.text());
        described.check("/v1/explain", &Method::POST, &answer);
    }
}
