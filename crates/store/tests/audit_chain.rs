//! The chain of audit records: whole after everything that is allowed, and every change that is not is found.
#![allow(clippy::unwrap_used, reason = "a test may stop where something is wrong")]

use std::path::Path;

use rusqlite::Connection;
use tempfile::TempDir;
use tongguan_model::id::AccountId;
use tongguan_store::{
    Archive, AuditLink, AuditRecord, AuditVerdict, DATABASE_FILE, NewAuditKey, Options, Store, StoreError,
    Verdict,
};

const KEY: &[u8] = &[7; 32];

fn record(id: &str) -> AuditRecord {
    AuditRecord {
        time_ms: 1_700_000_000_000,
        request_id: id.into(),
        account: Some("1234567890123456".into()),
        principal: Some("user/alice".into()),
        access_key: Some("LTAIx".into()),
        source: "192.0.2.1".into(),
        product: Some("Vpc".into()),
        action: Some("CreateVpc".into()),
        resource: Some("vpc-1".into()),
        status: 403,
        code: Some("Forbidden".into()),
        ..AuditRecord::default()
    }
}

fn open(directory: &Path) -> Store {
    Store::open(directory, &Options { audit_flush_ms: 1, ..Options::default() }).unwrap()
}

/// Opens and seals, as the service does.
fn sealed(directory: &Path) -> Store {
    let store = open(directory);
    let there = store.read(|snapshot| snapshot.audit_key()).unwrap().is_some();
    let new = (!there).then(|| NewAuditKey { sealed: vec![1], now_ms: 0 });
    assert_eq!(store.seal_audit(KEY, new).unwrap(), []);
    store
}

fn write(store: &Store, id: &str, verdict: fn(()) -> Verdict<()>) {
    let record = record(id);
    let change = move |tx: &tongguan_store::Tx<'_>| {
        tx.audit(&record)?;
        Ok(verdict(()))
    };
    store.write_blocking(change).unwrap();
}

fn verdict(directory: &Path, heads: &[AuditLink]) -> AuditVerdict {
    Archive::open(directory).unwrap().audit(Some(KEY), heads).unwrap()
}

fn whole(directory: &Path) -> AuditVerdict {
    let verdict = verdict(directory, &[]);
    assert_eq!(verdict.findings, []);
    verdict
}

fn findings(directory: &Path) -> String {
    let findings = verdict(directory, &[]).findings;
    findings.iter().map(|finding| format!("{}\n", finding.what)).collect()
}

fn head(directory: &Path) -> AuditLink {
    Archive::open(directory).unwrap().read(|snapshot| snapshot.audit_chain()).unwrap().head
}

fn database(directory: &Path) -> Connection {
    Connection::open(directory.join(DATABASE_FILE)).unwrap()
}

fn tamper(directory: &Path, sql: &str) {
    database(directory).execute_batch(sql).unwrap();
}

/// A directory whose store has nine records, sealed.
fn kept() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let store = sealed(directory.path());
    (1..=9).for_each(|number| write(&store, &format!("R{number}"), Verdict::Keep));
    drop(store);
    assert_eq!(whole(directory.path()).records, 9);
    directory
}

/// Lets records come by every way, with discarded changes between.
fn mix(store: &Store, name: &str) {
    for number in 0..40 {
        let id = format!("{name}-{number}");
        match number % 4 {
            0 => write(store, &id, Verdict::Keep),
            1 => write(store, &id, Verdict::Discard),
            _ => {
                let number = store.audit_later(record(&id)).unwrap();
                store.audit_written(number).unwrap();
            }
        }
    }
}

