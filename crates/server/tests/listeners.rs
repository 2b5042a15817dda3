//! The listeners as a security reviewer sees them: which TLS is spoken and which is refused, and where the admin
//! listener is unless somebody says otherwise. `docs/security.md` states the same.
#![allow(clippy::unwrap_used, reason = "a test may stop where something is wrong")]

mod common;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use common::PATIENCE;
use common::program::{Process, program};
use tempfile::TempDir;

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
