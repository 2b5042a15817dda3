//! The master key on the real program: where it may come from, what a wrong one does, rotation and its death at every
//! instant, and who may read the files.
#![allow(clippy::unwrap_used, reason = "a test may stop where something is wrong")]

mod common;

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Instant;

use common::program::{Process, ended, program, text};
use serde_json::Value;
use tempfile::TempDir;

const SUBJECT: &str = "C=CN,O=o,OU=u,CN=a";
/// Where a rotation may be interrupted; what belongs to the writer is met in its one transaction.
const POINTS: [&str; 7] = [
    "rotate::prepared",
    "store::begun",
    "store::changed",
    "store::committed",
    "store::marked",
    "rotate::resealed",
    "rotate::replaced",
];

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn private(path: &Path, content: &str) -> String {
    std::fs::write(path, content).unwrap();
    set_mode(path, 0o600);
    path.to_str().unwrap().to_owned()
}

fn any_key(digit: &str) -> String {
    digit.repeat(64)
}

/// A data directory in a directory of its own.
struct Place {
    directory: TempDir,
    /// Further arguments and variables of every command: where the master key is.
    arguments: Vec<String>,
    variables: Vec<(String, String)>,
}

impl Place {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap(), arguments: Vec::new(), variables: Vec::new() }
    }

    /// One whose service has run once: a root key and certificates are sealed in it.
    fn used() -> Self {
        let place = Self::new();
        let server = place.serve();
        for spec in ["EC_P256", "EC_SM2", "RSA_2048"] {
            server.call("Kms", "CreateCertificate", &["--KeySpec", spec, "--Subject", SUBJECT]);
        }
        drop(server);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn data(&self) -> PathBuf {
        self.path("data")
    }

    fn command(&self, command: &[&str], more: &[&str]) -> Command {
        let data = self.data();
        let mut program = program(command);
        program.args(["--data-dir", data.to_str().unwrap()]).args(&self.arguments).args(more);
        program.envs(self.variables.iter().map(|(name, value)| (name, value)));
        program
    }

    fn run(&self, command: &[&str], more: &[&str]) -> Output {
        self.command(command, more).output().unwrap()
    }

    fn serve(&self) -> Server<'_> {
        let command = self.command(&["serve", "--listen", "127.0.0.1:0", "--admin-listen", "off"], &[]);
        Server { place: self, process: Process::start(command) }
    }

    /// `serve` that must refuse: its exit code and what it says.
    fn refused(&self, more: &[&str]) -> (Option<i32>, String) {
        let mut command = self.command(&["serve", "--listen", "127.0.0.1:0", "--admin-listen", "off"], more);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let code = ended(&mut child).code();
        (code, text(&child.wait_with_output().unwrap()))
    }

    /// Starts, uses a sealed access key and a new certificate, stops, and has every sealed value opened.
    fn works(&self) {
        let server = self.serve();
        server.call("Sts", "GetCallerIdentity", &[]);
        server.call("Kms", "CreateCertificate", &["--KeySpec", "EC_SM2", "--Subject", SUBJECT]);
        drop(server);
        let check = self.run(&["check"], &[]);
        assert!(check.status.success(), "{}", text(&check));
        assert!(
            text(&check).contains("every access key, connection key, BGP key and service key opens"),
            "{}",
            text(&check)
        );
    }

    fn key(&self) -> String {
        std::fs::read_to_string(self.data().join("master.key")).unwrap()
    }
}

struct Server<'p> {
    place: &'p Place,
    process: Process,
}

