//! No secret is anywhere but where it must be: whole runs of the real program, then everything that they left, said or
//! answered is searched for every secret that was used.
//!
//! Where a secret stands by intention is named here: [`DOCUMENTED`] files of the data directory, and answers
//! that are given to [`Run::answers_a_secret`] (an operation that makes a key says its secret once).
#![allow(clippy::unwrap_used, reason = "a test may stop where something is wrong")]

#[path = "../common/mod.rs"]
mod common;
mod search;

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Output;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::program::{Program, ended, program};
use common::{CAS, KMS, Key, PATIENCE, RAM, STS, VPC, http_bytes};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;
use tongguan_rpc::{Format, SignatureMethod};
use tongguan_service::{master, vault::Vault};
use tongguan_store::Archive;
use tongguan_testkit::{Call, Manner, Stamp, fixtures};

use search::Secrets;

/// Files of the data directory that hold a secret, and nobody but their owner may read.
const DOCUMENTED: [&str; 2] = ["master.key", "root-access-key.env"];
/// Certificates are created with each of these, and so many in all; so many of them are deleted again.
const KEY_SPECS: [&str; 3] = ["EC_P256", "EC_SM2", "RSA_2048"];
const CERTIFICATES: usize = 6;
const DELETED: usize = 2;
/// Private keys that are uploaded: of one certificate, of a pair, of a request.
const UPLOADED: usize = 4;
const SUBJECT: &str = "C=CN,O=o,OU=u,CN=a";
const METHODS: [SignatureMethod; 4] = [
    SignatureMethod::HmacSha1,
    SignatureMethod::HmacSha256,
    SignatureMethod::Acs3HmacSha256,
    SignatureMethod::Acs3HmacSm3,
];

/// A run: its program, what it left, and the secrets in it.
struct Run {
    directory: TempDir,
    program: Program,
    admin: String,
    secrets: Secrets,
    /// Security tokens. A caller whose signature is wrong is answered what he should have signed, his token in it;
    /// elsewhere they must not be.
    tokens: Secrets,
    keys: Vec<Key>,
    /// Everything that was answered or said, by what it was.
    said: BTreeMap<String, Vec<u8>>,
    nonce: u64,
}

