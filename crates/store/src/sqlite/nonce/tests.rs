//! Tests of the log of nonces.

use super::*;

const ME: Owner = Owner { account: 1, principal: 0 };
const LIMIT: usize = 1_000;

fn take(log: &NonceLog, key: &str, nonce: &str, now: Moment, expires: i64) -> Result<(), NonceError> {
    log.take(ME, (key, nonce), now, expires, || true)
}

/// The wall clock goes evenly.
fn at(unix: i64) -> Moment {
    Moment { unix, steady: unix }
}

#[test]
fn a_nonce_is_taken_once_also_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let log = NonceLog::open(directory.path(), at(1_000), LIMIT).unwrap();
    assert!(take(&log, "k", "n", at(1_000), 1_900).is_ok());
    assert!(matches!(take(&log, "k", "n", at(1_001), 1_900), Err(NonceError::Used)));
    assert!(take(&log, "other", "n", at(1_001), 1_900).is_ok());
    log.write().unwrap();
    drop(log);
    for restart in 0..3 {
        // The steady clock of a new process begins anywhere.
        let now = Moment { unix: 1_002, steady: restart };
        let log = NonceLog::open(directory.path(), now, LIMIT).unwrap();
        assert!(matches!(take(&log, "k", "n", now, 1_901), Err(NonceError::Used)), "restart {restart}");
        assert_eq!((log.not_before(), log.count()), (i64::MIN, 2));
    }
}

#[test]
fn expired_nonces_are_forgotten_and_the_limit_holds() {
    let directory = tempfile::tempdir().unwrap();
    let log = NonceLog::open(directory.path(), at(0), LIMIT).unwrap();
    let fill = |now, expires| {
        let taken = |n: &usize| take(&log, "k", &format!("{now} {n}"), at(now), expires).is_ok();
        (0..2 * LIMIT).filter(taken).count()
    };
    let first = fill(0, 60);
    assert!((LIMIT / 2..LIMIT).contains(&first), "{first}");
    assert!(matches!(take(&log, "k", "one more", at(0), 60), Err(NonceError::Full)));
    // Whose share is used up is no matter of the log's.
    log.check().unwrap();
    assert_eq!(fill(200, 1_000), first);
    assert_eq!(log.count(), first);
}

/// What fills one account's share leaves another's alone, also after a restart.
#[test]
fn the_limit_has_shares() {
    let directory = tempfile::tempdir().unwrap();
    let (filler, other) = (Owner::principal("a", "user", "u"), Owner::root("b"));
    let log = NonceLog::open(directory.path(), at(0), LIMIT).unwrap();
    let nonce = |n: usize| format!("n{n}");
    let last = (0..LIMIT).find(|n| log.take(filler, ("k", &nonce(*n)), at(0), 900, || true).is_err());
    let held = last.unwrap();
    log.take(other, ("l", "first"), at(0), 900, || true).unwrap();
    log.write().unwrap();
    drop(log);
    let log = NonceLog::open(directory.path(), at(1), LIMIT).unwrap();
    assert_eq!(log.count(), held + 1);
    let one_more = log.take(filler, ("k", "one more"), at(1), 900, || true);
    assert!(matches!(one_more, Err(NonceError::Full)), "{one_more:?}");
    for n in 0..50 {
        log.take(other, ("l", &nonce(n)), at(1), 900, || true).unwrap();
    }
    assert!(matches!(log.take(filler, ("k", "n0"), at(1), 900, || true), Err(NonceError::Used)));
}

/// Who is refused keeps no place and writes nothing; a used nonce is told before anybody is asked.
#[test]
fn what_is_refused_is_neither_kept_nor_written() {
    let directory = tempfile::tempdir().unwrap();
    let log = NonceLog::open(directory.path(), at(0), LIMIT).unwrap();
    for n in 0..100 {
        let refused = log.take(ME, ("k", &n.to_string()), at(0), 900, || false);
        assert!(matches!(refused, Err(NonceError::Refused)));
    }
    log.write().unwrap();
    assert_eq!((log.count(), files(directory.path()).unwrap().len()), (0, 0));
    take(&log, "k", "0", at(0), 900).unwrap();
    let again = log.take(ME, ("k", "0"), at(0), 900, || panic!("asked for a replay"));
    assert!(matches!(again, Err(NonceError::Used)));
}

/// The log is as long as what is remembered, however the requests are dated.
#[test]
fn the_log_on_disk_is_bounded_by_what_is_remembered() {
    let directory = tempfile::tempdir().unwrap();
    let log = NonceLog::open(directory.path(), at(0), LIMIT).unwrap();
    let mut number = 0;
    for now in (0..7_200).step_by(20) {
        // Dated as far back as may be, now, and as far ahead as may be.
        for expires in [now, now + 900, now + 1_800] {
            for _ in 0..20 {
                number += 1;
                let _ = take(&log, "k", &number.to_string(), at(now), expires);
            }
        }
        log.write().unwrap();
        let files = files(directory.path()).unwrap();
        let bytes: u64 = files.iter().map(|path| path.metadata().unwrap().len()).sum();
        assert!(bytes <= (LIMIT * RECORD) as u64, "{bytes} bytes after {now} s");
        assert!(files.len() <= 33, "{} files after {now} s", files.len());
    }
    assert!(number > 20 * LIMIT);
}

