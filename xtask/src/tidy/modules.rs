//! No circle of modules: of two files of a crate, one can be understood without the other.
//!
//! A file knows those that its paths from `crate::` name. What children and parents of one folder say to each other
//! (`super::`, `self::`) is that folder's own matter. Generated files are left out: they hold the table, which names
//! every operation, and the types that operations use.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use super::{
    Faults,
    sources::{is_generated, without_tests},
};
use crate::tree::Tree;

/// Files that still stand in a circle. The list may only shrink: a file that has left its circle leaves the list.
///
/// These four are one circle by what they are: an operation names the handler that carries it out, which takes a call
/// and its parameters, and these name their operation.
const STILL_IN_CIRCLES: &[&str] = &[
    "crates/service/src/access.rs",
    "crates/service/src/args.rs",
    "crates/service/src/call.rs",
    "crates/service/src/operation.rs",
];

/// No file stands in a circle but those of [`STILL_IN_CIRCLES`], and each of those does.
pub(super) fn circles(tree: &Tree) -> Result<Faults> {
    let mut files = BTreeMap::new();
    for path in tree.files("crates", "rs")? {
        if let Some((name, inner)) = path.trim_start_matches("crates/").split_once("/src/") {
            let text = tree.read(&path)?;
            if !is_generated(&text) {
                let crate_files: &mut BTreeMap<_, _> = files.entry(name.to_owned()).or_default();
                crate_files.insert(inner.to_owned(), text);
            }
        }
    }
    let mut found = BTreeMap::new();
    for (name, files) in &files {
        for (file, others) in in_circles(files) {
            let full = |file: &str| format!("crates/{name}/src/{file}");
            found.insert(full(&file), others.iter().map(|file| full(file)).collect::<Vec<_>>());
        }
    }
    let new = found.iter().filter(|(path, _)| !STILL_IN_CIRCLES.contains(&path.as_str()));
    let new = new.map(|(path, others)| format!("{path} is in a circle by knowing {}", others.join(", ")));
    let left = STILL_IN_CIRCLES.iter().filter(|path| !found.contains_key(**path));
    let left = left.map(|path| format!("{path} is in no circle any more: strike it off STILL_IN_CIRCLES"));
    Ok(new.chain(left).collect())
}

/// Each file of a crate that can be reached from itself, with those that it knows in its circle.
fn in_circles(files: &BTreeMap<String, String>) -> BTreeMap<String, Vec<String>> {
    let edges: BTreeMap<&str, BTreeSet<&str>> =
        files.iter().map(|(file, text)| (file.as_str(), knows(file, without_tests(text), files))).collect();
    let reached: BTreeMap<&str, BTreeSet<&str>> =
        edges.keys().map(|file| (*file, reachable(file, &edges))).collect();
    let mut found = BTreeMap::new();
    for (file, reach) in &reached {
        let others = edges[file].iter().filter(|other| reached[*other].contains(file));
        let others: Vec<String> = others.map(|other| (*other).to_owned()).collect();
        if reach.contains(file) {
            found.insert((*file).to_owned(), others);
        }
    }
    found
}

fn reachable<'a>(from: &str, edges: &BTreeMap<&'a str, BTreeSet<&'a str>>) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<&str> = edges[from].iter().copied().collect();
    while let Some(file) = open.pop() {
        if reached.insert(file) {
            open.extend(&edges[file]);
        }
    }
    reached
}

/// The files that a file's `crate::` paths lead to.
fn knows<'a>(file: &str, code: &str, files: &'a BTreeMap<String, String>) -> BTreeSet<&'a str> {
    let code: String =
        code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join(" ");
    let mut known = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        for path in paths(rest) {
            let found = deepest(&path, files);
            known.extend(found.filter(|found| *found != file));
        }
    }
    known
}

/// The paths that a text begins with, without `crate::`: more than one if there are braces.
fn paths(text: &str) -> Vec<Vec<String>> {
    let text = text.trim_start();
    if let Some(inside) = text.strip_prefix('{') {
        return parts(inside).into_iter().flat_map(paths).collect();
    }
    let end = text.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    if word.is_empty() {
        return vec![];
    }
    let Some(rest) = rest.strip_prefix("::") else { return vec![vec![word.to_owned()]] };
    let deeper = paths(rest);
    if deeper.is_empty() {
        return vec![vec![word.to_owned()]];
    }
    deeper.into_iter().map(|path| [vec![word.to_owned()], path].concat()).collect()
}

/// What stands between commas up to the brace that closes.
fn parts(text: &str) -> Vec<&str> {
    let (mut depth, mut begin, mut found) = (0, 0, Vec::new());
    for (index, letter) in text.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => {
                found.push(&text[begin..index]);
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                found.push(&text[begin..index]);
                begin = index + 1;
            }
            _ => {}
        }
    }
    found
}

/// The file of the longest part of a path that names a module.
fn deepest<'a>(path: &[String], files: &'a BTreeMap<String, String>) -> Option<&'a str> {
    (1..=path.len()).rev().find_map(|length| {
        let module = path[..length].join("/");
        let file = files.get_key_value(&format!("{module}.rs"));
        file.or_else(|| files.get_key_value(&format!("{module}/mod.rs"))).map(|(file, _)| file.as_str())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(texts: &[(&str, &str)]) -> BTreeMap<String, String> {
        texts.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn a_circle_is_found_and_a_chain_is_not() {
        let chain = files(&[
            ("a.rs", "use crate::b::{self, Word};"),
            ("b.rs", "use crate::c::d;"),
            ("c/mod.rs", ""),
            ("c/d.rs", "// crate::a\n#[cfg(test)] use crate::a;"),
        ]);
        assert!(in_circles(&chain).is_empty());
        let circle = files(&[
            ("a.rs", "use crate::{b::{self, Word}, c};"),
            ("b.rs", "fn f() { crate::c::d::go() }"),
            ("c/mod.rs", ""),
            ("c/d.rs", "use crate::a;"),
        ]);
        let found = in_circles(&circle);
        assert_eq!(found.keys().collect::<Vec<_>>(), ["a.rs", "b.rs", "c/d.rs"]);
        assert_eq!(found["a.rs"], ["b.rs"]);
    }

    #[test]
    fn braces_are_spelled_out() {
        let words = |text| paths(text).iter().map(|path| path.join("::")).collect::<Vec<_>>();
        assert_eq!(words("a::{b, c::{D, e}, self}; f"), ["a::b", "a::c::D", "a::c::e", "a::self"]);
        assert_eq!(words("a as b;"), ["a"]);
    }
}