impl Run {
    /// Starts a service with principals of several accounts; `variables` come on top.
    fn start(json: bool, variables: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let keys = vec![
            Key::of("LTAIsecond", "the second account's / secret + \"quoted\""),
            Key::of("LTAIthird", "7hirdAccountSecretOfLettersOnly"),
            Key::of("LTAIuser", "a user's secret, kept in a file"),
        ];
        let mut config = String::from("apply_delay = '0'\n");
        for (number, Key { id, secret, .. }) in keys.iter().enumerate() {
            config.push_str(&format!(
                "[[principal]]\naccount_id = '199999999999999{number}'\naccess_key_id = '{id}'\n"
            ));
            if id == "LTAIuser" {
                config.push_str("user_name = 'user'\npolicies = ['AliyunVPNGatewayReadOnlyAccess']\n");
                config.push_str("access_key_secret_file = 'user.secret'\n");
                private(&directory.path().join("user.secret"), secret);
            } else {
                config.push_str(&format!("access_key_secret = {}\n", serde_json::to_string(secret).unwrap()));
            }
        }
        let file = directory.path().join("tongguan.toml");
        private(&file, &config);
        let mut command = program(&["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
        command.arg("--config").arg(&file).arg("--data-dir").arg(directory.path().join("data"));
        if json {
            command.arg("--log-json");
        }
        command.env("TONGGUAN_LOG", "trace").envs(variables.iter().copied());
        // Only in a program that is built for it.
        command.env("FAILPOINTS", "call::authorised=2*panic(a panic of a test)");
        command.env("RUST_BACKTRACE", "full");
        let mut program = Program::start(command);
        let admin = program.told("admin on http://");
        let mut secrets = Secrets::default();
        for key in &keys {
            secrets.add(&format!("secret of {}", key.id), key.secret.as_bytes());
        }
        let (said, nonce, tokens) = (BTreeMap::new(), 0, Secrets::default());
        Self { directory, program, admin, secrets, tokens, keys, said, nonce }
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// Notes what was answered, to be searched.
    fn note(&mut self, what: &str, answer: Vec<u8>) {
        let number = self.said.len();
        self.said.insert(format!("{what} ({number})"), answer);
    }

    /// Sends bytes and notes everything that comes back.
    fn send(&mut self, what: &str, address: &str, request: &[u8]) -> Vec<u8> {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(request).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        // A refusal may end the connection before all was read.
        let _ = stream.read_to_end(&mut answer);
        self.note(what, answer.clone());
        answer
    }

    fn request(
        &mut self,
        key: &Key,
        method: SignatureMethod,
        call: (&str, &str),
        more: &[(&str, &str)],
    ) -> Vec<u8> {
        self.nonce += 1;
        let mut call = Call::new(call.0, call.1, more).with("RegionId", "cn-hangzhou");
        if self.nonce.is_multiple_of(2) {
            call = call.form();
        }
        let format = if self.nonce.is_multiple_of(3) { Format::Xml } else { Format::Json };
        let manner = Manner { signature: method, format, ..Manner::V3 };
        let stamp = Stamp { nonce: format!("nonce-{}", self.nonce), ..Stamp::now() };
        http_bytes(&key.sign(&call, &manner, &stamp), "connection: close\r\n")
    }

    fn call(
        &mut self,
        key: &Key,
        method: SignatureMethod,
        call: (&str, &str),
        more: &[(&str, &str)],
    ) -> Vec<u8> {
        let request = self.request(key, method, call, more);
        let address = self.program.endpoint.clone();
        self.send(call.1, &address, &request)
    }

    /// An answer that says a secret on purpose, once: the secret is looked for everywhere else from now on.
    fn answers_a_secret(&mut self, answer: &[u8], pointer: &str) -> String {
        let body = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
        let value: Value = serde_json::from_slice(&answer[body..]).unwrap();
        let secret = value.pointer(pointer).and_then(Value::as_str).unwrap().to_owned();
        self.secrets.add(pointer, secret.as_bytes());
        self.said.retain(|_, said| said != answer);
        secret
    }

    /// A call whose answer is JSON.
    fn call_json(&mut self, key: &Key, call: (&str, &str), more: &[(&str, &str)]) -> (Vec<u8>, Value) {
        if (self.nonce + 1).is_multiple_of(3) {
            self.nonce += 1;
        }
        let answer = self.call(key, SignatureMethod::Acs3HmacSha256, call, more);
        let text = String::from_utf8_lossy(&answer).into_owned();
        assert!(text.starts_with("HTTP/1.1 200"), "{text}");
        let body = serde_json::from_str(text.split_once("\r\n\r\n").unwrap().1).unwrap();
        (answer, body)
    }

    /// A user with a key of its own, made through the API, and a session of a role.
    fn makes_keys(&mut self, root: &Key) -> [Key; 2] {
        let account = self.call_json(root, (STS, "GetCallerIdentity"), &[]).1;
        let account = account["AccountId"].as_str().unwrap().to_owned();
        let trust =
            serde_json::json!({"Version": "1", "Statement": [{"Action": "sts:AssumeRole", "Effect": "Allow",
            "Principal": {"RAM": format!("acs:ram::{account}:root")}}]})
            .to_string();
        let system = ("PolicyType", "System");
        for (action, more) in [
            ("CreateUser", vec![("UserName", "alice")]),
            ("CreateRole", vec![("RoleName", "operator"), ("AssumeRolePolicyDocument", trust.as_str())]),
            (
                "AttachPolicyToUser",
                vec![("UserName", "alice"), ("PolicyName", "AliyunSTSAssumeRoleAccess"), system],
            ),
        ] {
            self.call_json(root, (RAM, action), &more);
        }
        let (answer, body) = self.call_json(root, (RAM, "CreateAccessKey"), &[("UserName", "alice")]);
        let secret = self.answers_a_secret(&answer, "/AccessKey/AccessKeySecret");
        let alice = Key::of(body["AccessKey"]["AccessKeyId"].as_str().unwrap(), &secret);
        let role = format!("acs:ram::{account}:role/operator");
        let more = [("RoleArn", role.as_str()), ("RoleSessionName", "session")];
        let (answer, body) = self.call_json(&alice, (STS, "AssumeRole"), &more);
        let secret = self.answers_a_secret(&answer, "/Credentials/AccessKeySecret");
        let credentials = &body["Credentials"];
        let token = credentials["SecurityToken"].as_str().unwrap().to_owned();
        self.tokens.add("security token", token.as_bytes());
        let mut session = Key::of(credentials["AccessKeyId"].as_str().unwrap(), &secret);
        session.token = Some(token);
        [alice, session]
    }

    /// Everything that callers do, and what they do wrong.
    fn work(&mut self, root: &Key, vault: &Vault) {
        for _ in 0..2 {
            // Where the program panics if it is built for it.
            self.call(root, METHODS[0], (VPC, "DescribeVpcs"), &[]);
        }
        let made = self.makes_keys(root);
        let all: Vec<Key> = [&self.keys[..], std::slice::from_ref(root), &made].concat();
        for key in &all {
            for method in METHODS {
                self.call(key, method, (STS, "GetCallerIdentity"), &[]);
                self.call(key, method, (VPC, "DescribeVpcs"), &[]);
                self.call(key, method, (VPC, "CreateVpc"), &[("Description", "of a test")]);
                // A secret that is not right, but near; an unknown key; an old and an altered request.
                let wrong = Key { secret: key.secret[1..].to_owned(), ..key.clone() };
                self.call(&wrong, method, (VPC, "DescribeVpcs"), &[]);
                self.call(&Key::of("LTAInobody", &key.secret), method, (VPC, "DescribeVpcs"), &[]);
                let request = self.request(key, method, (VPC, "DescribeVpcs"), &[("VpcId", "vpc-none")]);
                let address = self.program.endpoint.clone();
                self.send("replayed", &address, &request);
                self.send("replayed", &address, &request);
                let mut altered =
                    self.request(key, method, (VPC, "DescribeVpcs"), &[("VpcId", "vpc-abcdef")]);
                let place = altered.windows(10).position(|window| window == b"vpc-abcdef").unwrap();
                altered[place + 5] ^= 1;
                self.send("altered", &address, &altered);
                let cut = &request[..request.len() / 2];
                self.send("cut short", &address, cut);
            }
        }
        for spec in KEY_SPECS {
            for _ in 0..CERTIFICATES / KEY_SPECS.len() {
                let more = [("KeySpec", spec), ("Subject", SUBJECT)];
                let method = SignatureMethod::Acs3HmacSha256;
                self.call(root, method, (KMS, "CreateCertificate"), &more);
            }
        }
        self.call(
            root,
            METHODS[2],
            (KMS, "CreateCertificate"),
            &[("KeySpec", "EC_P256"), ("Subject", "nonsense")],
        );
        self.uploads(root);
        // What is deleted further on stays a secret.
        self.open_all(vault, CERTIFICATES + UPLOADED);
        let ids = self.certificates();
        for (number, id) in ids.iter().enumerate() {
            for action in ["DescribeCertificate", "GetCertificate", "DeleteCertificate", "NoSuchAction"] {
                if action != "DeleteCertificate" || number < DELETED {
                    self.call(root, METHODS[2], (KMS, action), &[("CertificateId", id)]);
                }
            }
        }
        let address = self.program.endpoint.clone();
        for garbage in
            ["GET / HTTP/1.1\r\n\r\n", "POST /?Action=%zz HTTP/1.1\r\nhost: a\r\n\r\n", "\u{16}\u{3}\u{1}"]
        {
            self.send("garbage", &address, garbage.as_bytes());
        }
        for path in ["/metrics", "/readyz", "/healthz", "/nowhere"] {
            let admin = self.admin.clone();
            self.send(path, &admin, format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n").as_bytes());
        }
        self.open_all(vault, CERTIFICATES - DELETED + UPLOADED);
    }

    /// Private keys that callers bring, in queries and in forms, where they are taken and where they are refused.
    /// Nothing that is called shows them.
    fn uploads(&mut self, root: &Key) {
        let method = SignatureMethod::Acs3HmacSha256;
        let rsa = [("Name", "rsa"), ("Cert", fixtures::RSA), ("Key", fixtures::RSA_KEY)];
        let request = [("Csr", fixtures::REQUEST), ("Key", fixtures::REQUEST_KEY)];
        for (action, parameters) in [
            ("UploadUserCertificate", &rsa[..]),
            // The name is taken.
            ("UploadUserCertificate", &rsa),
            ("UploadUserCertificate", &fixtures::pair("pair")),
            ("UploadCsr", &request),
            ("UploadCsr", &[request[0], ("Key", fixtures::RSA_KEY)]),
            ("UploadUserCertificate", &[("Name", "crossed"), rsa[1], ("Key", fixtures::REQUEST_KEY)]),
            ("UploadUserCertificate", &[("Name", fixtures::RSA_KEY), rsa[1], rsa[2]]),
            ("ListCertificates", &[]),
        ] {
            self.call(root, method, (CAS, action), parameters);
        }
    }

    fn certificates(&self) -> Vec<String> {
        let mut ids = Vec::new();
        let archive = Archive::open(&self.data()).unwrap();
        let note = |certificate: &tongguan_model::certificate::Certificate, _: Option<&[u8]>| {
            if certificate.uploaded.is_none() {
                ids.push(certificate.id.as_str().to_owned());
            }
            None
        };
        let findings = archive.rows(note, |_, _| None);
        assert_eq!(findings.unwrap(), []);
        ids
    }

    /// Every secret in the database, opened; so many of them are private keys.
    fn open_all(&mut self, vault: &Vault, private_keys: usize) {
        let archive = Archive::open(&self.data()).unwrap();
        let mut opened = Vec::new();
        let walked = archive.read(|snapshot| {
            snapshot.each_sealed(|kind, id, sealed| {
                opened
                    .push((master::named(kind, id), vault.open(&master::purpose(kind, id), sealed).unwrap()));
                true
            })
        });
        walked.unwrap();
        let mut found = 0;
        for (name, secret) in opened {
            if name.starts_with("private key") {
                found += 1;
                for (number, part) in parts_of_private_key(&secret).into_iter().enumerate() {
                    self.secrets.add(&format!("{name}, part {number}"), &part);
                }
            } else if !name.contains("master-key-check") {
                self.secrets.add(&name, &secret);
            }
        }
        assert_eq!(found, private_keys);
    }

    /// What a command says about the data directory.
    fn tool(&mut self, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
        let mut command = program(arguments);
        command.arg("--data-dir").arg(self.data()).envs(variables.iter().copied());
        let output = command.output().unwrap();
        self.note(&arguments.join(" "), [&output.stdout[..], &output.stderr].concat());
        output
    }

    fn stop(&mut self) {
        self.program.signal(Signal::TERM);
        ended(&mut self.program.child);
    }

    /// Reads every file of the data directory that is there now.
    fn note_files(&mut self, when: &str) -> Vec<String> {
        let mut folders = vec![self.data()];
        let mut names = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let name = path.strip_prefix(self.data()).unwrap().display().to_string();
                if path.is_dir() {
                    folders.push(path);
                } else if !DOCUMENTED.contains(&name.as_str()) {
                    // A segment may be removed while we look.
                    let Ok(content) = std::fs::read(&path) else { continue };
                    self.note(&format!("file {name} {when}"), content);
                    names.push(name);
                }
            }
        }
        names
    }

    /// Searches everything.
    fn search(&self) {
        let granted = self.said.values().filter(|said| said.starts_with(b"HTTP/1.1 200")).count();
        let refused = self.said.values().filter(|said| said.starts_with(b"HTTP/1.1 4")).count();
        assert!(granted > 50 && refused > 50, "{granted} granted, {refused} refused");
        let mut leaks = Vec::new();
        for (what, content) in &self.said {
            leaks.extend(self.secrets.find(content).into_iter().map(|leak| format!("{what}: {leak}")));
            if !content.starts_with(b"HTTP/1.1 400") {
                leaks.extend(self.tokens.find(content).into_iter().map(|leak| format!("{what}: {leak}")));
            }
        }
        assert!(leaks.is_empty(), "{} leaks:\n{}", leaks.len(), leaks[..leaks.len().min(40)].join("\n"));
    }

    /// Notes what is there while it runs, stops it, notes the rest, and searches all of it.
    fn end(mut self, variables: &[(&str, &str)]) {
        let running = self.note_files("while it runs");
        for name in ["tongguan.db", "tongguan.db-wal", "tongguan.db-shm", "tongguan.lock", "tongguan.mark"] {
            assert!(running.iter().any(|found| found == name), "{name}: {running:?}");
        }
        assert!(
            ["nonces/", "audit/"].iter().all(|folder| running.iter().any(|name| name.starts_with(folder)))
        );
        let pid = self.program.pid();
        self.note("command line", std::fs::read(format!("/proc/{pid}/cmdline")).unwrap());
        let backup = self.directory.path().join("backup.db");
        let output = self.tool(&["backup", backup.to_str().unwrap()], variables);
        assert!(output.status.success());
        self.note("the backup", std::fs::read(&backup).unwrap());
        for arguments in [&["status"][..], &["status", "--json"], &["check"], &["check", "--json"]] {
            let output = self.tool(arguments, variables);
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        }
        self.stop();
        self.note_files("after the stop");
        let log = self.program.logged().into_bytes();
        assert!(log.windows(5).filter(|window| *window == b"DEBUG").count() > 100, "it logs every request");
        let crashing = program(&["crash-points"]).output().unwrap().status.success();
        assert_eq!(log.windows(17).any(|window| window == b"a panic of a test"), crashing);
        self.note("the log", log);
        self.search();
    }
}

fn private(path: &Path, content: &str) {
    std::fs::write(path, content).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// What is secret in a PKCS #8 document: the scalar of a curve; of RSA, pieces of what follows the public numbers.
fn parts_of_private_key(document: &[u8]) -> Vec<Vec<u8>> {
    if document.starts_with(b"-----BEGIN") {
        return parts_of_text(std::str::from_utf8(document).unwrap());
    }
    // ECPrivateKey: version 1, then the scalar as an OCTET STRING of 32 bytes.
    const SCALAR: [u8; 5] = [2, 1, 1, 4, 32];
    let scalar = document.windows(SCALAR.len()).position(|window| window == SCALAR);
    if let Some(place) = scalar
        && document.len() < 300
    {
        return vec![document[place + SCALAR.len()..][..32].to_vec()];
    }
    assert!(document.len() > 1_000, "neither a curve's key nor RSA's");
    [4, 5, 6, 7].map(|eighth| document[document.len() * eighth / 8..][..24].to_vec()).to_vec()
}

/// The same of one that is kept as the text that was uploaded: parts of what the text encodes, and of the text.
fn parts_of_text(text: &str) -> Vec<Vec<u8>> {
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("-----")).collect();
    let mut parts = parts_of_private_key(&STANDARD.decode(lines.concat()).unwrap());
    // The first line of a curve's key has the scalar, the later ones of RSA's the primes.
    let secret = if lines.len() < 5 { &lines[..1] } else { &lines[lines.len() * 2 / 3..lines.len() - 1] };
    parts.extend(secret.iter().map(|line| line.as_bytes()[16..48].to_vec()));
    parts
}

/// A first start that makes its own keys, and logs text.
#[test]
fn a_first_start_leaves_no_secret_elsewhere() {
    let mut run = Run::start(false, &[]);
    let root = std::fs::read_to_string(run.data().join("root-access-key.env")).unwrap();
    let value = |name: &str| {
        let line = root.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.strip_prefix('=').unwrap().to_owned()
    };
    let root = Key::of(&value("ALIBABA_CLOUD_ACCESS_KEY_ID"), &value("ALIBABA_CLOUD_ACCESS_KEY_SECRET"));
    let master = std::fs::read_to_string(run.data().join("master.key")).unwrap();
    run.secrets.add("root secret", root.secret.as_bytes());
    let key: [u8; 32] = hex::decode(master.trim()).unwrap().try_into().unwrap();
    run.secrets.add("master key", &key);
    // The welcome says where the secret is; only at a terminal it would say the secret.
    let stdout = run.program.said();
    assert!(String::from_utf8_lossy(&stdout).contains("root-access-key.env"));
    run.note("standard output", stdout);
    let log = run.program.logged();
    assert!(log.lines().any(|line| line.contains("first account") && line.contains("root-access-key.env")));
    run.work(&root, &Vault::new(&key).unwrap());
    run.end(&[]);
}

/// A start with keys from the environment, the master key included, that logs JSON.
#[test]
fn keys_of_the_environment_are_left_nowhere() {
    const MASTER: &str = "00112233445566778899aabbccddeeff0123456789abcdeffedcba9876543210";
    let root = Key::of("LTAIroot", "the root key's own secret, of the environment");
    let variables = [
        ("TONGGUAN_MASTER_KEY", MASTER),
        ("TONGGUAN_ACCOUNT_ID", "1234567890123456"),
        ("TONGGUAN_ACCESS_KEY_ID", root.id.as_str()),
        ("TONGGUAN_ACCESS_KEY_SECRET", root.secret.as_str()),
    ];
    let mut run = Run::start(true, &variables);
    run.secrets.add("root secret", root.secret.as_bytes());
    let key: [u8; 32] = hex::decode(MASTER).unwrap().try_into().unwrap();
    run.secrets.add("master key", &key);
    run.work(&root, &Vault::new(&key).unwrap());
    let stdout = run.program.said();
    run.note("standard output", stdout);
    assert!(!DOCUMENTED.iter().any(|name| run.data().join(name).exists()));
    run.end(&variables[..1]);
}
