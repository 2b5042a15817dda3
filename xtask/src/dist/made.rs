//! What is made for a release and lies nowhere in the repository: what the program prints of itself, notices, SBOM.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::list::Made;
use super::{Release, Target};
use crate::metadata::{compiled_in, metadata, packages};
use crate::tree::Tree;

/// Completions and manual pages, which are the same on every architecture: the program for this machine prints them.
///
/// # Errors
/// No program is for this machine, or it fails.
pub(super) fn printed(programs: &[(&'static Target, Vec<u8>)]) -> Result<Made> {
    let (_, program) = programs
        .iter()
        .find(|(target, _)| target.arch == std::env::consts::ARCH)
        .context("a program for this machine is needed too: it prints completions and manual pages")?;
    let folder = tempfile::tempdir().context("cannot make a folder")?;
    let file = folder.path().join("tongguan");
    std::fs::write(&file, program)?;
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o755))?;
    let run = |arguments: &[&str]| -> Result<Vec<u8>> {
        let output = Command::new(&file).args(arguments).output().context("the program does not run")?;
        ensure!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(output.stdout)
    };
    let mut made = Made::new();
    for shell in ["bash", "zsh", "fish"] {
        made.insert(format!("completions/{shell}"), vec![(String::new(), run(&["completions", shell])?)]);
    }
    let pages = folder.path().join("pages");
    std::fs::create_dir(&pages)?;
    run(&["manual-pages", pages.to_str().context("a folder's name")?])?;
    let mut found = Vec::new();
    for page in std::fs::read_dir(&pages)? {
        let page = page?;
        let name = page.file_name().into_string().ok().context("a page's name")?;
        found.push((name, std::fs::read(page.path())?));
    }
    found.sort();
    made.insert("manual-pages".to_owned(), found);
    Ok(made)
}

/// Everything that is made for one target.
///
/// # Errors
/// Cargo does not know the dependencies, or one of them is not there.
pub(super) fn all(
    tree: &Tree,
    release: &Release,
    target: &Target,
    program: &[u8],
    everywhere: &Made,
) -> Result<Made> {
    let metadata = metadata(tree.root(), &["--filter-platform", target.triple])?;
    let used = compiled_in(&metadata, "tongguan")?;
    let mut parts: Vec<&Value> = packages(&metadata)?
        .iter()
        .filter(|package| package["id"].as_str().is_some_and(|id| used.contains_key(id)))
        .collect();
    parts.sort_by_key(|package| (text(package, "name"), text(package, "version")));
    let mut made = everywhere.clone();
    let mut add = |name: &str, bytes: Vec<u8>| made.insert(name.to_owned(), vec![(String::new(), bytes)]);
    add("program", program.to_vec());
    add("notices", notices(&parts)?.into_bytes());
    let lock = tree.toml("Cargo.lock")?;
    add("sbom", format!("{:#}\n", sbom(release, &parts, &used, &lock)?).into_bytes());
    Ok(made)
}

fn text<'v>(package: &'v Value, key: &str) -> &'v str {
    package[key].as_str().unwrap_or_default()
}

/// Is it a package of others?
fn foreign(package: &Value) -> bool {
    !package["source"].is_null()
}

/// The licence texts of everything that is compiled in, each once, with the packages that come with it.
fn notices(parts: &[&Value]) -> Result<String> {
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut without = Vec::new();
    for package in parts.iter().filter(|package| foreign(package)) {
        let name =
            format!("{} {} ({})", text(package, "name"), text(package, "version"), text(package, "license"));
        let found = licence_texts(Path::new(text(package, "manifest_path")))?;
        if found.is_empty() {
            without.push(name);
            continue;
        }
        for licence in found {
            texts.entry(licence).or_default().push(name.clone());
        }
    }
    let mut all =
        "tongguan contains these packages, under the licences that follow each group of them.\n".to_owned();
    let rule = "-".repeat(80);
    let mut groups: Vec<(Vec<String>, String)> =
        texts.into_iter().map(|(licence, names)| (names, licence)).collect();
    groups.sort();
    for (names, licence) in groups {
        all.push_str(&format!("\n{rule}\n{}\n\n{}\n", names.join("\n"), licence.trim_end()));
    }
    if !without.is_empty() {
        all.push_str(&format!(
            "\n{rule}\nPublished without a text of their licence:\n{}\n",
            without.join("\n")
        ));
    }
    Ok(all)
}

/// The texts that lie beside a manifest.
fn licence_texts(manifest: &Path) -> Result<BTreeSet<String>> {
    const NAMES: &[&str] = &["LICENSE", "LICENCE", "COPYING", "NOTICE", "UNLICENSE", "COPYRIGHT"];
    let folder = manifest.parent().context("a manifest lies in a folder")?;
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(folder).with_context(|| format!("{} is not there", folder.display()))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().to_uppercase();
        if NAMES.iter().any(|begin| name.starts_with(begin)) && entry.file_type()?.is_file() {
            found.insert(String::from_utf8_lossy(&std::fs::read(entry.path())?).replace('\r', ""));
        }
    }
    Ok(found)
}

/// A software bill of materials: CycloneDX 1.5.
fn sbom(
    release: &Release,
    parts: &[&Value],
    used: &BTreeMap<String, BTreeSet<String>>,
    lock: &toml::Table,
) -> Result<Value> {
    let sums = checksums(lock);
    let reference =
        |package: &Value| format!("pkg:cargo/{}@{}", text(package, "name"), text(package, "version"));
    let references: BTreeMap<&str, String> =
        parts.iter().map(|package| (text(package, "id"), reference(package))).collect();
    let component = |package: &&Value, kind: &str| {
        let mut component = json!({
            "type": kind,
            "bom-ref": reference(package),
            "name": text(package, "name"),
            "version": text(package, "version"),
            "purl": reference(package),
            "licenses": [{"expression": text(package, "license").replace('/', " OR ")}],
        });
        let key = (text(package, "name").to_owned(), text(package, "version").to_owned());
        if let Some(sum) = sums.get(&key) {
            component["hashes"] = json!([{"alg": "SHA-256", "content": sum}]);
        }
        component
    };
    let own =
        parts.iter().find(|package| text(package, "name") == "tongguan").context("the program itself")?;
    let others: Vec<Value> = parts
        .iter()
        .filter(|package| text(package, "name") != "tongguan")
        .map(|package| component(package, "library"))
        .collect();
    let dependencies: Vec<Value> = parts
        .iter()
        .map(|package| {
            let on: BTreeSet<&String> = used
                .get(text(package, "id"))
                .into_iter()
                .flatten()
                .filter_map(|id| references.get(id.as_str()))
                .collect();
            json!({"ref": reference(package), "dependsOn": on})
        })
        .collect();
    let time = Timestamp::from_second(i64::from(release.epoch)).context("the commit's time")?;
    Ok(json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"timestamp": time.to_string(), "component": component(own, "application")},
        "components": others,
        "dependencies": dependencies,
    }))
}

/// By name and version, what the lock file says of each package.
fn checksums(lock: &toml::Table) -> BTreeMap<(String, String), String> {
    let packages = lock.get("package").and_then(toml::Value::as_array);
    packages
        .into_iter()
        .flatten()
        .filter_map(|package| {
            let text = |key: &str| Some(package.get(key)?.as_str()?.to_owned());
            Some(((text("name")?, text("version")?), text("checksum")?))
        })
        .collect()
}
