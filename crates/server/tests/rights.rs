//! Who writes the disk, or a backup, and has no master key, on the real program: is refused, found and named.
#![allow(clippy::unwrap_used, reason = "a test may stop where something is wrong")]

mod common;

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use common::program::{Process, ended, program, program_with_key, text};
use serde_json::Value;
use tempfile::TempDir;
use tongguan_store::{Options, Store};

const KEY: &str = "LTAIrights";
const SECRET: &str = "a secret of this test";
const ACCOUNT: &str = "1234567890123456";

/// A data directory with two accounts in it: ours, and a tenant's who can write the disk.
struct Place {
    directory: TempDir,
    /// Id and secret of the tenant's key.
    tenant: (String, String),
}

impl Place {
    fn new() -> Self {
        let mut place = Self { directory: tempfile::tempdir().unwrap(), tenant: Default::default() };
        place.serve().stop();
        let made = place.run(&["account", "create", "tenant", "--json"]);
        let made: Value = serde_json::from_slice(&made.stdout).unwrap();
        let text = |name: &str| made[name].as_str().unwrap().to_owned();
        place.tenant = (text("AccessKeyId"), text("AccessKeySecret"));
        place
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        program(arguments).arg("--data-dir").arg(self.data()).output().unwrap()
    }

    fn serve(&self) -> Server {
        Server::on(&self.data(), &[])
    }

    /// What somebody with the disk does.
    fn disk(&self, sql: &str) {
        let connection = rusqlite::Connection::open(self.data().join("tongguan.db")).unwrap();
        connection.execute_batch(sql).unwrap();
    }

    /// `check` finds it, and says what.
    #[track_caller]
    fn found(&self, what: &str) {
        let output = self.run(&["check"]);
        assert_eq!(output.status.code(), Some(65), "{}", text(&output));
        assert!(text(&output).contains(what), "{}", text(&output));
    }

    /// `check` finds nothing.
    #[track_caller]
    fn sound(&self) {
        let output = self.run(&["check"]);
        assert!(output.status.success(), "{}", text(&output));
    }
}

struct Server(Process);

impl Server {
    fn on(data: &Path, more: &[&str]) -> Self {
        let data = data.to_str().unwrap();
        let arguments = ["serve", "--listen", "127.0.0.1:0", "--apply-delay", "0", "--data-dir", data];
        Self(Process::start(program_with_key(&[&arguments, more].concat(), KEY, SECRET)))
    }

    /// What GetCallerIdentity answers, or the code.
    fn caller(&self, (id, secret): (&str, &str)) -> String {
        let head = ["call", "--endpoint", &self.0.endpoint, "--region", "cn-hangzhou", "--raw"];
        let output =
            program_with_key(&[&head[..], &["Sts", "GetCallerIdentity"]].concat(), id, secret).output();
        let answer: Value = serde_json::from_slice(&output.unwrap().stdout).unwrap_or_default();
        answer["Arn"].as_str().or(answer["Code"].as_str()).unwrap_or_default().to_owned()
    }

    fn stop(self) {
        assert!(self.0.stop().success());
    }
}

/// `serve` that must refuse to start: its exit code and what it says.
fn refused(data: &Path, more: &[&str]) -> (Option<i32>, String) {
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--data-dir", data.to_str().unwrap()];
    let mut command = program_with_key(&[&arguments, more].concat(), KEY, SECRET);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let code = ended(&mut child).code();
    (code, text(&child.wait_with_output().unwrap()))
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => copy_folder(&entry.path(), &to.join(entry.file_name())),
            kind if kind.is_file() => drop(std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap()),
            _ => {}
        }
    }
}

#[test]
fn a_key_that_was_given_another_owner_or_state_is_refused_and_named() {
    for stopped in [true, false] {
        let place = Place::new();
        let (id, secret) = place.tenant.clone();
        let as_tenant = (id.as_str(), secret.as_str());
        let forged =
            format!("UPDATE access_key SET account = '{ACCOUNT}', user_seq = NULL WHERE id = '{id}'");
        let mut server = place.serve();
        if stopped {
            server.stop();
            place.disk(&forged);
            server = place.serve();
        } else {
            assert_ne!(server.caller(as_tenant), "InvalidAccessKeyId.Inactive");
            place.disk(&forged);
            // Something of the account changes, so that the key is read again.
            let other: String = id.chars().rev().collect();
            place.disk(&format!(
                "INSERT INTO access_key (id, account, sealed_secret, created_ms) VALUES ('{other}', '{ACCOUNT}', x'00', 1)"
            ));
            assert_eq!(server.caller((&other, "any")), "InvalidAccessKeyId.Inactive");
            server.stop();
            server = place.serve();
        }
        assert_eq!(server.caller(as_tenant), "InvalidAccessKeyId.Inactive");
        // Others go on.
        assert_eq!(server.caller((KEY, SECRET)), format!("acs:ram::{ACCOUNT}:root"));
        place.found(&format!("access key `{id}` was changed (access_key)"));
        server.stop();
    }
}

