//! The policies of one principal, put together.

use std::sync::Arc;

use super::{AccessRequest, Decision, Policy, evaluate};

/// A policy and how its principal comes by it.
#[derive(Debug, Clone)]
pub struct Attached {
    /// For people: `policy/ReadOnly (Custom, v3), attached to group/admins`.
    pub origin: String,
    /// The policy.
    pub policy: Arc<Policy>,
}

/// The policies of one principal: those of a user and of its groups, of a role, or of a session.
#[derive(Debug, Default)]
pub struct PolicySet {
    attached: Vec<Attached>,
}

impl PolicySet {
    /// Puts policies together; their order has no effect.
    #[must_use]
    pub fn new(attached: Vec<Attached>) -> Self {
        Self { attached }
    }

    /// What the policies say about a request.
    #[must_use]
    pub fn decide(&self, request: &AccessRequest<'_>) -> Decision {
        evaluate(self.attached.iter().map(|attached| &*attached.policy), request)
    }
}
