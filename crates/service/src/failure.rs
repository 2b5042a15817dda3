//! What goes wrong in a call, the code that the caller gets, and what the log gets.

use tongguan_store::StoreError;
use tracing::{debug, error, warn};

use crate::catalogue::{self, Code, Refusal};
use crate::seldom::Seldom;

/// What went wrong in an operation.
#[derive(Debug)]
pub enum Failure {
    /// The caller is told.
    Refused(Box<Refusal>),
    /// The store failed: the log gets the cause, and the caller a 503 if the store cannot be used, a 500
    /// if it is a bug.
    Store(StoreError),
    /// Something that a call needs cannot be used now: the caller gets a 503 and the log the text.
    Unavailable(String),
    /// A bug: the caller gets a 500 and the log the text.
    Internal(String),
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(Box::new(refusal))
    }
}

impl From<&'static Code> for Failure {
    fn from(code: &'static Code) -> Self {
        Refusal::new(code).into()
    }
}

impl From<tongguan_model::gateway::Refusal> for Failure {
    fn from(refusal: tongguan_model::gateway::Refusal) -> Self {
        Refusal::from(refusal).into()
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Failure {
    /// The code of a failure that is no refusal.
    pub(crate) fn code(&self) -> &'static Code {
        match self {
            Self::Store(
                StoreError::Closed
                | StoreError::Unusable(_)
                | StoreError::Full
                | StoreError::Busy
                | StoreError::Forged { principal: false, .. },
            )
            | Self::Unavailable(_) => &catalogue::UNAVAILABLE,
            // What is wrong is the operator's to know.
            Self::Store(StoreError::Forged { principal: true, .. }) => &catalogue::ACCESS_KEY_INACTIVE,
            Self::Store(StoreError::Crowded) => &catalogue::THROTTLING_USER,
            Self::Refused(_) | Self::Store(_) | Self::Internal(_) => &catalogue::INTERNAL,
        }
    }

    /// Says in the log what the caller is not told, and gives the code for the caller.
    pub(crate) fn unexpected(&self, request_id: &str) -> &'static Code {
        static BUSY: Seldom = Seldom::new();
        static FORGED: Seldom = Seldom::new();
        let code = self.code();
        match self {
            Self::Refused(_) => {}
            // The store has said so once, for all calls.
            Self::Store(
                error @ (StoreError::Closed
                | StoreError::Unusable(_)
                | StoreError::Busy
                | StoreError::Crowded
                | StoreError::Full),
            ) => {
                debug!(%error, request_id, "a call could not be taken");
            }
            // A full disk meets every call: one line a second says it as well, and fills the disk less.
            Self::Unavailable(reason) if BUSY.now() => {
                warn!(reason, request_id, "calls cannot be taken");
            }
            Self::Unavailable(reason) => debug!(reason, request_id, "a call could not be taken"),
            Self::Store(error @ StoreError::Forged { .. }) if !FORGED.now() => {
                debug!(%error, request_id, "a call was refused");
            }
            Self::Store(error @ StoreError::Forged { .. }) => {
                error!(%error, request_id, "a call was refused")
            }
            Self::Store(error) => error!(%error, request_id, "the store failed a call"),
            Self::Internal(error) => error!(error, request_id, "a bug failed a call"),
        }
        code
    }
}
