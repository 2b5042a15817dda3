//! The store on a real PostgreSQL: what only such a one can get wrong.
#![allow(clippy::unwrap_used, reason = "a test may stop where something is wrong")]

use std::time::{Duration, Instant};

use tongguan_cluster::{Options as Settings, Single};
use tongguan_model::id::AccountId;
use tongguan_store::postgres::hosts::{Access, Hosts};
use tongguan_store::{
    Archive, AuditRecord, IntentKind, Move, MoveKeys, NewAuditKey, Options, RightsKey, Scope, Site, Store,
    StoreError, Verdict,
};

/// Longest wait for anything that must come.
const PATIENCE: Duration = Duration::from_secs(30);
const KEY: &[u8] = b"a key of this test";

fn hosts(single: &Single) -> Hosts {
    Hosts::parse(&single.url("postgres"), Access::default()).unwrap()
}

fn started() -> Option<Single> {
    let single = Single::or_skip(&Settings::default())?;
    assert!(Store::make(hosts(&single)).unwrap());
    assert!(!Store::make(hosts(&single)).unwrap());
    Some(single)
}

/// A node that writes over one lane, whose rights and audit records are sealed.
fn node(single: &Single) -> Store {
    sealed(single, &Options { lanes: 1, ..Options::default() })
}

fn sealed(single: &Single, options: &Options) -> Store {
    let store = Store::connect(hosts(single), options).unwrap();
    let key = RightsKey::new(KEY);
    if store.read(|snapshot| snapshot.rights_sealed()).unwrap() {
        store.open_rights(&key).unwrap();
    } else {
        store.seal_rights(&key, |tx| tx.put_sealed_service_key("rights", b"sealed", 1)).unwrap();
    }
    let new = NewAuditKey { sealed: b"sealed".to_vec(), now_ms: 1 };
    let new = store.read(|snapshot| snapshot.audit_key()).unwrap().is_none().then_some(new);
    assert_eq!(store.seal_audit(KEY, new).unwrap(), []);
    store
}

fn account(number: u64) -> AccountId {
    AccountId::new(format!("{number:016}"))
}

fn record(number: u64) -> AuditRecord {
    AuditRecord {
        time_ms: 1_000 + i64::try_from(number).unwrap(),
        request_id: format!("request {number}"),
        account: Some(account(1).as_str().to_owned()),
        source: "192.0.2.1".into(),
        action: Some("CreateVpc".into()),
        status: 200,
        changed: true,
        ..AuditRecord::default()
    }
}

/// Makes an account, with an audit record; answers whether it was there.
async fn make(store: &Store, number: u64) -> Result<bool, StoreError> {
    let change = move |tx: &tongguan_store::Tx<'_>| {
        let there = tx.account_active(&account(number))?;
        tx.ensure_account(&account(number), 1)?;
        tx.audit(&record(number))?;
        Ok(Verdict::Keep(there))
    };
    store.write_in(Scope::Accounts(vec![number]), change).await
}

/// Nothing that `check` looks at is wrong.
fn sound(single: &Single) {
    let archive = Archive::connect(hosts(single)).unwrap();
    assert_eq!(archive.structure().unwrap(), []);
    for (rule, findings) in archive.relations().unwrap() {
        assert!(findings.is_empty(), "{rule}: {findings:?}");
    }
    assert_eq!(archive.rights(&RightsKey::new(KEY)).unwrap(), []);
    let verdict = archive.audit(Some(KEY), &[]).unwrap();
    assert!(verdict.findings.is_empty(), "{:?}", verdict.findings);
    archive.rows(|_, _| None, |_, _| None).unwrap();
}

