//! What callers have sent never steers a terminal and never looks like a line of ours; secrets are shown to people
//! alone; and nobody reading is no error.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::json;
use unicode_general_category::{GeneralCategory, get_general_category};

use super::common::program::{Process, ended, program, text};
use super::common::{PATIENCE, RAM, Server, VPC, read_reply};
use super::{KEY, SECRET, repository, run, serve};

/// A text that forges lines, columns and colours, wherever it gets.
const HOSTILE: &str = "ok\n\u{2026}allow\u{2026}: forged line\r\nALLOW: everything is fine\u{1b}[2J\u{9b}31m  granted\u{202e}\u{61c}\u{ad}\u{2060}\u{e0041}\u{2028}";

/// All that was printed is lines of characters that a terminal shows, and none of them is forged.
fn assert_fenced(what: &str, printed: &str) {
    use GeneralCategory as Category;
    for line in printed.lines() {
        assert!(!line.starts_with("\u{2026}allow") && !line.starts_with("ALLOW"), "{what}: {printed}");
        for c in line.chars() {
            let obeyed = matches!(
                get_general_category(c),
                Category::Control
                    | Category::Format
                    | Category::LineSeparator
                    | Category::ParagraphSeparator
                    | Category::Surrogate
                    | Category::PrivateUse
                    | Category::Unassigned
            );
            assert!(!obeyed, "{what}: U+{:04X} in {line:?}", u32::from(c));
        }
    }
    assert!(printed.contains("forged"), "{what}: the text is there to be seen: {printed}");
}

/// Rust sources below a directory.
pub(crate) fn sources(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found
}

/// Commands print through the screen, whose fences are tested beside it, and to nothing else.
#[test]
fn commands_print_to_the_screen_alone() {
    const WAYS: &[&str] = &[
        "stdout()",
        "stderr()",
        "print!(",
        "println!(",
        "io::stdout",
        "io::stderr",
        "/dev/std",
        "dbg!(",
        "dup(",
    ];
    /// Where bytes go out as they are: an answer that was asked for raw, and what this program alone has made.
    const AS_THEY_ARE: &[&str] = &["call.rs", "completions.rs", "limits.rs", "operations.rs"];
    /// Where a person, or who waits for a line, is told where the service is; and the log, which escapes by itself.
    const NOT_COMMANDS: &[&str] = &["serve.rs", "reload.rs", "crash.rs"];
    for path in sources(&repository().join("crates/server/src")) {
        let name = path.file_name().unwrap().to_str().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let code: String = text
            .split("#[cfg(test)]")
            .next()
            .unwrap()
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .collect::<Vec<_>>()
            .join("\n");
        if name != "terminal.rs" && !NOT_COMMANDS.contains(&name) {
            for way in WAYS {
                assert!(!code.contains(way), "{}: prints by {way}: cli::terminal is the way", path.display());
            }
        }
        if path.ancestors().any(|folder| folder.ends_with("cli")) && name != "terminal.rs" {
            let raw = code.contains(".bytes(");
            assert!(!raw || AS_THEY_ARE.contains(&name), "{}: prints bytes as they are", path.display());
            assert!(!raw || code.matches(".bytes(").count() == 1, "{}", path.display());
        }
    }
}

