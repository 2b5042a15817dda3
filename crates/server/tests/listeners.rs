//! The listeners as a security reviewer sees them: which TLS is spoken and which is refused, and where the admin
//! listener is unless somebody says otherwise. `docs/security.md` states the same.
#![allow(clippy::unwrap_used, reason = "a test may stop where something is wrong")]

mod common;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use common::program::{Process, program};
use common::{PATIENCE, STS, raise_file_limit, read_reply};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;

/// Types of TLS records and descriptions of alerts (RFC 8446, 6).
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const HANDSHAKE_FAILURE: u8 = 40;
const PROTOCOL_VERSION: u8 = 70;
const NO_APPLICATION_PROTOCOL: u8 = 120;

struct Server {
    process: Process,
    admin: String,
    directory: TempDir,
}

impl Server {
    fn start(tls: bool, arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let mut command = program(&["serve"]);
        command.arg("--data-dir").arg(path("data")).args(arguments);
        if tls {
            let made = Command::new("openssl")
                .args([
                    "req",
                    "-x509",
                    "-newkey",
                    "rsa:2048",
                    "-nodes",
                    "-days",
                    "2",
                    "-subj",
                    "/CN=localhost",
                ])
                .arg("-keyout")
                .arg(path("tls.key"))
                .arg("-out")
                .arg(path("tls.pem"))
                .output();
            assert!(made.unwrap().status.success());
            command.arg("--tls-cert").arg(path("tls.pem")).arg("--tls-key").arg(path("tls.key"));
        }
        let mut process = Process::start(command);
        let admin = process.told("admin on http://");
        Self { process, admin, directory }
    }

    /// Sends bytes and reads until the server has no more to say.
    fn send(&self, bytes: &[u8]) -> Vec<u8> {
        let mut stream = TcpStream::connect(&self.process.endpoint).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(bytes).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        answer
    }

    /// An HTTP request by openssl's client.
    fn openssl(&self, arguments: &[&str], input: &str) -> Output {
        let mut command = Command::new("openssl");
        command
            .args(["s_client", "-connect", &self.process.endpoint, "-CAfile"])
            .arg(self.directory.path().join("tls.pem"));
        command.arg("-verify_return_error").args(arguments);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // A client that was refused reads no more.
        let mut to_client = child.stdin.take().unwrap();
        let _ = to_client.write_all(input.as_bytes());
        if !arguments.contains(&"-ign_eof") {
            // It takes the end of its input for the order to end.
            std::thread::sleep(Duration::from_millis(500));
        }
        drop(to_client);
        child.wait_with_output().unwrap()
    }
}

/// The greeting of a client of this version (0x0301 is TLS 1.0) with these cipher suites and protocols.
fn hello(version: u16, suites: &[u16], protocol: Option<&str>) -> Vec<u8> {
    let with_length =
        |content: &[u8]| [&u16::try_from(content.len()).unwrap().to_be_bytes(), content].concat();
    let extension = |kind: u16, content: &[u8]| [&kind.to_be_bytes()[..], &with_length(content)].concat();
    let suites: Vec<u8> = suites.iter().flat_map(|suite| suite.to_be_bytes()).collect();
    // Groups: P-256, X25519. Signatures: RSA-PSS and PKCS #1 with SHA-256.
    let mut extensions = extension(10, &with_length(&[0, 23, 0, 29]));
    extensions.extend(extension(11, &[1, 0]));
    extensions.extend(extension(13, &with_length(&[8, 4, 4, 1])));
    if let Some(protocol) = protocol {
        let name = [&[u8::try_from(protocol.len()).unwrap()], protocol.as_bytes()].concat();
        extensions.extend(extension(16, &with_length(&name)));
    }
    let body = [
        &version.to_be_bytes()[..],
        &[7; 32],
        &[0],
        &with_length(&suites),
        &[1, 0],
        &with_length(&extensions),
    ]
    .concat();
    let handshake = [&[1, 0][..], &with_length(&body)].concat();
    [&[HANDSHAKE, 3, 1][..], &with_length(&handshake)].concat()
}