impl Server<'_> {
    /// A call with the root key of the first start, which must succeed.
    fn call(&self, product: &str, action: &str, parameters: &[&str]) -> Value {
        let output = self.output(product, action, parameters);
        assert!(output.status.success(), "{}", text(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// What a call with that key says.
    fn output(&self, product: &str, action: &str, parameters: &[&str]) -> Output {
        let head = [
            "call",
            "--endpoint",
            &self.process.endpoint,
            "--region",
            "cn-hangzhou",
            "--raw",
            product,
            action,
        ];
        let mut command = program(&[&head, parameters].concat());
        let root = std::fs::read_to_string(self.place.data().join("root-access-key.env")).unwrap();
        command.envs(root.lines().filter_map(|line| line.split_once('=')));
        command.output().unwrap()
    }
}

#[test]
fn a_rotation_replaces_the_key_and_what_it_sealed() {
    let place = Place::used();
    let backup = place.path("before.db");
    let output = place.run(&["backup", backup.to_str().unwrap()], &[]);
    assert!(output.status.success(), "{}", text(&output));
    let old = place.key();
    let server = place.serve();
    let output = place.run(&["master-key", "rotate"], &[]);
    assert_eq!(output.status.code(), Some(75), "{}", text(&output));
    assert!(text(&output).contains("stop it first") && place.key() == old, "{}", text(&output));
    drop(server);

    let output = place.run(&["master-key", "rotate"], &[]);
    assert!(output.status.success(), "{}", text(&output));
    let said = text(&output);
    let sealed = said.split(" secrets were sealed anew").next().unwrap().rsplit([' ', '\n']).next().unwrap();
    assert!(sealed.parse::<u32>().is_ok_and(|number| number >= 5), "{said}");
    let new = place.key();
    assert!(new != old && mode(&place.data().join("master.key")) == 0o600);
    assert!(!text(&output).contains(new.trim()) && !text(&output).contains(old.trim()));
    // What was sealed under the old key is nowhere in the files: neither in free pages nor in the log.
    let kept = std::fs::read(place.data().join("tongguan.db")).unwrap();
    let old_values = sealed_values(&backup);
    assert!(old_values.len() >= 5);
    assert!(!old_values.iter().any(|value| kept.windows(16).any(|window| window == &value[..])));
    assert!(std::fs::metadata(place.data().join("tongguan.db-wal")).map_or(0, |file| file.len()) == 0);
    place.works();

    // The backup opens under its own key, and not under the new one.
    let old_file = private(&place.path("old.key"), &old);
    let new_file = place.data().join("master.key");
    let check = |key: &str| {
        let arguments = ["check", "--file", backup.to_str().unwrap(), "--master-key-file", key];
        program(&arguments).output().unwrap().status.code()
    };
    assert_eq!((check(&old_file), check(new_file.to_str().unwrap())), (Some(0), Some(65)));

    // The old key is refused, and nothing is overwritten.
    let right = std::fs::read(&new_file).unwrap();
    private(&new_file, &old);
    let (code, said) = place.refused(&[]);
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("is not the master key of this database") && !said.contains(old.trim()), "{said}");
    let output = place.run(&["master-key", "rotate"], &[]);
    assert_eq!(output.status.code(), Some(78), "{}", text(&output));
    assert_eq!(std::fs::read_to_string(&new_file).unwrap(), old);
    std::fs::write(&new_file, right).unwrap();
    place.works();
}

/// What a call under a ClientToken was sent is told from another call also after a rotation.
#[test]
fn a_client_token_outlives_the_master_key() {
    let place = Place::new();
    let create = ["--ClientToken", "once"];
    let first = place.serve().call("Vpc", "CreateVpc", &create);
    let output = place.run(&["master-key", "rotate"], &[]);
    assert!(output.status.success(), "{}", text(&output));
    let server = place.serve();
    assert_eq!(server.call("Vpc", "CreateVpc", &create)["VpcId"], first["VpcId"]);
    let other = server.output("Vpc", "CreateVpc", &[&create[..], &["--VpcName", "x"]].concat());
    assert!(
        !other.status.success() && text(&other).contains("IdempotentParameterMismatch"),
        "{}",
        text(&other)
    );
}

/// The nonce and the first bytes of every sealed value in a database.
fn sealed_values(file: &Path) -> Vec<[u8; 16]> {
    let archive = tongguan_store::Archive::open_file(file).unwrap();
    let mut values = Vec::new();
    let walked = archive.read(|snapshot| {
        snapshot.each_sealed(|_, _, sealed| {
            values.push(sealed[1..17].try_into().unwrap());
            true
        })
    });
    walked.unwrap();
    values
}

#[test]
fn the_key_may_come_from_elsewhere() {
    let mut place = Place::new();
    let (first, second, third) = (any_key("1a"), any_key("2B"), any_key("3c"));
    let (first, second, third) = (&first[..64], &second[..64], &third[..64]);
    let files = [first, second, third].map(|key| private(&place.path(&key[..2]), &format!("{key}\n")));
    place.variables = vec![("TONGGUAN_MASTER_KEY".into(), first.into())];
    place.works();
    assert!(!place.data().join("master.key").exists());
    // The same from a command, by flag, variable and file.
    place.variables = vec![("TONGGUAN_MASTER_KEY_COMMAND".into(), format!("cat {}", files[0]))];
    place.works();
    let config = private(&place.path("config"), &format!("master_key_command = ['cat', '{}']\n", files[0]));
    place.variables = vec![("TONGGUAN_CONFIG".into(), config)];
    drop(place.serve());
    place.variables.clear();
    place.arguments = vec!["--master-key-file".into(), files[0].clone()];
    place.works();

    // Rotation: the operator brings the new key, and gives it from then on. Repeated, it has been done.
    assert_eq!(place.run(&["master-key", "rotate"], &[]).status.code(), Some(78));
    for said in ["secrets were sealed anew", "sealed under the new master key already"] {
        let output = place.run(&["master-key", "rotate"], &["--new-key-file", &files[1]]);
        assert!(output.status.success() && text(&output).contains(said), "{}", text(&output));
    }
    let (code, said) = place.refused(&[]);
    assert!(code == Some(78) && said.contains("is not the master key"), "{said}");
    place.arguments = vec!["--master-key-command".into(), format!("cat {}", files[1])];
    place.works();
    let output = place.run(&["master-key", "rotate"], &["--new-key-file", &files[2]]);
    assert!(output.status.success(), "{}", text(&output));
    place.arguments.clear();
    place.variables = vec![("TONGGUAN_MASTER_KEY".into(), third.into())];
    place.works();

    // Wrong ones, each told at the start and without the key.
    for (name, value, expected) in [
        ("TONGGUAN_MASTER_KEY", first, "is not the master key"),
        ("TONGGUAN_MASTER_KEY", &third[1..], "64 hex digits"),
        ("TONGGUAN_MASTER_KEY_COMMAND", "false", "failed"),
        ("TONGGUAN_MASTER_KEY_COMMAND", "/nowhere/at/all", "cannot run"),
        ("TONGGUAN_MASTER_KEY_COMMAND", " ", "empty"),
    ] {
        place.variables = vec![(name.into(), value.into())];
        let (code, said) = place.refused(&[]);
        assert!(code == Some(78) && said.contains(expected), "{code:?} {said}");
        assert!(!said.contains(&first[..16]) && !said.contains(&third[..16]), "{said}");
    }
    place.variables = vec![("TONGGUAN_MASTER_KEY".into(), third.into())];
    let (code, said) = place.refused(&["--master-key-file", &files[2]]);
    assert!(code == Some(78) && said.contains("there is one master key"), "{said}");
    place.works();
}

/// Killed at whatever moment, the directory starts with the files that are there, and every secret opens.
#[test]
fn a_rotation_may_be_killed_at_any_moment() {
    let place = Place::used();
    let begun = Instant::now();
    assert!(place.run(&["master-key", "rotate"], &[]).status.success());
    let whole = begun.elapsed();
    let mut cut_short = 0;
    for step in 0..16 {
        let mut child = place
            .command(&["master-key", "rotate"], &[])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(whole * step / 14);
        child.kill().unwrap();
        cut_short += usize::from(!child.wait().unwrap().success());
        let check = place.run(&["check"], &[]);
        assert!(check.status.success(), "{step}: {}", text(&check));
        if step % 4 == 0 {
            place.works();
        }
    }
    assert!(cut_short > 0);
    place.works();
    assert!(!place.data().join("master.key.next").exists());
}

/// The same at named points, if the program was built with them.
#[test]
fn a_rotation_may_die_at_each_point() {
    if !program(&["crash-points"]).output().unwrap().status.success() {
        eprintln!("skipped: built without crash points");
        return;
    }
    let place = Place::used();
    for point in POINTS {
        let before = place.key();
        let output = place.command(&["master-key", "rotate"], &[]).env("TONGGUAN_CRASH_AT", point).output();
        let output = output.unwrap();
        assert!(!output.status.success(), "{point}: {}", text(&output));
        let next = place.data().join("master.key.next").exists();
        assert_eq!(next, point != "rotate::replaced", "{point}");
        let check = place.run(&["check"], &[]);
        assert!(check.status.success(), "{point}: {}", text(&check));
        place.works();
        assert!(!place.data().join("master.key.next").exists(), "{point}");
        let new = !["rotate::prepared", "store::begun", "store::changed"].contains(&point);
        assert_eq!(place.key() != before, new, "{point}: old until it is committed, new from then on");
    }
}

#[test]
fn what_holds_a_secret_is_for_its_owner_alone() {
    let place = Place::used();
    for name in ["master.key", "root-access-key.env"] {
        let path = place.data().join(name);
        for open in [0o640, 0o604, 0o620] {
            set_mode(&path, open);
            let (code, said) = place.refused(&[]);
            let mend = format!("chmod 600 '{}'", path.display());
            assert!(code == Some(77) && said.contains(&mend), "{code:?} {said}");
        }
        set_mode(&path, 0o400);
        drop(place.serve());
        set_mode(&path, 0o600);
    }
    // A configuration, if it holds a secret.
    let config = private(&place.path("config"), "log_json = true\n");
    let file = place.path("config");
    set_mode(&file, 0o644);
    let serves = |content: &str| {
        std::fs::write(&file, content).unwrap();
        let (code, said) = place.refused(&["--config", &config, "--apply-delay", "never"]);
        (code, said)
    };
    assert!(!serves("log_json = true\n").1.contains("chmod"));
    let principal = "[[principal]]\naccount_id = '1234567890123456'\naccess_key_id = 'k'\naccess_key_secret = 'top secret'\n";
    for content in [principal, "access_key_id = 'k'\naccess_key_secret = 'top secret'\n"] {
        let (code, said) = serves(content);
        assert!(
            code == Some(77) && said.contains("chmod 600") && !said.contains("top secret"),
            "{code:?} {said}"
        );
    }
    // A file with a secret that it names.
    set_mode(&file, 0o600);
    private(&place.path("named"), "top secret");
    set_mode(&place.path("named"), 0o604);
    let named = principal.replace("access_key_secret = 'top secret'", "access_key_secret_file = 'named'");
    std::fs::write(&file, named).unwrap();
    let (code, said) = place.refused(&["--config", &config]);
    assert!(
        code == Some(77) && said.contains("chmod 600") && !said.contains("top secret"),
        "{code:?} {said}"
    );
    // What a parser says of a line with a secret does not quote it.
    set_mode(&file, 0o600);
    for content in
        ["access_key_secret = 'top secret\n", "access_key_secret = ['top secret']\n", "top secret\n"]
    {
        let (code, said) = serves(content);
        assert!(
            code == Some(78) && said.contains("line 1") && !said.contains("top secret"),
            "{code:?} {said}"
        );
    }
    // The listener's key.
    let (certificate, key) = (place.path("tls.pem"), place.path("tls.key"));
    private(&certificate, "");
    private(&key, "");
    set_mode(&key, 0o644);
    let (code, said) =
        place.refused(&["--tls-cert", certificate.to_str().unwrap(), "--tls-key", key.to_str().unwrap()]);
    assert!(code == Some(77) && said.contains("tls.key"), "{code:?} {said}");
}

/// Whatever the umask, nobody else can read what is made; what was opened to others is closed at the start.
#[test]
fn the_data_directory_is_closed_to_others() {
    let place = Place::new();
    let shell = "umask 0; exec \"$@\"";
    let command = place.command(&["serve", "--listen", "127.0.0.1:0", "--admin-listen", "off"], &[]);
    let mut child = Command::new("sh")
        .args(["-c", shell, "sh"])
        .arg(command.get_program())
        .args(command.get_args())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().starts_with("listening on ")));
    let files = || {
        let mut found = Vec::new();
        let mut folders = vec![place.data()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { folders.push(path) } else { found.push(path) }
            }
            found.push(folder);
        }
        found
    };
    let made = files();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(made.len() >= 9, "{made:?}");
    for path in files() {
        let expected = if path.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode(&path), expected, "{}", path.display());
    }
    set_mode(&place.data(), 0o755);
    let database = place.data().join("tongguan.db");
    set_mode(&database, 0o666);
    let log = place.serve().process.logged();
    assert_eq!((mode(&place.data()), mode(&database)), (0o750, 0o640));
    assert!(log.contains("was open to others"), "{log}");
}

