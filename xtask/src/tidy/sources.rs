//! What every source file keeps to.

use std::collections::BTreeSet;

use anyhow::{Context, Result};

use super::Faults;
use crate::tree::Tree;

/// Lines of a function at most, signature, comments and braces included.
const FUNCTION_LINES: usize = 90;

/// Where the names of the crash points are listed.
const CRASH_POINTS: &str = "crates/server/src/crash.rs";

/// Every module begins by saying what it is for.
pub(super) fn purposes(tree: &Tree) -> Result<Faults> {
    each(tree, |path, text| {
        if text.starts_with("//!") { vec![] } else { vec![format!("{path} does not say what it is for")] }
    })
}

/// No SQL stands outside the store.
pub(super) fn sql(tree: &Tree) -> Result<Faults> {
    each(tree, |path, text| {
        let layer = path.starts_with("crates/") && !path.starts_with("crates/store/");
        let found = ["SELECT ", "INSERT INTO"].iter().any(|sql| without_tests(text).contains(sql));
        if layer && found { vec![format!("{path} holds SQL")] } else { vec![] }
    })
}

/// Functions fit a screen.
pub(super) fn lengths(tree: &Tree) -> Result<Faults> {
    each(tree, |path, text| {
        let long = functions(without_tests(text)).into_iter().filter(|(_, lines)| *lines > FUNCTION_LINES);
        long.map(|(name, lines)| format!("{path}: {name} has {lines} lines")).collect()
    })
}

/// `TONGGUAN_CRASH_AT` knows every point of the sources, and only those.
pub(super) fn crash_points(tree: &Tree) -> Result<Faults> {
    let list = tree.read(CRASH_POINTS)?;
    let list = list.split_once("&[").and_then(|(_, rest)| rest.split_once("];"));
    let listed = names(list.context("no list of crash points")?.0, "    \"");
    let mut used = BTreeSet::new();
    for path in tree.sources()? {
        if path.starts_with("crates/") {
            used.extend(names(&tree.read(&path)?, "fail_point!(\""));
        }
    }
    anyhow::ensure!(!used.is_empty(), "no crash point was found");
    let unused = listed.difference(&used).map(|name| format!("{CRASH_POINTS}: there is no point {name}"));
    let missing = used.difference(&listed).map(|name| format!("{CRASH_POINTS}: {name} is missing"));
    Ok(unused.chain(missing).collect())
}

/// A file's code before its unit tests.
pub(super) fn without_tests(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap_or(text)
}

fn each(tree: &Tree, check: impl Fn(&str, &str) -> Faults) -> Result<Faults> {
    let mut faults = Vec::new();
    for path in tree.sources()? {
        faults.extend(check(&path, &tree.read(&path)?));
    }
    Ok(faults)
}

fn names(text: &str, before: &str) -> BTreeSet<String> {
    let rests = text.split(before).skip(1);
    rests.filter_map(|rest| rest.split_once('"')).map(|(name, _)| name.to_owned()).collect()
}

/// Name and length of each function that has a body. rustfmt closes it where its line began.
fn functions(code: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = code.lines().collect();
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let text = line.trim_start();
        if text.starts_with("//") || !text.split_whitespace().take(4).any(|word| word == "fn") {
            continue;
        }
        let ends =
            lines[start..].iter().find_map(|line| line.chars().last().filter(|last| "{;}".contains(*last)));
        if ends != Some('{') {
            continue;
        }
        let closing = format!("{}}}", " ".repeat(line.len() - text.len()));
        let Some(length) = lines[start..].iter().position(|line| *line == closing) else { continue };
        let name = text.split("fn ").nth(1).and_then(|rest| rest.split(['(', '<']).next()).unwrap_or(text);
        found.push((name.to_owned(), length + 1));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_measured_from_signature_to_brace() {
        let code = "// fn no() {\npub(crate) fn one(\n    a: u8,\n) {\n    a;\n}\ntrait X {\n    fn none();\n    fn two() {\n    }\n}\n";
        assert_eq!(functions(code), [("one".to_owned(), 5), ("two".to_owned(), 2)]);
    }
}
