//! Rows that confer rights under their seals: whatever is done to them by who has no key of the seals is
//! found where they are used, at the next start, or by a look at all.
#![allow(clippy::unwrap_used, reason = "a test may stop where something is wrong")]

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use rusqlite::Connection;
use rusqlite::types::Value;
use tempfile::TempDir;
use tongguan_model::certificate::{Certificate, CertificateStatus, Issued, KeyPurposes, SigningRequest};
use tongguan_model::id::{AccountId, CertificateId, RegionId};
use tongguan_store::{
    Admission, Archive, Bearer, DATABASE_FILE, Entry, Epoch, GroupRow, Holder, MARK_FILE, Moment, NewKey,
    NonceError, NonceLog, NotAdmitted, Options, Owner, PolicyKey, PolicyRow, RightsKey, RoleRow, SessionsOf,
    Store, StoreError, Tx, UserRow, Verdict,
};

const ACCOUNT: &str = "1000000000000001";
const OTHER: &str = "1000000000000002";
const TOKEN_KEY: &str = "security-token:1";
const CERTIFICATE: &str = "00000000-0000-0000-0000-000000000001";

/// Every row of these is sealed, with the column that names whose it is and the kind of that one.
const SEALED: &[(&str, &str, &str)] = &[
    ("account", "id", "account"),
    ("access_key", "id", "access_key"),
    ("ram_user", "seq", "ram_user"),
    ("ram_attachment", "user_seq", "ram_user"),
    ("ram_membership", "user_seq", "ram_user"),
    ("ram_group", "seq", "ram_group"),
    ("ram_attachment", "ram_group", "ram_group"),
    ("ram_role", "seq", "ram_role"),
    ("ram_attachment", "role", "ram_role"),
    ("ram_policy", "seq", "ram_policy"),
    ("ram_policy_version", "policy", "ram_policy"),
    ("certificate", "id", "certificate"),
    ("service_key", "name", "service_key"),
];

fn key() -> RightsKey {
    RightsKey::new(b"the key of this test")
}

fn change(store: &Store, mut change: impl FnMut(&Tx<'_>) -> Result<(), StoreError> + Send + 'static) {
    store
        .write_blocking(move |tx| {
            change(tx)?;
            Ok(Verdict::Keep(()))
        })
        .unwrap();
}

fn open(directory: &Path) -> Store {
    let store = Store::open(directory, &Options::default()).unwrap();
    store.open_rights(&key()).unwrap();
    store
}

fn user(name: &str) -> UserRow {
    UserRow {
        seq: 0,
        id: format!("id of {name}"),
        account: AccountId::new(ACCOUNT),
        name: name.into(),
        display_name: String::new(),
        mobile_phone: String::new(),
        email: String::new(),
        comments: String::new(),
        created_ms: 1,
        updated_ms: 1,
    }
}

fn certificate(account: &AccountId) -> Certificate {
    Certificate {
        id: CertificateId::new(CERTIFICATE),
        account: account.clone(),
        region: RegionId::new("cn-hangzhou"),
        key_spec: "EC_P256".into(),
        status: CertificateStatus::Pending,
        exportable: false,
        subject: "CN=a".into(),
        dns_names: vec!["a".into()],
        csr: "request".into(),
        public_key: "key".into(),
        uploaded: None,
        issued: None,
        created_ms: 1,
        updated_ms: 1,
    }
}

fn signing_request(account: &AccountId) -> SigningRequest {
    SigningRequest {
        id: "request".into(),
        number: 1,
        account: account.clone(),
        name: "a".into(),
        key_spec: "EC_P256".into(),
        common_name: "a".into(),
        corp_name: "b".into(),
        department: "c".into(),
        locality: "d".into(),
        province: "e".into(),
        country_code: "CN".into(),
        dns_names: vec!["a".into()],
        csr: "request".into(),
        public_key: "key".into(),
        has_key: true,
        created_ms: 1,
    }
}

/// Two accounts, and in the first one of everything that confers rights.
fn fill(store: &Store) {
    change(store, |tx| {
        let account = AccountId::new(ACCOUNT);
        tx.insert_account(&account, "one", 1)?;
        tx.insert_account(&AccountId::new(OTHER), "other", 1)?;
        tx.put_access_key("root", &account, b"sealed", 1)?;
        tx.put_access_key("root of other", &AccountId::new(OTHER), b"sealed", 1)?;
        tx.insert_user(&user("eve"))?;
        tx.insert_user(&user("bob"))?;
        let eve = tx.user(&account, "eve")?.unwrap().seq;
        let new =
            NewKey { id: "eve", account: &account, user: Some(eve), sealed_secret: b"s", created_ms: 1 };
        tx.insert_key(&new)?;
        let group = GroupRow {
            seq: 0,
            id: "id of the group".into(),
            account: account.clone(),
            name: "group".into(),
            comments: String::new(),
            created_ms: 1,
            updated_ms: 1,
        };
        tx.insert_group(&group)?;
        let group = tx.group(&account, "group")?.unwrap().seq;
        tx.insert_member(eve, group, 1)?;
        let policy = PolicyRow {
            seq: 0,
            account: account.clone(),
            name: "policy".into(),
            description: String::new(),
            default_version: 1,
            next_version: 2,
            created_ms: 1,
            updated_ms: 1,
        };
        let seq = tx.insert_policy(&policy, "the first document")?;
        let policy = tx.policy(&account, "policy")?.unwrap();
        tx.insert_policy_version(&policy, "the second document", true, 2)?;
        let role = RoleRow {
            seq: 0,
            id: "id of the role".into(),
            account: account.clone(),
            name: "role".into(),
            description: String::new(),
            trust: "trusted".into(),
            max_session_seconds: 3_600,
            service: None,
            console_login: true,
            sessions_from_ms: 0,
            created_ms: 1,
            updated_ms: 1,
        };
        let role = tx.insert_role(&role)?;
        for holder in [Holder::User(eve), Holder::Group(group), Holder::Role(role)] {
            tx.attach(&account, PolicyKey::Custom(seq), holder, 1)?;
            tx.attach(&account, PolicyKey::System("ReadOnlyAccess"), holder, 1)?;
        }
        tx.insert_certificate(&certificate(&account), b"sealed key")?;
        tx.insert_signing_request(&signing_request(&account), Some(b"sealed key"))?;
        let issued = Issued {
            certificate: "c".into(),
            chain: "d".into(),
            sm: false,
            issuer: "i".into(),
            subject: "s".into(),
            serial: "1".into(),
            signature_algorithm: "a".into(),
            subject_key_identifier: "k".into(),
            not_before: 1,
            not_after: 2,
            purposes: Some(KeyPurposes::ANY),
        };
        tx.certificate_issued(&CertificateId::new(CERTIFICATE), &issued, 2)?;
        tx.put_sealed_service_key(TOKEN_KEY, b"sealed", 1)
    });
}

/// A sealed directory with everything in it, and nobody's.
fn filled() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), &Options::default()).unwrap();
    store.seal_rights(&key(), |_| Ok::<_, StoreError>(())).unwrap();
    fill(&store);
    directory
}

