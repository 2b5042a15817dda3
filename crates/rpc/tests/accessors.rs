//! What a request says is used by who decides about it, or cannot be had: an accessor that nobody asks is a claim that
//! nobody checks.
#![allow(clippy::unwrap_used, reason = "a test may stop where something is wrong")]

use std::path::Path;

const REQUEST: &str = include_str!("../src/request.rs");

/// Names of the public methods of a type that take `self`.
fn accessors(of: &str) -> Vec<&'static str> {
    let begin = REQUEST.find(of).unwrap_or_else(|| panic!("request.rs has no `{of}`"));
    let block = &REQUEST[begin..];
    let block = &block[..block.find("\n}\n").unwrap()];
    let methods = block.split("pub fn ").skip(1);
    methods
        .filter(|method| method.contains("(&self"))
        .map(|method| method.split('(').next().unwrap())
        .collect()
}

/// The text of the service's sources, tests left out.
fn service() -> String {
    fn gather(directory: &Path, text: &mut String) {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                gather(&path, text);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let source = std::fs::read_to_string(&path).unwrap();
                text.push_str(source.split("#[cfg(test)]").next().unwrap());
            }
        }
    }
    let mut text = String::new();
    gather(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../service/src")), &mut text);
    text
}

#[test]
fn every_accessor_is_used_by_the_service() {
    let service = service();
    for (of, least) in [("impl<'a> Incoming<'a> {", 9), ("impl<'r, 'a> Verified<'r, 'a> {", 7)] {
        let names = accessors(of);
        assert!(names.len() >= least, "{of} {names:?}");
        for name in names {
            assert!(service.contains(&format!(".{name}(")), "nobody asks for {name} of `{of}`");
        }
    }
}

/// Claims that nobody has verified are for the audit record alone.
#[test]
fn the_service_acts_on_no_claim() {
    let uses: Vec<_> =
        service().lines().filter(|line| line.contains("claims()")).map(str::to_owned).collect();
    // For the audit record, and for the product that a refusal recommends to read about.
    let known = [
        "if let Some(product) = incoming.claims().version().and_then(Product::of_version) {",
        "let action = incoming.claims().action()?;",
        "trail.action = incoming.claims().action().map(cut);",
    ];
    for known in known {
        assert_eq!(uses.iter().filter(|line| line.trim() == known).count(), 1, "{known} in {uses:#?}");
    }
    assert_eq!(uses.len(), known.len(), "{uses:#?}");
}
