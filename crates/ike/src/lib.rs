//! IKEv1 for gateways: main mode with digital envelopes (GM/T 0022) and with pre-shared keys (RFC 2409).
//!
//! The crate is pure. It does no I/O and knows no clock and no randomness of its own.
//!
//! - [`Router`]: all negotiations of a gateway. It takes [`Input`] with the time, and answers [`Output`].
//! - [`config`]: connections and how they negotiate.
//! - [`wire`]: messages and payloads, read strictly.
//! - [`suite`]: algorithms. [`keys`]: what is derived with them. [`envelope`]: what messages 3 and 4 hide.
//!
//! Within: main mode, quick mode and informational exchanges are functions over one IKE SA each; the router finds the SA,
//! keeps the time, and draws the conclusions for a connection.
//!
//! # What is deliberately absent
//!
//! Aggressive mode, IKEv2, revoked certificates, several proposals of one number (AH with ESP), transport mode, and
//! networks narrower than configured. The edition of 2010 with its single key pair is read and derived
//! ([`tongguan_pki::Signed::MessageAlone`]), not negotiated.
#![forbid(unsafe_code)]

mod child;
pub mod config;
pub mod envelope;
mod guard;
mod informational;
mod io;
pub mod keys;
mod main_mode;
mod peer;
mod proposal;
mod quick;
mod router;
mod sa;
pub mod suite;
pub mod wire;

pub use guard::{
    FIRST_MESSAGES_PER_SECOND, MAX_HALF_OPEN, MAX_HALF_OPEN_OF_NETWORK, MAX_HALF_OPEN_OF_SOURCE,
};
pub use io::{ChildSa, Command, EspEvent, Event, IKE_PORT, Input, NAT_PORT, Now, OneWay, Output};
pub use router::Router;