fn copy(from: &Path) -> TempDir {
    let to = tempfile::tempdir().unwrap();
    for file in [DATABASE_FILE, MARK_FILE] {
        std::fs::copy(from.join(file), to.path().join(file)).unwrap();
    }
    to
}

/// The database as somebody sees it who has the disk: no constraint holds.
fn disk(directory: &Path) -> Connection {
    let connection = Connection::open(directory.join(DATABASE_FILE)).unwrap();
    connection.execute_batch("PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON;").unwrap();
    connection
}

fn findings(directory: &Path) -> Vec<String> {
    let archive = Archive::open(directory).unwrap();
    archive.rights(&key()).unwrap().into_iter().map(|finding| finding.what).collect()
}

/// Of everybody whose rights can be used, those who are refused.
fn refused(store: &Store) -> Vec<String> {
    // So that the question sees what was written beside the store.
    change(store, |tx| tx.delete_fault("none"));
    let bearers = [
        Bearer::Account(ACCOUNT),
        Bearer::Account(OTHER),
        Bearer::Key("root"),
        Bearer::Key("root of other"),
        Bearer::Key("eve"),
        Bearer::User(1),
        Bearer::User(2),
        Bearer::Group(1),
        Bearer::Policy(1),
        Bearer::Role(1),
        Bearer::Certificate(CERTIFICATE),
        Bearer::ServiceKey(TOKEN_KEY),
    ];
    let refuses = |bearer| match store.read(|snapshot| snapshot.vouch(bearer)) {
        Ok(()) => None,
        Err(StoreError::Forged { what, .. }) => Some(what),
        Err(error) => panic!("{error}"),
    };
    bearers.into_iter().filter_map(refuses).collect()
}

