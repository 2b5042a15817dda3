//! Documents: links lead somewhere, the map of `ARCHITECTURE.md` shows what is there, lines fit a window.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result};

use super::{Faults, sources::is_generated};
use crate::tree::Tree;

/// Characters of a comment's line at most. Code has `max_width`, but rustfmt leaves comments alone.
const COMMENT_COLUMNS: usize = 120;

const MAP: &str = "ARCHITECTURE.md";
const MAP_BEGINS: &str = "## Where to find things";

/// Every relative link in a Markdown file leads to a file, and its fragment to a heading there.
pub(super) fn links(tree: &Tree) -> Result<Faults> {
    let mut faults = Vec::new();
    for path in tree.files("", "md")? {
        for target in targets(&tree.read(&path)?) {
            let (file, fragment) = target.split_once('#').unwrap_or((&target, ""));
            let file = if file.is_empty() { path.clone() } else { beside(&path, file) };
            if !tree.has(&file) {
                faults.push(format!("{path}: there is no {target}"));
            } else if !fragment.is_empty() && !anchors(&tree.read(&file)?).contains(fragment) {
                faults.push(format!("{path}: {file} has no heading #{fragment}"));
            }
        }
    }
    Ok(faults)
}

/// Every path on the map exists.
pub(super) fn map(tree: &Tree) -> Result<Faults> {
    let text = tree.read(MAP)?;
    let (_, map) = text.split_once(MAP_BEGINS).with_context(|| format!("{MAP} has no {MAP_BEGINS}"))?;
    let map = map.split("\n#").next().unwrap_or(map);
    let mut faults = Vec::new();
    for row in map.lines().filter(|line| line.starts_with('|')) {
        let mut known: Vec<String> = Vec::new();
        for path in row.split('`').skip(1).step_by(2).filter(|code| is_path(code)).flat_map(spelled_out) {
            match found(tree, &path, &known) {
                Some(whole) => known.push(whole),
                None => faults.push(format!("{MAP}: there is no {path}")),
            }
        }
    }
    Ok(faults)
}

/// No line of a comment is wider than [`COMMENT_COLUMNS`], but in generated files and rows of tables. (A line
/// that ends in `\` is part of a text.)
pub(super) fn comment_width(tree: &Tree) -> Result<Faults> {
    let mut faults = Vec::new();
    for path in tree.files("", "rs")? {
        let text = tree.read(&path)?;
        if is_generated(&text) {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            let text = line.trim_start();
            let table = text.trim_start_matches(['/', '!']).trim_start().starts_with('|');
            let quoted = text.ends_with('\\');
            if text.starts_with("//") && !table && !quoted && line.chars().count() > COMMENT_COLUMNS {
                faults.push(format!("{path}:{}: more than {COMMENT_COLUMNS} columns", number + 1));
            }
        }
    }
    Ok(faults)
}

/// Where the links of a text lead within the repository.
fn targets(text: &str) -> Vec<String> {
    let links = prose(text);
    let links = links.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target);
    links
        .filter(|target| !target.contains("://") && !target.starts_with("mailto:"))
        .map(str::to_owned)
        .collect()
}

/// A text without its blocks and spans of code.
fn prose(text: &str) -> String {
    let mut inside = false;
    let mut kept = String::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            inside = !inside;
        } else if !inside {
            kept.extend(line.split('`').step_by(2));
            kept.push('\n');
        }
    }
    kept
}

/// A text with what stands outside of its blocks and spans of code changed.
pub(crate) fn outside_code(text: &str, mut change: impl FnMut(&str) -> String) -> String {
    let mut inside = false;
    let mut changed = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        if line.trim_start().starts_with("```") {
            inside = !inside;
            changed.push_str(line);
        } else if inside {
            changed.push_str(line);
        } else {
            for (place, piece) in line.split('`').enumerate() {
                match place {
                    0 => changed.push_str(&change(piece)),
                    odd if odd % 2 == 1 => changed.extend(["`", piece]),
                    _ => changed.extend(["`", &change(piece)]),
                }
            }
        }
    }
    changed
}