#[test]
fn a_revoked_key_stays_revoked() {
    let place = Place::new();
    let (id, secret) = place.tenant.clone();
    let account = {
        let listed = place.run(&["account", "list", "--json"]);
        let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
        let of_tenant = listed.as_array().unwrap().iter().find(|row| row["Name"] == "tenant").unwrap();
        of_tenant["AccountId"].as_str().unwrap().to_owned()
    };
    let server = place.serve();
    assert_eq!(server.caller((&id, &secret)), format!("acs:ram::{account}:root"));
    assert!(place.run(&["account", "disable", &account]).status.success());
    assert_eq!(server.caller((&id, &secret)), "InvalidAccessKeyId.Inactive");
    place.sound();
    place.disk("UPDATE account SET status = 'Active'");
    // Read anew, since the account has changed; enabling it again would be the operator's.
    assert!(place.run(&["account", "enable", &account]).status.success());
    assert_eq!(server.caller((&id, &secret)), "InvalidAccessKeyId.Inactive");
    server.stop();
    let server = place.serve();
    assert_eq!(server.caller((&id, &secret)), "InvalidAccessKeyId.Inactive");
    place.found(&format!("account `{account}` was changed (account)"));
    server.stop();
    // Whoever has looked at it, and has the master key, takes it as it is.
    let output = place.run(&["seal-anew"]);
    assert!(output.status.success() && text(&output).contains(&account), "{}", text(&output));
    place.sound();
    let server = place.serve();
    assert_eq!(server.caller((&id, &secret)), format!("acs:ram::{account}:root"));
    let output = place.run(&["audit", "--action", "SealAnew"]);
    assert!(text(&output).contains("SealAnew"), "{}", text(&output));
    server.stop();
}

/// With the mark beside it, the whole of an older day cannot be told from that day; with the mark elsewhere it can.
#[test]
fn an_older_data_directory_is_refused_if_the_mark_is_elsewhere() {
    let place = Place::new();
    let mark = place.path("mark");
    let mark = mark.to_str().unwrap();
    let elsewhere = ["--mark-file", mark];
    // A mark that is not where it is said to be is not made anew.
    let (code, said) = refused(&place.data(), &elsewhere);
    assert!(code == Some(65) && said.contains("is missing"), "{said}");
    std::fs::rename(place.data().join("tongguan.mark"), mark).unwrap();
    let (code, said) = refused(&place.data(), &[]);
    assert!(code == Some(65) && said.contains("is missing"), "{said}");

    Server::on(&place.data(), &elsewhere).stop();
    let older = place.path("older");
    copy_folder(&place.data(), &older);
    let arguments = ["account", "create", "later", "--mark-file", mark];
    assert!(place.run(&arguments).status.success());
    copy_folder(&older, &place.data());
    let (code, said) = refused(&place.data(), &elsewhere);
    assert!(code == Some(65) && said.contains("batches of changes") && said.contains(mark), "{said}");
    let check = place.run(&["check", "--mark-file", mark]);
    assert_eq!(check.status.code(), Some(65), "{}", text(&check));
    // Who accepts the loss says so, with the master key.
    assert!(place.run(&["seal-anew", "--mark-file", mark]).status.success());
    Server::on(&place.data(), &elsewhere).stop();
    assert!(place.run(&["check", "--mark-file", mark]).status.success());
}

#[test]
fn an_older_database_or_mark_or_one_that_was_edited_is_refused() {
    let place = Place::new();
    let mark = place.data().join("tongguan.mark");
    let (older, older_mark) = (place.path("older.db"), std::fs::read_to_string(&mark).unwrap());
    std::fs::copy(place.data().join("tongguan.db"), &older).unwrap();
    assert!(place.run(&["account", "create", "later"]).status.success());
    let sound = std::fs::read_to_string(&mark).unwrap();
    assert_ne!(older_mark, sound);
    // The number of the older mark under the seal of this one.
    std::fs::write(&mark, older_mark[..20].to_owned() + &sound[20..]).unwrap();
    let (code, said) = refused(&place.data(), &[]);
    assert!(code == Some(65) && said.contains("was changed without the master key"), "{said}");
    place.found("was changed without the master key");
    std::fs::write(&mark, &sound).unwrap();
    Place::sound(&place);
    std::fs::copy(&older, place.data().join("tongguan.db")).unwrap();
    assert_eq!(refused(&place.data(), &[]).0, Some(65));
}