#[test]
fn only_current_tls_is_spoken() {
    const STRONG: &[u16] = &[0xc02f, 0xc030, 0xcca8];
    let server = Server::start(true, &["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
    // What is refused is refused for its own reason: the same greeting in TLS 1.2 is answered.
    assert_eq!(server.send(&hello(0x0303, STRONG, Some("http/1.1")))[0], HANDSHAKE);
    assert_eq!(server.send(&hello(0x0303, STRONG, None))[0], HANDSHAKE);
    let refused = |greeting: &[u8]| {
        let answer = server.send(greeting);
        assert_eq!((answer[0], answer[5], answer.len()), (ALERT, 2, 7), "{answer:?}");
        answer[6]
    };
    for old in [0x0300, 0x0301, 0x0302] {
        assert_eq!(
            refused(&hello(old, &[0xc013, 0xc014, 0x002f, 0x0035], None)),
            PROTOCOL_VERSION,
            "{old:x}"
        );
    }
    // RSA key exchange, CBC, 3DES, RC4, no encryption, export, anonymous.
    for weak in [0x009c, 0x009d, 0xc013, 0xc027, 0x000a, 0x0005, 0x0002, 0x0003, 0x0034, 0xc018] {
        assert_eq!(refused(&hello(0x0303, &[weak], None)), HANDSHAKE_FAILURE, "{weak:x}");
    }
    assert_eq!(refused(&hello(0x0303, STRONG, Some("h2"))), NO_APPLICATION_PROTOCOL);
    // Plain HTTP to the TLS listener: nothing is answered that a request could be taken for.
    let answer = server.send(b"GET /?Action=GetCallerIdentity HTTP/1.1\r\nhost: a\r\n\r\n");
    assert!(answer.is_empty() || answer[0] == ALERT, "{}", String::from_utf8_lossy(&answer));
}

#[test]
fn tls_as_a_client_sees_it() {
    const REQUEST: &str = "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let server = Server::start(true, &["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
    for (version, named) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let output = server.openssl(&[version, "-ign_eof", "-alpn", "h2,http/1.1"], REQUEST);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("HTTP/1.1 4") && text.contains(named), "{version}: {text}");
        assert!(text.contains("ALPN protocol: http/1.1"), "{text}");
        assert!(text.contains("Compression: NONE"), "{text}");
        assert!(!text.contains("Max Early Data") || text.contains("Max Early Data: 0"), "{text}");
    }
    // A line of R asks for another handshake inside of the connection.
    let output = server.openssl(&["-tls1_2"], "R\n");
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("RENEGOTIATING") && text.contains("no renegotiation"), "{text}");
}

#[test]
fn the_admin_listener_is_on_the_loopback_address_unless_told() {
    // Whoever opens the API to others has not opened the admin listener.
    let server = Server::start(false, &["--listen", "0.0.0.0:0"]);
    assert!(server.admin.starts_with("127.0.0.1:"), "{}", server.admin);
    assert!(!server.process.logged().contains("asks for no signature"));
    let server = Server::start(false, &["--listen", "127.0.0.1:0", "--admin-listen", "0.0.0.0:0"]);
    assert!(server.admin.starts_with("0.0.0.0:"), "{}", server.admin);
    assert!(server.process.logged().contains("asks for no signature"));
}

/// What is answered to bytes that stand for a head and no body: status and code.
async fn refused(server: &common::Server, head: &str) -> (u16, String) {
    let mut stream = server.connect().await;
    stream.write_all(head.as_bytes()).await.unwrap();
    let reply = read_reply(&mut stream).await.unwrap_or_else(|| panic!("no answer to {head}"));
    assert!(reply.head.contains("content-type: application/json"), "{reply:?}");
    assert!(reply.json()["RequestId"].is_string() && reply.json()["Message"].is_string(), "{reply:?}");
    (reply.status, reply.code())
}

/// One valid Host, and no transfer coding but chunked (RFC 9112, 3.2 and 6.1).
#[tokio::test(flavor = "multi_thread")]
async fn heads_that_could_be_read_in_two_ways_are_refused() {
    let server = common::Server::start(&[]);
    let host = (400, "InvalidParameter.Host".to_owned());
    for fields in ["", "host: a\r\nhost: a\r\n", "host: a\r\nhost: b\r\n", "host: a b\r\n", "host: u@a\r\n"] {
        assert_eq!(refused(&server, &format!("GET / HTTP/1.1\r\n{fields}\r\n")).await, host, "{fields}");
    }
    let coding = (400, "InvalidParameter.TransferEncoding".to_owned());
    for fields in [
        "transfer-encoding: identity, chunked\r\n",
        "transfer-encoding: identity\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: gzip, chunked\r\n",
    ] {
        let head = format!("POST / HTTP/1.1\r\nhost: a\r\n{fields}\r\n0\r\n\r\n");
        assert_eq!(refused(&server, &head).await, coding, "{fields}");
    }
    // The last coding is not chunked: where the body ends, nobody knows.
    let head = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: identity\r\n\r\n";
    assert_eq!(refused(&server, head).await, (400, "InvalidParameter.RequestHead".to_owned()));
    // Such a connection is not used any further.
    let mut stream = server.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    assert!(read_reply(&mut stream).await.unwrap().head.contains("connection: close"));
    // HTTP/1.0 has no such rule; an odd Host that clients send is one.
    for head in [
        "GET / HTTP/1.0\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: http://127.0.0.1:8080\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: 127.0.0.1:8080/\r\n\r\n",
        "GET http://a/ HTTP/1.1\r\nhost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    ] {
        assert_eq!(refused(&server, head).await, (400, "MissingAccessKeyId".to_owned()), "{head}");
    }
}

