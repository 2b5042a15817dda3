//! Product Sts, version 2015-04-01.

pub mod get_caller_identity;
