//! One flipped bit, one torn page: what `tongguan check` notices, over every kind of content.
#![allow(clippy::unwrap_used, reason = "a test may stop where something is wrong")]

use std::path::Path;

use rusqlite::Connection;
use tongguan_service::check;
use tongguan_service::vault::Vault;
use tongguan_store::{Archive, DATABASE_FILE, Options, Store};

const PAGE: usize = 4_096;

/// The bytes of a database of the present schema with something of everything in it.
fn sound() -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(DATABASE_FILE);
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../store/tests/schemas/1.db");
    std::fs::copy(fixture, &path).unwrap();
    drop(Store::open(directory.path(), &Options::default()).unwrap());
    std::fs::read(path).unwrap()
}

/// Whether the damage is noticed; else whether it changed anything that the service reads.
#[derive(Debug, PartialEq, Eq)]
enum Noticed {
    Yes,
    NothingChanged,
    No,
}

fn try_out(bytes: &[u8], content: &str) -> Noticed {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(DATABASE_FILE);
    std::fs::write(&path, bytes).unwrap();
    let vault = Vault::new(&[9; 32]).unwrap();
    let verdicts = Archive::open_file(&path).and_then(|archive| check::everything(&archive, Some(&vault)));
    match verdicts {
        Ok(verdicts) if verdicts.iter().all(|verdict| verdict.findings.is_empty()) => {
            if dump(&path).as_deref() == Some(content) { Noticed::NothingChanged } else { Noticed::No }
        }
        Ok(_) | Err(_) => Noticed::Yes,
    }
}

/// Everything that stands in the tables.
fn dump(path: &Path) -> Option<String> {
    let connection = Connection::open(path).ok()?;
    let mut tables =
        connection.prepare("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name").ok()?;
    let tables: Vec<String> = tables.query_map([], |row| row.get(0)).ok()?.collect::<Result<_, _>>().ok()?;
    let mut text = String::new();
    for table in tables {
        let mut rows = connection.prepare(&format!("SELECT * FROM {table}")).ok()?;
        let columns = rows.column_count();
        let mut rows = rows.query([]).ok()?;
        while let Some(row) = rows.next().ok()? {
            for column in 0..columns {
                text.push_str(&format!("{:?} ", row.get_ref(column).ok()?));
            }
            text.push('\n');
        }
    }
    Some(text)
}

fn content(bytes: &[u8]) -> String {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(DATABASE_FILE);
    std::fs::write(&path, bytes).unwrap();
    dump(&path).unwrap()
}

#[test]
fn a_torn_page_is_noticed() {
    let bytes = sound();
    let content = content(&bytes);
    for page in 0..bytes.len() / PAGE {
        for (from, to) in [(0, PAGE), (0, PAGE / 2), (PAGE / 2, PAGE)] {
            let mut torn = bytes.clone();
            torn[page * PAGE + from..page * PAGE + to].fill(0);
            assert_ne!(try_out(&torn, &content), Noticed::No, "page {page}, bytes {from} to {to}");
        }
    }
}

#[test]
fn most_flipped_bits_are_noticed() {
    // More with FLIPS=…; the figures of a long run stand in docs/reliability.md.
    let flips: u32 = std::env::var("FLIPS").map_or(300, |flips| flips.parse().unwrap());
    let bytes = sound();
    let content = content(&bytes);
    let mut random: u64 = 0x7467_7561_6e35;
    let (mut noticed, mut harmless, mut silent) = (0, 0, 0);
    for _ in 0..flips {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let place = usize::try_from(random >> 3).unwrap() % bytes.len();
        let mut flipped = bytes.clone();
        flipped[place] ^= 1 << (random & 7);
        match try_out(&flipped, &content) {
            Noticed::Yes => noticed += 1,
            Noticed::NothingChanged => harmless += 1,
            Noticed::No => silent += 1,
        }
    }
    println!(
        "{flips} flips: {noticed} noticed, {harmless} changed nothing, {silent} changed a text unnoticed"
    );
    assert!(noticed > 2 * silent);
}