#[test]
fn an_edited_backup_is_not_restored() {
    let place = Place::new();
    let copy = place.path("copy.db");
    let shown = copy.to_str().unwrap();
    let beside = place.path("copy.db.sha256");
    assert!(place.run(&["backup", shown]).status.success());
    let manifest = std::fs::read_to_string(&beside).unwrap();
    let mut summed = std::process::Command::new("sha256sum");
    let summed = summed.args(["--check", "copy.db.sha256"]).current_dir(place.directory.path()).output();
    assert!(summed.as_ref().is_ok_and(|output| output.status.success()), "{summed:?}");

    let key = place.data().join("master.key");
    let key = key.to_str().unwrap();
    let restore = |more: &[&str]| {
        let into = place.path("into");
        let _ = std::fs::remove_dir_all(&into);
        let arguments = [&["restore", shown, "--data-dir", into.to_str().unwrap()], more].concat();
        let output = program(&arguments).output().unwrap();
        (output.status.code(), text(&output), into)
    };
    let given = ["--master-key-file", key];
    let edit = |sql: &str| rusqlite::Connection::open(&copy).unwrap().execute_batch(sql).unwrap();
    let resum = |seal: &str| {
        let sum = std::process::Command::new("sha256sum").arg(&copy).output().unwrap();
        let sum = String::from_utf8(sum.stdout).unwrap();
        std::fs::write(&beside, format!("{}  copy.db\n{seal}", sum.split_whitespace().next().unwrap()))
            .unwrap();
    };
    let seal = manifest.lines().nth(1).unwrap().to_owned() + "\n";
    let sound = std::fs::read(&copy).unwrap();

    // A row that confers rights is named.
    let (id, _) = &place.tenant;
    edit(&format!("UPDATE access_key SET account = '{ACCOUNT}', user_seq = NULL WHERE id = '{id}'"));
    resum(&seal);
    for more in [&given[..], &[given[0], given[1], "--unverified"]] {
        let (code, said, into) = restore(more);
        assert!(code == Some(65) && said.contains(&format!("access key `{id}` was changed")), "{said}");
        assert!(!into.exists());
    }
    // Any other row is found by the seal of the sum.
    std::fs::write(&copy, &sound).unwrap();
    edit("UPDATE audit_chain SET id = 1; UPDATE store SET journal = journal + 1");
    resum(&seal);
    let (code, said, _) = restore(&given);
    assert!(code == Some(65) && said.contains("does not fit its seal"), "{said}");
    resum("");
    let (code, said, _) = restore(&given);
    assert!(code == Some(65) && said.contains("without a seal"), "{said}");
    std::fs::remove_file(&beside).unwrap();
    let (code, said, _) = restore(&given);
    assert!(code == Some(65) && said.contains("no sum"), "{said}");

    // As it was made; without the master key only for who says so.
    std::fs::write(&copy, &sound).unwrap();
    std::fs::write(&beside, &manifest).unwrap();
    let (code, said, into) = restore(&[]);
    assert!(code == Some(78) && said.contains("--unverified") && !into.exists(), "{said}");
    let (code, said, into) = restore(&given);
    assert_eq!(code, Some(0), "{said}");
    Server::on(&into, &[]).stop();
    let (code, said, into) = restore(&["--unverified"]);
    assert!(code == Some(0) && said.contains("seal-anew"), "{said}");
    std::fs::copy(key, into.join("master.key")).unwrap();
    std::fs::set_permissions(into.join("master.key"), std::os::unix::fs::PermissionsExt::from_mode(0o600))
        .unwrap();
    assert_eq!(refused(&into, &[]).0, Some(65));
    assert!(program(&["seal-anew", "--data-dir", into.to_str().unwrap()]).output().unwrap().status.success());
    Server::on(&into, &[]).stop();
}

/// A database from before there were seals is taken as it is, once. One whose seals were removed is not.
#[test]
fn a_database_is_not_made_an_old_one_by_taking_its_seals_away() {
    let place = Place::new();
    let sound = std::fs::read(place.data().join("tongguan.db")).unwrap();
    let mark = std::fs::read_to_string(place.data().join("tongguan.mark")).unwrap();
    let away = "DELETE FROM row_seal; DELETE FROM row_bucket; \
                UPDATE store SET rights_root = NULL, rights_seal = NULL, rights_mark = 0;";
    let and_key = format!("{away} DELETE FROM service_key WHERE name = 'rights';");
    let and_checks = format!("{and_key} DELETE FROM service_key;");
    for (sql, marked) in [(away, true), (&and_key, true), (&and_checks, true), (&and_checks, false)] {
        std::fs::write(place.data().join("tongguan.db"), &sound).unwrap();
        let text = if marked { mark.clone() } else { mark[..20].to_owned() + "\n" };
        std::fs::write(place.data().join("tongguan.mark"), text).unwrap();
        place.disk(sql);
        let (code, said) = refused(&place.data(), &[]);
        assert!(code == Some(65) && said.contains("the seals of the rows were removed"), "{sql}: {said}");
        place.found("the seals of the rows were removed");
    }
}

