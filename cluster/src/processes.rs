//! Processes by where they are, and signals to them.
//!
//! An id in a file may be another process's by now. Where a process works is its own: every process of a PostgreSQL
//! has its data directory for a working directory, and every process of a member is in the member's network namespace.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

/// Ids of the processes whose working directory this is.
pub(crate) fn working_in(directory: &Path) -> Vec<Pid> {
    all().filter(|pid| link(*pid, "cwd").is_some_and(|cwd| cwd == directory)).collect()
}

/// Ids of the processes in this network namespace (`/run/netns/NAME`).
pub(crate) fn in_namespace(namespace: &Path) -> Vec<Pid> {
    let Ok(namespace) = namespace.metadata() else { return Vec::new() };
    let inside = |pid: &Pid| {
        let own = std::fs::metadata(format!("/proc/{}/ns/net", pid.as_raw_nonzero()));
        own.is_ok_and(|own| own.ino() == namespace.ino() && own.dev() == namespace.dev())
    };
    all().filter(inside).collect()
}

/// The name of a process, as the kernel has it; empty when it is gone.
pub(crate) fn name(pid: Pid) -> String {
    let name = std::fs::read_to_string(format!("/proc/{}/comm", pid.as_raw_nonzero()));
    name.map(|name| name.trim_end().to_owned()).unwrap_or_default()
}

/// Sends them a signal. Those that are gone need none.
pub(crate) fn signal(pids: &[Pid], signal: Signal) {
    for pid in pids {
        let _ = kill_process(*pid, signal);
    }
}

fn all() -> impl Iterator<Item = Pid> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter_map(Pid::from_raw)
}

fn link(pid: Pid, name: &str) -> Option<std::path::PathBuf> {
    std::fs::read_link(format!("/proc/{}/{name}", pid.as_raw_nonzero())).ok()
}
