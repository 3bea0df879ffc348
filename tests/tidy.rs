//! The house rules that a machine can check, as tests over the source tree: arrows between crates and modules, purity,
//! bounded queues, no hidden state, documented files, functions of a screen. Formatting is `cargo fmt`'s, style is
//! clippy's; here stands what neither knows.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const LINES_PER_FILE_MAX: usize = 500;
const LINES_PER_FUNCTION_MAX: usize = 70;

/// Files over [`LINES_PER_FILE_MAX`] lines, each with the reason why it stays whole.
const LONG_FILES: &[(&str, &str)] = &[];

/// Functions over [`LINES_PER_FUNCTION_MAX`] lines as `file::function`, each with the reason why it stays whole.
const LONG_FUNCTIONS: &[(&str, &str)] = &[(
    "src/app.rs::start",
    "the one wiring function: all parts are made and joined in the order in which it reads from top to bottom",
)];

/// Where the rules hold.
const ROOTS: &[&str] = &["src", "lb/src", "health/src", "control/src", "benches/src", "tests"];

/// This file spells out what it forbids.
const SELF: &str = "tests/tidy.rs";

struct Source {
    path: String,
    text: String,
}

impl Source {
    /// Each line with its number, comments left out.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().enumerate().map(|(index, line)| (index + 1, line));
        lines.filter_map(|(number, line)| {
            let line = line.trim_start();
            (!line.starts_with("//")).then(|| (number, line.split(" // ").next().unwrap_or(line)))
        })
    }

    fn lies_in(&self, place: &str) -> bool {
        self.path.starts_with(place)
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources() -> Vec<Source> {
    let mut files = Vec::new();
    ROOTS.iter().for_each(|place| collect(&root().join(place), &mut files));
    files.sort();
    let read = |file: PathBuf| {
        let path = file.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
        Source { text: std::fs::read_to_string(&file).unwrap(), path }
    };
    let sources: Vec<_> = files.into_iter().map(read).filter(|source| source.path != SELF).collect();
    assert!(sources.len() > 20, "the source tree was not found");
    sources
}

fn collect(place: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(place).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

/// Refuses every line of code in files that `applies` names for which `broken` says why.
fn refuse(applies: impl Fn(&Source) -> bool, broken: impl Fn(&str) -> Option<String>) {
    let mut found = Vec::new();
    for source in sources().iter().filter(|source| applies(source)) {
        for (number, line) in source.code() {
            if let Some(why) = broken(line) {
                found.push(format!("{}:{number}: {why}\n    {line}", source.path));
            }
        }
    }
    assert!(found.is_empty(), "{} lines break a house rule:\n{}", found.len(), found.join("\n"));
}

/// Whether `line` names something as the start of a path (`name::`) or imports it.
fn names(line: &str, name: &str) -> bool {
    let standalone = |index: usize| {
        let before = line[..index].chars().next_back();
        !before.is_some_and(|before| before.is_alphanumeric() || "_:.".contains(before))
    };
    let path = format!("{name}::");
    line.match_indices(&path).any(|(index, _)| standalone(index))
        || [format!("use {name};"), format!("use {name} as"), format!("extern crate {name}")]
            .iter()
            .any(|import| line.contains(import.as_str()))
}

/// Whether `line` names a module of its own crate: `crate::name` or, in another crate, `lb::name`.
fn names_module(line: &str, name: &str) -> bool {
    ["crate", "lb"].iter().any(|from| {
        let path = format!("{from}::{name}");
        line.match_indices(&path).any(|(index, _)| {
            !line[index + path.len()..].starts_with(|next: char| next.is_alphanumeric() || next == '_')
        })
    })
}

fn names_any(line: &str, forbidden: &[&str], what: &str) -> Option<String> {
    let named = forbidden.iter().find(|name| names(line, name))?;
    Some(format!("{what} does not name `{named}`"))
}

#[test]
fn crates_point_one_way() {
    let arrows: &[(&str, &[&str])] = &[
        ("lb/src", &["health", "control", "elbow"]),
        ("health/src", &["control", "elbow"]),
        ("control/src", &["health", "elbow"]),
    ];
    for (place, forbidden) in arrows {
        // Modules of a crate may be called `health`; a path that starts there is the crate's own when it is declared.
        let own: BTreeSet<_> = forbidden.iter().filter(|name| declares_module(place, name)).collect();
        let forbidden: Vec<_> = forbidden.iter().filter(|name| !own.contains(name)).copied().collect();
        refuse(|source| source.lies_in(place), |line| names_any(line, &forbidden, place));
    }
    for (manifest, forbidden) in arrows {
        let manifest = manifest.replace("src", "Cargo.toml");
        let text = std::fs::read_to_string(root().join(&manifest)).unwrap();
        for name in *forbidden {
            let depends = |line: &str| line.starts_with(&format!("{name}.")) || line.starts_with(&format!("{name} ="));
            assert!(!text.lines().any(depends), "{manifest} depends on {name}");
        }
    }
}

fn declares_module(place: &str, name: &str) -> bool {
    root().join(place).join(name).exists() || root().join(place).join(format!("{name}.rs")).exists()
}

#[test]
fn one_file_wires_everything() {
    let all_three = |source: &&Source| {
        ["lb", "health", "control"].iter().all(|name| source.code().any(|(_, line)| names(line, name)))
    };
    let sources = sources();
    let wiring: Vec<_> = sources.iter().filter(|source| source.lies_in("src/")).filter(all_three).collect();
    let others: Vec<_> =
        wiring.iter().map(|source| source.path.as_str()).filter(|path| *path != "src/app.rs").collect();
    assert!(others.is_empty(), "only src/app.rs joins lb, health and control, but so do {others:?}");
}

#[test]
fn what_is_wanted_is_plain_data() {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let section = manifest.split_once("[workspace.dependencies]").unwrap().1.split("\n[").next().unwrap();
    let crates: Vec<_> = section.lines().filter_map(|line| line.split_once(" = ")).collect();
    let crates: Vec<_> =
        crates.iter().map(|(name, _)| name.replace('-', "_")).filter(|name| name != "thiserror").collect();
    assert!(crates.iter().any(|name| name == "serde") && crates.iter().any(|name| name == "tokio"), "{crates:?}");
    refuse(
        |source| source.lies_in("lb/src/model/"),
        |line| {
            let named = crates.iter().find(|name| names(line, name) || line.contains("serde"))?;
            Some(format!("lb::model uses std and thiserror only, not `{named}`"))
        },
    );
}

#[test]
fn modules_of_the_data_plane_point_one_way() {
    let arrows: &[(&str, &[&str])] = &[
        ("lb/src/model", &["state", "balance", "upstream", "http1", "proxy", "listen", "telemetry", "tls"]),
        ("lb/src/state", &["upstream", "http1", "proxy", "listen"]),
        ("lb/src/balance", &["upstream", "http1", "proxy", "listen"]),
        ("lb/src/http1", &["model", "state", "balance", "upstream", "proxy", "listen", "telemetry", "tls"]),
        ("lb/src/tls", &["state", "balance", "upstream", "http1", "proxy", "listen"]),
        ("lb/src/upstream", &["proxy", "listen"]),
        ("lb/src/proxy", &["listen", "l4"]),
        ("lb/src/l4", &["listen"]),
        (
            "lb/src/proxy_protocol",
            &["model", "state", "balance", "upstream", "http1", "l4", "listen", "telemetry", "stream"],
        ),
    ];
    for (place, forbidden) in arrows {
        refuse(
            |source| source.lies_in(place),
            |line| {
                // A snapshot carries the sockets that were bound for it, as values; it knows nothing of workers.
                let line = line.replace("listen::BoundSocket", "");
                let named = forbidden.iter().find(|module| names_module(&line, module))?;
                Some(format!("{place} does not name `{named}`"))
            },
        );
    }
}

#[test]
fn pure_parts_take_time_and_randomness_as_arguments() {
    let pure = [
        "lb/src/model",
        "lb/src/http1",
        "lb/src/proxy_protocol",
        "lb/src/state/compile",
        "health/src/judge",
        "health/src/schedule",
    ];
    let impure =
        ["Instant::now(", "SystemTime::now(", "rand::rng(", "thread_rng(", "rand::random", "tokio::", "std::net::Tcp"];
    for place in pure {
        assert!(sources().iter().any(|source| source.lies_in(place)), "{place} is gone: say here where it went");
    }
    refuse(
        |source| pure.iter().any(|place| source.lies_in(place)),
        |line| impure.iter().find(|impure| line.contains(**impure)).map(|impure| format!("pure code calls {impure}")),
    );
}

#[test]
fn every_queue_is_bounded() {
    let unbounded = ["unbounded_channel", "UnboundedSender", "mpsc::channel()", "mpsc::unbounded"];
    refuse(
        |_| true,
        |line| unbounded.iter().find(|found| line.contains(**found)).map(|found| format!("{found} has no bound")),
    );
}

#[test]
fn no_state_is_process_wide() {
    let kinds = ["Mutex", "RwLock", "Atomic", "OnceLock", "OnceCell", "LazyLock", "Lazy<", "RefCell", "ArcSwap"];
    refuse(
        |_| true,
        |line| {
            let rest =
                line.split_once("static ").filter(|(before, _)| !before.contains('\'') && !before.contains('"'))?.1;
            let mutable = rest.starts_with("mut ")
                || rest.split_once(':').is_some_and(|(_, kind)| kinds.iter().any(|found| kind.contains(found)));
            mutable.then(|| "two elbows in one process would share this".to_owned())
        },
    );
}

#[test]
fn nothing_is_left_to_do() {
    let unfinished = ["todo!(", "unimplemented!(", "dbg!("];
    refuse(
        |_| true,
        |line| {
            unfinished.iter().find(|found| line.contains(**found)).map(|found| format!("{found}) is unfinished work"))
        },
    );
}

#[test]
fn tests_wait_for_something() {
    refuse(
        |source| source.lies_in("tests/") && !source.lies_in("tests/harness/"),
        |line| {
            let sleeps = line.contains("thread::sleep") || line.contains("time::sleep");
            sleeps.then(|| "a test waits with `eventually`, `within` or `always`".to_owned())
        },
    );
}

#[test]
fn metric_names_stand_in_one_place() {
    refuse(
        |source| !source.lies_in("lb/src/telemetry/") && !source.lies_in("tests/") && !source.lies_in("benches/"),
        |line| {
            // The format of an exported state is no metric.
            let line = line.replace("\"elbow_state\"", "");
            line.contains("\"elbow_").then(|| "the names of metrics stand in lb/src/telemetry".to_owned())
        },
    );
}

#[test]
fn every_file_says_what_it_is_for() {
    let silent: Vec<_> = sources().into_iter().filter(|source| !source.text.starts_with("//! ")).collect();
    let silent: Vec<_> = silent.iter().map(|source| source.path.as_str()).collect();
    assert!(silent.is_empty(), "files without `//!` at their top: {silent:?}");
}

#[test]
fn files_are_short_or_listed() {
    let sources = sources();
    let long = sources.iter().filter(|source| source.text.lines().count() > LINES_PER_FILE_MAX);
    compare("files", LONG_FILES, &long.map(|source| source.path.clone()).collect());
}

#[test]
fn functions_are_short_or_listed() {
    let mut long = BTreeSet::new();
    for source in sources() {
        for (name, lines) in functions(&source.text) {
            if lines > LINES_PER_FUNCTION_MAX {
                long.insert(format!("{}::{name}", source.path));
            }
        }
    }
    compare("functions", LONG_FUNCTIONS, &long);
}

fn compare(what: &str, listed: &[(&str, &str)], found: &BTreeSet<String>) {
    assert!(listed.iter().all(|(_, reason)| reason.len() > 20), "each exception has a reason");
    let listed: BTreeSet<_> = listed.iter().map(|(name, _)| (*name).to_owned()).collect();
    let missing: Vec<_> = found.difference(&listed).collect();
    assert!(missing.is_empty(), "{what} too long for a screen, and not listed with a reason: {missing:#?}");
    let stale: Vec<_> = listed.difference(found).collect();
    assert!(stale.is_empty(), "{what} listed as too long that are not: {stale:#?}");
}

/// Every function of several lines with their number. Relies on rustfmt: a body ends at the indentation of its `fn`.
fn functions(text: &str) -> Vec<(String, usize)> {
    let lines: Vec<_> = text.lines().collect();
    let mut functions = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        let Some(name) = function_name(code) else { continue };
        let signature_ends = |line: &&&str| line.ends_with(['{', ';', '}']);
        let has_body = lines[start..].iter().find(signature_ends).is_some_and(|line| line.ends_with('{'));
        let end = format!("{}}}", &line[..line.len() - code.len()]);
        let close = lines[start..].iter().position(|line| *line == end);
        if let (true, Some(close)) = (has_body, close) {
            functions.push((name.to_owned(), close + 1));
        }
    }
    functions
}

fn function_name(line: &str) -> Option<&str> {
    let (before, rest) = line.split_once("fn ")?;
    let qualifiers = ["pub", "const", "async", "unsafe", "extern", "\"C\"", "pub(crate)", "pub(super)", "pub(in"];
    if !before.split_whitespace().all(|word| qualifiers.contains(&word) || word.ends_with(')')) {
        return None;
    }
    let end = rest.find(|char: char| !(char.is_alphanumeric() || char == '_'))?;
    (end > 0).then(|| &rest[..end])
}

#[test]
fn the_rules_can_fail() {
    assert!(names("use control::store::Store;", "control") && names("let x = control::open();", "control"));
    assert!(!names("use crate::control::x;", "control") && !names("self.control.open()", "control"));
    assert!(names_module("use crate::proxy::Handle;", "proxy") && !names_module("use crate::proxying::x;", "proxy"));
    let text = "impl X {\n    pub async fn long(&self) -> u8 {\n        1\n    }\n    fn next(&self);\n}\n";
    assert_eq!(functions(text), [("long".to_owned(), 3)]);
}
