//! Every worker is held by a request that never lets go of it: the operator is answered, and the process ends when it
//! is told to. Only in a build with the feature `failpoints`, where a request can be made to do that.
#![cfg(feature = "failpoints")]
#![allow(clippy::unwrap_used, reason = "a test may stop where something is wrong")]

mod common;

use std::path::Path;
use std::time::{Duration, Instant};

use common::program::{ended, program, text};
use common::{PATIENCE, STS, Server};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

/// No answer of the front takes this long, however busy the machine is with other tests: the workers are held for a
/// minute, and a stop waits ten seconds for them.
const PROMPT: Duration = Duration::from_secs(10);
/// What a stop may take: 10 s for requests, and what the end itself takes.
const STOP: Duration = Duration::from_secs(14);

/// A server with two workers, both of which are held for a minute.
async fn held() -> (Server, Vec<TcpStream>) {
    let environment = [
        ("FAILPOINTS", Path::new("call::received=4*sleep(60000)")),
        ("TOKIO_WORKER_THREADS", Path::new("2")),
    ];
    let server = Server::start_with(&[], &environment);
    let mut streams = Vec::new();
    for _ in 0..4 {
        let mut stream = server.connect().await;
        stream.write_all(&server.sign(STS, "GetCallerIdentity", &[])).await.unwrap();
        streams.push(stream);
    }
    let begun = Instant::now();
    while server.look("/readyz").await.0 == 200 {
        assert!(begun.elapsed() < PATIENCE, "the workers are not held");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    (server, streams)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_is_answered_and_the_stop_has_an_end() {
    let (mut server, streams) = held().await;
    for _ in 0..5 {
        for path in ["/healthz", "/readyz", "/metrics"] {
            let begun = Instant::now();
            let (status, text) = server.look(path).await;
            assert!(begun.elapsed() < PROMPT, "{path} took {:?}", begun.elapsed());
            match path {
                // It lives, and says what is the matter.
                "/healthz" => assert!(status == 200 && text.starts_with("alive, but no worker"), "{text}"),
                "/readyz" => {
                    let failing: Vec<_> = text.lines().filter(|line| line.contains("\"ok\":false")).collect();
                    assert_eq!(status, 503, "{text}");
                    assert!(failing.iter().any(|line| line.contains("\"workers\"")), "{text}");
                }
                _ => assert!(status == 200 && text.ends_with("# EOF\n"), "{text}"),
            }
        }
    }
    assert!(server.metric("tongguan_workers_silent_seconds").await > 1.0);
    // The way of `tongguan account` is open as well.
    let begun = Instant::now();
    let mut create = program(&["account", "create", "beside", "--data-dir"]);
    let output = create.arg(server.data_dir()).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    assert!(begun.elapsed() < PROMPT, "{:?}", begun.elapsed());

    server.signal("TERM");
    let begun = Instant::now();
    let status = server.ended().await;
    let took = begun.elapsed();
    println!("stop with all workers held: {took:?}, {status}");
    assert!(took < STOP, "{took:?}");
    assert_eq!(status.code(), Some(70), "{}", server.logged());
    assert!(server.logged().contains("left behind"), "{}", server.logged());
    drop(streams);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_it_at_once() {
    let (mut server, streams) = held().await;
    server.signal("TERM");
    let begun = Instant::now();
    while !server.logged().contains("a second signal ends that") {
        assert!(begun.elapsed() < PROMPT);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let begun = Instant::now();
    server.signal("INT");
    assert!(!server.ended().await.success());
    assert!(begun.elapsed() < PROMPT, "{:?}", begun.elapsed());
    drop(streams);
}

/// Nothing is lost by it: the next start finds the store in order.
#[tokio::test(flavor = "multi_thread")]
async fn the_store_outlives_it() {
    let (mut server, streams) = held().await;
    server.signal("TERM");
    assert_eq!(server.ended().await.code(), Some(70));
    let output = program(&["check", "--data-dir"]).arg(server.data_dir()).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let mut command = program(&["serve", "--listen", "127.0.0.1:0", "--admin-listen", "off", "--data-dir"]);
    command.arg(server.data_dir());
    let mut again = common::program::Process::start(command);
    again.signal(rustix::process::Signal::TERM);
    assert!(ended(&mut again.child).success(), "{}", again.logged());
    drop(streams);
}
