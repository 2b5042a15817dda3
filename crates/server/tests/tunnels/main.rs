//! Packets through tunnels of real gateways: processes of the program, in network namespaces of their own.
//!
//! These need root, namespaces and a TUN device. Without them a test says `skipped`, unless TONGGUAN_JUDGES is
//! `required`: then that is a failure.
#![allow(clippy::unwrap_used)]

mod api;
mod host;
mod many;
mod moments;
mod network;
mod own;
mod site;
mod strongswan;
mod wire;

use std::path::Path;
use std::process::{Command, Stdio};

/// Whether what these tests need is there; says so if not.
fn possible() -> bool {
    let missing = if !rustix::process::geteuid().is_root() {
        "not root"
    } else if !Path::new("/dev/net/tun").exists() {
        "no /dev/net/tun"
    } else if !["/sbin", "/usr/sbin"].iter().any(|folder| Path::new(folder).join("nft").exists()) {
        "no nftables"
    } else if !may_make_devices() {
        "root may not make a TUN device in a network of its own"
    } else {
        return true;
    };
    skip(missing)
}

/// Whether namespaces and devices can be made: in a container root often may not.
fn may_make_devices() -> bool {
    let mut probe = Command::new("unshare");
    probe.args(["--net", "--mount", "ip", "tuntap", "add", "dev", "probe", "mode", "tun"]);
    let output = probe.stdin(Stdio::null()).output();
    output.is_ok_and(|output| output.status.success())
}

/// Says what is missing.
fn skip(missing: &str) -> bool {
    tongguan_testkit::skipped(missing);
    false
}
