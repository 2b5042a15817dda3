//! Licences of dependencies, by the list in `deny.toml`: `cargo deny` needs to be installed, this check needs cargo
//! alone.

use anyhow::{Context, Result};

use super::Faults;
use crate::metadata::{metadata, packages};
use crate::tree::Tree;

/// Every dependency can be had under a licence of the list.
pub(super) fn check(tree: &Tree) -> Result<Faults> {
    let deny = tree.toml("deny.toml")?;
    let allowed =
        deny.get("licenses").and_then(|licences| licences.get("allow")).and_then(toml::Value::as_array);
    let allowed: Vec<&str> =
        allowed.context("deny.toml allows no licences")?.iter().filter_map(toml::Value::as_str).collect();
    let metadata = metadata(tree.root(), &[])?;
    let mut faults = Vec::new();
    for package in packages(&metadata)? {
        let licence = package["license"].as_str().unwrap_or_default();
        if !fits(licence, &allowed) {
            faults.push(format!("{}: licence {licence:?}", package["name"]));
        }
    }
    Ok(faults)
}

/// Good enough for the expressions that occur: every AND part needs one OR part that is allowed.
fn fits(expression: &str, allowed: &[&str]) -> bool {
    expression
        .replace('/', " OR ")
        .replace(['(', ')'], "")
        .split(" AND ")
        .all(|part| part.split(" OR ").any(|choice| allowed.contains(&choice.trim())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_choice_of_each_part_must_be_allowed() {
        let allowed = ["MIT", "Apache-2.0"];
        assert!(fits("MIT", &allowed));
        assert!(fits("GPL-3.0/MIT", &allowed));
        assert!(fits("(GPL-3.0 OR MIT) AND Apache-2.0", &allowed));
        assert!(!fits("MIT AND GPL-3.0", &allowed));
        assert!(!fits("", &allowed));
    }
}
