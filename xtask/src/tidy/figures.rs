//! Figures that stand in more than one place agree.

use anyhow::{Context, Result};

use super::Faults;
use crate::tree::Tree;

/// One figure, and the places that state it: file, the words before it, and the words after it.
struct Figure {
    what: &'static str,
    places: &'static [(&'static str, &'static str, &'static str)],
}

const FIGURES: &[Figure] = &[
    Figure {
        what: "the oldest Rust that builds this",
        places: &[
            ("Cargo.toml", "rust-version = \"", "\""),
            ("Makefile", "\"Rust ", " or newer"),
            ("README.md", "needs Rust ", " and"),
            ("README.zh-CN.md", "需要 Rust ", " 和"),
            ("CONTRIBUTING.md", "`rust-version`) is ", ","),
        ],
    },
    Figure {
        what: "memory of all connections in the worst case",
        places: &[
            ("crates/server/src/connections.rs", "192 MiB = ", " in the worst case"),
            ("docs/reliability.md", "`crates/server/src/connections.rs`: ", " with all"),
            ("docs/metrics.md", "clients have not taken: ", " in the worst case"),
        ],
    },
    Figure {
        what: "places for connections",
        places: &[
            ("crates/server/src/connections.rs", "With all ", " places"),
            ("docs/reliability.md", "1.41 GiB with all ", " places"),
        ],
    },
    Figure {
        what: "Python of the tests",
        places: &[("README.md", "also Python ", ","), ("README.zh-CN.md", "还需要 Python ", "、")],
    },
    Figure {
        what: "Node of the tests",
        places: &[("README.md", ", Node ", ","), ("README.zh-CN.md", "、Node ", "、")],
    },
    Figure {
        what: "Go of the tests",
        places: &[("README.md", ", Go ", ","), ("README.zh-CN.md", "、Go ", "、")],
    },
];

/// Each figure is the same wherever it stands.
pub(super) fn agree(tree: &Tree) -> Result<Faults> {
    let mut faults = Vec::new();
    for figure in FIGURES {
        let mut first: Option<(&str, String)> = None;
        for &(path, before, after) in figure.places {
            let text = unwrapped(&tree.read(path)?);
            let Some(value) = between(&text, before, after) else {
                faults.push(format!("{path} does not say {} after {before:?}", figure.what));
                continue;
            };
            match &first {
                Some((elsewhere, other)) if *other != value => {
                    faults.push(format!("{}: {value} in {path}, {other} in {elsewhere}", figure.what));
                }
                Some(_) => {}
                None => first = Some((path, value)),
            }
        }
    }
    Ok(faults)
}

/// The newest schema is the one that the documents speak of.
pub(super) fn schema(tree: &Tree) -> Result<Faults> {
    let steps = tree.files("crates/store/src", "sql")?;
    let number = |path: &str| path.rsplit('/').next()?.strip_suffix(".sql")?.parse::<u32>().ok();
    let newest =
        steps.iter().filter_map(|path| number(path)).max().context("the store has no schema")?.to_string();
    let mut faults = Vec::new();
    let places = [
        ("ARCHITECTURE.md", "the schema is number ", ")"),
        ("docs/operations.md", "first start with schema ", ","),
    ];
    for (path, before, after) in places {
        let stated = between(&unwrapped(&tree.read(path)?), before, after);
        if stated.as_ref() != Some(&newest) {
            faults.push(format!("{path}: {before}{}, and it is {newest}", stated.unwrap_or_default()));
        }
    }
    Ok(faults)
}

/// `CHANGELOG.md` says what is new in the version of the workspace, first of all releases.
pub(super) fn version(tree: &Tree) -> Result<Faults> {
    let manifest = tree.toml("Cargo.toml")?;
    let package = manifest.get("workspace").and_then(|workspace| workspace.get("package"));
    let version = package.and_then(|package| package.get("version")).and_then(toml::Value::as_str);
    let version = version.context("Cargo.toml names no version")?;
    let changes = tree.read("CHANGELOG.md")?;
    let newest =
        changes.lines().filter_map(|line| line.strip_prefix("## ")).find(|head| *head != "Unreleased");
    let newest = newest.and_then(|head| head.split_whitespace().next()).unwrap_or_default();
    Ok(if newest == version {
        vec![]
    } else {
        vec![format!("CHANGELOG.md: the newest release is {newest:?}, and Cargo.toml says {version}")]
    })
}

/// A text with lines and the marks of comments joined by one space: prose is wrapped anywhere.
fn unwrapped(text: &str) -> String {
    let words = text.split_whitespace().filter(|word| *word != "//!" && *word != "///");
    words.collect::<Vec<_>>().join(" ")
}

fn between(text: &str, before: &str, after: &str) -> Option<String> {
    let (_, rest) = text.split_once(before)?;
    Some(rest.split_once(after)?.0.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_found_over_the_end_of_a_line() {
        let text = unwrapped("//! With all 10,000\n//! places");
        assert_eq!(between(&text, "With all ", " places").as_deref(), Some("10,000"));
        assert_eq!(between(&text, "With none ", " places"), None);
    }

    #[test]
    fn a_version_without_an_entry_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let tree = Tree::at(folder.path().to_path_buf());
        std::fs::write(folder.path().join("Cargo.toml"), "[workspace.package]\nversion = \"0.2.0\"\n")
            .unwrap();
        std::fs::write(folder.path().join("CHANGELOG.md"), "## Unreleased\n## 0.2.0 (a day)\n## 0.1.0\n")
            .unwrap();
        assert!(version(&tree).unwrap().is_empty());
        std::fs::write(folder.path().join("CHANGELOG.md"), "## Unreleased\n## 0.1.0\n").unwrap();
        assert_eq!(version(&tree).unwrap().len(), 1);
    }
}
