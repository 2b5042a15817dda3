//! The operations, the order in which a call is checked, and the engine.
//!
//! A request is parsed and verified ([`pipeline`]), becomes a [`call::Call`], finds its
//! [`operation::Operation`] in the table, and is carried out: a read answers from a consistent state of
//! the store; a write makes its change, the record of its token and its audit record in *one*
//! transaction and answers when that is durable. The work on the gateway itself is the [`engine`]'s.
//!
//! One file per operation stands under [`operations`]. Every error code stands in [`catalogue`].
#![forbid(unsafe_code)]

pub mod access;
pub mod accounts;
pub mod agreement;
pub mod api;
pub mod args;
pub mod audit;
pub mod authority;
pub mod call;
pub mod catalogue;
pub mod check;
pub mod clock;
pub mod context;
pub mod engine;
pub mod failure;
mod fingerprint;
pub mod hiding;
pub mod keyring;
pub mod marker;
pub mod master;
pub mod operation;
pub mod operations;
mod own_key;
pub mod pipeline;
pub mod product;
pub mod provenance;
mod random;
pub mod replay;
pub mod rights;
mod seldom;
mod service;
mod share;
pub mod test_api;
pub mod throttle;
pub mod token;
pub mod tunnels;
pub mod vault;
pub mod work;

pub use own_key::service_id;
pub use pipeline::Response;
pub use pipeline::admit::SKEW_SECONDS;
pub use service::Service;
