//! Every target holds over its corpus and over everything that once broke it.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use tongguan_fuzz::TARGETS;

/// Bytes that the corpora may take in the repository, all together.
const CORPORA_BYTES: u64 = 1_500_000;

fn inputs(folder: &str, target: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join(target);
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn run(name: &str) {
    let (_, target) = TARGETS.iter().find(|(known, _)| *known == name).unwrap();
    let corpus = inputs("corpus", name);
    assert!(!corpus.is_empty(), "{name} has no corpus");
    let mut broken = Vec::new();
    for file in corpus.into_iter().chain(inputs("regressions", name)) {
        let input = std::fs::read(&file).unwrap();
        if catch_unwind(AssertUnwindSafe(|| target(&input))).is_err() {
            broken.push(file.display().to_string());
        }
    }
    assert!(broken.is_empty(), "broken by:\n{}", broken.join("\n"));
}

macro_rules! targets {
    ($($name:ident),+ $(,)?) => {
        $(#[test] fn $name() { run(stringify!($name)); })+

        #[test]
        fn every_target_is_run() {
            let here = [$(stringify!($name)),+];
            assert_eq!(TARGETS.map(|(name, _)| name), here);
        }
    };
}

targets![
    request,
    parameters,
    verify_v1,
    verify_v3,
    policy,
    pem,
    x509,
    csr,
    ike,
    ike_certificates,
    orders,
    esp
];

#[test]
fn corpora_stay_small() {
    let sizes = TARGETS.iter().flat_map(|(name, _)| inputs("corpus", name));
    let total: u64 = sizes.map(|file| file.metadata().unwrap().len()).sum();
    assert!(total <= CORPORA_BYTES, "{total} bytes");
}

/// Nothing, one byte of each kind and a long run of one byte break no target.
#[test]
fn the_simplest_inputs() {
    for (_, target) in TARGETS {
        target(&[]);
        for byte in 0..=u8::MAX {
            target(&[byte]);
        }
        target(&[b'['; 10_000]);
        target(&[0xff; 10_000]);
    }
}
