//! What only a store on PostgreSQL needs.

pub mod hosts;
pub mod outcome;
