//! Static programs: built with musl, linked by zig, which brings a C compiler and a C library for every architecture.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;

use super::Target;

/// What is missing to build for a target, each with how it is installed.
///
/// # Errors
/// The compiler cannot be asked.
pub(super) fn lacking(target: &Target) -> Result<Vec<String>> {
    let mut lacking = Vec::new();
    let output = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", target.triple])
        .output()
        .context("cannot run rustc")?;
    if !Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir() {
        lacking.push(format!("Rust's library for {0} (rustup target add {0})", target.triple));
    }
    if !answers(Command::new("cargo").args(["zigbuild", "--help"])) {
        lacking.push("cargo-zigbuild (cargo install --locked cargo-zigbuild)".to_owned());
    }
    let python = std::env::var_os("CARGO_ZIGBUILD_PYTHON_PATH").unwrap_or_else(|| "python3".into());
    let zig = std::env::var_os("CARGO_ZIGBUILD_ZIG_PATH").unwrap_or_else(|| "zig".into());
    if !answers(Command::new(python).args(["-m", "ziglang", "version"]))
        && !answers(Command::new(zig).arg("version"))
    {
        lacking.push("zig (pip install ziglang)".to_owned());
    }
    Ok(lacking)
}

fn answers(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// Builds the program for a target. Its bytes say nothing of where and when it was built, but `epoch`, seconds since
/// 1970.
///
/// # Errors
/// It cannot be built.
pub(super) fn program(root: &Path, target: &Target, epoch: u32) -> Result<Vec<u8>> {
    let root = std::fs::canonicalize(root).context("the repository's folder")?;
    let cargo_home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cargo")))
        .context("neither CARGO_HOME nor HOME is set")?;
    // A folder of its own for each root would change the names of C objects, which are in no program.
    let built = root.join("target/dist-build");
    let renamed = |option: &str, separator: &str| {
        let mut all = OsString::new();
        for (from, to) in [(&root, "/tongguan"), (&cargo_home, "/cargo")] {
            if !all.is_empty() {
                all.push(separator);
            }
            all.push(format!("{option}={}={to}", from.display()));
        }
        all
    };
    let mut c_flags = renamed("-ffile-prefix-map", " ");
    c_flags.push(dated(epoch)?);
    let status = Command::new("cargo")
        .args(["zigbuild", "--release", "--locked", "-p", "tongguan", "--target", target.triple])
        .arg("--target-dir")
        .arg(&built)
        .env("CARGO_ENCODED_RUSTFLAGS", renamed("--remap-path-prefix", "\u{1f}"))
        .env(format!("CFLAGS_{}", target.triple.replace('-', "_")), c_flags)
        .current_dir(&root)
        .status()
        .context("cannot run cargo")?;
    ensure!(status.success(), "the program for {} cannot be built", target.arch);
    let file = built.join(target.triple).join("release/tongguan");
    std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()))
}

/// Options of a C compiler that give sources a time of compilation. zig knows `SOURCE_DATE_EPOCH`, but keeps objects
/// from one time to another.
fn dated(epoch: u32) -> Result<String> {
    let time = Timestamp::from_second(i64::from(epoch)).context("the commit's time")?;
    let (date, clock) = (time.strftime("%Y-%m-%d"), time.strftime("%H:%M:%S"));
    Ok(format!(" -Wno-builtin-macro-redefined -D__DATE__=\"{date}\" -D__TIME__=\"{clock}\""))
}
