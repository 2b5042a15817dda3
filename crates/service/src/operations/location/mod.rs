//! Product Location, version 2015-06-12.

pub mod describe_endpoints;
