//! What came of a transaction: whether it is committed, and what is to be done next.
//!
//! A cluster that fails over breaks connections at any moment, and a broken connection does not say what it carried.
//! So what arrived (an error with its SQLSTATE, a connection that ended, nothing before the deadline, a success with a
//! warning) and how far the transaction had come decide together, and there are three answers, not two: committed,
//! not committed, unknown. [`classify`] is that decision, and does nothing else.
//!
//! What is unknown is looked up by the key of the change, on a new session. A plain `SELECT` would not do: while the
//! first commit still waits for its standby nobody sees its rows, and they appear later. `INSERT … ON CONFLICT DO
//! NOTHING` of the same key under a `lock_timeout` waits for it, and then finds the key taken or takes it. Nor is it
//! enough to find the key taken: a commit whose wait was ended is seen, and can still be lost. So the transaction that
//! looks writes something in any case, if only a message in the log (`pg_logical_emit_message`), and what it found
//! counts once its own commit has come through, for that is behind the first in the log.
//!
//! No commit is ever cancelled: the server would end its wait for the standby and report *success*, with a warning,
//! for what can still be lost. `statement_timeout` does not end that wait. Deadlines are the client's own.

use std::time::Duration;

use tokio_postgres::error::Severity;

/// How often a transaction is begun again after a conflict, before the caller is told that the database is busy.
pub const RETRIES: u32 = 5;

/// Shortest and longest pause before a transaction is begun again.
pub const RETRY_PAUSE: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(50));

/// Shortest and longest pause before the hosts are asked again who is the primary.
pub const RECONNECT_PAUSE: (Duration, Duration) = (Duration::from_millis(25), Duration::from_millis(75));

/// How far a transaction had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Nothing was sent that could commit it.
    Open,
    /// `COMMIT` was sent, or a statement that commits by itself.
    Committing,
}

/// What arrived in answer to a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrived<'a> {
    /// Success.
    Done {
        /// SQLSTATE of a warning that came before it.
        warning: Option<&'a str>,
    },
    /// The server's refusal.
    Refused {
        /// Its SQLSTATE.
        state: &'a str,
        /// Whether the session ended with it (severity FATAL or PANIC).
        last: bool,
    },
    /// The connection ended, or broke, or carried what is no answer.
    Broken,
    /// Nothing, until the deadline of this side.
    Nothing,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It went on, or is committed, on the standby as well where there is one.
    Done,
    /// It is not committed and never will be.
    NotCommitted(Next),
    /// It may be committed, may be lost again, may even be going on. The session is dropped, the key looked up.
    Unknown,
}

/// What follows when a transaction is not committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Drop the session, ask the hosts again who is the primary after [`RECONNECT_PAUSE`], begin again.
    Reconnect,
    /// The same, and say it in the log: the node left a transaction idle, which is a fault of its own.
    ReportAndReconnect,
    /// Begin again after [`RETRY_PAUSE`], at most [`RETRIES`] times. The session stays.
    Retry,
    /// Begin again once; after that the caller is told to slow down. The session stays.
    RetryOnce,
    /// The server has no room. Wait, and if that does not help, say that it is unavailable.
    BackOff,
    /// The statement was refused for what it says: a second use of a key, a broken rule. It is for the caller to know
    /// what that means; to begin again is of no use. The session stays.
    Tell,
}

impl Next {
    /// Whether the session is of no use any more.
    pub fn ends_session(self) -> bool {
        match self {
            Self::Reconnect | Self::ReportAndReconnect | Self::BackOff => true,
            Self::Retry | Self::RetryOnce | Self::Tell => false,
        }
    }
}

/// Decides what came of a transaction.
pub fn classify(stage: Stage, arrived: Arrived<'_>) -> Outcome {
    match (arrived, stage) {
        // A warning before the end of a commit says that it is durable here alone, and can be lost.
        (Arrived::Done { warning: Some(state) }, Stage::Committing) if doubt(state).is_some() => {
            Outcome::Unknown
        }
        (Arrived::Done { .. }, _) => Outcome::Done,
        (Arrived::Refused { state, last }, _) => refused(stage, state, last),
        (Arrived::Broken | Arrived::Nothing, Stage::Open) => Outcome::NotCommitted(Next::Reconnect),
        (Arrived::Broken | Arrived::Nothing, Stage::Committing) => Outcome::Unknown,
    }
}

/// The SQLSTATEs of warnings that make a commit doubtful: it did not wait for its standby, because somebody cancelled
/// it (`01000`), the session is terminated or the server stops (`57P01`), or another of its processes crashed
/// (`57P02`).
const DOUBTS: [&str; 3] = ["01000", "57P01", "57P02"];

