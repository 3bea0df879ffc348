//! Holds what is written for users to what the program does: every file they may copy is valid, and the reference of
//! the configuration is complete and tells the real defaults.

use control::file::{self, Loaded};
use control::schema::Document;
use serde_json::Value;

fn read(path: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn parse(name: &str, text: &str) -> Loaded {
    file::parse(name, text, &|_| None).unwrap_or_else(|error| panic!("{error}"))
}

/// The blocks of a document that are fenced as `kind`.
fn blocks<'t>(text: &'t str, kind: &str) -> Vec<&'t str> {
    let fence = format!("```{kind}\n");
    let block = |rest: &'t str| rest.split_once("\n```").map(|(block, _)| block);
    text.split(&fence).skip(1).filter_map(block).collect()
}

/// Every key, as `listener/0/bind`.
fn keys(tree: &Value, place: &str, into: &mut Vec<String>) {
    let children: Vec<(String, &Value)> = match tree {
        Value::Object(table) => table.iter().map(|(key, value)| (key.clone(), value)).collect(),
        Value::Array(list) => list.iter().enumerate().map(|(index, value)| (index.to_string(), value)).collect(),
        _ => return,
    };
    for (key, value) in children {
        let place = format!("{place}/{key}");
        keys(value, &place, into);
        into.push(place);
    }
}

#[test]
fn the_reference_of_the_configuration_tells_the_real_defaults() {
    let text = read("docs/configuration.md");
    let reference = parse("docs/configuration.md", blocks(&text, "toml")[0]);
    let least = r#"
        state.dir = "/var/lib/elbow"
        [[listener]]
        name = "web"
        bind = "0.0.0.0:8080"
        target_group = "app"
        [[target_group]]
        name = "app"
        stickiness = {}
        health_check = {}
        target = [{ address = "10.0.0.11:80" }]
    "#;
    assert_eq!(reference, parse("the least", least));
}

#[test]
fn the_reference_of_the_configuration_is_complete() {
    let text = read("docs/configuration.md");
    let reference = blocks(&text, "toml")[0];
    let written: Value = toml::from_str(reference).expect("TOML");
    let loaded = parse("docs/configuration.md", reference);
    let whole = serde_json::to_value(Document::of(&loaded.process, &loaded.declared)).expect("JSON");
    let (mut written_keys, mut all_keys) = (Vec::new(), Vec::new());
    keys(&written, "", &mut written_keys);
    keys(&whole, "", &mut all_keys);
    let missing: Vec<_> = all_keys.iter().filter(|key| !written_keys.contains(key)).collect();
    assert!(missing.is_empty(), "docs/configuration.md does not tell of {missing:?}");
}

#[test]
fn files_to_copy_are_valid() {
    parse("contrib/elbow.toml", &read("contrib/elbow.toml"));
    let readme = read("README.md");
    let examples = blocks(&readme, "toml");
    assert!(!examples.is_empty());
    for example in examples {
        parse("README.md", example);
    }
}

#[test]
fn the_readme_knows_every_verb() {
    use clap::CommandFactory;
    let readme = read("README.md");
    for verb in crate::cli::Cli::command().get_subcommands().filter(|verb| !verb.is_hide_set()) {
        let name = format!("`elbow {}", verb.get_name());
        assert!(readme.contains(&name), "README.md does not tell of {name}`");
    }
}
