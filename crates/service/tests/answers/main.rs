//! Every answer of the service, byte for byte, against recordings: see `README.md` beside this file.
#![allow(clippy::unwrap_used, reason = "a test may stop where something is wrong")]

#[path = "../common/mod.rs"]
mod common;
mod exchange;
mod gate;
mod mask;
mod operations;
mod pages;
mod scenario;
mod tape;
#[path = "../common/world.rs"]
mod world;
mod wrong;

use std::path::Path;

use tongguan_rpc::Format;

/// Fails if anything is different, and says what.
fn judge(outcomes: Vec<Result<usize, String>>) {
    let calls: usize = outcomes.iter().flatten().sum();
    let differences: Vec<String> = outcomes.into_iter().filter_map(Result::err).collect();
    assert!(
        differences.is_empty(),
        "answers are not as they were recorded (if they are meant to be, see answers/README.md):\n{}",
        differences.join("")
    );
    assert!(calls > 0, "nothing was called");
}

/// Plays every scenario of the conformance suite, and those beside this file, in this format.
async fn play_all(format: Format, suffix: &str) {
    let mut files = Vec::new();
    for folder in ["../../conformance/cases", "tests/answers/cases"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        files.extend(std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()));
    }
    files.sort();
    let mut outcomes = Vec::new();
    for file in files {
        if let Some(scenario) = scenario::read(&file) {
            let name = file.file_stem().unwrap().to_str().unwrap();
            outcomes.push(scenario.play(&format!("scenarios/{name}.{suffix}.txt"), format).await);
        }
    }
    assert!(outcomes.len() >= 10);
    judge(outcomes);
}

#[tokio::test(flavor = "multi_thread")]
async fn scenarios_in_json() {
    play_all(Format::Json, "json").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scenarios_in_xml() {
    play_all(Format::Xml, "xml").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn operations() {
    judge(operations::play_all().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn before_an_operation() {
    judge(vec![gate::play().await]);
}