/// Sessions that the operator has ended do not come back with the key that made them.
#[test]
fn a_token_key_that_is_put_back_is_refused_and_named() {
    let place = Place::new();
    let token_keys = "SELECT name FROM service_key WHERE name LIKE 'security-token:%'";
    let disk = rusqlite::Connection::open(place.data().join("tongguan.db")).unwrap();
    let name: String = disk.query_row(token_keys, [], |row| row.get(0)).unwrap();
    disk.execute_batch(&format!("CREATE TEMP TABLE kept AS SELECT * FROM service_key WHERE name = '{name}'"))
        .unwrap();
    let rotate = ["token-key", "rotate", "--end-sessions"];
    assert!(place.run(&rotate).status.success());
    place.sound();
    disk.execute_batch("INSERT INTO main.service_key SELECT * FROM temp.kept").unwrap();
    place.found(&format!("key `{name}` of the service's own was put in (service_key)"));
    let (code, said) = refused(&place.data(), &[]);
    assert!(code == Some(65) && said.contains(&format!("key `{name}`")), "{said}");
    // What removes all of them removes this one.
    assert!(place.run(&rotate).status.success());
    place.sound();
    place.serve().stop();
    // With its seal it is another sum.
    let seal = "SELECT kind, id, seal FROM row_seal WHERE kind = 'service_key'";
    disk.execute_batch(&format!(
        "DROP TABLE temp.kept; CREATE TEMP TABLE kept AS SELECT * FROM service_key WHERE name LIKE 'security-token:%'; \
         CREATE TEMP TABLE seals AS {seal}"
    ))
    .unwrap();
    assert!(place.run(&rotate).status.success());
    disk.execute_batch(
        "INSERT INTO main.service_key SELECT * FROM temp.kept; \
         INSERT OR IGNORE INTO main.row_seal SELECT * FROM temp.seals",
    )
    .unwrap();
    place.found("put back from an older state");
    assert_eq!(refused(&place.data(), &[]).0, Some(65));
}

/// A data directory with the database of an older release, and the file of its master key.
fn of_schema(schema: u32) -> (Place, PathBuf) {
    let place = Place { directory: tempfile::tempdir().unwrap(), tenant: Default::default() };
    std::fs::create_dir(place.data()).unwrap();
    let old = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../store/tests/schemas/{schema}.db"));
    std::fs::copy(old, place.data().join("tongguan.db")).unwrap();
    let key = place.path("key");
    std::fs::write(&key, "09".repeat(32)).unwrap();
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    (place, key)
}

#[test]
fn a_database_of_an_older_schema_is_sealed_as_it_is() {
    let (place, key) = of_schema(3);
    let given = ["--master-key-file", key.to_str().unwrap()];
    for _ in 0..2 {
        Server::on(&place.data(), &given).stop();
        let output = place.run(&[&["check"], &given[..]].concat());
        assert!(!text(&output).contains("FAULT no row that confers rights"), "{}", text(&output));
    }
    place.disk("UPDATE ram_user SET name = 'x' WHERE seq = 1");
    let output = place.run(&[&["check"], &given[..]].concat());
    assert!(text(&output).contains("FAULT no row that confers rights"), "{}", text(&output));
}

/// What an older release has sealed stays sealed, whatever its columns are called now; and what was changed in it is
/// found, not sealed anew.
#[test]
fn the_seals_of_an_older_schema_stay_good() {
    // As the service brings it up before it knows the key of the seals. The mark is no part of the database.
    let findings = |schema: u32, forged: &str| {
        let (place, key) = of_schema(schema);
        place.disk(forged);
        drop(Store::open(&place.data(), &Options::default()).unwrap());
        let found = text(&place.run(&["check", "--master-key-file", key.to_str().unwrap()]));
        let wrong = found.lines().filter(|line| line.starts_with("      ")).map(str::to_owned);
        wrong.filter(|line| !line.contains("the mark `")).collect::<Vec<_>>()
    };
    for schema in 4..=8 {
        assert_eq!(findings(schema, ""), [""; 0], "schema {schema}");
    }
    for (forged, whose) in [
        ("access_key SET user = NULL WHERE user IS NOT NULL", "access key `"),
        ("ram_membership SET joined_ms = joined_ms + 1", "user `alice` of account"),
    ] {
        let found = findings(8, &format!("PRAGMA foreign_keys = OFF; UPDATE {forged}"));
        assert!(found.iter().any(|line| line.contains(whose) && line.contains("was changed")), "{found:?}");
    }
}