#[test]
fn the_chain_is_whole_after_everything_that_is_allowed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    // Without a key, then with one, then without again: a command that works on a stopped service's database.
    let store = open(path);
    mix(&store, "first");
    drop(store);
    for life in 0..3 {
        let store = sealed(path);
        mix(&store, &format!("life {life}"));
        drop(store);
        assert_eq!(whole(path).chain.sealed(), Some(head(path)));
    }
    let store = open(path);
    mix(&store, "unsealed");
    drop(store);
    let verdict = whole(path);
    assert!(verdict.chain.sealed().unwrap().seq < verdict.chain.head.seq);
    drop(sealed(path));
    assert_eq!(whole(path).records, 5 * 30);
    // A copy is as whole as what it was taken of.
    let copy = path.join("copy.db");
    Archive::open(path).unwrap().copy_to(&copy).unwrap();
    let verdict = Archive::open_file(&copy).unwrap().audit(Some(KEY), &[head(path)]).unwrap();
    assert_eq!((verdict.findings, verdict.records), (vec![], 150));
}

#[test]
fn a_group_that_is_tried_again_leaves_a_whole_chain() {
    let directory = tempfile::tempdir().unwrap();
    let store = sealed(directory.path());
    let workers: Vec<_> = (0..64_u32)
        .map(|number| {
            let store = store.clone();
            std::thread::spawn(move || {
                let _ = store.audit_later(record(&format!("read {number}")));
                let own = record(&format!("R{number}"));
                store.write_blocking(move |tx| {
                    tx.audit(&own)?;
                    match number % 4 {
                        // Fails the whole group's transaction.
                        0 => tx.put_access_key("k", &AccountId::new("none"), b"", 1)?,
                        1 => panic!("a bug in a change"),
                        2 => return Ok(Verdict::Discard(())),
                        _ => {}
                    }
                    Ok(Verdict::Keep(()))
                })
            })
        })
        .collect();
    let kept = workers.into_iter().map(|worker| worker.join().unwrap().is_ok()).filter(|ok| *ok);
    assert_eq!(kept.count(), 32);
    drop(store);
    assert_eq!(whole(directory.path()).records, 64 + 16);
}

