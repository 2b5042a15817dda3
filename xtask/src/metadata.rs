//! What cargo knows of the workspace and its dependencies.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// The answer of `cargo metadata` with these arguments.
///
/// # Errors
/// Cargo cannot be run, or does not know an argument.
pub(crate) fn metadata(root: &Path, arguments: &[&str]) -> Result<Value> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--locked"])
        .args(arguments)
        .current_dir(root)
        .output()
        .context("cannot run cargo metadata")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Its packages.
///
/// # Errors
/// There are none.
pub(crate) fn packages(metadata: &Value) -> Result<&[Value]> {
    metadata["packages"].as_array().map(Vec::as_slice).context("cargo metadata lists no packages")
}

/// What is compiled into a program: the ids of packages, each with the ids of those that it uses, its own included.
/// Dependencies of builds and of tests are none of it.
///
/// # Errors
/// There is no such package.
pub(crate) fn compiled_in(metadata: &Value, program: &str) -> Result<BTreeMap<String, BTreeSet<String>>> {
    let root = packages(metadata)?
        .iter()
        .find(|package| package["name"] == program)
        .and_then(|package| package["id"].as_str())
        .with_context(|| format!("there is no package {program}"))?;
    let nodes: BTreeMap<&str, &Value> = metadata["resolve"]["nodes"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|node| Some((node["id"].as_str()?, node)))
        .collect();
    let mut found = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(id) = open.pop() {
        if found.contains_key(&id) {
            continue;
        }
        let used: BTreeSet<String> = nodes
            .get(id.as_str())
            .and_then(|node| node["deps"].as_array())
            .into_iter()
            .flatten()
            .filter(|dependency| {
                let kinds = dependency["dep_kinds"].as_array();
                kinds.into_iter().flatten().any(|kind| kind["kind"].is_null())
            })
            .filter_map(|dependency| dependency["pkg"].as_str().map(str::to_owned))
            .collect();
        open.extend(used.iter().cloned());
        found.insert(id, used);
    }
    Ok(found)
}
