//! The package for systems that use RPM: openEuler, Anolis, Kylin, Fedora.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result};
use rpm::{BuildConfig, CompressionWithLevel, Dependency, FileOptions, PackageBuilder};

use super::list::Entry;
use super::{Release, Target};
use crate::tree::Tree;

/// A `.rpm` of format 4, which every one of them reads.
///
/// # Errors
/// A script under `dist/packages` is missing, or the files make no package.
pub(super) fn package(tree: &Tree, entries: &[Entry], target: &Target, release: &Release) -> Result<Vec<u8>> {
    let config = BuildConfig::v4().source_date(release.epoch).compression(CompressionWithLevel::Gzip(9));
    let mut builder =
        PackageBuilder::new("tongguan", &release.version, &release.licence, target.arch, &release.summary);
    builder
        .using_config(config)
        .release("1")
        .url(&release.homepage)
        .vendor("The tongguan authors")
        .build_host("localhost")
        // The supervisor of gateways calls `ip`.
        .recommends(Dependency::any("iproute"))
        .description(format!(
            "{}\nIt keeps everything in one directory, needs no other service, and is one static program.",
            release.summary
        ))
        .post_install_script(tree.read("dist/packages/install.sh")?)
        .pre_uninstall_script(tree.read("dist/packages/before-removal.sh")?)
        .post_uninstall_script(tree.read("dist/packages/removed.sh")?);
    for entry in entries {
        let mode = u16::try_from(entry.mode).context("a mode")?;
        let mut options = FileOptions::new(&entry.to).permissions(mode);
        if entry.config {
            options = options.config().noreplace();
        } else if entry.to.starts_with("/usr/share/doc/") {
            options = options.doc();
        }
        builder.with_file_contents(entry.bytes.clone(), options).with_context(|| entry.to.clone())?;
    }
    for folder in own_folders(entries) {
        builder
            .with_dir_entry(FileOptions::dir(&folder).permissions(0o755))
            .with_context(|| folder.clone())?;
    }
    let mut bytes = Vec::new();
    builder.build().context("rpm")?.write(&mut bytes).context("rpm")?;
    Ok(bytes)
}

/// Folders that have something of this package alone. They are its own: rpm leaves others behind when it removes it.
fn own_folders(entries: &[Entry]) -> BTreeSet<String> {
    let mut folders = BTreeSet::new();
    for entry in entries {
        let above = Path::new(&entry.to).ancestors().skip(1);
        let own = above.filter(|folder| folder.components().any(|part| part.as_os_str() == "tongguan"));
        folders.extend(own.map(|folder| folder.display().to_string()));
    }
    folders
}