/// That SQLSTATE, if it is one of them.
pub(super) fn doubt(state: &str) -> Option<&'static str> {
    DOUBTS.into_iter().find(|doubt| *doubt == state)
}

/// Pause before the `n`th new beginning, where `random` is any number of 32 bits: the bound doubles each time.
pub fn retry_pause(n: u32, random: u32) -> Duration {
    let (least, most) = RETRY_PAUSE;
    between(least, least.saturating_mul(1 << n.min(16)).min(most).max(least * 2), random)
}

/// Pause before the hosts are asked again, where `random` is any number of 32 bits.
pub fn reconnect_pause(random: u32) -> Duration {
    let (least, most) = RECONNECT_PAUSE;
    between(least, most, random)
}

fn between(least: Duration, most: Duration, random: u32) -> Duration {
    least + (most - least).mul_f64(f64::from(random) / f64::from(u32::MAX))
}

/// The server refused. A refusal of severity ERROR is a transaction that was rolled back; one that ends the session
/// while it commits can come after the commit was written, unless it is known to come before anything is read.
fn refused(stage: Stage, state: &str, last: bool) -> Outcome {
    let next = match state {
        // Read-only: a standby, or a primary that is not promoted to the end.
        "25006" => Next::Reconnect,
        // Starting, shutting down, in recovery.
        "57P03" => Next::Reconnect,
        // Serialization failure, deadlock.
        "40001" | "40P01" => Next::Retry,
        // `lock_timeout`, `statement_timeout`.
        "55P03" | "57014" => Next::RetryOnce,
        // Idle in a transaction for too long, idle for too long: the server had read nothing more.
        "25P03" => Next::ReportAndReconnect,
        "57P05" => Next::Reconnect,
        // Too many connections, no memory, no space.
        _ if state.starts_with("53") => Next::BackOff,
        // The server itself says that it does not know; those of class 08 are of drivers and poolers.
        "40003" => return unless_open(stage, Next::Reconnect),
        _ if state.starts_with("08") => return unless_open(stage, Next::Reconnect),
        // Terminated, crashed, and whatever else ends a session.
        _ if last => return unless_open(stage, Next::Reconnect),
        _ => Next::Tell,
    };
    Outcome::NotCommitted(next)
}

fn unless_open(stage: Stage, next: Next) -> Outcome {
    match stage {
        Stage::Open => Outcome::NotCommitted(next),
        Stage::Committing => Outcome::Unknown,
    }
}

