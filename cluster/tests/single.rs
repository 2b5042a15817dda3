//! One server and its faults: what a session gets to see, and what came of its transaction then. The table of
//! `tongguan_store::postgres::outcome` is shown here to be what a real server does.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tokio::runtime::{Builder, Runtime};
use tongguan_cluster::{Options, Single};
use tongguan_store::postgres::hosts::{Access, Hosts, NoPrimary, Primary, Refusal};
use tongguan_store::postgres::outcome::{Next, Outcome, Stage};
use tongguan_testkit::PATIENCE;

/// Long enough to see that nothing comes.
const SHORT: Duration = Duration::from_secs(1);
/// Long enough for what comes beside it, whatever else the machine does.
const LONG: Duration = Duration::from_secs(5);

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn hosts(servers: &[&Single]) -> Hosts {
    let places: Vec<_> = servers.iter().map(|server| format!("127.0.0.1:{}", server.port())).collect();
    let url = format!("postgres://postgres@{}/postgres?sslmode=disable", places.join(","));
    Hosts::parse(&url, Access::default()).unwrap()
}

/// A session, and a table `t` with a key.
async fn session(server: &Single) -> Primary {
    server.sql("postgres", "CREATE TABLE IF NOT EXISTS t (k integer PRIMARY KEY)").unwrap();
    hosts(&[server]).connect(PATIENCE).await.unwrap()
}

/// What comes of one statement.
async fn comes_of(session: &Primary, stage: Stage, statement: &str) -> Result<(), (Outcome, Option<String>)> {
    let answer = session.run(stage, PATIENCE, session.client().batch_execute(statement)).await;
    answer.map_err(|failure| (failure.outcome, failure.state().map(str::to_owned)))
}

fn refused(next: Next, state: &str) -> Result<(), (Outcome, Option<String>)> {
    Err((Outcome::NotCommitted(next), Some(state.to_owned())))
}

fn rows(server: &Single, key: i32) -> String {
    server.sql("postgres", &format!("SELECT count(*) FROM t WHERE k = {key}")).unwrap().trim().to_owned()
}

#[test]
fn databases_are_copies_and_go_with_the_server() {
    let Some(server) = Single::or_skip(&Options::default().with("work_mem", "5MB")) else { return };
    server.create_database("one", "template1").unwrap();
    server.sql("one", "CREATE TABLE t AS SELECT 7 AS n").unwrap();
    server.create_database("two", "one").unwrap();
    assert_eq!(server.sql("two", "SELECT n FROM t").unwrap(), "7\n");
    assert_eq!(server.sql("two", "SHOW work_mem").unwrap(), "5MB\n");
    assert_eq!(server.sql("two", "SHOW fsync").unwrap(), "off\n");
    assert!(server.url("two").ends_with(&format!("@127.0.0.1:{}/two?sslmode=disable", server.port())));
    let home = server.home().to_owned();
    server.freeze();
    drop(server);
    assert!(!home.exists(), "{} is left", home.display());
}

/// A process with a server of its own; none where there is no PostgreSQL.
struct Employer {
    process: Child,
    home: PathBuf,
}

impl Employer {
    fn start() -> Option<Self> {
        let mut program = Command::new(env!("CARGO_BIN_EXE_tongguan-cluster"));
        let mut process = program.arg("single").stdout(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut said).unwrap();
        let Some((_, home)) = said.trim().rsplit_once(' ') else {
            process.wait().unwrap();
            assert!(Single::or_skip(&Options::default()).is_none(), "it said `{said}`");
            return None;
        };
        let home = PathBuf::from(home);
        assert!(home.join("data").exists());
        Some(Self { process, home })
    }

    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// The processes that it has started itself.
    fn children(&self) -> Vec<Pid> {
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        let ids = processes.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?));
        let parent = format!("\nPPid:\t{}\n", self.process.id());
        let status = |pid: &Pid| std::fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero()));
        ids.filter(|pid| status(pid).is_ok_and(|status| status.contains(&parent))).collect()
    }
}

