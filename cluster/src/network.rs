//! Network namespaces of a cluster: one for each member, and a hub with the bridge between them, where clients run.
//!
//! Nothing leaves them, and each member has the same ports. Their names are fixed, so that whoever looks finds them
//! (`ip netns exec tgc-hub psql …`); a lock sees to it that there is one cluster at a time. A member is cut off by the
//! state of its port on the bridge: that drops packets and keeps the carrier, as a broken switch does.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::single::said;

/// How many members there are.
pub(crate) const MEMBERS: usize = 3;

/// Where the hub is.
pub(crate) const HUB: &str = "tgc-hub";

/// The namespace of a member.
pub(crate) fn namespace(member: usize) -> String {
    format!("tgc-{}", member + 1)
}

/// Names of all namespaces.
pub(crate) fn namespaces() -> Vec<String> {
    (0..MEMBERS).map(namespace).chain([HUB.to_owned()]).collect()
}

/// Where a namespace is found.
pub(crate) fn path(namespace: &str) -> PathBuf {
    Path::new("/run/netns").join(namespace)
}

/// The address of a member: of those that are for documents, and routed nowhere.
pub(crate) fn address(member: usize) -> String {
    format!("192.0.2.{}", member + 1)
}

/// Makes the namespaces, and connects them.
pub(crate) fn raise() -> Result<()> {
    let mut steps = format!("netns add {HUB}\n");
    for member in 0..MEMBERS {
        steps.push_str(&format!("netns add {}\n", namespace(member)));
    }
    batch(&[], &steps)?;
    let mut hub = String::from("link set lo up\nlink add name bridge type bridge\n");
    hub.push_str("address add 192.0.2.254/24 dev bridge\nlink set bridge up\n");
    for member in 0..MEMBERS {
        let (port, namespace) = (port(member), namespace(member));
        hub.push_str(&format!("link add {port} type veth peer name eth0 netns {namespace}\n"));
        hub.push_str(&format!("link set {port} master bridge up\n"));
    }
    batch(&["-netns", HUB], &hub)?;
    for member in 0..MEMBERS {
        let inner =
            format!("link set lo up\naddress add {}/24 dev eth0\nlink set eth0 up\n", address(member));
        batch(&["-netns", &namespace(member)], &inner)?;
    }
    Ok(())
}

/// Cuts a member off from all others, or no longer.
pub(crate) fn cut(member: usize, off: bool) -> Result<()> {
    // States of the spanning tree: disabled, forwarding.
    let state = if off { "0" } else { "3" };
    let mut bridge = Command::new("bridge");
    said(bridge.args(["-netns", HUB, "link", "set", "dev", &port(member), "state", state])).map(drop)
}

/// A command that runs in a namespace.
pub(crate) fn within(namespace: &str, program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", namespace]).arg(program);
    command
}

/// Moves the calling thread into the hub, for the rest of its life: what it connects to is there.
pub(crate) fn enter() -> Result<()> {
    let hub = File::open(path(HUB)).context("there is no cluster")?;
    move_into_link_name_space(hub.as_fd(), Some(LinkNameSpaceType::Network)).context("cannot enter the hub")
}

fn port(member: usize) -> String {
    format!("member{}", member + 1)
}

fn batch(arguments: &[&str], steps: &str) -> Result<()> {
    let mut ip = Command::new("ip")
        .args(arguments)
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    ip.stdin.take().context("just piped")?.write_all(steps.as_bytes())?;
    let output = ip.wait_with_output()?;
    ensure!(output.status.success(), "ip: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}
