//! The writer's promises: nothing half done, one bad change harms no other, one process per directory.
#![allow(clippy::unwrap_used, reason = "a test may stop where something is wrong")]

use std::future::Future as _;
use std::task::{Context, Poll, Waker};

use tongguan_model::id::AccountId;
use tongguan_store::{AuditRecord, DATABASE_FILE, Options, QUEUE, QUEUE_SHARE, Store, StoreError, Verdict};

/// Makes an account and counts it by what the store says.
fn ensure(store: &Store, id: &str, verdict: fn(()) -> Verdict<()>) -> Result<(), StoreError> {
    let id = AccountId::new(id);
    store.write_blocking(move |tx| {
        tx.ensure_account(&id, 1)?;
        Ok(verdict(()))
    })
}

#[test]
fn a_discarded_change_leaves_nothing_and_a_kept_one_outlives_the_process() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), &Options::default()).unwrap();
    ensure(&store, "1", Verdict::Discard).unwrap();
    assert_eq!(store.read(|snapshot| snapshot.first_account()).unwrap(), None);
    ensure(&store, "2", Verdict::Keep).unwrap();
    drop(store);
    let store = Store::open(directory.path(), &Options::default()).unwrap();
    assert_eq!(store.read(|snapshot| snapshot.first_account()).unwrap(), Some(AccountId::new("2")));
}

#[test]
fn a_change_that_fails_or_panics_harms_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), &Options::default()).unwrap();
    let workers: Vec<_> = (0..64_u32)
        .map(|number| {
            let store = store.clone();
            std::thread::spawn(move || {
                let id = AccountId::new(format!("{:03}", 100 + number));
                store.write_blocking(move |tx| {
                    tx.ensure_account(&id, 1)?;
                    match number % 4 {
                        // A foreign key that leads nowhere fails the whole group's transaction.
                        0 => tx.put_access_key("k", &AccountId::new("none"), b"", 1)?,
                        1 => panic!("a bug in a change"),
                        _ => {}
                    }
                    Ok(Verdict::Keep(number))
                })
            })
        })
        .collect();
    for (number, worker) in (0_u32..).zip(workers) {
        match (number % 4, worker.join().unwrap()) {
            (0, Err(StoreError::Database(_))) | (1, Err(StoreError::Panicked)) => {}
            (2 | 3, Ok(answer)) => assert_eq!(answer, number),
            (kind, answer) => panic!("kind {kind} was answered {answer:?}"),
        }
    }
    let known = |id: u32| {
        let id = AccountId::new(format!("{id}"));
        let unknown = store.write_blocking(move |tx| {
            let failed = tx.put_access_key("probe", &id, b"", 1).is_err();
            Ok(Verdict::Discard(failed))
        });
        !unknown.unwrap()
    };
    for number in 0..64 {
        assert_eq!(known(100 + number), number % 4 > 1, "account {}", 100 + number);
    }
}

