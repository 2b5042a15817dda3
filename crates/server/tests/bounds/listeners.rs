//! What a stranger's connections can fill.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::common::{KMS, RAM, Server, VPC};
use crate::world::{SOON, World, tenant_a, tenant_b};

/// Where strangers and tenant B come from.
const ELSEWHERE: [u8; 4] = [127, 0, 0, 2];

/// Opens connections, a batch at a time, and says the same on each.
async fn crowd(server: &Server, many: usize, words: &[u8]) -> Vec<TcpStream> {
    let mut crowd = Vec::with_capacity(many);
    for number in 0..many {
        let mut stream = server.connect_from(ELSEWHERE, None).await;
        // Whoever is sent away at once may find the connection broken.
        let _ = stream.write_all(words).await;
        crowd.push(stream);
        if number % 50 == 0 {
            tokio::task::yield_now().await;
        }
    }
    crowd
}

/// A connection that A keeps open is not ended by a stranger's crowd.
pub(crate) async fn connections() {
    let world = World::start(&[], "").await;
    let attack = async {
        let mut all = Vec::new();
        for _ in 0..10 {
            all.extend(
                crowd(&world.server, 250, b"GET /?Action=DescribeRegions HTTP/1.1\r\nhost: a\r\nx-a: ").await,
            );
        }
        all
    };
    drop(world.hold(attack).await);
}

/// Begun handshakes, as far as a plain listener has any: greetings that are no HTTP.
pub(crate) async fn tls_handshakes() {
    let world = World::start(&[], "").await;
    let hello = [0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03];
    let streams = world.hold(crowd(&world.server, 1_000, &hello)).await;
    drop(streams);
}

/// Long heads that never end, as many as take all the memory for them.
pub(crate) async fn heads() {
    let world = World::start(&[], "").await;
    let mut words = b"GET /?Action=x HTTP/1.1\r\nhost: a\r\nx-a: ".to_vec();
    words.resize(200_000, b'a');
    let attack = async {
        let crowd = (0..400).map(|_| async {
            let mut stream = world.server.connect_from(ELSEWHERE, None).await;
            // Whoever finds no room is not read from any further.
            let _ = tokio::time::timeout(Duration::from_secs(1), stream.write_all(&words)).await;
            stream
        });
        let streams = futures_util::future::join_all(crowd).await;
        world.server.metric_reaches(r#"tongguan_long_bytes{of="heads"}"#, 60.0 * 1024.0 * 1024.0).await;
        // A call with a long head beside them: it needs one of the places that they wait in.
        let begun = Instant::now();
        let request = world.server.sign_as(tenant_a(), VPC, "DescribeVpcs", &[("RegionId", "cn-hangzhou")]);
        let mut stream = world.server.connect().await;
        stream.write_all(&with_long_head(&request)).await.unwrap();
        let reply = crate::common::read_reply(&mut stream).await.unwrap();
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
        streams
    };
    drop(world.hold(attack).await);
}

/// The request with a header field of 20 KB more, which is not signed.
fn with_long_head(request: &[u8]) -> Vec<u8> {
    let end = request.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    let field = format!("\r\nx-long: {}", "a".repeat(20_000));
    [&request[..end], field.as_bytes(), &request[end..]].concat()
}

/// 70, then 200 bodies of a stranger that stall after 17 KB, twenty more every now and then, and then as many as take
/// all the memory for bodies: a signed upload of 20 KB is not held up.
pub(crate) async fn bodies() {
    let world = World::start(&[], "").await;
    let mut words = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\n".to_vec();
    words.resize(words.len() + 18_000, b'a');
    let attack = async {
        let mut streams = crowd(&world.server, 70, &words).await;
        upload(&world).await;
        streams.extend(crowd(&world.server, 130, &words).await);
        for _ in 0..5 {
            upload(&world).await;
            streams.extend(crowd(&world.server, 20, &words).await);
        }
        words.resize(words.len() + 22_000, b'a');
        streams.extend(crowd(&world.server, 1_500, &words).await);
        world.server.metric_reaches(r#"tongguan_long_bytes{of="bodies"}"#, 46.0 * 1024.0 * 1024.0).await;
        upload(&world).await;
        streams
    };
    drop(world.hold(attack).await);
}

/// A long body of A's, signed: refused for what it says, and soon.
async fn upload(world: &World) {
    let begun = Instant::now();
    let long = "x".repeat(20_000);
    let parameters = [("CertificateId", "no-such-certificate"), ("Certificate", long.as_str())];
    let reply = world.server.call_as(tenant_a(), KMS, "UploadCertificate", &parameters).await;
    assert!((400..500).contains(&reply.status), "{} {}", reply.status, reply.text());
    assert!(begun.elapsed() < SOON, "an upload waited {:?}", begun.elapsed());
}

/// Answers that nobody takes: B asks for long ones until there is no more room, and does not read.
pub(crate) async fn answers() {
    const CLIENTS: usize = 350;
    let world = World::start(&["--rate-limit", "1000000"], "").await;
    let (name, comments) = ("名".repeat(120), "注".repeat(120));
    let users = (0..300).map(|number| {
        let (server, name, comments, user) =
            (&world.server, &name, &comments, format!("{}{number}", "u".repeat(50)));
        async move {
            let user = [("UserName", user.as_str()), ("DisplayName", name), ("Comments", comments)];
            let reply = server.call_as(tenant_b(), RAM, "CreateUser", &user).await;
            assert_eq!(reply.status, 200, "{}", reply.text());
        }
    });
    futures_util::future::join_all(users).await;
    let attack = async {
        // A few at a time: the list takes long to make, and it is memory that is to be filled.
        let mut streams = Vec::with_capacity(CLIENTS);
        while streams.len() < CLIENTS {
            let batch = (0..4).map(|_| async {
                let mut stream = world.server.connect_from(ELSEWHERE, Some(2_048)).await;
                let list = world.server.sign_as(tenant_b(), RAM, "ListUsers", &[("MaxItems", "1000")]);
                // One whose predecessors left their answers lying may be ended.
                let _ = stream.write_all(&list).await;
                let _ = stream.readable().await;
                stream
            });
            streams.extend(futures_util::future::join_all(batch).await);
        }
        world.server.metric_reaches("tongguan_connections_evicted_total", 1.0).await;
        streams
    };
    drop(world.hold(attack).await);
}

/// 64 idle connections to the admin port, renewed four times: every probe is answered soon.
pub(crate) async fn admin_places() {
    let world = World::start(&[], "").await;
    let admin = world.server.admin.unwrap();
    let attack = async {
        let mut idle = Vec::new();
        for _ in 0..4 {
            for _ in 0..64 {
                idle.push(TcpStream::connect(admin).await.unwrap());
            }
            let begun = Instant::now();
            let (status, text) = world.server.look("/healthz").await;
            assert_eq!((status, text.as_str()), (200, "ok\n"));
            assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
        }
        for stream in &mut idle {
            // Displaced ones are closed; others still wait.
            let _ = tokio::time::timeout(Duration::from_millis(1), stream.read_u8()).await;
        }
    };
    world.hold(attack).await;
}