/// Waits until somebody asks what came of a commit that hangs, and waits for it.
fn until_looked_up(single: &Single) {
    let waiting =
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'UPDATE lane %'";
    let begun = Instant::now();
    while single.sql("postgres", waiting).unwrap().trim() == "0" {
        assert!(begun.elapsed() < PATIENCE, "nobody looks");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// How many records say that an account of this number was made.
fn recorded(single: &Single, number: u64) -> String {
    let sql = format!("SELECT count(*) FROM audit WHERE request_id = 'request {number}'");
    single.sql("postgres", &sql).unwrap().trim().to_owned()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

#[test]
fn nodes_write_side_by_side_and_all_of_it_is_sealed() {
    let Some(single) = started() else { return };
    let (one, other) = (node(&single), node(&single));
    runtime().block_on(async {
        // The same change on both at the same moment is made once.
        for number in 1..20 {
            let (first, second) = tokio::join!(make(&one, number), make(&other, number));
            assert!(first.unwrap() ^ second.unwrap(), "{number}");
        }
        let dropped = one.write(|tx| {
            tx.ensure_account(&account(77), 1)?;
            Ok(Verdict::Discard(()))
        });
        dropped.await.unwrap();
        // A record that nothing was changed with is there when it was waited for.
        let number = other.audit_later(record(500)).unwrap();
        other.audit_written(number).await.unwrap();
        assert_eq!(one.read(|snapshot| snapshot.audited("request 500")).unwrap(), Some((200, None)));
    });
    assert!(!one.read(|snapshot| snapshot.account_active(&account(77))).unwrap());
    sound(&single);
    assert_eq!(Store::look(hosts(&single)).unwrap().taken, 2);
    drop((one, other));
    assert_eq!(Store::look(hosts(&single)).unwrap().taken, 0);
    // Who comes next takes the chains up where they were.
    let next = node(&single);
    runtime().block_on(async { make(&next, 30).await.unwrap() });
    drop(next);
    sound(&single);
}

/// While nodes are replaced one by one, some are of the release before the schema.
#[test]
fn a_newer_schema_is_served_if_it_says_so_and_an_older_never() {
    let Some(single) = started() else { return };
    let own = Store::look(hosts(&single)).unwrap();
    assert!(own.serves && own.schema == own.newest && own.oldest == own.newest, "{own:?}");
    let running = node(&single);
    let (next, before) = (own.newest + 1, own.newest - 1);
    let set = |version: u32, oldest: u32| {
        let set = format!("UPDATE tongguan_schema SET version = {version}, oldest = {oldest}");
        single.sql("postgres", &set).unwrap();
    };

    set(next, own.newest);
    single
        .sql("postgres", "ALTER TABLE account ADD COLUMN of_the_next TEXT; CREATE TABLE next (id BIGINT)")
        .unwrap();
    assert!(!Store::make(hosts(&single)).unwrap());
    let state = Store::look(hosts(&single)).unwrap();
    assert!(state.serves && state.schema == next && state.lanes > 0, "{state:?}");
    let beside = node(&single);
    runtime().block_on(async {
        make(&running, 1).await.unwrap();
        make(&beside, 2).await.unwrap();
    });
    drop(beside);
    sound(&single);

    set(next, next);
    let refused = Store::connect(hosts(&single), &Options::default()).err();
    assert!(matches!(refused, Some(StoreError::NewerSchema { found, .. }) if found == next), "{refused:?}");
    let refused = Store::make(hosts(&single)).err();
    assert!(matches!(refused, Some(StoreError::NewerSchema { .. })), "{refused:?}");
    assert!(!Store::look(hosts(&single)).unwrap().serves);
    set(before, 1);
    let refused = Store::connect(hosts(&single), &Options::default()).err();
    assert!(matches!(refused, Some(StoreError::OlderSchema { found, .. }) if found == before), "{refused:?}");
    // Nothing is made beside what is there.
    assert!(matches!(Store::make(hosts(&single)), Err(StoreError::OlderSchema { .. })));
    assert_eq!(single.sql("postgres", "SELECT count(*) FROM account").unwrap().trim(), "2");
}

#[test]
fn retention_leaves_gaps_that_are_sealed() {
    let Some(single) = started() else { return };
    let store = node(&single);
    runtime().block_on(async {
        let many = store.write(|tx| {
            (0..50).try_for_each(|number| tx.audit(&record(number)))?;
            Ok(Verdict::Keep(()))
        });
        many.await.unwrap();
        let options = Options { audit_days: 1, lanes: 1, ..Options::default() };
        let trimming = Store::connect(hosts(&single), &options).unwrap();
        trimming.open_rights(&RightsKey::new(KEY)).unwrap();
        assert_eq!(trimming.seal_audit(KEY, None).unwrap(), []);
        // Its own chain has nothing yet.
        assert_eq!(trimming.trim_audit(i64::MAX, 1_000).await.unwrap(), 0);
        drop(store);
        drop(trimming);
        let trimming = Store::connect(hosts(&single), &options).unwrap();
        trimming.open_rights(&RightsKey::new(KEY)).unwrap();
        assert_eq!(trimming.seal_audit(KEY, None).unwrap(), []);
        assert!(trimming.trim_audit(1_000 * 86_400_000, 1_000).await.unwrap() >= 50);
    });
    let verdict = Archive::connect(hosts(&single)).unwrap().audit(Some(KEY), &[]).unwrap();
    assert!(verdict.findings.is_empty() && verdict.removed >= 50, "{:?}", verdict.findings);
}

/// A server that dies at any moment of a batch: what was answered is there, what was refused is not, and nothing is
/// there twice.
#[test]
fn what_was_answered_outlives_the_server() {
    let Some(mut single) = started() else { return };
    let store = node(&single);
    let runtime = runtime();
    let mut answers = Vec::new();
    for round in 0..3_u64 {
        let writers: Vec<_> = (0..8_u64)
            .map(|writer| {
                let store = store.clone();
                runtime.spawn(async move {
                    let mut answers = Vec::new();
                    for number in 0..20 {
                        let number = 1_000 + round * 1_000 + writer * 100 + number;
                        answers.push((number, make(&store, number).await));
                    }
                    answers
                })
            })
            .collect();
        std::thread::sleep(Duration::from_millis(40 * round));
        single.kill();
        single.boot().unwrap();
        for writer in writers {
            answers.extend(runtime.block_on(writer).unwrap());
        }
    }
    let (mut made, mut refused) = (0, 0);
    for (number, answer) in answers {
        let records = single
            .sql("postgres", &format!("SELECT count(*) FROM audit WHERE request_id = 'request {number}'"));
        let records: u64 = records.unwrap().trim().parse().unwrap();
        let there = store.read(|snapshot| snapshot.account_active(&account(number))).unwrap();
        match answer {
            Ok(before) => {
                assert!(
                    !before && there && records == 1,
                    "{number} was answered: {before} {there} {records}"
                );
                made += 1;
            }
            Err(error) => {
                // One whose outcome nobody could find out in time may be there, once and with its record.
                assert!(records == u64::from(there), "{number}: {error}: {there} {records}");
                refused += 1;
            }
        }
    }
    assert!(made > 0, "{made} made, {refused} refused");
    drop(store);
    sound(&single);
}

/// A node that was thought dead writes nothing that its successor does not know of: its lane is another's.
#[test]
fn a_lane_that_was_taken_over_is_not_written_by_its_former_owner() {
    let Some(single) = started() else { return };
    let store = node(&single);
    let runtime = runtime();
    runtime.block_on(make(&store, 1)).unwrap();
    single
        .sql("postgres", "UPDATE lane SET owner = 'another', until_ms = now_ms() + 60000 WHERE id = 1")
        .unwrap();
    assert!(!runtime.block_on(make(&store, 2)).unwrap());
    let groups =
        single.sql("postgres", "SELECT count(*) FROM lane_1.audit WHERE request_id = 'request 2'").unwrap();
    let moved =
        single.sql("postgres", "SELECT count(*) FROM lane_2.audit WHERE request_id = 'request 2'").unwrap();
    assert_eq!((groups.trim(), moved.trim()), ("0", "1"));
    drop(store);
    sound(&single);
}

/// Changes of different accounts are written side by side, each lane with a chain of its own: one that waits for
/// somebody keeps nobody else waiting.
#[test]
fn accounts_have_lanes_of_their_own() {
    let Some(single) = started() else { return };
    let lanes = 3;
    let store = sealed(&single, &Options { lanes, ..Options::default() });
    let (release, released) = std::sync::mpsc::channel::<()>();
    runtime().block_on(async {
        let mut waiting = Box::pin(store.write_in(Scope::Accounts(vec![1]), move |_| {
            released.recv().unwrap();
            Ok(Verdict::Discard(()))
        }));
        for number in [2, 3, 5, 6] {
            tokio::select! {
                biased;
                ended = &mut waiting => panic!("{ended:?}"),
                made = make(&store, number) => assert!(!made.unwrap()),
            }
        }
        release.send(()).unwrap();
        waiting.await.unwrap();
        assert!(!make(&store, 1).await.unwrap());
    });
    drop(store);
    sound(&single);
    for lane in 1..=lanes {
        let records = single.sql("postgres", &format!("SELECT count(*) FROM lane_{lane}.audit")).unwrap();
        assert_ne!(records.trim(), "0", "{lane}");
    }
}

/// What is written is sent without waiting for its answer: one that is refused undoes its change all the same, and no
/// other of its batch.
#[test]
fn what_is_refused_later_undoes_its_change() {
    let Some(single) = started() else { return };
    let store = node(&single);
    runtime().block_on(async {
        let twice = store.write_in(Scope::Accounts(vec![1]), |tx| {
            tx.ensure_account(&account(50), 1)?;
            for _ in 0..2 {
                tx.insert_intent("vpc-of-nobody", IntentKind::Vpc, 1, "create", 1, 1)?;
            }
            Ok(Verdict::Keep(()))
        });
        let (before, twice, after) = tokio::join!(make(&store, 1), twice, make(&store, 2));
        assert!(matches!(twice, Err(StoreError::Busy)), "{twice:?}");
        assert!(!before.unwrap() && !after.unwrap());
        assert!(make(&store, 1).await.unwrap() && make(&store, 2).await.unwrap());
    });
    assert!(!store.read(|snapshot| snapshot.account_active(&account(50))).unwrap());
    assert_eq!(store.read(|snapshot| snapshot.intent("vpc-of-nobody")).unwrap(), None);
    drop(store);
    sound(&single);
}

/// Whoever takes up a chain looks at its end before anything is sealed after it: records that somebody has removed
/// while it was nobody's are missed ever after.
#[test]
fn a_chain_that_was_tampered_with_is_not_sealed_over() {
    let Some(single) = started() else { return };
    let options = Options { lanes: 3, ..Options::default() };
    let (store, runtime) = (sealed(&single, &options), runtime());
    for number in 1..=6 {
        runtime.block_on(make(&store, number)).unwrap();
    }
    drop(store);
    sound(&single);
    let lane = single.sql("postgres", "SELECT max(id) FROM lane WHERE groups > 0").unwrap();
    let chain = format!("lane_{}", lane.trim());
    single
        .sql(
            "postgres",
            &format!(
                "DELETE FROM {chain}.audit WHERE seq = (SELECT head_seq FROM {chain}.audit_chain); \
                 UPDATE {chain}.audit_chain SET head_seq = head_seq - 1, \
                 head_hash = (SELECT hash FROM {chain}.audit WHERE seq = head_seq - 1)"
            ),
        )
        .unwrap();
    let store = sealed(&single, &options);
    for number in 7..=12 {
        runtime.block_on(make(&store, number)).unwrap();
    }
    drop(store);
    let verdict = Archive::connect(hosts(&single)).unwrap().audit(Some(KEY), &[]).unwrap();
    assert!(!verdict.findings.is_empty());
}

/// Commits that hang, since no standby is there, are not taken for done and not for refused.
#[test]
fn a_commit_that_hangs_is_looked_up() {
    let Some(single) = started() else { return };
    let store = node(&single);
    let runtime = runtime();
    runtime.block_on(make(&store, 1)).unwrap();
    single.hang_commits(true).unwrap();
    let hanging = runtime.spawn({
        let store = store.clone();
        async move { make(&store, 2).await }
    });
    until_looked_up(&single);
    single.hang_commits(false).unwrap();
    assert!(!runtime.block_on(hanging).unwrap().unwrap());
    assert_eq!(recorded(&single, 2), "1");
    drop(store);
    sound(&single);
}

/// Audit records that may have been written are written once: if nobody can say, it is looked before they are written
/// again.
#[test]
fn a_record_in_doubt_is_not_written_twice() {
    let Some(single) = started() else { return };
    let store = node(&single);
    let runtime = runtime();
    runtime.block_on(make(&store, 1)).unwrap();
    // The lane is held up until a change and a record wait together, and the change until commits hang.
    let hold = |then: u64| {
        let (begun, begins) = std::sync::mpsc::channel();
        let (release, released) = std::sync::mpsc::channel::<()>();
        let store = store.clone();
        let change = runtime.spawn(async move {
            let change = store.write_in(Scope::Accounts(vec![then]), move |tx| {
                // Nobody waits for it when it is tried again.
                let _ = begun.send(());
                let _ = released.recv();
                tx.ensure_account(&account(then), 1)?;
                tx.audit(&record(then))?;
                Ok(Verdict::Keep(()))
            });
            change.await
        });
        (begins, release, change)
    };
    let (begins, release, first) = hold(3);
    begins.recv().unwrap();
    let (second_begins, second_release, second) = hold(2);
    store.audit_later(record(700)).unwrap();
    release.send(()).unwrap();
    runtime.block_on(first).unwrap().unwrap();
    second_begins.recv().unwrap();
    single.hang_commits(true).unwrap();
    second_release.send(()).unwrap();
    let unknown = runtime.block_on(second).unwrap();
    // Nobody can say what came of it as long as it hangs.
    assert!(matches!(unknown, Err(StoreError::Unusable(_))), "{unknown:?}");
    single.hang_commits(false).unwrap();
    runtime.block_on(async {
        while make(&store, 4).await.is_err() {}
        let number = store.audit_later(record(701)).unwrap();
        store.audit_written(number).await.unwrap();
    });
    let counts = [2, 700, 701].map(|number| recorded(&single, number));
    assert_eq!(counts, ["1", "1", "1"]);
    drop(store);
    sound(&single);
}

/// A change that was found to be made is not made again, though the lane cannot be taken up just then.
#[test]
fn what_was_found_committed_is_not_done_again() {
    let Some(single) = started() else { return };
    let store = node(&single);
    let runtime = runtime();
    runtime.block_on(make(&store, 1)).unwrap();
    // The first time that a lane is taken up anew, and no batch is counted, is refused as a standby does it.
    single
        .sql(
            "postgres",
            "CREATE SCHEMA test; CREATE SEQUENCE test.tries; CREATE FUNCTION test.refuse() RETURNS trigger LANGUAGE \
             plpgsql AS $$ BEGIN IF nextval('test.tries') = 1 THEN RAISE EXCEPTION 'read-only' USING ERRCODE = '25006'; \
             END IF; RETURN NEW; END $$; CREATE TRIGGER refuse BEFORE UPDATE ON lane FOR EACH ROW \
             WHEN (NEW.groups = OLD.groups AND NEW.until_ms <> OLD.until_ms) EXECUTE FUNCTION test.refuse()",
        )
        .unwrap();
    single.hang_commits(true).unwrap();
    let hanging = runtime.spawn({
        let store = store.clone();
        async move { make(&store, 2).await }
    });
    let tried = || single.sql("postgres", "SELECT is_called FROM test.tries").unwrap().trim() == "t";
    assert!(!tried());
    until_looked_up(&single);
    single.hang_commits(false).unwrap();
    // Had it been made a second time, it would have found itself there.
    assert!(!runtime.block_on(hanging).unwrap().unwrap());
    assert!(tried());
    assert_eq!(recorded(&single, 2), "1");
    drop(store);
    sound(&single);
}

/// Who waits behind a change whose outcome is looked for is told so when that is over, and is not tried at length too.
#[test]
fn who_has_waited_for_too_long_is_not_tried() {
    let Some(single) = started() else { return };
    let store = node(&single);
    let runtime = runtime();
    runtime.block_on(make(&store, 1)).unwrap();
    single.hang_commits(true).unwrap();
    let ask = |number| {
        let store = store.clone();
        runtime.spawn(async move { make(&store, number).await })
    };
    let first = ask(2);
    until_looked_up(&single);
    let second = ask(3);
    assert!(matches!(runtime.block_on(first).unwrap(), Err(StoreError::Unusable(_))));
    assert!(matches!(runtime.block_on(second).unwrap(), Err(StoreError::Busy)));
    single.hang_commits(false).unwrap();
    assert!(!store.read(|snapshot| snapshot.account_active(&account(3))).unwrap());
    assert!(!runtime.block_on(make(&store, 3)).unwrap(), "it can be sent again");
    drop(store);
    sound(&single);
}

/// A session that ends writes something, since it has a table of its own; that waits for no standby. Otherwise a
/// primary that has lost its standbys could not be shut down, nor become a standby itself.
#[test]
fn a_server_without_standbys_can_be_shut_down() {
    let Some(mut single) = started() else { return };
    let store = node(&single);
    runtime().block_on(make(&store, 1)).unwrap();
    single.hang_commits(true).unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        single.shut_down();
        // Nobody listens any more if that took too long.
        let _ = tell.send(single);
    });
    let mut single = told.recv_timeout(PATIENCE).expect("the server does not stop");
    single.boot().unwrap();
    single.hang_commits(false).unwrap();
    assert!(!runtime().block_on(make(&store, 2)).unwrap());
    drop(store);
    sound(&single);
}

/// A read that the database gives no time is refused for now, not for a bug.
#[test]
fn a_read_that_waits_for_a_lock_is_refused_for_now() {
    let Some(single) = started() else { return };
    let store = node(&single);
    let locked = "SELECT count(*) FROM pg_locks WHERE granted AND relation = 'account'::regclass \
                  AND mode = 'AccessExclusiveLock'";
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // Until this session is ended.
            let held = single.sql("postgres", "BEGIN; LOCK TABLE account; SELECT pg_sleep(60)");
            assert!(held.is_err());
        });
        let begun = Instant::now();
        while single.sql("postgres", locked).unwrap().trim() == "0" {
            assert!(begun.elapsed() < PATIENCE, "nobody holds the lock");
            std::thread::sleep(Duration::from_millis(20));
        }
        let read = store.read(|snapshot| snapshot.account_active(&account(1)));
        single.terminate_sessions().unwrap();
        assert!(matches!(read, Err(StoreError::Busy)), "{read:?}");
    });
    // Its session was ended with all others.
    let begun = Instant::now();
    while store.read(|snapshot| snapshot.account_active(&account(1))).is_err() {
        assert!(begun.elapsed() < PATIENCE, "nothing can be read any more");
    }
}

