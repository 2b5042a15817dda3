//! The package for Debian and its like: `deb(5)`.

use anyhow::{Context, Result};
use ar::{Builder, Header};

use super::archive::{Tar, gzip};
use super::list::Entry;
use super::{Release, Target};
use crate::tree::Tree;

/// A `.deb`: the version of the form, what the package says of itself, and its files.
///
/// # Errors
/// A script under `dist/packages` is missing.
pub(super) fn package(tree: &Tree, entries: &[Entry], target: &Target, release: &Release) -> Result<Vec<u8>> {
    let mut data = Tar::new(release);
    for entry in entries {
        data.file(&format!(".{}", entry.to), &entry.bytes, entry.mode)?;
    }
    let mut builder = Builder::new(Vec::new());
    let parts = [
        ("debian-binary", b"2.0\n".to_vec()),
        ("control.tar.gz", gzip(&control(tree, entries, target, release)?)?),
        ("data.tar.gz", gzip(&data.finish()?)?),
    ];
    for (name, bytes) in parts {
        let mut header = Header::new(name.as_bytes().to_vec(), bytes.len() as u64);
        header.set_mtime(u64::from(release.epoch));
        header.set_mode(0o100_644);
        builder.append(&header, bytes.as_slice()).context(name)?;
    }
    builder.into_inner().context("ar")
}

fn control(tree: &Tree, entries: &[Entry], target: &Target, release: &Release) -> Result<Vec<u8>> {
    let size: usize = entries.iter().map(|entry| entry.bytes.len().div_ceil(1024)).sum();
    let text = format!(
        "Package: tongguan\n\
         Version: {}\n\
         Architecture: {}\n\
         Maintainer: The tongguan authors <noreply@tongguan.invalid>\n\
         Installed-Size: {size}\n\
         Section: net\n\
         Priority: optional\n\
         Recommends: iproute2\n\
         Homepage: {}\n\
         Description: {}\n \
         Official SDKs, the aliyun command line and Terraform work with it as they are. It keeps everything in one\n \
         directory, needs no other service, and is one static program.\n",
        release.version, target.debian, release.homepage, release.summary,
    );
    let config: String =
        entries.iter().filter(|entry| entry.config).map(|entry| format!("{}\n", entry.to)).collect();
    let after =
        format!("{}\n{}", tree.read("dist/packages/removed.sh")?, tree.read("dist/packages/purge.sh")?);
    let mut control = Tar::new(release);
    for (name, text, mode) in [
        ("conffiles", config, 0o644),
        ("control", text, 0o644),
        ("postinst", tree.read("dist/packages/install.sh")?, 0o755),
        ("postrm", after, 0o755),
        ("prerm", tree.read("dist/packages/before-removal.sh")?, 0o755),
        ("templates", tree.read("dist/packages/templates")?, 0o644),
    ] {
        control.file(&format!("./{name}"), text.as_bytes(), mode)?;
    }
    control.finish()
}
