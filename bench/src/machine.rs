//! What the operating system tells: cores, processes, file systems.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use core_affinity::CoreId;
use tongguan_testkit::program::memory_kib;

/// Which core serves and which one generates load.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cores(Option<(CoreId, CoreId)>);

impl Cores {
    /// Takes two cores if there are two, and moves this thread to the second.
    pub(crate) fn take() -> Self {
        let cores = core_affinity::get_core_ids().unwrap_or_default();
        let pair = match cores.as_slice() {
            [first, second, ..] if core_affinity::set_for_current(*second) => Some((*first, *second)),
            _ => None,
        };
        Self(pair)
    }

    /// Runs `start` on the server's core: children begin on the core of the thread that starts them.
    pub(crate) fn on_server<T>(self, start: impl FnOnce() -> T) -> T {
        let Some((server, generator)) = self.0 else { return start() };
        let moved = core_affinity::set_for_current(server);
        let result = start();
        if moved {
            // The core was this thread's a moment ago.
            core_affinity::set_for_current(generator);
        }
        result
    }

    /// For the report.
    pub(crate) fn describe(self) -> String {
        match self.0 {
            Some((server, generator)) => {
                format!("server and ceilings on core {}, load generator on core {}", server.id, generator.id)
            }
            None => "NOT PINNED: server and load generator share the cores".to_owned(),
        }
    }
}

/// Time that all threads of a process have run.
///
/// # Errors
/// There is no such process, or no `/proc`.
pub(crate) fn cpu_time(pid: u32) -> Result<Duration> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).context("no such process")?;
    let mut nanos = 0;
    for task in tasks {
        // A thread may end between the listing and the look.
        let text = fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
        nanos += text.split(' ').next().and_then(|field| field.parse::<u64>().ok()).unwrap_or_default();
    }
    Ok(Duration::from_nanos(nanos))
}

/// Resident memory of a process, MiB.
///
/// # Errors
/// There is no such process, or no `/proc`.
pub(crate) fn resident_mib(pid: u32) -> Result<f64> {
    Ok(memory_kib(pid, "VmRSS")? as f64 / 1024.0)
}

/// Processor and kernel.
pub(crate) fn describe() -> String {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
        .map_or("unknown processor", |(_, model)| model.trim());
    let cores = cpuinfo.lines().filter(|line| line.starts_with("processor")).count();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{model}, {cores} cores, Linux {}", kernel.trim())
}

/// Type of the file system that holds `path`. On `tmpfs` nothing is durable and figures of changes mean nothing.
pub(crate) fn file_system(path: &Path) -> String {
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let path = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ').skip(1);
            Some((fields.next()?, fields.next()?))
        })
        .filter(|(point, _)| path.starts_with(point))
        .max_by_key(|(point, _)| point.len())
        .map_or_else(|| "unknown file system".to_owned(), |(_, kind)| kind.to_owned())
}
