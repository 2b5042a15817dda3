//! The one list of files, `dist/files.toml`, and what of it goes where.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use crate::tree::Tree;

/// One entry of the list; the list itself says what its members mean.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Listed {
    from: Option<String>,
    made: Option<String>,
    package: Option<String>,
    archive: Option<String>,
    image: Option<String>,
    mode: Option<String>,
    #[serde(default)]
    config: bool,
    #[serde(default)]
    replace: Vec<(String, String)>,
    only_in: Option<Kind>,
}

/// A kind of package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Deb,
    Rpm,
}

/// What files are put into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Archive,
    Deb,
    Rpm,
    Image,
}

/// A file where it belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// With the leading `/` of packages and images, without it in an archive
    pub to: String,
    pub bytes: Vec<u8>,
    pub mode: u32,
    pub config: bool,
}

/// What is made for a release: by name, the files that it consists of. A single file has no name of its own.
pub(super) type Made = BTreeMap<String, Vec<(String, Vec<u8>)>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    file: Vec<Listed>,
}

/// Reads the list.
///
/// # Errors
/// It is not there, or has something that is not known.
pub(super) fn read(tree: &Tree) -> Result<Vec<Listed>> {
    let document: Document = toml::from_str(&tree.read("dist/files.toml")?).context("dist/files.toml")?;
    for listed in &document.file {
        ensure!(listed.from.is_some() != listed.made.is_some(), "{listed:?}: either `from` or `made`");
    }
    Ok(document.file)
}

/// The files of one place, in the order of their names.
///
/// # Errors
/// A file is not there or is not made, or two of them have one name.
pub(super) fn entries(tree: &Tree, list: &[Listed], made: &Made, place: Place) -> Result<Vec<Entry>> {
    let mut entries: BTreeMap<String, Entry> = BTreeMap::new();
    for listed in list {
        let to = match place {
            Place::Archive => &listed.archive,
            Place::Deb | Place::Rpm => &listed.package,
            Place::Image => &listed.image,
        };
        let Some(to) = to else { continue };
        let kept_for_other = match listed.only_in {
            Some(Kind::Deb) => place == Place::Rpm,
            Some(Kind::Rpm) => place == Place::Deb,
            None => false,
        };
        if kept_for_other {
            continue;
        }
        let mode = u32::from_str_radix(listed.mode.as_deref().unwrap_or("644"), 8).context("a mode")?;
        for (name, bytes) in contents(tree, listed, made, place)? {
            let to = if to.ends_with('/') { format!("{to}{name}") } else { to.clone() };
            let entry = Entry { to: to.clone(), bytes, mode, config: listed.config };
            if entries.insert(to.clone(), entry).is_some() {
                bail!("two files of the list become {to}");
            }
        }
    }
    Ok(entries.into_values().collect())
}

fn contents(tree: &Tree, listed: &Listed, made: &Made, place: Place) -> Result<Vec<(String, Vec<u8>)>> {
    if let Some(name) = &listed.made {
        return made.get(name).cloned().with_context(|| format!("nothing makes `{name}`"));
    }
    let path = listed.from.as_deref().expect("one of the two is there: `read` looks");
    let mut text = tree.read(path)?;
    if place != Place::Archive {
        for (old, new) in &listed.replace {
            ensure!(text.contains(old), "{path} has no {old}");
            text = text.replace(old, new);
        }
    }
    Ok(vec![(String::new(), text.into_bytes())])
}
