//! A release of a small program that stands for the real one, and what tools of others read in it.

use std::collections::BTreeMap;
use std::io::{Cursor, Read as _};
use std::path::Path;
use std::process::Command;

use flate2::read::GzDecoder;
use serde_json::Value;

use super::*;

/// Prints what is asked of the program for a release, and names itself.
const PROGRAM: &str = r#"#!/bin/sh
case "$1" in
completions) echo "completions for $2" ;;
manual-pages) for page in tongguan tongguan-serve; do echo ".TH $page 1" > "$2/$page.1"; done ;;
*) exit 64 ;;
esac
"#;

fn here() -> &'static Target {
    TARGETS.iter().find(|target| target.arch == std::env::consts::ARCH).unwrap()
}

fn release() -> BTreeMap<String, Vec<u8>> {
    let tree = Tree::of_this_repository();
    let manual = vec![("en/index.html".to_owned(), b"<h1>Manual</h1>".to_vec())];
    carry(&tree, &[(here(), PROGRAM.as_bytes().to_vec())], manual).unwrap().into_iter().collect()
}

fn named<'r>(release: &'r BTreeMap<String, Vec<u8>>, end: &str) -> &'r [u8] {
    release.iter().find(|(name, _)| name.ends_with(end)).unwrap_or_else(|| panic!("no *{end}")).1
}

/// Names, modes and contents of a tar file.
fn files(tar: &[u8]) -> BTreeMap<String, (u32, Vec<u8>)> {
    let mut archive = tar::Archive::new(Cursor::new(tar));
    let read = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().display().to_string();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        (name, (entry.header().mode().unwrap(), bytes))
    });
    read.collect()
}

fn unzipped(bytes: &[u8]) -> Vec<u8> {
    let mut all = Vec::new();
    GzDecoder::new(bytes).read_to_end(&mut all).unwrap();
    all
}

fn run(command: &mut Command) -> Option<String> {
    let output = command.output().ok()?;
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn one_commit_makes_the_same_bytes_and_the_sums_are_theirs() {
    let first = release();
    assert_eq!(first, release());
    let sums = String::from_utf8(named(&first, "SHA256SUMS").to_vec()).unwrap();
    assert_eq!(sums.lines().count(), first.len() - 1);
    for line in sums.lines() {
        let (sum, name) = line.split_once("  ").unwrap();
        assert_eq!(sha256(&first[name]), sum, "{name}");
    }
}

#[test]
fn the_archive_has_what_the_list_says() {
    let all = files(&unzipped(named(&release(), &format!("{}.tar.gz", here().arch))));
    let version = Release::of(&Tree::of_this_repository()).unwrap().version;
    let top = format!("tongguan-{version}-{}", here().arch);
    assert_eq!(all[&format!("{top}/tongguan")], (0o755, PROGRAM.as_bytes().to_vec()));
    assert_eq!(all[&format!("{top}/man/tongguan-serve.1")].1, b".TH tongguan-serve 1\n");
    assert_eq!(all[&format!("{top}/manual/en/index.html")].1, b"<h1>Manual</h1>");
    let notices = String::from_utf8(all[&format!("{top}/NOTICES.txt")].1.clone()).unwrap();
    for name in ["rusqlite ", "aws-lc-rs ", "Apache License"] {
        assert!(notices.contains(name), "{name}");
    }
    let sbom: Value = serde_json::from_slice(&all[&format!("{top}/sbom.cdx.json")].1).unwrap();
    let components = sbom["components"].as_array().unwrap();
    let has = |name: &str| components.iter().any(|component| component["name"] == name);
    assert!(has("hyper") && has("tongguan-store"));
    // Only for tests, or only to build.
    assert!(!has("proptest") && !has("cc") && !has("tongguan-testkit"));
    let hashed = components.iter().filter(|component| component["hashes"][0]["content"].is_string()).count();
    let own = components.iter().filter(|one| one["name"].as_str().unwrap().starts_with("tongguan-")).count();
    assert_eq!(hashed + own, components.len());
}

#[test]
fn dpkg_reads_the_package() {
    let release = release();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tongguan.deb");
    std::fs::write(&file, named(&release, ".deb")).unwrap();
    let deb = |arguments: &[&str]| run(Command::new("dpkg-deb").args(arguments).arg(&file));
    let Some(says) = deb(&["--info"]) else {
        eprintln!("skipped: dpkg-deb is not installed");
        return;
    };
    assert!(says.contains("Package: tongguan") && says.contains(here().debian), "{says}");
    let contents = deb(&["--contents"]).unwrap();
    for line in ["./usr/bin/tongguan", "./etc/tongguan/tongguan.toml", "./usr/lib/sysusers.d/tongguan.conf"] {
        assert!(contents.lines().any(|has| has.ends_with(line)), "{line}: {contents}");
    }
    assert!(contents.lines().all(|line| line.contains("root/root")), "{contents}");
    let unpacked = folder.path().join("unpacked");
    run(Command::new("dpkg-deb").arg("--raw-extract").arg(&file).arg(&unpacked)).unwrap();
    let unit = std::fs::read_to_string(unpacked.join("usr/lib/systemd/system/tongguan.service")).unwrap();
    assert!(unit.contains("ExecStart=/usr/bin/tongguan serve"), "{unit}");
    assert_eq!(
        std::fs::read_to_string(unpacked.join("DEBIAN/conffiles")).unwrap(),
        "/etc/logrotate.d/tongguan\n/etc/tongguan/tongguan.toml\n"
    );
    for script in ["postinst", "prerm", "postrm"] {
        run(Command::new("sh").arg("-n").arg(unpacked.join("DEBIAN").join(script))).unwrap();
    }
}

/// The namespace of a gateway is a mount, and outlives the supervisor that made it.
#[test]
fn the_supervisor_has_no_mounts_of_its_own() {
    let unit = Tree::of_this_repository().read("dist/tongguan-supervisor.service").unwrap();
    let settings = unit.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('='));
    let own = [
        "ProtectSystem",
        "ProtectHome",
        "ProtectProc",
        "ProcSubset",
        "ProtectKernelTunables",
        "ProtectKernelModules",
        "ProtectKernelLogs",
        "ProtectControlGroups",
        "PrivateTmp",
        "PrivateDevices",
        "PrivateMounts",
        "PrivateIPC",
        "ReadOnlyPaths",
        "ReadWritePaths",
        "InaccessiblePaths",
        "BindPaths",
        "BindReadOnlyPaths",
        "TemporaryFileSystem",
        "LoadCredential",
        "MountFlags",
        "RootDirectory",
        "DynamicUser",
    ];
    let names: Vec<&str> = settings.map(|(name, _)| name).collect();
    assert!(names.contains(&"ExecStart"));
    assert!(names.iter().all(|name| !own.contains(name)), "{names:?}");
}

