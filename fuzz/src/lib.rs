//! What must hold whatever a stranger sends: one function per way in, each asserting properties.
//!
//! A target takes any bytes, makes of them what its part of the service reads, and panics if a property is
//! broken. libFuzzer drives the targets (`make fuzz`), and an ordinary test runs each of them over the
//! checked-in corpus and over everything that once broke one. `README.md` says how.
//!
//! Where a property is "both sides agree", the second side is written here, from the published documents
//! and without the crates' own helpers: an encoder compared with its own decoder proves little.
#![forbid(unsafe_code)]

mod csr;
mod der;
mod edit;
mod esp;
mod ike;
mod oracle;
mod orders;
mod parameters;
mod pem;
mod policy;
mod request;
mod rig;
mod verify;
pub mod wire;
mod x509;

pub use csr::csr;
pub use esp::esp;
pub use ike::{ike, ike_certificates};
pub use orders::orders;
pub use parameters::parameters;
pub use pem::pem;
pub use policy::policy;
pub use request::request;
pub use verify::{verify_v1, verify_v3};
pub use x509::x509;

/// A target: takes any bytes and panics if a property is broken.
pub type Target = fn(&[u8]);

/// Every target by name; `corpus/` and `regressions/` have a folder for each.
pub static TARGETS: [(&str, Target); 12] = [
    ("request", request),
    ("parameters", parameters),
    ("verify_v1", verify_v1),
    ("verify_v3", verify_v3),
    ("policy", policy),
    ("pem", pem),
    ("x509", x509),
    ("csr", csr),
    ("ike", ike),
    ("ike_certificates", ike_certificates),
    ("orders", orders),
    ("esp", esp),
];

/// The target of this name.
#[must_use]
pub fn target(name: &str) -> Option<Target> {
    TARGETS.iter().find(|(known, _)| *known == name).map(|(_, target)| *target)
}

/// Runs `work` and asserts that it never held more than `limit` bytes at once.
pub(crate) fn within<T>(limit: usize, work: impl FnOnce() -> T) -> T {
    let mut result = None;
    let taken = allocation_counter::measure(|| result = Some(work()));
    assert!(
        usize::try_from(taken.bytes_max).is_ok_and(|most| most <= limit),
        "{} bytes were held at once, {limit} may be",
        taken.bytes_max
    );
    result.unwrap_or_else(|| unreachable!("measure runs its closure"))
}
