//! The real program on a loopback port, and callers that write bytes, as [`tongguan_testkit`] has them.
#![allow(unused_imports, unreachable_pub, reason = "each test file uses its part")]

pub mod program {
    //! The program as a process.
    pub use tongguan_testkit::program::Program as Process;
    pub use tongguan_testkit::program::*;
}

pub use tongguan_testkit::api::{ACCOUNT, CAS, KMS, RAM, REGION, STS, VPC};
pub use tongguan_testkit::http::{Reply, bytes as http_bytes, read_reply};
pub use tongguan_testkit::program::raise_file_limit;
pub use tongguan_testkit::server::*;
pub use tongguan_testkit::{Caller as Key, PATIENCE};
