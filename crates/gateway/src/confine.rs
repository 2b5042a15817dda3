//! Giving up rights: from here on the process works with what it has, and gets nothing more.
//!
//! Whatever a packet of a stranger may bring about in it, it can open no file and no socket, start no program, and
//! read no other process; nobody of its own user can read it; its keys are on no disk, by neither swapping nor dumping.

use std::collections::BTreeMap;
use std::io;

use landlock::{ABI, Access as _, AccessFs, AccessNet, Ruleset, RulesetAttr as _};
use rustix::mm::MlockAllFlags;
use rustix::process::{DumpableBehavior, Gid, Resource, Rlimit, Uid};
use rustix::thread::{CapabilitySet, CapabilitySets};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

/// A right could not be given up.
#[derive(Debug, thiserror::Error)]
pub enum ConfineError {
    /// A system call.
    #[error("{0} failed")]
    System(&'static str, #[source] io::Error),
    /// The filter of system calls.
    #[error("the filter of system calls cannot be installed")]
    Filter(#[from] seccompiler::Error),
    /// Files and ports.
    #[error("access to files cannot be given up")]
    Landlock(#[from] landlock::RulesetError),
}

fn system(what: &'static str) -> impl FnOnce(rustix::io::Errno) -> ConfineError {
    move |error| ConfineError::System(what, error.into())
}

/// What is given up before there are other threads: memory on disk, the user, capabilities, files.
///
/// # Errors
/// [`ConfineError`].
pub fn process(user: Option<u32>) -> Result<(), ConfineError> {
    let nothing = Rlimit { current: Some(0), maximum: Some(0) };
    rustix::process::setrlimit(Resource::Core, nothing).map_err(system("setrlimit"))?;
    let without_bound = Rlimit { current: None, maximum: None };
    // Who may lock only some memory, locks none: what is beyond could not be had at all.
    if rustix::process::setrlimit(Resource::Memlock, without_bound).is_ok() {
        let flags = MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT;
        rustix::mm::mlockall(flags).map_err(system("mlockall"))?;
    } else {
        tracing::warn!("memory cannot be locked: keys may be swapped");
    }
    for number in 0..64 {
        // Those that a kernel does not know cannot be had either.
        let _ =
            rustix::thread::remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(1 << number));
    }
    rustix::thread::clear_ambient_capability_set().map_err(system("prctl"))?;
    if let Some(user) = user {
        let (uid, gid) = (Uid::from_raw(user), Gid::from_raw(user));
        rustix::thread::set_thread_groups(&[]).map_err(system("setgroups"))?;
        rustix::thread::set_thread_res_gid(gid, gid, gid).map_err(system("setresgid"))?;
        rustix::thread::set_thread_res_uid(uid, uid, uid).map_err(system("setresuid"))?;
    }
    let none = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    rustix::thread::set_capabilities(None, none).map_err(system("capset"))?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(system("prctl"))?;
    rustix::thread::set_no_new_privs(true).map_err(system("prctl"))?;
    // A kernel without it has the filter all the same.
    Ruleset::default()
        .handle_access(AccessFs::from_all(ABI::V5))?
        .handle_access(AccessNet::from_all(ABI::V5))?
        .create()?
        .restrict_self()?;
    Ok(())
}

/// What is given up when all threads are there: every system call but those that they work with. Any other fails with
/// EPERM.
///
/// # Errors
/// [`ConfineError`].
pub fn threads() -> Result<(), ConfineError> {
    let rules: BTreeMap<i64, _> = CALLS.iter().map(|call| (*call, Vec::new())).collect();
    let architecture = std::env::consts::ARCH.try_into().map_err(seccompiler::Error::Backend)?;
    let refused = SeccompAction::Errno(rustix::io::Errno::PERM.raw_os_error().cast_unsigned());
    let filter = SeccompFilter::new(rules, refused, SeccompAction::Allow, architecture);
    let program: BpfProgram = filter.and_then(TryInto::try_into).map_err(seccompiler::Error::Backend)?;
    seccompiler::apply_filter_all_threads(&program)?;
    Ok(())
}

/// What the threads work with: descriptors that are there, memory, each other, time, randomness, their end.
const CALLS: &[i64] = &[
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_close,
    libc::SYS_ppoll,
    libc::SYS_accept4,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_recvmmsg,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_sendmmsg,
    libc::SYS_getsockname,
    libc::SYS_ioctl,
    libc::SYS_fcntl,
    libc::SYS_mmap,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_mprotect,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_futex,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_membarrier,
    libc::SYS_sigaltstack,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_restart_syscall,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_getrandom,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_tgkill,
    libc::SYS_exit,
    libc::SYS_exit_group,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
];
