//! The policy language from outside: hand-made cases, a second evaluator, cost.
#![allow(clippy::unwrap_used, reason = "a test may stop where something is wrong")]

mod cases;
mod naive;
mod properties;
mod speed;
mod worst;