/// A killed process leaves records in the journal; they are shown, and then part of the chain.
#[test]
fn records_of_a_killed_process_are_taken_into_the_chain() {
    let directory = kept();
    let journal = directory.path().join("audit");
    std::fs::create_dir_all(&journal).unwrap();
    let line = |id: &str| serde_json::to_string(&record(id)).unwrap();
    std::fs::write(journal.join("00000000000000000001.jsonl"), format!("{}\n{}\n", line("a"), line("b")))
        .unwrap();
    let left = Archive::open(directory.path()).unwrap().journal_left(directory.path()).unwrap();
    assert_eq!(left.iter().map(|left| left.request_id.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    drop(sealed(directory.path()));
    assert_eq!(whole(directory.path()).records, 11);
    assert!(Archive::open(directory.path()).unwrap().journal_left(directory.path()).unwrap().is_empty());
}

#[test]
fn every_changed_column_is_found() {
    for (column, value) in [
        ("time_ms", "time_ms + 1"),
        ("request_id", "'other'"),
        ("account", "NULL"),
        ("account", "'6543210987654321'"),
        ("principal", "'user/mallory'"),
        ("access_key", "'LTAIy'"),
        ("source", "'192.0.2.2'"),
        ("product", "NULL"),
        ("action", "'DeleteVpc'"),
        ("resource", "''"),
        ("status", "200"),
        ("status", "'two hundred'"),
        ("code", "NULL"),
        ("code", "x'00'"),
        ("issued", "'STS.other'"),
        ("origin", "'acs:ram::1234567890123456:user/mallory LTAIy'"),
        ("source_identity", "''"),
        ("source_identity", "x'00'"),
        ("hash", "NULL"),
        ("hash", "zeroblob(32)"),
        ("hash", "'text'"),
    ] {
        for seq in [1, 5, 9] {
            let directory = kept();
            tamper(directory.path(), &format!("UPDATE audit SET {column} = {value} WHERE seq = {seq}"));
            let found = findings(directory.path());
            assert!(found.starts_with(&format!("record {seq} (request")), "{column} {value} {seq}: {found}");
        }
    }
}

#[test]
fn removed_and_forged_records_are_found() {
    let forged = "INSERT INTO audit (seq, time_ms, request_id, source, status, hash) \
                  SELECT 10, 0, 'forged', '', 200, hash FROM audit WHERE seq = 9;";
    let swap = "UPDATE audit SET seq = 100 WHERE seq = 4; UPDATE audit SET seq = 4 WHERE seq = 5; \
                UPDATE audit SET seq = 5 WHERE seq = 100;";
    for (sql, expected) in [
        ("DELETE FROM audit WHERE seq = 1", "record 1 was removed before record 2 (request R2)"),
        ("DELETE FROM audit WHERE seq IN (4, 5)", "records 4 to 5 were removed before record 6 (request R6)"),
        ("DELETE FROM audit WHERE seq = 9", "record 9 was removed: the newest"),
        ("DELETE FROM audit", "records 1 to 9 were removed: the newest"),
        (swap, "record 4 (request R5) was changed"),
        (forged, "record 10 (request forged) was put in after the newest one"),
        // With the ends brought up to it, the seal tells.
        (
            "DELETE FROM audit WHERE seq = 9; UPDATE audit_chain SET head_seq = 8, head_hash = (SELECT hash FROM \
             audit WHERE seq = 8)",
            "the sealed record, 9, was removed",
        ),
        (
            "DELETE FROM audit WHERE seq = 9; UPDATE audit_chain SET head_seq = 8, sealed_seq = 8, \
             head_hash = (SELECT hash FROM audit WHERE seq = 8), sealed_hash = (SELECT hash FROM audit WHERE seq = 8)",
            "the seal does not fit",
        ),
        // As if retention had removed them.
        (
            "UPDATE audit_chain SET anchor_seq = 3, anchor_hash = (SELECT hash FROM audit WHERE seq = 3); \
             DELETE FROM audit WHERE seq <= 3",
            "the seal does not fit",
        ),
        ("UPDATE audit_chain SET anchor_seq = 3", "the anchor is wrong: record 1 is of the chain"),
        ("UPDATE audit_chain SET anchor_hash = randomblob(32)", "record 1 (request R1), or the anchor,"),
        ("UPDATE audit_chain SET head_hash = randomblob(32)", "the head, 9, has another hash"),
        ("UPDATE audit_chain SET seal = NULL", "the seal does not fit"),
        // As if it had all been before there was a chain.
        (
            "UPDATE audit SET hash = NULL, action = 'Nothing'; UPDATE audit_chain SET anchor_seq = 9, \
             anchor_hash = head_hash, seal = NULL, sealed_seq = NULL, sealed_hash = NULL",
            "the seal does not fit",
        ),
    ] {
        let directory = kept();
        tamper(directory.path(), sql);
        let found = findings(directory.path());
        assert!(found.contains(expected), "{sql}: {found}");
        // So does the start, which seals nothing then, and goes on all the same.
        let store = open(directory.path());
        assert!(!store.seal_audit(KEY, None).unwrap().is_empty(), "{sql}");
        write(&store, "after", Verdict::Keep);
        drop(store);
        assert_ne!(findings(directory.path()), "", "{sql}: it is found again");
    }
    // The whole chain made up anew by somebody who knows how, but has no key.
    let directory = kept();
    tamper(directory.path(), "UPDATE audit SET source = '198.51.100.1', hash = NULL");
    let other = tempfile::tempdir().unwrap();
    let store = open(other.path());
    for number in 1..=9 {
        let made_up = AuditRecord { source: "198.51.100.1".into(), ..record(&format!("R{number}")) };
        store.write_blocking(move |tx| Ok(Verdict::Keep(tx.audit(&made_up)?))).unwrap();
    }
    drop(store);
    let sql = format!(
        "ATTACH '{}' AS other; UPDATE audit SET hash = (SELECT hash FROM other.audit AS made WHERE made.seq = audit.seq); \
         UPDATE audit_chain SET head_hash = (SELECT head_hash FROM other.audit_chain), \
         sealed_hash = (SELECT head_hash FROM other.audit_chain);",
        other.path().join(DATABASE_FILE).display()
    );
    let before = head(directory.path());
    tamper(directory.path(), &sql);
    assert!(findings(directory.path()).contains("the seal does not fit"));
    // Nor does the head that was kept elsewhere.
    let archive = Archive::open(directory.path()).unwrap();
    assert_eq!(archive.audit(None, &[]).unwrap().findings, [], "without the key there is nothing to see");
    let found = archive.audit(None, &[before]).unwrap().findings;
    assert!(found[0].what.contains("kept elsewhere, 9, has another hash"), "{found:?}");
}

#[test]
fn a_head_that_was_kept_elsewhere_finds_an_older_copy() {
    let directory = kept();
    let old = std::fs::read(directory.path().join(DATABASE_FILE)).unwrap();
    let before = head(directory.path());
    write(&sealed(directory.path()), "later", Verdict::Keep);
    let after = head(directory.path());
    assert_eq!(verdict(directory.path(), &[before, after]).findings, []);
    std::fs::write(directory.path().join(DATABASE_FILE), old).unwrap();
    std::fs::remove_file(directory.path().join("tongguan.mark")).unwrap();
    assert_eq!(verdict(directory.path(), &[before]).findings, []);
    let found = verdict(directory.path(), &[after]).findings;
    assert!(found[0].what.contains("10, was removed or replaced: the chain ends at 9"), "{found:?}");
}

/// A database without the ends of its chain could not take any record: it is refused, and says why.
#[test]
fn a_chain_without_ends_is_refused() {
    for sql in ["DELETE FROM audit_chain", "UPDATE audit_chain SET head_hash = x'00'"] {
        let directory = kept();
        tamper(directory.path(), sql);
        assert!(matches!(Store::open(directory.path(), &Options::default()), Err(StoreError::Unsound(_))));
        let archive = Archive::open(directory.path()).unwrap();
        assert!(matches!(archive.audit(None, &[]), Err(StoreError::Damaged(_))));
    }
}

#[test]
fn a_broken_chain_can_be_begun_anew() {
    let directory = kept();
    tamper(
        directory.path(),
        "UPDATE audit SET action = 'Other' WHERE seq = 4; DELETE FROM audit WHERE seq = 9",
    );
    assert_ne!(findings(directory.path()), "");
    open(directory.path()).begin_audit_anew(KEY, None, record("anew")).unwrap();
    let verdict = whole(directory.path());
    assert_eq!((verdict.before, verdict.records, verdict.chain.anchor.seq), (8, 1, 9));
    write(&sealed(directory.path()), "more", Verdict::Keep);
    assert_eq!(whole(directory.path()).records, 2);
}

/// Retention by number and by age moves the begin of the chain, and nothing else.
#[test]
fn retention_keeps_the_chain_whole() {
    let directory = kept();
    let kept_elsewhere = head(directory.path());
    tamper(directory.path(), "UPDATE store SET journal = 0");
    let store = sealed(directory.path());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let trim = |before_ms, batch| runtime.block_on(store.trim_audit(before_ms, batch)).unwrap();
    assert_eq!(trim(1_700_000_000_000, 100), 0, "none is older than that");
    assert_eq!(trim(1_700_000_000_001, 4), 4);
    assert_eq!(verdict(directory.path(), &[kept_elsewhere]).findings, []);
    assert_eq!(whole(directory.path()).records, 5);
    assert_eq!((trim(i64::MAX, 100), trim(i64::MAX, 100)), (5, 0), "all of them, also the newest");
    assert_eq!(whole(directory.path()).chain.anchor, kept_elsewhere);
    write(&store, "next", Verdict::Keep);
    drop(store);
    let verdict = whole(directory.path());
    assert_eq!((verdict.records, verdict.chain.head.seq), (1, 10));
    let old = AuditLink { seq: 3, ..kept_elsewhere };
    let found = self::verdict(directory.path(), &[old]).findings;
    assert!(found[0].what.contains("before the begin of the chain"), "{found:?}");

    let options = Options { audit_records: 50, audit_flush_ms: 1, ..Options::default() };
    let store = Store::open(directory.path(), &options).unwrap();
    assert_eq!(store.seal_audit(KEY, None).unwrap(), []);
    for round in 0..20 {
        store
            .write_blocking(move |tx| {
                (0..500).try_for_each(|number| tx.audit(&record(&format!("{round} {number}"))))?;
                Ok(Verdict::Keep(()))
            })
            .unwrap();
    }
    // The writer trims after so many records of reads and groups.
    for number in 0..9_000 {
        while store.audit_later(record(&format!("read {number}"))).is_err() {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }
    drop(store);
    let verdict = whole(directory.path());
    assert!(verdict.chain.anchor.seq > 10 && verdict.records < 18_000, "{verdict:?}");
}

/// Without the key nothing of a sealed chain is removed: the seal would no longer fit.
#[test]
fn who_cannot_seal_removes_nothing() {
    let directory = kept();
    let store = open(directory.path());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert_eq!(runtime.block_on(store.trim_audit(i64::MAX, 100)).unwrap(), 0);
    drop(store);
    assert_eq!(whole(directory.path()).records, 9);
}

/// Records of older schemas are kept, and the chain begins after them.
#[test]
fn databases_of_older_schemas_get_a_chain() {
    for schema in [1, 2] {
        let directory = tempfile::tempdir().unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/schemas/{schema}.db"));
        std::fs::copy(source, directory.path().join(DATABASE_FILE)).unwrap();
        let count =
            |sql: &str| -> i64 { database(directory.path()).query_row(sql, [], |row| row.get(0)).unwrap() };
        let (before, newest) = (count("SELECT count(*) FROM audit"), count("SELECT max(seq) FROM audit"));
        assert!(before > 10);
        let store = sealed(directory.path());
        write(&store, "new", Verdict::Keep);
        let verdict = whole(directory.path());
        assert_eq!((verdict.before.cast_signed(), verdict.records), (before, 1), "schema {schema}");
        assert_eq!(verdict.chain.anchor.seq, newest);
        // They go like others, and the chain begins where it began.
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let trimmed = runtime.block_on(store.trim_audit(i64::MAX, u32::try_from(before).unwrap())).unwrap();
        assert_eq!(trimmed.cast_signed(), usize::try_from(before).unwrap().cast_signed());
        drop(store);
        let verdict = whole(directory.path());
        assert_eq!((verdict.before, verdict.records, verdict.chain.anchor.seq), (0, 1, newest));
    }
}

/// Whoever recomputes every hash while the service runs does not get its seal.
#[test]
fn what_is_forged_beside_the_running_service_is_not_sealed() {
    let directory = tempfile::tempdir().unwrap();
    let store = sealed(directory.path());
    for number in 1..=3 {
        write(&store, &format!("R{number}"), Verdict::Keep);
    }
    assert_eq!(whole(directory.path()).findings, []);
    // Another head, as it would be after other records: it is all that the service goes on from.
    let connection = rusqlite::Connection::open(directory.path().join(DATABASE_FILE)).unwrap();
    connection.execute_batch("UPDATE audit_chain SET head_hash = randomblob(32)").unwrap();
    for number in 4..=6 {
        write(&store, &format!("R{number}"), Verdict::Keep);
    }
    let chain = store.read(|snapshot| snapshot.audit_chain()).unwrap();
    assert_eq!(chain.sealed().map(|link| link.seq), Some(3), "the service goes on and does not seal");
    assert!(!verdict(directory.path(), &[]).findings.is_empty());
}
