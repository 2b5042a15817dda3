//! PostgreSQL for tests.
//!
//! | you want | use |
//! |---|---|
//! | one server, in a second, gone with the test; and what can befall it | [`Single`] |
//! | three members that fail over by themselves, and every fault that can befall them | [`Cluster`], [`Fault`] |
//! | somebody who writes meanwhile, and knows what he was answered | [`Writer`] |
//! | to know whether the answers were true | [`check`] |
//! | all of that, fault after fault | [`faults`] |
//!
//! Nothing of it touches a server of the machine's own: what is started here lives in folders and network namespaces
//! of its own. What a process that was killed leaves behind is cleared away by a process that waits for just that
//! (`janitor`).
//!
//! Nothing here is in a shipped binary. What is wrong in a harness ends its test: most functions panic or answer
//! `anyhow`.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "what is wrong in a harness ends its test")]

pub mod check;
mod cluster;
mod fault;
pub mod faults;
mod janitor;
mod network;
mod patroni;
mod processes;
mod programs;
mod single;
mod writer;

pub use cluster::{Cluster, Done};
pub use fault::Fault;
pub use patroni::{Mode, Patroni};
pub use programs::{Missing, Owner, Postgres};
pub use single::{Options, Single};
pub use writer::Writer;