/// A change that is undone after it wrote makes its group run again, and then savepoints are taken for a while: each
/// change runs as if it were alone, and nobody makes the writer do everything twice.
#[test]
fn changes_that_are_undone_harm_no_other_and_make_few_groups_run_again() {
    const CHANGES: u32 = 640;
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), &Options::default()).unwrap();
    let (sender, receiver) = std::sync::mpsc::channel();
    let mut context = Context::from_waker(Waker::noop());
    // Whatever is handed over meanwhile waits, and becomes groups of many.
    let mut waited = false;
    let mut held = Box::pin(store.write(move |_| {
        // It may stand in a group that is run again.
        if !std::mem::replace(&mut waited, true) {
            receiver.recv().unwrap();
        }
        Ok(Verdict::Keep(()))
    }));
    assert!(held.as_mut().poll(&mut context).is_pending());
    let mut waiting = Vec::new();
    for number in 0..CHANGES {
        let id = AccountId::new(format!("{number:03}"));
        let mut change = Box::pin(store.write(move |tx| {
            tx.ensure_account(&id, 1)?;
            let keep = number % 3 > 0;
            Ok(if keep { Verdict::Keep(number) } else { Verdict::Discard(number) })
        }));
        assert!(change.as_mut().poll(&mut context).is_pending());
        waiting.push(change);
    }
    sender.send(()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(held).unwrap();
    for (number, change) in (0_u32..).zip(waiting) {
        assert_eq!(runtime.block_on(change).unwrap(), number);
    }
    let stats = store.stats();
    assert_eq!(
        stats.groups_again, 1,
        "the first group with a change to undo, and no other of {}",
        stats.groups
    );
    let there = store.read(|snapshot| snapshot.accounts()).unwrap();
    let there: Vec<_> = there.iter().map(|row| row.id.as_str().to_owned()).collect();
    let kept: Vec<_> = (0..CHANGES).filter(|number| number % 3 > 0).map(|id| format!("{id:03}")).collect();
    assert_eq!(there, kept);
    // One after the other, each a group of its own.
    for number in 0..CHANGES {
        ensure(&store, &format!("{}", 1_000 + number), Verdict::Discard).unwrap();
    }
    assert!(store.stats().groups_again <= 1 + u64::from(CHANGES) / 64, "{:?}", store.stats());
    // What wrote nothing has nothing to undo.
    let before = store.stats().groups_again;
    for _ in 0..CHANGES {
        store.write_blocking(|tx| Ok(Verdict::Discard(tx.first_account()?))).unwrap();
    }
    assert_eq!(store.stats().groups_again, before);
    assert_eq!(store.read(|snapshot| snapshot.accounts()).unwrap().len(), kept.len());
}

#[test]
fn one_process_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), &Options::default()).unwrap();
    assert!(matches!(Store::open(directory.path(), &Options::default()), Err(StoreError::InUse { .. })));
    drop(store);
    assert!(Store::open(directory.path(), &Options::default()).is_ok());
}

#[test]
fn audit_records_of_reads_are_written_at_the_latest_when_the_store_closes() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { audit_flush_ms: 60_000, audit_backlog: 2, ..Options::default() };
    let store = Store::open(directory.path(), &options).unwrap();
    let record = |id: &str| AuditRecord { request_id: id.into(), status: 200, ..AuditRecord::default() };
    assert!(store.audit_later(record("a")).is_ok());
    assert!(store.audit_later(record("b")).is_ok());
    assert_eq!(*store.audit_later(record("c")).unwrap_err(), record("c"), "the backlog is bounded");
    drop(store);
    let store = Store::open(directory.path(), &options).unwrap();
    let found = |id: &str| store.read(|snapshot| snapshot.audited(id)).unwrap();
    assert_eq!((found("a"), found("b"), found("c")), (Some((200, None)), Some((200, None)), None));
}

/// A change may be the last to hold the store: the writer must not wait for itself.
#[test]
fn the_last_handle_may_be_dropped_by_the_writer() {
    let directory = tempfile::tempdir().unwrap();
    let (store, (sender, receiver)) =
        (Store::open(directory.path(), &Options::default()).unwrap(), std::sync::mpsc::channel());
    let held = store.clone();
    let change = store.write(move |_| {
        let _held = &held;
        receiver.recv().unwrap();
        Ok(Verdict::Keep(()))
    });
    // The change is handed over and its caller goes away, with the handle that it had.
    let mut change = Box::pin(change);
    let waker = std::task::Waker::noop();
    assert!(change.as_mut().poll(&mut std::task::Context::from_waker(waker)).is_pending());
    drop(change);
    drop(store);
    sender.send(()).unwrap();
    let begun = std::time::Instant::now();
    while let Err(error) = Store::open(directory.path(), &Options::default()) {
        assert!(matches!(error, StoreError::InUse { .. }), "{error}");
        assert!(begun.elapsed() < std::time::Duration::from_secs(10), "the store never closed");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

/// A snapshot that is kept for the next reader must neither hide a change nor hold the last checkpoint up
/// until SQLite's patience (ten seconds) is at its end.
#[test]
fn kept_snapshots_hide_nothing_and_hold_nothing_up() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), &Options::default()).unwrap();
    for number in 0..50 {
        let id = format!("{:03}", 100 - number);
        let id = AccountId::new(id);
        let written = id.clone();
        store
            .write_blocking(move |tx| {
                tx.ensure_account(&written, -i64::from(number))?;
                Ok(Verdict::Keep(()))
            })
            .unwrap();
        assert_eq!(store.read(|snapshot| snapshot.first_account()).unwrap(), Some(id));
    }
    let begun = std::time::Instant::now();
    drop(store);
    assert!(begun.elapsed() < std::time::Duration::from_secs(5), "the store waited for its own readers");
    let log = directory.path().join(format!("{DATABASE_FILE}-wal"));
    assert_eq!(std::fs::metadata(log).map_or(0, |file| file.len()), 0, "the log was taken over");
}