/// What an error of the driver says.
///
/// The driver has no SQLSTATE for connections that broke, and an answer that it could not read or a parameter that it
/// could not write says nothing of the server: all of these are [`Arrived::Broken`].
pub fn arrived(error: &tokio_postgres::Error) -> Arrived<'_> {
    match error.as_db_error() {
        Some(refusal) => Arrived::Refused {
            state: refusal.code().code(),
            // Where the severity is not told in English, the server is older than 9.6, which is too old anyway.
            last: refusal
                .parsed_severity()
                .is_none_or(|severity| matches!(severity, Severity::Fatal | Severity::Panic)),
        },
        None => Arrived::Broken,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What arrives, then what it means before `COMMIT` was sent and after.
    type Line<'a> = (Arrived<'a>, Outcome, Outcome);

    const fn error(state: &str) -> Arrived<'_> {
        Arrived::Refused { state, last: false }
    }

    const fn fatal(state: &str) -> Arrived<'_> {
        Arrived::Refused { state, last: true }
    }

    const fn no(next: Next) -> Outcome {
        Outcome::NotCommitted(next)
    }

    fn holds(lines: &[Line<'_>]) {
        for &(arrived, open, committing) in lines {
            assert_eq!(classify(Stage::Open, arrived), open, "{arrived:?} before COMMIT was sent");
            assert_eq!(classify(Stage::Committing, arrived), committing, "{arrived:?} after COMMIT was sent");
        }
    }

    /// Closed, reset, timed out; "terminating connection due to administrator command" or "due to unexpected
    /// postmaster exit" (57P01), "because of crash of another server process" (57P02), database dropped (57P04).
    #[test]
    fn a_session_that_ends_leaves_a_commit_unknown() {
        holds(&[
            (Arrived::Broken, no(Next::Reconnect), Outcome::Unknown),
            (fatal("57P01"), no(Next::Reconnect), Outcome::Unknown),
            (fatal("57P02"), no(Next::Reconnect), Outcome::Unknown),
            (fatal("57P04"), no(Next::Reconnect), Outcome::Unknown),
            (fatal("XX000"), no(Next::Reconnect), Outcome::Unknown),
            (fatal("58030"), no(Next::Reconnect), Outcome::Unknown),
        ]);
    }

    #[test]
    fn a_deadline_leaves_a_commit_unknown() {
        holds(&[(Arrived::Nothing, no(Next::Reconnect), Outcome::Unknown)]);
    }

    /// "canceling wait for synchronous replication due to user request" (01000), "terminating ..." (57P01).
    #[test]
    fn a_commit_with_a_warning_is_no_success() {
        holds(&[
            (Arrived::Done { warning: None }, Outcome::Done, Outcome::Done),
            (Arrived::Done { warning: Some("01000") }, Outcome::Done, Outcome::Unknown),
            (Arrived::Done { warning: Some("57P01") }, Outcome::Done, Outcome::Unknown),
            (Arrived::Done { warning: Some("57P02") }, Outcome::Done, Outcome::Unknown),
            // "there is no transaction in progress" and other notes of no concern here.
            (Arrived::Done { warning: Some("25P01") }, Outcome::Done, Outcome::Done),
        ]);
    }

    #[test]
    fn a_read_only_session_is_not_on_the_primary() {
        holds(&[(error("25006"), no(Next::Reconnect), no(Next::Reconnect))]);
    }

    #[test]
    fn a_server_that_starts_or_stops_has_done_nothing() {
        holds(&[
            (fatal("57P03"), no(Next::Reconnect), no(Next::Reconnect)),
            (fatal("57P05"), no(Next::Reconnect), no(Next::Reconnect)),
        ]);
    }

    #[test]
    fn conflicts_are_tried_again() {
        holds(&[
            (error("40001"), no(Next::Retry), no(Next::Retry)),
            (error("40P01"), no(Next::Retry), no(Next::Retry)),
        ]);
    }

    #[test]
    fn a_wait_that_took_too_long_is_tried_once_more() {
        holds(&[
            (error("55P03"), no(Next::RetryOnce), no(Next::RetryOnce)),
            (error("57014"), no(Next::RetryOnce), no(Next::RetryOnce)),
        ]);
    }

    #[test]
    fn a_transaction_left_idle_is_a_fault_of_the_node() {
        holds(&[(fatal("25P03"), no(Next::ReportAndReconnect), no(Next::ReportAndReconnect))]);
    }

    #[test]
    fn a_server_without_room_is_left_alone_for_a_while() {
        holds(&[
            (fatal("53300"), no(Next::BackOff), no(Next::BackOff)),
            (error("53200"), no(Next::BackOff), no(Next::BackOff)),
            (error("53100"), no(Next::BackOff), no(Next::BackOff)),
        ]);
    }

    #[test]
    fn a_second_use_is_for_the_caller_to_know() {
        holds(&[
            (error("23505"), no(Next::Tell), no(Next::Tell)),
            (error("23503"), no(Next::Tell), no(Next::Tell)),
            (error("42P01"), no(Next::Tell), no(Next::Tell)),
        ]);
    }

    /// Class 08 is of libpq and of poolers; 40003 is "statement completion unknown".
    #[test]
    fn what_the_server_does_not_know_is_unknown() {
        holds(&[
            (error("08006"), no(Next::Reconnect), Outcome::Unknown),
            (fatal("08P01"), no(Next::Reconnect), Outcome::Unknown),
            (error("08007"), no(Next::Reconnect), Outcome::Unknown),
            (error("40003"), no(Next::Reconnect), Outcome::Unknown),
        ]);
    }

    #[test]
    fn sessions_that_go_on_are_kept() {
        for next in [Next::Retry, Next::RetryOnce, Next::Tell] {
            assert!(!next.ends_session(), "{next:?}");
        }
        for next in [Next::Reconnect, Next::ReportAndReconnect, Next::BackOff] {
            assert!(next.ends_session(), "{next:?}");
        }
    }

    #[test]
    fn pauses_stay_within_their_bounds_and_grow() {
        for n in 0..40 {
            for random in [0, 1, u32::MAX / 2, u32::MAX] {
                let pause = retry_pause(n, random);
                assert!((RETRY_PAUSE.0..=RETRY_PAUSE.1).contains(&pause), "{n}, {random}: {pause:?}");
                assert!(pause >= retry_pause(n.saturating_sub(1), random), "{n}, {random}");
                let pause = reconnect_pause(random);
                assert!((RECONNECT_PAUSE.0..=RECONNECT_PAUSE.1).contains(&pause), "{random}: {pause:?}");
            }
        }
        assert_eq!(retry_pause(9, u32::MAX), RETRY_PAUSE.1);
        assert_eq!(retry_pause(9, 0), RETRY_PAUSE.0);
    }
}