/// Files that root made in a service's directory could not be read by the service.
#[test]
fn only_the_owner_of_the_directory_rotates() {
    let place = Place::used();
    if !rustix::process::geteuid().is_root() {
        tongguan_testkit::skipped("only root can give a directory to another user");
        return;
    }
    std::os::unix::fs::chown(place.data(), Some(65_534), None).unwrap();
    let before = place.key();
    let output = place.run(&["master-key", "rotate"], &[]);
    assert_eq!(output.status.code(), Some(77), "{}", text(&output));
    assert!(text(&output).contains("belongs to user 65534") && place.key() == before, "{}", text(&output));
}

/// No core is written, and a process of the same user cannot look into the memory: the kernel gives the files in /proc
/// of a process that must not be dumped to root.
#[test]
fn the_process_cannot_be_dumped() {
    use std::os::unix::fs::MetadataExt as _;
    use std::os::unix::process::CommandExt as _;
    const NOBODY: u32 = 65_534;
    let place = Place::new();
    let mut command = place.command(&["serve", "--listen", "127.0.0.1:0", "--admin-listen", "off"], &[]);
    if rustix::process::geteuid().is_root() {
        // Whose they are can only be seen of a user's process.
        std::fs::create_dir(place.data()).unwrap();
        for path in [place.directory.path(), &place.data()] {
            std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        command.uid(NOBODY).gid(NOBODY);
    }
    let mut child = match command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn() {
        Ok(child) => child,
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            eprintln!("skipped: another user cannot run the program where it is");
            return;
        }
        Err(error) => panic!("{error}"),
    };
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let listens = lines.any(|line| line.unwrap().starts_with("listening on "));
    let owner = std::fs::metadata(format!("/proc/{}/environ", child.id())).map(|file| file.uid());
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(listens && !status.contains("Uid:\t0\t"), "{status}");
    assert_eq!(owner.unwrap(), 0);
}
