//! Processes by where they are, and signals to them.
//!
//! An id in a file may be another process's by now. Where a process works is its own: every process of a PostgreSQL
//! has its data directory for a working directory.

use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

/// Ids of the processes whose working directory this is.
pub(crate) fn working_in(directory: &Path) -> Vec<Pid> {
    all().filter(|pid| link(*pid, "cwd").is_some_and(|cwd| cwd == directory)).collect()
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