/// A system may be without procps or anything else that is not essential.
#[test]
fn units_call_the_program_and_the_shell_alone() {
    let release = release();
    let files = files(&unzipped(named(&release, &format!("{}.tar.gz", here().arch))));
    let units: Vec<&(u32, Vec<u8>)> =
        files.iter().filter(|(name, _)| name.ends_with(".service")).map(|(_, file)| file).collect();
    assert_eq!(units.len(), 2, "{:?}", files.keys());
    for (_, unit) in units {
        let unit = std::str::from_utf8(unit).unwrap();
        for line in unit.lines().filter(|line| line.starts_with("Exec")) {
            let (_, command) = line.split_once('=').unwrap();
            let program = command.split(' ').next().unwrap();
            assert!(["/usr/local/bin/tongguan", "/bin/sh"].contains(&program), "{line}");
        }
    }
}

/// The example of the configuration, the folder that the unit makes and what is rotated are one.
#[test]
fn what_is_rotated_is_what_the_service_writes() {
    let release = release();
    let files = files(&unzipped(named(&release, &format!("{}.tar.gz", here().arch))));
    let text = |end: &str| -> &str {
        let (_, (_, bytes)) = files.iter().find(|(name, _)| name.ends_with(end)).unwrap();
        std::str::from_utf8(bytes).unwrap()
    };
    let line = |text: &'_ str, begin: &str| -> String {
        text.lines().find_map(|line| line.strip_prefix(begin)).unwrap().to_owned()
    };
    let unit = text("/tongguan.service");
    let folder = format!("/var/log/{}", line(unit, "LogsDirectory="));
    let log = line(text("/tongguan.toml"), "#audit_log = ");
    let log = log.trim_matches('"');
    assert_eq!(Path::new(log).parent(), Some(Path::new(&folder)));
    let rotation = text("/tongguan.logrotate");
    assert!(rotation.lines().any(|line| line == format!("{log} {{")), "{rotation}");
    assert!(rotation.contains("systemctl reload tongguan.service") && unit.contains("\nExecReload="));
    // What is renamed is still written until the service is told, and found by its name's begin.
    assert!(rotation.contains("delaycompress") && !rotation.contains("copytruncate"));
}

