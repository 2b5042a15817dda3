//! Whether the workers that serve the API take up new tasks: one of them records a heartbeat now and then, and
//! others see how long ago the last one was.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Between two beats.
const PAUSE: Duration = Duration::from_millis(500);

/// When a worker was last free.
#[derive(Debug)]
pub(crate) struct Pulse {
    started: Instant,
    beaten_ms: AtomicU64,
}

impl Pulse {
    /// As if it had just beaten.
    #[must_use]
    pub(crate) fn new() -> Self {
        Self { started: Instant::now(), beaten_ms: AtomicU64::new(0) }
    }

    /// Beats, as long as the runtime that this runs on turns.
    pub(crate) async fn beat(&self) {
        loop {
            self.beaten_ms.store(self.now_ms(), Ordering::Relaxed);
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// How long no worker has been free; less than some half a second says nothing.
    #[must_use]
    pub(crate) fn silent_for(&self) -> Duration {
        Duration::from_millis(self.now_ms().saturating_sub(self.beaten_ms.load(Ordering::Relaxed)))
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
