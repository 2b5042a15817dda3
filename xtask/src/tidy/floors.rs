//! The floors of the store: what is stored does not know which database is there, and nobody outside of the crate does.

use anyhow::{Result, ensure};

use super::Faults;
use super::sources::without_tests;
use crate::tree::Tree;

/// The sources of the store.
const STORE: &str = "crates/store/src/";
/// Who may know SQLite: the engine, and the seam above it.
const ENGINE: &[&str] = &[
    "crates/store/src/sqlite/",
    "crates/store/src/session.rs",
    "crates/store/src/session/ready.rs",
    "crates/store/src/session/whole.rs",
];
/// The crate that a type of SQLite's comes from.
const SQLITE: &str = "rusqlite";

/// Rows, audit record and the crate's face name no type of SQLite's, and no public item does.
pub(super) fn check(tree: &Tree) -> Result<Faults> {
    let mut faults = Vec::new();
    let mut known = 0;
    for path in tree.sources()?.into_iter().filter(|path| path.starts_with(STORE)) {
        let text = tree.read(&path)?;
        let code = without_tests(&text);
        if ENGINE.iter().any(|engine| path.starts_with(engine)) {
            known += usize::from(code.contains(SQLITE));
            faults.extend(shown(code).into_iter().map(|item| format!("{path} shows SQLite: {item}")));
        } else if code.contains(SQLITE) {
            faults.push(format!("{path} knows SQLite"));
        }
    }
    ensure!(known > 0, "no file of the store's engine names {SQLITE}");
    Ok(faults)
}

/// Public items, and traits that others may see, of which a type of SQLite's is a part. rustfmt ends a signature with a
/// line that ends with a brace, a semicolon or, for a field, a comma.
fn shown(code: &str) -> Vec<String> {
    let types = imported(code);
    let lines: Vec<&str> = code.lines().collect();
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let text = line.trim_start();
        let conversion = text.starts_with("impl") && text.contains("From<");
        if !text.starts_with("pub ") && !conversion || text.starts_with("pub mod") {
            continue;
        }
        let field = !["fn ", "struct ", "enum ", "trait ", "type ", "const ", "static ", "use ", "impl"]
            .iter()
            .any(|item| text.contains(item));
        let ends = |line: &&str| line.ends_with(['{', ';']) || field && line.ends_with(',');
        let length = lines[start..].iter().position(ends).unwrap_or(0);
        let signature = lines[start..=start + length].join(" ");
        let words = signature.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
        if words.into_iter().any(|word| word == SQLITE || types.contains(&word)) {
            found.push(text.to_owned());
        }
    }
    found
}

/// The names that a file takes from SQLite's crate.
fn imported(code: &str) -> Vec<&str> {
    let uses = code.split("use rusqlite").skip(1).filter_map(|rest| rest.split_once(';'));
    let names =
        uses.flat_map(|(names, _)| names.split(|letter: char| !letter.is_alphanumeric() && letter != '_'));
    names.filter(|name| name.chars().next().is_some_and(char::is_uppercase)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_public_is_told_from_what_is_not() {
        let hidden = "use rusqlite::types::{ValueRef, Value};\nuse rusqlite::Connection;\npub struct Store {\n    \
                      connection: Connection,\n}\npub(crate) fn of(connection: &Connection) -> Self {\n}\n";
        assert!(shown(hidden).is_empty());
        let open = "pub fn read(\n    row: &Row<'_>,\n    connection: &Connection,\n) -> u8 {";
        let field = "    pub value: ValueRef<'static>,";
        let conversion = "impl From<rusqlite::Error> for StoreError {";
        for item in [open, field, conversion] {
            assert_eq!(shown(&format!("{hidden}{item}\n")).len(), 1, "{item}");
        }
    }
}
