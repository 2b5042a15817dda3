//! What the tree promises and no compiler checks: who may know whom, licences, sizes.
#![allow(clippy::unwrap_used, reason = "a test may stop where something is wrong")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Who may know whom (`ARCHITECTURE.md`): dependencies point one way.
const MAY_USE: &[(&str, &[&str])] = &[
    ("tongguan-rpc", &[]),
    ("tongguan-pki", &[]),
    ("tongguan-model", &[]),
    ("tongguan-store", &["tongguan-model"]),
    ("tongguan-dataplane", &["tongguan-model", "tongguan-pki"]),
    (
        "tongguan-service",
        &["tongguan-rpc", "tongguan-pki", "tongguan-model", "tongguan-store", "tongguan-dataplane"],
    ),
    (
        "tongguan",
        &[
            "tongguan-rpc",
            "tongguan-pki",
            "tongguan-model",
            "tongguan-store",
            "tongguan-dataplane",
            "tongguan-service",
        ],
    ),
    ("tongguan-bench", &["tongguan-rpc", "tongguan-pki", "tongguan-testkit"]),
    (
        "tongguan-testkit",
        &[
            "tongguan-rpc",
            "tongguan-pki",
            "tongguan-model",
            "tongguan-store",
            "tongguan-dataplane",
            "tongguan-service",
        ],
    ),
    (
        "tongguan-fuzz",
        &[
            "tongguan-rpc",
            "tongguan-pki",
            "tongguan-model",
            "tongguan-service",
            "tongguan-store",
            "tongguan-testkit",
        ],
    ),
    ("tongguan-torture", &["tongguan-rpc", "tongguan-pki", "tongguan-testkit"]),
];

/// What a pure crate must not depend on.
const IMPURE: &[&str] = &["tokio", "hyper", "rusqlite", "axum"];
const PURE: &[&str] = &["tongguan-rpc", "tongguan-pki", "tongguan-model"];

/// Licences that an Apache-2.0 program may carry.
const LICENCES: &[&str] = &[
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "MIT",
    "BSD-3-Clause",
    "ISC",
    "Unicode-3.0",
    "Zlib",
    "CDLA-Permissive-2.0",
];

/// Lines of a function at most, signature and braces included.
const FUNCTION_LINES: usize = 90;

#[test]
fn dependencies_point_one_way() {
    let metadata = metadata(&["--no-deps"]);
    let allowed: BTreeMap<&str, &[&str]> = MAY_USE.iter().copied().collect();
    for package in metadata["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        let allowed =
            allowed.get(name).unwrap_or_else(|| panic!("{name} is not in the list of who may use whom"));
        for dependency in package["dependencies"].as_array().unwrap() {
            let other = dependency["name"].as_str().unwrap();
            let testing = dependency["kind"] == "dev";
            assert!(
                testing || !other.starts_with("tongguan") || allowed.contains(&other),
                "{name} must not know {other}"
            );
            assert!(
                testing || !PURE.contains(&name) || !IMPURE.contains(&other),
                "{name} must not use {other}"
            );
        }
    }
}

#[test]
fn every_dependency_has_a_licence_that_fits() {
    let metadata = metadata(&[]);
    let known: BTreeSet<&str> = LICENCES.iter().copied().collect();
    for package in metadata["packages"].as_array().unwrap() {
        let licence = package["license"].as_str().unwrap_or_default().replace('/', " OR ");
        // Good enough for the expressions that occur: every AND part needs one OR part that fits.
        let fits = licence
            .replace(['(', ')'], "")
            .split(" AND ")
            .all(|part| part.split(" OR ").any(|choice| known.contains(choice.trim())));
        assert!(fits, "{}: {licence}", package["name"]);
    }
}

/// Functions fit a screen, modules say what they are for, and no SQL stands outside the store.
#[test]
fn sources_are_tidy() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut faults = Vec::new();
    for path in sources(&root) {
        let text = std::fs::read_to_string(&path).unwrap();
        let shown = path.strip_prefix(&root).unwrap().display().to_string();
        if !text.starts_with("//!") {
            faults.push(format!("{shown} does not say what it is for"));
        }
        let code = text.split("#[cfg(test)]").next().unwrap();
        if !shown.starts_with("store") && ["SELECT ", "INSERT INTO"].iter().any(|sql| code.contains(sql)) {
            faults.push(format!("{shown} holds SQL"));
        }
        faults.extend(
            long_functions(code)
                .into_iter()
                .map(|(name, lines)| format!("{shown}: {name} has {lines} lines")),
        );
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// `TONGGUAN_CRASH_AT` knows every point of the sources, and only those.
#[test]
fn every_crash_point_is_listed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let list = std::fs::read_to_string(root.join("server/src/crash.rs")).unwrap();
    let names = |text: &str, before: &str, after: char| -> BTreeSet<String> {
        text.split(before)
            .skip(1)
            .filter_map(|rest| rest.split_once(after))
            .map(|(name, _)| name.into())
            .collect()
    };
    let listed = names(list.split_once("&[").unwrap().1.split_once("];").unwrap().0, "    \"", '"');
    let mut used = BTreeSet::new();
    for path in sources(&root) {
        used.extend(names(&std::fs::read_to_string(&path).unwrap(), "fail_point!(\"", '"'));
    }
    assert!(!used.is_empty());
    assert_eq!(listed, used);
}

fn long_functions(code: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = code.lines().collect();
    let mut long = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let indent = line.len() - line.trim_start().len();
        let text = line.trim_start();
        let words: Vec<&str> = text.split_whitespace().take(4).collect();
        if !words.contains(&"fn") || text.starts_with("//") {
            continue;
        }
        let closing = format!("{}}}", " ".repeat(indent));
        let Some(length) = lines[start..].iter().position(|line| *line == closing) else { continue };
        let name = text.split("fn ").nth(1).and_then(|rest| rest.split(['(', '<']).next()).unwrap_or(text);
        if length + 1 > FUNCTION_LINES {
            long.push((name.to_owned(), length + 1));
        }
    }
    long
}

fn sources(root: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("tests") && !path.ends_with("target") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found
}

fn metadata(arguments: &[&str]) -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked"])
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}
