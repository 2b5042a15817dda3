//! Product Sts, version 2015-04-01.

pub mod assume_role;
pub mod get_caller_identity;