/// What GitHub calls the headings of a text, when it is asked for one.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let words = line.trim_start_matches('#').trim().to_lowercase();
            let kept = words.chars().filter(|letter| letter.is_alphanumeric() || " -_".contains(*letter));
            kept.map(|letter| if letter == ' ' { '-' } else { letter }).collect()
        })
        .collect()
}

/// A path that a file of the repository gives relative to itself.
pub(crate) fn beside(from: &str, path: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            ".." => {
                parts.pop();
            }
            "." | "" => {}
            part => parts.push(part),
        }
    }
    parts.join("/")
}

fn is_path(code: &str) -> bool {
    let ends = [".rs", ".md", ".sql", ".json", ".toml", "/"];
    !code.contains(' ') && (code.contains('/') || ends.iter().any(|end| code.ends_with(end)))
}

/// `a/{b,c}.rs` are two paths; of `a/<product>/<x>.rs` and `a/*.rs` the folder is looked for.
fn spelled_out(path: &str) -> Vec<String> {
    if let Some((before, (choices, after))) =
        path.split_once('{').and_then(|(before, rest)| Some((before, rest.split_once('}')?)))
    {
        return choices.split(',').map(|choice| format!("{before}{choice}{after}")).collect();
    }
    let certain = path.split(['<', '*']).next().unwrap_or(path);
    let folder =
        if certain == path { path } else { certain.rsplit_once('/').map_or("", |(folder, _)| folder) };
    vec![folder.to_owned()]
}

/// A path is told from the root, or from a folder that a path before it in the row goes through.
fn found(tree: &Tree, path: &str, known: &[String]) -> Option<String> {
    let bases = known.iter().rev().flat_map(|before| Path::new(before).ancestors().skip(1));
    let candidates = std::iter::once(Path::new("")).chain(bases);
    let mut candidates = candidates.filter_map(|base| base.join(path).to_str().map(str::to_owned));
    candidates.find(|candidate| tree.has(candidate))
}

/// What alerts and dashboards ask Prometheus for is a metric of `docs/metrics.md`.
pub(super) fn metrics(tree: &Tree) -> Result<Faults> {
    let known = tree.read("docs/metrics.md")?;
    let mut faults = Vec::new();
    for path in ["dist/prometheus/rules.yml", "dist/prometheus/tests.yml", "dist/grafana/tongguan.json"] {
        let text = tree.read(path)?;
        let names = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
        for name in names.filter(|name| name.starts_with("tongguan_") || name.starts_with("process_")) {
            if !known.contains(&format!("| `{}`", name.trim_end_matches("_bucket"))) {
                faults.push(format!("{path}: docs/metrics.md has no {name}"));
            }
        }
    }
    Ok(faults)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> (tempfile::TempDir, Tree) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("crates/x/src/y")).unwrap();
        for name in ["crates/x/src/one.rs", "crates/x/src/y/two.rs"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let tree = Tree::at(folder.path().to_path_buf());
        (folder, tree)
    }

    #[test]
    fn a_dead_link_and_a_dead_fragment_are_found() {
        let (folder, tree) = sample();
        let text = "# A head: `x`\n[a](crates/x) [b](#a-head-x) [c](gone.md) [d](#gone) [e](https://e.org)\n`[f](no)`\n";
        std::fs::write(folder.path().join("a.md"), text).unwrap();
        assert_eq!(links(&tree).unwrap(), ["a.md: there is no gone.md", "a.md: a.md has no heading #gone"]);
    }

    #[test]
    fn the_map_may_shorten_a_path_by_what_stands_before_it() {
        let (folder, tree) = sample();
        let map = |row: &str| {
            std::fs::write(
                folder.path().join(MAP),
                format!("{MAP_BEGINS}\n| x | {row} |\n\n### Other\n| `a/b.rs` |\n"),
            )
            .unwrap();
            super::map(&tree).unwrap()
        };
        assert!(map("`crates/x/src/one.rs`, `y/two.rs`, `Word::call`, `crates/x/src/y/<a>.rs`").is_empty());
        assert!(map("`crates/x/src/{one,y/two}.rs`").is_empty());
        assert_eq!(map("`two.rs`"), ["ARCHITECTURE.md: there is no two.rs"]);
        assert_eq!(map("`crates/x/src/one.rs`, `z/<a>.rs`").len(), 1);
    }
}
