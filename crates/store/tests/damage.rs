//! What happens to the files between two lives of the service: each is met by a clear error, untouched.
#![allow(clippy::unwrap_used, reason = "a test may stop where something is wrong")]

use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tongguan_model::id::AccountId;
use tongguan_store::{AuditRecord, DATABASE_FILE, MARK_FILE, Options, Store, StoreError, Trouble, Verdict};

/// A directory as a killed process leaves it: `accounts` answered changes, all still in the log.
fn killed(accounts: u32) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), &Options::default()).unwrap();
    for number in 0..accounts {
        add(&store, number).unwrap();
    }
    let copy = tempfile::tempdir().unwrap();
    copy_files(directory.path(), copy.path());
    copy
}

fn add(store: &Store, number: u32) -> Result<(), StoreError> {
    let id = AccountId::new(format!("{number:03}"));
    store.write_blocking(move |tx| {
        tx.ensure_account(&id, i64::from(number))?;
        Ok(Verdict::Keep(()))
    })
}

fn open(directory: &Path) -> Result<Store, StoreError> {
    Store::open(directory, &Options::default())
}

fn copy_files(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir(&to).unwrap();
            copy_files(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// What stands in the files, told apart by a sum. SQLite's shared memory and an empty log are no data, and
/// the lock names the process.
fn contents(directory: &Path) -> Vec<(PathBuf, u64)> {
    let sum = |path: &Path| {
        let bytes = std::fs::read(path).unwrap();
        bytes.iter().fold(bytes.len() as u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)))
    };
    let mut files: Vec<_> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.is_file() && !path.ends_with("tongguan.lock") && !path.ends_with("tongguan.db-shm")
        })
        .filter(|path| std::fs::metadata(path).unwrap().len() > 0)
        .map(|path| (path.clone(), sum(&path)))
        .collect();
    files.sort();
    files
}

/// Waits until an audit record outlives the process.
fn written(store: &Store, number: u64) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(store.audit_written(number)).unwrap();
}

#[test]
fn a_killed_process_loses_nothing() {
    let directory = killed(20);
    let store = open(directory.path()).unwrap();
    assert_eq!(store.read(|snapshot| snapshot.first_account()).unwrap(), Some(AccountId::new("000")));
}

#[test]
fn a_missing_or_shortened_log_is_refused_and_nothing_is_touched() {
    let log = format!("{DATABASE_FILE}-wal");
    let damages: [fn(&Path); 3] = [
        |log| std::fs::remove_file(log).unwrap(),
        |log| {
            let length = std::fs::metadata(log).unwrap().len();
            std::fs::File::options().write(true).open(log).unwrap().set_len(length - 4_000).unwrap();
        },
        |log| {
            let mut bytes = std::fs::read(log).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 0x10;
            std::fs::write(log, bytes).unwrap();
        },
    ];
    for (number, damage) in damages.into_iter().enumerate() {
        let directory = killed(20);
        // A database that has something of its own, so that it is the log alone that is missed.
        drop(open(directory.path()).unwrap());
        let later = tempfile::tempdir().unwrap();
        let store = open(directory.path()).unwrap();
        add(&store, 100).unwrap();
        add(&store, 101).unwrap();
        copy_files(directory.path(), later.path());
        damage(&later.path().join(&log));
        let before = contents(later.path());
        let error = open(later.path()).unwrap_err();
        assert!(
            matches!(error, StoreError::Lost { found, answered, .. } if found < answered),
            "{number}: {error}"
        );
        assert!(error.to_string().contains(MARK_FILE), "{error}");
        assert_eq!(contents(later.path()), before, "{number}");
        // Whoever accepts the loss removes the mark.
        std::fs::remove_file(later.path().join(MARK_FILE)).unwrap();
        assert!(open(later.path()).is_ok());
    }
}

#[test]
fn a_missing_database_is_not_replaced_by_an_empty_one() {
    let directory = killed(3);
    for file in [DATABASE_FILE, "tongguan.db-wal", "tongguan.db-shm"] {
        let _ = std::fs::remove_file(directory.path().join(file));
    }
    let error = open(directory.path()).unwrap_err();
    assert!(matches!(error, StoreError::Missing(_)), "{error}");
    std::fs::write(directory.path().join(DATABASE_FILE), b"").unwrap();
    assert!(matches!(open(directory.path()), Err(StoreError::Missing(_))));
    assert_eq!(std::fs::metadata(directory.path().join(DATABASE_FILE)).unwrap().len(), 0);
}

#[test]
fn nothing_is_written_to_a_database_found_damaged() {
    let directory = killed(200);
    drop(open(directory.path()).unwrap());
    let path = directory.path().join(DATABASE_FILE);
    let store = open(directory.path()).unwrap();
    // Every page but the first and those of the schema: what SQLite has not cached is found malformed.
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[4096..].fill(0xa5);
    std::fs::write(&path, &bytes).unwrap();
    let mut found = None;
    for number in 1_000..1_100 {
        if let Err(StoreError::Unusable(trouble)) = add(&store, number) {
            found = Some(trouble);
            break;
        }
        let _ = store.read(|snapshot| snapshot.first_account());
    }
    let Some(Trouble::Damaged(_)) = found else { panic!("the damage was not noticed: {found:?}") };
    assert_eq!(store.trouble(), found);
    assert!(matches!(add(&store, 5_000), Err(StoreError::Unusable(Trouble::Damaged(_)))));
}

#[test]
fn records_in_the_journal_outlive_the_process() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { audit_flush_ms: 60_000, ..Options::default() };
    let store = Store::open(directory.path(), &options).unwrap();
    let new = tongguan_store::NewAuditKey { sealed: vec![1], now_ms: 0 };
    assert_eq!(store.seal_audit(&[7; 32], Some(new)).unwrap(), []);
    let record = |id: &str| AuditRecord { request_id: id.into(), status: 200, ..AuditRecord::default() };
    for id in ["a", "b", "c"] {
        let number = store.audit_later(record(id)).unwrap();
        written(&store, number);
    }
    let copy = tempfile::tempdir().unwrap();
    copy_files(directory.path(), copy.path());
    for _ in 0..2 {
        let store = open(copy.path()).unwrap();
        assert_eq!(store.seal_audit(&[7; 32], None).unwrap(), []);
        for id in ["a", "b", "c"] {
            assert_eq!(store.read(|snapshot| snapshot.audited(id)).unwrap(), Some((200, None)), "{id}");
        }
    }
    // None is there twice.
    let connection = rusqlite::Connection::open(copy.path().join(DATABASE_FILE)).unwrap();
    let count: u32 = connection.query_row("SELECT count(*) FROM audit", [], |row| row.get(0)).unwrap();
    assert_eq!(count, 3);
}
