//! The arrows between the layers point one way.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

/// A layer, and the modules of the crate that it may use.
const LAYERS: [(&str, &[&str]); 5] = [
    ("decide", &["budget", "decision", "guard", "ids", "join_policy", "retry_policy", "state"]),
    ("encryption", &["json"]),
    ("identity", &[]),
    ("store", &["budget", "decision", "encryption", "identity", "ids", "state"]),
    (
        "template",
        &[
            "budget",
            "condition",
            "graph",
            "join_policy",
            "json",
            "retry_policy",
            "suggest",
            "template",
        ],
    ),
];

/// Programs of the benches that ask the system for a clock that `std` does not show as a number.
const CLOCKS: [&str; 2] = ["bench/engine/rust_worker.rs", "bench/peers/apalis/src/job.rs"];

fn sources(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    if path.ends_with("target") {
        return Vec::new();
    }
    let entries = std::fs::read_dir(path).into_iter().flatten();
    entries.flat_map(|entry| sources(&entry.unwrap().path())).collect()
}

/// The modules of the crate that a source names, each with its line.
fn uses(source: &str) -> impl Iterator<Item = (&str, &str)> {
    source.lines().flat_map(|line| {
        line.split("crate::").skip(1).map(move |rest| {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            (&rest[..end], line)
        })
    })
}

#[test]
fn a_layer_uses_those_below_it_only() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut seen = 0;
    for (layer, allowed) in LAYERS {
        let files = [sources(&src.join(layer)), sources(&src.join(format!("{layer}.rs")))].concat();
        for file in files.iter().filter(|file| file.extension().is_some_and(|e| e == "rs")) {
            let source = std::fs::read_to_string(file).unwrap();
            for (module, line) in uses(&source) {
                let own = module == layer || allowed.contains(&module);
                assert!(own, "{} must not use {module}: {line}", file.display());
                seen += 1;
            }
        }
    }
    assert!(seen > 30, "the layers use something");
}

/// The first line with an unsafe block, function, implementation or `extern`.
fn unsafe_line(source: &str) -> Option<&str> {
    let word = ["un", "safe "].concat();
    source
        .lines()
        .map(str::trim)
        .find(|line| line.split(&word).skip(1).any(|rest| rest.starts_with(['{', 'f', 'i', 'e'])))
}

#[test]
fn unsafe_code_stands_in_the_extension_only_and_where_benches_read_a_clock() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = ["src", "tests", "benches", "examples", "bench"];
    let files: Vec<_> = folders.iter().flat_map(|folder| sources(&root.join(folder))).collect();
    let rust = files.iter().filter(|file| file.extension().is_some_and(|e| e == "rs"));
    let mut clocks = Vec::new();
    for file in rust {
        let source = std::fs::read_to_string(file).unwrap();
        let Some(line) = unsafe_line(&source) else { continue };
        let name = file.strip_prefix(root).unwrap().to_str().unwrap();
        assert!(CLOCKS.contains(&name), "{name}: {line}");
        assert!(source.contains("// SAFETY: "), "{name}: {line} has no reason");
        clocks.push(name.to_owned());
    }
    clocks.sort();
    assert_eq!(clocks, CLOCKS);
    assert!(files.len() > 60);
}