#[test]
fn a_test_that_is_killed_leaves_nothing() {
    let Some(mut employer) = Employer::start() else { return };
    employer.kill();
    let begun = Instant::now();
    while employer.home.exists() {
        assert!(begun.elapsed() < PATIENCE, "{} is left", employer.home.display());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Nobody is left who would clear away: the next to come does.
#[test]
fn what_is_left_after_all_is_cleared_away_by_the_next() {
    let Some(mut employer) = Employer::start() else { return };
    // The shell that waits, and the server.
    assert_eq!(employer.children().len(), 2);
    for pid in employer.children() {
        let name = std::fs::read_to_string(format!("/proc/{}/comm", pid.as_raw_nonzero())).unwrap();
        if name.trim() != "postgres" {
            kill_process(pid, Signal::KILL).unwrap();
        }
    }
    employer.kill();
    let next = Single::or_skip(&Options::default()).unwrap();
    assert!(!employer.home.exists(), "{} is left", employer.home.display());
    assert!(next.home().exists());
}

#[test]
fn a_commit_that_hangs_is_unknown_and_found_by_its_key() {
    let Some(server) = Single::or_skip(&Options::default()) else { return };
    runtime().block_on(async {
        let first = session(&server).await;
        server.hang_commits(true).unwrap();
        let insert = first.client().batch_execute("INSERT INTO t VALUES (1)");
        let failure = first.run(Stage::Committing, SHORT, insert).await.unwrap_err();
        assert_eq!((failure.outcome, failure.state()), (Outcome::Unknown, None));
        drop(first);
        // The commit goes on: a SELECT says that there is nothing, the key is held all the same.
        assert_eq!(rows(&server, 1), "0");
        let second = hosts(&[&server]).connect(PATIENCE).await.unwrap();
        let look = "INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING";
        assert_eq!(comes_of(&second, Stage::Committing, look).await, refused(Next::RetryOnce, "55P03"));
        server.hang_commits(false).unwrap();
        let taken =
            second.run(Stage::Committing, PATIENCE, second.client().execute(look, &[])).await.unwrap();
        assert_eq!(taken, 0, "the first had it");
        assert_eq!(rows(&server, 1), "1");
    });
}

#[test]
fn a_commit_whose_wait_was_cancelled_is_no_success() {
    let Some(server) = Single::or_skip(&Options::default()) else { return };
    runtime().block_on(async {
        for (key, function) in [(1, "pg_cancel_backend"), (2, "pg_terminate_backend")] {
            let session = session(&server).await;
            server.hang_commits(true).unwrap();
            let insert = format!("INSERT INTO t VALUES ({key})");
            let waits = format!(
                "SELECT {function}(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND query = '{insert}'"
            );
            let meddle = async {
                while server.sql("postgres", &waits).unwrap().is_empty() {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            let (came, ()) = tokio::join!(comes_of(&session, Stage::Committing, &insert), meddle);
            assert_eq!(came.unwrap_err().0, Outcome::Unknown, "{function}");
            server.hang_commits(false).unwrap();
            assert_eq!(rows(&server, key), "1", "{function}");
        }
    });
}

#[test]
fn sessions_that_are_ended_leave_commits_unknown_and_nothing_else() {
    let Some(mut server) = Single::or_skip(&Options::default()) else { return };
    runtime().block_on(async {
        for stage in [Stage::Open, Stage::Committing] {
            let expected = match stage {
                Stage::Open => Outcome::NotCommitted(Next::Reconnect),
                Stage::Committing => Outcome::Unknown,
            };
            let wait = "SELECT pg_sleep(60)";
            let asked = session(&server).await;
            asked.client().batch_execute("SET statement_timeout = 0").await.unwrap();
            let busy = "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)'";
            let until_busy = async {
                while server.sql("postgres", busy).unwrap().trim() == "0" {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                assert!(server.terminate_sessions().unwrap() >= 1);
            };
            let (came, ()) = tokio::join!(comes_of(&asked, stage, wait), until_busy);
            assert_eq!(came, Err((expected, Some("57P01".to_owned()))));
            drop(asked);

            let killed = session(&server).await;
            server.kill();
            assert_eq!(comes_of(&killed, stage, "SELECT 1").await.unwrap_err().0, expected);
            server.boot().unwrap();

            let frozen = session(&server).await;
            server.freeze();
            let answer = frozen.run(stage, SHORT, frozen.client().batch_execute("SELECT 1")).await;
            assert_eq!(answer.unwrap_err().outcome, expected);
            server.thaw();
        }
    });
}

#[test]
fn refusals_are_what_the_table_says() {
    let Some(server) = Single::or_skip(&Options::default()) else { return };
    runtime().block_on(async {
        let (one, two) = (session(&server).await, session(&server).await);
        let open = Stage::Open;
        server.sql("postgres", "INSERT INTO t VALUES (1), (2)").unwrap();
        let second_use = "INSERT INTO t VALUES (1)";
        assert_eq!(comes_of(&one, Stage::Committing, second_use).await, refused(Next::Tell, "23505"));
        // The server's detail is a value of a row, and goes nowhere.
        let failure = one.run(open, PATIENCE, one.client().batch_execute(second_use)).await.unwrap_err();
        let words = failure.to_string();
        assert!(words.contains("duplicate key") && !words.contains("(1)"), "{words}");
        let slow = "SET statement_timeout = 1; SELECT pg_sleep(60)";
        assert_eq!(comes_of(&one, open, slow).await, refused(Next::RetryOnce, "57014"));
        for session in [&one, &two] {
            let patient = "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0";
            session.client().batch_execute(patient).await.unwrap();
        }

        one.client().batch_execute("BEGIN; SELECT 1 FROM t WHERE k = 1 FOR UPDATE").await.unwrap();
        let locked = "BEGIN; SELECT 1 FROM t WHERE k = 2 FOR UPDATE; SELECT 1 FROM t WHERE k = 1 FOR UPDATE";
        assert_eq!(comes_of(&two, open, locked).await, refused(Next::RetryOnce, "55P03"));
        for session in [&one, &two] {
            session.client().batch_execute("ROLLBACK; SET lock_timeout = 0").await.unwrap();
        }
        let lock = |key: i32| format!("SELECT 1 FROM t WHERE k = {key} FOR UPDATE");
        let (lock_one, lock_two) = (lock(1), lock(2));
        one.client().batch_execute(&format!("BEGIN; {lock_one}")).await.unwrap();
        two.client().batch_execute(&format!("BEGIN; {lock_two}")).await.unwrap();
        let (first, second) = tokio::join!(comes_of(&two, open, &lock_one), comes_of(&one, open, &lock_two));
        let deadlock = refused(Next::Retry, "40P01");
        assert!(first == deadlock || second == deadlock, "{first:?} {second:?}");
        one.client().batch_execute("ROLLBACK").await.unwrap();
        two.client().batch_execute("ROLLBACK").await.unwrap();

        one.client().batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; TABLE t").await.unwrap();
        two.client().batch_execute("DELETE FROM t WHERE k = 2").await.unwrap();
        let stale = comes_of(&one, open, "DELETE FROM t WHERE k = 2").await;
        assert_eq!(stale, refused(Next::Retry, "40001"));
        one.client().batch_execute("ROLLBACK").await.unwrap();

        one.client().batch_execute("SET idle_in_transaction_session_timeout = 1; BEGIN").await.unwrap();
        let begun = Instant::now();
        while !one.client().is_closed() {
            assert!(begun.elapsed() < PATIENCE, "an idle transaction is not ended");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        server.refuse_writes(true).unwrap();
        assert_eq!(comes_of(&two, open, second_use).await, refused(Next::Reconnect, "25006"));
    });
}

#[test]
fn a_frozen_host_and_a_standby_keep_nobody_from_the_primary() {
    let start = || Single::or_skip(&Options::default());
    let (Some(frozen), Some(mut standby), Some(primary)) = (start(), start(), start()) else { return };
    standby.become_standby().unwrap();
    frozen.freeze();
    runtime().block_on(async {
        let hosts = hosts(&[&frozen, &standby, &primary]);
        let session = hosts.connect(PATIENCE).await.unwrap();
        assert_eq!(session.host(), format!("127.0.0.1:{}", primary.port()));
        assert_eq!(session.timeline().number(), 1);
        drop(session);
        primary.refuse_writes(true).unwrap();
        let NoPrimary { refusals } = hosts.connect(LONG).await.unwrap_err();
        let why: Vec<_> = refusals.iter().map(|(_, refusal)| refusal.clone()).collect();
        assert_eq!(why, [Refusal::Silent, Refusal::Standby, Refusal::ReadOnly]);
        let refused = NoPrimary { refusals }.to_string();
        assert!(refused.contains("gave no answer in time; 127.0.0.1:"), "{refused}");
    });
}

#[test]
fn an_old_primary_is_refused_once_a_newer_one_was_seen() {
    let start = || Single::or_skip(&Options::default());
    let (Some(old), Some(mut new)) = (start(), start()) else { return };
    runtime().block_on(async {
        let hosts = hosts(&[&old, &new]);
        let before = hosts.connect(PATIENCE).await.unwrap();
        assert!(!hosts.outdated(&before));
        new.begin_timeline().unwrap();
        old.freeze();
        let after = hosts.connect(PATIENCE).await.unwrap();
        assert_eq!(after.timeline().number(), 2);
        assert!(hosts.outdated(&before) && !hosts.outdated(&after));
        old.thaw();
        new.freeze();
        let NoPrimary { refusals } = hosts.connect(LONG).await.unwrap_err();
        assert!(matches!(refusals[0].1, Refusal::Outdated { .. }), "{refusals:?}");
        assert_eq!(refusals[1].1, Refusal::Silent);
    });
}

/// Who begins anew has forgotten nothing: its file says what it had seen of this very cluster.
#[test]
fn an_old_primary_is_refused_by_who_begins_anew() {
    let start = || Single::or_skip(&Options::default());
    let (Some(mut server), Some(other)) = (start(), start()) else { return };
    // An ordinary role, as services have.
    for server in [&server, &other] {
        server.sql("postgres", "CREATE ROLE plain LOGIN").unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("timeline");
    let plain = |server: &Single| {
        let url = server.url("postgres").replacen("postgres@", "plain@", 1);
        Hosts::parse(&url, Access::default()).unwrap().remembering(file.clone()).unwrap()
    };
    runtime().block_on(async {
        let first = plain(&server).connect(PATIENCE).await.unwrap();
        assert_eq!(first.timeline().number(), 1);
        drop(first);
        server.begin_timeline().unwrap();
        assert_eq!(plain(&server).connect(PATIENCE).await.unwrap().timeline().number(), 2);
        // As if it had been promoted again, and this were the one that was left behind.
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, text.replace(" 2", " 3")).unwrap();
        let again = plain(&server);
        let NoPrimary { refusals } = again.connect(LONG).await.unwrap_err();
        assert!(matches!(refusals[0].1, Refusal::Outdated { .. }), "{refusals:?}");
        assert!(refusals[0].1.to_string().contains("timeline 2, and 3 was seen"), "{}", refusals[0].1);
        assert!(matches!(again.timeline(), Some(seen) if seen.number() == 3));
        // Another cluster has timelines of its own.
        assert_eq!(plain(&other).connect(PATIENCE).await.unwrap().timeline().number(), 1);
        assert_eq!(plain(&server).connect(PATIENCE).await.unwrap().timeline().number(), 2);
    });
}

#[test]
fn a_session_hears_warnings_and_commits_for_real_whatever_the_server_is_set_to() {
    let options = Options::default().with("client_min_messages", "error").with("synchronous_commit", "off");
    let Some(server) = Single::or_skip(&options) else { return };
    runtime().block_on(async {
        let session = session(&server).await;
        let show = |name: &str| format!("SELECT current_setting('{name}')");
        for (name, value) in
            [("client_min_messages", "warning"), ("synchronous_commit", "on"), ("lock_timeout", "500ms")]
        {
            let row = session.client().query_one(&show(name), &[]).await.unwrap();
            assert_eq!(row.get::<_, &str>(0), value, "{name}");
        }
    });
}

/// With TLS the certificate counts, the name in it, and the password; without it a server that wants it says no.
#[test]
fn tls_is_verified_and_the_password_is_bound_to_it() {
    let access = Some("hostssl all all 127.0.0.1/32 scram-sha-256".to_owned());
    let options = Options { tls: true, access, ..Options::default() };
    let start = |options| Single::or_skip(options);
    let (Some(server), Some(plain)) = (start(&options), start(&Options::default())) else { return };
    let other = Single::or_skip(&Options { tls: true, ..Options::default() }).unwrap();
    server.sql("postgres", "CREATE ROLE node LOGIN PASSWORD 'the password'").unwrap();
    let connect = |host: &str, port: u16, more: &str, password: &[u8], authority: &std::path::Path| {
        let url = format!("postgres://node@{host}:{port}/postgres?hostaddr=127.0.0.1{more}");
        let hosts =
            Hosts::parse(&url, Access { password: Some(password), authorities: Some(authority) }).unwrap();
        runtime().block_on(async {
            let session = hosts.connect(PATIENCE).await.map_err(|mut none| none.refusals.remove(0).1)?;
            let row = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
            Ok::<bool, Refusal>(session.client().query_one(row, &[]).await.unwrap().get(0))
        })
    };
    let (port, right, password) = (server.port(), server.authority(), &b"the password"[..]);
    for more in ["", "&sslmode=verify-full", "&channel_binding=require"] {
        assert_eq!(connect("localhost", port, more, password, &right), Ok(true), "{more}");
    }
    let failed = |refusal: Result<bool, Refusal>| match refusal {
        Err(Refusal::Failed { state, cause }) => (state.unwrap_or_default(), cause),
        other => panic!("{other:?}"),
    };
    let (_, cause) = failed(connect("localhost", port, "", password, &other.authority()));
    assert!(cause.contains("certificate"), "{cause}");
    let (_, cause) = failed(connect("elsewhere", port, "", password, &right));
    assert!(cause.contains("certificate not valid for name"), "{cause}");
    let (state, cause) = failed(connect("localhost", port, "", b"another password", &right));
    assert_eq!(state, "28P01", "{cause}");
    assert!(!cause.contains("another"), "{cause}");
    let (state, cause) = failed(connect("localhost", port, "&sslmode=disable", password, &right));
    assert_eq!(state, "28000", "{cause}");
    let (_, cause) = failed(connect("localhost", plain.port(), "", password, &right));
    assert!(cause.contains("server does not support TLS"), "{cause}");
}

/// What was committed here alone is found, and yet can be lost: only a commit of the one who looks tells.
#[test]
fn what_is_found_counts_once_a_commit_after_it_has_come_through() {
    let Some(server) = Single::or_skip(&Options::default()) else { return };
    runtime().block_on(async {
        let first = session(&server).await;
        server.hang_commits(true).unwrap();
        let insert = first.client().batch_execute("INSERT INTO t VALUES (1)");
        let failure = first.run(Stage::Committing, SHORT, insert).await.unwrap_err();
        assert_eq!(failure.outcome, Outcome::Unknown);
        server.terminate_sessions().unwrap();
        let second = hosts(&[&server]).connect(PATIENCE).await.unwrap();
        let begun = Instant::now();
        while rows(&server, 1) == "0" {
            assert!(begun.elapsed() < PATIENCE, "the wait of the commit was not ended");
        }
        let look = "INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING";
        let found = second.run(Stage::Committing, PATIENCE, second.client().execute(look, &[])).await;
        assert_eq!(found.unwrap(), 0, "there, and no standby has it");
        let look = format!("BEGIN; SELECT pg_logical_emit_message(true, '', ''); {look}; COMMIT");
        let failure = second.run(Stage::Committing, SHORT, second.client().batch_execute(&look)).await;
        assert_eq!(failure.unwrap_err().outcome, Outcome::Unknown);
    });
}

#[test]
fn a_server_without_room_says_so() {
    let Some(server) = Single::or_skip(&Options::default().with("max_connections", "5")) else { return };
    runtime().block_on(async {
        let hosts = hosts(&[&server]);
        let mut sessions = Vec::new();
        let refusals = loop {
            match hosts.connect(PATIENCE).await {
                Ok(session) => sessions.push(session),
                Err(NoPrimary { refusals }) => break refusals,
            }
        };
        assert!(sessions.len() <= 5);
        let Refusal::Failed { state, cause } = &refusals[0].1 else { panic!("{refusals:?}") };
        assert_eq!(state.as_deref(), Some("53300"), "{cause}");
    });
}