/// Files of an older release, which do not say whose a nonce is, count as well.
#[test]
fn nonces_of_an_older_release_are_known() {
    let directory = tempfile::tempdir().unwrap();
    let mut bytes = print("k", "n").to_vec();
    bytes.extend_from_slice(&900_i64.to_le_bytes());
    bytes.extend_from_slice(&[7; 10]);
    std::fs::write(directory.path().join("nonces-3"), bytes).unwrap();
    let log = NonceLog::open(directory.path(), at(0), LIMIT).unwrap();
    assert_eq!(log.count(), 1);
    assert!(matches!(take(&log, "k", "n", at(0), 900), Err(NonceError::Used)));
    take(&log, "k", "new", at(0), 900).unwrap();
    log.write().unwrap();
    assert!(directory.path().join("owned-4").exists());
}

/// A log that cannot be written says so for as long as that is so.
#[test]
fn a_log_that_cannot_be_written_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("nonces");
    let log = NonceLog::open(&path, at(0), LIMIT).unwrap();
    log.check().unwrap();
    std::fs::remove_dir_all(&path).unwrap();
    take(&log, "k", "n", at(0), 900).unwrap();
    assert!(matches!(log.write(), Err(NonceError::Log(_))));
    assert!(matches!(log.check(), Err(NonceError::Log(_))));
    std::fs::create_dir(&path).unwrap();
    log.check().unwrap();
    drop(log);
    assert_eq!(NonceLog::open(&path, at(0), LIMIT).unwrap().count(), 1);
}

#[test]
fn another_boot_without_an_orderly_stop_is_not_trusted() {
    let directory = tempfile::tempdir().unwrap();
    drop(NonceLog::open(directory.path(), at(0), LIMIT).unwrap());
    std::fs::write(directory.path().join(MARK_FILE), "another-boot open\n").unwrap();
    assert_eq!(NonceLog::open(directory.path(), at(77), LIMIT).unwrap().not_before(), 77);
    std::fs::write(directory.path().join(MARK_FILE), "another-boot closed\n").unwrap();
    let log = NonceLog::open(directory.path(), at(78), LIMIT).unwrap();
    assert_eq!(log.not_before(), i64::MIN);
    log.close().unwrap();
}

#[test]
fn no_jump_of_the_clock_lets_a_replay_through() {
    let directory = tempfile::tempdir().unwrap();
    let (t, expires) = (100_000, 100_900);
    let log = NonceLog::open(directory.path(), Moment { unix: t, steady: 0 }, 1_000).unwrap();
    take(&log, "k", "n", Moment { unix: t, steady: 0 }, expires).unwrap();
    // Hours forward, with requests of that time, and back again.
    let later = t + 7_200;
    take(&log, "k", "later", Moment { unix: later, steady: 1 }, later + 900).unwrap();
    let back = take(&log, "k", "n", Moment { unix: t, steady: 2 }, expires);
    assert!(matches!(back, Err(NonceError::Used)));
    // Long after, when it was forgotten: set back to the time of the request.
    let steady = 3 * KEPT_MOST;
    for number in 0..1_000 {
        // Every shard gets its turn to forget.
        let _ = take(&log, "k", &format!("x{number}"), Moment { unix: later, steady }, later + 900);
    }
    let back = take(&log, "k", "n", Moment { unix: t, steady }, expires);
    assert!(matches!(back, Err(NonceError::Forgotten)), "{back:?}");
    // The same over a restart.
    log.write().unwrap();
    drop(log);
    let log = NonceLog::open(directory.path(), Moment { unix: later + 9_000, steady: 0 }, 1_000).unwrap();
    drop(log);
    let log = NonceLog::open(directory.path(), Moment { unix: t, steady: 0 }, 1_000).unwrap();
    let back = take(&log, "k", "n", Moment { unix: t, steady: 0 }, expires);
    assert!(matches!(back, Err(NonceError::Forgotten)), "{back:?}");
}

#[test]
fn a_torn_record_harms_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let log = NonceLog::open(directory.path(), at(0), LIMIT).unwrap();
    take(&log, "k", "first", at(0), 900).unwrap();
    log.write().unwrap();
    for path in files(directory.path()).unwrap() {
        OpenOptions::new().append(true).open(path).unwrap().write_all(b"torn").unwrap();
    }
    drop(log);
    let log = NonceLog::open(directory.path(), at(0), LIMIT).unwrap();
    take(&log, "k", "second", at(0), 900).unwrap();
    log.write().unwrap();
    drop(log);
    let log = NonceLog::open(directory.path(), at(0), LIMIT).unwrap();
    for nonce in ["first", "second"] {
        assert!(matches!(take(&log, "k", nonce, at(1), 900), Err(NonceError::Used)), "{nonce}");
    }
}
