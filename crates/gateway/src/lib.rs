//! The process of one gateway: negotiates with its peers, and moves packets between a TUN device and the network.
//!
//! Whoever starts it opens what it works with, and hands it over ([`Ends`]); from then on it opens nothing and has no
//! rights ([`mod@confine`]). What it shall be comes as orders over a socket ([`tongguan_dataplane::orders`]).
//!
//! Two threads, which share nothing but channels:
//!
//! - control: orders, IKE, timers (`control`). It alone holds long-lived keys.
//! - packets: seals what the TUN device gives, opens what the network gives (`packets`), in batches of up to
//!   [`tongguan_esp::BATCH`]. It owns the SAs, so there are no locks.
//!
//! Nothing of an SA is stored: a gateway that was started again negotiates again.
#![forbid(unsafe_code)]

pub mod confine;
mod control;
mod ends;
mod packets;
mod translate;

pub use ends::{Ends, EndsError, TUNNEL_MTU, tunnel_mtu};
pub use tongguan_ike::{IKE_PORT, NAT_PORT};
pub use translate::{Refused, tunnels};

use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;

/// Why a gateway ended.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// A known answer was not computed: nothing of this machine's can be trusted.
    #[error("the ciphers compute something else than they have to")]
    SelfTest(#[source] tongguan_smcrypto::SelfTestError),
    /// What it works with did not arrive.
    #[error("what a gateway works with did not arrive on standard input")]
    Ends(#[from] EndsError),
    /// Rights that it must not have could not be given up.
    #[error("rights could not be given up")]
    Confine(#[from] confine::ConfineError),
    /// A system call that cannot fail in order.
    #[error("{0} failed")]
    System(&'static str, #[source] std::io::Error),
    /// The thread of the packets ended.
    #[error("the thread that moves packets has ended")]
    Packets,
}

/// Runs the gateway whose ends arrive on standard input. Ends with an error only.
///
/// # Errors
/// [`GatewayError`].
pub fn run() -> Result<std::convert::Infallible, GatewayError> {
    tongguan_smcrypto::self_test().map_err(GatewayError::SelfTest)?;
    let input = std::io::stdin().as_fd().try_clone_to_owned();
    let ends = Ends::receive(&UnixStream::from(input.map_err(|error| GatewayError::System("dup", error))?))?;
    confine::process(ends.user)?;
    let (packets, link) = packets::Worker::new(&ends)?;
    let control = control::Control::new(ends, link)?;
    let worker = std::thread::Builder::new().name("packets".into()).spawn(move || packets.run());
    let worker = worker.map_err(|error| GatewayError::System("clone", error))?;
    confine::threads()?;
    tracing::info!("the gateway has started");
    control.run(&worker)
}
