//! Points at which a test kills the process, as if its power had failed. Only with the feature `failpoints`.
//!
//! `TONGGUAN_CRASH_AT=call::written:3 tongguan serve` aborts when the point `call::written` is passed
//! for the third time. `FAILPOINTS` (of the crate `fail`) makes points fail, wait or pause instead, such
//! as `FAILPOINTS='dataplane::apply=3*return(no route)'`.

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, bail};

/// Names the point to end at, and after a colon how often it is passed before.
const VARIABLE: &str = "TONGGUAN_CRASH_AT";

/// Every point, in the order in which a call meets them. A test compares the list with the sources.
pub(crate) const POINTS: &[&str] = &[
    "start::opened",
    "rights::sealed",
    "call::received",
    "nonce::turning",
    "nonce::taking",
    "nonce::taken",
    "call::authenticated",
    "call::authorised",
    "call::writing",
    "store::begun",
    "store::changed",
    "store::committed",
    "store::marked",
    "call::written",
    "audit::journalled",
    "call::answering",
    "engine::due",
    "engine::applying",
    "dataplane::apply",
    "dataplane::hang",
    "engine::applied",
    "engine::recording",
    "engine::recorded",
    "rotate::prepared",
    "rotate::resealed",
    "rotate::replaced",
];

/// Prepares the points that the environment names.
pub(crate) fn arm() -> anyhow::Result<()> {
    // Takes up FAILPOINTS; dropped, it would undo that.
    std::mem::forget(fail::FailScenario::setup());
    let Ok(wanted) = std::env::var(VARIABLE) else { return Ok(()) };
    let (point, times) = match wanted.rsplit_once(':') {
        Some((point, times)) if times.bytes().all(|digit| digit.is_ascii_digit()) => {
            (point, times.parse().with_context(|| format!("{VARIABLE}=`{wanted}` has no number"))?)
        }
        _ => (wanted.as_str(), 1),
    };
    if !POINTS.contains(&point) {
        bail!("`{point}` is no crash point; see `tongguan crash-points`");
    }
    let passed = AtomicU64::new(0);
    let end = move || {
        if passed.fetch_add(1, Ordering::SeqCst) + 1 == times {
            std::process::abort();
        }
    };
    fail::cfg_callback(point, end).map_err(|error| anyhow::anyhow!("crash point: {error}"))
}

/// `tongguan crash-points`.
pub(crate) fn list() -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    for point in POINTS {
        writeln!(out, "{point}")?;
    }
    Ok(ExitCode::SUCCESS)
}