#[test]
fn the_rpm_says_what_it_has() {
    let release = release();
    let package = rpm::Package::parse(&mut Cursor::new(named(&release, ".rpm"))).unwrap();
    package.verify_digests().unwrap();
    assert_eq!(package.metadata.get_name().unwrap(), "tongguan");
    assert_eq!(package.metadata.get_arch().unwrap(), here().arch);
    let entries = package.metadata.get_file_entries().unwrap();
    let config =
        entries.iter().find(|entry| entry.path() == Path::new("/etc/tongguan/tongguan.toml")).unwrap();
    assert!(config.flags().contains(rpm::FileFlags::CONFIG | rpm::FileFlags::NOREPLACE));
    assert_eq!(config.mode().permissions(), 0o600);
    assert!(entries.iter().any(|entry| entry.path() == Path::new("/usr/share/zsh/site-functions/_tongguan")));
}

/// A `.rpm` of a version, whose configuration ends with a line.
fn rpm_of(version: &str, configuration: &str) -> Vec<u8> {
    let tree = Tree::of_this_repository();
    let release = Release { version: version.to_owned(), ..Release::of(&tree).unwrap() };
    let mut everywhere = made::printed(&[(here(), PROGRAM.as_bytes().to_vec())]).unwrap();
    everywhere.insert("manual".to_owned(), vec![("en/index.html".to_owned(), b"<h1>Manual</h1>".to_vec())]);
    let made = made::all(&tree, &release, here(), PROGRAM.as_bytes(), &everywhere).unwrap();
    let mut entries = list::entries(&tree, &list::read(&tree).unwrap(), &made, list::Place::Rpm).unwrap();
    let toml = entries.iter_mut().find(|entry| entry.to == "/etc/tongguan/tongguan.toml").unwrap();
    toml.bytes.extend_from_slice(configuration.as_bytes());
    redhat::package(&tree, &entries, here(), &release).unwrap()
}

/// A folder with a shell, what makes users, and their libraries: as little of a system as the package's scripts need.
fn small_root(root: &Path) {
    for (name, to) in [("bin", "usr/bin"), ("sbin", "usr/sbin"), ("lib", "usr/lib"), ("lib64", "usr/lib64")] {
        std::fs::create_dir_all(root.join(to)).unwrap();
        std::os::unix::fs::symlink(to, root.join(name)).unwrap();
    }
    for folder in ["dev", "etc", "tmp", "var/tmp", "var/lib/tongguan"] {
        std::fs::create_dir_all(root.join(folder)).unwrap();
    }
    std::fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n").unwrap();
    std::fs::write(root.join("etc/group"), "root:x:0:\n").unwrap();
    let copy = |path: &str| {
        let to = root.join(path.trim_start_matches('/'));
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(path, to).unwrap();
    };
    let found = |name: &str| {
        let folders = ["/usr/bin", "/usr/sbin", "/bin", "/sbin"];
        folders.map(|folder| format!("{folder}/{name}")).into_iter().find(|path| Path::new(path).exists())
    };
    let tools = ["sh", "systemd-sysusers", "getent", "groupadd", "useradd"];
    for tool in tools.into_iter().filter_map(found) {
        copy(&tool);
        let libraries = run(Command::new("ldd").arg(&tool)).unwrap();
        libraries.split_whitespace().filter(|word| word.starts_with('/')).for_each(copy);
    }
}