/// Who knows of no timeline yet, such as a command, does not take an old primary for the one there is, whichever of
/// them answers first.
#[test]
fn of_two_primaries_the_one_of_the_newer_timeline_is_used() {
    let Some(old) = started() else { return };
    let mut new = old.synchronous_standby().unwrap();
    new.begin_timeline().unwrap();
    let (old, new) = (old.port(), new.port());
    for ports in [[old, new], [new, old]] {
        let [first, second] = ports.map(|port| format!("127.0.0.1:{port}"));
        let url = format!("postgres://postgres@{first},{second}/postgres?sslmode=disable");
        for _ in 0..20 {
            let state = Store::look(Hosts::parse(&url, Access::default()).unwrap()).unwrap();
            assert_eq!((state.timeline, state.host), (2, format!("127.0.0.1:{new}")));
        }
    }
}

/// What has only read ends at once, although nobody waits for that: an open transaction would keep the database from
/// removing what was replaced meanwhile.
#[test]
fn a_read_leaves_no_transaction_open() {
    let Some(single) = started() else { return };
    let store = node(&single);
    let sessions = "SELECT count(*), string_agg(pid::TEXT, ',' ORDER BY pid) FROM pg_stat_activity \
                    WHERE application_name = 'tongguan'";
    store.read(|snapshot| snapshot.audit_key()).unwrap();
    let before = single.sql("postgres", sessions).unwrap();
    store.read(|snapshot| snapshot.audit_key()).unwrap();
    let open = "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'";
    let begun = Instant::now();
    while single.sql("postgres", open).unwrap().trim() != "0" {
        assert!(begun.elapsed() < PATIENCE);
    }
    // It was not the server that ended it, and the session with it.
    assert_eq!(single.sql("postgres", sessions).unwrap(), before);
}

