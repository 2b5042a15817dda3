//! PostgreSQL, for several nodes over one database: its hosts, connections, what its SQL says otherwise, its schema,
//! the lanes that write, and the seals of rows that confer rights.

pub(crate) mod admit;
pub(crate) mod held;
pub mod hosts;
mod lane;
pub(crate) mod lanes;
mod link;
pub(crate) mod locks;
pub mod outcome;
mod pool;
mod remembered;
pub(crate) mod schema;
pub(crate) mod seals;
mod stats;
pub(crate) mod store;
mod translate;
mod types;

pub(crate) use link::{Link, Prepared, Rows};
pub use stats::SharedStats;
pub(crate) use tokio_postgres::Row;
pub(crate) use types::value;

use outcome::{Next, Outcome};

/// Why a statement has no answer that counts.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The server refused it, or the connection failed.
    #[error("{0}")]
    Statement(hosts::Failure),
    /// There is no host to ask.
    #[error("{0}")]
    NoPrimary(hosts::NoPrimary),
    /// The connection was given up before.
    #[error("the connection to the database is gone")]
    Gone,
    /// Another node has taken over what this one was the only one to do, since it was not heard of for too long.
    #[error("another node has taken over")]
    TakenOver,
    /// No connection is free.
    #[error("no connection to the database became free in time")]
    Crowded,
    /// Nobody can say whether a change was committed.
    #[error("nobody can say at present whether the change was stored: {0}")]
    Unknown(String),
}

impl Failure {
    /// What came of the transaction.
    pub(crate) fn outcome(&self) -> Outcome {
        match self {
            Self::Statement(failure) => failure.outcome,
            Self::NoPrimary(_) | Self::Gone | Self::TakenOver => Outcome::NotCommitted(Next::Reconnect),
            Self::Crowded => Outcome::NotCommitted(Next::BackOff),
            Self::Unknown(_) => Outcome::Unknown,
        }
    }

    /// Whether it says nothing about what was asked, and a good deal about who was to answer.
    pub(crate) fn passes(&self) -> bool {
        match self.outcome() {
            Outcome::Unknown => true,
            Outcome::NotCommitted(next) => next.ends_session(),
            Outcome::Done => false,
        }
    }

    /// Whether transactions were in each other's way.
    pub(crate) fn is_conflict(&self) -> bool {
        matches!(self.outcome(), Outcome::NotCommitted(Next::Retry | Next::RetryOnce))
            || self.state() == Some("23505")
    }

    /// The SQLSTATE of a refusal.
    pub(crate) fn state(&self) -> Option<&str> {
        match self {
            Self::Statement(failure) => failure.state(),
            _ => None,
        }
    }
}