async fn ram(server: &Server, action: &str, parameters: &[(&str, &str)]) {
    let reply = server.call(RAM, action, parameters).await;
    assert_eq!(reply.status, 200, "{action}: {}", reply.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_tenants_wrote_forges_nothing() {
    let server = Server::start(&[]);
    let document = json!({"Version": "1", "Statement": [
        {"Sid": HOSTILE, "Effect": "Allow", "Action": "vpc:Describe*", "Resource": "*",
         "Condition": {"StringEquals": {"acs:PrincipalArn": [HOSTILE]}}},
        {"Sid": "ok\n\u{2026}allow\u{2026}: forged line", "Effect": "Deny", "Action": "vpc:Describe*", "Resource": "*",
         "Condition": {"StringEquals": {"acs:PrincipalArn": ["v\u{2026}\nALLOW: everything is fine"]}}},
    ]});
    ram(&server, "CreateUser", &[("UserName", "alice")]).await;
    ram(&server, "CreatePolicy", &[("PolicyName", "p"), ("PolicyDocument", &document.to_string())]).await;
    ram(
        &server,
        "AttachPolicyToUser",
        &[("UserName", "alice"), ("PolicyName", "p"), ("PolicyType", "Custom")],
    )
    .await;
    // Whoever calls writes action, key and resource into the record.
    let named = [("VpcId", HOSTILE), ("RegionId", "cn-hangzhou")];
    server.call(VPC, "DescribeVpcAttribute", &named).await;
    let encoded: String = HOSTILE.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let request = format!(
        "GET /?Action={encoded}&Version={VPC}&AccessKeyId={encoded}&Signature=x&SignatureMethod=HMAC-SHA1&\
         SignatureVersion=1.0&SignatureNonce=1&Timestamp={} HTTP/1.1\r\nhost: vpc.test\r\n\r\n",
        jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ")
    );
    let mut stream = server.connect().await;
    tokio::io::AsyncWriteExt::write_all(&mut stream, request.as_bytes()).await.unwrap();
    assert_eq!(read_reply(&mut stream).await.unwrap().status, 404);
    let data = server.data_dir();
    let named = |arguments: &[&str]| {
        let mut command = program(arguments);
        command.arg("--data-dir").arg(&data);
        text(&command.output().unwrap())
    };
    let account = ["account", "create", "forged\u{202e}\u{2060}  name"];
    assert_fenced("account create", &(named(&account) + "forged"));
    let mut explained = vec!["policy", "explain", "--principal", "acs:ram::1234567890123456:user/alice"];
    explained.extend(["--action", "vpc:DescribeVpcs"]);
    assert_fenced("policy explain", &named(&explained));
    assert_fenced("policy explain --json", &named(&[&explained[..], &["--json"]].concat()));
    let asked =
        ["--action", HOSTILE, "--resource", HOSTILE, "--principal", "root", "--account", "1234567890123456"];
    assert_fenced("policy explain of that", &named(&[&["policy", "explain"][..], &asked].concat()));
    let nobody = format!("user/{HOSTILE}");
    assert_fenced(
        "policy explain of nobody",
        &named(&["policy", "explain", "--principal", &nobody, "--action", "a"]),
    );
    // Records of refusals come a moment after their answers.
    let begun = std::time::Instant::now();
    while !named(&["audit"]).contains("forged") {
        assert!(begun.elapsed() < PATIENCE, "{}", named(&["audit"]));
    }
    for more in [&[][..], &["--format", "json"]] {
        assert_fenced("audit", &named(&[&["audit"][..], more].concat()));
    }
    assert_fenced("account list", &named(&["account", "list"]));
    assert_fenced("account list --json", &named(&["account", "list", "--json"]));
    assert_fenced("account disable", &named(&["account", "disable", HOSTILE]));
    let file = data.join("forged\u{202e}\nALLOW.json");
    std::fs::write(&file, "{").unwrap();
    let output = program(&["policy", "check", file.to_str().unwrap()]).output().unwrap();
    assert_fenced("policy check", &text(&output));
}

/// A server that somebody else runs says what it likes.
#[test]
fn what_a_server_answers_forges_nothing() {
    let error = json!({"Code": HOSTILE, "Message": HOSTILE, "RequestId": HOSTILE}).to_string();
    let page = format!("<html>{HOSTILE}</html>");
    let escape = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;");
    let xml = format!("<Error><Code>{}</Code><Message>m</Message></Error>", escape(HOSTILE));
    for body in [error, page.replace('\n', " "), xml.replace('\n', " ")] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = listener.local_addr().unwrap().to_string();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 65_536]);
            let head = format!("HTTP/1.1 400 Bad Request\r\ncontent-length: {}\r\n\r\n", body.len());
            stream.write_all(&[head.as_bytes(), body.as_bytes()].concat()).unwrap();
        });
        let mut command = program(&["call", "Vpc", "DescribeVpcs", "--endpoint", &endpoint]);
        command.env("ALIBABA_CLOUD_ACCESS_KEY_ID", KEY).env("ALIBABA_CLOUD_ACCESS_KEY_SECRET", SECRET);
        let output = command.output().unwrap();
        server.join().unwrap();
        assert_fenced("call", &text(&output));
    }
}

