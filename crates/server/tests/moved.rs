//! `tongguan move`: a store on its way from a data directory into a database that several nodes share, and back.
#![allow(clippy::unwrap_used, reason = "a test may stop where something is wrong")]

mod common;
#[path = "common/place.rs"]
mod place;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use common::program::{Process, binary, ended, program, serve, signal, text};
use common::{ACCOUNT, KEY, Key, PATIENCE, RAM, Reply, SECRET, Server, VPC, http_bytes, read_reply};
use place::{Place, REGION, field, ok, until};
use rusqlite::types::Value as Cell;
use rustix::process::Signal;
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tongguan_testkit::{Call, Manner, Stamp};

/// The master key of the databases of released schemas.
fn write_master_key(path: &Path) {
    std::fs::write(path, "09".repeat(32)).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// A data directory in which there is some of everything, much of it half-way.
fn full(place: &Place) -> PathBuf {
    let data = place.folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let schemas = Path::new(env!("CARGO_MANIFEST_DIR")).join("../store/tests/schemas");
    std::fs::copy(schemas.join("8.db"), data.join("tongguan.db")).unwrap();
    write_master_key(&place.master_key());
    // It has no mark, and is of the schema before.
    succeeded(&on_directory(place, &data, &["seal-anew"]));
    data
}

/// The service on a data directory.
struct Embedded {
    program: Process,
}

impl Embedded {
    fn on(place: &Place, data: &Path, apply_delay: &str) -> Self {
        let mut command = serve(&binary(), data, apply_delay, &Key::of(KEY, SECRET));
        command.env("TONGGUAN_MASTER_KEY_FILE", place.master_key());
        Self { program: Process::start(command) }
    }

    async fn send(&self, request: &[u8]) -> Reply {
        let mut stream = TcpStream::connect(self.program.address()).await.unwrap();
        stream.write_all(request).await.unwrap();
        read_reply(&mut stream).await.unwrap()
    }
}

fn stop(mut program: Process) {
    program.signal(Signal::TERM);
    assert!(ended(&mut program.child).success());
}

async fn stopped(mut node: Server) {
    node.signal("TERM");
    assert!(node.ended().await.success());
}

fn sign(action: &str, parameters: &[(&str, &str)]) -> Vec<u8> {
    let call = Call::new(VPC, action, parameters).form();
    http_bytes(&Key::of(KEY, SECRET).sign(&call, &Manner::V3, &Stamp::now()), "")
}

/// A move, not begun.
fn moving(place: &Place, from: &str, to: &str) -> Command {
    let mut command = program(&["move", "--from", from, "--to", to]);
    command.env("TONGGUAN_MASTER_KEY_FILE", place.master_key());
    command
}

fn moved(place: &Place, from: &str, to: &str) -> Output {
    moving(place, from, to).output().unwrap()
}

fn url(place: &Place) -> String {
    place.url().to_str().unwrap().to_owned()
}

/// A command on a data directory.
fn on_directory(place: &Place, data: &Path, arguments: &[&str]) -> Output {
    let mut command = program(arguments);
    command.arg("--data-dir").arg(data).env("TONGGUAN_MASTER_KEY_FILE", place.master_key());
    command.output().unwrap()
}

#[track_caller]
fn succeeded(output: &Output) -> String {
    assert!(output.status.success(), "{}", text(output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[track_caller]
fn refused(output: &Output, code: i32, said: &str) {
    assert_eq!(output.status.code(), Some(code), "{}", text(output));
    assert!(text(output).contains(said), "{}", text(output));
}

/// Every row of every table of a database, but of those named.
fn rows(data: &Path, but: &[&str]) -> Vec<(String, Vec<Vec<Cell>>)> {
    let database = rusqlite::Connection::open(data.join("tongguan.db")).unwrap();
    let mut tables =
        database.prepare("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name").unwrap();
    let tables: Vec<String> = tables.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let mut all = Vec::new();
    for table in tables.into_iter().filter(|table| !but.contains(&table.as_str())) {
        let mut statement = database.prepare(&format!("SELECT * FROM {table} ORDER BY 1, 2")).unwrap();
        let columns = statement.column_count();
        let row =
            |row: &rusqlite::Row<'_>| (0..columns).map(|at| row.get(at)).collect::<Result<Vec<Cell>, _>>();
        let rows = statement.query_map([], row).unwrap().map(Result::unwrap).collect();
        all.push((table, rows));
    }
    all
}

/// The lines of `audit` in JSON, all of them.
fn records(shown: &Output) -> Vec<Value> {
    succeeded(shown).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Waits until what was half-way is brought to its end, by whoever serves the store.
fn at_rest(status: impl Fn() -> Output) {
    let begun = Instant::now();
    loop {
        let status: Value = serde_json::from_str(&succeeded(&status())).unwrap();
        if status["underWay"] == 0 {
            assert_eq!(status["faults"].as_array().unwrap().len(), 0, "{status}");
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{status}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

const ALL_RECORDS: [&str; 5] = ["audit", "--format", "json", "--limit", "0"];

#[tokio::test(flavor = "multi_thread")]
async fn a_moved_store_is_served_where_it_is() {
    let Some(place) = Place::or_skip() else { return };
    let data = full(&place);
    let service = Embedded::on(&place, &data, "3s");
    let used = sign("DescribeVpcs", &[REGION]);
    assert_eq!(service.send(&used).await.status, 200);
    let create = [REGION, ("VpcName", "moved"), ("ClientToken", "before")];
    let vpc = field(&ok(&service.send(&sign("CreateVpc", &create)).await), "VpcId");
    stop(service.program);
    let before = records(&on_directory(&place, &data, &ALL_RECORDS));

    let said = succeeded(&moved(&place, data.to_str().unwrap(), &url(&place)));
    assert!(said.contains("each row was compared") && said.contains("vpn_gateway"), "{said}");
    assert!(!said.contains("postgres@"), "no more of the place than is needed: {said}");
    assert!(succeeded(&place.command(&["check"])).contains("the database is sound"));
    let nodes = [place.node(&[]), place.node(&[])];
    for node in &nodes {
        let reply = node.send(&used).await;
        assert_eq!((reply.status, reply.code().as_str()), (400, "SignatureNonceUsed"));
        let again = ok(&node.call(VPC, "CreateVpc", &create).await);
        assert_eq!(field(&again, "VpcId"), vpc, "a ClientToken of before the move");
        let seen = ok(&node.call(VPC, "DescribeVpcAttribute", &[REGION, ("VpcId", &vpc)]).await);
        assert_eq!(field(&seen, "VpcName"), "moved");
    }
    at_rest(|| place.command(&["status", "--json"]));
    // The chain goes on: the records of before, the one of the move, those of the nodes.
    let shown = records(&place.command(&ALL_RECORDS));
    let first: Vec<_> = shown.iter().filter(|record| record["lane"] == 1).collect();
    for (one, other) in before.iter().zip(&first) {
        assert_eq!(
            (&one["seq"], &one["requestId"], &one["chain"]),
            (&other["seq"], &other["requestId"], &other["chain"])
        );
    }
    let record = first[before.len()];
    assert_eq!((&record["action"], &record["chain"]), (&"MoveStore".into(), &"whole".into()));
    for node in &nodes {
        ok(&node.call(RAM, "CreateUser", &[("UserName", &format!("of{}", node.address.port()))]).await);
    }
    let late = nodes[0].sign(VPC, "DescribeVpcs", &[REGION]);
    assert_eq!(nodes[0].send(&late).await.status, 200);
    refused(
        &moved(&place, &url(&place), place.folder.path().join("early").to_str().unwrap()),
        75,
        "stop all of them",
    );
    for node in nodes {
        stopped(node).await;
    }
    let before = records(&place.command(&ALL_RECORDS));
    let heads = succeeded(&place.command(&["audit", "--head"]));

    // Back: of the chains of several lanes one is made.
    let back = place.folder.path().join("back");
    succeeded(&moved(&place, &url(&place), back.to_str().unwrap()));
    assert!(succeeded(&on_directory(&place, &back, &["check"])).contains("the database is sound"));
    let after = records(&on_directory(&place, &back, &ALL_RECORDS));
    let named = |records: &[Value]| {
        let mut names: Vec<_> =
            records.iter().map(|record| record["requestId"].as_str().unwrap().to_owned()).collect();
        names.sort();
        names
    };
    assert_eq!(named(&after[..before.len()]), named(&before));
    let moves = &after[before.len()..];
    assert!(moves.len() > 1, "{moves:?}");
    // As they were printed, and may be kept elsewhere.
    let named = moves.iter().map(|record| format!("{}\n", record["resource"].as_str().unwrap()));
    assert_eq!(named.collect::<String>(), heads);
    let whole = after.iter().filter(|record| record["chain"] == "whole").count();
    let old = after.iter().filter(|record| record["chain"] == "before").count();
    assert_eq!(
        (whole + old, old),
        (after.len(), before.iter().filter(|record| record["chain"] == "before").count())
    );
    let service = Embedded::on(&place, &back, "0");
    for used in [&used, &late] {
        let reply = service.send(used).await;
        assert_eq!((reply.status, reply.code().as_str()), (400, "SignatureNonceUsed"));
    }
    let seen = service.send(&sign("DescribeVpcAttribute", &[REGION, ("VpcId", &vpc)])).await;
    assert_eq!(field(&ok(&seen), "VpcName"), "moved");
    stop(service.program);
    // What is tampered with from now on is found.
    let database = rusqlite::Connection::open(back.join("tongguan.db")).unwrap();
    database
        .execute("UPDATE audit SET source = '192.0.2.1' WHERE seq = ?1", [after.len() as i64 - 4])
        .unwrap();
    refused(&on_directory(&place, &back, &["check"]), 65, "was changed");
}

#[test]
fn there_and_back_again_every_row_is_the_same() {
    let Some(place) = Place::or_skip() else { return };
    let data = full(&place);
    let from = data.to_str().unwrap();
    let tried = succeeded(&{
        let mut command = moving(&place, from, &url(&place));
        command.arg("--dry-run").output().unwrap()
    });
    assert!(tried.contains("nothing was moved"), "{tried}");
    assert!(text(&place.command(&["database", "status"])).contains("schema     0"));
    let before = rows(&data, &[]);
    succeeded(&moved(&place, from, &url(&place)));
    assert_eq!(rows(&data, &[]), before, "the source is as it was");
    let back = place.folder.path().join("back");
    let tried = moving(&place, &url(&place), back.to_str().unwrap()).arg("--dry-run").output().unwrap();
    assert!(succeeded(&tried).contains("nothing was moved"), "{}", text(&tried));
    let left: Vec<_> = std::fs::read_dir(&back).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["tongguan.lock"]);
    let said = succeeded(&moved(&place, &url(&place), back.to_str().unwrap()));
    assert!(said.contains("row_seal"), "{said}");
    assert!(succeeded(&on_directory(&place, &back, &["check"])).contains("the database is sound"));
    // But for what is of one process, and that it was moved.
    let apart = ["audit", "audit_chain", "intent", "lease", "node", "store"];
    let same = |data: &Path| rows(data, &apart);
    for (one, other) in same(&data).into_iter().zip(same(&back)) {
        assert_eq!(one, other);
    }
    let of = |data: &Path, sql: &str| {
        let database = rusqlite::Connection::open(data.join("tongguan.db")).unwrap();
        let rows: Vec<String> = database
            .prepare(sql)
            .unwrap()
            .query_map([], |row| row.get(0))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        rows
    };
    let records = "SELECT seq || ' ' || hex(hash) || ' ' || stream FROM audit ORDER BY seq";
    let (one, other) = (of(&data, records), of(&back, records));
    assert_eq!(other[..one.len()], one[..]);
    assert_eq!(other.len(), one.len() + 2, "one record for each way");
    let intents = "SELECT resource || kind || generation || change || since_ms || due_ms || attempts || fence FROM intent ORDER BY 1";
    assert_eq!(of(&data, intents), of(&back, intents));
    assert!(!of(&back, intents).is_empty());
    assert!(of(&back, "SELECT 'x' FROM intent WHERE owner IS NOT NULL OR lease_until > 0").is_empty());
    // It can be served, and is marked from then on.
    let service = Embedded::on(&place, &back, "0");
    at_rest(|| on_directory(&place, &back, &["status", "--json"]));
    stop(service.program);
    assert!(back.join("tongguan.mark").exists());
    assert!(succeeded(&on_directory(&place, &back, &["check"])).contains("the database is sound"));
}

#[test]
fn what_may_not_be_moved_is_refused_and_nothing_is_written() {
    let Some(place) = Place::or_skip() else { return };
    let data = full(&place);
    let (from, url) = (data.to_str().unwrap(), url(&place));
    let nothing = || assert!(text(&place.command(&["database", "status"])).contains("schema     0"));
    let service = Embedded::on(&place, &data, "0");
    refused(&moved(&place, from, &url), 75, "in use");
    stop(service.program);
    refused(&moved(&place, from, place.folder.path().join("other").to_str().unwrap()), 78, "of one kind");
    refused(&moved(&place, "nowhere", &url), 74, "nowhere");
    let other = place.folder.path().join("other.key");
    std::fs::write(&other, "08".repeat(32)).unwrap();
    std::fs::set_permissions(&other, std::fs::Permissions::from_mode(0o600)).unwrap();
    let wrong = moving(&place, from, &url).env("TONGGUAN_MASTER_KEY_FILE", &other).output().unwrap();
    refused(&wrong, 78, "not the master key");
    let given = moving(&place, from, "postgres://a:secret@127.0.0.1/x").output().unwrap();
    refused(&given, 78, "does not belong on a command line");
    nothing();

    // A store that is of another release, for tests, or not as the service left it.
    let copy = |name: &str, sql: &str| {
        let folder = place.folder.path().join(name);
        std::fs::create_dir(&folder).unwrap();
        std::fs::copy(data.join("tongguan.db"), folder.join("tongguan.db")).unwrap();
        let database = rusqlite::Connection::open(folder.join("tongguan.db")).unwrap();
        database.execute_batch(sql).unwrap();
        folder.to_str().unwrap().to_owned()
    };
    let older = copy("older", "PRAGMA user_version = 8");
    refused(&moved(&place, &older, &url), 1, "a start of the service brings it up");
    let tests = copy("tests", "UPDATE store SET test_ahead_ms = 0");
    refused(&moved(&place, &tests, &url), 78, "test API");
    let forged = copy("forged", "UPDATE ram_user SET name = 'mallory'");
    refused(&moved(&place, &forged, &url), 65, "not sound");
    let torn = copy("torn", "UPDATE audit SET source = '192.0.2.1' WHERE seq = (SELECT max(seq) FROM audit)");
    refused(&moved(&place, &torn, &url), 65, "not sound");
    nothing();

    // Nothing is overwritten.
    succeeded(&moved(&place, from, &url));
    refused(&moved(&place, from, &url), 78, "has rows already");
    refused(&moved(&place, &url, from), 78, "nothing is overwritten");
    let stranger = place.folder.path().join("stranger");
    std::fs::create_dir(&stranger).unwrap();
    std::fs::write(stranger.join("letter.txt"), "theirs").unwrap();
    refused(&moved(&place, &url, stranger.to_str().unwrap()), 78, "letter.txt");
    assert_eq!(std::fs::read_dir(&stranger).unwrap().count(), 1);
}

#[test]
fn a_move_that_is_killed_leaves_nothing_that_serves() {
    let Some(place) = Place::or_skip() else { return };
    let data = full(&place);
    let (from, url) = (data.to_str().unwrap(), url(&place));
    succeeded(&place.command(&["database", "upgrade"]));
    let before = rows(&data, &[]);
    let sql = |statements: &str| place.single.sql("tongguan", statements).unwrap().trim().to_owned();
    std::thread::scope(|scope| {
        // It gets as far as the first VPC, when accounts are there already, and waits.
        let hold = "BEGIN; LOCK TABLE vpc IN SHARE MODE; SELECT pg_sleep(600)";
        let held = scope.spawn(|| place.single.sql("tongguan", hold).is_err());
        let waits = |many: &str, what: &str| {
            let begun = Instant::now();
            let sql_of =
                format!("SELECT count(*) FROM pg_stat_activity WHERE datname = 'tongguan' AND {what}");
            while sql(&sql_of) != many {
                assert!(begun.elapsed() < PATIENCE, "{what}");
                std::thread::sleep(Duration::from_millis(20));
            }
        };
        waits("1", "wait_event = 'PgSleep'");
        let mut child = moving(&place, from, &url).stdout(Stdio::null()).spawn().unwrap();
        waits("1", "wait_event_type = 'Lock' AND query LIKE 'INSERT INTO vpc %'");
        signal(&child, Signal::KILL);
        ended(&mut child);
        place.single.terminate_sessions().unwrap();
        assert!(held.join().unwrap());
        waits("0", "backend_xid IS NOT NULL");
    });
    assert_eq!(sql("SELECT count(*) FROM account"), "0");
    let served = place.serve(&[]);
    refused(&served, 78, "no keys and no account yet");
    assert_eq!(rows(&data, &[]), before);
    succeeded(&moved(&place, from, &url));

    // The other way: whenever it is killed there is a whole store or none.
    let back = place.folder.path().join("back");
    let begun = Instant::now();
    loop {
        let mut child = moving(&place, &url, back.to_str().unwrap()).stdout(Stdio::null()).spawn().unwrap();
        while !back.join("tongguan.db.part").exists() && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        signal(&child, Signal::KILL);
        if !ended(&mut child).success() && !back.join("tongguan.db").exists() {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "it is always quicker");
        std::fs::remove_dir_all(&back).unwrap();
    }
    refused(&on_directory(&place, &back, &["check"]), 74, "cannot read");
    refused(&on_directory(&place, &back, &["account", "create"]), 65, "has none now");
    succeeded(&moved(&place, &url, back.to_str().unwrap()));
    assert!(!back.join("tongguan.db.part").exists());
    assert!(succeeded(&on_directory(&place, &back, &["check"])).contains("the database is sound"));
    assert!(succeeded(&on_directory(&place, &back, &["account", "list"])).contains(ACCOUNT));
}

/// What a killed service has left in its journal and its log of nonces comes along.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_service_has_left_comes_along() {
    let Some(place) = Place::or_skip() else { return };
    let data = full(&place);
    let mut service = Embedded::on(&place, &data, "0");
    at_rest(|| on_directory(&place, &data, &["status", "--json"]));
    let mut read = Vec::new();
    for _ in 0..3 {
        read.push(field(&ok(&service.send(&sign("DescribeVpcs", &[REGION])).await), "RequestId"));
    }
    let used = sign("DescribeVpcs", &[REGION]);
    assert_eq!(service.send(&used).await.status, 200);
    service.program.signal(Signal::KILL);
    ended(&mut service.program.child);
    succeeded(&moved(&place, data.to_str().unwrap(), &url(&place)));
    let shown = records(&place.command(&ALL_RECORDS));
    for id in &read {
        let record = shown.iter().find(|record| record["requestId"] == id.as_str()).unwrap();
        assert_eq!(record["chain"], "whole");
    }
    let node = place.node(&[]);
    assert_eq!(node.send(&used).await.code(), "SignatureNonceUsed");
    stopped(node).await;
    assert!(place.command(&["check"]).status.success());
}

/// After a loss of power nobody knows which nonces were used: nothing that was signed before is let in.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_signed_before_a_loss_of_power_is_refused() {
    let Some(place) = Place::or_skip() else { return };
    let data = full(&place);
    let mut service = Embedded::on(&place, &data, "0");
    let (used, unused) = (sign("DescribeVpcs", &[REGION]), sign("DescribeVpcs", &[REGION]));
    assert_eq!(service.send(&used).await.status, 200);
    service.program.signal(Signal::KILL);
    ended(&mut service.program.child);
    std::fs::write(data.join("nonces/nonces.boot"), "another-boot open -9223372036854775808\n").unwrap();
    for entry in std::fs::read_dir(data.join("nonces")).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap() != "nonces.boot" {
            std::fs::remove_file(path).unwrap();
        }
    }
    succeeded(&moved(&place, data.to_str().unwrap(), &url(&place)));
    let node = place.node(&[]);
    for before in [used, unused] {
        let reply = node.send(&before).await;
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (400, "InvalidTimeStamp.Expired"),
            "{}",
            reply.text()
        );
    }
    until(&node, "DescribeVpcs", &[REGION], |vpcs| vpcs["TotalCount"].is_u64()).await;
}
