//! A directory that is not ours is refused, and nothing in it is another afterwards; in one of ours only our files
//! are touched.

use std::collections::BTreeMap;
use std::fs::{Permissions, create_dir_all, set_permissions, write};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{run, serve, told};

/// Mode, owner, time of the last change of content and of the entry, and content.
type State = (u32, u32, i64, i64, i64, Vec<u8>);

/// Everything below a directory, itself included.
fn states(root: &Path) -> BTreeMap<PathBuf, State> {
    let mut found = BTreeMap::new();
    let mut left = vec![root.to_path_buf()];
    while let Some(path) = left.pop() {
        let metadata = std::fs::symlink_metadata(&path).unwrap();
        let content = match metadata.file_type() {
            kind if kind.is_file() => std::fs::read(&path).unwrap(),
            kind if kind.is_symlink() => {
                std::fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes()
            }
            _ => Vec::new(),
        };
        if metadata.is_dir() {
            left.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        let state = (
            metadata.mode(),
            metadata.uid(),
            metadata.mtime(),
            metadata.mtime_nsec(),
            metadata.ctime(),
            content,
        );
        found.insert(path, state);
    }
    found
}

fn put(path: &Path, mode: u32) {
    create_dir_all(path.parent().unwrap()).unwrap();
    write(path, path.display().to_string()).unwrap();
    set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn folder(path: &Path, mode: u32) {
    create_dir_all(path).unwrap();
    set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// A world-writable directory with a tree of others in it.
fn shared(place: &Path) {
    put(&place.join("notes.txt"), 0o666);
    put(&place.join("tools/run.sh"), 0o755);
    put(&place.join("tools/deep/deeper/deepest.sh"), 0o775);
    folder(&place.join("tools"), 0o777);
    symlink("tools/run.sh", place.join("link")).unwrap();
    folder(place, 0o1777);
}

/// What `/` looks like.
fn root_like(place: &Path) {
    for program in ["bin/sh", "usr/bin/env", "sbin/init"] {
        put(&place.join(program), 0o755);
    }
    put(&place.join("etc/passwd"), 0o644);
    folder(&place.join("tmp"), 0o1777);
    folder(&place.join("lost+found"), 0o700);
    folder(place, 0o755);
}

/// Every command that takes a directory. `{}` is the directory.
const COMMANDS: &[&str] = &[
    "serve --listen 127.0.0.1:0 --admin-listen off --data-dir {}",
    "restore copy.db --data-dir {} --master-key-file ours/master.key",
    "account create research --data-dir {}",
    "account list --data-dir {}",
    "account disable 1234567890123456 --data-dir {}",
    "master-key rotate --data-dir {}",
    "audit --data-dir {}",
    "audit --begin-anew --data-dir {}",
    "check --data-dir {}",
    "backup new.db --data-dir {}",
    "status --data-dir {}",
    "policy explain --principal root --action vpc:CreateVpc --data-dir {}",
];

/// A data directory of ours, a copy of it, and the place that they are in.
fn world() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    serve(directory.path(), &["--data-dir", "ours"]).stop();
    let copied = run("backup copy.db --data-dir ours", directory.path());
    assert!(copied.status.success(), "{}", super::text(&copied));
    directory
}

#[test]
fn a_directory_that_is_not_ours_is_not_touched() {
    let world = world();
    let place = world.path().join("theirs");
    type Lay = fn(&Path);
    let trees: &[(&str, Lay)] = &[
        ("a program", |place| put(place, 0o755)),
        ("a shared directory", shared),
        ("a tree like the root", root_like),
        ("a lone lock file beside other files", |place| {
            shared(place);
            put(&place.join("tongguan.lock"), 0o644);
        }),
        ("folders called like ours", |place| {
            put(&place.join("audit/2026/report.sh"), 0o755);
            put(&place.join("nonces/list"), 0o666);
            put(&place.join("letters/letter"), 0o666);
            folder(place, 0o777);
        }),
        ("a database that is empty", |place| {
            put(&place.join("program"), 0o755);
            write(place.join("tongguan.db"), "").unwrap();
        }),
        ("a database that is a link", |place| {
            put(&place.join("theirs.db"), 0o644);
            symlink("theirs.db", place.join("tongguan.db")).unwrap();
        }),
    ];
    for (what, lay) in trees {
        lay(&place);
        let before = states(&place);
        for command in COMMANDS {
            let (code, said) = told(&command.replace("{}", "theirs"), world.path());
            assert_eq!(code, Some(78), "{what}, {command}: {said}");
            assert!(
                said.contains("is not a data directory") && said.contains("Nothing was changed"),
                "{said}"
            );
            assert_eq!(states(&place), before, "{what}: {command}");
        }
        if place.is_dir() { std::fs::remove_dir_all(&place) } else { std::fs::remove_file(&place) }.unwrap();
    }
    assert!(!world.path().join("new.db").exists());
}

#[test]
fn a_file_of_others_in_our_directory_stays_as_it_is() {
    let world = world();
    let ours = world.path().join("ours");
    // What is ours and too wide is tightened; what others put there is theirs.
    let theirs =
        ["letter.txt", "scripts/run.sh", "audit/report.sh", "nonces/list.sh"].map(|name| ours.join(name));
    theirs.iter().for_each(|path| put(path, 0o777));
    let outside = world.path().join("outside.sh");
    put(&outside, 0o777);
    symlink(&outside, ours.join("control.sock.part")).unwrap();
    symlink(&outside, ours.join("a link")).unwrap();
    folder(&ours.join("scripts"), 0o777);
    let before: Vec<_> = theirs.iter().chain([&outside]).map(|path| states(path)).collect();
    for name in ["", "tongguan.mark", "nonces"] {
        set_permissions(ours.join(name), Permissions::from_mode(0o755)).unwrap();
    }
    let service = serve(world.path(), &["--data-dir", "ours"]);
    // What the program makes is known to be ours, its own part of it as well.
    let known = tongguan_store::own_entries(&ours).unwrap();
    for name in
        ["control.sock", "master.key", "tongguan.db", "tongguan.db-wal", "tongguan.lock", "tongguan.mark"]
    {
        assert!(known.contains(&ours.join(name)), "{name}");
    }
    for command in ["account create research", "account list", "audit", "check", "status", "backup new.db"] {
        let output = run(&format!("{command} --data-dir ours"), world.path());
        assert!(output.status.success(), "{command}: {}", super::text(&output));
    }
    assert!(service.stop().success());
    let entries = std::fs::read_dir(&ours).unwrap().map(|entry| entry.unwrap().path());
    let not_ours = ["letter.txt", "scripts", "a link", "control.sock.part"];
    for path in entries.filter(|path| !not_ours.iter().any(|name| path.ends_with(name))) {
        assert!(
            known.contains(&path),
            "{} is not in the table of crates/store/src/sqlite/territory.rs",
            path.display()
        );
    }
    let rotated = run("master-key rotate --data-dir ours", world.path());
    assert!(rotated.status.success(), "{}", super::text(&rotated));
    let after: Vec<_> = theirs.iter().chain([&outside]).map(|path| states(path)).collect();
    assert_eq!(before, after);
    let mode = |name: &str| std::fs::metadata(ours.join(name)).unwrap().mode() & 0o7777;
    assert_eq!(["", "tongguan.mark", "nonces", "scripts"].map(mode), [0o750, 0o740, 0o750, 0o777]);
}

#[test]
fn only_a_new_or_empty_directory_is_restored_into() {
    let world = world();
    let restore = "restore copy.db --data-dir into --master-key-file ours/master.key";
    let into = world.path().join("into");
    for left in ["audit/00000000000000000001.jsonl", "nonces/nonces-1", "tongguan.mark", "control.sock"] {
        put(&into.join(left), 0o600);
        let before = states(&into);
        let (code, said) = told(restore, world.path());
        assert_eq!(code, Some(78), "{left}: {said}");
        assert!(said.contains("nothing is overwritten"), "{said}");
        assert_eq!(states(&into), before);
        std::fs::remove_dir_all(&into).unwrap();
    }
    // What a start that was ended at once has left proves nothing against it; a key may be there before.
    put(&into.join("tongguan.lock"), 0o600);
    std::fs::copy(world.path().join("ours/master.key"), into.join("master.key")).unwrap();
    let (code, said) = told("restore copy.db --data-dir into", world.path());
    assert_eq!(code, Some(0), "{said}");
    serve(world.path(), &["--data-dir", "into"]).stop();
}

#[test]
fn the_lock_is_not_written_through_a_link() {
    let world = world();
    let victim = world.path().join("victim");
    put(&victim, 0o644);
    let before = states(&victim);
    let lock = world.path().join("ours/tongguan.lock");
    std::fs::remove_file(&lock).unwrap();
    symlink(&victim, &lock).unwrap();
    let (code, said) = told("serve --listen 127.0.0.1:0 --admin-listen off --data-dir ours", world.path());
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("`tongguan.lock` in it is a symbolic link"), "{said}");
    assert_eq!(states(&victim), before);
}
