//! Archives whose bytes depend on nothing but what is in them.

use std::collections::BTreeSet;
use std::io::Write as _;

use anyhow::{Context, Result};
use flate2::{Compression, GzBuilder};
use tar::{Builder, EntryType, Header};

use super::Release;
use super::list::Entry;

/// A tar file that is being made. Everything belongs to root, or to the owner that is said, and is as old as the
/// commit.
pub(super) struct Tar {
    builder: Builder<Vec<u8>>,
    epoch: u64,
    folders: BTreeSet<String>,
}

impl Tar {
    pub(super) fn new(release: &Release) -> Self {
        Self { builder: Builder::new(Vec::new()), epoch: u64::from(release.epoch), folders: BTreeSet::new() }
    }

    /// Adds a file, and the folders above it that are not there yet.
    pub(super) fn file(&mut self, name: &str, bytes: &[u8], mode: u32) -> Result<()> {
        for (at, _) in name.match_indices('/').filter(|(at, _)| *at > 0 && &name[..*at] != ".") {
            self.folder(&name[..at], 0o755, 0)?;
        }
        self.add(name, EntryType::Regular, mode, 0, bytes)
    }

    /// Adds a folder of an owner, unless it is there.
    pub(super) fn folder(&mut self, name: &str, mode: u32, owner: u64) -> Result<()> {
        if !self.folders.insert(name.to_owned()) {
            return Ok(());
        }
        self.add(&format!("{name}/"), EntryType::Directory, mode, owner, &[])
    }

    pub(super) fn finish(self) -> Result<Vec<u8>> {
        self.builder.into_inner().context("tar")
    }

    /// The name stands as it is given: packages begin theirs with `./`.
    fn add(&mut self, name: &str, kind: EntryType, mode: u32, owner: u64, bytes: &[u8]) -> Result<()> {
        let mut header = Header::new_gnu();
        let place = header.as_gnu_mut().expect("it is new as one").name.get_mut(..name.len());
        place.with_context(|| format!("tar: {name} is too long"))?.copy_from_slice(name.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(owner);
        header.set_gid(owner);
        if owner == 0 {
            header.set_username("root").and_then(|()| header.set_groupname("root")).context("tar")?;
        }
        header.set_mtime(self.epoch);
        header.set_size(bytes.len() as u64);
        header.set_cksum();
        self.builder.append(&header, bytes).with_context(|| format!("tar: {name}"))
    }
}

/// The files under one folder.
pub(super) fn tar(entries: &[Entry], folder: &str, release: &Release) -> Result<Vec<u8>> {
    let mut tar = Tar::new(release);
    for entry in entries {
        tar.file(&format!("{folder}/{}", entry.to.trim_start_matches('/')), &entry.bytes, entry.mode)?;
    }
    tar.finish()
}

/// Compressed, without a name and a time.
pub(super) fn gzip(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).context("gzip")
}
