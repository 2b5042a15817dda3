//! PostgreSQL for tests.
//!
//! | you want | use |
//! |---|---|
//! | one server, in a second, gone with the test; and what can befall it | [`Single`] |
//!
//! Nothing of it touches a server of the machine's own: what is started here lives in a folder of its own. What a
//! process that was killed leaves behind is cleared away by a process that waits for just that (`janitor`).
//!
//! Nothing here is in a shipped binary. What is wrong in a harness ends its test: most functions panic or answer
//! `anyhow`.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "what is wrong in a harness ends its test")]

mod janitor;
mod processes;
mod programs;
mod single;

pub use programs::{Missing, Owner, Postgres};
pub use single::{Options, Single};