/// What is no request at all is refused with a code as well, over TLS too.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_refused_with_a_code() {
    let server = common::Server::start(&[]);
    let malformed = (400, "InvalidParameter.RequestHead".to_owned());
    for head in
        ["GET / HTTP/9.9\r\n\r\n", "G@T / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\na b: c\r\n\r\n", "?\r\n\r\n"]
    {
        assert_eq!(refused(&server, head).await, malformed, "{head}");
    }
    let large = (431, "InvalidParameter.RequestHeadTooLarge".to_owned());
    let query = format!("GET /?A={} HTTP/1.1\r\nhost: a\r\n\r\n", "a".repeat(300_000));
    assert_eq!(refused(&server, &query).await, large);
    let fields = format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", "a: b\r\n".repeat(200));
    assert_eq!(refused(&server, &fields).await, large);
    let target = format!("GET /?A={} HTTP/1.1\r\nhost: a\r\n\r\n", "a".repeat(70_000));
    assert_eq!(refused(&server, &target).await, (414, "InvalidParameter.RequestTargetTooLong".to_owned()));
    // A body of two million bytes, sent to its end: its sender gets to see why it is refused.
    let body =
        format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2000000\r\n\r\n{}", "a".repeat(2_000_000));
    assert_eq!(refused(&server, &body).await, (400, "InvalidParameter.BodyTooLarge".to_owned()));
    // After an answer on the same connection, and sent at once with what is answered.
    let mut stream = server.connect().await;
    let good = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    stream.write_all(format!("{good}{good}nonsense\r\n\r\n").as_bytes()).await.unwrap();
    let mut answers = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut answers).await.unwrap();
    let answers = String::from_utf8(answers).unwrap();
    assert_eq!(answers.matches("HTTP/1.1 400").count(), 3, "{answers}");
    assert_eq!(answers.matches(r#""Code":"MissingAccessKeyId""#).count(), 2, "{answers}");
    assert_eq!(answers.matches(r#""Code":"InvalidParameter.RequestHead""#).count(), 1, "{answers}");

    let server = Server::start(true, &["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
    let output = server.openssl(&["-ign_eof"], "nonsense\r\n\r\n");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("HTTP/1.1 400") && text.contains("InvalidParameter.RequestHead"), "{text}");
}

/// The target in absolute form, as a client sends it to a proxy, is signed and answered as without.
#[tokio::test(flavor = "multi_thread")]
async fn an_absolute_target_is_answered() {
    let server = common::Server::start(&[]);
    let request = String::from_utf8(server.sign(STS, "GetCallerIdentity", &[])).unwrap();
    let request = request.replacen("POST /", "POST http://vpc.test/", 1);
    let mut stream = server.connect().await;
    stream.write_all(request.as_bytes()).await.unwrap();
    let reply = read_reply(&mut stream).await.unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text());
}

/// Handshakes that are begun and not ended, as many as there may be and more, do not keep others from theirs.
#[test]
fn stalled_handshakes_hold_nobody_up() {
    const STALLED: usize = 1_500;
    raise_file_limit();
    let server = Server::start(true, &["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
    let metric = |name: &str| -> f64 {
        let mut stream = TcpStream::connect(&server.admin).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).unwrap().parse().unwrap()
    };
    let stalled: Vec<_> = (0..STALLED)
        .map(|_| {
            let mut stream = TcpStream::connect(&server.process.endpoint).unwrap();
            let _ = stream.write_all(&[HANDSHAKE, 3, 1]);
            stream
        })
        .collect();
    let begun = std::time::Instant::now();
    while metric("tongguan_handshakes") < 1_024.0 {
        assert!(begun.elapsed() < PATIENCE);
    }
    assert!(metric("tongguan_handshakes") <= 1_024.0);
    let begun = std::time::Instant::now();
    let output = server.openssl(&["-ign_eof"], "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("HTTP/1.1 400"), "{text}");
    // Less than what a handshake may take at all.
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    drop(stalled);
}
