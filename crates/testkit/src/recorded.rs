//! The recorded requests of official clients, `crates/rpc/tests/golden/*.json`.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::request::Owned;

/// One recorded request.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// Name of its file.
    pub name: String,
    /// All that was recorded.
    pub json: Value,
    /// The request.
    pub request: Owned,
}

impl Recorded {
    /// A text of the recording.
    pub fn text(&self, pointer: &str) -> Option<&str> {
        self.json.pointer(pointer).and_then(Value::as_str)
    }

    /// Headers as they were sent, in the order of the recording.
    pub fn headers(&self) -> Vec<(&str, &str)> {
        let headers = self.json["request"]["headers"].as_object().unwrap();
        headers.iter().map(|(name, value)| (name.as_str(), value.as_str().unwrap())).collect()
    }
}

/// Where they are.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../rpc/tests/golden")
}

/// All of them, by name.
pub fn all() -> Vec<Recorded> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    assert_eq!(files.len(), 247);
    files.iter().map(|path| read(path)).collect()
}

fn read(path: &Path) -> Recorded {
    let json: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let field = |name: &str| json["request"][name].as_str().unwrap();
    let headers = json["request"]["headers"].as_object().unwrap();
    let headers: Vec<(&str, &str)> =
        headers.iter().map(|(name, value)| (name.as_str(), value.as_str().unwrap())).collect();
    let request = Owned::new(field("method"), field("target"), &headers, field("body"));
    Recorded { name: path.file_stem().unwrap().to_string_lossy().into_owned(), request, json }
}
