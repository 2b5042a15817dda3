//! How gateways reach their peers: over a bridge of the host, to which a block of addresses is routed, or over one of
//! the host's links.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use ipnet::IpNet;

use crate::namespace::{Namespace, NamespaceError, ip};

/// Longest name of an interface.
const MAX_NAME: usize = 15;

/// How gateways reach their peers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outside {
    /// They are on this bridge, which is made if there is none.
    Bridge {
        /// Its name.
        name: String,
        /// Addresses of gateways: the host sends there what comes for them, and answers on the bridge for everybody
        /// beyond it. None: the bridge is somebody else's, who has seen to that.
        pool: Option<IpNet>,
    },
    /// They are neighbours of the host on this link, each with an address of its own (macvlan).
    Link {
        /// Its name.
        name: String,
        /// Who knows the way to peers that are no neighbours.
        router: Option<IpAddr>,
    },
}

/// The way out could not be prepared.
#[derive(Debug, thiserror::Error)]
pub enum OutsideError {
    /// A link has no name that there can be.
    #[error("`{0}` is not the name of a link")]
    Name(String),
    /// `ip` failed.
    #[error(transparent)]
    Ip(#[from] NamespaceError),
    /// A setting of the kernel.
    #[error("`{}`", path.display())]
    Setting {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl Outside {
    /// Makes what gateways share. Doing so again changes nothing.
    ///
    /// # Errors
    /// [`OutsideError`].
    pub(crate) fn prepare(&self) -> Result<(), OutsideError> {
        let (Self::Bridge { name, .. } | Self::Link { name, .. }) = self;
        let known = |letter: char| letter.is_ascii_graphic() && letter != '/';
        if name.is_empty() || name.len() > MAX_NAME || name.starts_with('-') || !name.chars().all(known) {
            return Err(OutsideError::Name(name.chars().take(MAX_NAME + 1).collect()));
        }
        let Self::Bridge { pool, .. } = self else {
            return Ok(ip(&format!("link show dev {name}"))?);
        };
        if ip(&format!("link show dev {name}")).is_err() {
            ip(&format!("link add {name} type bridge"))?;
        }
        ip(&format!("link set dev {name} up"))?;
        let Some(pool) = pool else { return Ok(()) };
        ip(&format!("route replace {pool} dev {name}"))?;
        let path = PathBuf::from(format!("/proc/sys/net/ipv4/conf/{name}/proxy_arp"));
        std::fs::write(&path, "1").map_err(|source| OutsideError::Setting { path, source })?;
        let forwards = std::fs::read_to_string(Path::new("/proc/sys/net/ipv4/ip_forward"));
        if forwards.is_ok_and(|value| value.trim() == "0") {
            tracing::warn!(
                "this host forwards no packets: gateways reach each other, and nobody beyond it; \
                 set net.ipv4.ip_forward to 1"
            );
        }
        Ok(())
    }

    /// Gives a namespace its interface; `name` is for the host's end, if there is one.
    pub(crate) fn join(&self, name: &str, namespace: &Namespace, inside: &str) -> Result<(), NamespaceError> {
        let within = namespace.name();
        match self {
            Self::Bridge { name: bridge, .. } => {
                // One that was left half-way has no end inside.
                self.leave(name);
                ip(&format!("link add {name} type veth peer name {inside} netns {within}"))?;
                ip(&format!("link set dev {name} master {bridge} up"))
            }
            Self::Link { name: link, .. } => {
                ip(&format!("link add link {link} netns {within} name {inside} type macvlan mode bridge"))
            }
        }
    }

    /// Removes the host's end, if there is one: with its namespace alone it would go some time later.
    pub(crate) fn leave(&self, name: &str) {
        if let Self::Bridge { .. } = self {
            // It may have gone already.
            let _ = ip(&format!("link del dev {name}"));
        }
    }

    /// What stands in a route to peers before the device.
    pub(crate) fn way(&self) -> String {
        match self {
            Self::Link { router: Some(router), .. } => format!("via {router} onlink "),
            Self::Bridge { .. } | Self::Link { router: None, .. } => String::new(),
        }
    }
}
