//! The wire of Alibaba Cloud's RPC API: requests in, answers out, nothing else.
//!
//! The way of a request: [`parse`] turns method, target, headers and body into an
//! [`Incoming`], checking size and shape only. [`Incoming::verify`] makes it a [`Verified`] under the
//! caller's [`Credential`], and only from that can be had what the request asks for. The steps between
//! (which key, is the time fresh, was the nonce used) need a key store and a clock and
//! belong to the caller; each step has its own method here so that the caller fixes the order.
//!
//! The way back: [`render`] and [`ErrorBody::render`] make the JSON or XML body.
//!
//! [`client`] signs requests the way the official clients do. It shares the functions that
//! build the signed text with the verifier; the recorded requests of the official clients in
//! `tests/golden` keep both honest.
//!
//! Deliberately absent: I/O, clocks, randomness, async, and any knowledge of products.

#![forbid(unsafe_code)]

pub mod answer;
mod authorization;
pub mod client;
mod credential;
mod encoding;
mod error;
mod headers;
mod json;
mod params;
mod request;
mod sign;
mod time;
mod xml;

pub use answer::{ErrorBody, content_type, recommend_url, render};
pub use authorization::Scope;
pub use client::{ClientCall, OutgoingRequest, Placement, SignError, Signer};
pub use credential::{Credential, KeyError, RsaPublicKey, Secret};
pub use encoding::encode;
pub use error::{ParamError, RenderError, WireError};
pub use params::{Limits, Params, StructParams, parse_bool};
pub use request::{Claims, Family, Format, HttpRequest, Incoming, Verified, parse};
pub use sign::SignatureMethod;
pub use time::parse_timestamp;