/// A group that changes nothing costs no write, so refusals are cheap; one that keeps nothing moves no mark.
#[test]
fn a_group_that_keeps_nothing_writes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), &Options::default()).unwrap();
    store
        .write_blocking(|tx| {
            tx.ensure_account(&AccountId::new("1"), 0)?;
            Ok(Verdict::Keep(()))
        })
        .unwrap();
    let state = || {
        let log = directory.path().join(format!("{DATABASE_FILE}-wal"));
        let mark = std::fs::read_to_string(directory.path().join(tongguan_store::MARK_FILE)).unwrap();
        (std::fs::metadata(log).unwrap().len(), mark)
    };
    let before = state();
    for _ in 0..10 {
        store.write_blocking(|tx| Ok(Verdict::Discard(tx.first_account()?))).unwrap();
    }
    assert_eq!(state(), before);
    store
        .write_blocking(|tx| {
            tx.ensure_account(&AccountId::new("2"), 0)?;
            Ok(Verdict::Discard(()))
        })
        .unwrap();
    assert_eq!(state().1, before.1);
}

/// Who ends the store may touch its files at once: no thread of it still holds them.
#[test]
fn the_files_are_closed_when_the_store_is_dropped() {
    for _ in 0..100 {
        let directory = tempfile::tempdir().unwrap();
        drop(Store::open(directory.path(), &Options::default()).unwrap());
        // SQLite removes the log when the last connection is closed.
        let log = directory.path().join(format!("{}-wal", tongguan_store::DATABASE_FILE));
        assert!(!log.exists());
    }
}

/// Whoever has many changes waiting is refused first; others get in, and everything that got in is done.
#[test]
fn waiting_changes_have_shares() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), &Options::default()).unwrap();
    let (begun, begins) = std::sync::mpsc::channel();
    let (go, goes) = std::sync::mpsc::channel::<()>();
    let held = store.clone();
    let held = std::thread::spawn(move || {
        held.write_blocking(move |_| {
            begun.send(()).unwrap();
            goes.recv().unwrap();
            Ok(Verdict::Discard(()))
        })
    });
    begins.recv().unwrap();
    let mut context = Context::from_waker(Waker::noop());
    let mut waiting = Vec::new();
    // Answers how the change was refused, if it was.
    let mut put = |account| {
        let mut change = Box::pin(store.write_for(account, |_| Ok(Verdict::Discard(()))));
        match change.as_mut().poll(&mut context) {
            Poll::Ready(answer) => Some(answer.unwrap_err()),
            Poll::Pending => {
                waiting.push(change);
                None
            }
        }
    };
    assert_eq!((0..QUEUE).take_while(|_| put(1).is_none()).count(), QUEUE_SHARE);
    for account in 2..20 {
        let put = (0..QUEUE).take_while(|_| put(account).is_none()).count();
        assert!(put >= 1, "account {account} found no place");
    }
    assert!(matches!(put(1), Some(StoreError::Crowded)));
    assert!(put(1_000).is_none(), "a newcomer finds no place");
    assert!((QUEUE_SHARE * 14..QUEUE).contains(&waiting.len()), "{}", waiting.len());
    // The service's own changes have places of their own.
    let mut own = Box::pin(store.write(|_| Ok(Verdict::Discard(()))));
    assert!(own.as_mut().poll(&mut context).is_pending());
    go.send(()).unwrap();
    held.join().unwrap().unwrap();
    for mut change in waiting {
        loop {
            match change.as_mut().poll(&mut context) {
                Poll::Ready(answer) => break answer.unwrap(),
                Poll::Pending => std::thread::yield_now(),
            }
        }
    }
    while own.as_mut().poll(&mut context).is_pending() {
        std::thread::yield_now();
    }
}
