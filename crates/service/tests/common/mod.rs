//! The service in hand, as [`tongguan_testkit`] has it.
#![allow(unused_imports, unreachable_pub, reason = "each test file uses its part")]

pub use tongguan_testkit::api::{
    ACCOUNT, ALB, CAS, ECS, KMS, LOCATION, RAM, REGION, RESOURCE_MANAGER, STS, VPC,
};
pub use tongguan_testkit::rig::*;
pub use tongguan_testkit::{Call, Caller, Manner, Stamp, fixtures};
