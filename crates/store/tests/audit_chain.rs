//! The chain of audit records: whole after everything that is allowed, and every change that is not is found.
#![allow(clippy::unwrap_used, reason = "a test may stop where something is wrong")]

use std::path::Path;

use rusqlite::Connection;
use tempfile::TempDir;
use tongguan_model::id::AccountId;
use tongguan_store::{
    Archive, AuditHead, AuditLink, AuditRecord, AuditVerdict, DATABASE_FILE, NewAuditKey, Options, Store,
    StoreError, Verdict, Vouched,
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
    let heads: Vec<AuditHead> = heads.iter().map(|link| (*link).into()).collect();
    Archive::open(directory).unwrap().audit(Some(KEY), &heads).unwrap()
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
                written(store, number);
            }
        }
    }
}

/// Waits until an audit record outlives the process.
fn written(store: &Store, number: u64) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(store.audit_written(number)).unwrap();
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
    let verdict = Archive::open_file(&copy).unwrap().audit(Some(KEY), &[head(path).into()]).unwrap();
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

/// Copies the journal of a store that is open, as a process that was killed leaves it. Answers the file.
fn leave_journal(from: &Path, to: &Path) -> std::path::PathBuf {
    let mut files: Vec<_> =
        std::fs::read_dir(from.join("audit")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let left = to.join("audit").join(files.last().unwrap().file_name().unwrap());
    std::fs::create_dir_all(to.join("audit")).unwrap();
    std::fs::copy(files.last().unwrap(), &left).unwrap();
    left
}

/// A directory that a killed process has left: nine records in the database, and two writes, of `a`, `b` and of `c`,
/// in the journal.
fn killed() -> (TempDir, std::path::PathBuf) {
    let directory = kept();
    let copy = tempfile::tempdir().unwrap();
    let store =
        Store::open(directory.path(), &Options { audit_flush_ms: 3_600_000, ..Options::default() }).unwrap();
    assert_eq!(store.seal_audit(KEY, None).unwrap(), []);
    for ids in [&["a", "b"][..], &["c"]] {
        let number = ids.iter().fold(0, |_, id| store.audit_later(record(id)).unwrap());
        written(&store, number);
    }
    std::fs::copy(directory.path().join(DATABASE_FILE), copy.path().join(DATABASE_FILE)).unwrap();
    let wal = format!("{DATABASE_FILE}-wal");
    std::fs::copy(directory.path().join(&wal), copy.path().join(&wal)).unwrap();
    let journal = leave_journal(directory.path(), copy.path());
    (copy, journal)
}

fn newest(directory: &Path, many: u32) -> Vec<String> {
    let connection = database(directory);
    let mut statement =
        connection.prepare("SELECT request_id FROM audit ORDER BY seq DESC LIMIT ?1").unwrap();
    let ids = statement.query_map([many], |row| row.get(0)).unwrap();
    let mut ids: Vec<String> = ids.map(Result::unwrap).collect();
    ids.reverse();
    ids
}

/// A killed process leaves records in the journal; they are shown, and then part of the chain.
#[test]
fn records_of_a_killed_process_are_taken_into_the_chain() {
    let (directory, journal) = killed();
    let left = Archive::open(directory.path()).unwrap().journal_left(directory.path()).unwrap();
    assert_eq!(left.iter().map(|left| left.request_id.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
    // Who has no key leaves them where they are, and journals nothing after them.
    let store = open(directory.path());
    let waiting = store.audit_later(record("waits")).unwrap_err();
    assert_eq!(waiting.request_id, "waits");
    drop(store);
    assert!(journal.exists());
    for _ in 0..2 {
        drop(sealed(directory.path()));
        assert_eq!(whole(directory.path()).records, 12);
        assert_eq!(newest(directory.path(), 4), ["R9", "a", "b", "c"]);
    }
    assert!(Archive::open(directory.path()).unwrap().journal_left(directory.path()).unwrap().is_empty());
}

/// Whoever writes to the directory while nobody serves gets nothing into the record.
#[test]
fn nobody_else_leaves_records_in_the_journal() {
    let (_directory, journal) = killed();
    let ours = std::fs::read_to_string(&journal).unwrap();
    let lines: Vec<_> = ours.lines().collect();
    assert_eq!(lines.len(), 5, "a, b, their proof, c, its proof");
    let forged = serde_json::to_string(&AuditRecord { source: "local".into(), ..record("forged") }).unwrap();
    let taken = |text: String, name: Option<&str>| {
        let (directory, journal) = killed();
        std::fs::write(&journal, text).unwrap();
        if let Some(name) = name {
            std::fs::rename(&journal, journal.with_file_name(name)).unwrap();
        }
        drop(sealed(directory.path()));
        assert_eq!(whole(directory.path()).findings, []);
        let aside = std::fs::read_dir(directory.path().join("audit")).unwrap();
        let aside = aside.filter(|entry| entry.as_ref().unwrap().path().extension().unwrap() == "unproven");
        (newest(directory.path(), 12).into_iter().skip(9).collect::<Vec<_>>().join(" "), aside.count())
    };
    let joined = |lines: &[&str]| format!("{}\n", lines.join("\n"));
    assert_eq!(taken(ours.clone(), None), ("a b c".into(), 0));
    // Put in before, between and after; without a proof, and with another's.
    assert_eq!(
        taken(joined(&[&forged, lines[0], lines[1], lines[2], lines[3], lines[4]]), None),
        ("".into(), 1)
    );
    assert_eq!(
        taken(joined(&[lines[0], lines[1], lines[2], &forged, lines[3], lines[4]]), None),
        ("a b".into(), 1)
    );
    assert_eq!(taken(format!("{ours}{forged}\n"), None), ("a b c".into(), 1));
    assert_eq!(taken(format!("{ours}{forged}\n{}\n", lines[4]), None), ("a b c".into(), 1));
    // Taken out, exchanged, repeated, under another number.
    assert_eq!(taken(joined(&[lines[0], lines[2], lines[3], lines[4]]), None), ("".into(), 1));
    assert_eq!(taken(joined(&[lines[3], lines[4], lines[0], lines[1], lines[2]]), None), ("".into(), 1));
    assert_eq!(taken(format!("{ours}{ours}"), None), ("a b c".into(), 1));
    assert_eq!(taken(ours.clone(), Some("00000000000000000007.jsonl")), ("".into(), 1));
    for beyond in ["18446744073709551615.jsonl", "00000000000000000000.jsonl"] {
        assert_eq!(taken(ours.clone(), Some(beyond)), ("".into(), 1), "{beyond}");
    }
    // The last write torn, as a process that dies in it leaves it: its calls were not answered.
    assert_eq!(taken(ours[..ours.len() - 30].to_owned(), None).0, "a b");
}

/// The journal that the release before has left, whose proofs were HMACs: two writes, of `a`, `b` and of `c`.
const OF_THE_RELEASE_BEFORE: &str = r##"[1700000000000,"a","1234567890123456","user/alice","LTAIx","192.0.2.1","Vpc","CreateVpc","vpc-1",403,"Forbidden"]
[1700000000000,"b","1234567890123456","user/alice","LTAIx","192.0.2.1","Vpc","CreateVpc","vpc-1",403,"Forbidden"]
#cdc2607666953a683fa34525313243179e985eac7a6d4506d572c167e5862d83
[1700000000000,"c","1234567890123456","user/alice","LTAIx","192.0.2.1","Vpc","CreateVpc","vpc-1",403,"Forbidden"]
#731d757ec09bd198a940004df331850db9c4a7a91ea17fbdf45267e858c1c5c5
"##;

/// What a release that proved its writes by HMAC has left is taken up after an upgrade, and nothing else gets in so.
#[test]
fn a_journal_of_the_release_before_is_taken_up() {
    let left = |text: String| {
        let (directory, journal) = killed();
        std::fs::write(&journal, text).unwrap();
        assert_eq!(journal.file_name().unwrap(), "00000000000000000001.jsonl");
        drop(sealed(directory.path()));
        assert_eq!(whole(directory.path()).findings, []);
        newest(directory.path(), 12).into_iter().skip(9).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(left(OF_THE_RELEASE_BEFORE.to_owned()), "a b c");
    assert_eq!(left(OF_THE_RELEASE_BEFORE.replace("\"c\"", "\"d\"")), "a b");
    // Neither is half of such a proof one of today's.
    let halved = OF_THE_RELEASE_BEFORE.trim_end();
    assert_eq!(left(format!("{}\n", &halved[..halved.len() - 32])), "a b");
}

/// A million lines that somebody has left are not read, and nobody's record goes for them.
#[test]
fn a_journal_without_end_is_not_read() {
    use std::io::Write as _;

    let directory = kept();
    let mut line = serde_json::to_vec(&record("forged")).unwrap();
    line.push(b'\n');
    let path = directory.path().join("audit/00000000000000000001.jsonl");
    let mut file = std::io::BufWriter::new(std::fs::File::create(path).unwrap());
    (0..1_000_000).for_each(|_| file.write_all(&line).unwrap());
    drop(file);
    let left = Archive::open(directory.path()).unwrap().journal_left(directory.path()).unwrap();
    assert!(left.len() <= 32_768, "{}", left.len());
    drop(sealed(directory.path()));
    assert_eq!((whole(directory.path()).records, newest(directory.path(), 1)), (9, vec!["R9".into()]));
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
        ("changed", "1"),
        ("repeats", "2"),
        ("since_ms", "time_ms"),
        ("stream", "stream + 1"),
        ("stream", "stream + 4"),
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
        (
            "UPDATE audit_chain SET anchor_seq = 3",
            "record 1 (request R1) was put in before the begin of the chain, 3",
        ),
        // As if they were from before the chain.
        (
            "UPDATE audit_chain SET anchor_seq = 3, anchor_hash = (SELECT hash FROM audit WHERE seq = 3), old_seq = 3, \
             old_hash = (SELECT hash FROM audit WHERE seq = 3)",
            "record 1 (request R1) was changed",
        ),
        // As if the records said nothing of themselves.
        ("UPDATE audit_chain SET named_seq = 9", "the seal does not fit"),
        // As if retention had removed them, with what it leaves.
        (
            "DELETE FROM audit WHERE seq = 9; INSERT INTO audit_gap (first, last, before, hash, seal) SELECT 9, 9, \
             (SELECT hash FROM audit WHERE seq = 8), head_hash, seal FROM audit_chain",
            "the gap from 9 to 9 is not one that retention left",
        ),
        (
            "INSERT INTO audit_gap (first, last, before, hash, seal) VALUES (4, 6, x'00', 'text', 5)",
            "a gap that retention left was changed",
        ),
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
    let found = archive.audit(None, &[before.into()]).unwrap().findings;
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

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

const DAY_MS: i64 = 86_400_000;

/// A store that keeps records for a day, sealed.
fn forgetful(directory: &Path) -> Store {
    let options = Options { audit_days: 1, audit_change_days: 1, audit_flush_ms: 1, ..Options::default() };
    let store = Store::open(directory, &options).unwrap();
    assert_eq!(store.seal_audit(KEY, None).unwrap(), []);
    store
}

/// Retention leaves a gap, and nothing else changes.
#[test]
fn retention_keeps_the_chain_whole() {
    let directory = kept();
    let kept_elsewhere = head(directory.path());
    let store = forgetful(directory.path());
    let trim = |now_ms, batch| run(store.trim_audit(now_ms, batch)).unwrap();
    assert_eq!(trim(1_700_000_000_000 + DAY_MS, 100), 0, "none is older than that");
    assert_eq!(trim(1_700_000_000_001 + DAY_MS, 4), 4);
    assert_eq!(verdict(directory.path(), &[kept_elsewhere]).findings, []);
    let verdict = whole(directory.path());
    assert_eq!((verdict.records, verdict.removed, verdict.chain.anchor.seq), (5, 4, 0));
    assert_eq!((trim(i64::MAX, 100), trim(i64::MAX, 100)), (5, 0), "all of them, also the newest");
    let verdict = whole(directory.path());
    assert_eq!((verdict.records, verdict.removed, verdict.chain.head), (0, 9, kept_elsewhere));
    write(&store, "next", Verdict::Keep);
    drop(store);
    let verdict = whole(directory.path());
    assert_eq!((verdict.records, verdict.chain.head.seq), (1, 10));
    let gaps: i64 =
        database(directory.path()).query_row("SELECT count(*) FROM audit_gap", [], |row| row.get(0)).unwrap();
    assert_eq!(gaps, 1, "gaps that touch become one");
}

/// An operator who has kept a head is told whether retention has removed the record or somebody has replaced it.
#[test]
fn a_head_that_retention_removed_is_told_from_one_that_was_replaced() {
    use tongguan_store::HeadFate;

    let directory = kept();
    let path = directory.path();
    let link = |seq: i64| -> AuditLink {
        let hash = database(path).query_row("SELECT hash FROM audit WHERE seq = ?1", [seq], |row| row.get(0));
        AuditLink { seq, hash: hash.unwrap() }
    };
    let links: Vec<_> = (1..=9).map(link).collect();
    let fate = |key: Option<&[u8]>, head: &AuditLink| {
        Archive::open(path).unwrap().read(|snapshot| snapshot.head_fate(key, head)).unwrap()
    };
    let store = forgetful(path);
    assert_eq!(run(store.trim_audit(i64::MAX, 6)).unwrap(), 6);
    drop(store);
    for (place, head) in links.iter().enumerate() {
        let expected = if place < 6 { HeadFate::Removed { compared: true } } else { HeadFate::There };
        let other = AuditLink { hash: [7; 32], ..*head };
        for key in [None, Some(KEY)] {
            assert_eq!((fate(key, head), fate(key, &other)), (expected, HeadFate::Replaced), "{head}");
        }
    }
    assert_eq!(verdict(path, &links).findings, []);
    let replaced = verdict(path, &[AuditLink { hash: [7; 32], ..links[2] }]).findings;
    assert!(replaced[0].what.contains("kept elsewhere, 3, has another hash"), "{replaced:?}");
    assert_eq!(fate(None, &AuditLink { seq: 10, ..links[0] }), HeadFate::Missing);
    // What is left of removed records does not stay for ever, and only what is sealed counts.
    tamper(path, "UPDATE audit_trimmed SET seal = zeroblob(32)");
    assert_eq!(fate(Some(KEY), &links[2]), HeadFate::Removed { compared: false });
    assert_eq!(fate(Some(KEY), &links[5]), HeadFate::Removed { compared: true }, "the end of a gap");
    assert_eq!(verdict(path, &links).findings, []);
}

/// Retention removes what was written, and nothing that somebody has made it take for that.
#[test]
fn retention_removes_no_record_that_was_changed() {
    for (sql, expected) in [
        // As if it were a stranger's, of which there are too many.
        ("UPDATE audit SET stream = 2, time_ms = time_ms WHERE seq = 4", "record 4 (request R4) was changed"),
        ("UPDATE audit SET time_ms = 0 WHERE seq = 4", "record 4 (request R4) was changed"),
        ("DELETE FROM audit WHERE seq = 3", "record 3 was removed before record 4"),
        ("UPDATE audit_gap SET last = 3", "records 3 to 3"),
        ("UPDATE audit_gap SET hash = zeroblob(32)", "record 3 (request R3) was changed"),
    ] {
        let directory = kept();
        let store = forgetful(directory.path());
        // A start that has not counted yet.
        assert_eq!(run(store.trim_audit(i64::MAX, 2)).unwrap(), 2);
        drop(store);
        let store = forgetful(directory.path());
        tamper(directory.path(), sql);
        assert_eq!(run(store.trim_audit(i64::MAX, 100)).unwrap(), 0, "{sql}");
        // Nor is anything sealed any more.
        write(&store, "after", Verdict::Keep);
        drop(store);
        let found = findings(directory.path());
        assert!(
            found.contains(expected) || expected == "records 3 to 3" && !found.is_empty(),
            "{sql}: {found}"
        );
    }
}

/// Without the key nothing is removed: there would be no seal on what is left.
#[test]
fn who_cannot_seal_removes_nothing() {
    let directory = kept();
    let options = Options { audit_days: 1, audit_change_days: 1, ..Options::default() };
    let store = Store::open(directory.path(), &options).unwrap();
    assert_eq!(run(store.trim_audit(i64::MAX, 100)).unwrap(), 0);
    drop(store);
    assert_eq!(whole(directory.path()).records, 9);
}

/// A record of one of two accounts, or of nobody.
fn of(account: Option<&str>, id: &str, changed: bool) -> AuditRecord {
    AuditRecord {
        account: account.map(str::to_owned),
        principal: account.map(|_| "root".to_owned()),
        changed,
        status: if changed { 200 } else { 403 },
        code: (!changed).then(|| "Forbidden".to_owned()),
        ..record(id)
    }
}

fn count(directory: &Path, account: &str) -> (u64, u64) {
    let sql = "SELECT count(*) FILTER (WHERE changed = 1), count(*) FILTER (WHERE changed = 0) FROM audit \
               WHERE account IS nullif(?1, '')";
    let counted = database(directory).query_row(sql, [account], |row| {
        Ok((row.get::<_, i64>(0)?.cast_unsigned(), row.get::<_, i64>(1)?.cast_unsigned()))
    });
    counted.unwrap()
}

/// A million requests of strangers and very many of one tenant leave every record of another.
#[test]
fn nobody_displaces_the_records_of_another() {
    const A: &str = "1111111111111111";
    const B: &str = "2222222222222222";
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let options = Options {
        audit_records: 500,
        audit_changes: 300,
        audit_strangers: 100,
        audit_strangers_per_minute: 50,
        audit_flush_ms: 1,
        ..Options::default()
    };
    let store = Store::open(path, &options).unwrap();
    assert_eq!(store.seal_audit(KEY, Some(NewAuditKey { sealed: vec![1], now_ms: 0 })).unwrap(), []);
    let changes = |account: &'static str, name: &'static str, count: u32| {
        store
            .write_blocking(move |tx| {
                for number in 0..count {
                    tx.audit(&of(Some(account), &format!("{name} {number}"), true))?;
                }
                Ok(Verdict::Keep(()))
            })
            .unwrap();
    };
    let later = |account: Option<&str>, count: u32| {
        for number in 0..count {
            let mut waiting = of(account, &format!("later {number}"), false);
            while let Err(back) = store.audit_later(waiting) {
                waiting = *back;
                std::thread::yield_now();
            }
        }
    };
    let operator = AuditRecord { source: "local".into(), ..of(Some(B), "operator", true) };
    store.write_blocking(move |tx| Ok(Verdict::Keep(tx.audit(&operator)?))).unwrap();
    changes(A, "of A", 250);
    later(Some(A), 400);
    // In between, so that what is removed is in the middle of what stays.
    for round in 0..20 {
        later(Some(B), 2_000);
        changes(B, "of B", 100);
        later(None, 50_000);
        if round == 10 {
            changes(A, "of A again", 50);
            later(Some(A), 100);
        }
    }
    while run(store.trim_audit(1_700_000_000_000, 10_000)).unwrap() > 0 {}
    assert_eq!(count(path, A), (300, 500), "every one");
    assert_eq!(count(path, B), (300 + 1, 500), "its own budget, and what the operator did to it");
    let stats = store.stats();
    assert_eq!((stats.audit_removed_young[0], stats.audit_removed_young[1]), (1_700, 39_500));
    assert_eq!(stats.audit_fullest[0], 100);
    assert!(stats.audit_folded >= 1_000_000 - 2 * 50, "{}", stats.audit_folded);
    drop(store);
    let (verdict, gaps) = (whole(path), database(path));
    let gaps: i64 = gaps.query_row("SELECT count(*) FROM audit_gap", [], |row| row.get(0)).unwrap();
    assert!(gaps.cast_unsigned() <= verdict.records + 1, "{gaps} gaps, {} records", verdict.records);
    // What was counted is told when the store ends: nothing of the million is lost.
    let sql = "SELECT sum(coalesce(repeats, 1)), count(*) FROM audit WHERE principal IS NULL";
    let (requests, records): (i64, i64) =
        database(path).query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    assert_eq!(requests, 1_000_000);
    assert!(records <= 110, "{records}");
}

/// Whoever may do nothing but assume a role displaces no change, and whoever calls displaces nothing that says who made
/// a key.
#[test]
fn issued_keys_have_a_share_of_their_own() {
    const A: &str = "1111111111111111";
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let options = Options { audit_records: 50, audit_changes: 30, ..Options::default() };
    let store = Store::open(path, &options).unwrap();
    assert_eq!(store.seal_audit(KEY, Some(NewAuditKey { sealed: vec![1], now_ms: 0 })).unwrap(), []);
    let issued = |number: u32| AuditRecord {
        status: 200,
        code: None,
        issued: Some(format!("STS.{number}")),
        ..of(Some(A), &format!("key {number}"), false)
    };
    store
        .write_blocking(move |tx| {
            for number in 0..30 {
                tx.audit(&of(Some(A), &format!("change {number}"), true))?;
            }
            for number in 10..50 {
                tx.audit(&issued(number))?;
            }
            for number in 0..100 {
                tx.audit(&of(Some(A), &format!("call {number}"), false))?;
            }
            Ok(Verdict::Keep(()))
        })
        .unwrap();
    while run(store.trim_audit(1_700_000_000_000, 10_000)).unwrap() > 0 {}
    assert_eq!(store.stats().audit_removed, [0, 50, 0, 10]);
    drop(store);
    let kept = "SELECT count(*), min(issued), max(issued) FROM audit WHERE issued IS NOT NULL";
    let kept = database(path).query_row(kept, [], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?))
    });
    assert_eq!(kept.unwrap(), (30, "STS.20".to_owned(), "STS.49".to_owned()));
    assert_eq!(count(path, A), (30, 30 + 50));
    whole(path);
}

/// A database of an older schema, as its release left it.
fn older(schema: u32) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/schemas/{schema}.db"));
    std::fs::copy(source, directory.path().join(DATABASE_FILE)).unwrap();
    directory
}

/// Records of older schemas are kept, and the chain begins after them; what they say is a fact from then on.
#[test]
fn databases_of_older_schemas_get_a_chain() {
    for schema in [1, 2] {
        let directory = older(schema);
        let count =
            |sql: &str| -> i64 { database(directory.path()).query_row(sql, [], |row| row.get(0)).unwrap() };
        let (before, newest) = (count("SELECT count(*) FROM audit"), count("SELECT max(seq) FROM audit"));
        assert!(before > 10);
        let store = sealed(directory.path());
        write(&store, "new", Verdict::Keep);
        let verdict = whole(directory.path());
        assert_eq!((verdict.before.cast_signed(), verdict.records), (before, 1), "schema {schema}");
        assert_eq!((verdict.chain.anchor.seq, verdict.chain.old.map(|old| old.seq)), (newest, Some(newest)));
        drop(store);
        let vouched = |seq| {
            let archive = Archive::open(directory.path()).unwrap();
            archive.read(|snapshot| snapshot.vouched(&snapshot.audit_chain()?, seq)).unwrap()
        };
        assert_eq!((vouched(newest), vouched(newest + 1)), (Vouched::Before, Vouched::Chain));
        let whole_file = std::fs::read(directory.path().join(DATABASE_FILE)).unwrap();
        for sql in [
            "UPDATE audit SET source = '192.0.2.77' WHERE seq = 3",
            "DELETE FROM audit WHERE seq = 3",
            "DELETE FROM audit WHERE seq = (SELECT anchor_seq FROM audit_chain)",
            "INSERT INTO audit (seq, time_ms, request_id, source, status) VALUES (-7, 0, 'forged', '', 200)",
            "UPDATE audit SET seq = 1000000 WHERE seq = 3",
        ] {
            std::fs::write(directory.path().join(DATABASE_FILE), &whole_file).unwrap();
            tamper(directory.path(), sql);
            assert_ne!(findings(directory.path()), "", "{sql}");
        }
        std::fs::write(directory.path().join(DATABASE_FILE), &whole_file).unwrap();
        // They go like others, and the chain begins where it began.
        let store = forgetful(directory.path());
        let trimmed = run(store.trim_audit(i64::MAX, 1)).unwrap();
        assert_eq!(trimmed, 1, "the oldest of a stream");
        assert_eq!(whole(directory.path()).before.cast_signed(), before - 1);
        while run(store.trim_audit(i64::MAX, 100)).unwrap() > 0 {}
        drop(store);
        let verdict = whole(directory.path());
        assert_eq!((verdict.before, verdict.records, verdict.chain.anchor.seq), (0, 0, newest));
    }
}

/// A database that never had records from before the chain has none afterwards either: each is one that was put in,
/// also if it was so before the upgrade.
#[test]
fn a_database_of_schema_3_has_no_records_from_before_the_chain() {
    let directory = older(3);
    let count =
        |sql: &str| -> i64 { database(directory.path()).query_row(sql, [], |row| row.get(0)).unwrap() };
    let (records, anchor) =
        (count("SELECT count(*) FROM audit"), count("SELECT anchor_seq FROM audit_chain"));
    assert!(records > 10 && anchor == 0, "{records} {anchor}");
    let archive = |key| Archive::open(directory.path()).unwrap().audit(key, &[]).unwrap();
    drop(open(directory.path()));
    let verdict = archive(None);
    assert_eq!((verdict.findings, verdict.before, verdict.records.cast_signed()), (vec![], 0, records));

    let directory = older(3);
    tamper(
        directory.path(),
        "INSERT INTO audit (seq, time_ms, request_id, source, status) VALUES (-7, 0, 'forged', '', 200)",
    );
    let store = open(directory.path());
    let found = store.seal_audit(KEY, None).unwrap();
    assert!(found.iter().any(|found| found.what.contains("record -7")), "{found:?}");
    drop(store);
    let found = findings(directory.path());
    assert!(
        found.contains("record -7 (request forged) was put in before the begin of the chain, 0"),
        "{found}"
    );
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

/// A store with everything in it: records from before the chain, of every class, and gaps that retention left.
fn of_all_kinds() -> TempDir {
    let directory = older(1);
    let options = Options {
        audit_records: 7,
        audit_changes: 40,
        audit_strangers: 3,
        audit_flush_ms: 1,
        ..Options::default()
    };
    let store = Store::open(directory.path(), &options).unwrap();
    let new = NewAuditKey { sealed: vec![1], now_ms: 0 };
    assert_eq!(store.seal_audit(KEY, Some(new)).unwrap(), []);
    for number in 0..30 {
        let account = [Some("1234567890123456"), Some("6543210987654321"), None][number % 3];
        let record = of(account, &format!("R{number}"), number % 2 == 0 && account.is_some());
        store.write_blocking(move |tx| Ok(Verdict::Keep(tx.audit(&record)?))).unwrap();
    }
    while run(store.trim_audit(1_700_000_000_000, 100)).unwrap() > 0 {}
    drop(store);
    let verdict = whole(directory.path());
    assert!(verdict.before > 0 && verdict.records > 10 && verdict.removed > 5, "{verdict:?}");
    directory
}

/// A record put in anywhere, removed anywhere, changed anywhere: it is found, and `audit` does not vouch for it.
#[test]
fn whatever_is_put_in_removed_or_changed_anywhere_is_found() {
    let directory = of_all_kinds();
    let path = directory.path().join(DATABASE_FILE);
    let whole_file = std::fs::read(&path).unwrap();
    let connection = Connection::open_in_memory().unwrap();
    connection.execute("ATTACH ?1 AS whole", [path.to_str().unwrap()]).unwrap();
    let numbers = |sql: &str| -> Vec<i64> {
        let mut statement = connection.prepare(sql).unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    let rows = numbers("SELECT seq FROM whole.audit ORDER BY seq");
    let gaps = numbers("SELECT last FROM whole.audit_gap ORDER BY last");
    let head = *rows.last().unwrap();
    drop(connection);
    let check = |sql: &str, planted: Option<i64>| {
        std::fs::write(&path, &whole_file).unwrap();
        tamper(directory.path(), sql);
        let archive = Archive::open(directory.path()).unwrap();
        for key in [None, Some(KEY)] {
            assert_ne!(archive.audit(key, &[]).unwrap().findings, [], "{sql}");
        }
        if let Some(seq) = planted {
            let vouched = archive.read(|snapshot| snapshot.vouched(&snapshot.audit_chain()?, seq)).unwrap();
            assert_eq!(vouched, Vouched::No, "{sql}");
        }
    };
    // Every number where there is none, and the ends of what there can be.
    let free = (-3..=head + 3).filter(|seq| !rows.contains(seq));
    for seq in free.chain([i64::MIN, i64::MIN + 1, -1_000_000, head + 1_000, i64::MAX - 1, i64::MAX]) {
        // As a copy of another record, and without a hash.
        for hash in ["hash", "NULL", "zeroblob(32)"] {
            let sql = format!(
                "INSERT INTO audit (seq, time_ms, request_id, source, status, hash, stream) \
                 SELECT {seq}, time_ms, 'forged', source, status, {hash}, stream FROM audit WHERE seq = {head}"
            );
            check(&sql, Some(seq));
        }
    }
    for seq in &rows {
        check(&format!("DELETE FROM audit WHERE seq = {seq}"), None);
        check(&format!("UPDATE audit SET action = 'Other' WHERE seq = {seq}"), Some(*seq));
        check(&format!("UPDATE audit SET hash = NULL WHERE seq = {seq}"), Some(*seq));
    }
    for last in &gaps {
        check(&format!("DELETE FROM audit_gap WHERE last = {last}"), None);
        check(&format!("UPDATE audit_gap SET hash = zeroblob(32) WHERE last = {last}"), None);
        check(&format!("UPDATE audit_gap SET before = zeroblob(32) WHERE last = {last}"), None);
        check(&format!("UPDATE audit_gap SET first = first - 1 WHERE last = {last}"), None);
    }
    // A gap over records that were removed to be covered by it, with every hash right: the seal tells.
    for seq in rows.iter().filter(|seq| **seq > gaps[0]) {
        let sql = format!(
            "INSERT INTO audit_gap (first, last, before, hash, seal) SELECT {seq}, {seq}, coalesce((SELECT hash FROM \
             audit WHERE seq = {seq} - 1), (SELECT hash FROM audit_gap WHERE last = {seq} - 1), zeroblob(32)), hash, \
             (SELECT seal FROM audit_gap LIMIT 1) FROM audit WHERE seq = {seq}; DELETE FROM audit WHERE seq = {seq};"
        );
        std::fs::write(&path, &whole_file).unwrap();
        tamper(directory.path(), &sql);
        assert_ne!(findings(directory.path()), "", "{sql}");
    }
    std::fs::write(&path, &whole_file).unwrap();
    assert_eq!(whole(directory.path()).findings, []);
    // None of it stops the service, which goes on and vouches for nothing.
    for seq in [-7, head + 5, i64::MAX] {
        std::fs::write(&path, &whole_file).unwrap();
        let _ = std::fs::remove_file(directory.path().join("tongguan.mark"));
        let sql = format!(
            "INSERT INTO audit (seq, time_ms, request_id, source, status) VALUES ({seq}, 0, 'x', '', 1)"
        );
        tamper(directory.path(), &sql);
        let store = open(directory.path());
        let _ = store.seal_audit(KEY, None).unwrap();
        write(&store, "goes on", Verdict::Keep);
        drop(store);
        assert_ne!(findings(directory.path()), "", "{seq}");
        // And when it is begun anew, they are what they are: from before the chain.
        open(directory.path()).begin_audit_anew(KEY, None, record("anew")).unwrap();
        assert_eq!(whole(directory.path()).records, 1, "{seq}");
    }
}
