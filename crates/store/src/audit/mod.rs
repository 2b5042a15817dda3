//! The audit record: who did what, each record linked to the one before it.
//!
//! A record is [`record`], its place in the chain a [`link`]; [`append`] is the only place that writes any, [`chain`] has
//! the ends and seals them, [`retention`] removes what is not kept and leaves gaps, [`walk`] looks whether all is as it
//! was written. [`fold`] counts what would be too many records.

pub(crate) mod append;
pub(crate) mod chain;
pub(crate) mod fold;
pub(crate) mod link;
pub(crate) mod record;
pub(crate) mod retention;
pub(crate) mod walk;
