//! Product Ram (2015-05-01): who there is in an account, and what they may do.

pub mod names;
pub mod paging;