/// The columns of a table.
fn columns(connection: &Connection, table: &str) -> Vec<String> {
    let mut statement = connection.prepare("SELECT name FROM pragma_table_info(?1)").unwrap();
    statement.query_map([table], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

/// Names each row: by its place, or by its whole key if it has none.
fn rows(connection: &Connection, table: &str) -> Vec<String> {
    let sql = "SELECT name FROM pragma_table_info(?1) WHERE pk > 0 ORDER BY pk";
    let mut statement = connection.prepare(sql).unwrap();
    let keys: Vec<String> =
        statement.query_map([table], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
    let named: Vec<String> = keys.iter().map(|key| format!("'{key} = ' || quote({key})")).collect();
    let sql = format!("SELECT {} FROM {table}", named.join(" || ' AND ' || "));
    let mut statement = connection.prepare(&sql).unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

fn tables() -> BTreeSet<&'static str> {
    SEALED.iter().map(|(table, ..)| *table).collect()
}

/// Another value than this one.
fn other(value: &Value) -> Value {
    match value {
        Value::Null | Value::Real(_) => Value::Integer(1_000),
        Value::Integer(number) => Value::Integer(number + 1_000),
        Value::Text(text) => Value::Text(format!("{text}x")),
        Value::Blob(bytes) => Value::Blob([bytes, &b"x"[..]].concat()),
    }
}

#[test]
fn what_the_service_writes_fits_its_seals() {
    let directory = filled();
    assert!(findings(directory.path()).is_empty(), "{:?}", findings(directory.path()));
    let store = open(directory.path());
    assert!(refused(&store).is_empty(), "{:?}", refused(&store));
    let account = AccountId::new(ACCOUNT);
    change(&store, move |tx| {
        let policy = tx.policy(&account, "policy")?.unwrap();
        tx.access_key_used("eve", 10, "Vpc")?;
        tx.set_key_active("eve", false)?;
        tx.put_access_key("root", &account, b"another", 1)?;
        tx.set_account_active(&account, false)?;
        for of in [
            SessionsOf::Account(&account),
            SessionsOf::User(1),
            SessionsOf::Role(1),
            SessionsOf::AccessKey("eve"),
        ] {
            assert!(tx.end_sessions(of, 7)?);
        }
        tx.update_user(&UserRow { seq: 1, name: "eva".into(), ..user("eve") })?;
        tx.set_default_version(&policy, 1, 3)?;
        tx.delete_policy_version(&policy, 2, 3)?;
        tx.detach(PolicyKey::Custom(policy.seq), Holder::User(1))?;
        tx.detach_all(Holder::Group(1))?;
        tx.delete_member(1, 1)?;
        tx.delete_group(&tx.group(&account, "group")?.unwrap())?;
        let role = tx.role(&account, "role")?.unwrap();
        tx.update_role(&RoleRow { trust: "another".into(), ..role.clone() })?;
        tx.detach_all(Holder::Role(1))?;
        tx.delete_role(&role)?;
        tx.delete_policy(&policy)?;
        tx.set_certificate_status(&CertificateId::new(CERTIFICATE), CertificateStatus::Inactive, 3)?;
        tx.delete_certificate(&certificate(&account))?;
        tx.put_sealed_service_key(TOKEN_KEY, b"sealed anew", 2)?;
        tx.put_sealed_service_key("security-token:2", b"sealed", 3)?;
        tx.drop_service_key("security-token:2")?;
        tx.delete_key("eve")?;
        tx.detach_all(Holder::User(1))?;
        tx.delete_user(&UserRow { seq: 1, ..user("eva") })?;
        // A place is used again.
        tx.insert_user(&user("carl"))
    });
    assert!(findings(directory.path()).is_empty(), "{:?}", findings(directory.path()));
    drop(store);
    assert!(findings(directory.path()).is_empty(), "{:?}", findings(directory.path()));
    drop(open(directory.path()));
}

/// A change whose savepoint is rolled back, or whose group is tried again, leaves the seals as they were.
#[test]
fn a_change_that_is_undone_leaves_no_seal() {
    let directory = filled();
    let store = open(directory.path());
    let undone = store.write_blocking(|tx| {
        tx.insert_user(&user("mallory"))?;
        tx.set_key_active("eve", false)?;
        Ok(Verdict::Discard(()))
    });
    undone.unwrap();
    let failed = store.write_blocking(|tx| {
        tx.set_key_active("eve", false)?;
        // There is one of this name.
        tx.insert_user(&user("bob"))?;
        Ok(Verdict::Keep(()))
    });
    assert!(failed.is_err());
    assert!(refused(&store).is_empty() && findings(directory.path()).is_empty());
}

/// Every column of every row, and every row itself; where it is used, in the running service, and by a look at all.
#[test]
fn every_changed_column_and_every_removed_row_is_found() {
    let directory = filled();
    let store = open(directory.path());
    let disk = disk(directory.path());
    let mut tried = 0;
    for table in tables() {
        for row in rows(&disk, table) {
            for column in columns(&disk, table) {
                // Neither confers anything.
                let unsealed = column.starts_with("used_") || column == "epoch";
                if ["access_key", "account"].contains(&table) && unsealed {
                    continue;
                }
                let sql = format!("SELECT {column} FROM {table} WHERE {row}");
                let value: Value = disk.query_row(&sql, [], |row| row.get(0)).unwrap();
                let put = |from: &str, value: &Value| {
                    disk.execute(&format!("UPDATE {table} SET {column} = ?1 WHERE {from}"), [value]).unwrap()
                };
                assert_eq!(put(&row, &other(&value)), 1, "{table} {column}");
                let shown = format!("{table} {row}: {column}");
                assert!(!findings(directory.path()).is_empty(), "{shown}");
                assert!(!refused(&store).is_empty(), "{shown}");
                // Found as well: a change of the same row by the service does not make it sound. Then back.
                let back = rows(&disk, table).into_iter().find(|now| {
                    let sql = format!("SELECT {column} IS ?1 FROM {table} WHERE {now}");
                    let same = |now: &str| now == row || column_is_key(&disk, table, &column);
                    same(now) && disk.query_row(&sql, [other(&value)], |row| row.get(0)).unwrap()
                });
                put(&back.unwrap(), &value);
                assert!(findings(directory.path()).is_empty(), "{shown}: {:?}", findings(directory.path()));
                assert!(refused(&store).is_empty(), "{shown}");
                tried += 1;
            }
            disk.execute_batch(&format!(
                "CREATE TEMP TABLE kept AS SELECT * FROM {table} WHERE {row}; DELETE FROM {table} WHERE {row};"
            ))
            .unwrap();
            assert!(!findings(directory.path()).is_empty(), "{table} {row}");
            assert!(!refused(&store).is_empty(), "{table} {row}");
            let back = format!("INSERT INTO main.{table} SELECT * FROM temp.kept; DROP TABLE temp.kept;");
            disk.execute_batch(&back).unwrap();
            assert!(findings(directory.path()).is_empty(), "{table} {row}");
        }
    }
    assert!(tried > 150, "{tried}");
}

fn column_is_key(connection: &Connection, table: &str, column: &str) -> bool {
    let sql = "SELECT pk > 0 FROM pragma_table_info(?1) WHERE name = ?2";
    connection.query_row(sql, [table, column], |row| row.get(0)).unwrap()
}

/// What the service does next to a row that somebody has changed does not make it sound.
#[test]
fn a_change_by_the_service_does_not_hide_an_earlier_one() {
    for forged in [
        "UPDATE ram_user SET account = '1000000000000002' WHERE seq = 1",
        "UPDATE ram_attachment SET policy = NULL, system = 'AdministratorAccess' WHERE user_seq = 1 AND policy = 1",
        "DELETE FROM ram_attachment WHERE user_seq = 1 AND policy = 1",
        "DELETE FROM ram_membership WHERE user_seq = 1",
        "UPDATE row_seal SET seal = zeroblob(64) WHERE kind = 'ram_user' AND id = 1",
        "DELETE FROM row_seal WHERE kind = 'ram_user' AND id = 1",
    ] {
        let directory = filled();
        let store = open(directory.path());
        disk(directory.path()).execute_batch(forged).unwrap();
        change(&store, |tx| {
            tx.update_user(&UserRow { seq: 1, comments: "another".into(), ..user("eve") })?;
            tx.attach(&AccountId::new(ACCOUNT), PolicyKey::System("AliyunRAMFullAccess"), Holder::User(1), 5)
        });
        assert_eq!(refused(&store).len(), 1, "{forged}");
        assert!(!findings(directory.path()).is_empty(), "{forged}");
    }
}

/// A row that the service makes where somebody has taken one away is not taken for the other, and the service goes on.
#[test]
fn a_row_in_the_place_of_one_that_was_taken_away_is_refused() {
    let directory = filled();
    let store = open(directory.path());
    disk(directory.path())
        .execute_batch("UPDATE account SET id = 'elsewhere' WHERE id = '1000000000000002'")
        .unwrap();
    change(&store, |tx| tx.ensure_account(&AccountId::new(OTHER), 1));
    assert_eq!(refused(&store), [format!("account `{OTHER}`")]);
    assert!(findings(directory.path()).iter().any(|found| found.contains("`elsewhere`")));
}

/// Every bearer as it was in an older state, with the seal that it had then.
#[test]
fn whoever_is_put_back_from_an_older_state_is_found() {
    let directory = filled();
    let old = copy(directory.path());
    let store = open(directory.path());
    let account = AccountId::new(ACCOUNT);
    change(&store, move |tx| {
        let policy = tx.policy(&account, "policy")?.unwrap();
        tx.set_key_active("eve", false)?;
        tx.delete_key("root of other")?;
        tx.set_account_active(&account, false)?;
        tx.detach(PolicyKey::System("ReadOnlyAccess"), Holder::User(1))?;
        tx.delete_member(1, 1)?;
        tx.detach(PolicyKey::Custom(1), Holder::Group(1))?;
        tx.set_default_version(&policy, 1, 3)?;
        let role = tx.role(&account, "role")?.unwrap();
        tx.update_role(&RoleRow { trust: "nobody".into(), ..role })?;
        tx.set_certificate_status(&CertificateId::new(CERTIFICATE), CertificateStatus::Revoked, 3)?;
        tx.drop_service_key(TOKEN_KEY)?;
        tx.delete_user(&UserRow { seq: 2, ..user("bob") })
    });
    drop(store);
    let mut put_back = BTreeSet::new();
    for (kind, id) in seals(old.path()) {
        let later = copy(directory.path());
        let connection = disk(later.path());
        attach(&connection, old.path());
        let seal = "SELECT seal FROM main.row_seal WHERE kind = ?1 AND id = ?2";
        let now: Option<Vec<u8>> =
            connection.query_row(seal, rusqlite::params![kind, id], |row| row.get(0)).ok();
        let then: Vec<u8> = connection
            .query_row(&seal.replace("main.", "old."), rusqlite::params![kind, id], |row| row.get(0))
            .unwrap();
        if now.as_ref() == Some(&then) {
            continue;
        }
        let owned = SEALED.iter().filter(|(.., of)| *of == kind).map(|(table, owner, _)| (*table, *owner));
        for (table, owner) in owned.chain([("row_seal", "id")]) {
            let of = if table == "row_seal" { format!("kind = '{kind}' AND") } else { String::new() };
            let condition = format!("{of} \"{owner}\" = ?1");
            connection.execute(&format!("DELETE FROM main.{table} WHERE {condition}"), [&id]).unwrap();
            let sql = format!("INSERT INTO main.{table} SELECT * FROM old.{table} WHERE {condition}");
            connection.execute(&sql, [&id]).unwrap();
        }
        drop(connection);
        let found = findings(later.path()).join("\n");
        assert!(found.contains("put back from an older state"), "{kind} {id:?}: {found}");
        start_refused(later.path(), &format!("{kind} {id:?}"));
        put_back.insert(kind);
    }
    let kinds: BTreeSet<String> = SEALED.iter().map(|(.., kind)| (*kind).to_owned()).collect();
    assert_eq!(put_back, kinds);
}

/// All rows with all their seals and sums from an older state, then the state that was sealed as well, then its number.
#[test]
fn all_of_an_older_state_is_found_up_to_the_number_that_the_mark_repeats() {
    let directory = filled();
    let old = copy(directory.path());
    let store = open(directory.path());
    change(&store, |tx| tx.set_key_active("eve", false));
    drop(store);
    let connection = disk(directory.path());
    attach(&connection, old.path());
    let mut tables = tables();
    tables.extend(["row_seal", "row_bucket"]);
    for table in tables {
        let sql = format!("DELETE FROM main.{table}; INSERT INTO main.{table} SELECT * FROM old.{table};");
        connection.execute_batch(&sql).unwrap();
    }
    for column in ["rights_root", "rights_seal", "groups"] {
        assert!(!findings(directory.path()).is_empty(), "{column}");
        start_refused(directory.path(), column);
        let sql = format!("UPDATE main.store SET {column} = (SELECT {column} FROM old.store)");
        connection.execute_batch(&sql).unwrap();
    }
    let error = Store::open(directory.path(), &Options::default()).unwrap_err();
    assert!(matches!(error, StoreError::Lost { .. }), "{error}");
    assert!(matches!(Archive::open(directory.path()), Err(StoreError::Lost { .. })));
    // With the mark of that day it is the whole of that day, and what helps is a mark that is kept elsewhere.
    let kept = tempfile::tempdir().unwrap();
    let elsewhere = kept.path().join("mark");
    std::fs::rename(directory.path().join(MARK_FILE), &elsewhere).unwrap();
    std::fs::copy(old.path().join(MARK_FILE), directory.path().join(MARK_FILE)).unwrap();
    drop(open(directory.path()));
    let options = Options { mark_file: Some(elsewhere), ..Options::default() };
    assert!(matches!(Store::open(directory.path(), &options), Err(StoreError::Lost { .. })));
}

fn attach(connection: &Connection, old: &Path) {
    connection.execute("ATTACH ?1 AS old", [old.join(DATABASE_FILE).to_str().unwrap()]).unwrap();
}

fn seals(directory: &Path) -> Vec<(String, Value)> {
    let connection = disk(directory);
    let mut statement = connection.prepare("SELECT kind, id FROM row_seal").unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

#[track_caller]
fn start_refused(directory: &Path, what: &str) {
    let store = Store::open(directory, &Options::default()).unwrap();
    let opened = store.open_rights(&key());
    assert!(matches!(opened, Err(StoreError::Unsound(_))), "{what}: {opened:?}");
}

/// Rows that are put in, of every table and every kind, also with seals that somebody has made up.
#[test]
fn rows_that_are_put_in_are_found() {
    let directory = filled();
    for sql in [
        "INSERT INTO account (id, created_ms) VALUES ('1000000000000003', 1)",
        "INSERT INTO access_key (id, account, sealed_secret, created_ms) VALUES ('new', '1000000000000001', x'00', 1)",
        "INSERT INTO ram_attachment (account, system, user_seq, attached_ms) VALUES ('1000000000000001', 'AdministratorAccess', 2, 1)",
        "INSERT INTO ram_attachment (account, system, ram_group, attached_ms) VALUES ('1000000000000001', 'AdministratorAccess', 1, 1)",
        "INSERT INTO ram_attachment (account, system, role, attached_ms) VALUES ('1000000000000001', 'AdministratorAccess', 1, 1)",
        "INSERT INTO ram_membership VALUES (2, 1, 1)",
        "INSERT INTO ram_policy_version VALUES (1, 3, 'a third', 1)",
        "INSERT INTO service_key (name, sealed_key, created_ms) VALUES ('security-token:2', x'00', 1)",
        "INSERT INTO row_seal VALUES ('access_key', 'new', zeroblob(64))",
        "DELETE FROM row_seal WHERE kind = 'service_key'",
        "INSERT INTO row_seal SELECT kind, 'new', seal FROM row_seal WHERE kind = 'access_key' AND id = 'eve'",
        "UPDATE row_seal SET seal = (SELECT seal FROM row_seal WHERE id = 'root') WHERE id = 'eve'",
        "UPDATE row_bucket SET sum = zeroblob(32)",
        "DELETE FROM row_bucket",
        "UPDATE store SET rights_root = NULL",
        "UPDATE store SET rights_seal = NULL",
        "UPDATE store SET rights_mark = 0",
        "UPDATE store SET groups = groups + 1",
    ] {
        let later = copy(directory.path());
        disk(later.path()).execute_batch(sql).unwrap();
        assert!(!findings(later.path()).is_empty(), "{sql}");
    }
}

/// A key of the service's own that was removed and is put back, as it was: sessions that ended would go on.
#[test]
fn a_service_key_that_is_put_back_is_refused_where_it_is_read() {
    let directory = filled();
    let store = open(directory.path());
    let kept = "CREATE TABLE temp.kept AS SELECT * FROM service_key";
    let disk = disk(directory.path());
    disk.execute_batch(kept).unwrap();
    let keys = |store: &Store| store.read(|snapshot| snapshot.sealed_service_keys("security-token:"));
    assert_eq!(keys(&store).unwrap().len(), 1);
    change(&store, |tx| {
        tx.drop_service_key(TOKEN_KEY)?;
        tx.put_sealed_service_key("security-token:2", b"another", 2)
    });
    assert_eq!(keys(&store).unwrap(), [("security-token:2".to_owned(), b"another".to_vec(), 2)]);
    disk.execute_batch("INSERT INTO main.service_key SELECT * FROM temp.kept").unwrap();
    let refused = |store: &Store| {
        change(store, |tx| tx.delete_fault("none"));
        let one = store.read(|snapshot| snapshot.sealed_service_key(TOKEN_KEY)).map(|_| ());
        for read in [keys(store).map(|_| ()), one] {
            let error = read.unwrap_err();
            assert!(matches!(error, StoreError::Forged { principal: false, .. }), "{error}");
            assert!(
                error.to_string().contains(&format!("key `{TOKEN_KEY}` of the service's own")),
                "{error}"
            );
        }
        store.read(|snapshot| snapshot.sealed_service_key("security-token:2")).unwrap().unwrap();
    };
    refused(&store);
    drop(store);
    let store = open(directory.path());
    refused(&store);
    let found = findings(directory.path());
    assert_eq!(found, [format!("key `{TOKEN_KEY}` of the service's own was put in (service_key)")]);
    // Whoever removes all of them sees it too, and removes it.
    change(&store, |tx| {
        let names = tx.service_key_names("security-token:")?;
        assert_eq!(names.len(), 2);
        names.iter().try_for_each(|(name, _)| tx.drop_service_key(name))
    });
    assert!(findings(directory.path()).is_empty(), "{:?}", findings(directory.path()));
}

/// A trigger or view in the database does not run: it would do with our seal whatever it says.
#[test]
fn nothing_of_the_database_runs() {
    let directory = filled();
    disk(directory.path())
        .execute_batch(
            "CREATE TRIGGER planted AFTER UPDATE ON store BEGIN
                UPDATE access_key SET user_seq = NULL WHERE id = 'eve';
                UPDATE account SET name = (SELECT quote(tongguan_term('bearer', 'access_key', 'eve')));
            END;",
        )
        .unwrap();
    let store = open(directory.path());
    change(&store, |tx| tx.set_key_active("root", false));
    assert!(findings(directory.path()).is_empty(), "{:?}", findings(directory.path()));
    let row = store.read(|snapshot| snapshot.access_key("eve")).unwrap().unwrap();
    assert!(matches!(row.owner, tongguan_store::KeyOwner::User { .. }));
}

/// Who has no key of the seals leaves a sealed database as it is.
#[test]
fn without_the_key_nothing_is_changed() {
    let directory = filled();
    let store = Store::open(directory.path(), &Options::default()).unwrap();
    let changed = store.write_blocking(|tx| Ok(Verdict::Keep(tx.set_key_active("eve", false)?)));
    assert!(matches!(changed, Err(StoreError::RightsClosed)));
    store.open_rights(&key()).unwrap();
    assert!(refused(&store).is_empty());
    drop(store);
    let store = Store::open(directory.path(), &Options::default()).unwrap();
    assert!(matches!(store.open_rights(&RightsKey::new(b"another")), Err(StoreError::Unsound(_))));
}

/// Sums that are changed while the service runs do not get its seal any more, and it says so.
#[test]
fn sums_that_are_changed_beside_the_service_are_sealed_no_more() {
    let directory = filled();
    let store = open(directory.path());
    disk(directory.path()).execute_batch("UPDATE store SET rights_root = zeroblob(32)").unwrap();
    change(&store, |tx| tx.set_key_active("eve", false));
    assert_eq!(store.stats().forged, 1);
    drop(store);
    start_refused(directory.path(), "the root");
}

#[test]
fn a_mark_that_is_missing_or_changed_is_refused() {
    let directory = filled();
    let older = std::fs::read(directory.path().join(MARK_FILE)).unwrap();
    change(&open(directory.path()), |tx| tx.set_key_active("eve", false));
    let mark = directory.path().join(MARK_FILE);
    let sound = std::fs::read_to_string(&mark).unwrap();
    let opened = || {
        let store = Store::open(directory.path(), &Options::default())?;
        store.open_rights(&key())
    };
    let lower = sound.replacen(&sound[..20], &format!("{:020}", 1), 1);
    for wrong in [None, Some(&sound[..21].replace(' ', "\n")), Some(&lower), Some(&String::new())] {
        match wrong {
            None => std::fs::remove_file(&mark).unwrap(),
            Some(text) => std::fs::write(&mark, text).unwrap(),
        }
        let error = opened().unwrap_err();
        assert!(matches!(error, StoreError::Mark { .. }), "{wrong:?}: {error}");
        assert!(!findings(directory.path()).is_empty(), "{wrong:?}");
        // It is left as it is.
        assert_eq!(std::fs::read_to_string(&mark).ok().as_ref(), wrong);
    }
    // A service that was killed after a commit and before the mark leaves one that is behind.
    std::fs::write(&mark, older).unwrap();
    opened().unwrap();
    assert_eq!(std::fs::read_to_string(&mark).unwrap(), sound);
}

/// A process may be killed between sealing the rows and sealing the mark.
#[test]
fn a_first_start_that_is_cut_short_goes_on() {
    for plain in [true, false] {
        let (directory, kept) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let place = kept.path().join("place");
        std::fs::create_dir(&place).unwrap();
        let options = Options { mark_file: Some(place.join("mark")), ..Options::default() };
        let store = Store::open(directory.path(), &options).unwrap();
        change(&store, |tx| tx.ensure_account(&AccountId::new("1"), 1));
        let text = std::fs::read(place.join("mark")).unwrap();
        // The rows are sealed, and the mark cannot be.
        std::fs::remove_dir_all(&place).unwrap();
        assert!(store.seal_rights(&key(), |_| Ok::<_, StoreError>(())).is_err());
        drop(store);
        std::fs::create_dir(&place).unwrap();
        if plain {
            std::fs::write(place.join("mark"), text).unwrap();
        }
        let store = Store::open(directory.path(), &options).unwrap();
        store.open_rights(&key()).unwrap();
        change(&store, |tx| tx.ensure_account(&AccountId::new("2"), 1));
        drop(store);
        // From now on it is relied upon.
        std::fs::remove_file(place.join("mark")).unwrap();
        let store = Store::open(directory.path(), &options).unwrap();
        assert!(matches!(store.open_rights(&key()), Err(StoreError::Mark { .. })));
    }
}

#[test]
fn a_database_as_it_is_can_be_sealed_anew() {
    let directory = filled();
    disk(directory.path())
        .execute_batch("UPDATE access_key SET status = 'Inactive' WHERE id = 'eve'")
        .unwrap();
    std::fs::remove_file(directory.path().join(MARK_FILE)).unwrap();
    let options = Options { take_as_it_is: true, ..Options::default() };
    let store = Store::open(directory.path(), &options).unwrap();
    let another = RightsKey::new(b"another key");
    store.seal_rights(&another, |_| Ok::<_, StoreError>(())).unwrap();
    assert!(refused(&store).is_empty());
    drop(store);
    let store = Store::open(directory.path(), &Options::default()).unwrap();
    store.open_rights(&another).unwrap();
}

/// A change, and whose rights it changes.
type Step = (&'static str, &'static [&'static str], fn(&Tx<'_>) -> Result<(), StoreError>);

/// Changes, each after those before it.
fn steps() -> Vec<Step> {
    const BOTH: &[&str] = &[ACCOUNT, OTHER];
    let (own, other, nobody) = (&BOTH[..1], &BOTH[1..], &BOTH[..0]);
    vec![
        ("a user is renamed", own, |tx| {
            let mut user = tx.user(&AccountId::new(ACCOUNT), "bob")?.unwrap();
            user.name = "rob".into();
            tx.update_user(&user)
        }),
        ("a policy is attached", own, |tx| {
            let user = tx.user(&AccountId::new(ACCOUNT), "rob")?.unwrap();
            let policy = PolicyKey::System("AliyunVPCFullAccess");
            tx.attach(&AccountId::new(ACCOUNT), policy, Holder::User(user.seq), 1)
        }),
        ("and detached", own, |tx| {
            let user = tx.user(&AccountId::new(ACCOUNT), "rob")?.unwrap();
            tx.detach(PolicyKey::System("AliyunVPCFullAccess"), Holder::User(user.seq))
        }),
        ("all are detached", own, |tx| {
            let user = tx.user(&AccountId::new(ACCOUNT), "rob")?.unwrap();
            tx.detach_all(Holder::User(user.seq))
        }),
        ("a user joins a group", own, |tx| {
            let user = tx.user(&AccountId::new(ACCOUNT), "rob")?.unwrap();
            tx.insert_member(user.seq, 1, 1)
        }),
        ("and leaves it", own, |tx| {
            let user = tx.user(&AccountId::new(ACCOUNT), "rob")?.unwrap();
            tx.delete_member(user.seq, 1)
        }),
        ("a user gets a key", own, |tx| {
            let user = tx.user(&AccountId::new(ACCOUNT), "rob")?.unwrap();
            let account = AccountId::new(ACCOUNT);
            let sealed_secret = b"s";
            let user = Some(user.seq);
            tx.insert_key(&NewKey { id: "rob", account: &account, user, sealed_secret, created_ms: 1 })
        }),
        ("it is disabled", own, |tx| tx.set_key_active("rob", false)),
        ("its sessions are ended", own, |tx| tx.end_sessions(SessionsOf::AccessKey("rob"), 9).map(|_| ())),
        ("it goes to another account", BOTH, |tx| tx.put_access_key("root", &AccountId::new(OTHER), b"s", 1)),
        ("and comes back", BOTH, |tx| tx.put_access_key("root", &AccountId::new(ACCOUNT), b"s", 1)),
        ("it is deleted", own, |tx| tx.delete_key("rob")),
        ("a user is deleted", own, |tx| {
            let user = tx.user(&AccountId::new(ACCOUNT), "rob")?.unwrap();
            tx.delete_user(&user)
        }),
        ("a role's sessions are ended", own, |tx| tx.end_sessions(SessionsOf::Role(1), 9).map(|_| ())),
        ("an account is disabled", other, |tx| {
            tx.set_account_active(&AccountId::new(OTHER), false).map(|_| ())
        }),
        ("sessions are ended", other, |tx| {
            tx.end_sessions(SessionsOf::Account(&AccountId::new(OTHER)), 9).map(|_| ())
        }),
        ("a key is used", nobody, |tx| tx.access_key_used("root", 9, "Vpc")),
        ("a certificate is disabled", nobody, |tx| {
            tx.set_certificate_status(&CertificateId::new(CERTIFICATE), CertificateStatus::Inactive, 9)
        }),
        ("a tag is put", nobody, |tx| {
            tx.put_tag(&AccountId::new(ACCOUNT), "cn-hangzhou", "VPC", "vpc-1", "key", "value")
        }),
        ("a key of the service's own is stored", nobody, |tx| tx.put_sealed_service_key("another", b"s", 1)),
        ("a fault is deleted", nobody, |tx| tx.delete_fault("none")),
        ("a question", nobody, |tx| tx.accounts().map(|_| ())),
        ("an account is there already", nobody, |tx| tx.ensure_account(&AccountId::new(OTHER), 1)),
    ]
}

/// The rows say whose rights a change has changed, in its transaction: nobody has to guess it from the operation.
#[test]
fn changes_of_rights_raise_the_epoch_of_their_account() {
    let directory = filled();
    let store = open(directory.path());
    let accounts = [ACCOUNT, OTHER].map(AccountId::new);
    let epochs = || accounts.each_ref().map(|account| store.read(|s| s.epoch(account)).unwrap());
    for (what, whose, step) in steps() {
        let before = epochs();
        // Undone it raises nothing.
        let undone = store.write_blocking(move |tx| {
            step(tx)?;
            Ok(Verdict::Discard(()))
        });
        undone.unwrap();
        assert!(before.iter().all(Epoch::holds), "{what}");
        change(&store, step);
        for (account, before) in accounts.iter().zip(&before) {
            let raised = whose.contains(&account.as_str());
            assert_eq!(before.holds(), !raised, "{what}: account {account}");
        }
        // What is noted is what is stored.
        assert!(epochs().iter().all(Epoch::holds), "{what}");
    }
    let before = epochs();
    drop(store);
    let store = open(directory.path());
    // Another process reads the same ones.
    for (account, before) in accounts.iter().zip(before) {
        assert_eq!(
            format!("{:?}", store.read(|s| s.epoch(account)).unwrap()),
            format!("{before:?}"),
            "{account}"
        );
    }
}

/// Who is let in with rights that were changed meanwhile is not, and its nonce is not used up.
#[test]
fn rights_that_were_changed_let_nobody_in() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let directory = filled();
    let store = open(directory.path());
    let now = Moment { unix: 1_000_000, steady: 5 };
    let nonces = NonceLog::open(&directory.path().join("nonces"), now, 100).unwrap();
    let admission = Admission::new(nonces);
    let accounts = [ACCOUNT, OTHER].map(AccountId::new);
    let read = || accounts.each_ref().map(|account| store.read(|s| s.epoch(account)).unwrap());
    let before = read();
    let entry = |epochs| {
        let owner = Owner::root(ACCOUNT);
        Entry { owner, key: "root", nonce: "once", now, expires: 1_000_900, epochs }
    };
    change(&store, |tx| tx.set_account_active(&AccountId::new(OTHER), false).map(|_| ()));
    let asked = AtomicU32::new(0);
    let rate = || Some(asked.fetch_add(1, Ordering::SeqCst));
    let admit = |epochs| runtime.block_on(admission.admit(entry(epochs), rate, drop));
    assert!(matches!(admit(&before), Err(NotAdmitted::Stale)));
    assert_eq!((asked.load(Ordering::SeqCst), admission.count()), (0, 0));
    // What does not depend on it is not concerned.
    admit(&before[..1]).unwrap();
    let again = admit(&read());
    assert!(matches!(again, Err(NotAdmitted::Nonce(NonceError::Used))), "{again:?}");
}
