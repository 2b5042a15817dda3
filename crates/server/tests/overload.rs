//! More than the server can bear: memory stays bounded, and the well-behaved caller beside it is answered.
//! `cargo test -p tongguan --test overload -- --nocapture` shows the figures.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test may stop where something is wrong, and shows figures"
)]

mod common;

use std::time::{Duration, Instant};

use common::{
    KEY, KMS, Key, OTHER_KEY, OTHER_SECRET, PATIENCE, RAM, SECRET, STS, Server, VPC, http_bytes,
    raise_file_limit, read_reply,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tongguan_pki::{KeySpec, Usage};
use tongguan_rpc::SignatureMethod;
use tongguan_testkit::{Call, Issuer, Manner, Stamp};

/// As stated in `connections.rs`: KiB of a connection, and of all long heads, bodies and answers together.
const CONNECTION_KIB: u64 = 128;
const LONG_KIB: u64 = 3 * 64 * 1024;
/// What the process needs without any connection, in the development build.
const ITSELF_KIB: u64 = 64 * 1024;
/// No caller waits as long as this in the middle of overload, however busy the machine is with other tests. One who
/// gives way only after a second without progress may keep others waiting that long; whoever is kept out waits for
/// the end of a body or an answer, 30 s, or of a head, 75 s.
const SOON: Duration = Duration::from_secs(10);
/// Where the others come from.
const ELSEWHERE: [u8; 4] = [127, 0, 0, 2];

/// As many connections as [`crowd`] opens, no faster than the server accepts them: what its queue does
/// not hold is lost without a word.
async fn settled_crowd(server: &Server, already: usize, many: usize, words: &'static [u8]) -> Vec<TcpStream> {
    const STEP: usize = 1_000;
    let mut all = Vec::with_capacity(many);
    while all.len() < many {
        all.extend(crowd(server, STEP.min(many - all.len()), words).await);
        server.connections_reach(already + all.len()).await;
    }
    all
}

/// Opens many connections, a batch at a time, and says the same on each.
async fn crowd(server: &Server, many: usize, words: &'static [u8]) -> Vec<TcpStream> {
    const BATCH: usize = 200;
    let mut crowd = Vec::with_capacity(many);
    while crowd.len() < many {
        let batch = (0..BATCH.min(many - crowd.len())).map(|_| async {
            let mut stream = server.connect().await;
            // Whoever is sent away at once may find the connection broken.
            let _ = stream.write_all(words).await;
            stream
        });
        let batch: Vec<TcpStream> = futures_util::future::join_all(batch).await;
        crowd.extend(batch);
    }
    crowd
}

/// Has a call answered on each of these.
async fn answered_on(server: &Server, streams: &mut [TcpStream]) {
    for stream in streams {
        stream.write_all(&server.sign(STS, "GetCallerIdentity", &[])).await.unwrap();
        assert_eq!(read_reply(stream).await.expect("the connection is kept").status, 200);
    }
}

fn report(what: &str, server: &Server, before: u64, slowest: Duration) -> u64 {
    let (now, most) = (server.memory_kib("VmRSS"), server.memory_kib("VmHWM"));
    println!("{what}: RSS {before} -> {now} KiB, at most {most} KiB; slowest well-behaved call {slowest:?}");
    assert!(slowest < SOON, "{slowest:?}");
    most
}

/// All places are taken by connections that say nothing or never end their head; more keep coming.
#[tokio::test(flavor = "multi_thread")]
async fn idle_and_slow_connections_keep_nobody_out() {
    let files = raise_file_limit();
    let places = files.saturating_sub(512).min(10_000);
    let half = places.min(files.saturating_sub(2_000)) / 2;
    let server = Server::start(&[]);
    server.well_behaved(5).await;
    // The oldest of all, and idle ever since.
    let mut kept = Vec::new();
    for _ in 0..20 {
        kept.push(server.connect_from([127, 0, 0, 9], None).await);
    }
    answered_on(&server, &mut kept).await;
    let before = server.memory_kib("VmRSS");
    let idle = settled_crowd(&server, 0, half, b"").await;
    let slow =
        settled_crowd(&server, half, half, b"GET /?Action=DescribeRegions HTTP/1.1\r\nHost: a\r\nX-A: ")
            .await;
    let grown = server.memory_kib("VmRSS").saturating_sub(before);
    let open = server.metric("tongguan_connections").await;
    println!("{open} connections that wait: {} KiB each", grown / (2 * half as u64));
    // More than there are places: each newcomer takes the place of one that waited.
    let more = crowd(&server, 500, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nA").await;
    let slowest = server.well_behaved(50).await;
    if 2 * half == places {
        let evicted = server.metric("tongguan_connections_evicted_total").await;
        assert!(evicted >= 500.0, "{evicted}");
        // They made room who came in thousands, not those who came first and were few.
        answered_on(&server, &mut kept).await;
        assert!(server.metric("tongguan_connections").await <= places as f64);
    }
    let most = report("idle and slow connections", &server, before, slowest);
    assert!(most < ITSELF_KIB + places as u64 * CONNECTION_KIB, "{most} KiB");
    assert!(grown / (2 * half as u64) < 48, "{grown} KiB");
    drop((idle, slow, more));
}

/// Long heads wait for a place; hundreds of header fields are refused; neither costs more than stated.
#[tokio::test(flavor = "multi_thread")]
async fn header_floods_are_bounded() {
    raise_file_limit();
    let server = Server::start(&[]);
    server.well_behaved(5).await;
    let before = server.memory_kib("VmRSS");
    let mut flood = JoinSet::new();
    for number in 0..600_u32 {
        let mut stream = server.connect().await;
        flood.spawn(async move {
            let line = if number % 2 == 0 { "a" } else { "x-a: b\r\n" };
            let _ = stream.write_all(b"GET /?").await;
            if number % 2 == 1 {
                let _ = stream.write_all(b" HTTP/1.1\r\nhost: a\r\n").await;
            }
            let piece = line.repeat(1_000);
            // Up to 250 KB, which is a long head; without its end.
            for _ in 0..250_000 / piece.len() {
                if stream.write_all(piece.as_bytes()).await.is_err() {
                    break;
                }
            }
            let _ = tokio::time::timeout(Duration::from_secs(3), stream.read_u8()).await;
            stream
        });
    }
    let slowest = server.well_behaved(50).await;
    let streams = flood.join_all().await;
    let slowest = slowest.max(server.well_behaved(10).await);
    let most = report("header floods", &server, before, slowest);
    drop(streams);
    assert!(most < ITSELF_KIB + 600 * CONNECTION_KIB + LONG_KIB / 3, "{most} KiB");

    // Too many fields, and a head without end, are answered as such.
    for (head, status) in [
        (format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", "a: b\r\n".repeat(200)), 431),
        (format!("GET /?{} HTTP/1.1\r\nhost: a\r\n\r\n", "a".repeat(300 * 1024)), 431),
    ] {
        let mut stream = server.connect().await;
        // It may answer before all is written.
        let _ = stream.write_all(head.as_bytes()).await;
        let reply = read_reply(&mut stream).await.expect("an answer");
        assert_eq!((reply.status, reply.code().as_str()), (status, "InvalidParameter.RequestHeadTooLarge"));
    }
    // A long head that is whole is answered, and its connection ends with it.
    let mut stream = server.connect().await;
    let head = format!("GET /?A=B HTTP/1.1\r\nhost: a\r\nx-a: {}\r\n\r\n", "a".repeat(100_000));
    stream.write_all(head.as_bytes()).await.unwrap();
    let reply = read_reply(&mut stream).await.unwrap();
    assert!(reply.status == 400 && reply.head.contains("connection: close"), "{reply:?}");
}

/// Bodies that never end, that stop in the middle, and that come a byte at a time.
#[tokio::test(flavor = "multi_thread")]
async fn endless_bodies_are_bounded() {
    const HEAD: &[u8] = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
    raise_file_limit();
    let server = Server::start(&[]);
    server.well_behaved(5).await;
    let before = server.memory_kib("VmRSS");
    let mut bodies = JoinSet::new();
    for number in 0..300_u32 {
        let mut stream = server.connect().await;
        stream.set_nodelay(true).unwrap();
        bodies.spawn(async move {
            if number % 3 == 0 {
                let _ =
                    stream.write_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\n").await;
                let _ =
                    tokio::time::timeout(Duration::from_secs(3), stream.write_all(&[b'a'; 900_000])).await;
                return (0, stream);
            }
            let _ = stream.write_all(HEAD).await;
            let chunk = if number % 3 == 1 {
                format!("8000\r\n{}\r\n", "a".repeat(0x8000))
            } else {
                "1\r\na\r\n".into()
            };
            let pieces = if number % 3 == 1 { 1_000 } else { 2_000 };
            for _ in 0..pieces {
                let written =
                    tokio::time::timeout(Duration::from_secs(5), stream.write_all(chunk.as_bytes()));
                if !matches!(written.await, Ok(Ok(()))) {
                    break;
                }
                tokio::task::yield_now().await;
            }
            (number % 3, stream)
        });
    }
    let slowest = server.well_behaved(50).await;
    let streams = bodies.join_all().await;
    let slowest = slowest.max(server.well_behaved(10).await);
    let most = report("endless bodies", &server, before, slowest);
    assert!(most < ITSELF_KIB + 300 * CONNECTION_KIB + LONG_KIB / 3, "{most} KiB");
    drop(streams);
    server.well_behaved(1).await;

    let mut stream = server.connect().await;
    stream.write_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2000000\r\n\r\n").await.unwrap();
    let reply = read_reply(&mut stream).await.unwrap();
    assert_eq!(reply.code(), "InvalidParameter.BodyTooLarge");
}

/// A signed UploadCertificate of 20 KB, as a client signs it whose parameters are all in the body.
async fn upload(server: &Server, method: SignatureMethod, ca: &Issuer) -> Vec<u8> {
    let key = [("KeySpec", "EC_P256"), ("Subject", "CN=a,OU=b,O=c,C=CN")];
    let made = server.call(KMS, "CreateCertificate", &key).await.json();
    let (leaf, chain) = ca.issue(made["Csr"].as_str().unwrap(), Usage::Signature);
    // Text before the certificate, as tools print it.
    let certificate = format!("{}\n{leaf}", "Subject: CN=a, OU=b\n".repeat(1_000));
    let parameters = [
        ("CertificateId", made["CertificateId"].as_str().unwrap()),
        ("Certificate", &certificate),
        ("CertificateChain", &chain),
    ];
    let call = Call::new(KMS, "UploadCertificate", &parameters).form();
    let manner = Manner { signature: method, ..Manner::V3 };
    let request = Key::of(KEY, SECRET).sign(&call, &manner, &Stamp::now());
    assert!(request.body.len() > 20_000);
    http_bytes(&request, "")
}

/// The slowest of some uploads: V3 names its key before the body, V1 within.
async fn uploads(server: &Server, source: [u8; 4], ca: &Issuer) -> Duration {
    let mut slowest = Duration::ZERO;
    for method in [SignatureMethod::Acs3HmacSha256, SignatureMethod::HmacSha1] {
        let request = upload(server, method, ca).await;
        let begun = Instant::now();
        let mut stream = server.connect_from(source, None).await;
        stream.write_all(&request).await.unwrap();
        let reply = read_reply(&mut stream).await.expect("an answer");
        assert_eq!(reply.status, 200, "{}", reply.text());
        slowest = slowest.max(begun.elapsed());
    }
    slowest
}

/// Bodies that are announced as long and stall after this many bytes.
async fn stalled_bodies(server: &Server, many: usize, bytes: usize) -> Vec<TcpStream> {
    const BATCH: usize = 100;
    let mut request = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\n".to_vec();
    request.resize(request.len() + bytes, b'a');
    let mut stalled = Vec::with_capacity(many);
    while stalled.len() < many {
        let batch = (0..BATCH.min(many - stalled.len())).map(|_| async {
            let mut stream = server.connect_from(ELSEWHERE, None).await;
            // Whoever is sent away at once may find the connection broken.
            let _ = stream.write_all(&request).await;
            stream
        });
        stalled.extend(futures_util::future::join_all(batch).await);
    }
    stalled
}

/// Bodies of a stranger that stall, few or as many as take all the memory there is for bodies, do not hold up a
/// caller with a long body of its own, from elsewhere or from the same address.
#[tokio::test(flavor = "multi_thread")]
async fn stalled_bodies_hold_nobody_up() {
    const BODIES: &str = r#"tongguan_long_bytes{of="bodies"}"#;
    raise_file_limit();
    let server = Server::start(&["--quota", "certificates_per_account=1000"]);
    let (here, ca) = ([127, 0, 0, 1], Issuer::now(KeySpec::EcP256));
    uploads(&server, here, &ca).await;
    let before = server.memory_kib("VmRSS");

    let mut stalled = Vec::new();
    for bytes in [17_000, 18_000, 19_000, 20_000, 20_000, 18_500, 17_500] {
        stalled.extend(stalled_bodies(&server, 10, bytes).await);
    }
    // What was announced costs nothing: 16 KiB each, and not a million.
    server.metric_reaches(BODIES, 70.0 * 16.0 * 1024.0).await;
    assert!(server.metric(BODIES).await <= 70.0 * 16.0 * 1024.0);
    let mut slowest = uploads(&server, here, &ca).await.max(uploads(&server, ELSEWHERE, &ca).await);
    println!("beside 70 stalled bodies: {slowest:?}");

    // 200 of them, twenty renewed at a time.
    stalled.extend(stalled_bodies(&server, 130, 20_000).await);
    for _ in 0..5 {
        stalled.drain(..20);
        stalled.extend(stalled_bodies(&server, 20, 20_000).await);
        slowest = slowest.max(uploads(&server, here, &ca).await).max(uploads(&server, ELSEWHERE, &ca).await);
    }
    println!("beside 200, renewed: {slowest:?}");

    // As many as fill the memory for bodies: each holds 48 KiB of 48 MiB. The last part is for one at a time.
    stalled.extend(stalled_bodies(&server, 1_500, 40_000).await);
    server.metric_reaches(BODIES, 46.0 * 1024.0 * 1024.0).await;
    slowest = slowest.max(uploads(&server, here, &ca).await).max(uploads(&server, ELSEWHERE, &ca).await);
    println!("beside 1,700 that hold all memory for bodies: {slowest:?}");
    assert!(server.metric(BODIES).await <= 48.0 * 1024.0 * 1024.0);
    let most = report("stalled bodies", &server, before, slowest);
    assert!(most < ITSELF_KIB + stalled.len() as u64 * CONNECTION_KIB + LONG_KIB / 3, "{most} KiB");
    assert!(slowest < SOON, "{slowest:?}");
}

/// Long heads that never end do not hold up who has a long head as well.
#[tokio::test(flavor = "multi_thread")]
async fn long_heads_without_end_hold_nobody_up() {
    raise_file_limit();
    let server = Server::start(&[]);
    server.well_behaved(5).await;
    let before = server.memory_kib("VmRSS");
    let flood = (0..400).map(|_| async {
        let mut stream = server.connect_from(ELSEWHERE, None).await;
        let head = format!("GET /?{}", "a".repeat(200_000));
        // Whoever finds no room is not read from any further.
        let _ = tokio::time::timeout(Duration::from_secs(1), stream.write_all(head.as_bytes())).await;
        stream
    });
    let flood = futures_util::future::join_all(flood).await;
    server.metric_reaches(r#"tongguan_long_bytes{of="heads"}"#, 60.0 * 1024.0 * 1024.0).await;
    let head = format!("GET / HTTP/1.1\r\nhost: a\r\nx-a: {}\r\n\r\n", "a".repeat(100_000));
    let mut slowest = Duration::ZERO;
    for source in [[127, 0, 0, 1], ELSEWHERE] {
        let begun = Instant::now();
        let mut stream = server.connect_from(source, None).await;
        stream.write_all(head.as_bytes()).await.unwrap();
        assert_eq!(read_reply(&mut stream).await.expect("an answer").code(), "MissingAccessKeyId");
        slowest = slowest.max(begun.elapsed());
    }
    slowest = slowest.max(server.well_behaved(10).await);
    let most = report("long heads without end", &server, before, slowest);
    assert!(most < ITSELF_KIB + 400 * CONNECTION_KIB + LONG_KIB / 3, "{most} KiB");
    assert!(slowest < SOON, "{slowest:?}");
    drop(flood);
}

/// Clients that ask for long answers and do not take them: another account, elsewhere, with a long list.
#[tokio::test(flavor = "multi_thread")]
async fn answers_that_nobody_takes_are_bounded() {
    const CLIENTS: usize = 350;
    const USERS: usize = 300;
    raise_file_limit();
    let server = Server::start(&["--rate-limit", "1000000"]);
    server.well_behaved(5).await;
    let others = (OTHER_KEY, OTHER_SECRET);
    let (names, comments) = ("名".repeat(120), "注".repeat(120));
    let users = (0..USERS).map(|number| {
        let (server, name) = (&server, format!("{}{number}", "u".repeat(50)));
        let (names, comments) = (&names, &comments);
        async move {
            let parameters = [("UserName", name.as_str()), ("DisplayName", names), ("Comments", comments)];
            let reply = server.call_as(others, RAM, "CreateUser", &parameters).await;
            assert_eq!(reply.status, 200, "{}", reply.text());
        }
    });
    futures_util::future::join_all(users).await;
    let before = server.memory_kib("VmRSS");
    let list = [("MaxItems", "1000")];
    let clients = async {
        // A few at a time: the list takes long to make, and it is memory that is to be filled.
        let mut clients = Vec::with_capacity(CLIENTS);
        while clients.len() < CLIENTS {
            let batch = (0..4).map(|_| async {
                let mut stream = server.connect_from(ELSEWHERE, Some(2_048)).await;
                // One whose predecessors left their answers lying may be ended.
                let _ = stream.write_all(&server.sign_as(others, RAM, "ListUsers", &list)).await;
                let _ = stream.readable().await;
                stream
            });
            clients.extend(futures_util::future::join_all(batch).await);
        }
        clients
    };
    let (streams, mut slowest) = tokio::join!(clients, server.well_behaved(20));
    // One who takes its answer gets it, though more answers than there is memory for wait to be taken.
    let begun = Instant::now();
    let reply = server.call_as(others, RAM, "ListUsers", &list).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    slowest = slowest.max(begun.elapsed()).max(server.well_behaved(20).await);
    println!("an answer of {} bytes, {CLIENTS} times", reply.body.len());
    let held = server.metric(r#"tongguan_long_bytes{of="answers"}"#).await;
    let evicted = server.metric("tongguan_connections_evicted_total").await;
    println!("{held} bytes of answers are held, {evicted} connections had to go");
    assert!(held <= 64.0 * 1024.0 * 1024.0 && evicted > 0.0, "the bound was reached and kept");
    let most = report("answers that nobody takes", &server, before, slowest);
    assert!(most < ITSELF_KIB + CLIENTS as u64 * CONNECTION_KIB + LONG_KIB, "{most} KiB");
    assert!(slowest < SOON, "{slowest:?}");
    drop(streams);
}

/// A client that asks before it sends its body is told to go on.
#[tokio::test(flavor = "multi_thread")]
async fn expect_continue_is_obeyed() {
    let server = Server::start(&[]);
    let request = server.sign(VPC, "DescribeRegions", &[("RegionId", "cn-hangzhou")]);
    let text = String::from_utf8(request).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(!body.is_empty());
    let mut stream = server.connect().await;
    stream.write_all(format!("{head}\r\nexpect: 100-continue\r\n\r\n").as_bytes()).await.unwrap();
    assert_eq!(read_reply(&mut stream).await.unwrap().status, 100);
    stream.write_all(body.as_bytes()).await.unwrap();
    let reply = read_reply(&mut stream).await.unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text());
}

/// Two thousand callers at once are all answered.
#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_callers_are_answered() {
    const CALLERS: usize = 2_000;
    const CALLS: usize = 2;
    raise_file_limit();
    let server = Server::start(&[]);
    server.well_behaved(5).await;
    let before = server.memory_kib("VmRSS");
    let streams = settled_crowd(&server, 0, CALLERS, b"").await;
    let begun = Instant::now();
    let callers = streams.into_iter().map(|mut stream| {
        let server = &server;
        async move {
            for _ in 0..CALLS {
                let request = server.sign(STS, "GetCallerIdentity", &[]);
                stream.write_all(&request).await.unwrap();
                let reply = read_reply(&mut stream).await.expect("an answer");
                assert_eq!(reply.status, 200, "{}", reply.text());
            }
            stream
        }
    });
    let beside = async { server.well_behaved(10).await };
    let (streams, slowest) = tokio::join!(futures_util::future::join_all(callers), beside);
    let took = begun.elapsed();
    println!("{CALLERS} callers, {CALLS} calls each: {took:?}");
    let answered = r#"tongguan_requests_total{product="Sts",operation="GetCallerIdentity",code="OK"}"#;
    assert_eq!(server.metric(answered).await, (CALLERS * CALLS + 15) as f64);
    drop(streams);
    let most = report("2,000 callers", &server, before, slowest);
    assert!(most < ITSELF_KIB + CALLERS as u64 * CONNECTION_KIB, "{most} KiB");
}

/// Every request that was sent before SIGTERM is answered: on old connections, and on ones that the server
/// has not accepted yet. Who waits without a request does not hold the stop up.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_before_the_stop_is_answered() {
    raise_file_limit();
    let mut server = Server::start(&[]);
    let idle = crowd(&server, 300, b"").await;
    let slow = crowd(&server, 300, b"POST / HTTP/1.1\r\nHost:").await;
    let mut old = crowd(&server, 200, b"").await;
    server.connections_reach(800).await;
    for stream in &mut old {
        stream.write_all(&server.sign(STS, "GetCallerIdentity", &[])).await.unwrap();
        assert_eq!(read_reply(stream).await.unwrap().status, 200);
    }
    // The process stands still, so that nothing of what follows has been read when the stop begins.
    server.signal("STOP");
    for (number, stream) in old.iter_mut().enumerate() {
        let user = format!("user-{number}");
        stream.write_all(&server.sign(RAM, "CreateUser", &[("UserName", user.as_str())])).await.unwrap();
    }
    let mut new = crowd(&server, 100, b"").await;
    for stream in &mut new {
        stream.write_all(&server.sign(STS, "GetCallerIdentity", &[])).await.unwrap();
    }
    server.signal("TERM");
    let begun = Instant::now();
    server.signal("CONT");
    let mut answered = 0;
    for stream in old.iter_mut().chain(&mut new) {
        let reply = read_reply(stream).await.expect("an answer to what was sent before the stop");
        assert_eq!(reply.status, 200, "{}", reply.text());
        answered += 1;
    }
    let status = server.ended().await;
    let took = begun.elapsed();
    println!("stop: {answered} requests answered, ended after {took:?} with {status}");
    assert!(status.success());
    // Idle and slow connections would have held it up for ten seconds.
    assert!(took < Duration::from_secs(8), "{took:?}");
    drop((idle, slow));
    assert!(TcpStream::connect(server.address).await.is_err(), "nobody listens any more");
}

/// A request that never becomes whole holds the stop up for ten seconds and no longer; a second signal ends it.
#[tokio::test(flavor = "multi_thread")]
async fn the_stop_has_an_end() {
    let hold = |server: Server| async {
        let mut stream = server.connect().await;
        stream
            .write_all(b"POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 9\r\n\r\n")
            .await
            .unwrap();
        assert_eq!(read_reply(&mut stream).await.unwrap().status, 100);
        (server, stream)
    };
    let patient = async {
        let (mut server, stream) = hold(Server::start(&[])).await;
        server.signal("TERM");
        let begun = Instant::now();
        assert!(server.ended().await.success());
        let took = begun.elapsed();
        println!("stop with a body that does not come: {took:?}");
        assert!((Duration::from_secs(9)..Duration::from_secs(13)).contains(&took), "{took:?}");
        drop(stream);
    };
    let impatient = async {
        let (mut server, stream) = hold(Server::start(&[])).await;
        server.signal("TERM");
        // The listener is closed: the first signal has been understood.
        let begun = Instant::now();
        while TcpStream::connect(server.address).await.is_ok() {
            assert!(begun.elapsed() < PATIENCE);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let begun = Instant::now();
        server.signal("INT");
        assert!(!server.ended().await.success());
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        drop(stream);
    };
    tokio::join!(patient, impatient);
}

/// An account that calls too often is refused; another is not, and nobody else can use up its rate.
#[tokio::test(flavor = "multi_thread")]
async fn an_account_keeps_to_its_rate() {
    let server = Server::start(&["--rate-limit", "1", "--rate-burst", "5"]);
    let send = async |request: Vec<u8>| {
        let mut stream = server.connect().await;
        stream.write_all(&request).await.unwrap();
        read_reply(&mut stream).await.unwrap()
    };
    for _ in 0..20 {
        let wrong = server.sign_as((OTHER_KEY, "guessed"), STS, "GetCallerIdentity", &[]);
        assert_eq!(send(wrong).await.code(), "SignatureDoesNotMatch");
    }
    let begun = Instant::now();
    let mut throttled = 0;
    for number in 0..20 {
        let reply = server.call(STS, "GetCallerIdentity", &[]).await;
        if reply.status == 200 {
            assert!(number < 5 + begun.elapsed().as_secs() + 1);
        } else {
            assert_eq!((reply.status, reply.code().as_str()), (400, "Throttling.User"));
            throttled += 1;
        }
    }
    assert!(throttled > 0);
    let other = server.sign_as((OTHER_KEY, OTHER_SECRET), STS, "GetCallerIdentity", &[]);
    assert_eq!(send(other).await.status, 200);
    assert_eq!(server.metric("tongguan_throttled_total").await, f64::from(throttled));
}