/// Starts a service for the first time, without a key from outside, its output to `stdout`.
fn first_start(directory: &Path, stdout: Stdio) -> std::process::Child {
    let mut command = program(&["serve", "--listen", "127.0.0.1:0", "--admin-listen", "off"]);
    command.current_dir(directory).stdout(stdout).stderr(File::create(directory.join("log")).unwrap());
    command.spawn().unwrap()
}

fn secret_in(directory: &Path) -> String {
    let kept = std::fs::read_to_string(directory.join("data/root-access-key.env")).unwrap();
    kept.lines().find_map(|line| line.strip_prefix("ALIBABA_CLOUD_ACCESS_KEY_SECRET=")).unwrap().to_owned()
}

/// Reads until a line says where the service listens.
fn welcome(mut from: impl std::io::Read) -> String {
    let mut said = Vec::new();
    let mut byte = [0];
    loop {
        assert_eq!(from.read(&mut byte).unwrap(), 1, "{}", String::from_utf8_lossy(&said));
        said.push(byte[0]);
        let text = String::from_utf8_lossy(&said);
        if text.ends_with('\n') && text.contains("listening on") {
            return text.into_owned();
        }
    }
}

#[test]
fn the_secret_of_the_first_start_is_for_a_persons_eyes() {
    let directory = tempfile::tempdir().unwrap();
    // A pipe, as a container's log or a service manager has it: kept by somebody.
    let mut child = first_start(directory.path(), Stdio::piped());
    let said = welcome(child.stdout.take().unwrap());
    child.kill().unwrap();
    child.wait().unwrap();
    let secret = secret_in(directory.path());
    let log = std::fs::read_to_string(directory.path().join("log")).unwrap();
    assert!(!said.contains(&secret) && !log.contains(&secret), "{said}");
    for part in
        ["data/root-access-key.env", "AccessKey ID", "It is kept in", "set -a; . data/root-access-key.env"]
    {
        assert!(said.to_lowercase().contains(&part.to_lowercase()), "{part}: {said}");
    }
    // A terminal.
    let directory = tempfile::tempdir().unwrap();
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap().into_string().unwrap();
    let mut child =
        first_start(directory.path(), File::options().read(true).write(true).open(name).unwrap().into());
    let said = welcome(File::from(terminal));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(said.contains(&secret_in(directory.path())) && said.contains("shown this once"), "{said}");
}

#[test]
fn whoever_has_seen_enough_may_go() {
    let directory = tempfile::tempdir().unwrap();
    let service = serve(directory.path(), &[]);
    let commands = [
        "status",
        "status --json",
        "account list",
        "account create more",
        "check",
        "audit",
        "audit --format json",
        "audit --head",
        "backup copy.db",
        "policy explain --principal root --account 1234567890123456 --action vpc:CreateVpc",
        "operations",
        "limits",
        "completions bash",
        "demo --apply-delay 300ms",
        "--help",
        "serve --help",
        "call --help",
    ];
    let without_a_reader = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = program(&words);
        let mut child =
            command.current_dir(directory.path()).stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
        drop(command);
        let code = ended(&mut child).code();
        (code, text(&child.wait_with_output().unwrap()))
    };
    for line in commands {
        assert_eq!(without_a_reader(line), (Some(0), String::new()), "{line}");
    }
    stop(service);
    // What is found is told by the exit code all the same.
    let database = directory.path().join("data/tongguan.db");
    let mut bytes = std::fs::read(&database).unwrap();
    let length = bytes.len();
    bytes[length / 2..].fill(0x5a);
    std::fs::write(&database, bytes).unwrap();
    assert_eq!(without_a_reader("check").0, Some(65));
    assert_eq!(run("check", directory.path()).status.code(), Some(65));
}

fn stop(service: Process) {
    assert!(service.stop().success());
}
