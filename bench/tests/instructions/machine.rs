//! What counts depend on beside our code.

use std::fmt;
use std::process::Command;

/// Instruction sets, compilers and counter; also the name of a record.
#[derive(Debug)]
pub(crate) struct Machine {
    processor: String,
    rustc: String,
    cc: String,
    valgrind: String,
}

impl Machine {
    /// This one; none if it has no valgrind.
    pub(crate) fn here() -> Option<Self> {
        let valgrind = first_two(&said("valgrind", &["--version"])?, '-');
        let rustc = first_two(&said("rustc", &["--version"]).unwrap_or_default(), ' ');
        let cc = said("cc", &["-dumpversion"]).unwrap_or_default();
        let cc = cc.trim().split('.').next().unwrap_or_default().to_owned();
        // Cryptography takes other ways where it is there; valgrind has nothing beyond it.
        let wide = std::fs::read_to_string("/proc/cpuinfo").is_ok_and(|text| text.contains(" avx2 "));
        let processor = format!("{}{}", std::env::consts::ARCH, if wide { "-avx2" } else { "" });
        Some(Self { processor, rustc, cc, valgrind })
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { processor, rustc, cc, valgrind } = self;
        write!(f, "{processor}-rustc-{rustc}-cc-{cc}-valgrind-{valgrind}")
    }
}

/// What a program prints; none if it is not there.
fn said(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// `1.95` of `rustc 1.95.0 (...)`, `3.19` of `valgrind-3.19.0`.
fn first_two(said: &str, before: char) -> String {
    let version = said.split(before).nth(1).unwrap_or_default().trim();
    version.split('.').take(2).collect::<Vec<_>>().join(".")
}