/// Who was held up while the master key was changed does not go on sealing under the old one.
#[test]
fn who_has_the_old_master_key_writes_no_more() {
    let Some(single) = started() else { return };
    let (held_up, other) = (node(&single), node(&single));
    let change = |store: &Store| {
        store.write_blocking(|tx| {
            if !tx.has_it_alone()? {
                return Ok(Verdict::Discard(false));
            }
            tx.put_sealed_service_key("audit-chain", b"sealed under another", 2)?;
            Ok(Verdict::Keep(true))
        })
    };
    assert!(!change(&other).unwrap(), "the other one lives");
    // It comes back every few seconds, whatever is done to its lane.
    while !change(&other).unwrap() {
        single.sql("postgres", "UPDATE lane SET until_ms = 0 WHERE id = 1").unwrap();
    }
    let late = runtime().block_on(make(&held_up, 40)).unwrap_err().to_string();
    assert!(late.contains("the master key was changed"), "{late}");
    assert!(!other.read(|snapshot| snapshot.account_active(&account(40))).unwrap());
    drop(held_up);
    let key = |snapshot: &tongguan_store::Snapshot<'_>| snapshot.audit_key();
    assert_eq!(other.read(key).unwrap().unwrap(), b"sealed under another");
}

/// Texts that PostgreSQL does not take are replaced, and the chain is made anew over what has come of them; what was
/// from before it stays so.
#[test]
fn records_that_postgresql_does_not_take_get_a_chain_of_their_own() {
    let Some(single) = Single::or_skip(&Settings::default()) else { return };
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), &Options::default()).unwrap();
    let rights = RightsKey::new(KEY);
    store.seal_rights(&rights, |tx| tx.put_sealed_service_key("rights", b"sealed", 1)).unwrap();
    let new = NewAuditKey { sealed: b"sealed".to_vec(), now_ms: 1 };
    assert_eq!(store.seal_audit(KEY, Some(new)).unwrap(), []);
    let write = |store: &Store, numbers: std::ops::Range<u64>| {
        let records: Vec<_> = numbers
            .map(|number| AuditRecord { action: Some(format!("a\0{number}")), ..record(number) })
            .collect();
        let written = store.write_blocking(move |tx| {
            tx.ensure_account(&account(1), 1)?;
            records.iter().try_for_each(|record| tx.audit(record))?;
            Ok(Verdict::Keep(()))
        });
        written.unwrap();
    };
    write(&store, 0..5);
    drop(store);
    let store = Store::open(directory.path(), &Options::default()).unwrap();
    store.open_rights(&rights).unwrap();
    store.begin_audit_anew(KEY, None, record(5)).unwrap();
    write(&store, 6..9);
    drop(store);

    let from = Site::Directory { path: directory.path().to_owned(), mark_file: None };
    let mut moving = Move::begin(from, Site::Shared(Box::new(hosts(&single)))).unwrap();
    let keys = MoveKeys { rights: &rights, audit: KEY };
    let moved = |head: String| AuditRecord { resource: Some(head), ..record(9) };
    let carried = moving.carry(&keys, 1, &moved).unwrap();
    assert!(carried.rows.contains(&("audit".to_owned(), 9)), "{carried:?}");
    assert_eq!(moving.compare().unwrap(), []);
    moving.finish().unwrap();
    sound(&single);
    let verdict = Archive::connect(hosts(&single)).unwrap().audit(Some(KEY), &[]).unwrap();
    assert_eq!((verdict.before, verdict.records), (5, 5));
    let actions =
        single.sql("postgres", "SELECT string_agg(action, ',' ORDER BY seq) FROM lane_1.audit").unwrap();
    let wanted = "a\u{fffd}0,a\u{fffd}1,a\u{fffd}2,a\u{fffd}3,a\u{fffd}4,CreateVpc,a\u{fffd}6,a\u{fffd}7,a\u{fffd}8,CreateVpc";
    assert_eq!(actions.trim(), wanted);
}

