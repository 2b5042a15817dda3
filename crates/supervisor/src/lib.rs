//! The privileged helper of gateways: network namespaces, what is opened in them, and the processes that work there.
//!
//! It reads no packet and no message of a peer. What it opens in a namespace goes to a process that has no rights of
//! its own ([`tongguan_gateway`]), and whose end it notices.
//!
//! Links, addresses and routes are set by the program `ip` of iproute2.
#![forbid(unsafe_code)]

mod host;
mod namespace;
mod outside;
mod process;
mod serve;

pub use host::{Host, HostError, Settings};
pub use namespace::{Namespace, NamespaceError, TUNNEL, ip};
pub use outside::{Outside, OutsideError};
pub use process::{Process, StartError};
pub use serve::{adopt, serve};
