//! The files of the repository, as the chores read them.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Folders that hold what is made or fetched.
const FOREIGN: &[&str] = &["target", "node_modules", "__pycache__", "data"];

/// A checkout. Paths are relative to its root, with `/`.
pub(crate) struct Tree {
    root: PathBuf,
}

impl Tree {
    /// The checkout that this program was built from.
    pub(crate) fn of_this_repository() -> Self {
        Self::at(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
    }

    /// A checkout anywhere.
    pub(crate) fn at(root: PathBuf) -> Self {
        Self { root }
    }

    /// The root folder.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The text of a file.
    ///
    /// # Errors
    /// It is not there, or is not UTF-8.
    pub(crate) fn read(&self, path: &str) -> Result<String> {
        std::fs::read_to_string(self.root.join(path)).with_context(|| format!("cannot read {path}"))
    }

    /// A TOML file.
    ///
    /// # Errors
    /// It is not there, or is not TOML.
    pub(crate) fn toml(&self, path: &str) -> Result<toml::Table> {
        self.read(path)?.parse().with_context(|| format!("{path} is not TOML"))
    }

    /// All files under a folder whose names end in `.extension`, in order. Hidden folders and those of [`FOREIGN`] are
    /// left out.
    ///
    /// # Errors
    /// A folder cannot be read.
    pub(crate) fn files(&self, folder: &str, extension: &str) -> Result<Vec<String>> {
        let mut found = Vec::new();
        let mut folders = vec![self.root.join(folder)];
        while let Some(folder) = folders.pop() {
            let entries =
                std::fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
            for entry in entries {
                let path = entry?.path();
                let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
                if path.is_dir() {
                    if !name.starts_with('.') && !FOREIGN.contains(&name) {
                        folders.push(path);
                    }
                } else if path.extension().is_some_and(|found| found == extension) {
                    found.push(self.shown(&path));
                }
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    /// Sources of the program and its tools, without their tests: what stands in a folder `src`.
    ///
    /// # Errors
    /// A folder cannot be read.
    pub(crate) fn sources(&self) -> Result<Vec<String>> {
        Ok(self
            .files("", "rs")?
            .into_iter()
            .filter(|path| path.split('/').any(|part| part == "src"))
            .collect())
    }

    fn shown(&self, path: &Path) -> String {
        let path = path.strip_prefix(&self.root).unwrap_or(path);
        path.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/")
    }
}