/// One chain moves with its gaps and seals; of those of several lanes one is made, in which no lane's records change
/// places.
#[test]
fn a_chain_moves_with_its_gaps_and_several_become_one() {
    let Some(single) = Single::or_skip(&Settings::default()) else { return };
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (rights, day_ms) = (RightsKey::new(KEY), 86_400_000);
    let options = Options { audit_days: 1, audit_change_days: 1, ..Options::default() };
    let store = Store::open(one.path(), &options).unwrap();
    store.seal_rights(&rights, |tx| tx.put_sealed_service_key("rights", b"sealed", 1)).unwrap();
    let new = NewAuditKey { sealed: b"sealed".to_vec(), now_ms: 1 };
    assert_eq!(store.seal_audit(KEY, Some(new)).unwrap(), []);
    runtime().block_on(async {
        let many = store.write(move |tx| {
            (0..50).try_for_each(|number| tx.audit(&record(number)))?;
            let late = |number| AuditRecord { time_ms: 1_000 * day_ms, ..record(number) };
            (50..60).try_for_each(|number| tx.audit(&late(number)))?;
            Ok(Verdict::Keep(()))
        });
        many.await.unwrap();
        assert_eq!(store.trim_audit(1_000 * day_ms, 1_000).await.unwrap(), 50);
    });
    drop(store);
    let keys = MoveKeys { rights: &rights, audit: KEY };
    let moved = |from: Site, to: Site, number: u64| {
        let mut moving = Move::begin(from, to).unwrap();
        let record = |head: String| AuditRecord { resource: Some(head), ..record(number) };
        moving.carry(&keys, 1, &record).unwrap();
        assert_eq!(moving.compare().unwrap(), []);
        moving.finish().unwrap();
    };
    let directory = |path: &std::path::Path| Site::Directory { path: path.to_owned(), mark_file: None };
    moved(directory(one.path()), Site::Shared(Box::new(hosts(&single))), 60);
    let verdict = Archive::connect(hosts(&single)).unwrap().audit(Some(KEY), &[]).unwrap();
    assert_eq!(
        (verdict.findings.len(), verdict.records, verdict.removed),
        (0, 11, 50),
        "{:?}",
        verdict.findings
    );

    let (first, second) = (node(&single), node(&single));
    runtime().block_on(async {
        for number in 61..81 {
            make(if number % 3 == 0 { &first } else { &second }, number).await.unwrap();
        }
    });
    assert!(matches!(
        Move::begin(Site::Shared(Box::new(hosts(&single))), directory(other.path())),
        Err(StoreError::NodesLive)
    ));
    drop((first, second));
    sound(&single);
    moved(Site::Shared(Box::new(hosts(&single))), directory(other.path()), 81);
    let archive = Archive::open(other.path()).unwrap();
    let verdict = archive.audit(Some(KEY), &[]).unwrap();
    assert_eq!(
        (verdict.findings.len(), verdict.records, verdict.removed),
        (0, 33, 0),
        "{:?}",
        verdict.findings
    );
    assert_eq!(archive.rights(&rights).unwrap(), []);
    let mut ids = Vec::new();
    let looked = archive.read(|snapshot| {
        snapshot.audit_after(0, |_, record| {
            ids.push(record.request_id);
            std::ops::ControlFlow::Continue(())
        })
    });
    looked.unwrap();
    // Those of the first node went on in the chain that was there; its late records hold it back.
    let place = |number: u64| ids.iter().position(|id| *id == format!("request {number}")).unwrap();
    let own =
        |numbers: Vec<u64>| assert!(numbers.windows(2).all(|two| place(two[0]) < place(two[1])), "{ids:?}");
    own((50..61).chain((61..81).filter(|number| number % 3 == 0)).collect());
    own((61..81).filter(|number| number % 3 != 0).collect());
    assert_eq!(ids.iter().filter(|id| *id == "request 81").count(), 2);
}