#[test]
fn rpm_installs_upgrades_and_removes_the_package() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    let allowed = Command::new("unshare").args(["-r", "rpm", "--version"]).output();
    if !allowed.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: rpm is not installed, or there are no user namespaces");
        return;
    }
    let root = place("root");
    small_root(&root);
    // What has the shell in a system of packages.
    let mut base = Vec::new();
    let shell = rpm::Dependency::any("/bin/sh");
    let mut builder = rpm::PackageBuilder::new("base", "1", "none", "noarch", "a shell");
    builder.using_config(rpm::BuildConfig::v4()).provides(shell).build().unwrap().write(&mut base).unwrap();
    std::fs::write(place("base.rpm"), base).unwrap();
    std::fs::write(place("old.rpm"), rpm_of("0.0.1", "")).unwrap();
    std::fs::write(place("new.rpm"), rpm_of("9.0.0", "# new\n")).unwrap();
    let rpm = |arguments: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["-r", "rpm", "--root"]).arg(&root).args(arguments).current_dir(folder.path());
        run(&mut command).unwrap()
    };
    let text = |path: &str| std::fs::read_to_string(root.join(path)).unwrap();
    assert!(rpm(&["-K", "old.rpm"]).contains("digests OK"));
    rpm(&["-i", "base.rpm", "old.rpm"]);
    assert_eq!(rpm(&["-V", "tongguan"]), "");
    assert!(text("etc/passwd").contains("tongguan:") && text("etc/group").contains("tongguan:"));
    assert!(text("usr/lib/systemd/system/tongguan.service").contains("ExecStart=/usr/bin/tongguan serve"));
    std::fs::write(root.join("var/lib/tongguan/tongguan.db"), "data").unwrap();
    std::fs::write(root.join("etc/tongguan/tongguan.toml"), "# mine\n").unwrap();

    rpm(&["-U", "new.rpm"]);
    assert_eq!(rpm(&["-q", "tongguan"]).trim(), format!("tongguan-9.0.0-1.{}", here().arch));
    assert_eq!(text("etc/tongguan/tongguan.toml"), "# mine\n");
    assert!(text("etc/tongguan/tongguan.toml.rpmnew").ends_with("# new\n"));

    std::fs::remove_file(root.join("etc/tongguan/tongguan.toml.rpmnew")).unwrap();
    rpm(&["-e", "tongguan"]);
    assert_eq!(text("etc/tongguan/tongguan.toml.rpmsave"), "# mine\n");
    assert_eq!(text("var/lib/tongguan/tongguan.db"), "data");
    assert!(text("etc/passwd").contains("tongguan:"));
    // Of itself nothing is left, no empty folder either.
    let mut left = vec![root.clone()];
    let mut names = Vec::new();
    while let Some(folder) = left.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                left.push(entry.path());
            }
            let name = entry.path().strip_prefix(&root).unwrap().display().to_string();
            names.extend(Some(name).filter(|name| name.contains("tongguan")));
        }
    }
    names.sort();
    let kept = [
        "etc/tongguan",
        "etc/tongguan/tongguan.toml.rpmsave",
        "var/lib/tongguan",
        "var/lib/tongguan/tongguan.db",
    ];
    assert_eq!(names, kept);
}

/// Every blob has the digest that it is called by, and the way from the index to the program is whole.
#[test]
fn the_image_holds_together() {
    let release = release();
    let all = files(named(&release, "-oci.tar"));
    let json = |name: &str| -> Value { serde_json::from_slice(&all[name].1).unwrap() };
    let blob = |described: &Value| -> Vec<u8> {
        let digest = described["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
        let bytes = all[&format!("blobs/sha256/{digest}")].1.clone();
        assert_eq!(sha256(&bytes), digest);
        assert_eq!(described["size"], bytes.len());
        bytes
    };
    let index: Value = serde_json::from_slice(&blob(&json("index.json")["manifests"][0])).unwrap();
    let manifest = &index["manifests"][0];
    assert_eq!(manifest["platform"]["architecture"], here().debian);
    let manifest: Value = serde_json::from_slice(&blob(manifest)).unwrap();
    let config: Value = serde_json::from_slice(&blob(&manifest["config"])).unwrap();
    let layer = unzipped(&blob(&manifest["layers"][0]));
    assert_eq!(config["rootfs"]["diff_ids"][0], format!("sha256:{}", sha256(&layer)));
    assert_eq!(config["config"]["User"], "10001:10001");
    let layer = files(&layer);
    assert_eq!(layer["tongguan"].0, 0o755);
    assert_eq!(layer["data/"].0, 0o700);
    // The same for docker load.
    let docker = files(&unzipped(named(&release, "-docker.tar.gz")));
    let manifest: Value = serde_json::from_slice(&docker["manifest.json"].1).unwrap();
    let config: Value = serde_json::from_slice(&docker[manifest[0]["Config"].as_str().unwrap()].1).unwrap();
    assert_eq!(config["config"]["Healthcheck"]["Test"][1], "/tongguan");
    assert_eq!(files(&docker[manifest[0]["Layers"][0].as_str().unwrap()].1), layer);
}

/// The compose file speaks of the version that is made.
#[test]
fn examples_name_this_version() {
    let tree = Tree::of_this_repository();
    let version = Release::of(&tree).unwrap().version;
    let compose = tree.read("dist/compose.yaml").unwrap();
    assert!(compose.contains(&format!("image: tongguan:{version}\n")), "{compose}");
}

/// The alerts fire when they should, and a service at rest raises none, as Prometheus's own tool sees it.
#[test]
fn promtool_tries_the_alerts() {
    let folder = Tree::of_this_repository().root().join("dist/prometheus");
    let promtool = |arguments: &[&str]| run(Command::new("promtool").args(arguments).current_dir(&folder));
    if promtool(&["check", "rules", "rules.yml"]).is_none() {
        eprintln!("skipped: promtool is not installed");
        return;
    }
    promtool(&["test", "rules", "tests.yml"]).unwrap();
}
