//! `cargo xtask tidy`: what the tree promises and no compiler checks.
//!
//! A check reads the tree and returns its faults, each a line that says where. `make lint` runs them, and so does the
//! test below, so that `cargo test` fails as well.

pub(crate) mod documents;
mod figures;
mod floors;
mod layers;
mod licences;
mod modules;
mod sources;

use anyhow::{Context, Result, ensure};

use crate::tree::Tree;

/// The faults that a check has found.
type Faults = Vec<String>;

type Check = fn(&Tree) -> Result<Faults>;

/// Each promise, and what looks whether it is kept.
const CHECKS: &[(&str, Check)] = &[
    ("dependencies point one way", layers::check),
    ("every dependency has a licence that fits", licences::check),
    ("modules say what they are for", sources::purposes),
    ("SQL stands in the store alone", sources::sql),
    ("the store has floors", floors::check),
    ("functions fit a screen", sources::lengths),
    ("every crash point is listed", sources::crash_points),
    ("pure crates do no I/O and know no time", sources::purity),
    ("no circle of modules", modules::circles),
    ("links lead somewhere", documents::links),
    ("the map shows what is there", documents::map),
    ("comments fit a window", documents::comment_width),
    ("what stands twice agrees", figures::agree),
    ("documents know the newest schema", figures::schema),
    ("each version has an entry", figures::version),
    ("alerts and dashboards know the metrics", documents::metrics),
];

/// `cargo xtask tidy` takes no arguments.
#[derive(clap::Args)]
pub(crate) struct Arguments {}

/// Runs every check and lists what is wrong.
///
/// # Errors
/// Something is, or a file that a check needs cannot be read.
pub(crate) fn run(_: &Arguments, tree: &Tree) -> Result<()> {
    let faults = faults(tree)?;
    for fault in &faults {
        eprintln!("{fault}");
    }
    ensure!(faults.is_empty(), "{} faults", faults.len());
    Ok(())
}

fn faults(tree: &Tree) -> Result<Faults> {
    let mut all = Vec::new();
    for (promise, check) in CHECKS {
        let faults = check(tree).with_context(|| format!("cannot tell whether {promise}"))?;
        all.extend(faults.into_iter().map(|fault| format!("{fault} ({promise})")));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_tidy() {
        let faults = faults(&Tree::of_this_repository()).unwrap();
        assert!(faults.is_empty(), "{}", faults.join("\n"));
    }
}
