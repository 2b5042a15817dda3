//! The embedded engine: all that only a database in a file of this machine needs.
//!
//! [`store`] is the whole, [`open`] and [`lock`] begin it, [`writer`] runs changes in groups and [`readers`]
//! answer beside it; [`checkpoint`] keeps the log short. [`journal`], [`mark`] and [`nonce`] are files of
//! their own beside the database. [`territory`] stands before every opening, [`health`] says what is in the
//! way, [`archive`] looks and copies, and [`schema`] brings older databases up.

pub(crate) mod archive;
mod checkpoint;
pub(crate) mod group;
pub(crate) mod health;
pub(crate) mod journal;
pub(crate) mod lock;
pub(crate) mod mark;
pub(crate) mod nonce;
pub(crate) mod open;
mod readers;
pub(crate) mod schema;
pub(crate) mod seals;
pub(crate) mod state;
pub(crate) mod store;
mod structure;
pub(crate) mod territory;
pub(crate) mod trim;
pub(crate) mod writer;

/// How long a connection waits for a lock of another process.
const BUSY_TIME: std::time::Duration = std::time::Duration::from_secs(10);
