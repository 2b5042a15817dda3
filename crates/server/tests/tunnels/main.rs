//! Packets through tunnels of real gateways: processes of the program, in network namespaces of their own.
//!
//! These need root and a TUN device. Without them a test says `skipped`, unless it runs in continuous integration,
//! where that is a failure.
#![allow(clippy::unwrap_used)]

mod host;
mod network;
mod own;
mod site;
mod strongswan;

use std::path::Path;

/// Whether what these tests need is there; says so if not.
fn possible() -> bool {
    let missing = if !rustix::process::geteuid().is_root() {
        "not root"
    } else if !Path::new("/dev/net/tun").exists() {
        "no /dev/net/tun"
    } else if !["/sbin", "/usr/sbin"].iter().any(|folder| Path::new(folder).join("nft").exists()) {
        "no nftables"
    } else {
        return true;
    };
    skip(missing)
}

/// Says what is missing; in continuous integration it is there.
fn skip(missing: &str) -> bool {
    assert!(std::env::var_os("CI").is_none(), "{missing}");
    #[allow(clippy::print_stderr)]
    {
        eprintln!("skipped: {missing}");
    }
    false
}
